// The track of a spectrogram: pieces of an image, louder parts darker.

import { chosenOf } from "./arrangement.js";
import { copied } from "./kernel.js";
import { Pieces } from "./pieces.js";
import { paintFigures, paintGrid } from "./tracks.js";

/** Frequency bands in a column, up to TOP_KHZ, as in sttlab/notebook/spectrogram.py. */
export const BANDS = 128;
const TOP_KHZ = 8;

/** The range of the kernel's pieces below the loudest band, as there. */
const RANGE_DB = 80;

/** Seconds from one column to the next, at the finest level. */
const COLUMN_S = 0.01;

const NAME = "spectrogram";
const TOP = { words: "highest frequency", unit: "kHz", values: [TOP_KHZ, 4, 2] };
const RANGE = { words: "range below the loudest", unit: "dB", values: [60, 40, RANGE_DB] };

/** Pieces that are kept: each is an image of a megabyte. */
const KEPT_IMAGES = 24;

/**
 * @typedef {{mask: Uint8Array, columns: number, image?: HTMLCanvasElement, look?: string}} Tile
 */

/**
 * @param {(content: object) => Promise<import("./kernel.js").Answer>} ask
 * @param {number} duration in seconds
 * @param {() => void} onArrival
 * @param {() => import("./arrangement.js").Arrangement} arrangement
 * @returns {import("./tracks.js").Track}
 */
export function spectrogramTrack(ask, duration, onArrival, arrangement) {
  const curve = { name: NAME, count: Math.ceil(duration / COLUMN_S), step_s: COLUMN_S };
  const fetch = async (/** @type {number} */ level, /** @type {number} */ index) => {
    const { buffers } = await ask({ ask: "piece", curve: curve.name, level, index });
    const mask = new Uint8Array(copied(buffers[0]));
    return { mask, columns: mask.length / BANDS };
  };
  const pieces = /** @type {Pieces<Tile>} */ (new Pieces(curve, fetch, onArrival, KEPT_IMAGES));
  return {
    name: NAME,
    height: 110,
    isHidden: true,
    choices: [TOP, RANGE],
    base(view, lane) {
      const { pen, x, width, density, color } = view;
      const count = Math.max(1, Math.round(width * density));
      const [top, range] = [TOP, RANGE].map((choice) => chosenOf(arrangement(), NAME, choice));
      const bands = (BANDS * top) / TOP_KHZ;
      for (const { bins, start_s, bin_s, from_s, to_s } of pieces.cover(view.from, view.to, count)) {
        const image = painted(bins, color("ink"), range);
        const first = Math.max(0, (from_s - start_s) / bin_s);
        const past = Math.min(bins.columns, (to_s - start_s) / bin_s);
        if (past <= first) continue;
        const left = x(start_s + first * bin_s);
        const right = x(start_s + past * bin_s);
        /** @type {[number, number, number, number]} */
        const part = [first, BANDS - bands, past - first, bands];
        pen.drawImage(image, ...part, left, lane.top, right - left, lane.height);
      }
      const scale = { low: 0, high: top, unit: TOP.unit };
      paintGrid(view, lane, scale);
      paintFigures(view, lane, scale);
    },
  };
}

/**
 * The image of a tile in a colour, which is that of the theme.
 *
 * @param {Tile} tile
 * @param {string} ink
 * @param {number} range below the loudest, in dB
 */
function painted(tile, ink, range) {
  const look = `${ink} ${range}`;
  if (tile.image && tile.look === look) return tile.image;
  const image = document.createElement("canvas");
  [image.width, image.height] = [Math.max(1, tile.columns), BANDS];
  const pen = /** @type {CanvasRenderingContext2D} */ (image.getContext("2d"));
  const data = pen.createImageData(image.width, BANDS);
  for (let column = 0; column < tile.columns; column++) {
    for (let band = 0; band < BANDS; band++) {
      const row = BANDS - 1 - band;
      const below = (1 - tile.mask[column * BANDS + band] / 255) * RANGE_DB;
      data.data[4 * (row * image.width + column) + 3] = 255 * (1 - below / range);
    }
  }
  pen.putImageData(data, 0, 0);
  pen.globalCompositeOperation = "source-in";
  pen.fillStyle = ink;
  pen.fillRect(0, 0, image.width, BANDS);
  [tile.image, tile.look] = [image, look];
  return image;
}
