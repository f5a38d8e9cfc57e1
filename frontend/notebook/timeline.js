// A recording over time on a canvas: overview, zoom, pan, playback, and the tracks of its owner.

import { arranged } from "./arrangement.js";
import { Layer, paintRuler, upright, viewOf } from "./canvas.js";
import { CONTROLS, Player } from "./controls.js";
import { WheelTurn, listenToPointers } from "./gestures.js";
import { copied } from "./kernel.js";
import { timelineKeys } from "./keys.js";
import { listenToOverview, paintOverview } from "./overview.js";
import { TrackMenu } from "./menu.js";
import { Pieces } from "./pieces.js";
import { SAVE_AUDIO, saveAudio, savePicture } from "./saving.js";
import { extraTracks } from "./segments.js";
import { turnWheel } from "./wheel.js";
import { Viewport, between, clock, extended } from "./viewport.js";

/**
 * @typedef {import("./gestures.js").Point} Point
 * @typedef {import("./gestures.js").Drag} Drag
 * @typedef {import("./tracks.js").Track} Track
 * @typedef {import("./tracks.js").View} View
 * @typedef {import("./tracks.js").Lane} Lane
 * @typedef {import("./pieces.js").Curve} Curve
 * @typedef {[start_s: number, end_s: number]} Stretch
 * @typedef {import("./kernel.js").Answer} Answer
 *
 * @typedef {object} Owner of a timeline: what it adds
 * @property {any} model of the widget, which has the arrangement of tracks
 * @property {string} name of the recording and what is shown of it
 * @property {string} [tools] HTML of more controls
 * @property {boolean} [isLive] whether it grows, and follows its end until somebody looks elsewhere
 * @property {(content: object) => Promise<Answer>} ask
 * @property {(point: Point) => ?Drag} [press] what a press begins, if not a selection
 * @property {(point: Point) => string} [pointer] the form of the mouse pointer
 * @property {(time: number, point: Point) => void} [pick] somebody has clicked
 * @property {() => ?Stretch} [chosen] what is played if nothing is selected
 * @property {(view: View, lane: Lane) => void} [under] paints below all tracks
 * @property {(view: View, lane: Lane) => void} [over] paints above all tracks
 * @property {(view: View, lane: Lane) => void} [overview] paints the recording on the overview
 * @property {(view: View, lane: Lane) => void} [marks] paints above it, on the overview
 * @property {(event: KeyboardEvent) => Record<string, () => void>} [keys] more of them
 * @property {() => void} [moved] the cursor or the selection has changed
 */

/** Height of the axis of time, in pixels. */
const RULER_PX = 18;

/** Space between two tracks, in pixels. */
const GAP_PX = 4;

/** How much larger a waveform can be made. */
const MOST_GAIN = 64;

const LIVE = `
<button type="button" data-do="toggleLive" title="go along with what comes (End)"
  aria-pressed="true">Live</button>`;

/** @param {Owner} owner */
const parts = ({ tools, isLive }) => `
<canvas class="overview" aria-hidden="true"></canvas>
<canvas class="sound" tabindex="0" role="application" data-lm-suppress-shortcuts="true"></canvas>
<div class="row tools">
  ${isLive ? LIVE : ""}
  ${CONTROLS}
  <span class="group" role="group" aria-label="zoom">
    <button type="button" data-do="zoomIn" title="zoom in (+)" aria-label="zoom in">+</button>
    <button type="button" data-do="zoomOut" title="zoom out (−)" aria-label="zoom out">−</button>
    <button type="button" data-do="zoomAll" title="the whole recording (0)">All</button>
  </span>
  <span class="group" role="group" aria-label="save">
    ${isLive ? "" : SAVE_AUDIO}
    <button type="button" data-do="savePicture" title="save the picture as PNG">PNG</button>
  </span>
  ${tools ?? ""}
  <span class="end"><span data-is="time"></span><span data-is="view"></span></span>
</div>`;

