// Labeler: a recording on a timeline, with the turns in which somebody speaks. The widget model
// holds the turns. All views show them, and each change of them, in a view or by the kernel, can be
// undone.

import { asking } from "./kernel.js";
import { TIMELINE_KEYS, keyList } from "./keys.js";
import { peakOf } from "./pieces.js";
import { spectrogramTrack } from "./spectrogram.js";
import { Timeline } from "./timeline.js";
import { curveTrack, waveTrack } from "./tracks.js";
import {
  History,
  SHORTEST_S,
  dragged,
  hit,
  rounded,
  same,
  sorted,
  summary,
  turnAfter,
  turnBefore,
} from "./turns.js";
import { between, gaps } from "./viewport.js";

/**
 * @typedef {import("./turns.js").Turn} Turn
 * @typedef {import("./gestures.js").Point} Point
 * @typedef {import("./gestures.js").Drag} Drag
 * @typedef {import("./tracks.js").View} PaintedView
 * @typedef {import("./tracks.js").Lane} Lane
 * @typedef {NonNullable<ReturnType<typeof hit>>} Hit
 *
 * @typedef {object} Shared what the views of one model share
 * @property {History} history of the turns
 * @property {(way: "undo" | "redo") => void} travel
 * @property {(content: object) => Promise<import("./kernel.js").Answer>} ask
 */

/** Distance from an edge within which the mouse drags it, in pixels. */
const EDGE_PX = 6;

const KEYS = [
  ["drag", "mark speech; on an edge, move it; on speech, move all of it"],
  ["Enter", "make what is selected speech"],
  ["↑ ↓", "go to the speech before, after"],
  ["[ ]", "move the start, the end of the chosen speech to the cursor"],
  ["Delete", "remove the chosen speech"],
  ["Ctrl Z, Ctrl Y", "undo, redo"],
  ["Ctrl S", "save"],
  ...TIMELINE_KEYS,
];

const TOOLS = `
<button data-do="add" title="make what is selected speech (Enter)">Mark</button>
<span class="group" role="group" aria-label="history">
  <button data-do="undo" title="undo (Ctrl Z)">Undo</button>
  <button data-do="redo" title="redo (Ctrl Y)">Redo</button>
</span>
<button data-do="find" title="replace all by what voice activity detection finds">From VAD</button>
<span class="group">
  <input data-is="path" aria-label="file of labels" size="24" spellcheck="false"
    title="its name ends in .rttm, .txt (Audacity) or .json">
  <button data-do="save" title="save to this file (Ctrl S)">Save</button>
  <button data-do="load" title="replace all by what is in this file">Open</button>
</span>`;

const FIELDS = `
<div class="row turn">
  <button data-do="before" title="the speech before (↑)" aria-label="the speech before">◀</button>
  <span data-is="which"></span>
  <button data-do="after" title="the speech after (↓)" aria-label="the speech after">▶</button>
  <label>from <input data-is="0" type="number" min="0" step="0.01"> s</label>
  <label>to <input data-is="1" type="number" min="0" step="0.01"> s</label>
  <label>speaker <input data-is="2" size="9" spellcheck="false"></label>
  <label class="wide">text <input data-is="3"></label>
  <button data-do="remove" title="remove this speech (Delete)">Delete</button>
</div>
<div class="row"><span data-is="status" role="status"></span><span data-is="count"></span></div>
${keyList(KEYS)}`;

