// Drawing on the labeler's canvases.

import { clock, columns, levelY, step } from "./viewport.js";

/**
 * @typedef {CanvasRenderingContext2D} Pen
 * @typedef {(time: number) => number} Place of a time, from the left
 * @typedef {(name: string) => string} Color of the theme, by name
 *
 * @typedef {object} Box a part of a canvas, in CSS pixels
 * @property {Place} x
 * @property {number} top
 * @property {number} width
 * @property {number} height
 *
 * @typedef {object} Picture the columns of a stretch: its waveform and its level
 * @property {Int16Array} low the lowest sample of each column of the waveform
 * @property {Int16Array} high the highest
 * @property {import("./turns.js").Span} wave_s
 * @property {Float32Array} levels in dBFS, one for each column of the level
 * @property {import("./turns.js").Span} level_s
 *
 * @typedef {import("./viewport.js").Stretch & Picture} Tile
 */

/**
 * A canvas as sharp as the screen, cleared, and its pen.
 *
 * @param {HTMLCanvasElement} canvas
 */
export function fitted(canvas) {
  const [width, height] = [canvas.clientWidth, canvas.clientHeight];
  const [across, down] = [width, height].map((px) => Math.round(px * devicePixelRatio));
  if (canvas.width !== across || canvas.height !== down) {
    [canvas.width, canvas.height] = [across, down];
  }
  const pen = /** @type {Pen} */ (canvas.getContext("2d"));
  pen.setTransform(devicePixelRatio, 0, 0, devicePixelRatio, 0, 0);
  pen.clearRect(0, 0, width, height);
  return { pen, width, height };
}

/**
 * @param {Pen} pen
 * @param {Tile} tile
 * @param {number} peak the sample that reaches the edge of the box
 * @param {Box} box
 * @param {string} color
 */
export function paintWave(pen, tile, peak, box, color) {
  const { at, first, past } = columns(tile.low.length, tile.wave_s, box);
  const middle = box.top + box.height / 2;
  const y = (/** @type {number} */ sample) => middle - (sample / peak) * (box.height / 2 - 1);
  pen.beginPath();
  for (let i = first; i < past; i++) pen.lineTo(at(i + 0.5), y(tile.high[i]) - 0.4);
  for (let i = past - 1; i >= first; i--) pen.lineTo(at(i + 0.5), y(tile.low[i]) + 0.4);
  pen.closePath();
  pen.fillStyle = color;
  pen.fill();
}

/**
 * @param {Pen} pen
 * @param {Tile} tile
 * @param {Box} box
 * @param {string} color
 */
export function paintLevel(pen, tile, box, color) {
  const { at, first, past } = columns(tile.levels.length, tile.level_s, box);
  pen.beginPath();
  for (let i = first; i < past; i++) {
    pen.lineTo(at(i), levelY(tile.levels[i], box));
    pen.lineTo(at(i + 1), levelY(tile.levels[i], box));
  }
  pen.strokeStyle = color;
  pen.lineWidth = 1.2;
  pen.setLineDash([]);
  pen.stroke();
}

/**
 * The axis of time and the lines of levels.
 *
 * @param {Pen} pen
 * @param {{from: number, to: number, x: Place, width: number, floor: number, level: Box}} place
 *   `floor` is where the axis of time stands, from the top
 * @param {Color} color
 */
export function paintAxes(pen, { from, to, x, width, floor, level }, color) {
  const size = step(to - from, width / 90);
  pen.fillStyle = pen.strokeStyle = color("grid");
  pen.lineWidth = 1;
  pen.setLineDash([]);
  for (let time = Math.ceil(from / size) * size; time <= to; time += size) {
    pen.fillStyle = color("grid");
    pen.fillRect(x(time), 0, 1, floor);
    pen.fillStyle = color("faint");
    if (x(time) < width - 40) pen.fillText(clock(time, size), x(time) + 3, floor + 13);
  }
  for (const decibels of [-20, -40, -60]) {
    const y = levelY(decibels, level);
    pen.fillStyle = color("grid");
    pen.fillRect(0, y, width, 1);
    pen.fillStyle = color("faint");
    pen.fillText(`${decibels}${decibels === -20 ? " dBFS" : ""}`.replace("-", "−"), 3, y - 2);
  }
}

/**
 * @param {Pen} pen
 * @param {import("./turns.js").Turn} turn
 * @param {boolean} chosen
 * @param {Place} x
 * @param {number} floor of the turn, from the top
 * @param {Color} color
 */
export function paintTurn(pen, turn, chosen, x, floor, color) {
  const [left, right] = [x(turn[0]), x(turn[1])];
  const width = Math.max(1, right - left);
  pen.fillStyle = color(chosen ? "chosen" : "speech");
  pen.globalAlpha = chosen ? 0.3 : 0.22;
  pen.fillRect(left, 0, width, floor);
  pen.globalAlpha = 1;
  for (const edge of [left, right]) pen.fillRect(edge - 0.75, 0, 1.5, floor);
  const words = [turn[2], turn[3]].filter(Boolean).join(": ");
  if (!words || width < 24) return;
  pen.save();
  pen.beginPath();
  pen.rect(left, 0, width - 3, floor);
  pen.clip();
  pen.fillStyle = color("ink");
  pen.fillText(words, left + 4, 12);
  pen.restore();
}

/**
 * A vertical line.
 *
 * @param {Pen} pen
 * @param {number} x
 * @param {number} floor its lower end, from the top
 * @param {string} color
 * @param {number[]} dash
 */
export function paintLine(pen, x, floor, color, dash) {
  pen.beginPath();
  pen.setLineDash(dash);
  pen.moveTo(x, 0);
  pen.lineTo(x, floor);
  pen.strokeStyle = color;
  pen.lineWidth = 1.5;
  pen.stroke();
}
