// The settings of this page alone, kept in this browser.

import { byId } from "./dom.js";

const DEFAULTS = { times: "clock", theme: "system", held: false, sure: false };

/**
 * @typedef {object} Preferences
 * @property {"clock" | "stream" | "none"} times
 * @property {"system" | "light" | "dark"} theme
 * @property {boolean} held whether suppressed text is shown
 * @property {boolean} sure whether the confidence in each line is shown
 */

/**
 * Fill the controls.
 *
 * @param {import("./storage.js").Settings} storage
 * @param {string} key
 * @param {(name: string) => void} onChange
 * @returns {Readonly<Preferences>} which change as a person changes the controls
 */
export function createPreferences(storage, key, onChange) {
  const values = { ...DEFAULTS, ...load(storage, key) };

  function apply() {
    document.documentElement.dataset.theme = values.theme;
    document.documentElement.dataset.times = values.times;
    document.documentElement.dataset.sure = String(values.sure);
  }

  for (const name of /** @type {(keyof typeof DEFAULTS)[]} */ (Object.keys(DEFAULTS))) {
    const control = byId(name);
    const property = control.type === "checkbox" ? "checked" : "value";
    control[property] = values[name];
    control.addEventListener("change", () => {
      Object.assign(values, { [name]: control[property] });
      apply();
      save(storage, key, values);
      onChange(name);
    });
  }
  apply();
  return /** @type {Preferences} */ (values);
}

/**
 * @param {import("./storage.js").Settings} storage
 * @param {string} key
 */
function load(storage, key) {
  try {
    return JSON.parse(storage.getItem(key) ?? "null");
  } catch {
    return null; // a person or another program wrote there
  }
}

/**
 * @param {import("./storage.js").Settings} storage
 * @param {string} key
 * @param {object} values
 */
function save(storage, key, values) {
  try {
    storage.setItem(key, JSON.stringify(values));
  } catch {
    // the storage is full: a reload loses the change
  }
}
