// VadTuner's picture: waveform, scores, thresholds that can be dragged, utterances and labels.

import { Handles, movedValue } from "./handles.js";
import { widgetOf, copied } from "./kernel.js";
import { TIMELINE_KEYS, keyList } from "./keys.js";
import { aboveStrip, strip } from "./overview.js";
import { ROW_COLORS, segmentsFrom, segmentsTrack } from "./segments.js";
import { spectrogramTrack } from "./spectrogram.js";
import { Timeline } from "./timeline.js";
import {
  curveTrack,
  firstVisible,
  paintShade,
  paintSteps,
  paintWave,
  stepAt,
  valueAt,
  waveTrack,
  yOf,
} from "./tracks.js";

/**
 * @typedef {import("./timeline.js").Point} Point
 * @typedef {import("./timeline.js").Drag} Drag
 * @typedef {import("./tracks.js").View} View
 * @typedef {import("./tracks.js").Lane} Lane
 * @typedef {import("./segments.js").Segment} Segment
 * @typedef {import("./pieces.js").Curve & import("./tracks.js").Scale & {label: string}} Scores
 * @typedef {{times: Float32Array, onset: Float32Array, offset: Float32Array}} Thresholds
 */

/** Distance from a threshold within which it is dragged, in pixels; a finger is less exact. */
const REACH_PX = { mouse: 5, pen: 8, touch: 14 };

/** The least that is in view around what is wrong, in seconds. */
const FAULT_S = 20;

/** What is in view around the moment at which the tuner opens, in seconds. */
const OPENED_S = 20;

/** By labels it is known what is wrong; without them, where speech may be cut. */
const WRONG = { track: "wrong", count: "wrong", words: "what is wrong" };
const CUT = { track: "cut?", count: "perhaps cut", words: "where speech may be cut" };

/** @param {string} words */
const faultTools = (words) => `
<span class="group faults" role="group" aria-label="${words}">
  <button type="button" data-do="faultBefore" title="to ${words}, before this (Shift N)"
    aria-label="to ${words}, before this">◀</button>
  <button type="button" data-do="faultAfter" title="to ${words}, next (N)"
    aria-label="to ${words}, next">▶</button>
  <span data-is="fault" role="status"></span>
</span>`;

const TUNER_KEYS = [
  ["drag", "select; on a threshold, move it"],
  ["click", "on an utterance: hear it, see its row and its text"],
  ["↑ ↓", "choose the utterance before, after"],
  ["N, Shift N", "go to what is wrong by the labels, or to where speech may be cut: next, before"],
  ["Shift ↑ ↓", "move the level at which speech begins; with Alt, that at which it ends"],
  ["T", "transcribe the chosen utterance"],
  ["Ctrl Z, Ctrl Y", "undo, redo a change of the settings"],
  ...TIMELINE_KEYS,
];

/**
 * Segments of pairs of float64, with their numbers.
 *
 * @param {DataView} view
 * @returns {Segment[]}
 */
function numbered(view) {
  const edges = new Float64Array(copied(view));
  return Array.from({ length: edges.length / 2 }, (_, i) => ({
    start: edges[2 * i],
    end: edges[2 * i + 1],
    label: `${i + 1}`,
  }));
}

/** @param {DataView} view @param {number} count of arrays of float32 in it */
function arraysFrom(view, count) {
  const all = new Float32Array(copied(view));
  const length = all.length / count;
  return Array.from({ length: count }, (_, i) => all.subarray(i * length, (i + 1) * length));
}

