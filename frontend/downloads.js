// Copying and downloading the transcript that is shown.

import { byId } from "./dom.js";
import { FORMATS } from "./exports.js";
import { timeline } from "./transcript.js";

/**
 * Copy a text to the clipboard.
 *
 * @param {string} text
 */
export async function copyText(text) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    copyBySelection(text); // a page over plain http has no clipboard
  }
}

/**
 * Have the browser save a text as a file.
 *
 * @param {string} name
 * @param {string} text
 * @param {string} type
 */
export function download(name, text, type) {
  const link = document.createElement("a");
  link.download = name;
  link.href = URL.createObjectURL(new Blob([text], { type: `${type};charset=utf-8` }));
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

/** @param {string} text */
function copyBySelection(text) {
  const area = document.createElement("textarea");
  const before = /** @type {?HTMLElement} */ (document.activeElement);
  area.value = text;
  area.className = "unseen";
  document.body.append(area);
  area.select();
  document.execCommand("copy");
  area.remove();
  before?.focus();
}

/**
 * Make the buttons copy and download the transcript that is shown.
 *
 * @param {() => {entries: import("./transcript.js").Entry[], recording: ?{name: string,
 *   duration_s: ?number}}} shown
 * @param {(text: string) => void} onCopy
 */
export function createDownloads(shown, onCopy) {
  /**
   * The transcript in a format. Text has the lines of the page; subtitles are better short, as the
   * segments of the engine are.
   *
   * @param {string} format
   */
  function contents(format) {
    const { entries, recording } = shown();
    const about = recording ? { file: recording.name, duration_s: recording.duration_s } : {};
    return FORMATS[format].write(format === "txt" ? entries : timeline(entries), about);
  }

  /** @param {string} format */
  function downloadAs(format) {
    const { recording } = shown();
    const name = recording ? recording.name.replace(/\.\w+$/, "") : `transcript-${nowInName()}`;
    download(`${name}.${format}`, contents(format), FORMATS[format].type);
  }

  byId("copy").addEventListener("click", () => onCopy(contents("txt")));
  createMenu(byId("download"), byId("formats"), downloadAs);
}

function nowInName() {
  const now = new Date();
  const two = (/** @type {number} */ number) => String(number).padStart(2, "0");
  const day = [now.getFullYear(), two(now.getMonth() + 1), two(now.getDate())].join("-");
  return `${day}-${two(now.getHours())}${two(now.getMinutes())}`;
}

/**
 * @param {HTMLElement} button
 * @param {HTMLElement} menu its buttons have formats as data
 * @param {(format: string) => void} onChoose
 */
function createMenu(button, menu, onChoose) {
  const choices = [...menu.querySelectorAll("button")];

  /** @param {boolean} isOpen */
  function open(isOpen) {
    menu.hidden = !isOpen;
    button.setAttribute("aria-expanded", String(isOpen));
    if (isOpen) choices[0].focus();
  }

  function close() {
    open(false);
    button.focus();
  }

  /** @param {Event} event */
  function closeOutside({ target }) {
    if (!menu.hidden && !(/** @type {Element} */ (target).closest(".menu"))) open(false);
  }

  button.addEventListener("click", () => open(menu.hidden));
  for (const choice of choices) {
    choice.addEventListener("click", () => {
      onChoose(choice.dataset.format ?? "");
      close();
    });
  }
  menu.addEventListener("keydown", (event) => {
    const place = choices.findIndex((choice) => choice === document.activeElement);
    const step = { ArrowDown: 1, ArrowUp: choices.length - 1 }[event.key];
    if (step) choices[(place + step) % choices.length].focus();
    else if (event.key === "Escape") close();
    else return;
    event.preventDefault();
  });
  document.addEventListener("focusin", closeOutside);
  document.addEventListener("pointerdown", closeOutside);
}
