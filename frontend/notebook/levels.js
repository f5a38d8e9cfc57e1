// What a running session hears, frame by frame, for its last hour. No DOM.

import { copied } from "./kernel.js";

/** Numbers for each frame: level, score, onset and offset thresholds, state. */
export const COLUMNS = /** @type {const} */ (["level", "score", "onset", "offset", "state"]);

/**
 * @typedef {(typeof COLUMNS)[number]} Column
 * @typedef {import("./tracks.js").Span} Span
 *
 * @typedef {object} Rows as sttlab/notebook/live_picture.py describes them
 * @property {number} run counts the starts of a stream, at each of which all begins anew
 * @property {number} at index of the first row
 * @property {number} step_s from one row to the next
 * @property {number} start_s of row 0
 * @property {number} kept rows
 */

/** Frames of a stream. Those that never came are NaN. */
export class Levels {
  constructor() {
    /** @type {Rows} */
    this.about = { run: -1, at: 0, step_s: 0.02, start_s: 0, kept: 0 };
    this.base = 0; // the row that is at index 0 of the columns
    this.end = 0; // the row after the last
    this.columns = COLUMNS.map(() => new Float32Array(0));
  }

  clear() {
    this.base = this.end = 0;
    const size = Math.ceil(this.about.kept * 1.25);
    this.columns = COLUMNS.map(() => new Float32Array(size).fill(NaN));
  }

  /** The stretch of which anything is known. @returns {[from: number, to: number]} */
  get stretch() {
    return [this.timeOf(Math.max(this.base, this.end - this.about.kept)), this.timeOf(this.end)];
  }

  /** @param {number} row */
  timeOf(row) {
    return this.about.start_s + row * this.about.step_s;
  }

  /**
   * Take rows in, some of which may be known.
   *
   * @param {Rows} about
   * @param {DataView} data
   */
  take(about, data) {
    const rows = new Float32Array(copied(data));
    const isNew = about.run !== this.about.run;
    this.about = about;
    if (isNew) this.clear();
    if (!this.end) this.base = this.end = about.at;
    const count = rows.length / COLUMNS.length;
    const size = this.columns[0].length;
    if (about.at + count - this.base > size) {
      const by = about.at + count - about.kept - this.base;
      for (const column of this.columns) {
        column.copyWithin(0, by);
        column.fill(NaN, Math.max(0, size - by));
      }
      this.base += by;
    }
    for (let i = 0; i < count; i++) {
      const place = about.at + i - this.base;
      if (place < 0) continue;
      this.columns.forEach((column, k) => (column[place] = rows[i * COLUMNS.length + k]));
    }
    this.end = Math.max(this.end, about.at + count);
  }

  /**
   * A column as a curve that tracks can paint.
   *
   * @param {Column} name
   * @returns {Pick<import("./pieces.js").Pieces, "cover">}
   */
  curve(name) {
    return {
      cover: (from, to) => {
        const values = this.columns[COLUMNS.indexOf(name)].subarray(0, this.end - this.base);
        const [first, last] = this.stretch;
        const [from_s, to_s] = [Math.max(from, first), Math.min(to, last)];
        if (to_s <= from_s) return [];
        const bins = { low: values, high: values, mean: values };
        return [{ bins, start_s: this.timeOf(this.base), bin_s: this.about.step_s, from_s, to_s }];
      },
    };
  }

  /**
   * The stretches in which the endpointer was in a state.
   *
   * @param {number} state
   * @param {number} from
   * @param {number} to
   * @returns {Span[]}
   */
  spans(state, from, to) {
    const states = this.columns[COLUMNS.indexOf("state")];
    const { step_s, start_s } = this.about;
    const first = Math.max(this.base, Math.floor((from - start_s) / step_s));
    const past = Math.min(this.end, Math.ceil((to - start_s) / step_s));
    /** @type {Span[]} */
    const found = [];
    let begun = -1;
    for (let row = first; row <= past; row++) {
      const is = row < past && states[row - this.base] === state;
      if (is && begun < 0) begun = row;
      if (is || begun < 0) continue;
      found.push({ start: this.timeOf(begun), end: this.timeOf(row) });
      begun = -1;
    }
    return found;
  }
}
