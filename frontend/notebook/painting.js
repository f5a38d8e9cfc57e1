// Drawing on the labeler's canvases. A box is {x, top, width, height}; `x` gives the place of a time.

import { clock, columns, levelY, step } from "./viewport.js";

/** A canvas as sharp as the screen, cleared, and its pen. */
export function fitted(canvas) {
  const [width, height] = [canvas.clientWidth, canvas.clientHeight];
  const [across, down] = [width, height].map((px) => Math.round(px * devicePixelRatio));
  if (canvas.width !== across || canvas.height !== down) {
    [canvas.width, canvas.height] = [across, down];
  }
  const pen = canvas.getContext("2d");
  pen.setTransform(devicePixelRatio, 0, 0, devicePixelRatio, 0, 0);
  pen.clearRect(0, 0, width, height);
  return { pen, width, height };
}

export function paintWave(pen, tile, peak, box, color) {
  const { at, first, past } = columns(tile.low.length, tile.wave_s, box);
  const middle = box.top + box.height / 2;
  const y = (sample) => middle - (sample / peak) * (box.height / 2 - 1);
  pen.beginPath();
  for (let i = first; i < past; i++) pen.lineTo(at(i + 0.5), y(tile.high[i]) - 0.4);
  for (let i = past - 1; i >= first; i--) pen.lineTo(at(i + 0.5), y(tile.low[i]) + 0.4);
  pen.closePath();
  pen.fillStyle = color;
  pen.fill();
}

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

export function paintLine(pen, x, floor, color, dash) {
  pen.beginPath();
  pen.setLineDash(dash);
  pen.moveTo(x, 0);
  pen.lineTo(x, floor);
  pen.strokeStyle = color;
  pen.lineWidth = 1.5;
  pen.stroke();
}
