// Labeler: a recording on a canvas, with the turns in which somebody speaks.
//
// The widget model holds the turns. All views show them, and each change of them, in a view or by
// the kernel, can be undone.

import { fitted, paintAxes, paintLevel, paintLine, paintTurn, paintWave } from "./painting.js";
import { Playback } from "./playback.js";
import {
  History,
  SHORTEST_S,
  between,
  dragged,
  extended,
  hit,
  rounded,
  same,
  sorted,
  summary,
  turnAfter,
  turnBefore,
} from "./turns.js";
import { Viewport, gaps, wantedPicture } from "./viewport.js";

/**
 * @typedef {import("./turns.js").Turn} Turn
 * @typedef {import("./turns.js").Span} Span
 * @typedef {import("./painting.js").Pen} Pen
 * @typedef {import("./painting.js").Place} Place
 * @typedef {import("./painting.js").Color} Color
 * @typedef {ReturnType<typeof fitted>} Fitted
 * @typedef {NonNullable<ReturnType<typeof hit>>} Hit
 *
 * @typedef {{content: any, buffers: DataView[]}} Answer of the kernel
 *
 * @typedef {object} Shared what the views of one model share
 * @property {Map<number, (answer: Answer) => void>} waiting requests without an answer, by id
 * @property {number} last id of a request
 * @property {History} history of the turns
 * @property {(way: "undo" | "redo") => void} travel
 * @property {(content: object) => Promise<Answer>} ask
 */

/** Distance from an edge within which the mouse drags it, in pixels. */
const EDGE_PX = 6;

/** Longest distance that the mouse moves in a click, in pixels; beyond it is a drag. */
const CLICK_PX = 4;

/** Height of the axis of time, in pixels. */
const AXIS_PX = 18;

// -- the page -------------------------------------------------------------------------------------

const KEYS = [
  ["drag", "mark speech; on an edge, move it; on speech, move all of it"],
  ["← →", "move the cursor; with Shift, mark from there"],
  ["Enter", "make what is marked speech"],
  ["↑ ↓", "go to the speech before, after"],
  ["[ ]", "move the start, the end of the chosen speech to the cursor"],
  ["Delete", "remove the chosen speech"],
  ["Space", "play what is chosen, or from the cursor; again to stop"],
  ["+ − 0", "zoom in, out, all; or turn the wheel"],
  ["Page up, down", "move along the recording; or Shift and the wheel"],
  ["Ctrl Z, Ctrl Y", "undo, redo"],
  ["Ctrl S", "save"],
];

const PAGE = `
<canvas class="overview" height="30" aria-hidden="true"></canvas>
<canvas class="sound" height="230" tabindex="0" role="application"
  data-lm-suppress-shortcuts="true"></canvas>
<div class="row tools">
  <button data-do="play" title="play (Space)">▶ Play</button>
  <button data-do="add" title="make what is marked speech (Enter)">Mark</button>
  <span class="group" role="group" aria-label="zoom">
    <button data-do="zoomIn" title="zoom in (+)" aria-label="zoom in">+</button>
    <button data-do="zoomOut" title="zoom out (−)" aria-label="zoom out">−</button>
    <button data-do="zoomAll" title="the whole recording (0)">All</button>
  </span>
  <span class="group" role="group" aria-label="history">
    <button data-do="undo" title="undo (Ctrl Z)">Undo</button>
    <button data-do="redo" title="redo (Ctrl Y)">Redo</button>
  </span>
  <button data-do="find" title="replace all by what voice activity detection finds">From VAD</button>
  <span class="group end">
    <input data-is="path" aria-label="file of labels" size="24" spellcheck="false"
      title="its name ends in .rttm, .txt (Audacity) or .json">
    <button data-do="save" title="save to this file (Ctrl S)">Save</button>
    <button data-do="load" title="replace all by what is in this file">Open</button>
  </span>
</div>
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
<details><summary>Keys</summary><dl>${KEYS.map(
  ([key, words]) => `<div><dt>${key}</dt><dd>${words}</dd></div>`,
).join("")}</dl></details>`;