class View {
  /**
   * @param {any} model
   * @param {HTMLElement} el
   * @param {Shared} shared
   */
  constructor(model, el, shared) {
    this.model = model;
    this.shared = shared;
    this.el = el;
    el.classList.add("sttlab-labeler");
    /** @type {?Turn} */
    this.selected = null; // the turn that was selected last
    /** @type {?{old: ?Turn, turn: Turn}} */
    this.drag = null; // the turn that is dragged (null for a new one), and what it becomes
    const name = model.get("name") || "recording";
    this.timeline = new Timeline(el, model.get("duration_s"), {
      model,
      name: `${name}: sound and speech over time. Keys stand below.`,
      tools: TOOLS,
      ask: shared.ask,
      press: (point) => this.press(point),
      pointer: (point) => this.pointer(point),
      pick: (time) => this.pick(hit(this.turns, this.chosen, time, this.reach)?.turn ?? null),
      chosen: () => (this.chosen ? [this.chosen[0], this.chosen[1]] : null),
      under: (view, area) => this.paintTurns(view, area),
      over: (view, area) => this.paintOver(view, area),
      overview: (view, lane) => this.paintOverview(view, lane),
      keys: (event) => this.keys(event),
      moved: () => this.showChosen(),
    });
    const [wave, level] = model.get("curves");
    this.wave = this.timeline.pieces(wave);
    el.insertAdjacentHTML("beforeend", FIELDS);
    this.timeline.setTracks([
      waveTrack(this.wave, () => peakOf(this.wave), 120),
      curveTrack("level", this.timeline.pieces(level), level, 84),
      spectrogramTrack(shared.ask, model.get("duration_s"), () => this.timeline.draw()),
    ]);
    /** @type {[name: string, call: () => void][]} */
    this.events = [
      ["change:turns", () => this.showTurns()],
      ["change:scored", () => this.timeline.draw()],
      ["change:status", () => this.show("status", model.get("status"))],
      ["change:path", () => (this.is("path").value = model.get("path"))],
    ];
    this.listen();
    this.showTurns();
    this.show("status", model.get("status"));
    this.is("path").value = model.get("path");
  }

  listen() {
    const { model, el } = this;
    for (const [name, call] of this.events) model.on(name, call);
    for (const button of el.querySelectorAll("button")) {
      button.type = "button";
      const name = button.dataset.do ?? "";
      if (name in this) button.addEventListener("click", () => /** @type {any} */ (this)[name]());
    }
    for (const name of ["0", "1", "2", "3"]) {
      this.is(name).addEventListener("change", () => this.onField());
    }
    this.is("path").addEventListener("change", () => {
      model.set("path", this.is("path").value);
      model.save_changes();
    });
  }

  close() {
    for (const [name, call] of this.events) this.model.off(name, call);
    this.timeline.close();
  }

  /**
   * The element of a name, mostly an input.
   *
   * @param {string | number} name
   * @returns {any}
   */
  is(name) {
    return this.el.querySelector(`[data-is="${name}"]`);
  }

  /** @param {string} name @param {string} text */
  show(name, text) {
    const element = this.is(name);
    if (element.textContent !== text) element.textContent = text;
  }

  /**
   * @param {string} name of the method that it calls
   * @returns {any}
   */
  button(name) {
    return this.el.querySelector(`[data-do="${name}"]`);
  }

  // -- events -----------------------------------------------------------------------------------

  /** Distance within which an edge is hit, in seconds. */
  get reach() {
    return this.timeline.seconds(EDGE_PX);
  }

  /** @param {Point} point @returns {Drag} */
  press(point) {
    const { timeline } = this;
    const start = timeline.timeAt(point.x);
    const found = hit(this.turns, this.chosen, start, this.reach);
    return {
      move: ({ x }) => {
        timeline.viewport.reach(timeline.timeAt(x));
        this.dragTo(found, start, timeline.viewport.clamp(timeline.timeAt(x)));
      },
      drop: () => {
        const { drag } = this;
        this.drag = null;
        if (drag) this.replace(drag.old, drag.turn);
        else timeline.pick(point);
      },
      cancel: () => {
        this.drag = null;
        timeline.redraw();
      },
    };
  }

  /** @param {Point} point */
  pointer({ x }) {
    const found = hit(this.turns, this.chosen, this.timeline.timeAt(x), this.reach);
    return !found ? "text" : found.side === null ? "grab" : "ew-resize";
  }

  /** @param {?Hit} found @param {number} start @param {number} time */
  dragTo(found, start, time) {
    const turn = found
      ? dragged(found.turn, found.side, start, time, this.timeline.viewport.duration)
      : this.newTurn(between(start, time));
    this.drag = { old: found?.turn ?? null, turn };
    this.timeline.redraw();
  }

