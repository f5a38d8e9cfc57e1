// Labeler: a recording on a canvas, and on it the stretches in which somebody speaks.
//
// A turn is [start_s, end_s, speaker, text]. The model's turns are the truth; all views of a model
// follow them, and each change of them, whoever made it, can be undone.

const EDGE_PX = 6; // how near to an edge the mouse takes hold of it
const CLICK_PX = 4; // a drag that goes less far is a click
const SHORTEST_S = 0.02; // of a turn, and of what is in view
const UNDO_STEPS = 200;
const SAMPLE_RATE = 16000; // Hz, of the sound that the kernel sends
const CHUNK_S = 10; // of sound, asked for while the one before is playing
const LOWEST_DB = -80;
const AXIS_PX = 18;

// -- turns ----------------------------------------------------------------------------------------

/** Seconds as they are kept: to the millisecond, as RTTM keeps them. */
export const rounded = (seconds) => Math.round(seconds * 1000) / 1000;

/** Whether two turns are one; the kernel's echo makes new arrays of them. */
export const same = (one, other) => one === other || String(one) === String(other);

export const sorted = (turns) => [...turns].sort((a, b) => a[0] - b[0] || a[1] - b[1]);

/** What was there before, and before that. */
export class History {
  constructor(value) {
    this.value = value;
    this.past = [];
    this.future = [];
  }

  take(value) {
    this.past = [...this.past, this.value].slice(-UNDO_STEPS);
    this.future = [];
    this.value = value;
  }

  travel(from, to) {
    if (!from.length) return undefined;
    to.push(this.value);
    this.value = from.pop();
    return this.value;
  }

  undo() {
    return this.travel(this.past, this.future);
  }

  redo() {
    return this.travel(this.future, this.past);
  }
}

/** Which edge or turn lies under a time; what is selected comes first. */
export function hit(turns, selected, time, reach) {
  const first = selected ? [selected, ...turns.filter((turn) => !same(turn, selected))] : turns;
  for (const turn of first) {
    const near = [0, 1].filter((side) => Math.abs(turn[side] - time) <= reach);
    if (near.length) {
      const side = near.length > 1 && turn[1] - time < time - turn[0] ? 1 : near[0];
      return { turn, side };
    }
  }
  const turn = first.find((turn) => turn[0] <= time && time <= turn[1]);
  return turn ? { turn, side: null } : null;
}

// -- scales ---------------------------------------------------------------------------------------

/** A round step, so that about `count` of them fill a span of seconds. */
export function step(span, count) {
  const steps = [60, 120, 300, 600, 900, 1800, 3600];
  const least = span / count;
  if (least > 60) return steps.find((s) => s >= least) ?? 7200;
  if (least > 30) return 60;
  if (least > 10) return least > 15 ? 30 : 15;
  const power = 10 ** Math.floor(Math.log10(least));
  return [1, 2, 5, 10].map((m) => m * power).find((s) => s >= least * 0.999);
}

/** 75.5 -> "1:15.500", with as many decimals as a step needs. */
export function clock(seconds, stepSize = 0.001) {
  const decimals = Math.max(0, Math.ceil(-Math.log10(stepSize) - 1e-9));
  const text = (seconds % 60).toFixed(decimals);
  if (Number(text) >= 60) return clock(Math.round(seconds), 1);
  const minutes = Math.floor(seconds / 60);
  return `${minutes}:${text.padStart(decimals ? decimals + 3 : 2, "0")}`;
}

// -- sound ----------------------------------------------------------------------------------------

class Player {
  constructor(fetch) {
    this.fetch = fetch; // (start_s, end_s) -> Promise of Int16Array
    this.onChange = () => {};
    this.run = 0;
    this.nodes = [];
  }

  get playing() {
    return this.nodes.length > 0;
  }

