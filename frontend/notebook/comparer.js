// Two runs on one axis of time, and their differences as a list: choose one to see and hear it.

import { widgetOf } from "./kernel.js";
import { TIMELINE_KEYS, keyList } from "./keys.js";
import { aboveStrip, strip } from "./overview.js";
import { segmentsFrom, segmentsTrack } from "./segments.js";
import { Timeline } from "./timeline.js";
import { curveTrack, paintShade, paintWave, waveTrack } from "./tracks.js";
import { clock } from "./viewport.js";
import { LINE_PX, visibleRows } from "./rows.js";

/**
 * @typedef {[start_s: number, end_s: number]} Stretch
 *
 * @typedef {object} Row a difference
 * @property {?Stretch} a where it is in the first run
 * @property {?Stretch} b
 * @property {string} kind
 * @property {?number} words that differ
 * @property {string} delays
 * @property {[string, string]} texts
 */

const COMPARER_KEYS = [
  ["↑ ↓", "choose the difference before, after"],
  ["1, 2", "hear it as the first, the second run has it"],
  ["click", "on a bar: choose the difference there, or the place"],
  ...TIMELINE_KEYS,
];

/** What is in view beside a difference, in seconds. */
const BESIDE_S = 3;

const LIST = `
<div class="sttlab-comparer-list">
  <div class="list" role="grid" tabindex="0" aria-label="differences"
    data-lm-suppress-shortcuts="true"><div class="body" role="rowgroup"></div></div>
  <div class="details" role="status"></div>
</div>`;

/** @param {Row} row @returns {Stretch} all of it */
export function wholeOf({ a, b }) {
  const both = [a, b].flatMap((stretch) => (stretch ? [stretch] : []));
  return [Math.min(...both.map(([start]) => start)), Math.max(...both.map(([, end]) => end))];
}

class Comparison {
  /**
   * @param {any} model
   * @param {HTMLElement} el
   * @param {(content: object) => Promise<any>} ask
   */
  constructor(model, el, ask) {
    this.model = model;
    this.ask = ask;
    /** @type {Row[]} */
    this.rows = model.get("rows");
    this.wholes = this.rows.map(wholeOf);
    const shades = this.wholes.map(([start, end]) => ({ start, end }));
    const keys = () => ({
      ArrowUp: () => this.choose(this.chosen - 1),
      ArrowDown: () => this.choose(this.chosen + 1),
      1: () => this.hear("a"),
      2: () => this.hear("b"),
    });
    this.timeline = new Timeline(el, model.get("duration_s"), {
      model,
      name: `${model.get("name")}: the utterances of two runs. Keys stand below.`,
      ask,
      pick: (time) => this.pick(time),
      chosen: () => this.wholes[this.chosen] ?? null,
      under: (view) => this.paintChosen(view),
      overview: (view, lane) => {
        paintWave(view, aboveStrip(lane), wave);
        paintShade(view, strip(lane), shades, "found");
      },
      keys,
    });
    const [curve, level] = model.get("curves");
    const wave = this.timeline.pieces(curve);
    const sides = model.get("sides").map(segmentsFrom);
    const [first, second] = model.get("titles");
    this.timeline.setTracks([
      waveTrack(wave, 76),
      curveTrack(level.label, this.timeline.pieces(level), level, 90),
      segmentsTrack(`first: ${first}`, () => sides[0], { color: "other" }),
      segmentsTrack(`second: ${second}`, () => sides[1], { color: "found" }),
    ]);
    el.insertAdjacentHTML("beforeend", LIST + keyList(COMPARER_KEYS));
    this.list = /** @type {HTMLElement} */ (el.querySelector(".list"));
    this.body = /** @type {HTMLElement} */ (el.querySelector(".body"));
    this.details = /** @type {HTMLElement} */ (el.querySelector(".details"));
    this.body.style.height = `${this.rows.length * LINE_PX}px`;
    /** @type {HTMLElement} */ (el.querySelector(".sttlab-comparer-list")).hidden = !this.rows.length;
    this.list.addEventListener("scroll", () => this.showRows());
    this.list.addEventListener("click", (event) => this.onClick(event));
    this.list.addEventListener("keydown", (event) => {
      const act = /** @type {Record<string, () => void>} */ (keys())[event.key];
      if (!act || event.ctrlKey || event.metaKey || event.altKey) return;
      event.preventDefault();
      event.stopPropagation();
      act();
    });
    this.resized = new ResizeObserver(() => this.showRows());
    this.resized.observe(this.list);
    this.onChosen = () => this.show();
    model.on("change:chosen", this.onChosen);
    this.show();
  }

