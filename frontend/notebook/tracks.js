// Tracks of a timeline: each paints a curve or spans into its box.

import { columnsOf, peakOf } from "./pieces.js";

/**
 * @typedef {import("./pieces.js").Pieces} Pieces
 * @typedef {import("./pieces.js").Bins} Bins
 *
 * @typedef {object} View what a track is painted with
 * @property {CanvasRenderingContext2D} pen
 * @property {number} from the visible stretch, in seconds
 * @property {number} to
 * @property {number} width in CSS pixels
 * @property {number} density pixels of the screen in a CSS pixel
 * @property {(time: number) => number} x
 * @property {(name: string) => string} color of the theme
 * @property {number} [gain] by which a waveform is larger than the lane needs
 *
 * @typedef {object} Lane the height of a track
 * @property {number} top
 * @property {number} height
 *
 * @typedef {object} Track
 * @property {string} name as people call it
 * @property {number} height in pixels
 * @property {boolean} [isHidden] until somebody wants to see it
 * @property {Choice[]} [choices]
 * @property {(view: View, lane: Lane) => void} [base] paints what only the view changes
 * @property {(view: View, lane: Lane) => void} [paint] paints above it
 *
 * @typedef {object} Choice of a value, which a button in the menu of tracks changes
 * @property {string} words what is chosen
 * @property {string} unit
 * @property {number[]} values the first is chosen at first
 *
 * @typedef {object} Scale of a curve
 * @property {number} low
 * @property {number} high
 * @property {string} unit empty for a share, which is written in percent
 *
 * @typedef {object} Steps a curve that is constant from each time to the next
 * @property {ArrayLike<number>} times
 * @property {ArrayLike<number>} values
 * @property {number} [end] where the last one ends, if not at the end of the view
 */

/**
 * What curves are painted from.
 *
 * @typedef {Pick<Pieces, "cover">} Curved
 */

/**
 * The columns of the visible stretch, on a grid that moves along with the recording, so that
 * panning changes no column.
 *
 * @param {Curved} pieces
 * @param {View} view
 */
function gridColumns(pieces, { from, to, width, density }) {
  const count = Math.max(1, Math.round(width * density));
  const column_s = (to - from) / count;
  const start = Math.floor(from / column_s) * column_s;
  const end = start + (count + 1) * column_s;
  const bins = columnsOf(pieces.cover(start, end, count + 1), start, end, count + 1);
  const shift = Math.round((start - from) / column_s); // whole pixels are painted faster
  return { bins, at: (/** @type {number} */ i) => (shift + i) / density };
}

/**
 * Fill between two curves, where they are known: a rectangle for each run of equal columns. A path
 * of so many edges takes five times as long.
 *
 * @param {CanvasRenderingContext2D} pen
 * @param {ArrayLike<number>} upper in pixels
 * @param {ArrayLike<number>} lower
 * @param {(column: number) => number} at
 */
function fillBand(pen, upper, lower, at) {
  for (let i = 0, next = 1; i < upper.length; i = next, next = i + 1) {
    while (next < upper.length && upper[next] === upper[i] && lower[next] === lower[i]) next += 1;
    if (upper[i] <= lower[i]) pen.fillRect(at(i), upper[i], at(next) - at(i), lower[i] - upper[i]);
  }
}

/**
 * Paint a waveform: its extremes, and darker its root mean square. The loudest sample reaches the edge.
 *
 * @param {View} view
 * @param {Lane} lane
 * @param {Pieces} pieces
 */
export function paintWave(view, lane, pieces) {
  const { bins, at } = gridColumns(pieces, view);
  const { pen, gain = 1 } = view;
  const middle = lane.top + lane.height / 2;
  const scale = ((lane.height / 2 - 1) / peakOf(pieces)) * gain;
  /** @param {number} sample @param {number} by */
  const place = (sample, by = 0) =>
    Math.min(Math.max(middle - sample * scale + by, lane.top), lane.top + lane.height);
  pen.fillStyle = view.color("wave");
  const upper = bins.high.map((sample) => place(sample, -0.4));
  fillBand(pen, upper, bins.low.map((sample) => place(sample, 0.4)), at);
  pen.fillStyle = view.color("core");
  const core = (/** @type {number} */ side) =>
    bins.mean.map((rms, i) => {
      const least = Math.min(Math.max(rms, bins.low[i]), bins.high[i]);
      const most = Math.min(Math.max(-rms, bins.low[i]), bins.high[i]);
      return place(side > 0 ? least : most);
    });
  fillBand(pen, core(1), core(-1), at);
  if (gain === 1) return;
  pen.fillStyle = view.color("faint");
  pen.fillText(`×${Math.round(10 * gain) / 10}`, 3, lane.top + 12);
}