  /** @param {KeyboardEvent} event */
  keys(event) {
    return {
      ArrowUp: () => this.before(),
      ArrowDown: () => this.after(),
      Enter: () => this.add(),
      Delete: () => this.remove(),
      Backspace: () => this.remove(),
      Escape: () => {
        this.timeline.setCursor(this.timeline.cursor);
        this.pick(null);
      },
      "[": () => this.setEdge(0),
      "]": () => this.setEdge(1),
      "Control+z": () => (event.shiftKey ? this.redo() : this.undo()),
      "Control+y": () => this.redo(),
      "Control+s": () => this.save(),
    };
  }

  onField() {
    if (!this.chosen) return;
    const values = ["0", "1", "2", "3"].map((name) => this.is(name).value);
    const [start, end] = values.slice(0, 2).map((value) => this.timeline.viewport.clamp(Number(value)));
    if (end - start < SHORTEST_S) {
      this.say("speech must end after it starts");
      this.showChosen();
      return;
    }
    this.replace(this.chosen, [rounded(start), rounded(end), values[2].trim(), values[3].trim()]);
  }

  // -- turns ------------------------------------------------------------------------------------

  /** @returns {Turn[]} */
  get turns() {
    return this.model.get("turns");
  }

  /** The turn that is selected, as long as the model has it. */
  get chosen() {
    return this.selected && (this.turns.find((turn) => same(turn, this.selected)) ?? null);
  }

  /**
   * Replace a turn by another. Without `old` it is added, without `turn` removed.
   *
   * @param {?Turn} old
   * @param {?Turn} turn
   */
  replace(old, turn) {
    const rest = this.turns.filter((other) => !same(other, old));
    this.selected = turn;
    this.timeline.setCursor(turn ? turn[0] : this.timeline.cursor);
    this.model.set("turns", sorted(turn ? [...rest, turn] : rest));
    this.model.save_changes();
    if (this.model.get("status")) this.say("");
  }

  /** @param {?Turn} turn */
  pick(turn) {
    this.selected = turn;
    this.showChosen();
    this.timeline.redraw();
  }

  showTurns() {
    this.show("count", summary(this.turns, this.timeline.viewport.duration));
    this.showChosen();
    this.timeline.redraw();
  }

  showChosen() {
    const { turns, chosen } = this;
    const number = chosen ? turns.indexOf(chosen) + 1 : "–";
    this.show("which", `Speech ${number} of ${turns.length}`);
    for (const side of [0, 1, 2, 3]) {
      const field = this.is(side);
      field.disabled = !chosen;
      field.value = chosen ? (side < 2 ? Number(chosen[side]).toFixed(3) : chosen[side]) : "";
    }
    const able = {
      before: turns.length,
      after: turns.length,
      remove: chosen,
      add: this.timeline.selection,
      undo: this.shared.history.past.length,
      redo: this.shared.history.future.length,
    };
    for (const [name, can] of Object.entries(able)) {
      this.button(name).disabled = !can;
    }
  }

  /**
   * A turn of a span, by the speaker of the chosen one.
   *
   * @param {import("./turns.js").Span} span
   * @returns {Turn}
   */
  newTurn([start, end]) {
    return [rounded(start), rounded(end), this.chosen?.[2] ?? "", ""];
  }

  add() {
    const { selection } = this.timeline;
    if (!selection) return;
    const turn = this.newTurn(selection);
    if (turn[1] - turn[0] >= SHORTEST_S) this.replace(null, turn);
  }

  remove() {
    if (this.chosen) this.replace(this.chosen, null);
  }

  /** @param {0 | 1} side */
  setEdge(side) {
    const { chosen, timeline } = this;
    if (!chosen) return;
    /** @type {Turn} */
    const turn = [...chosen];
    const { cursor } = timeline;
    turn[side] = rounded(cursor);
    if (turn[1] - turn[0] < SHORTEST_S) return;
    this.replace(chosen, turn);
    timeline.setCursor(cursor);
  }

