// Files that the browser saves of a timeline: audio as WAV, the picture as PNG.

import { copied } from "./kernel.js";
import { SAMPLE_RATE } from "./playback.js";

/** @typedef {import("./timeline.js").Timeline} Timeline */

/** The most audio that the kernel sends at once, in seconds. */
const SENT_S = 30;

const HEADER_BYTES = 44;

export const SAVE_AUDIO = `
<button type="button" data-do="saveAudio"
  title="save what is selected, chosen, or in view, as WAV">WAV</button>`;

/**
 * Save what is selected, what the owner has chosen, or what is in view.
 *
 * @param {Timeline} timeline
 */
export async function saveAudio(timeline) {
  const { el, owner, selection, viewport } = timeline;
  const [start, end] = selection ?? owner.chosen?.() ?? [viewport.from, viewport.to];
  const button = /** @type {HTMLButtonElement} */ (el.querySelector('[data-do="saveAudio"]'));
  button.disabled = true;
  const parts = [];
  for (let at = start; at < end && !timeline.closed; at += SENT_S) {
    button.textContent = `${Math.round((100 * (at - start)) / (end - start))} %`;
    const asked = { ask: "sound", start_s: at, end_s: Math.min(at + SENT_S, end) };
    const { buffers } = await owner.ask(asked);
    parts.push(new Int16Array(copied(buffers[0])));
  }
  button.textContent = "WAV";
  button.disabled = false;
  const name = fileName(owner.model.get("name") ?? "", [start, end], "wav");
  if (!timeline.closed) saveFile(wavOf(parts, SAMPLE_RATE), name);
}

/** @param {Timeline} timeline */
export async function savePicture(timeline) {
  const { map, canvas, owner, viewport } = timeline;
  const picture = await pictureOf([map, canvas], timeline.color("paper"));
  const name = fileName(owner.model.get("name") ?? "", [viewport.from, viewport.to], "png");
  if (picture) saveFile(picture, name);
}

/**
 * Samples as a WAV file.
 *
 * @param {Int16Array[]} parts mono
 * @param {number} rate in Hz
 */
export function wavOf(parts, rate) {
  const bytes = parts.reduce((sum, part) => sum + part.byteLength, 0);
  const head = new DataView(new ArrayBuffer(HEADER_BYTES));
  /** @param {number} at @param {string} text */
  const write = (at, text) => [...text].forEach((c, i) => head.setUint8(at + i, c.charCodeAt(0)));
  write(0, "RIFF");
  head.setUint32(4, HEADER_BYTES - 8 + bytes, true);
  write(8, "WAVEfmt ");
  head.setUint32(16, 16, true);
  head.setUint16(20, 1, true); // PCM
  head.setUint16(22, 1, true); // mono
  head.setUint32(24, rate, true);
  head.setUint32(28, 2 * rate, true);
  head.setUint16(32, 2, true);
  head.setUint16(34, 16, true);
  write(36, "data");
  head.setUint32(40, bytes, true);
  return new Blob([head, .../** @type {BlobPart[]} */ (parts)], { type: "audio/wav" });
}

/**
 * Canvases, one below the other, on paper.
 *
 * @param {HTMLCanvasElement[]} canvases of the same width
 * @param {string} paper its color
 * @returns {Promise<?Blob>}
 */
function pictureOf(canvases, paper) {
  const whole = document.createElement("canvas");
  whole.width = canvases[0].width;
  whole.height = canvases.reduce((sum, canvas) => sum + canvas.height, 0);
  const pen = /** @type {CanvasRenderingContext2D} */ (whole.getContext("2d"));
  pen.fillStyle = paper;
  pen.fillRect(0, 0, whole.width, whole.height);
  let top = 0;
  for (const canvas of canvases) {
    pen.drawImage(canvas, 0, top);
    top += canvas.height;
  }
  return new Promise((done) => whole.toBlob(done, "image/png"));
}

/**
 * The name of a file, of a recording's and of what is in it: "talk 1.05–2.50 s.wav".
 *
 * @param {string} recording its path or title
 * @param {[start_s: number, end_s: number]} stretch
 * @param {string} suffix
 */
export function fileName(recording, [start, end], suffix) {
  const base = recording.split(/[\\/]/).at(-1)?.replace(/\.\w{2,5}$/, "");
  const safe = (base ?? "").replace(/[^\p{L}\p{N}._ -]+/gu, "-") || "recording";
  return `${safe} ${start.toFixed(2)}-${end.toFixed(2)} s.${suffix}`;
}

/** @param {Blob} blob @param {string} name */
function saveFile(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}
