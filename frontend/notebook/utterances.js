// The list of a tuner's utterances: only the rows in view are in the document.

import { copied } from "./kernel.js";
import { LINE_PX, visibleRows } from "./rows.js";
import { clock } from "./viewport.js";

/** Numbers for each row: start and length in seconds, level in dBFS, why it ended. */
const FACTS = 4;

const LIST = `
<div class="list" role="grid" tabindex="0" data-lm-suppress-shortcuts="true">
  <div role="rowgroup" class="heads"><div role="row" class="line">
    <span role="columnheader"><span class="unseen">number</span></span>
    <span role="columnheader">start</span>
    <span role="columnheader">length</span>
    <span role="columnheader">level</span>
    <span role="columnheader" class="left">ended by</span>
    <span role="columnheader"><span class="unseen">play</span></span>
    <span role="columnheader" class="left">text</span>
  </div></div>
  <div role="rowgroup" class="body"></div>
</div>
<div class="said" role="status"></div>`;

class List {
  /** @param {any} model @param {HTMLElement} el */
  constructor(model, el) {
    this.model = model;
    el.classList.add("sttlab-timeline", "sttlab-utterances");
    el.innerHTML = LIST;
    this.el = el;
    this.list = /** @type {HTMLElement} */ (el.querySelector(".list"));
    this.body = /** @type {HTMLElement} */ (el.querySelector(".body"));
    this.said = /** @type {HTMLElement} */ (el.querySelector(".said"));
    this.list.setAttribute("aria-label", "utterances");
    this.list.addEventListener("scroll", () => this.show());
    this.list.addEventListener("keydown", (event) => this.onKey(event));
    this.body.addEventListener("click", (event) => this.onClick(event));
    this.events = ["found", "texts", "chosen"].map((name) => `change:${name}`);
    this.update = (/** @type {any} */ _) => this.show();
    this.follow = () => this.reveal();
    for (const event of this.events) model.on(event, this.update);
    model.on("change:chosen", this.follow);
    let wasShown = false;
    this.resized = new ResizeObserver(() => {
      this.show();
      if (!wasShown) this.reveal();
      wasShown ||= this.list.clientHeight > 0;
    });
    this.resized.observe(this.list);
    this.show();
  }

  close() {
    for (const event of this.events) this.model.off(event, this.update);
    this.model.off("change:chosen", this.follow);
    this.resized.disconnect();
  }

  get facts() {
    return new Float64Array(copied(this.model.get("found")));
  }

  /** @param {number} i @param {Float64Array} facts */
  words(i, facts) {
    const [start, length, level, reason] = facts.subarray(FACTS * i, FACTS * (i + 1));
    const ends = this.model.get("ends");
    return [
      `${i + 1}`,
      clock(start, 0.01),
      `${length.toFixed(2)} s`,
      `${level.toFixed(0).replace("-", "−")} dBFS`,
      ends[reason],
    ];
  }

  show() {
    const { facts, body, list, model } = this;
    const count = facts.length / FACTS;
    const chosen = model.get("chosen");
    list.setAttribute("aria-rowcount", String(count + 1));
    this.el.hidden = !count;
    body.style.height = `${count * LINE_PX}px`;
    const { first, past } = visibleRows(list.scrollTop, list.clientHeight, count);
    const texts = model.get("texts");
    const rows = [];
    for (let i = first; i < past; i++) {
      rows.push(this.row(i, this.words(i, facts), texts[i] ?? "", i === chosen));
    }
    const focused = document.activeElement;
    const kept = body.contains(focused) ? /** @type {HTMLElement} */ (focused).dataset.key : "";
    body.replaceChildren(...rows);
    if (kept) /** @type {?HTMLElement} */ (body.querySelector(`[data-key="${kept}"]`))?.focus();
    if (chosen >= first && chosen < past) list.setAttribute("aria-activedescendant", rowId(this, chosen));
    else list.removeAttribute("aria-activedescendant");
    this.say(chosen < count ? chosen : -1, facts, texts);
  }

