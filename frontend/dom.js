// What several parts of the page do to its elements.

/**
 * The element of an id, which index.html has.
 *
 * @param {string} id
 * @returns {any}
 */
export function byId(id) {
  return document.getElementById(id);
}

/**
 * Write only a change, so that a screen reader doesn't say the same again.
 *
 * @param {HTMLElement} element
 * @param {string} text
 */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}
