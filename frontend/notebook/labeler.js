// Labeler: a recording on a timeline, with the turns in which somebody speaks. The widget model
// holds the turns. All views show them, and each change of them, in a view or by the kernel, can be
// undone.

import { asking } from "./kernel.js";
import { FIELDS, TOOLS } from "./labeler_parts.js";
import { SpeakerRows, paintTurn, renamed } from "./speaker_rows.js";
import { spectrogramTrack } from "./spectrogram.js";
import { Timeline } from "./timeline.js";
import { curveTrack, paintWave, waveTrack } from "./tracks.js";
import {
  History,
  SHORTEST_S,
  dragged,
  hit,
  lineFor,
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
    this.dragLine = 0; // of its words
    this.rows = new SpeakerRows();
    const name = model.get("name") || "recording";
    this.timeline = new Timeline(el, model.get("duration_s"), {
      model,
      name: `${name}: sound and speech over time. Keys stand below.`,
      tools: TOOLS,
      ask: shared.ask,
      press: (point) => this.press(point),
      pointer: (point) => this.pointer(point),
      pick: (_, point) => this.pick(this.hitAt(point)?.turn ?? null),
      chosen: () => (this.chosen ? [this.chosen[0], this.chosen[1]] : null),
      under: (view, area) => this.paintTurns(view, area),
      over: (view, area) => this.paintOver(view, area),
      overview: (view, lane) => paintWave(view, lane, this.wave),
      marks: (view, lane) => this.paintMarks(view, lane),
      keys: (event) => this.keys(event),
      moved: () => this.showChosen(),
    });
    const [wave, level] = model.get("curves");
    this.wave = this.timeline.pieces(wave);
    el.insertAdjacentHTML("beforeend", FIELDS);
    this.tracks = [
      waveTrack(this.wave, 120),
      curveTrack("level", this.timeline.pieces(level), level, 84),
      spectrogramTrack(
        shared.ask,
        model.get("duration_s"),
        () => this.timeline.redraw(),
        () => model.get("arrangement"),
      ),
    ];
    this.setTracks();
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

  setTracks() {
    const { rows, tracks } = this;
    const chosen = () => (this.chosen ? this.turns.indexOf(this.chosen) : -1);
    this.timeline.setTracks(rows.isShown ? [tracks[0], rows.track(chosen), ...tracks.slice(1)] : tracks);
  }

  listen() {
    const { model, el } = this;
    for (const [name, call] of this.events) model.on(name, call);
    for (const button of el.querySelectorAll("button")) {
      button.type = "button";
      const name = button.dataset.do ?? "";
      if (name in this) button.addEventListener("click", () => /** @type {any} */ (this)[name]());
    }
    // A field that loses the focus to a button may give the picture one row more. The button would
    // move away before the mouse is up, and get no click.
    let released = Promise.resolve();
    const press = (/** @type {MouseEvent} */ { target }) => {
      if (!(/** @type {HTMLElement} */ (target).closest("button"))) return;
      released = new Promise((done) => {
        addEventListener("mouseup", () => done(), { once: true, capture: true });
      });
    };
    el.addEventListener("mousedown", press, { capture: true });
    for (const name of ["0", "1", "2", "3"]) {
      this.is(name).addEventListener("change", () => released.then(() => this.onField()));
      this.is(name).addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
        if (event.key === "Enter" && !event.isComposing) this.onField(); // JupyterLab takes its own
      });
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

  /**
   * The speaker in whose row a point is.
   *
   * @param {Point} point
   * @returns {string | undefined}
   */
  rowAt({ y }) {
    return this.rows.at(this.timeline.lanes, y);
  }

  /**
   * The edge or turn at a point; in a row, of its speaker.
   *
   * @param {Point} point
   * @returns {?Hit}
   */
  hitAt(point) {
    const name = this.rowAt(point);
    const turns = name === undefined ? this.turns : this.turns.filter((turn) => turn[2] === name);
    const chosen = this.chosen && turns.includes(this.chosen) ? this.chosen : null;
    return hit(turns, chosen, this.timeline.timeAt(point.x), this.reach);
  }

  /** @param {Point} point @returns {Drag} */
  press(point) {
    const { timeline } = this;
    const start = timeline.timeAt(point.x);
    const found = this.hitAt(point);
    const name = this.rowAt(point);
    return {
      move: (to) => {
        timeline.viewport.reach(timeline.timeAt(to.x));
        const row = name === undefined ? name : this.rowAt(to);
        if (found?.side === null && row !== undefined && row !== name) this.dragInto(found.turn, row);
        else this.dragTo(found, start, timeline.viewport.clamp(timeline.timeAt(to.x)), name);
      },
      drop: () => {
        const { drag } = this;
        this.setDrag(null);
        if (drag) this.replace(drag.old, drag.turn);
        else timeline.pick(point);
      },
      cancel: () => this.setDrag(null),
    };
  }

  /** @param {Point} point */
  pointer(point) {
    const found = this.hitAt(point);
    return !found ? "text" : found.side === null ? "grab" : "ew-resize";
  }

  /**
   * Give a turn to the speaker of another row. Its times stay.
   *
   * @param {Turn} turn
   * @param {string} name
   */
  dragInto(turn, name) {
    this.setDrag({ old: turn, turn: [turn[0], turn[1], name, turn[3]] });
  }

  /** @param {?{old: ?Turn, turn: Turn}} drag */
  setDrag(drag) {
    this.drag = drag;
    this.rows.preview(drag);
    this.timeline.draw();
  }

  /**
   * @param {?Hit} found
   * @param {number} start
   * @param {number} time
   * @param {string} [name] of the speaker in whose row a new turn begins
   */
  dragTo(found, start, time, name) {
    const turn = found
      ? dragged(found.turn, found.side, start, time, this.timeline.viewport.duration)
      : this.newTurn(between(start, time), name);
    this.setDrag({ old: found?.turn ?? null, turn });
  }

  /** @param {KeyboardEvent} event */
  keys(event) {
    const rows = this.rows.names.slice(0, 9).map((name, i) => [i + 1, () => this.giveTo(name, false)]);
    return {
      ...Object.fromEntries(rows),
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
    const [name, text] = values.slice(2).map((value) => value.trim());
    if (name !== this.chosen[2]) this.giveTo(name, this.is("all").checked);
    else this.replace(this.chosen, [rounded(start), rounded(end), name, text]);
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

  /**
   * Give the chosen turn, or all turns of its speaker, to a speaker.
   *
   * @param {string} name
   * @param {boolean} all
   */
  giveTo(name, all) {
    const { chosen, turns } = this;
    if (!chosen || chosen[2] === name) return;
    this.selected = [chosen[0], chosen[1], name, chosen[3]];
    this.model.set("turns", renamed(turns, chosen, name, all));
    this.model.save_changes();
  }

  /** @param {?Turn} turn */
  pick(turn) {
    this.selected = turn;
    this.showChosen();
    this.timeline.draw();
  }

  showTurns() {
    if (this.rows.take(this.turns)) this.setTracks();
    this.show("count", summary(this.turns, this.timeline.viewport.duration));
    this.showChosen();
    this.timeline.draw();
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
   * A turn of a span, by a speaker, or that of the chosen one.
   *
   * @param {import("./turns.js").Span} span
   * @param {string} [name]
   * @returns {Turn}
   */
  newTurn([start, end], name = this.chosen?.[2] ?? "") {
    return [rounded(start), rounded(end), name, ""];
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

  transcribe() {
    return this.ask("transcribe");
  }

  save() {
    return this.ask("save");
  }

  load() {
    return this.ask("load");
  }

  // -- drawing --------------------------------------------------------------------------------------

  /** @param {PaintedView} view @param {Lane} lane */
  paintMarks(view, { height }) {
    const { pen, x, color } = view;
    const { chosen } = this;
    for (const turn of this.turns) {
      pen.fillStyle = color(turn === chosen ? "selected" : this.rows.colorOf(turn));
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
    /** @type {number[]} */
    const ends = [];
    for (const turn of this.turns) {
      const line = turn[2] || turn[3] ? lineFor(ends, turn) : 0;
      if (drag?.old && same(turn, drag.old)) {
        this.dragLine = line;
        continue;
      }
      if (turn[1] < view.from || turn[0] > view.to) continue;
      const looks = turn === chosen && !drag ? "selected" : this.rows.colorOf(turn);
      paintTurn(view, area, turn, looks, line);
    }
  }

  /**
   * Paint the turn that is dragged, and dim the stretches that the labels do not score.
   *
   * @param {PaintedView} view
   * @param {Lane} area
   */
  paintOver(view, area) {
    const { drag } = this;
    if (drag) paintTurn(view, area, drag.turn, "selected", drag.old ? this.dragLine : 0);
    const { pen, x, width, color } = view;
    pen.fillStyle = color("unscored");
    for (const [start, end] of gaps(this.model.get("scored"), this.timeline.viewport.duration)) {
      const left = Math.max(0, x(start));
      pen.fillRect(left, area.top, Math.min(width, x(end)) - left, area.height);
    }
  }
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
