// What a browser keeps for a page.

/** @type {import("./transcript.js").Store} */
const NONE = {
  getItem: () => null,
  setItem() {
    throw new Error("this browser keeps nothing for this page");
  },
  removeItem() {},
};

/** The browser's storage; where a page may not use it, one that is empty and takes nothing. */
export function openStorage() {
  try {
    return localStorage ?? NONE;
  } catch {
    return NONE; // cookies are blocked
  }
}
