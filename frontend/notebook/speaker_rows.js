// The labeler's track of speakers: a row and a colour for each of them.

import { ROW_COLORS, rowAt, segmentsTrack } from "./segments.js";
import { same } from "./turns.js";

/**
 * @typedef {import("./turns.js").Turn} Turn
 * @typedef {import("./segments.js").Segment} Segment
 */

/** The name of the track. */
const SPEAKERS = "speakers";

const LINE_PX = 14;

/**
 * The speakers of turns, each once; that of turns whose speaker is not known, "", is the last. Those
 * that were there before keep their places, and who is new takes that of one who is gone: then no
 * row moves under the mouse, and somebody who is renamed keeps row and colour.
 *
 * @param {Turn[]} turns
 * @param {string[]} before
 */
export function speakersOf(turns, before) {
  const named = new Set(turns.map((turn) => turn[2]).filter(Boolean));
  const fresh = [...named].filter((name) => !before.includes(name));
  const kept = before.map((name) => (named.has(name) ? name : name && fresh.shift()));
  const isKnown = turns.every((turn) => turn[2]);
  return [...kept.flatMap((name) => name || []), ...fresh, ...(isKnown ? [] : [""])];
}

/**
 * Give a turn, or all turns of its speaker, to a speaker.
 *
 * @param {Turn[]} turns
 * @param {Turn} turn one of them
 * @param {string} name
 * @param {boolean} all
 * @returns {Turn[]}
 */
export function renamed(turns, turn, name, all) {
  const isMeant = (/** @type {Turn} */ each) => (all ? each[2] === turn[2] : each === turn);
  return turns.map((each) => (isMeant(each) ? [each[0], each[1], name, each[3]] : each));
}

/** The speakers of a labeler, in the order of their rows. */
export class SpeakerRows {
  constructor() {
    /** @type {string[]} */
    this.names = [];
    /** @type {Turn[]} */
    this._turns = [];
    /** @type {Segment[]} */
    this._segments = [];
  }

  /**
   * Take the turns as they are now.
   *
   * @param {Turn[]} turns
   * @returns {boolean} whether the rows are others than before
   */
  take(turns) {
    const before = this.names;
    this.names = speakersOf(turns, before);
    this._turns = turns;
    this.preview(null);
    return String(before) !== String(this.names);
  }

  /**
   * Show a turn as it becomes by a drag, which may also be a new one.
   *
   * @param {?{old: ?Turn, turn: Turn}} drag
   */
  preview(drag) {
    const turns = this._turns.map((turn) => (drag?.old && same(turn, drag.old) ? drag.turn : turn));
    if (drag && !drag.old && this.names.includes(drag.turn[2])) turns.push(drag.turn);
    this._segments = turns.map(([start, end, name, text]) => {
      return { start, end, label: text, row: this.names.indexOf(name) };
    });
  }

  /** Whether there are speakers to tell apart, who have colours and a track. */
  get isShown() {
    return this.names.some(Boolean);
  }

  /** @param {Turn} turn */
  colorOf(turn) {
    const row = this.names.indexOf(turn[2]);
    return this.names.length > 1 && row >= 0 ? ROW_COLORS[row % ROW_COLORS.length] : "speech";
  }

  /** @param {() => number} chosen the index of the chosen turn, or -1 */
  track(chosen) {
    const rows = this.names.map((name) => name || "not known");
    const color = this.names.length > 1 ? ROW_COLORS : "speech";
    return segmentsTrack(SPEAKERS, () => this._segments, { color, rows, chosen });
  }

  /**
   * The speaker whose row is at a place.
   *
   * @param {{track: {name: string}, lane: import("./tracks.js").Lane}[]} lanes
   * @param {number} y
   * @returns {string | undefined} undefined where there is no row
   */
  at(lanes, y) {
    const found = lanes.find(({ track }) => track.name === SPEAKERS);
    return found && this.names[rowAt(y, found.lane, this.names.length)];
  }
}

/**
 * @param {import("./tracks.js").View} view
 * @param {import("./tracks.js").Lane} area
 * @param {Turn} turn
 * @param {string} looks "selected", or the name of its colour
 * @param {number} [line] of its words, from the top
 */
export function paintTurn({ pen, x, color }, { top, height }, turn, looks, line = 0) {
  const [left, right] = [x(turn[0]), x(turn[1])];
  const width = Math.max(1, right - left);
  pen.fillStyle = color(looks);
  pen.globalAlpha = looks === "selected" ? 0.3 : 0.22;
  pen.fillRect(left, top, width, height);
  pen.globalAlpha = 1;
  for (const edge of [left, right]) pen.fillRect(edge - 0.75, top, 1.5, height);
  const words = [turn[2], turn[3]].filter(Boolean).join(": ");
  if (!words || width < 24) return;
  pen.save();
  pen.beginPath();
  pen.rect(left, top, width - 3, height);
  pen.clip();
  pen.fillStyle = color("ink");
  pen.fillText(words, Math.max(left, 0) + 4, top + 12 + LINE_PX * line);
  pen.restore();
}
