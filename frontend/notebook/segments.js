// A track of segments with labels, in one row or several: utterances, texts, speakers, settings.

import { firstVisible } from "./tracks.js";

/** Height of a track's name and of one of its rows, in pixels. */
const NAME_PX = 13;
const ROW_PX = 16;

/** Room for the name of a row, before which no label is written, in pixels. */
const INSET_PX = 4;

/**
 * @typedef {object} Segment
 * @property {number} start in seconds
 * @property {number} end
 * @property {string} [label]
 * @property {number} [row] from 0, the uppermost
 *
 * @typedef {object} SegmentLooks
 * @property {string | string[]} color by name, of all rows or of each
 * @property {string[]} [rows] their names
 * @property {boolean} [flows] whether a label may reach to the next segment
 * @property {boolean} [isHidden] until somebody wants to see it
 * @property {() => number} [chosen] the index of the chosen one, or -1
 */

/**
 * Segments of what the kernel sends: each is [start_s, end_s, label, row].
 *
 * @param {[number, number, string?, number?][]} sent
 * @returns {Segment[]}
 */
export const segmentsFrom = (sent) =>
  sent.map(([start, end, label, row]) => ({ start, end, label: label ?? "", row: row ?? 0 }));

/** The colours of rows, by name. */
export const ROW_COLORS = ["row0", "row1", "row2", "row3", "row4"];

/**
 * The tracks of segments that the kernel adds to those of the widget.
 *
 * @param {any} model
 * @returns {import("./tracks.js").Track[]}
 */
export function extraTracks(model) {
  /** @type {Record<string, {rows: string[], segments: [number, number, string?, number?][]}>} */
  const all = model.get("segments") ?? {};
  return Object.entries(all).map(([name, { rows, segments }]) => {
    const known = segmentsFrom(segments);
    return segmentsTrack(name, () => known, { color: ROW_COLORS, rows });
  });
}

/** @type {WeakMap<Segment[], Segment[][]>} */
const grouped = new WeakMap();

/**
 * The segments of each row: within a row they don't overlap, so that those in view are soon found.
 *
 * @param {Segment[]} all in order of time
 * @param {number} count of rows
 * @returns {Segment[][]}
 */
export function byRow(all, count) {
  const known = grouped.get(all);
  if (known?.length === count) return known;
  const rows = Array.from({ length: count }, () => /** @type {Segment[]} */ ([]));
  for (const segment of all) rows[Math.min(segment.row ?? 0, count - 1)].push(segment);
  grouped.set(all, rows);
  return rows;
}

/**
 * The row at a height of a track; -1 above the first, and below the last their number.
 *
 * @param {number} y
 * @param {import("./tracks.js").Lane} lane
 * @param {number} count of rows
 */
export function rowAt(y, { top, height }, count) {
  const row = Math.floor(((y - top - NAME_PX) / (height - NAME_PX)) * count);
  return Math.min(Math.max(row, -1), count);
}

/**
 * @param {string} name
 * @param {() => Segment[]} segments in order of time; another array once they change
 * @param {SegmentLooks} looks
 * @returns {import("./tracks.js").Track}
 */
export function segmentsTrack(name, segments, looks) {
  const names = looks.rows ?? [""];
  const colors = typeof looks.color === "string" ? [looks.color] : looks.color;
  return {
    name,
    height: NAME_PX + names.length * ROW_PX,
    isHidden: looks.isHidden,
    paint(view, lane) {
      const { pen, width, color } = view;
      const all = segments();
      const chosen = all[looks.chosen?.() ?? -1];
      const height = (lane.height - NAME_PX) / names.length;
      byRow(all, names.length).forEach((row, r) => {
        const top = lane.top + NAME_PX + r * height;
        const row_color = color(colors[r % colors.length]);
        paintRow(view, { top, height: height - 2 }, row, { row_color, chosen, flows: looks.flows });
        if (!names[r]) return;
        const left = width - pen.measureText(names[r]).width - 4;
        pen.globalAlpha = 0.8;
        pen.fillStyle = color("paper");
        pen.fillRect(left - 4, top, width - left + 4, height - 2);
        pen.globalAlpha = 1;
        pen.fillStyle = color("ink");
        pen.fillText(names[r], left, top + height - 5);
      });
      pen.fillStyle = color("faint");
      pen.fillText(name, 3, lane.top + NAME_PX - 3);
    },
  };
}

/**
 * @param {import("./tracks.js").View} view
 * @param {import("./tracks.js").Lane} lane
 * @param {Segment[]} row
 * @param {{row_color: string, chosen?: Segment, flows?: boolean}} looks
 */
function paintRow(view, lane, row, { row_color, chosen, flows }) {
  const { pen, x, width } = view;
  for (let i = firstVisible(row, view.from); i < row.length; i++) {
    const { start, end, label } = row[i];
    const left = x(start);
    if (left > width) break;
    const wide = Math.max(x(end) - left - 1, 0.75);
    pen.fillStyle = row[i] === chosen ? view.color("chosen") : row_color;
    pen.fillRect(left, lane.top, wide, lane.height);
    if (!label) continue;
    const room = flows ? x(row[i + 1]?.start ?? Infinity) - left : wide;
    paintLabel(view, { left, width: Math.min(room, width - left), ...lane }, label, Boolean(flows));
  }
}

/**
 * @param {import("./tracks.js").View} view
 * @param {{left: number, top: number, width: number, height: number}} box
 * @param {string} label
 * @param {boolean} isText over a pale bar
 */
function paintLabel({ pen, color }, box, label, isText) {
  const inset = Math.max(box.left, 0) + INSET_PX;
  const room = box.left + box.width - inset - 2;
  if (room < 8) return;
  pen.save();
  pen.beginPath();
  pen.rect(inset, box.top, room, box.height + 2);
  pen.clip();
  pen.fillStyle = color(isText ? "ink" : "onspan");
  pen.fillText(label, inset, box.top + box.height - 3);
  pen.restore();
}
