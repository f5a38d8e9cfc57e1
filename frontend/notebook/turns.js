// Turns of a recording: the stretches in which somebody speaks. No DOM.

/**
 * @typedef {[start_s: number, end_s: number, speaker: string, text: string]} Turn
 * @typedef {[start_s: number, end_s: number]} Span
 */

const UNDO_STEPS = 200;

/** The shortest turn, in seconds. */
export const SHORTEST_S = 0.02;

/**
 * Seconds to the millisecond, as RTTM has them.
 *
 * @param {number} seconds
 */
export const rounded = (seconds) => Math.round(seconds * 1000) / 1000;

/**
 * Whether two turns are equal. The echo of the kernel makes new arrays of them.
 *
 * @param {?Turn} one
 * @param {?Turn} other
 */
export const same = (one, other) => one === other || String(one) === String(other);

/** @param {Turn[]} turns */
export const sorted = (turns) => [...turns].sort((a, b) => a[0] - b[0] || a[1] - b[1]);

/** The past and future values of something that changes, for undo and redo. */
export class History {
  /** @param {any} value */
  constructor(value) {
    this.value = value;
    /** @type {any[]} */
    this.past = [];
    /** @type {any[]} */
    this.future = [];
  }

  /** @param {any} value */
  take(value) {
    this.past = [...this.past, this.value].slice(-UNDO_STEPS);
    this.future = [];
    this.value = value;
  }

  undo() {
    return this._travel(this.past, this.future);
  }

  redo() {
    return this._travel(this.future, this.past);
  }

  /**
   * @param {any[]} from
   * @param {any[]} to
   */
  _travel(from, to) {
    if (!from.length) return undefined;
    to.push(this.value);
    this.value = from.pop();
    return this.value;
  }
}

/**
 * The line for the words of a turn: the first that is free, since words of people who speak at once
 * would cover each other.
 *
 * @param {number[]} ends where the last turn of each line ends; that of this turn is noted
 * @param {Turn} turn which starts no earlier than those before
 */
export function lineFor(ends, [start, end]) {
  const free = ends.findIndex((each) => each <= start);
  const line = free < 0 ? ends.length : free;
  ends[line] = end;
  return line;
}

/**
 * The edge or turn at a time; the selected turn comes first.
 *
 * @param {Turn[]} turns
 * @param {?Turn} selected
 * @param {number} time
 * @param {number} reach longest distance from an edge that hits it, in seconds
 * @returns {?{turn: Turn, side: 0 | 1 | null}} side null: between the edges
 */
export function hit(turns, selected, time, reach) {
  const first = selected ? [selected, ...turns.filter((turn) => !same(turn, selected))] : turns;
  for (const turn of first) {
    const [atStart, atEnd] = [turn[0], turn[1]].map((edge) => Math.abs(edge - time) <= reach);
    if (atStart && atEnd) return { turn, side: turn[1] - time < time - turn[0] ? 1 : 0 };
    if (atStart || atEnd) return { turn, side: atStart ? 0 : 1 };
  }
  const turn = first.find((turn) => turn[0] <= time && time <= turn[1]);
  return turn ? { turn, side: null } : null;
}

/**
 * A turn after a drag: an edge moves to `time`, or the whole turn by `time - start`.
 *
 * @param {Turn} turn
 * @param {0 | 1 | null} side as `hit` returns it
 * @param {number} start where the drag began
 * @param {number} time where it is now
 * @param {number} duration of the recording
 * @returns {Turn}
 */
export function dragged([a, b, speaker, text], side, start, time, duration) {
  const shift = Math.min(Math.max(time - start, -a), Math.max(0, duration - b));
  const from = side === 0 ? Math.min(time, b - SHORTEST_S) : side === 1 ? a : a + shift;
  const to = side === 1 ? Math.max(time, a + SHORTEST_S) : side === 0 ? b : b + shift;
  return [rounded(from), rounded(to), speaker, text];
}

/**
 * The turn before the chosen one, or before a time; the first if there is none.
 *
 * @param {Turn[]} turns
 * @param {?Turn} chosen one of them
 * @param {number} time
 * @returns {Turn | undefined} undefined if there are no turns
 */
export function turnBefore(turns, chosen, time) {
  const at = chosen ? turns.indexOf(chosen) : turns.findIndex((turn) => turn[0] > time);
  return turns[(at < 0 ? turns.length : at) - 1] ?? turns[0];
}

/**
 * The turn after the chosen one, or after a time.
 *
 * @param {Turn[]} turns
 * @param {?Turn} chosen one of them
 * @param {number} time
 * @returns {Turn | undefined} undefined after the last
 */
export function turnAfter(turns, chosen, time) {
  return chosen ? turns[turns.indexOf(chosen) + 1] : turns.find((turn) => turn[0] > time);
}

/**
 * The amount of speech in words.
 *
 * @param {Turn[]} turns
 * @param {number} duration of the recording
 */
export function summary(turns, duration) {
  const speech = turns.reduce((sum, turn) => sum + turn[1] - turn[0], 0);
  const late = turns.filter((turn) => turn[1] > duration + 0.05).length;
  const beyond = late ? `; ${late} reach beyond the end of the recording` : "";
  return `${turns.length} stretches of speech, ${speech.toFixed(1)} s${beyond}`;
}