class View {
  /**
   * @param {any} model
   * @param {HTMLElement} el
   * @param {Shared} shared
   */
  constructor(model, el, shared) {
    this.model = model;
    this.shared = shared;
    el.innerHTML = PAGE;
    this.el = el;
    this.overview = /** @type {HTMLCanvasElement} */ (el.querySelector(".overview"));
    this.canvas = /** @type {HTMLCanvasElement} */ (el.querySelector(".sound"));
    this.viewport = new Viewport(model.get("duration_s"));
    this.cursor = 0;
    /** @type {?Span} */
    this.marked = null; // a span that may become speech
    /** @type {?Turn} */
    this.selected = null; // the turn that was selected last
    /** @type {?{old: ?Turn, turn: Turn}} */
    this.drag = null; // the turn that is dragged (null for a new one), and what it becomes
    /** @type {import("./painting.js").Tile[]} */
    this.tiles = []; // the coarsest first
    this.peak = 1; // the highest sample of the recording
    this.fetching = false; // whether a tile is on its way
    /** @type {number | undefined} */
    this.frame = undefined; // an animation frame
    this.closed = false;
    this.playback = new Playback(
      (start_s, end_s) => this.fetchAudio(start_s, end_s),
      () => this.onPlaying(),
    );
    /** @type {[name: string, call: () => void][]} */
    this.events = [
      ["change:turns", () => this.showTurns()],
      ["change:scored", () => this.draw()],
      ["change:status", () => this.show("status", model.get("status"))],
      ["change:path", () => (this.is("path").value = model.get("path"))],
    ];
    this.resized = new ResizeObserver(() => this.draw());
    this.themed = new MutationObserver(() => this.draw());
    this.build();
    this.listen();
    this.showTurns();
    this.show("status", model.get("status"));
    this.is("path").value = model.get("path");
    this.draw();
  }

  build() {
    const { el } = this;
    el.classList.add("sttlab-labeler");
    const name = this.model.get("name") || "recording";
    this.canvas.setAttribute("aria-label", `${name}: sound and speech over time. Keys stand below.`);
    for (const button of el.querySelectorAll("button")) {
      button.type = "button";
      button.addEventListener("click", () => /** @type {any} */ (this)[button.dataset.do ?? ""]());
    }
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

  listen() {
    const { model, canvas, overview } = this;
    for (const [name, call] of this.events) model.on(name, call);
    canvas.addEventListener("pointerdown", (event) => this.onPress(event));
    canvas.addEventListener("pointermove", (event) => this.onHover(event));
    canvas.addEventListener("wheel", (event) => this.onWheel(event), { passive: false });
    canvas.addEventListener("keydown", (event) => this.onKey(event));
    for (const name of ["focus", "blur"]) canvas.addEventListener(name, () => this.draw());
    const scroll = (/** @type {PointerEvent} */ { buttons, offsetX }) => {
      if (buttons) this.centre((offsetX / overview.clientWidth) * this.viewport.duration);
    };
    overview.addEventListener("pointerdown", (event) => {
      overview.setPointerCapture(event.pointerId);
      scroll(event);
    });
    overview.addEventListener("pointermove", scroll);
    for (const name of ["0", "1", "2", "3"]) {
      this.is(name).addEventListener("change", () => this.onField());
    }
    this.is("path").addEventListener("change", () => {
      model.set("path", this.is("path").value);
      model.save_changes();
    });
    this.resized.observe(canvas);
    this.themed.observe(document.body, { attributes: true });
  }

  close() {
    for (const [name, call] of this.events) this.model.off(name, call);
    this.resized.disconnect();
    this.themed.disconnect();
    this.playback.close();
    cancelAnimationFrame(this.frame ?? 0);
    this.closed = true;
  }

  /** @param {PointerEvent} event */
  onPress(event) {
    if (event.button) return;
    this.canvas.focus({ preventScroll: true });
    const origin = event.offsetX;
    const start = this.timeAt(origin);
    const found = hit(this.turns, this.chosen, start, this.seconds(EDGE_PX));
    const { canvas } = this;
    let dragged = false;
    canvas.setPointerCapture(event.pointerId);
    const move = (/** @type {PointerEvent} */ event) => {
      dragged ||= Math.abs(event.offsetX - origin) > CLICK_PX;
      if (!dragged) return;
      this.viewport.reach(this.timeAt(event.offsetX));
      this.dragTo(found, start, this.viewport.clamp(this.timeAt(event.offsetX)));
    };
    const drop = (/** @type {Event} */ event) => {
      canvas.removeEventListener("pointermove", move);
      for (const name of ["pointerup", "pointercancel"]) canvas.removeEventListener(name, drop);
      const { drag } = this;
      this.drag = null;
      if (drag && event.type === "pointerup") this.replace(drag.old, drag.turn);
      else this.pick(found?.turn ?? null, this.viewport.clamp(start));
    };
    canvas.addEventListener("pointermove", move);
    for (const name of ["pointerup", "pointercancel"]) canvas.addEventListener(name, drop);
  }

  /** @param {?Hit} found @param {number} start @param {number} time */
  dragTo(found, start, time) {
    const turn = found
      ? dragged(found.turn, found.side, start, time, this.viewport.duration)
      : this.newTurn(between(start, time));
    this.drag = { old: found?.turn ?? null, turn };
    this.draw();
  }

  /** @param {PointerEvent} event */
  onHover(event) {
    if (event.buttons) return;
    const reach = this.seconds(EDGE_PX);
    const found = hit(this.turns, this.chosen, this.timeAt(event.offsetX), reach);
    this.canvas.style.cursor = !found ? "text" : found.side === null ? "grab" : "ew-resize";
  }

  /** @param {WheelEvent} event */
  onWheel(event) {
    const along = event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY);
    const focused = document.activeElement === this.canvas;
    if (!focused && !event.ctrlKey && !event.metaKey) return; // leave the wheel to the page, which scrolls
    event.preventDefault();
    const turned = (along && event.deltaX) || event.deltaY;
    const lines = event.deltaMode === WheelEvent.DOM_DELTA_LINE ? 30 : 1;
    if (along) this.viewport.scroll(this.seconds(turned * lines));
    else this.viewport.zoom(1.0025 ** (turned * lines), this.timeAt(event.offsetX));
    this.draw();
  }