/** A timeline in an element. */
export class Timeline {
  /**
   * @param {HTMLElement} el
   * @param {number} duration in seconds
   * @param {Owner} owner
   */
  constructor(el, duration, owner) {
    this.el = el;
    this.owner = owner;
    el.classList.add("sttlab-timeline");
    el.insertAdjacentHTML("beforeend", parts(owner));
    this.map = /** @type {HTMLCanvasElement} */ (el.querySelector(".overview"));
    this.canvas = /** @type {HTMLCanvasElement} */ (el.querySelector(".sound"));
    this.canvas.setAttribute("aria-label", owner.name);
    this.viewport = new Viewport(duration);
    this.isLive = Boolean(owner.isLive); // whether the view goes along with the end
    this.cursor = 0;
    this.gain = 1; // of the waveform in the picture
    /** @type {?Stretch} */
    this.selection = null;
    /** @type {Track[]} */
    this.own = []; // of the owner
    /** @type {Track[]} */
    this.tracks = []; // that are shown
    /** @type {Map<string, Pieces>} */
    this.curves = new Map();
    this.colors = new Map();
    this.version = 0; // of what the recording looks like
    this.layers = { map: new Layer(), tracks: new Layer() };
    /** @type {number | undefined} */
    this.frame = undefined;
    this.closed = false;
    const fetch = async (/** @type {number} */ start_s, /** @type {number} */ end_s) => {
      const { buffers } = await owner.ask({ ask: "sound", start_s, end_s });
      return new Int16Array(copied(buffers[0]));
    };
    this.player = new Player(el, fetch, () => this.draw());
    this.wheel = new WheelTurn();
    this.menu = new TrackMenu(el, owner.model, () => this.arrange());
    this.extended = () => this.setTracks(this.own);
    owner.model.on("change:segments", this.extended);
    this.listen();
    this.showTime();
  }

  // -- what it shows ------------------------------------------------------------------------------

  /** @param {Track[]} tracks from above */
  setTracks(tracks) {
    this.own = tracks;
    this.menu.setTracks([...tracks, ...extraTracks(this.owner.model)]);
    this.arrange();
  }

  arrange() {
    this.tracks = arranged(this.menu.arrangement, this.menu.tracks);
    const height = this.tracks.reduce((sum, track) => sum + track.height + GAP_PX, RULER_PX);
    this.canvas.style.height = `${height}px`;
    this.redraw();
  }

  /**
   * The pieces of a curve, which all its tracks share.
   *
   * @param {Curve} curve
   */
  pieces(curve) {
    const known = this.curves.get(curve.name);
    if (known) return known;
    const fetch = async (/** @type {number} */ level, /** @type {number} */ index) => {
      const asked = { ask: "piece", curve: curve.name, level, index };
      const { buffers } = await this.owner.ask(asked);
      const [low, high, mean] = buffers.map((buffer) => new Float32Array(copied(buffer)));
      return { low, high, mean };
    };
    const made = new Pieces(curve, fetch, () => this.redraw());
    this.curves.set(curve.name, made);
    return made;
  }

  /** The tracks and their places. @returns {{track: Track, lane: Lane}[]} */
  get lanes() {
    let top = RULER_PX;
    return this.tracks.map((track) => {
      const lane = { top, height: track.height };
      top += track.height + GAP_PX;
      return { track, lane };
    });
  }

  /** The place of all tracks together. @returns {Lane} */
  get area() {
    return { top: RULER_PX, height: this.canvas.clientHeight - RULER_PX };
  }

  // -- events -------------------------------------------------------------------------------------

  listen() {
    const { el, canvas } = this;
    for (const button of el.querySelectorAll("[data-do]")) {
      const name = /** @type {HTMLElement} */ (button).dataset.do ?? "";
      if (name in this) button.addEventListener("click", () => /** @type {any} */ (this)[name]());
    }
    listenToPointers(
      canvas,
      (point) => this.press(point),
      ({ factor, from, to }) => {
        this.viewport.zoom(factor, this.timeAt(from));
        this.pan(this.seconds(from - to));
      },
    );
    canvas.addEventListener("pointermove", (event) => {
      if (event.buttons) return;
      const { offsetX: x, offsetY: y, pointerType: type, shiftKey: shift } = event;
      const point = { x, y, type, shift };
      canvas.style.cursor = y < RULER_PX ? "grab" : (this.owner.pointer?.(point) ?? "text");
    });
    canvas.addEventListener("keydown", (event) => this.onKey(event));
    for (const name of ["focus", "blur"]) canvas.addEventListener(name, () => this.draw());
    for (const each of [canvas, this.map]) {
      each.addEventListener("wheel", (event) => turnWheel(this, event, each), { passive: false });
    }
    listenToOverview(this.map, this.viewport, (from, to) => this.setView(from, to));
    this.resized = new ResizeObserver(() => this.draw());
    this.resized.observe(canvas);
    this.themed = new MutationObserver(() => {
      this.colors.clear();
      this.redraw();
    });
    this.themed.observe(document.body, { attributes: true });
    this.themed.observe(document.documentElement, { attributes: true });
    this.onOutside = (/** @type {WheelEvent} */ event) => {
      const inside = event.composedPath().some((each) => each === canvas || each === this.map);
      if (!inside) this.wheel.outside(event.timeStamp);
    };
    document.addEventListener("wheel", this.onOutside, { capture: true, passive: true });
  }

