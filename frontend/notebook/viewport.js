// The visible stretch of a recording, and its place on the canvas. No DOM.
//
// Times are in seconds, places in CSS pixels from the left.

const SHORTEST_VIEW_S = 0.02;

/** The stretch of a recording that is in view. */
export class Viewport {
  /** @param {number} duration of the recording */
  constructor(duration) {
    this.begin = 0; // what is before it is no longer known
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
    return Math.min(Math.max(time, this.begin), this.duration);
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
    const shown = Math.min(Math.max(span, SHORTEST_VIEW_S), this.duration - this.begin || 1);
    this.from = Math.min(Math.max(from, this.begin), Math.max(this.begin, this.duration - shown));
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

  /**
   * Take in what has come since. A view of the end goes along if it follows.
   *
   * @param {number} begin
   * @param {number} duration
   * @param {boolean} follows
   */
  grow(begin, duration, follows) {
    [this.begin, this.duration] = [begin, duration];
    this.show(follows ? duration - this.span : this.from, this.span);
  }

  /** @param {number} time */
  centre(time) {
    this.show(time - this.span / 2, this.span);
  }

  /**
   * Bring a stretch into view where it isn't: all of it, or its start if it is longer.
   *
   * @param {number} start
   * @param {number} end
   */
  reveal(start, end) {
    if (this.holds(start) && this.holds(end)) return;
    if (end - start < this.span) this.centre((start + end) / 2);
    else this.show(start - this.span / 20, this.span);
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
 * @param {number} one
 * @param {number} other
 * @returns {[start_s: number, end_s: number]}
 */
export const between = (one, other) => [Math.min(one, other), Math.max(one, other)];

/**
 * A selected stretch after the cursor moved: its other end stays.
 *
 * @param {?[start_s: number, end_s: number]} selected
 * @param {number} before the cursor before
 * @param {number} cursor the cursor now
 */
export function extended(selected, before, cursor) {
  const fixed = selected ? selected[selected[0] === before ? 1 : 0] : before;
  return between(fixed, cursor);
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
 * 75.5 -> "1:15.500" and 3675 -> "1:01:15.000", with as many decimals as a step needs.
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
  const rest = text.padStart(decimals ? decimals + 3 : 2, "0");
  if (minutes < 60) return `${minutes}:${rest}`;
  return `${Math.floor(minutes / 60)}:${String(minutes % 60).padStart(2, "0")}:${rest}`;
}