  /** @param {KeyboardEvent} event */
  onKey(event) {
    const control = event.ctrlKey || event.metaKey;
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    const { span, duration } = this.viewport;
    const step = span / (event.altKey ? 1000 : 100);
    /** @type {Record<string, () => void>} */
    const plain = {
      ArrowLeft: () => this.moveCursor(-step, event.shiftKey),
      ArrowRight: () => this.moveCursor(step, event.shiftKey),
      Home: () => this.moveCursor(-this.cursor, event.shiftKey),
      End: () => this.moveCursor(duration - this.cursor, event.shiftKey),
      ArrowUp: () => this.before(),
      ArrowDown: () => this.after(),
      PageUp: () => this.scroll(-span / 2),
      PageDown: () => this.scroll(span / 2),
      Enter: () => this.add(),
      Delete: () => this.remove(),
      Backspace: () => this.remove(),
      Escape: () => this.pick(null, this.cursor),
      " ": () => this.play(),
      "[": () => this.setEdge(0),
      "]": () => this.setEdge(1),
      "+": () => this.zoomIn(),
      "=": () => this.zoomIn(),
      "-": () => this.zoomOut(),
      "−": () => this.zoomOut(),
      0: () => this.zoomAll(),
    };
    /** @type {Record<string, () => void>} */
    const controlled = {
      z: () => (event.shiftKey ? this.redo() : this.undo()),
      y: () => this.redo(),
      s: () => this.save(),
    };
    const act = (control ? controlled : plain)[key];
    if (!act) return;
    event.preventDefault();
    event.stopPropagation();
    act();
  }

  onField() {
    if (!this.chosen) return;
    const values = ["0", "1", "2", "3"].map((name) => this.is(name).value);
    const [start, end] = values.slice(0, 2).map((value) => this.viewport.clamp(Number(value)));
    if (end - start < SHORTEST_S) {
      this.say("speech must end after it starts");
      this.showChosen();
      return;
    }
    this.replace(this.chosen, [rounded(start), rounded(end), values[2].trim(), values[3].trim()]);
  }

  onPlaying() {
    const text = this.playback.playing ? "■ Stop" : "▶ Play";
    this.button("play").textContent = text;
    if (!this.closed) this.draw();
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
    this.marked = null;
    if (turn) this.cursor = turn[0];
    this.model.set("turns", sorted(turn ? [...rest, turn] : rest));
    this.model.save_changes();
    if (this.model.get("status")) this.say("");
    this.draw();
  }

  /** @param {?Turn} turn @param {number} cursor */
  pick(turn, cursor) {
    this.selected = turn;
    this.marked = null;
    this.cursor = cursor;
    this.showChosen();
    this.draw();
  }

