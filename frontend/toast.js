// A short message about an action, which it may offer to undo.

/** Time that a message without undo is shown, in ms. */
const SHOWN_MS = 4000;

/**
 * @typedef {object} Toast
 * @property {(text: string, undo?: ?() => void) => void} say
 * @property {() => boolean} undo undoes the action; false if the message offers no undo
 * @property {() => void} forget hides the message, and drops its undo
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
