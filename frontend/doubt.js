// Which words of a line the engine doubts. No DOM.

/** @typedef {[from: number, to: number]} Range of characters in a text */

/** Confidence below which a word is marked: see docs/measurements.md. */
const MARK_BELOW = 0.6;

/**
 * The words of a text that the engine doubts; none if it was not asked for words.
 *
 * @param {string} text
 * @param {{words?: {text: string, confidence: number}[]}[]} segments of it
 */
export function doubtsIn(text, segments) {
  /** @type {Range[]} */
  const found = [];
  let end = 0;
  for (const word of segments.flatMap(({ words }) => words ?? [])) {
    const at = text.indexOf(word.text, end);
    if (at < 0) continue;
    end = at + word.text.length;
    if (word.confidence < MARK_BELOW) found.push([at, end]);
  }
  return found;
}

/**
 * The doubts that are left once a person has changed a text: those in what stands as it stood.
 *
 * @param {Range[]} doubts
 * @param {string} before
 * @param {string} after
 */
export function doubtsLeft(doubts, before, after) {
  const most = Math.min(before.length, after.length);
  let head = 0;
  while (head < most && before[head] === after[head]) head++;
  let tail = 0;
  while (tail < most - head && before.at(-1 - tail) === after.at(-1 - tail)) tail++;
  const shift = after.length - before.length;
  const isGap = (/** @type {number} */ at) => !/\S/.test(after[at] ?? "");
  /** @type {Range[]} */
  const left = [];
  for (const [from, to] of doubts) {
    if (to <= head && isGap(to)) left.push([from, to]);
    else if (from >= before.length - tail && isGap(from + shift - 1)) {
      left.push([from + shift, to + shift]);
    }
  }
  return left;
}

/**
 * Cut a text where a doubt or a match of the search begins or ends.
 *
 * @param {string} text
 * @param {Range[]} doubts
 * @param {Range[]} hits
 */
export function cutAt(text, doubts, hits) {
  const cuts = [...new Set([0, text.length, ...doubts.flat(), ...hits.flat()])];
  cuts.sort((a, b) => a - b);
  const isIn = (/** @type {Range[]} */ ranges, /** @type {number} */ at) => {
    return ranges.some(([from, to]) => from <= at && at < to);
  };
  return cuts.slice(1).map((to, i) => {
    const from = cuts[i];
    return { text: text.slice(from, to), isDoubt: isIn(doubts, from), isHit: isIn(hits, from) };
  });
}
