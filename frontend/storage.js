// What a browser keeps for a page.

const NONE = {
  getItem: () => null,
  setItem() {
    throw new Error("this browser keeps nothing for this page");
  },
  removeItem() {},
};

/** The browser's storage; where it has none for a page, one that takes nothing. */
export function openStorage() {
  try {
    return localStorage ?? NONE;
  } catch {
    return NONE; // cookies are blocked
  }
}
