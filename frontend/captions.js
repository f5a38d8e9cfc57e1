// Large captions: the last lines alone, for a screen in a room.

import { keepAwake } from "./capture.js";
import { setText } from "./dom.js";

/** Lines that are kept; as many of the last are seen as fit on the screen. */
const LINES = 12;

/** The last lines of what is heard: finals, then partials. No DOM. */
export class LastLines {
  constructor() {
    /** @type {{key: unknown, text: string, final: boolean}[]} */
    this.lines = [];
  }

  /** @param {unknown} key @param {string} text */
  partial(key, text) {
    const line = this.lines.find((one) => one.key === key);
    if (!line) this.lines.push({ key, text, final: false });
    else if (!line.final) line.text = text;
    this.lines = this.lines.slice(-LINES);
  }

  /**
   * @param {unknown} key of the utterance, whose partial it replaces
   * @param {string} text
   */
  final(key, text) {
    this.drop(key);
    const partials = this.lines.filter((line) => !line.final);
    const finals = this.lines.filter((line) => line.final);
    this.lines = [...finals, { key, text, final: true }, ...partials].slice(-LINES);
  }

  /** @param {unknown} key of a partial that becomes no text */
  drop(key) {
    this.lines = this.lines.filter((line) => line.final || line.key !== key);
  }

  dropPartials() {
    this.lines = this.lines.filter((line) => line.final);
    for (const line of this.lines) line.key = null; // utterances may be counted from 0 again
  }
}

/**
 * Fill the dialog of captions.
 *
 * @param {HTMLDialogElement} dialog
 */
export function createCaptions(dialog) {
  const list = /** @type {HTMLElement} */ (dialog.querySelector("ol"));
  const state = /** @type {HTMLElement} */ (dialog.querySelector(".state"));
  const last = new LastLines();
  /** @type {any} */
  let awake; // a WakeLockSentinel

  function show() {
    if (!dialog.open) return;
    list.replaceChildren(
      ...last.lines.map(({ text, final }) => {
        const line = document.createElement("li");
        line.textContent = text;
        line.dir = "auto";
        line.classList.toggle("changing", !final);
        return line;
      }),
    );
  }

  async function open() {
    if (dialog.open) return;
    dialog.showModal();
    show();
    document.documentElement.requestFullscreen?.().catch(() => undefined); // some may not, as phones
    awake = await keepAwake();
    if (!dialog.open) awake?.release();
  }

  dialog.addEventListener("close", () => {
    awake?.release();
    if (document.fullscreenElement) document.exitFullscreen();
  });
  // Out of the full screen, Escape does not reach the page.
  document.addEventListener("fullscreenchange", () => document.fullscreenElement ?? dialog.close());

  return {
    open,
    /** @param {import("./status.js").Words} words */
    setStatus({ tone, text }) {
      state.dataset.tone = tone;
      state.hidden = tone !== "bad" && tone !== "off";
      setText(state, text);
    },
    /** @param {(last: LastLines) => void} change */
    update(change) {
      change(last);
      show();
    },
  };
}
