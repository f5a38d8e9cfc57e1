// The curves of a recording at the resolution that the screen needs. No DOM.
//
// The kernel has each curve in bins of 1, 2, 4, ... values, each with its least, greatest and mean
// value, and sends pieces of PIECE_BINS bins. A piece that isn't there yet is drawn from a coarser
// one, and is requested.

/** Bins in a piece, as in sttlab/notebook/pyramid.py. */
export const PIECE_BINS = 2048;

/** Pieces that are kept, by default; an hour at one zoom has fewer. */
const KEPT = 256;

/** Requests that the kernel may have at once: newer views don't wait for many older ones. */
const AT_ONCE = 4;

/**
 * @typedef {object} Curve as the kernel describes it
 * @property {string} name
 * @property {number} count of its values
 * @property {number} step_s from one value to the next; the first begins at 0
 *
 * @typedef {object} Bins
 * @property {Float32Array} low
 * @property {Float32Array} high
 * @property {Float32Array} mean
 */

/**
 * @template [B=Bins]
 * @typedef {object} Part of a piece that is to be drawn
 * @property {B} bins
 * @property {number} start_s of the first bin
 * @property {number} bin_s
 * @property {number} from_s the part of the piece that is meant
 * @property {number} to_s
 */

/** @param {Curve} curve @returns {number} the level at which one piece holds all of the curve */
export const topLevel = ({ count }) => Math.max(0, Math.ceil(Math.log2(count / PIECE_BINS)));

/**
 * The level whose bins are as wide as a column, or up to half of that.
 *
 * @param {Curve} curve
 * @param {number} column_s
 */
export function levelFor(curve, column_s) {
  const level = Math.floor(Math.log2(column_s / curve.step_s) + 1e-9);
  return Math.min(Math.max(level, 0), topLevel(curve));
}

/**
 * One curve of a recording.
 *
 * @template [B=Bins]
 */
export class Pieces {
  /**
   * @param {Curve} curve
   * @param {(level: number, index: number) => Promise<B>} fetch
   * @param {() => void} onArrival of a piece
   * @param {number} [most] pieces that are kept
   */
  constructor(curve, fetch, onArrival, most = KEPT) {
    this.curve = curve;
    this.most = most;
    this.fetch = fetch;
    this.onArrival = onArrival;
    /** @type {Map<string, B>} in the order of their last use */
    this.kept = new Map();
    this.coming = new Set();
    /** @type {[level: number, index: number][]} the first is the most urgent */
    this.wanted = [];
  }

  /** @param {number} level */
  pieceLength(level) {
    return this.curve.step_s * 2 ** level * PIECE_BINS;
  }

  /**
   * What there is to draw a stretch from, in order; what is missing is requested.
   *
   * @param {number} from
   * @param {number} to
   * @param {number} columns that it fills
   * @returns {Part<B>[]}
   */
  cover(from, to, columns) {
    const { curve } = this;
    const end = Math.min(to, curve.count * curve.step_s);
    const level = levelFor(curve, (to - from) / columns);
    const length = this.pieceLength(level);
    const parts = [];
    this.wanted = [];
    for (let i = Math.max(0, Math.floor(from / length)); i * length < end; i++) {
      const part = this.part(level, i, i * length, Math.min(end, (i + 1) * length));
      if (part) parts.push(part);
    }
    const next = Math.ceil(end / length);
    const before = Math.floor(from / length) - 1;
    for (const i of [next, before]) {
      const isThere = i >= 0 && i * length < curve.count * curve.step_s;
      if (isThere && !this.kept.has(`${level}/${i}`)) this.wanted.push([level, i]);
    }
    this.request();
    return parts;
  }

  /**
   * The finest that is there, from a level upwards.
   *
   * @param {number} level
   * @param {number} index
   * @param {number} from_s
   * @param {number} to_s
   * @returns {Part<B> | null}
   */
  part(level, index, from_s, to_s) {
    for (let up = 0; level + up <= topLevel(this.curve); up++) {
      const [l, i] = [level + up, index >> up];
      const bins = this.use(`${l}/${i}`);
      if (!bins) {
        if (!up) this.wanted.push([l, i]);
        continue;
      }
      const start_s = i * this.pieceLength(l);
      return { bins, start_s, bin_s: this.curve.step_s * 2 ** l, from_s, to_s };
    }
    return null;
  }

  /** @param {string} key */
  use(key) {
    const bins = this.kept.get(key);
    if (bins) {
      this.kept.delete(key);
      this.kept.set(key, bins);
    }
    return bins;
  }

  request() {
    for (const [level, index] of this.wanted) {
      const key = `${level}/${index}`;
      if (this.coming.size >= AT_ONCE) return;
      if (this.coming.has(key) || this.kept.has(key)) continue;
      this.coming.add(key);
      this.fetch(level, index).then((bins) => {
        this.coming.delete(key);
        this.kept.set(key, bins);
        for (const old of this.kept.keys()) {
          if (this.kept.size <= this.most) break;
          this.kept.delete(old);
        }
        this.onArrival();
      });
    }
  }
}

/**
 * The extremes and the mean in each column of a stretch; NaN where nothing is known.
 *
 * @param {Part[]} parts
 * @param {number} from
 * @param {number} to
 * @param {number} columns
 * @returns {Bins}
 */
export function columnsOf(parts, from, to, columns) {
  const [low, high, mean] = [0, 1, 2].map(() => new Float32Array(columns).fill(NaN));
  const column_s = (to - from) / columns;
  for (const { bins, start_s, bin_s, from_s, to_s } of parts) {
    const first = Math.max(0, Math.round((from_s - from) / column_s));
    const past = Math.min(columns, Math.round((to_s - from) / column_s));
    for (let c = first; c < past; c++) {
      const at = (from + c * column_s - start_s) / bin_s;
      const begin = Math.min(Math.max(0, Math.floor(at + 1e-6)), bins.low.length - 1);
      const end = Math.min(Math.max(begin + 1, Math.floor(at + column_s / bin_s)), bins.low.length);
      let [least, most, sum] = [Infinity, -Infinity, 0];
      for (let i = begin; i < end; i++) {
        least = Math.min(least, bins.low[i]);
        most = Math.max(most, bins.high[i]);
        sum += bins.mean[i];
      }
      if (end <= begin) continue;
      low[c] = least;
      high[c] = most;
      mean[c] = sum / (end - begin);
    }
  }
  return { low, high, mean };
}

/**
 * The loudest sample of a curve; 1 until it is known.
 *
 * @param {Pieces} pieces
 */
export function peakOf(pieces) {
  const bins = pieces.kept.get(`${topLevel(pieces.curve)}/0`);
  if (!bins) return 1;
  let most = 1e-4;
  for (let i = 0; i < bins.low.length; i++) most = Math.max(most, -bins.low[i], bins.high[i]);
  return most;
}