  before() {
    this.goTo(turnBefore(this.turns, this.chosen, this.timeline.cursor));
  }

  after() {
    this.goTo(turnAfter(this.turns, this.chosen, this.timeline.cursor));
  }

  /** @param {Turn | undefined} turn */
  goTo(turn) {
    if (!turn) return;
    this.pick(turn);
    this.timeline.setCursor(turn[0]);
    this.timeline.reveal(turn[0], turn[1]);
  }

  undo() {
    this.shared.travel("undo");
  }

  redo() {
    this.shared.travel("redo");
  }

  // -- the kernel ---------------------------------------------------------------------------------

  /** @param {string} words */
  say(words) {
    this.model.set("status", words);
    this.model.save_changes();
  }

  /** @param {string} what */
  async ask(what) {
    this.show("status", "waiting for the kernel …");
    await this.shared.ask({ ask: what, path: this.is("path").value });
    this.show("status", this.model.get("status"));
  }

  find() {
    return this.ask("find");
  }

  save() {
    return this.ask("save");
  }

  load() {
    return this.ask("load");
  }

  // -- drawing --------------------------------------------------------------------------------------

  /** @param {PaintedView} view @param {Lane} lane */
  paintOverview(view, { height }) {
    waveTrack(this.wave, () => peakOf(this.wave), height).paint(view, { top: 0, height });
    const { pen, x, color } = view;
    const { chosen } = this;
    for (const turn of this.turns) {
      pen.fillStyle = color(turn === chosen ? "selected" : "speech");
      pen.fillRect(x(turn[0]), height - 5, Math.max(1.5, x(turn[1]) - x(turn[0])), 5);
    }
  }

  /**
   * Paint all turns but the one that is dragged.
   *
   * @param {PaintedView} view
   * @param {Lane} area
   */
  paintTurns(view, area) {
    const { chosen, drag } = this;
    for (const turn of this.turns) {
      if (turn[1] < view.from || turn[0] > view.to) continue;
      if (drag?.old && same(turn, drag.old)) continue;
      paintTurn(view, area, turn, turn === chosen && !drag);
    }
  }

  /**
   * Paint the turn that is dragged, and dim the stretches that the labels do not score.
   *
   * @param {PaintedView} view
   * @param {Lane} area
   */
  paintOver(view, area) {
    if (this.drag) paintTurn(view, area, this.drag.turn, true);
    const { pen, x, width, color } = view;
    pen.fillStyle = color("unscored");
    for (const [start, end] of gaps(this.model.get("scored"), this.timeline.viewport.duration)) {
      const left = Math.max(0, x(start));
      pen.fillRect(left, area.top, Math.min(width, x(end)) - left, area.height);
    }
  }
}

/**
 * @param {PaintedView} view
 * @param {Lane} area
 * @param {Turn} turn
 * @param {boolean} chosen
 */
function paintTurn({ pen, x, color }, { top, height }, turn, chosen) {
  const [left, right] = [x(turn[0]), x(turn[1])];
  const width = Math.max(1, right - left);
  pen.fillStyle = color(chosen ? "selected" : "speech");
  pen.globalAlpha = chosen ? 0.3 : 0.22;
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
  pen.fillText(words, Math.max(left, 0) + 4, top + 12);
  pen.restore();
}

// -- the widget -------------------------------------------------------------------------------------

/** The widget: one for each model, whose views share turns and requests. */
export default () => {
  const shared = /** @type {Shared} */ ({});
  return {
    /** @param {{model: any}} widget */
    initialize({ model }) {
      shared.history = new History(model.get("turns"));
      let travelling = false;
      model.on("change:turns", () => {
        if (!travelling) shared.history.take(model.get("turns"));
      });
      shared.travel = (way) => {
        const turns = shared.history[way]();
        if (turns === undefined) return;
        travelling = true;
        model.set("turns", turns);
        travelling = false;
        model.save_changes();
      };
      shared.ask = asking(model);
    },
    /** @param {{model: any, el: HTMLElement}} widget */
    render({ model, el }) {
      const view = new View(model, el, shared);
      return () => view.close();
    },
  };
};
