// A detector's scale on the meter, and what a threshold that is moved on it changes. No DOM.

/**
 * @typedef {object} Scale of a detector's score
 * @property {string} label
 * @property {string} unit "" for a score in 0..1, which is shown in percent
 * @property {number} low at the bottom of the meter
 * @property {number} high at its top
 *
 * @typedef {object} Judging what judges a score
 * @property {Record<string, any>} config
 * @property {Record<string, {min: ?number, max: ?number, unit: string, unless?: ?string}>} settings
 * @property {Scale} scale of the detector
 * @property {string[]} fields settings that the detector uses, those that move its threshold first
 */

/** Space above and below the scale on the meter, in px. */
export const EDGE_PX = 8;

/** Most labels on a scale. */
const MOST_TICKS = 4;

/**
 * Where a value stands on a scale, in 0..1.
 *
 * @param {Scale} scale
 * @param {number} value
 */
export function partOf({ low, high }, value) {
  return clamp((value - low) / (high - low), 0, 1);
}

/**
 * The value at a part of a scale.
 *
 * @param {Scale} scale
 * @param {number} part
 */
export function valueAt({ low, high }, part) {
  return low + clamp(part, 0, 1) * (high - low);
}

/**
 * A score without its unit; one that has none in percent.
 *
 * @param {Scale} scale
 * @param {number} value
 */
export function figure({ unit }, value) {
  return unit ? `${Math.round(value)}` : `${Math.round(100 * value)} %`;
}

/**
 * A score with its unit; one that has none in percent.
 *
 * @param {Scale} scale
 * @param {number} value
 */
export function write(scale, value) {
  return scale.unit ? `${figure(scale, value)} ${scale.unit}` : figure(scale, value);
}

/**
 * Round values of a scale to label, the lowest first.
 *
 * @param {Scale} scale
 */
export function ticks({ low, high }) {
  const power = 10 ** Math.floor(Math.log10((high - low) / MOST_TICKS));
  const count = (/** @type {number} */ step) => Math.floor(high / step) - Math.ceil(low / step) + 1;
  const step = [1, 2, 5, 10].map((times) => times * power).find((one) => count(one) <= MOST_TICKS);
  const found = [];
  const size = step ?? high - low;
  for (let i = Math.ceil(low / size); i * size <= high; i++) found.push(i * size);
  return found;
}

/**
 * How far one press of a key moves a threshold.
 *
 * @param {Scale} scale
 */
export function stepOf({ unit }) {
  return unit ? 0.5 : 0.01;
}

/**
 * The setting to change so that the threshold moves, its value, and where the threshold is then.
 *
 * A threshold that follows the noise goes on to follow it, at another distance. No setting moves a
 * threshold that is on another scale than the setting.
 *
 * @param {Judging} judging
 * @param {number} from where the threshold is, with this config
 * @param {number} to
 * @returns {?{name: string, value: number, threshold: number}} null if no setting moves it
 */
export function moved({ config, settings, scale, fields }, from, to) {
  const name = fields.find((field) => config[field] !== null);
  if (!name) return null;
  const { min, max, unit, unless } = settings[name];
  const isDistance = Boolean(unless); // from the noise, which it follows unless that is set
  if (!isDistance && unit !== scale.unit) return null;
  const step = stepOf(scale);
  const goal = isDistance ? config[name] + to - from : to;
  const rounded = Math.round(clamp(goal, min ?? -Infinity, max ?? Infinity) / step) * step;
  const value = Number(rounded.toFixed(2));
  return { name, value, threshold: isDistance ? from + value - config[name] : value };
}

/** @param {number} value @param {number} low @param {number} high */
function clamp(value, low, high) {
  return Math.min(high, Math.max(low, value));
}