  /** Where in the recording the loudspeaker is. */
  get time() {
    const now = this.context.currentTime;
    const at = this.nodes.findLast((node) => node.when <= now) ?? this.nodes[0];
    return Math.min(at.from + Math.max(0, now - at.when), at.until);
  }

  async play(from, to) {
    this.stop();
    const run = this.run;
    this.context ??= new AudioContext();
    await this.context.resume();
    for (let at = from, when = 0; at < to - 1e-6; ) {
      const until = Math.min(at + CHUNK_S, to);
      const samples = await this.fetch(at, until);
      if (run !== this.run || !samples.length) return;
      when = Math.max(when, this.context.currentTime + 0.03);
      const last = until >= to - 1e-6;
      when = this.schedule(samples, when, at, until, last);
      at = until;
      const ahead = when - this.context.currentTime - CHUNK_S / 2;
      await new Promise((done) => setTimeout(done, Math.max(0, ahead) * 1000));
      if (run !== this.run) return;
    }
  }

  schedule(samples, when, from, until, last) {
    const buffer = this.context.createBuffer(1, samples.length, SAMPLE_RATE);
    buffer.copyToChannel(Float32Array.from(samples, (s) => s / 32768), 0);
    const node = this.context.createBufferSource();
    node.buffer = buffer;
    node.connect(this.context.destination);
    node.start(when);
    this.nodes.push(Object.assign(node, { when, from, until }));
    if (last) node.onended = () => this.stop();
    this.onChange();
    return when + buffer.duration;
  }

  stop() {
    this.run += 1;
    for (const node of this.nodes) {
      node.onended = null;
      node.stop();
    }
    this.nodes = [];
    this.onChange();
  }

