// The whole recording above a timeline, with a window that is dragged.

import { upright, viewOf } from "./canvas.js";

/** Height of the strip below the recording, which shows what is found in it, in pixels. */
const STRIP_PX = 6;

/** @typedef {import("./tracks.js").Lane} Lane */
/** @param {Lane} lane of the overview @returns {Lane} */
export const aboveStrip = ({ height }) => ({ top: 0, height: height - STRIP_PX });
/** @param {Lane} lane of the overview @returns {Lane} */
export const strip = ({ height }) => ({ top: height - STRIP_PX, height: STRIP_PX });

/** Distance within which an edge of the window is dragged, in pixels. */
const WINDOW_EDGE_PX = 6;

/**
 * What a press on the overview drags: an edge of the window, or all of it, which comes to the
 * pointer where it isn't.
 *
 * @param {import("./viewport.js").Viewport} viewport
 * @param {number} time of the press
 * @param {number} edge_s distance from an edge within which it is dragged
 * @returns {(now: number) => [from: number, to: number]} the window that a move leads to
 */
export function windowDrag({ from, to }, time, edge_s) {
  const isSmall = to - from < 4 * edge_s;
  if (!isSmall && Math.abs(from - time) < edge_s) return (now) => [Math.min(now, to), to];
  if (!isSmall && Math.abs(to - time) < edge_s) return (now) => [from, Math.max(now, from)];
  const span = to - from;
  const held = from <= time && time <= to ? time - from : span / 2;
  return (now) => [now - held, now - held + span];
}

/**
 * Listen to the pointer on an overview.
 *
 * @param {HTMLCanvasElement} canvas
 * @param {import("./viewport.js").Viewport} viewport
 * @param {(from: number, to: number) => void} setView
 */
export function listenToOverview(canvas, viewport, setView) {
  const seconds = (/** @type {number} */ x) =>
    (x / canvas.clientWidth) * (viewport.duration - viewport.begin);
  const timeOf = (/** @type {number} */ x) => viewport.begin + seconds(x);
  /** @type {?ReturnType<typeof windowDrag>} */
  let drag = null;
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    const time = timeOf(event.offsetX);
    drag = windowDrag(viewport, time, seconds(WINDOW_EDGE_PX));
    setView(...drag(time));
  });
  canvas.addEventListener("pointermove", (event) => {
    if (event.buttons && drag) setView(...drag(timeOf(event.offsetX)));
  });
}

/**
 * @param {HTMLCanvasElement} canvas
 * @param {import("./viewport.js").Viewport} viewport
 * @param {(name: string) => string} color
 * @param {(view: import("./tracks.js").View, lane: import("./tracks.js").Lane) => void} paint
 *   the recording
 * @param {?number} played
 */
export function paintOverview(canvas, viewport, color, paint, played) {
  const { from, to, begin, duration } = viewport;
  const view = viewOf(canvas, begin, duration || 1, color);
  const { pen, x, width } = view;
  const height = canvas.clientHeight;
  paint(view, { top: 0, height });
  pen.fillStyle = color("dim");
  pen.fillRect(0, 0, x(from), height);
  pen.fillRect(x(to), 0, width - x(to), height);
  pen.strokeStyle = color("ink");
  pen.lineWidth = 1.5;
  pen.strokeRect(x(from) + 0.75, 0.75, Math.max(x(to) - x(from) - 1.5, 1), height - 1.5);
  if (played !== null) upright(pen, x(played), { top: 0, height }, color("play"));
}