class Picture {
  /**
   * @param {any} model
   * @param {HTMLElement} el
   * @param {(content: object) => Promise<any>} ask
   */
  constructor(model, el, ask) {
    this.model = model;
    this.ask = ask;
    /** @type {Segment[]} */
    this.found = [];
    /** @type {Segment[]} */
    this.beside = [];
    /** @type {Segment[]} */
    this.texts = [];
    /** @type {Segment[]} */
    this.pauses = [];
    /** @type {Segment[]} */
    this.faults = [];
    /** @type {Record<string, Thresholds>} */
    this.thresholds = {};
    /** @type {Record<string, {times: Float32Array, values: Float32Array}>} */
    this.floors = {};
    const name = model.get("name") || "recording";
    this.timeline = new Timeline(el, model.get("duration_s"), {
      model,
      name: `${name}: waveform, level, thresholds and utterances. Keys stand below.`,
      ask,
      tools: faultTools(this.doubt.words),
      press: (point) => this.press(point),
      pointer: (point) => (this.handleAt(point) ? "ns-resize" : "text"),
      pick: (time) => this.pick(time),
      chosen: () => this.chosen && [this.chosen.start, this.chosen.end],
      under: (view) => this.paintUnder(view),
      overview: (view, lane) => {
        const wave = this.timeline.pieces(model.get("curves")[0]);
        paintWave(view, aboveStrip(lane), wave);
      },
      marks: (view, lane) => this.paintMarks(view, lane),
      keys: (event) => this.keys(event),
      moved: () => this.showFault(),
    });
    for (const [name, way] of /** @type {const} */ ([["faultBefore", -1], ["faultAfter", 1]])) {
      el.querySelector(`[data-do="${name}"]`)?.addEventListener("click", () => this.goToFault(way));
    }
    this.handles = new Handles(model, ask, () => this.timeline.draw());
    el.insertAdjacentHTML("beforeend", keyList(TUNER_KEYS));
    /** @type {[name: string, call: () => void][]} */
    this.events = [
      ["change:curves", () => this.setTracks()],
      ["change:detector", () => this.setTracks()],
      ["change:beside_label", () => this.setTracks()],
      ["change:chosen", () => this.timeline.draw()],
      ["change:shown", () => this.reveal()],
      ["change:plays", () => this.play()],
    ];
    // One message changes many of these: each is read alone.
    for (const [name, read] of Object.entries(this.readers)) {
      read();
      this.events.push([`change:${name}`, read]);
    }
    for (const [event, call] of this.events) model.on(event, call);
    this.setTracks();
    const at = model.get("at_s");
    if (at === null) return;
    this.timeline.setView(at - OPENED_S / 2, at + OPENED_S / 2);
    this.timeline.setCursor(at);
  }

  close() {
    for (const [event, call] of this.events) this.model.off(event, call);
    this.handles.close();
    this.timeline.close();
  }

  /** What takes in what the kernel has sent, by its name. @returns {Record<string, () => void>} */
  get readers() {
    const { model, timeline } = this;
    const curves = (/** @type {string} */ name, /** @type {number} */ count) =>
      Object.entries(model.get(name)).map(([curve, data]) => {
        return /** @type {const} */ ([curve, arraysFrom(/** @type {DataView} */ (data), count)]);
      });
    return {
      found: () => {
        this.found = numbered(model.get("found"));
        timeline.draw();
      },
      beside: () => {
        this.beside = numbered(model.get("beside"));
        timeline.draw();
      },
      texts: () => {
        this.texts = segmentsFrom(model.get("texts"));
        timeline.draw();
      },
      faults: () => {
        this.faults = segmentsFrom(model.get("faults"));
        this.showFault();
        timeline.draw();
      },
      pauses: () => {
        this.pauses = numbered(model.get("pauses")).map(({ start, end }) => {
          return { start, end, label: `${(end - start).toFixed(2)} s` };
        });
        timeline.draw();
      },
      thresholds: () => {
        for (const [name, [times, onset, offset]] of curves("thresholds", 3)) {
          this.thresholds[name] = { times, onset, offset };
        }
        timeline.draw();
      },
      floors: () => {
        for (const [name, [times, values]] of curves("floors", 2)) {
          this.floors[name] = { times, values };
        }
        timeline.draw();
      },
    };
  }

  /** @returns {Scores[]} the curves of detectors */
  get scores() {
    return this.model.get("curves").filter((/** @type {Scores} */ curve) => curve.name !== "wave");
  }

