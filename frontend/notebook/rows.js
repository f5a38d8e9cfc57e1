// The rows of a long list that are in the document.

/** Height of a row, in pixels, as in the style sheets. */
export const LINE_PX = 30;

/** Rows above and below those in view. */
const MARGIN = 5;

/**
 * The rows that are in the document.
 *
 * @param {number} scrolled in pixels
 * @param {number} height of the list
 * @param {number} count of all rows
 */
export function visibleRows(scrolled, height, count) {
  const first = Math.max(0, Math.floor(scrolled / LINE_PX) - MARGIN);
  return { first, past: Math.min(count, Math.ceil((scrolled + height) / LINE_PX) + MARGIN) };
}
