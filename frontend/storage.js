// The storage that a browser keeps for a page.

/** @type {import("./transcript.js").Store} */
const NONE = {
  getItem: () => null,
  setItem() {
    throw new Error("this browser keeps nothing for this page");
  },
  removeItem() {},
};

/** The browser's storage; an empty one that takes nothing where a page may not use it. */
export function openStorage() {
  try {
    return localStorage ?? NONE;
  } catch {
    return NONE; // cookies are blocked
  }
}