/**
 * @param {Pieces} pieces
 * @param {number} height
 * @returns {Track}
 */
export function waveTrack(pieces, height) {
  return { name: "waveform", height, base: (view, lane) => paintWave(view, lane, pieces) };
}

/**
 * The place of a value in a lane.
 *
 * @param {number} value
 * @param {Scale} scale
 * @param {Lane} lane
 */
export function yOf(value, { low, high }, { top, height }) {
  return top + height * (1 - Math.min(1, Math.max(0, (value - low) / (high - low))));
}

/**
 * The value at a place in a lane.
 *
 * @param {number} y
 * @param {Scale} scale
 * @param {Lane} lane
 */
export function valueAt(y, { low, high }, { top, height }) {
  return low + (high - low) * (1 - (y - top) / height);
}

/**
 * The values at which a scale has a line: round ones.
 *
 * @param {Scale} scale
 * @param {number} height
 */
export function lines({ low, high }, height) {
  const least = ((high - low) * 26) / height;
  const step = [0.1, 0.25, 0.5, 1, 2, 5, 10, 20, 50, 100].find((s) => s >= least) ?? 200;
  const found = [];
  for (let i = Math.ceil(low / step + 0.2); i * step < high - step * 0.2; i++) found.push(i * step);
  return found;
}

/**
 * A value as people write it.
 *
 * @param {number} value
 * @param {string} unit empty for a share
 */
export function written(value, unit) {
  if (!unit) return `${Math.round(100 * value)} %`;
  return `${String(Math.round(10 * value) / 10).replace("-", "−")} ${unit}`;
}

/**
 * Paint the lines of a scale.
 *
 * @param {View} view
 * @param {Lane} lane
 * @param {Scale} scale
 */
export function paintGrid({ pen, width, color }, lane, scale) {
  pen.fillStyle = color("grid");
  for (const value of lines(scale, lane.height)) {
    pen.fillRect(0, Math.round(yOf(value, scale, lane)), width, 1);
  }
}

/**
 * Paint the figures at the lines of a scale, with an outline, so that they are read over a curve.
 *
 * @param {View} view
 * @param {Lane} lane
 * @param {Scale} scale
 */
export function paintFigures({ pen, color }, lane, scale) {
  [pen.fillStyle, pen.strokeStyle, pen.lineWidth] = [color("faint"), color("paper"), 3];
  lines(scale, lane.height).forEach((value, i, { length }) => {
    const words = i === length - 1 || !scale.unit ? written(value, scale.unit) : `${value}`;
    /** @type {[string, number, number]} */
    const figure = [words.replace("-", "−"), 3, yOf(value, scale, lane) - 2];
    pen.strokeText(...figure);
    pen.fillText(...figure);
  });
}

/**
 * Paint what a detector hears, frame by frame: extremes and mean.
 *
 * @param {View} view
 * @param {Lane} lane
 * @param {Curved} pieces
 * @param {Scale} scale
 */
export function paintCurve(view, lane, pieces, scale) {
  const { pen, color } = view;
  const { bins, at } = gridColumns(pieces, view);
  const place = (/** @type {number} */ value) => yOf(value, scale, lane);
  pen.fillStyle = color("band");
  fillBand(pen, bins.high.map((v) => place(v)), bins.low.map((v) => place(v)), at);
  pen.fillStyle = color("level");
  const middle = bins.mean.map((value) => place(value));
  fillBand(pen, ...thickened(middle), at);
}

/**
 * A curve on its scale, and what `over` paints on it.
 *
 * @param {string} name
 * @param {Curved} pieces
 * @param {Scale} scale
 * @param {number} height
 * @param {(view: View, lane: Lane) => void} [over]
 * @returns {Track}
 */
export function curveTrack(name, pieces, scale, height, over) {
  return {
    name,
    height,
    base(view, lane) {
      paintGrid(view, lane, scale);
      paintCurve(view, lane, pieces, scale);
    },
    paint(view, lane) {
      over?.(view, lane);
      paintFigures(view, lane, scale);
    },
  };
}

/**
 * A curve as a band that reaches from each column to the next, as a line does.
 *
 * @param {Float32Array} middle
 * @returns {[Float32Array, Float32Array]}
 */