  close() {
    this.closed = true;
    this.resized?.disconnect();
    this.themed?.disconnect();
    if (this.onOutside) document.removeEventListener("wheel", this.onOutside, { capture: true });
    this.player.close();
    this.menu.close();
    this.owner.model.off("change:segments", this.extended);
    cancelAnimationFrame(this.frame ?? 0);
  }

  /** @param {Point} point @returns {Drag} */
  press(point) {
    this.setLive(false);
    if (point.y < RULER_PX) return this.panning(point);
    const own = this.owner.press?.(point);
    if (own) return own;
    return point.type === "touch" ? this.panning(point) : this.selecting(point);
  }

  /** @param {Point} start @returns {Drag} */
  panning(start) {
    let last = start.x;
    return {
      move: ({ x }) => {
        this.pan(this.seconds(last - x));
        last = x;
      },
      drop: (point, moved) => {
        if (!moved) this.pick(point);
      },
    };
  }

  /** @param {Point} start @returns {Drag} */
  selecting(start) {
    const fixed = this.viewport.clamp(this.timeAt(start.x));
    return {
      move: ({ x }) => {
        this.viewport.reach(this.timeAt(x));
        const time = this.viewport.clamp(this.timeAt(x));
        this.select(between(fixed, time));
      },
      drop: (point, moved) => {
        if (!moved) this.pick(point);
      },
    };
  }

  /** @param {Point} point */
  pick(point) {
    const time = this.viewport.clamp(this.timeAt(point.x));
    this.setCursor(time);
    this.owner.pick?.(time, point);
  }

  /** @param {KeyboardEvent} event */
  onKey(event) {
    const control = event.ctrlKey || event.metaKey;
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    const own = this.owner.keys?.(event) ?? {};
    const act = control ? own[`Control+${key}`] : (own[key] ?? timelineKeys(this, event)[key]);
    if (!act) return;
    event.preventDefault();
    event.stopPropagation();
    act();
  }

  // -- the cursor and the selection -----------------------------------------------------------------

  /** @param {number} time */
  setCursor(time) {
    this.cursor = this.viewport.clamp(time);
    this.selection = null;
    this.changed();
  }

  /** @param {?Stretch} stretch */
  select(stretch) {
    this.selection = stretch;
    if (stretch) this.cursor = stretch[0];
    this.changed();
  }

  /** @param {number} seconds @param {boolean} selecting */
  moveCursor(seconds, selecting) {
    const before = this.cursor;
    this.cursor = this.viewport.clamp(before + seconds);
    this.selection = selecting ? extended(this.selection, before, this.cursor) : null;
    this.viewport.reach(this.cursor);
    this.leave();
    this.changed();
  }

  /** @param {boolean} selecting */
  goToEnd(selecting) {
    this.moveCursor(this.viewport.duration - this.cursor, selecting);
    if (!selecting) this.setLive(true);
  }

  changed() {
    this.showTime();
    this.owner.moved?.();
    this.draw();
  }

  showTime() {
    const { cursor, selection, viewport, player } = this;
    if (player.time !== null) {
      this.show("time", `▶ ${clock(player.time, 0.01)} of ${clock(viewport.duration, 0.01)}`);
      return;
    }
    const [start, end] = selection ?? [cursor, cursor];
    const words = selection
      ? `${clock(start, 0.01)} – ${clock(end, 0.01)}, ${(end - start).toFixed(2)} s`
      : `${clock(start, 0.01)} of ${clock(viewport.duration, 0.01)}`;
    this.show("time", words);
  }

  showView() {
    const { from, to, span } = this.viewport;
    const size = span / 100;
    this.show("view", `in view ${clock(from, size)} – ${clock(to, size)}`);
  }