  close() {
    this.model.off("change:chosen", this.onChosen);
    this.resized.disconnect();
    this.timeline.close();
  }

  /** @returns {number} */
  get chosen() {
    return this.model.get("chosen");
  }

  /** @param {number} i */
  choose(i) {
    if (!this.rows.length) return;
    const chosen = Math.min(Math.max(i, 0), this.rows.length - 1);
    this.model.set("chosen", chosen);
    this.model.save_changes();
    const [start, end] = this.wholes[chosen];
    this.timeline.setView(start - BESIDE_S, end + BESIDE_S);
    this.timeline.setCursor(start);
  }

  /** @param {number} time */
  pick(time) {
    const i = this.wholes.findIndex(([start, end]) => start <= time && time <= end);
    if (i < 0) return;
    this.model.set("chosen", i);
    this.model.save_changes();
  }

  /** @param {"a" | "b"} side */
  hear(side) {
    const stretch = this.rows[this.chosen]?.[side];
    if (stretch) this.timeline.player.play(...stretch);
  }

  // -- what is shown --------------------------------------------------------------------------------

  /** Show the chosen difference. */
  async show() {
    const { chosen, list } = this;
    this.timeline.draw();
    if (chosen >= 0) {
      const top = chosen * LINE_PX;
      if (top < list.scrollTop) list.scrollTop = top;
      const under = top + LINE_PX - list.clientHeight;
      if (under > list.scrollTop) list.scrollTop = under;
    }
    this.showRows();
    if (chosen < 0) return void this.details.replaceChildren();
    const { content } = await this.ask({ ask: "details", row: chosen });
    if (chosen === this.chosen) this.details.innerHTML = content.html;
  }

  /** Put the rows in view into the document. */
  showRows() {
    const { list, body, rows, chosen } = this;
    const { first, past } = visibleRows(list.scrollTop, list.clientHeight, rows.length);
    const made = [];
    for (let i = first; i < past; i++) made.push(this.row(i, i === chosen));
    body.replaceChildren(...made);
  }

  /** @param {number} i @param {boolean} isChosen */
  row(i, isChosen) {
    const { kind, words, delays, texts, a, b } = this.rows[i];
    const row = document.createElement("div");
    row.className = "line";
    row.dataset.row = `${i}`;
    row.style.top = `${i * LINE_PX}px`;
    row.setAttribute("role", "row");
    row.setAttribute("aria-selected", `${isChosen}`);
    const differ = words === null ? "?" : words ? `${words} word${words === 1 ? "" : "s"}` : "";
    const told = [clock(this.wholes[i][0], 0.1), kind, differ, delays];
    for (const text of told) row.append(gridCell(text));
    for (const [side, stretch, name] of [["a", a, "first"], ["b", b, "second"]]) {
      const cell = gridCell("");
      if (stretch) cell.append(hearButton(/** @type {string} */ (side), `hear the ${name}`));
      row.append(cell);
    }
    const text = gridCell(texts.join("  →  "));
    text.title = texts.join("\n→\n");
    row.append(text);
    return row;
  }

  /** @param {MouseEvent} event */
  onClick({ target }) {
    const at = /** @type {HTMLElement} */ (target);
    const row = /** @type {?HTMLElement} */ (at.closest("[data-row]"));
    if (!row) return;
    this.choose(Number(row.dataset.row));
    const side = at.closest("button")?.dataset.side;
    if (side) this.hear(/** @type {"a" | "b"} */ (side));
  }

  /** @param {import("./tracks.js").View} view */
  paintChosen(view) {
    const whole = this.wholes[this.chosen];
    if (!whole) return;
    const [start, end] = whole;
    paintShade(view, this.timeline.area, [{ start, end }], "shade");
  }
}

/** @param {string} words */
function gridCell(words) {
  const made = document.createElement("span");
  made.setAttribute("role", "gridcell");
  made.textContent = words;
  return made;
}

/** @param {string} side @param {string} label */
function hearButton(side, label) {
  const made = document.createElement("button");
  made.type = "button";
  made.textContent = side === "a" ? "▶1" : "▶2";
  made.title = label;
  made.setAttribute("aria-label", label);
  made.dataset.side = side;
  made.tabIndex = -1;
  return made;
}

export default widgetOf(Comparison);
