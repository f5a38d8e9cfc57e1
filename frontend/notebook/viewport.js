// The visible stretch of a recording, and its place on the canvas. No DOM.
//
// Times are in seconds, places in CSS pixels from the left.

const SHORTEST_VIEW_S = 0.02;
const LOWEST_DB = -80;

/** The stretch of a recording that is in view. */
export class Viewport {
  /** @param {number} duration of the recording */
  constructor(duration) {
    this.duration = duration;
    this.from = 0;
    this.to = duration || 1;
  }

  get span() {
    return this.to - this.from;
  }

  /**
   * @param {number} px
   * @param {number} width of the canvas
   */
  seconds(px, width) {
    return (px / width) * this.span;
  }

  /**
   * @param {number} x
   * @param {number} width of the canvas
   */
  timeAt(x, width) {
    return this.from + this.seconds(x, width);
  }

  /**
   * @param {number} time
   * @param {number} width of the canvas
   */
  xOf(time, width) {
    return ((time - this.from) / this.span) * width;
  }

  /**
   * The nearest time within the recording.
   *
   * @param {number} time
   */
  clamp(time) {
    return Math.min(Math.max(time, 0), this.duration);
  }

  /** @param {number} time */
  holds(time) {
    return this.from <= time && time <= this.to;
  }

  /**
   * Show a stretch, as far as the recording reaches.
   *
   * @param {number} from
   * @param {number} span
   */
  show(from, span) {
    const shown = Math.min(Math.max(span, SHORTEST_VIEW_S), this.duration || 1);
    this.from = Math.min(Math.max(from, 0), Math.max(0, this.duration - shown));
    this.to = this.from + shown;
  }

  /**
   * @param {number} factor over 1 shows more
   * @param {number} around the time that keeps its place
   */
  zoom(factor, around) {
    const span = this.span * factor;
    const share = (around - this.from) / this.span;
    this.show(around - share * span, span);
  }

  /** @param {number} seconds */
  scroll(seconds) {
    this.show(this.from + seconds, this.span);
  }

  /** @param {number} time */
  centre(time) {
    this.show(time - this.span / 2, this.span);
  }

  /**
   * Scroll no further than needed to make a time visible.
   *
   * @param {number} time
   */
  reach(time) {
    if (time < this.from) this.scroll(time - this.from);
    else if (time > this.to) this.scroll(time - this.to);
  }
}

/**
 * @typedef {object} Stretch a part of a recording that has a picture, or needs one
 * @property {number} start_s
 * @property {number} end_s
 * @property {number} column_s of the recording in one column of the picture
 */

/**
 * The picture to request: of the visible stretch and as much to each side, at first of the whole
 * recording.
 *
 * @param {Stretch[]} there
 * @param {Viewport} viewport
 * @param {number} width of the canvas, in pixels of the screen
 * @returns {?(Stretch & {columns: number})} null if a picture that is there is fine enough
 */
export function wantedPicture(there, { from, to, span, duration }, width) {
  const fine = span / width / 0.9; // seconds in a column that is fine enough
  const fits = there.some(
    ({ start_s, end_s, column_s }) => start_s <= from && end_s >= to && column_s <= fine,
  );
  if (fits) return null;
  const start_s = there.length ? Math.max(0, from - span) : 0;
  const end_s = there.length ? Math.min(duration, to + span) : duration;
  const columns = Math.ceil(((end_s - start_s) / span) * width * 1.2);
  return { start_s, end_s, columns, column_s: Math.min((end_s - start_s) / columns, fine) };
}

/**
 * The places of the columns of a picture, and which of them are visible.
 *
 * @param {number} count of columns
 * @param {[start_s: number, end_s: number]} span of the picture
 * @param {{x: (time: number) => number, width: number}} box
 */
export function columns(count, [start, end], { x, width }) {
  const at = (/** @type {number} */ i) => x(start + ((end - start) * i) / count);
  const perPx = count / (x(end) - x(start));
  const first = Math.max(0, Math.floor((0 - x(start)) * perPx) - 1);
  const past = Math.min(count, Math.ceil((width - x(start)) * perPx) + 1);
  return { at, first, past };
}

/**
 * The place of a level in a box, from 0 dBFS at its top to LOWEST_DB at its bottom.
 *
 * @param {number} level in dBFS
 * @param {{top: number, height: number}} box
 */
export function levelY(level, { top, height }) {
  return top + height * Math.min(1, Math.max(0, level / LOWEST_DB));
}

/**
 * The stretches that the labels do not score: the gaps between the scored ones.
 *
 * @param {?[start_s: number, end_s: number][]} scored null if all of the recording is scored
 * @param {number} duration
 */
export function gaps(scored, duration) {
  /** @type {[start_s: number, end_s: number][]} */
  const found = [];
  let end = 0;
  for (const [start, stop] of scored ? [...scored, [duration, duration]] : []) {
    if (start > end) found.push([end, start]);
    end = stop;
  }
  return found;
}

/**
 * A round step of an axis: about `count` steps fill a span of seconds.
 *
 * @param {number} span
 * @param {number} count
 */
export function step(span, count) {
  const steps = [60, 120, 300, 600, 900, 1800, 3600];
  const least = span / count;
  if (least > 60) return steps.find((s) => s >= least) ?? 7200;
  if (least > 30) return 60;
  if (least > 10) return least > 15 ? 30 : 15;
  const power = 10 ** Math.floor(Math.log10(least));
  return [1, 2, 5].map((m) => m * power).find((s) => s >= least * 0.999) ?? 10 * power;
}

/**
 * 75.5 -> "1:15.500", with as many decimals as a step needs.
 *
 * @param {number} seconds
 * @param {number} stepSize
 * @returns {string}
 */
export function clock(seconds, stepSize = 0.001) {
  const decimals = Math.max(0, Math.ceil(-Math.log10(stepSize) - 1e-9));
  const text = (seconds % 60).toFixed(decimals);
  if (Number(text) >= 60) return clock(Math.round(seconds), 1);
  const minutes = Math.floor(seconds / 60);
  return `${minutes}:${text.padStart(decimals ? decimals + 3 : 2, "0")}`;
}