  showTurns() {
    this.show("count", summary(this.turns, this.viewport.duration));
    this.showChosen();
    this.draw();
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
      add: this.marked,
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
   * @param {Span} span
   * @returns {Turn}
   */
  newTurn([start, end]) {
    return [rounded(start), rounded(end), this.chosen?.[2] ?? "", ""];
  }

  add() {
    if (!this.marked) return;
    const turn = this.newTurn(this.marked);
    if (turn[1] - turn[0] >= SHORTEST_S) this.replace(null, turn);
  }

  remove() {
    if (this.chosen) this.replace(this.chosen, null);
  }

  /** @param {0 | 1} side */
  setEdge(side) {
    const { chosen } = this;
    if (!chosen) return;
    /** @type {Turn} */
    const turn = [...chosen];
    const cursor = this.cursor;
    turn[side] = rounded(cursor);
    if (turn[1] - turn[0] < SHORTEST_S) return;
    this.replace(chosen, turn);
    this.cursor = cursor;
    this.draw();
  }

  before() {
    this.goTo(turnBefore(this.turns, this.chosen, this.cursor));
  }

  after() {
    this.goTo(turnAfter(this.turns, this.chosen, this.cursor));
  }

  /** @param {Turn | undefined} turn */
  goTo(turn) {
    if (!turn) return;
    this.pick(turn, turn[0]);
    const [start, end] = turn;
    const inView = this.viewport.holds(start) && this.viewport.holds(end);
    if (!inView) this.centre((start + end) / 2);
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

  /** @param {number} start_s @param {number} end_s */
  async fetchAudio(start_s, end_s) {
    const { buffers } = await this.shared.ask({ ask: "sound", start_s, end_s });
    return ints(buffers[0]);
  }

  /** Fetch the picture of the visible stretch, unless it is there or on its way. */
  async fetchPicture() {
    const width = this.canvas.clientWidth * devicePixelRatio;
    if (this.fetching || !width || !this.viewport.duration) return;
    const wanted = wantedPicture(this.tiles, this.viewport, width);
    if (!wanted) return;
    this.fetching = true;
    const { start_s, end_s, columns, column_s } = wanted;
    const { content, buffers } = await this.shared.ask({ ask: "picture", columns, start_s, end_s });
    this.fetching = false;
    const tile = {
      start_s,
      end_s,
      column_s,
      wave_s: content.wave_s,
      level_s: content.level_s,
      low: ints(buffers[0]),
      high: ints(buffers[1]),
      levels: new Float32Array(copied(buffers[2])),
    };
    this.tiles = [...this.tiles.slice(0, 1), tile];
    if (this.tiles.length === 1) this.peak = Math.max(...tile.high, ...tile.low.map((s) => -s), 1);
    if (!this.closed) this.draw();
  }

  // -- the visible stretch --------------------------------------------------------------------------

  /** @param {number} x */
  timeAt(x) {
    return this.viewport.timeAt(x, this.canvas.clientWidth);
  }

  /** @param {number} px */
  seconds(px) {
    return this.viewport.seconds(px, this.canvas.clientWidth);
  }

  /**
   * Zoom around the cursor where it is in view, else around the middle.
   *
   * @param {number} factor
   */
  zoom(factor) {
    const { viewport, cursor } = this;
    const middle = (viewport.from + viewport.to) / 2;
    viewport.zoom(factor, viewport.holds(cursor) ? cursor : middle);
    this.draw();
  }

  zoomIn() {
    this.zoom(0.5);
  }

  zoomOut() {
    this.zoom(2);
  }

  zoomAll() {
    this.viewport.show(0, this.viewport.duration);
    this.draw();
  }

  /** @param {number} seconds */
  scroll(seconds) {
    this.viewport.scroll(seconds);
    this.draw();
  }

  /** @param {number} time */
  centre(time) {
    this.viewport.centre(time);
    this.draw();
  }

  /** @param {number} seconds @param {boolean} marking */
  moveCursor(seconds, marking) {
    const before = this.cursor;
    this.cursor = this.viewport.clamp(before + seconds);
    this.marked = marking ? extended(this.marked, before, this.cursor) : null;
    this.viewport.reach(this.cursor);
    this.showChosen();
    this.draw();
  }

  play() {
    if (this.playback.playing) return this.playback.stop();
    const { duration } = this.viewport;
    const [from, to] = this.marked ?? this.chosen ?? [this.cursor, duration];
    return this.playback.play(from, Math.min(to, duration));
  }

  // -- drawing --------------------------------------------------------------------------------------

  /** Draw before the browser next paints. */
  draw() {
    this.frame ??= requestAnimationFrame(() => {
      this.frame = undefined;
      this.paint();
    });
  }

  paint() {
    if (this.closed || !this.canvas.clientWidth) return;
    this.fetchPicture();
    const style = getComputedStyle(this.el);
    const color = (/** @type {string} */ name) => style.getPropertyValue(`--${name}`);
    this.paintOverview(fitted(this.overview), color);
    this.paintRecording(fitted(this.canvas), color);
    if (!this.playback.playing) return;
    const { time } = this.playback;
    if (!this.viewport.holds(time)) this.viewport.show(time, this.viewport.span);
    this.draw();
  }

  /** @param {Fitted} canvas @param {Color} color */
  paintOverview({ pen, width, height }, color) {
    const { from, to, duration } = this.viewport;
    const x = (/** @type {number} */ time) => (time / duration) * width;
    const box = { x, top: 0, height, width };
    for (const tile of this.tiles.slice(0, 1)) paintWave(pen, tile, this.peak, box, color("wave"));
    const { chosen } = this;
    for (const turn of this.turns) {
      pen.fillStyle = color(turn === chosen ? "chosen" : "speech");
      pen.fillRect(x(turn[0]), height - 5, Math.max(1.5, x(turn[1]) - x(turn[0])), 5);
    }
    pen.strokeStyle = color("ink");
    pen.lineWidth = 1.5;
    pen.strokeRect(x(from) + 0.75, 0.75, x(to) - x(from) - 1.5, height - 1.5);
  }

  /** @param {Fitted} canvas @param {Color} color */
  paintRecording({ pen, width, height }, color) {
    const { from, to } = this.viewport;
    const x = (/** @type {number} */ time) => this.viewport.xOf(time, width);
    const floor = height - AXIS_PX;
    const wave = { x, top: 0, height: floor * 0.58, width };
    const level = { x, top: floor * 0.62, height: floor * 0.38, width };
    pen.font = `11px ${color("font")}`;
    paintAxes(pen, { from, to, x, width, floor, level }, color);
    this.paintTurns(pen, x, floor, color);
    const fit = this.tiles.filter(({ start_s, end_s }) => start_s <= from && end_s >= to);
    const tile = fit.at(-1); // the finest
    if (tile) {
      paintWave(pen, tile, this.peak, wave, color("wave"));
      paintLevel(pen, tile, level, color("level"));
    }
    if (this.drag) paintTurn(pen, this.drag.turn, true, x, floor, color);
    this.paintUnscored(pen, x, floor, width, color);
    if (this.marked) {
      pen.fillStyle = color("marked");
      pen.fillRect(x(this.marked[0]), 0, x(this.marked[1]) - x(this.marked[0]), floor);
    }
    paintLine(pen, x(this.cursor), floor, color("ink"), [3, 2]);
    if (this.playback.playing) paintLine(pen, x(this.playback.time), floor, color("play"), []);
  }

  /**
   * Paint all turns but the one that is dragged.
   *
   * @param {Pen} pen
   * @param {Place} x
   * @param {number} floor
   * @param {Color} color
   */
  paintTurns(pen, x, floor, color) {
    const { chosen, drag } = this;
    for (const turn of this.turns) {
      if (drag?.old && same(turn, drag.old)) continue;
      paintTurn(pen, turn, turn === chosen && !drag, x, floor, color);
    }
  }

  /**
   * Dim the stretches that the labels do not score.
   *
   * @param {Pen} pen
   * @param {Place} x
   * @param {number} floor
   * @param {number} width
   * @param {Color} color
   */
  paintUnscored(pen, x, floor, width, color) {
    pen.fillStyle = color("unscored");
    for (const [start, end] of gaps(this.model.get("scored"), this.viewport.duration)) {
      const left = Math.max(0, x(start));
      pen.fillRect(left, 0, Math.min(width, x(end)) - left, floor);
    }
  }
}

/**
 * A copy of the bytes of a view: a typed array can start only at an aligned offset.
 *
 * @param {DataView} view
 */
const copied = (view) => view.buffer.slice(view.byteOffset, view.byteOffset + view.byteLength);
/** @param {DataView} view */
const ints = (view) => new Int16Array(copied(view));

// -- the widget -------------------------------------------------------------------------------------

/** The widget: one for each model, whose views share turns and requests. */
export default () => {
  const shared = /** @type {Shared} */ ({ waiting: new Map(), last: 0 });
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
      shared.ask = (content) =>
        new Promise((done) => {
          const id = ++shared.last;
          shared.waiting.set(id, done);
          model.send({ ...content, id });
        });
      model.on("msg:custom", (/** @type {any} */ content, /** @type {DataView[]} */ buffers) => {
        shared.waiting.get(content.id)?.({ content, buffers });
        shared.waiting.delete(content.id);
      });
    },
    /** @param {{model: any, el: HTMLElement}} widget */
    render({ model, el }) {
      const view = new View(model, el, shared);
      return () => view.close();
    },
  };
};
