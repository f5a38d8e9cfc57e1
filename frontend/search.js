// The search of a transcript. No DOM.

/**
 * A pattern that finds a text in any case.
 *
 * @param {string} query
 */
function patternOf(query) {
  return new RegExp(query.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"), "giu");
}

/**
 * Give a function that says whether a text has a match.
 *
 * @param {string} query "" matches all
 * @returns {(text: string) => boolean}
 */
export function matcher(query) {
  if (!query) return () => true;
  const pattern = patternOf(query);
  return (text) => text.search(pattern) >= 0;
}

/**
 * Split a text at the matches of a search: every second part is a match.
 *
 * @param {string} text
 * @param {string} query
 */
export function split(text, query) {
  const parts = [];
  let from = 0;
  for (const { 0: hit, index = 0 } of text.matchAll(patternOf(query))) {
    parts.push(text.slice(from, index), hit);
    from = index + hit.length;
  }
  return [...parts, text.slice(from)];
}