function thickened(middle) {
  const before = (/** @type {number} */ i) => (Number.isNaN(middle[i - 1] ?? NaN) ? i : i - 1);
  const upper = middle.map((y, i) => Math.min(y, middle[before(i)]) - 0.6);
  const lower = middle.map((y, i) => Math.max(y, middle[before(i)]) + 0.6);
  return [upper, lower];
}

/**
 * A line of steps, such as a threshold.
 *
 * @param {View} view
 * @param {Lane} lane
 * @param {Scale} scale
 * @param {Steps} steps
 * @param {{color: string, width?: number, dash?: number[]}} style
 */
export function paintSteps(view, lane, scale, steps, style) {
  if (!steps.times.length) return;
  const { pen, x } = view;
  pen.beginPath();
  for (const [i, [time, value]] of visibleSteps(view, steps).entries()) {
    const y = yOf(value, scale, lane);
    if (i) pen.lineTo(x(time), y);
    else pen.moveTo(x(time), y);
  }
  pen.strokeStyle = style.color;
  pen.lineWidth = style.width ?? 1;
  pen.setLineDash(style.dash ?? []);
  pen.stroke();
  pen.setLineDash([]);
}

/**
 * A curve in view as steps, one for each column in which it is known.
 *
 * @param {Curved} curve
 * @param {View} view
 * @returns {Steps}
 */
export function stepsOf(curve, view) {
  const { bins, at } = gridColumns(curve, view);
  const pixel_s = (view.to - view.from) / view.width;
  /** @type {Steps & {times: number[], values: number[]}} */
  const steps = { times: [], values: [] };
  bins.mean.forEach((value, i) => {
    if (Number.isNaN(value)) return;
    steps.times.push(view.from + at(i) * pixel_s);
    steps.values.push(value);
  });
  const end = curve.cover(view.from, view.to, 1).at(-1)?.to_s ?? view.from;
  return { ...steps, end };
}

/**
 * The corners of the visible steps, at most one step in each pixel: a dashed line of thousands takes
 * longer than all else.
 *
 * @param {Pick<View, "from" | "to" | "width">} view
 * @param {Steps} steps
 * @returns {[time: number, value: number][]}
 */
export function visibleSteps({ from, to, width }, { times, values, end = to }) {
  const pixel_s = (to - from) / width;
  let i = Math.max(0, firstAfter(times, from) - 1);
  /** @type {[time: number, value: number][]} */
  const corners = [[Math.max(from, times[i]), values[i]]];
  for (i += 1; i < times.length && times[i] < to; i++) {
    const [last, value] = corners[corners.length - 1];
    if (times[i] - last < pixel_s && corners.length > 1) corners[corners.length - 1][1] = values[i];
    else if (values[i] !== value) corners.push([times[i], value], [times[i], values[i]]);
  }
  corners.push([Math.min(to, end), corners[corners.length - 1][1]]);
  return corners;
}

/**
 * The value of steps at a time.
 *
 * @param {Steps} steps
 * @param {number} time
 */
export const stepAt = ({ times, values }, time) =>
  values[Math.max(0, firstAfter(times, time) - 1)];

/**
 * The index of the first time that is after another.
 *
 * @param {ArrayLike<number>} times in order
 * @param {number} time
 */
export function firstAfter(times, time) {
  let [low, high] = [0, times.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (times[middle] > time) high = middle;
    else low = middle + 1;
  }
  return low;
}

/**
 * @typedef {object} Span
 * @property {number} start
 * @property {number} end
 */

/**
 * The first span that ends after a time; spans don't overlap much.
 *
 * @param {Span[]} spans in order of time
 * @param {number} time
 */
export function firstVisible(spans, time) {
  let [low, high] = [0, spans.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (spans[middle].end > time) high = middle;
    else low = middle + 1;
  }
  return low;
}

/**
 * Spans as a shade over other tracks.
 *
 * @param {View} view
 * @param {Lane} lane
 * @param {Span[]} spans
 * @param {string} color by name
 */
export function paintShade(view, lane, spans, color) {
  const { pen, x, width } = view;
  pen.fillStyle = view.color(color);
  for (let i = firstVisible(spans, view.from); i < spans.length; i++) {
    const [left, right] = [x(spans[i].start), x(spans[i].end)];
    if (left > width) break;
    pen.fillRect(left, lane.top, Math.max(right - left, 0.5), lane.height);
  }
}
