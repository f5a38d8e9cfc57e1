// A canvas as a stretch of time.

import { clock, step } from "./viewport.js";

/**
 * A canvas as sharp as the screen, cleared, and its pen.
 *
 * @param {HTMLCanvasElement} canvas
 */
function cleared(canvas) {
  const [width, height] = [canvas.clientWidth, canvas.clientHeight];
  const [across, down] = [width, height].map((px) => Math.round(px * devicePixelRatio));
  if (canvas.width !== across || canvas.height !== down) {
    [canvas.width, canvas.height] = [across, down];
  }
  const pen = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
  pen.setTransform(devicePixelRatio, 0, 0, devicePixelRatio, 0, 0);
  pen.clearRect(0, 0, width, height);
  return { pen, width };
}

/**
 * A vertical line.
 *
 * @param {CanvasRenderingContext2D} pen
 * @param {number} x
 * @param {import("./tracks.js").Lane} lane
 * @param {string} color
 * @param {number[]} [dash]
 */
export function upright(pen, x, { top, height }, color, dash = []) {
  pen.beginPath();
  pen.setLineDash(dash);
  pen.moveTo(x, top);
  pen.lineTo(x, top + height);
  pen.strokeStyle = color;
  pen.lineWidth = 1.5;
  pen.stroke();
  pen.setLineDash([]);
}

/**
 * A canvas, cleared, to paint a stretch of time on.
 *
 * @param {HTMLCanvasElement} canvas
 * @param {number} from
 * @param {number} to
 * @param {(name: string) => string} color of the theme
 * @returns {import("./tracks.js").View}
 */
export function viewOf(canvas, from, to, color) {
  const { pen, width } = cleared(canvas);
  pen.font = `11px ${color("font")}`;
  const x = (/** @type {number} */ time) => ((time - from) / (to - from)) * width;
  return { pen, from, to, width, density: devicePixelRatio, x, color };
}

/** What changes only with the view, kept as a picture while the view stays. */
export class Layer {
  constructor() {
    this.image = document.createElement("canvas");
    this.key = "";
    this.isKept = false;
  }

  /**
   * Paint it, and keep it from the second time on: while a view moves, keeping it would only cost time.
   *
   * @param {import("./tracks.js").View} view
   * @param {string} key another one once something has changed
   * @param {(view: import("./tracks.js").View) => void} paint
   */
  paint(view, key, paint) {
    const { pen, from, to, width, density } = view;
    const { canvas } = pen;
    const whole = [from, to, width, canvas.width, canvas.height, key].join();
    if (whole !== this.key) {
      this.key = whole;
      this.isKept = false;
      paint(view);
      return;
    }
    if (!this.isKept) {
      [this.image.width, this.image.height] = [canvas.width, canvas.height];
      const own = /** @type {CanvasRenderingContext2D} */ (this.image.getContext("2d"));
      own.setTransform(density, 0, 0, density, 0, 0);
      own.font = pen.font;
      paint({ ...view, pen: own });
      this.isKept = true;
    }
    pen.save();
    pen.setTransform(1, 0, 0, 1, 0, 0);
    pen.drawImage(this.image, 0, 0);
    pen.restore();
  }
}

/**
 * The axis of time, and a line for each of its marks.
 *
 * @param {import("./tracks.js").View} view
 * @param {import("./tracks.js").Lane} area below the axis
 */
export function paintRuler({ pen, from, to, width, x, color }, { top, height }) {
  const size = step(to - from, width / 90);
  for (let i = Math.ceil(from / size - 1e-9); i * size <= to; i++) {
    const left = Math.round(x(i * size));
    pen.fillStyle = color("grid");
    pen.fillRect(left, top - 6, 1, height + 6);
    pen.fillStyle = color("faint");
    if (left < width - 40) pen.fillText(clock(i * size, size), left + 4, 12);
  }
}