  /**
   * @param {number} i
   * @param {string[]} words
   * @param {string} text
   * @param {boolean} chosen
   */
  row(i, words, text, chosen) {
    const row = document.createElement("div");
    row.className = "line";
    row.id = rowId(this, i);
    row.dataset.row = `${i}`;
    row.style.top = `${i * LINE_PX}px`;
    row.setAttribute("role", "row");
    row.setAttribute("aria-rowindex", `${i + 2}`);
    row.setAttribute("aria-selected", `${chosen}`);
    for (const [column, word] of words.entries()) row.append(cell(word, column === 4 ? "left" : ""));
    const play = cell("", "");
    play.append(button("▶", `play utterance ${i + 1}`, `play${i}`));
    const said = cell("", "text");
    said.append(button("transcribe", `transcribe utterance ${i + 1}`, `read${i}`));
    const shown = document.createElement("span");
    shown.textContent = shown.title = text;
    said.append(shown);
    row.append(play, said);
    return row;
  }

  /** @param {number} chosen @param {Float64Array} facts @param {Record<number, string>} texts */
  say(chosen, facts, texts) {
    if (chosen < 0) return void (this.said.textContent = "");
    const [number, start, length, level, end] = this.words(chosen, facts);
    const words = `Utterance ${number}: ${start}, ${length}, ${level}, ended by ${end}. `;
    const all = words + (texts[chosen] ?? "");
    if (this.said.textContent !== all) this.said.textContent = all;
  }

  /** Scroll no further than needed to show the chosen row. */
  reveal() {
    const chosen = this.model.get("chosen");
    if (chosen < 0) return;
    const { list } = this;
    const heads = this.body.offsetTop;
    const top = chosen * LINE_PX;
    const visible = list.clientHeight - heads;
    if (top < list.scrollTop) list.scrollTop = top;
    else if (top + LINE_PX > list.scrollTop + visible) list.scrollTop = top + LINE_PX - visible;
  }

  /** @param {number} i @param {"show" | "play"} how */
  choose(i, how) {
    const { model } = this;
    const count = this.facts.length / FACTS;
    if (!count) return;
    model.set("chosen", Math.min(Math.max(i, 0), count - 1));
    const counter = how === "play" ? "plays" : "shown";
    model.set(counter, model.get(counter) + 1);
    model.save_changes();
  }

  transcribe() {
    const row = this.model.get("chosen");
    if (row >= 0) this.model.send({ ask: "transcribe", row });
  }

  /** @param {MouseEvent} event */
  onClick(event) {
    const target = /** @type {HTMLElement} */ (event.target);
    const row = /** @type {?HTMLElement} */ (target.closest("[data-row]"));
    if (!row) return;
    const key = target.closest("button")?.dataset.key ?? "";
    this.choose(Number(row.dataset.row), key.startsWith("play") ? "play" : "show");
    if (key.startsWith("read")) this.transcribe();
  }

  /** @param {KeyboardEvent} event */
  onKey(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const inButton = event.target instanceof HTMLButtonElement;
    const now = this.model.get("chosen");
    const page = Math.max(1, Math.floor(this.list.clientHeight / LINE_PX) - 2);
    /** @type {Record<string, () => void>} */
    const acts = {
      ArrowUp: () => this.choose(now - 1, "show"),
      ArrowDown: () => this.choose(now + 1, "show"),
      PageUp: () => this.choose(now - page, "show"),
      PageDown: () => this.choose(now + page, "show"),
      Home: () => this.choose(0, "show"),
      End: () => this.choose(Infinity, "show"),
      t: () => this.transcribe(),
      ...(inButton ? {} : { Enter: () => this.choose(now, "play"), " ": () => this.choose(now, "play") }),
    };
    const act = acts[event.key];
    if (!act) return;
    event.preventDefault();
    event.stopPropagation();
    act();
  }
}

/** @param {List} list @param {number} i */
const rowId = ({ model }, i) => `sttlab-row-${model.get("key")}-${i}`;

/** @param {string} words @param {string} name */
function cell(words, name) {
  const made = document.createElement("span");
  made.setAttribute("role", "gridcell");
  made.className = name;
  made.textContent = words;
  return made;
}

/** @param {string} text @param {string} label @param {string} key */
function button(text, label, key) {
  const made = document.createElement("button");
  made.type = "button";
  made.textContent = text;
  made.title = label;
  made.setAttribute("aria-label", label);
  made.dataset.key = key;
  made.tabIndex = -1;
  return made;
}

export default {
  /** @param {{model: any, el: HTMLElement}} widget */
  render({ model, el }) {
    const list = new List(model, el);
    return () => list.close();
  },
};
