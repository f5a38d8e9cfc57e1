// Virtualization: which rows of a long list are in the document, and where they lie. No DOM.

/**
 * Tops of rows in px, and the bottom of the last.
 *
 * @param {readonly {height: number}[]} rows `height` in px, NaN before it is known
 * @param {number} likely height in px where it is not known
 */
export function topsOf(rows, likely) {
  const tops = new Float64Array(rows.length + 1);
  rows.forEach(({ height }, i) => {
    tops[i + 1] = tops[i] + (Number.isNaN(height) ? likely : height);
  });
  return tops;
}

/**
 * Range of the rows between two heights: the first, and the one after the last.
 *
 * @param {Float64Array} tops see `topsOf`
 * @param {number} from
 * @param {number} to in px
 * @returns {[number, number]}
 */
export function rangeOf(tops, from, to) {
  const count = tops.length - 1;
  const first = Math.min(Math.max(0, after(tops, from) - 1), count);
  return [first, Math.min(count, Math.max(first, after(tops, to)))];
}

/**
 * How many values are at most `limit`.
 *
 * @param {Float64Array} values in order
 * @param {number} limit
 */
function after(values, limit) {
  let [low, high] = [0, values.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (values[middle] <= limit) low = middle + 1;
    else high = middle;
  }
  return low;
}