  setTracks() {
    const { timeline, model } = this;
    const labels = segmentsFrom(model.get("labels"));
    const duration = model.get("duration_s");
    const beside = model.get("beside_label");
    const wave = timeline.pieces(model.get("curves")[0]);
    const tracks = [waveTrack(wave, 76)];
    this.scores.forEach((curve, i) => {
      const over = (/** @type {View} */ view, /** @type {Lane} */ lane) =>
        this.paintThresholds(view, lane, curve);
      const pieces = timeline.pieces(curve);
      tracks.push(curveTrack(curve.label, pieces, curve, i ? 90 : 150, over));
    });
    const chosen = () => model.get("chosen");
    tracks.push(
      spectrogramTrack(this.ask, duration, () => timeline.redraw(), () => model.get("arrangement")),
      segmentsTrack("utterances", () => this.found, { color: "found", chosen }),
      segmentsTrack("texts", () => this.texts, { color: "textbar", flows: true, isHidden: true }),
      segmentsTrack("pauses", () => this.pauses, { color: "other", isHidden: true }),
    );
    if (beside) tracks.push(segmentsTrack(`by ${beside}`, () => this.beside, { color: "other" }));
    if (labels.length) {
      const rows = model.get("speakers");
      const color = rows.length > 1 ? ROW_COLORS : "speech";
      tracks.push(segmentsTrack("labels", () => labels, { color, rows }));
    }
    const isHidden = !labels.length;
    const looks = { color: "fault", flows: true, isHidden };
    tracks.push(segmentsTrack(this.doubt.track, () => this.faults, looks));
    timeline.setTracks(tracks);
  }

  // -- utterances -----------------------------------------------------------------------------------

  get chosen() {
    return this.found[this.model.get("chosen")] ?? null;
  }

  /** @param {number} i */
  choose(i) {
    this.model.set("chosen", i);
    this.model.save_changes();
  }

  /** @param {number} time */
  pick(time) {
    const i = firstVisible(this.found, time);
    const isIn = i < this.found.length && this.found[i].start <= time;
    this.choose(isIn ? i : -1);
    if (!isIn) return;
    this.timeline.player.play(this.found[i].start, this.found[i].end);
    this.transcribe();
  }

  /** @param {1 | -1} way */
  go(way) {
    const now = this.model.get("chosen");
    const { cursor } = this.timeline;
    const near = firstVisible(this.found, cursor);
    const i = now >= 0 ? now + way : way > 0 ? near : near - 1;
    if (i < 0 || i >= this.found.length) return;
    this.choose(i);
    this.reveal();
  }

  /** Bring the chosen utterance into view. */
  reveal() {
    const { chosen } = this;
    if (!chosen) return;
    this.timeline.setCursor(chosen.start);
    this.timeline.reveal(chosen.start, chosen.end);
  }

  /** What the faults are called. */
  get doubt() {
    return this.model.get("labels").length ? WRONG : CUT;
  }

  /** The number of the fault that is selected, or -1. */
  get fault() {
    const { selection } = this.timeline;
    if (!selection) return -1;
    return this.faults.findIndex(({ start, end }) => start === selection[0] && end === selection[1]);
  }

  showFault() {
    const { fault } = this;
    const count = this.faults.length;
    const words = fault < 0 ? `${count} ${this.doubt.count}` : `${fault + 1} of ${count}: ${this.faults[fault].label}`;
    this.timeline.show("fault", words);
    /** @type {HTMLElement} */ (this.timeline.el.querySelector('[data-is="fault"]')).title = words;
  }

  /**
   * Select the next stretch in which something is wrong, and show it and the utterance there.
   *
   * @param {1 | -1} way
   */
  goToFault(way) {
    const { faults, timeline } = this;
    if (!faults.length) return;
    const near = faults.findIndex(({ start }) => start > timeline.cursor);
    const next = near < 0 ? faults.length : near;
    const i = this.fault >= 0 ? this.fault + way : way > 0 ? next : next - 1;
    const { start, end } = faults[(i + faults.length) % faults.length];
    const found = firstVisible(this.found, start);
    this.choose(this.found[found]?.start < end ? found : -1);
    const beside = Math.max(FAULT_S - (end - start), 4) / 2;
    timeline.setView(start - beside, end + beside);
    timeline.select([start, end]);
  }

  play() {
    const { chosen } = this;
    if (chosen) this.timeline.player.play(chosen.start, chosen.end);
  }

  transcribe() {
    const i = this.model.get("chosen");
    if (i >= 0) this.model.send({ ask: "transcribe", row: i });
  }

