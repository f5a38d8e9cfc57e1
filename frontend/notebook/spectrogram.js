// The track of a spectrogram: pieces of an image, louder parts darker.

import { Pieces } from "./pieces.js";
import { copied } from "./kernel.js";

/** Frequency bands in a column, as in sttlab/notebook/spectrogram.py. */
export const BANDS = 128;

/** Seconds from one column to the next, at the finest level. */
const COLUMN_S = 0.01;

/** The highest frequency, and those at which there are lines, in kHz. */
const TOP_KHZ = 8;
const LINES_KHZ = [1, 2, 4, 6];

/** Pieces that are kept: each is an image of a megabyte. */
const KEPT_IMAGES = 24;

/**
 * @typedef {{mask: Uint8Array, columns: number, image?: HTMLCanvasElement, ink?: string}} Tile
 */

/**
 * @param {(content: object) => Promise<import("./kernel.js").Answer>} ask
 * @param {number} duration in seconds
 * @param {() => void} onArrival
 * @returns {import("./tracks.js").Track}
 */
export function spectrogramTrack(ask, duration, onArrival) {
  const curve = { name: "spectrogram", count: Math.ceil(duration / COLUMN_S), step_s: COLUMN_S };
  const fetch = async (/** @type {number} */ level, /** @type {number} */ index) => {
    const { buffers } = await ask({ ask: "piece", curve: curve.name, level, index });
    const mask = new Uint8Array(copied(buffers[0]));
    return { mask, columns: mask.length / BANDS };
  };
  const pieces = /** @type {Pieces<Tile>} */ (new Pieces(curve, fetch, onArrival, KEPT_IMAGES));
  return {
    name: "spectrogram",
    height: 110,
    isHidden: true,
    paint(view, lane) {
      const { pen, x, width, density, color } = view;
      const count = Math.max(1, Math.round(width * density));
      const ink = color("ink");
      for (const { bins, start_s, bin_s, from_s, to_s } of pieces.cover(view.from, view.to, count)) {
        const image = painted(bins, ink);
        const first = Math.max(0, (from_s - start_s) / bin_s);
        const past = Math.min(bins.columns, (to_s - start_s) / bin_s);
        if (past <= first) continue;
        const left = x(start_s + first * bin_s);
        const right = x(start_s + past * bin_s);
        pen.drawImage(image, first, 0, past - first, BANDS, left, lane.top, right - left, lane.height);
      }
      for (const khz of LINES_KHZ) {
        const y = lane.top + lane.height * (1 - khz / TOP_KHZ);
        pen.fillStyle = color("grid");
        pen.fillRect(0, Math.round(y), width, 1);
        pen.fillStyle = color("faint");
        pen.fillText(khz === LINES_KHZ[LINES_KHZ.length - 1] ? `${khz} kHz` : `${khz}`, 3, y - 2);
      }
    },
  };
}

/**
 * The image of a tile in a colour, which is that of the theme.
 *
 * @param {Tile} tile
 * @param {string} ink
 */
function painted(tile, ink) {
  if (tile.image && tile.ink === ink) return tile.image;
  const image = document.createElement("canvas");
  [image.width, image.height] = [Math.max(1, tile.columns), BANDS];
  const pen = /** @type {CanvasRenderingContext2D} */ (image.getContext("2d"));
  const data = pen.createImageData(image.width, BANDS);
  for (let column = 0; column < tile.columns; column++) {
    for (let band = 0; band < BANDS; band++) {
      const row = BANDS - 1 - band;
      data.data[4 * (row * image.width + column) + 3] = tile.mask[column * BANDS + band];
    }
  }
  pen.putImageData(data, 0, 0);
  pen.globalCompositeOperation = "source-in";
  pen.fillStyle = ink;
  pen.fillRect(0, 0, image.width, BANDS);
  [tile.image, tile.ink] = [image, ink];
  return image;
}