  close() {
    this.stop();
    this.context?.close();
  }
}

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
  constructor(model, el, shared) {
    this.model = model;
    this.shared = shared;
    this.duration = model.get("duration_s");
    this.from = 0;
    this.to = this.duration || 1;
    this.cursor = 0;
    this.marked = null; // [start_s, end_s] that is not speech yet
    this.selected = null; // the turn that was selected last
    this.draft = null; // [the turn that is dragged, what it would become]
    this.tiles = []; // pictures, the coarsest first
    this.player = new Player((start_s, end_s) => this.fetchSound(start_s, end_s));
    this.player.onChange = () => this.onPlaying();
    this.build(el);
    this.listen();
    this.showTurns();
    this.show("status", model.get("status"));
    this.is("path").value = model.get("path");
    this.draw();
  }

  build(el) {
    el.classList.add("sttlab-labeler");
    el.innerHTML = PAGE;
    this.el = el;
    this.overview = el.querySelector(".overview");
    this.canvas = el.querySelector(".sound");
    const name = this.model.get("name") || "recording";
    this.canvas.setAttribute("aria-label", `${name}: sound and speech over time. Keys stand below.`);
    for (const button of el.querySelectorAll("button")) {
      button.type = "button";
      button.addEventListener("click", () => this[button.dataset.do]());
    }
  }

  is(name) {
    return this.el.querySelector(`[data-is="${name}"]`);
  }

  show(name, text) {
    const element = this.is(name);
    if (element.textContent !== text) element.textContent = text;
  }

  // -- what happens -----------------------------------------------------------------------------

  listen() {
    const { model, canvas, overview } = this;
    this.events = [
      ["change:turns", () => this.showTurns()],
      ["change:scored", () => this.draw()],
      ["change:status", () => this.show("status", model.get("status"))],
      ["change:path", () => (this.is("path").value = model.get("path"))],
    ];
    for (const [name, call] of this.events) model.on(name, call);
    canvas.addEventListener("pointerdown", (event) => this.onPress(event));
    canvas.addEventListener("pointermove", (event) => this.onHover(event));
    canvas.addEventListener("wheel", (event) => this.onWheel(event), { passive: false });
    canvas.addEventListener("keydown", (event) => this.onKey(event));
    for (const name of ["focus", "blur"]) canvas.addEventListener(name, () => this.draw());
    const scroll = (event) => event.buttons && this.centre(this.overviewTime(event));
    overview.addEventListener("pointerdown", (event) => {
      overview.setPointerCapture(event.pointerId);
      scroll(event);
    });
    overview.addEventListener("pointermove", scroll);
    for (const name of ["0", "1", "2", "3"]) {
      this.is(name).addEventListener("change", () => this.onField());
    }
    this.is("path").addEventListener("change", (event) => {
      model.set("path", event.target.value);
      model.save_changes();
    });
    this.resized = new ResizeObserver(() => this.draw());
    this.resized.observe(canvas);
    this.themed = new MutationObserver(() => this.draw());
    this.themed.observe(document.body, { attributes: true });
  }

  close() {
    for (const [name, call] of this.events) this.model.off(name, call);
    this.resized.disconnect();
    this.themed.disconnect();
    this.player.close();
    cancelAnimationFrame(this.frame);
    this.closed = true;
  }

  onPress(event) {
    if (event.button) return;
    this.canvas.focus({ preventScroll: true });
    const origin = event.offsetX;
    const start = this.timeAt(origin);
    const found = hit(this.turns, this.chosen, start, this.seconds(EDGE_PX));
    const { canvas } = this;
    let dragged = false;
    canvas.setPointerCapture(event.pointerId);
    const move = (event) => {
      dragged ||= Math.abs(event.offsetX - origin) > CLICK_PX;
      if (!dragged) return;
      this.keepInView(this.timeAt(event.offsetX));
      this.dragTo(found, start, this.clamp(this.timeAt(event.offsetX)));
    };
    const drop = (event) => {
      canvas.removeEventListener("pointermove", move);
      for (const name of ["pointerup", "pointercancel"]) canvas.removeEventListener(name, drop);
      const draft = this.draft;
      this.draft = null;
      if (draft && event.type === "pointerup") this.replace(...draft);
      else this.pick(found?.turn ?? null, this.clamp(start));
    };
    canvas.addEventListener("pointermove", move);
    for (const name of ["pointerup", "pointercancel"]) canvas.addEventListener(name, drop);
  }

  dragTo(found, start, time) {
    let [a, b, ...words] = found?.turn ?? [start, start, this.chosen?.[2] ?? "", ""];
    if (!found) [a, b] = [Math.min(start, time), Math.max(start, time)];
    else if (found.side === 0) a = Math.min(time, b - SHORTEST_S);
    else if (found.side === 1) b = Math.max(time, a + SHORTEST_S);
    else {
      const shift = Math.min(Math.max(time - start, -a), Math.max(0, this.duration - b));
      [a, b] = [a + shift, b + shift];
    }
    this.draft = [found?.turn ?? null, [rounded(a), rounded(b), ...words]];
    this.draw();
  }

  onHover(event) {
    if (event.buttons) return;
    const reach = this.seconds(EDGE_PX);
    const found = hit(this.turns, this.chosen, this.timeAt(event.offsetX), reach);
    this.canvas.style.cursor = !found ? "text" : found.side === null ? "grab" : "ew-resize";
  }

  onWheel(event) {
    const along = event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY);
    const focused = document.activeElement === this.canvas;
    if (!focused && !event.ctrlKey && !event.metaKey) return; // the page scrolls
    event.preventDefault();
    const turned = (along && event.deltaX) || event.deltaY;
    const lines = event.deltaMode === WheelEvent.DOM_DELTA_LINE ? 30 : 1;
    if (along) this.scroll(this.seconds(turned * lines));
    else this.zoom(1.0025 ** (turned * lines), this.timeAt(event.offsetX));
  }

  onKey(event) {
    const control = event.ctrlKey || event.metaKey;
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    const step = (this.to - this.from) / (event.altKey ? 1000 : 100);
    const plain = {
      ArrowLeft: () => this.moveCursor(-step, event.shiftKey),
      ArrowRight: () => this.moveCursor(step, event.shiftKey),
      Home: () => this.moveCursor(-this.cursor, event.shiftKey),
      End: () => this.moveCursor(this.duration - this.cursor, event.shiftKey),
      ArrowUp: () => this.before(),
      ArrowDown: () => this.after(),
      PageUp: () => this.scroll((this.from - this.to) / 2),
      PageDown: () => this.scroll((this.to - this.from) / 2),
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
    const start = this.clamp(Number(values[0]));
    const end = this.clamp(Number(values[1]));
    if (end - start < SHORTEST_S) {
      this.say("speech must end after it starts");
      this.showChosen();
      return;
    }
    this.replace(this.chosen, [rounded(start), rounded(end), values[2].trim(), values[3].trim()]);
  }

  onPlaying() {
    this.el.querySelector('[data-do="play"]').textContent = this.player.playing ? "■ Stop" : "▶ Play";
    if (!this.closed) this.draw();
  }

  // -- turns ------------------------------------------------------------------------------------

  get turns() {
    return this.model.get("turns");
  }

  /** The turn that is selected, while it is there. */
  get chosen() {
    return this.selected && (this.turns.find((turn) => same(turn, this.selected)) ?? null);
  }

  /** Put a turn in the place of another; null is none. */
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

  pick(turn, cursor) {
    this.selected = turn;
    this.marked = null;
    this.cursor = cursor;
    this.showChosen();
    this.draw();
  }

  showTurns() {
    const speech = this.turns.reduce((sum, turn) => sum + turn[1] - turn[0], 0);
    const late = this.turns.filter((turn) => turn[1] > this.duration + 0.05).length;
    const beyond = late ? `; ${late} reach beyond the end of the recording` : "";
    this.show("count", `${this.turns.length} stretches of speech, ${speech.toFixed(1)} s${beyond}`);
    this.showChosen();
    this.draw();
  }

  showChosen() {
    const { turns, chosen } = this;
    const index = turns.indexOf(chosen);
    this.show("which", `Speech ${chosen ? index + 1 : "–"} of ${turns.length}`);
    for (const side of [0, 1, 2, 3]) {
      const field = this.is(side);
      field.disabled = !chosen;
      field.value = chosen ? (side < 2 ? chosen[side].toFixed(3) : chosen[side]) : "";
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
      this.el.querySelector(`[data-do="${name}"]`).disabled = !can;
    }
  }

  add() {
    if (!this.marked) return;
    const [start, end] = this.marked.map(rounded);
    if (end - start >= SHORTEST_S) this.replace(null, [start, end, this.chosen?.[2] ?? "", ""]);
  }

  remove() {
    if (this.chosen) this.replace(this.chosen, null);
  }

  setEdge(side) {
    const { chosen } = this;
    if (!chosen) return;
    const turn = [...chosen];
    const cursor = this.cursor;
    turn[side] = rounded(cursor);
    if (turn[1] - turn[0] < SHORTEST_S) return;
    this.replace(chosen, turn);
    this.cursor = cursor;
    this.draw();
  }

  before() {
    const { turns, chosen } = this;
    const at = chosen ? turns.indexOf(chosen) : turns.findIndex((t) => t[0] > this.cursor);
    this.goTo(turns[(at < 0 ? turns.length : at) - 1] ?? turns[0]);
  }

  after() {
    const { turns, chosen } = this;
    const next = turns.find((t) => t[0] > this.cursor);
    this.goTo(chosen ? turns[turns.indexOf(chosen) + 1] : next);
  }

  goTo(turn) {
    if (!turn) return;
    this.pick(turn, turn[0]);
    if (turn[0] < this.from || turn[1] > this.to) this.centre((turn[0] + turn[1]) / 2);
  }

  undo() {
    this.shared.travel("undo");
  }

  redo() {
    this.shared.travel("redo");
  }

  // -- what the kernel does -----------------------------------------------------------------------

  say(words) {
    this.model.set("status", words);
    this.model.save_changes();
  }

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

  async fetchSound(start_s, end_s) {
    const { buffers } = await this.shared.ask({ ask: "sound", start_s, end_s });
    return ints(buffers[0]);
  }

  /** Have the picture of what is in view come, with as much again to each side. */
  async fetchPicture() {
    const span = this.to - this.from;
    const width = this.canvas.clientWidth * devicePixelRatio;
    const wanted = this.tiles.length
      ? { start_s: Math.max(0, this.from - span), end_s: Math.min(this.duration, this.to + span) }
      : { start_s: 0, end_s: this.duration };
    const fine = span / width / 0.9; // seconds in a column that will do
    const there = this.tiles.some(
      (tile) => tile.start_s <= this.from && tile.end_s >= this.to && tile.column_s <= fine,
    );
    if (this.fetching || there || !width || !this.duration) return;
    this.fetching = true;
    const columns = Math.ceil((wanted.end_s - wanted.start_s) / span * width * 1.2);
    const { content, buffers } = await this.shared.ask({ ask: "picture", columns, ...wanted });
    this.fetching = false;
    const tile = {
      ...wanted,
      column_s: Math.min((wanted.end_s - wanted.start_s) / columns, fine),
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

  // -- time -----------------------------------------------------------------------------------------

  timeAt(x) {
    return this.from + this.seconds(x);
  }

  seconds(px) {
    return (px / this.canvas.clientWidth) * (this.to - this.from);
  }

  overviewTime(event) {
    return (event.offsetX / this.overview.clientWidth) * this.duration;
  }

  clamp(time) {
    return Math.min(Math.max(time, 0), this.duration);
  }

  setView(from, span) {
    span = Math.min(Math.max(span, SHORTEST_S), this.duration || 1);
    this.from = Math.min(Math.max(from, 0), Math.max(0, this.duration - span));
    this.to = this.from + span;
    this.draw();
  }

  zoom(factor, around) {
    const span = (this.to - this.from) * factor;
    const share = (around - this.from) / (this.to - this.from);
    this.setView(around - share * span, span);
  }

  zoomIn() {
    this.zoom(0.5, this.middle());
  }

  zoomOut() {
    this.zoom(2, this.middle());
  }

  zoomAll() {
    this.setView(0, this.duration);
  }

  /** The cursor, where it is in view. */
  middle() {
    const inView = this.from <= this.cursor && this.cursor <= this.to;
    return inView ? this.cursor : (this.from + this.to) / 2;
  }

  scroll(seconds) {
    this.setView(this.from + seconds, this.to - this.from);
  }

  centre(time) {
    const span = this.to - this.from;
    this.setView(time - span / 2, span);
  }

  keepInView(time) {
    if (time < this.from) this.scroll(time - this.from);
    else if (time > this.to) this.scroll(time - this.to);
  }

  moveCursor(seconds, marking) {
    const before = this.cursor;
    this.cursor = this.clamp(before + seconds);
    if (marking) {
      const fixed = this.marked ? this.marked[this.marked[0] === before ? 1 : 0] : before;
      this.marked = [Math.min(fixed, this.cursor), Math.max(fixed, this.cursor)];
    } else this.marked = null;
    this.keepInView(this.cursor);
    this.showChosen();
    this.draw();
  }

  play() {
    if (this.player.playing) return this.player.stop();
    const [from, to] = this.marked ?? this.chosen ?? [this.cursor, this.duration];
    return this.player.play(from, Math.min(to, this.duration));
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
    const color = (name) => style.getPropertyValue(`--${name}`);
    this.paintOverview(fitted(this.overview), color);
    this.paintSound(fitted(this.canvas), color);
    if (!this.player.playing) return;
    const time = this.player.time;
    if (time < this.from || time > this.to) this.setView(time, this.to - this.from);
    this.draw();
  }

  paintOverview({ pen, width, height }, color) {
    const x = (time) => (time / this.duration) * width;
    const box = { x, top: 0, height, width };
    for (const tile of this.tiles.slice(0, 1)) paintWave(pen, tile, this.peak, box, color("wave"));
    const { chosen } = this;
    for (const turn of this.turns) {
      pen.fillStyle = color(turn === chosen ? "chosen" : "speech");
      pen.fillRect(x(turn[0]), height - 5, Math.max(1.5, x(turn[1]) - x(turn[0])), 5);
    }
    pen.strokeStyle = color("ink");
    pen.lineWidth = 1.5;
    pen.strokeRect(x(this.from) + 0.75, 0.75, x(this.to) - x(this.from) - 1.5, height - 1.5);
  }

  paintSound({ pen, width, height }, color) {
    const x = (time) => ((time - this.from) / (this.to - this.from)) * width;
    const floor = height - AXIS_PX;
    const wave = { x, top: 0, height: floor * 0.58, width };
    const level = { x, top: floor * 0.62, height: floor * 0.38, width };
    pen.font = `11px ${color("font")}`;
    paintAxes(pen, { from: this.from, to: this.to, x, width, floor, level }, color);
    const [old, draft] = this.draft ?? [];
    const { chosen } = this;
    for (const turn of this.turns) {
      if (!old || !same(turn, old)) paintTurn(pen, turn, turn === chosen && !draft, x, floor, color);
    }
    const tiles = this.tiles.filter((tile) => tile.start_s <= this.from && tile.end_s >= this.to);
    for (const tile of tiles.slice(-1)) {
      paintWave(pen, tile, this.peak, wave, color("wave"));
      paintLevel(pen, tile, level, color("level"));
    }
    if (draft) paintTurn(pen, draft, true, x, floor, color);
    this.paintUnscored(pen, x, floor, width, color);
    if (this.marked) {
      pen.fillStyle = color("marked");
      pen.fillRect(x(this.marked[0]), 0, x(this.marked[1]) - x(this.marked[0]), floor);
    }
    paintLine(pen, x(this.cursor), floor, color("ink"), [3, 2]);
    if (this.player.playing) paintLine(pen, x(this.player.time), floor, color("play"), []);
  }

  /** Dim what the labels say nothing about. */
  paintUnscored(pen, x, floor, width, color) {
    const scored = this.model.get("scored");
    if (!scored) return;
    pen.fillStyle = color("unscored");
    let end = 0;
    for (const [start, stop] of [...scored, [this.duration, this.duration]]) {
      const left = Math.max(0, x(end));
      if (start > end) pen.fillRect(left, 0, Math.min(width, x(start)) - left, floor);
      end = stop;
    }
  }
}

// -- drawing ----------------------------------------------------------------------------------------

/** A canvas as sharp as the screen, cleared, and its pen. */
function fitted(canvas) {
  const [width, height] = [canvas.clientWidth, canvas.clientHeight];
  const [across, down] = [width, height].map((px) => Math.round(px * devicePixelRatio));
  if (canvas.width !== across || canvas.height !== down) {
    [canvas.width, canvas.height] = [across, down];
  }
  const pen = canvas.getContext("2d");
  pen.setTransform(devicePixelRatio, 0, 0, devicePixelRatio, 0, 0);
  pen.clearRect(0, 0, width, height);
  return { pen, width, height };
}

/** Position of the columns of a tile, and which of them are in a box. */
function columns(count, [start, end], { x, width }) {
  const at = (i) => x(start + ((end - start) * i) / count);
  const perPx = count / (x(end) - x(start));
  const first = Math.max(0, Math.floor((0 - x(start)) * perPx) - 1);
  const past = Math.min(count, Math.ceil((width - x(start)) * perPx) + 1);
  return { at, first, past };
}

function paintWave(pen, tile, peak, box, color) {
  const { at, first, past } = columns(tile.low.length, tile.wave_s, box);
  const middle = box.top + box.height / 2;
  const y = (sample) => middle - (sample / peak) * (box.height / 2 - 1);
  pen.beginPath();
  for (let i = first; i < past; i++) pen.lineTo(at(i + 0.5), y(tile.high[i]) - 0.4);
  for (let i = past - 1; i >= first; i--) pen.lineTo(at(i + 0.5), y(tile.low[i]) + 0.4);
  pen.closePath();
  pen.fillStyle = color;
  pen.fill();
}

const levelY = (level, box) => box.top + box.height * Math.min(1, Math.max(0, level / LOWEST_DB));

function paintLevel(pen, tile, box, color) {
  const { at, first, past } = columns(tile.levels.length, tile.level_s, box);
  pen.beginPath();
  for (let i = first; i < past; i++) {
    pen.lineTo(at(i), levelY(tile.levels[i], box));
    pen.lineTo(at(i + 1), levelY(tile.levels[i], box));
  }
  pen.strokeStyle = color;
  pen.lineWidth = 1.2;
  pen.setLineDash([]);
  pen.stroke();
}

function paintAxes(pen, { from, to, x, width, floor, level }, color) {
  const size = step(to - from, width / 90);
  pen.fillStyle = pen.strokeStyle = color("grid");
  pen.lineWidth = 1;
  pen.setLineDash([]);
  for (let time = Math.ceil(from / size) * size; time <= to; time += size) {
    pen.fillStyle = color("grid");
    pen.fillRect(x(time), 0, 1, floor);
    pen.fillStyle = color("faint");
    if (x(time) < width - 40) pen.fillText(clock(time, size), x(time) + 3, floor + 13);
  }
  for (const decibels of [-20, -40, -60]) {
    const y = levelY(decibels, level);
    pen.fillStyle = color("grid");
    pen.fillRect(0, y, width, 1);
    pen.fillStyle = color("faint");
    pen.fillText(`${decibels}${decibels === -20 ? " dBFS" : ""}`.replace("-", "−"), 3, y - 2);
  }
}

function paintTurn(pen, turn, chosen, x, floor, color) {
  const [left, right] = [x(turn[0]), x(turn[1])];
  const width = Math.max(1, right - left);
  pen.fillStyle = color(chosen ? "chosen" : "speech");
  pen.globalAlpha = chosen ? 0.3 : 0.22;
  pen.fillRect(left, 0, width, floor);
  pen.globalAlpha = 1;
  for (const edge of [left, right]) pen.fillRect(edge - 0.75, 0, 1.5, floor);
  const words = [turn[2], turn[3]].filter(Boolean).join(": ");
  if (!words || width < 24) return;
  pen.save();
  pen.beginPath();
  pen.rect(left, 0, width - 3, floor);
  pen.clip();
  pen.fillStyle = color("ink");
  pen.fillText(words, left + 4, 12);
  pen.restore();
}

function paintLine(pen, x, floor, color, dash) {
  pen.beginPath();
  pen.setLineDash(dash);
  pen.moveTo(x, 0);
  pen.lineTo(x, floor);
  pen.strokeStyle = color;
  pen.lineWidth = 1.5;
  pen.stroke();
}

const copied = (view) => view.buffer.slice(view.byteOffset, view.byteOffset + view.byteLength);
const ints = (view) => new Int16Array(copied(view));

// -- the widget -------------------------------------------------------------------------------------

/** One for each model: what its views share. */
export default () => {
  const shared = { waiting: new Map(), last: 0 };
  return {
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
      model.on("msg:custom", (content, buffers) => {
        shared.waiting.get(content.id)?.({ content, buffers });
        shared.waiting.delete(content.id);
      });
    },
    render({ model, el }) {
      const view = new View(model, el, shared);
      return () => view.close();
    },
  };
};