  /**
   * @param {KeyboardEvent} event
   * @returns {Record<string, () => void>}
   */
  keys({ shiftKey, altKey }) {
    const which = shiftKey ? "onset" : altKey ? "offset" : null;
    return {
      ArrowUp: () => (which ? this.handles.nudge(which, 1) : this.go(-1)),
      ArrowDown: () => (which ? this.handles.nudge(which, -1) : this.go(1)),
      t: () => this.transcribe(),
      n: () => this.goToFault(shiftKey ? -1 : 1),
      "Control+z": () => this.model.send({ ask: shiftKey ? "redo" : "undo" }),
      "Control+y": () => this.model.send({ ask: "redo" }),
    };
  }

  // -- thresholds -----------------------------------------------------------------------------------

  /** The curve that decides, its place and its thresholds. */
  get deciding() {
    const name = this.model.get("detector");
    const curve = this.scores.find((each) => each.name === name);
    const found = curve && this.timeline.lanes.find(({ track }) => track.name === curve.label);
    const thresholds = this.thresholds[name];
    return curve && found && thresholds ? { curve, lane: found.lane, thresholds } : null;
  }

  /** @param {Point} point @returns {?{which: string, handle: import("./handles.js").Handle, at: (y: number) => number}} */
  handleAt(point) {
    const { deciding } = this;
    if (!deciding) return null;
    const { curve, lane, thresholds } = deciding;
    const time = this.timeline.timeAt(point.x);
    const reach = REACH_PX[/** @type {"mouse"} */ (point.type)] ?? REACH_PX.mouse;
    const handles = this.handles.all;
    const near = ["onset", "offset"]
      .filter((which) => handles[which])
      .map((which) => {
        const values = thresholds[/** @type {"onset"} */ (which)];
        const y = yOf(stepAt({ times: thresholds.times, values }, time), curve, lane);
        return { which, off: Math.abs(y - point.y) };
      })
      .sort((a, b) => a.off - b.off)[0];
    if (!near || near.off > reach) return null;
    const at = (/** @type {number} */ y) => valueAt(y, curve, lane);
    return { which: near.which, handle: { ...handles[near.which] }, at };
  }

  /** @param {Point} point @returns {?Drag} */
  press(point) {
    const held = this.handleAt(point);
    if (!held) return null;
    const { which, handle, at } = held;
    const begin = at(point.y);
    return {
      move: ({ y }) => {
        this.handles.move(which, handle.field, movedValue(handle, at(y) - begin));
      },
      drop: (_, moved) => {
        if (!moved) this.timeline.pick(point);
        this.handles.release();
      },
      cancel: () => this.handles.release(),
    };
  }

  // -- painting -------------------------------------------------------------------------------------

  /** @param {View} view */
  paintUnder(view) {
    const deciding = this.model.get("detector");
    const names = Object.fromEntries(this.scores.map(({ label, name }) => [label, name]));
    for (const { track, lane } of this.timeline.lanes) {
      const curve = names[track.name];
      if (track.name === "waveform" || curve === deciding) paintShade(view, lane, this.found, "shade");
      else if (curve) paintShade(view, lane, this.beside, "othershade");
    }
  }

  /** @param {View} view @param {Lane} lane @param {Scores} curve */
  paintThresholds(view, lane, curve) {
    const thresholds = this.thresholds[curve.name];
    if (!thresholds) return;
    const floor = this.floors[curve.name];
    const dotted = { color: view.color("floor"), width: 1.2, dash: [1.5, 3] };
    if (floor) paintSteps(view, lane, curve, floor, dotted);
    const { times } = thresholds;
    const isDeciding = curve.name === this.model.get("detector");
    const by = isDeciding ? this.handles.shifts : { onset: 0, offset: 0 };
    const color = view.color("onset");
    const onset = thresholds.onset.map((value) => value + by.onset);
    const offset = thresholds.offset.map((value) => value + by.offset);
    paintSteps(view, lane, curve, { times, values: onset }, { color, width: 2 });
    paintSteps(view, lane, curve, { times, values: offset }, { color, dash: [5, 3] });
  }

  /** @param {View} view @param {Lane} lane */
  paintMarks(view, lane) {
    paintShade(view, strip(lane), this.found, "found");
    view.pen.fillStyle = view.color("fault");
    for (const { start } of this.faults) view.pen.fillRect(view.x(start) - 1, 0, 2, lane.height);
  }
}

export default widgetOf(Picture);
