// The threshold on the meter, which a finger, a mouse or the keyboard moves.

import { EDGE_PX, moved, partOf, stepOf, valueAt, write } from "./scale.js";

/** @typedef {import("./scale.js").Judging} Judging */

/** Time after the last move until the server's threshold is shown again, in ms. */
const SETTLED_MS = 700;

/** @type {Record<string, number>} How many steps a key moves the threshold. */
const STEPS = { ArrowUp: 1, ArrowRight: 1, ArrowDown: -1, ArrowLeft: -1, PageUp: 10, PageDown: -10 };

/**
 * Make an element with role "slider" the threshold of the meter below it.
 *
 * @param {HTMLElement} element
 * @param {(name: string, value: number) => void} change a setting
 */
export function createThreshold(element, change) {
  const meter = /** @type {HTMLElement} */ (element.parentElement);
  const shown = /** @type {HTMLElement} */ (element.querySelector("output"));
  meter.style.setProperty("--edge-px", String(EDGE_PX));
  /** @type {?Judging} */
  let judging = null;
  /** @type {?number} */
  let now = null; // the threshold in use
  /** @type {?{judging: Judging, from: number, to: number}} */
  let held = null; // what is being moved
  let grabbed = 0; // from the pointer to the threshold, in px
  let settling = 0; // a timer

  /** @param {number} to */
  function move(to) {
    if (!judging || now === null) return;
    held ??= { judging, from: now, to };
    const made = moved(held.judging, held.from, to);
    if (!made) return;
    held.to = made.threshold;
    show();
    change(made.name, made.value);
  }

  function release() {
    clearTimeout(settling);
    settling = window.setTimeout(() => {
      held = null;
      show();
    }, SETTLED_MS);
  }

  function show() {
    const at = held?.to ?? now;
    const canMove = judging && at !== null && moved(judging, at, at) !== null;
    element.hidden = !canMove;
    if (!judging || at === null) return;
    const { scale } = judging;
    const text = write(scale, at);
    element.style.setProperty("--at", String(partOf(scale, at)));
    if (shown.textContent === text) return;
    shown.textContent = text;
    element.setAttribute("aria-valuemin", String(scale.low));
    element.setAttribute("aria-valuemax", String(scale.high));
    element.setAttribute("aria-valuenow", String(Math.round(at * 100) / 100));
    element.setAttribute("aria-valuetext", text);
  }

  /** Height of the threshold on the page. */
  function middle() {
    const { top, height } = element.getBoundingClientRect();
    return top + height / 2;
  }

  element.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    clearTimeout(settling);
    held = null;
    grabbed = middle() - event.clientY;
    element.setPointerCapture(event.pointerId);
    element.focus({ preventScroll: true });
    event.preventDefault();
  });
  element.addEventListener("pointermove", (event) => {
    if (!judging || !element.hasPointerCapture(event.pointerId)) return;
    const { bottom, height } = meter.getBoundingClientRect();
    const part = (bottom - EDGE_PX - event.clientY - grabbed) / (height - 2 * EDGE_PX);
    move(valueAt(judging.scale, part));
  });
  element.addEventListener("lostpointercapture", release);
  element.addEventListener("keydown", (event) => {
    const at = held?.to ?? now;
    if (!judging || at === null || event.ctrlKey || event.metaKey || event.altKey) return;
    const { scale } = judging;
    const ends = /** @type {Record<string, number>} */ ({ Home: scale.low, End: scale.high });
    const to = ends[event.key] ?? at + (STEPS[event.key] ?? NaN) * stepOf(scale);
    if (Number.isNaN(to)) return;
    event.preventDefault();
    move(to);
    release();
  });

  return {
    /** @param {?Judging} made null while nobody may move it */
    judge(made) {
      judging = made;
      show();
    },
    /** @param {?number} threshold in use, null while it isn't known */
    set(threshold) {
      if (threshold === now) return;
      now = threshold;
      if (!held) show();
    },
  };
}