  /** @param {string} name @param {string} words */
  show(name, words) {
    const place = this.el.querySelector(`[data-is="${name}"]`);
    if (place && place.textContent !== words) place.textContent = words;
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

  /** @param {number} from @param {number} to */
  setView(from, to) {
    this.viewport.show(from, to - from);
    this.leave();
    this.draw();
  }

  /** @param {number} seconds */
  pan(seconds) {
    this.viewport.scroll(seconds);
    this.leave();
    this.draw();
  }

  /**
   * Bring a stretch into view if it isn't.
   *
   * @param {number} start
   * @param {number} end
   */
  reveal(start, end) {
    this.viewport.reveal(start, end);
    this.leave();
    this.draw();
  }

  /** Stop to follow what comes, or what is played, when somebody looks elsewhere. */
  leave() {
    if (this.viewport.to < this.viewport.duration - 1e-6) this.setLive(false);
    const { time } = this.player;
    if (time !== null && !this.viewport.holds(time)) this.player.setFollow(false);
  }

  /**
   * Take in what has come since.
   *
   * @param {number} begin what is before it is no longer known
   * @param {number} duration
   */
  grow(begin, duration) {
    this.viewport.grow(begin, duration, this.isLive);
    this.cursor = this.viewport.clamp(this.cursor);
    this.redraw();
  }

  toggleLive() {
    this.setLive(!this.isLive);
  }

  /** @param {boolean} on */
  setLive(on) {
    if (!this.owner.isLive || on === this.isLive) return;
    this.isLive = on;
    this.el.querySelector('[data-do="toggleLive"]')?.setAttribute("aria-pressed", String(on));
    if (on) this.viewport.show(this.viewport.duration, this.viewport.span);
    this.draw();
  }

  /**
   * Zoom around the cursor where it is in view, else around the middle.
   *
   * @param {number} factor
   */
  zoom(factor) {
    const { viewport, cursor } = this;
    const middle = this.isLive ? viewport.to : (viewport.from + viewport.to) / 2;
    viewport.zoom(factor, viewport.holds(cursor) && !this.isLive ? cursor : middle);
    this.draw();
  }

  zoomIn() {
    this.zoom(0.5);
  }

  zoomOut() {
    this.zoom(2);
  }

  zoomAll() {
    const { begin, duration } = this.viewport;
    this.viewport.show(begin, duration - begin);
    this.draw();
  }

  /** @param {number} factor */
  magnify(factor) {
    this.gain = Math.min(Math.max(this.gain * factor, 1), MOST_GAIN);
    this.draw();
  }

  saveAudio() {
    return saveAudio(this);
  }

  savePicture() {
    return savePicture(this);
  }

  // -- playback -------------------------------------------------------------------------------------

  /** Play the selection, what the owner has chosen, or from the cursor; or stop. */
  play() {
    this.setLive(false);
    const { duration } = this.viewport;
    const [from, to] = this.selection ?? this.owner.chosen?.() ?? [this.cursor, duration];
    this.player.toggle(from, Math.min(to, duration));
  }

  // -- drawing --------------------------------------------------------------------------------------

  /** Draw all, since the recording, its colours or its tracks look otherwise than before. */
  redraw() {
    this.version += 1;
    this.draw();
  }

  /** Draw before the browser next paints. */
  draw() {
    if (this.closed) return;
    this.frame ??= requestAnimationFrame(() => {
      this.frame = undefined;
      this.paint();
    });
  }

  /** @param {string} name */
  color(name) {
    if (!this.colors.has(name)) {
      const value = getComputedStyle(this.el).getPropertyValue(`--${name}`);
      this.colors.set(name, value.trim());
    }
    return this.colors.get(name);
  }

  paint() {
    if (this.closed || !this.canvas.clientWidth) return;
    const { time, following } = this.player;
    if (time !== null && following && !this.viewport.holds(time)) {
      this.viewport.show(time - this.viewport.span / 20, this.viewport.span);
    }
    const color = (/** @type {string} */ name) => this.color(name);
    const paint = (/** @type {View} */ view, /** @type {Lane} */ lane) => {
      this.layers.map.paint(view, `${this.version}`, (own) => this.owner.overview?.(own, lane));
      this.owner.marks?.(view, lane);
    };
    this.showView();
    this.showTime();
    paintOverview(this.map, this.viewport, color, paint, time);
    this.paintTracks(color);
    if (time !== null) this.draw();
  }

  /** @param {(name: string) => string} color */
  paintTracks(color) {
    const { viewport, owner, area } = this;
    const view = { ...viewOf(this.canvas, viewport.from, viewport.to, color), gain: this.gain };
    const { pen, x } = view;
    paintRuler(view, area);
    owner.under?.(view, area);
    const { lanes } = this;
    this.layers.tracks.paint(view, `${this.version} ${this.gain}`, (own) => {
      for (const { track, lane } of lanes) track.base?.(own, lane);
    });
    for (const { track, lane } of lanes) track.paint?.(view, lane);
    owner.over?.(view, area);
    if (this.selection) {
      const [start, end] = this.selection.map(x);
      pen.fillStyle = color("marked");
      pen.fillRect(start, area.top, end - start, area.height);
    }
    upright(pen, x(this.cursor), area, color("ink"), [3, 2]);
    const { time } = this.player;
    if (time !== null) upright(pen, x(time), area, color("play"));
  }
}
