// Which tracks are shown, in which order, how high, and with which values. No DOM.

/**
 * @typedef {import("./tracks.js").Track} Track
 * @typedef {import("./tracks.js").Choice} Choice
 *
 * @typedef {object} Arrangement what a person has changed, by the names of tracks
 * @property {string[]} [order] from above
 * @property {Record<string, boolean>} [shown]
 * @property {Record<string, number>} [height] in pixels
 * @property {Record<string, Record<string, number>>} [chosen] by the units of a track's choices
 */

/** The least and the greatest height of a track, in pixels. */
const LEAST_PX = 20;
const MOST_PX = 600;

/** How much higher, or lower, a step makes a track. */
const STEP = 1.25;

/** @param {Arrangement} arrangement @param {Track} track */
export const isShown = ({ shown = {} }, track) => shown[track.name] ?? !track.isHidden;

/**
 * All tracks in their order. One that the arrangement doesn't know stands after the one that it
 * follows by itself.
 *
 * @param {Arrangement} arrangement
 * @param {Track[]} tracks
 */
export function ordered({ order = [] }, tracks) {
  const known = order.filter((name) => tracks.some((track) => track.name === name));
  const names = tracks.map(({ name }) => name);
  names.forEach((name, i) => {
    if (!known.includes(name)) known.splice(known.indexOf(names[i - 1]) + 1, 0, name);
  });
  return known.map((name) => /** @type {Track} */ (tracks.find((track) => track.name === name)));
}

/**
 * The tracks as they are to be painted.
 *
 * @param {Arrangement} arrangement
 * @param {Track[]} tracks
 * @returns {Track[]}
 */
export function arranged(arrangement, tracks) {
  const { height = {} } = arrangement;
  return ordered(arrangement, tracks)
    .filter((track) => isShown(arrangement, track))
    .map((track) => ({ ...track, height: height[track.name] ?? track.height }));
}

/**
 * @param {Arrangement} arrangement
 * @param {Track} track
 * @returns {Arrangement}
 */
export function toggled(arrangement, track) {
  const shown = { ...arrangement.shown, [track.name]: !isShown(arrangement, track) };
  return { ...arrangement, shown };
}

/**
 * @param {Arrangement} arrangement
 * @param {Track[]} tracks
 * @param {Track} track
 * @param {-1 | 1} way up or down
 * @returns {Arrangement}
 */
export function moved(arrangement, tracks, track, way) {
  const order = ordered(arrangement, tracks).map(({ name }) => name);
  const from = order.indexOf(track.name);
  const to = Math.min(Math.max(from + way, 0), order.length - 1);
  order.splice(to, 0, ...order.splice(from, 1));
  return { ...arrangement, order };
}

/**
 * @param {Arrangement} arrangement
 * @param {Track} track
 * @param {-1 | 1} way lower or higher
 * @returns {Arrangement}
 */
export function resized(arrangement, track, way) {
  const now = arrangement.height?.[track.name] ?? track.height;
  const next = Math.round(Math.min(Math.max(now * STEP ** way, LEAST_PX), MOST_PX));
  return { ...arrangement, height: { ...arrangement.height, [track.name]: next } };
}

/**
 * The value that is chosen.
 *
 * @param {Arrangement} arrangement
 * @param {string} name of the track
 * @param {Choice} choice
 */
export const chosenOf = ({ chosen = {} }, name, { unit, values }) =>
  chosen[name]?.[unit] ?? values[0];

/**
 * @param {Arrangement} arrangement
 * @param {string} name of the track
 * @param {Choice} choice whose next value is chosen
 * @returns {Arrangement}
 */
export function chosenNext(arrangement, name, choice) {
  const { unit, values } = choice;
  const at = values.indexOf(chosenOf(arrangement, name, choice));
  const own = { ...arrangement.chosen?.[name], [unit]: values[(at + 1) % values.length] };
  return { ...arrangement, chosen: { ...arrangement.chosen, [name]: own } };
}
