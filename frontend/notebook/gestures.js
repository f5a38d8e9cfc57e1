// Wheel, drag and pinch on a timeline. No drawing.

/** Longest distance that a pointer moves in a click, in pixels; beyond it is a drag. */
const CLICK_PX = 4;

/** A wheel that has turned elsewhere so shortly before scrolls the page on, in ms. */
const SAME_TURN_MS = 400;

/**
 * @typedef {object} Point in the canvas, in CSS pixels
 * @property {number} x
 * @property {number} y
 * @property {string} type "mouse", "touch" or "pen"
 * @property {boolean} shift
 *
 * @typedef {object} Drag what a press has begun
 * @property {(point: Point) => void} move once the pointer has left the place of a click
 * @property {(point: Point, moved: boolean) => void} drop
 * @property {() => void} [cancel]
 */

/**
 * Whose a turn of the wheel is. One that begins on the page and comes over the picture by
 * scrolling stays the page's, so that nobody is caught in a picture; one that begins over the
 * picture is the picture's, without a click.
 */
export class WheelTurn {
  constructor() {
    this.elsewhere = -Infinity;
    this.here = -Infinity;
  }

  /** @param {number} time of a turn outside the picture, in ms */
  outside(time) {
    this.elsewhere = time;
  }

  /**
   * Whether a turn over the picture is the picture's.
   *
   * @param {number} time in ms
   * @param {boolean} hasEffect whether the picture would change
   */
  isHere(time, hasEffect) {
    const goesOn = time - this.here < SAME_TURN_MS;
    if (time - this.elsewhere < SAME_TURN_MS || !(hasEffect || goesOn)) {
      this.elsewhere = time;
      return false;
    }
    this.here = time;
    return true;
  }
}

/**
 * The zoom and the place of two fingers, from one moment to the next.
 *
 * @param {{x: number}[]} before both fingers
 * @param {{x: number}[]} after
 * @returns {{factor: number, from: number, to: number}} the stretch in view grows by `factor`, and
 *   what was at `from` comes to `to`, in pixels
 */
export function pinched(before, after) {
  const middle = (/** @type {{x: number}[]} */ [a, b]) => (a.x + b.x) / 2;
  const distance = (/** @type {{x: number}[]} */ [a, b]) => Math.max(20, Math.abs(a.x - b.x));
  return { factor: distance(before) / distance(after), from: middle(before), to: middle(after) };
}

/**
 * Listens to the pointers of a canvas: one begins a drag, two zoom.
 *
 * @param {HTMLCanvasElement} canvas
 * @param {(point: Point) => Drag} press
 * @param {(fingers: ReturnType<typeof pinched>) => void} pinch
 */
export function listenToPointers(canvas, press, pinch) {
  /** @type {Map<number, Point>} */
  const down = new Map();
  /** @type {?{id: number, at: Point, drag: Drag, moved: boolean}} */
  let held = null;
  const point = (/** @type {PointerEvent} */ event) => ({
    x: event.offsetX,
    y: event.offsetY,
    type: event.pointerType,
    shift: event.shiftKey,
  });
  canvas.addEventListener("pointerdown", (event) => {
    if (event.button || down.size > 1) return;
    canvas.focus({ preventScroll: true });
    canvas.setPointerCapture(event.pointerId);
    const at = point(event);
    down.set(event.pointerId, at);
    if (down.size === 1) held = { id: event.pointerId, at, drag: press(at), moved: false };
    else {
      held?.drag.cancel?.();
      held = null;
    }
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!down.has(event.pointerId)) return;
    const now = point(event);
    if (down.size === 2) {
      const before = [...down.values()];
      down.set(event.pointerId, now);
      pinch(pinched(before, [...down.values()]));
    } else if (held) {
      held.moved ||= Math.hypot(now.x - held.at.x, now.y - held.at.y) > CLICK_PX;
      if (held.moved) held.drag.move(now);
    }
    down.set(event.pointerId, now);
  });
  const lift = (/** @type {PointerEvent} */ event) => {
    if (!down.delete(event.pointerId) || held?.id !== event.pointerId) return;
    const { drag, moved } = held;
    held = null;
    if (event.type === "pointerup") drag.drop(point(event), moved);
    else drag.cancel?.();
  };
  canvas.addEventListener("pointerup", lift);
  canvas.addEventListener("pointercancel", lift);
}
