// A short message about what was done, which may be undone.

const SHOWN_MS = 4000; // a message that offers no undo

/**
 * @typedef {object} Toast
 * @property {(text: string, undo?: ?() => void) => void} say
 * @property {() => boolean} undo what the message offers to undo; false if it offers nothing
 * @property {() => void} forget the message and its undo
 */

/**
 * Fill the element that shows one message at a time.
 *
 * @param {HTMLElement} root
 * @returns {Toast}
 */
export function createToast(root) {
  const $ = (/** @type {string} */ selector) => /** @type {any} */ (root.querySelector(selector));
  /** @type {?() => void} */
  let undoing = null;
  let timer = 0;

  function hide() {
    root.hidden = true;
  }

  /** @type {Toast["say"]} */
  function say(text, undo = null) {
    root.hidden = false;
    $("span").textContent = text;
    $(".undo").hidden = !undo;
    undoing = undo;
    clearTimeout(timer);
    if (!undo) timer = window.setTimeout(hide, SHOWN_MS);
  }

  function undo() {
    if (!undoing) return false;
    undoing();
    return true;
  }

  function forget() {
    hide();
    undoing = null;
  }

  $(".undo").addEventListener("click", undo);
  $(".close").addEventListener("click", hide);
  return { say, undo, forget };
}
