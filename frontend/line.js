// One line of the transcript: its elements, the marks of the search, and editing in place.

import { readableTime } from "./exports.js";
import { cutAt } from "./doubt.js";
import { split } from "./search.js";
import { speakersIn } from "./speakers.js";

/** @typedef {import("./transcript.js").Entry} Entry */

const CLOCK = new Intl.DateTimeFormat([], {
  hour: "2-digit",
  minute: "2-digit",
  second: "2-digit",
  hourCycle: "h23",
});

const LANGUAGES = new Intl.DisplayNames(["en"], { type: "language" });

/**
 * A line of an entry.
 *
 * @param {Entry} entry
 * @param {"clock" | "stream" | "none"} times how times are shown
 * @param {boolean} playable whether audio plays from it
 * @param {boolean} isSwitch whether its language is another than that of the line before
 * @param {string} query of the search, whose matches are marked
 */
export function finalLine(entry, times, playable, isSwitch, query) {
  const item = line("final");
  const when = /** @type {HTMLTimeElement} */ (item.querySelector("time"));
  when.dateTime = new Date(entry.at).toISOString();
  when.textContent = times === "clock" ? CLOCK.format(entry.at) : readableTime(entry.start_s);
  if (playable) when.replaceWith(playButton(when));
  item.dataset.key = entry.key;
  item.tabIndex = -1;
  if (entry.language) textOf(item).lang = entry.language;
  if (entry.turns?.length) item.prepend(who(entry.turns));
  if (isSwitch) textOf(item).dataset.language = languageOf(entry);
  mark(item, query, entry);
  const sure = element("span", "sure", entry.edited ? "edited" : percent(entry.confidence));
  sure.classList.toggle("edited", entry.edited === true);
  sure.title = entry.edited ? "You changed this text" : "How sure the model is";
  item.append(sure, buttons(entry));
  return item;
}

/** @param {string} text */
export function noteLine(text) {
  const item = line("note");
  textOf(item).textContent = text;
  return item;
}

/**
 * A line whose text may still change after its `stable` part.
 *
 * @param {string} text
 * @param {string} stable
 */
export function partialLine(text, stable) {
  const item = line("partial");
  setPartial(item, text, stable);
  return item;
}

/** @param {HTMLElement} item @param {string} text @param {string} stable */
export function setPartial(item, text, stable) {
  textOf(item).replaceChildren(stable, element("span", "changing", text.slice(stable.length)));
}

/**
 * Mark the matches of the search and the words in doubt, in a line that is not being edited.
 *
 * @param {HTMLElement} item
 * @param {string} query
 * @param {?Entry} entry null for a remark
 */
export function mark(item, query, entry) {
  const p = item.querySelector("p.text");
  if (!p) return;
  const text = entry?.text ?? p.textContent ?? "";
  const parts = cutAt(text, entry?.doubts ?? [], query ? hitsIn(text, query) : []);
  const made = parts.map(({ text, isDoubt, isHit }) => {
    const hit = isHit ? element("mark", "", text) : text;
    if (!isDoubt) return hit;
    const doubt = element("span", "doubt");
    doubt.title = "The model is not sure of this word";
    doubt.append(hit);
    return doubt;
  });
  const isSame = p.childNodes.length === made.length && !query && !p.querySelector("mark");
  if (isSame && p.textContent === text) return; // so that a selection in it stays
  p.replaceChildren(...made);
}

/**
 * The matches of a search.
 *
 * @param {string} text
 * @param {string} query
 */
function hitsIn(text, query) {
  /** @type {import("./doubt.js").Range[]} */
  const hits = [];
  let at = 0;
  split(text, query).forEach((part, i) => {
    if (i % 2) hits.push([at, at + part.length]);
    at += part.length;
  });
  return hits;
}

/** @param {Entry} entry */
function languageOf({ language = "" }) {
  try {
    return LANGUAGES.of(language) ?? language;
  } catch {
    return language; // not a code that this browser knows
  }
}

/**
 * Let a person edit the text of a line in place.
 *
 * @param {HTMLElement} item
 * @param {(text: ?string) => void} onEnd null leaves it unchanged, "" has removed all of it
 */
export function editLine(item, onEnd) {
  const p = textOf(item);
  const before = p.textContent ?? "";
  const area = /** @type {HTMLTextAreaElement} */ (element("textarea", "text", before));
  area.value = before;
  area.dir = "auto";
  area.setAttribute("aria-label", "Text of this line. Enter keeps it, Escape leaves it as it was");
  area.rows = 1;
  const fit = () => {
    area.style.height = "auto";
    area.style.height = `${area.scrollHeight}px`;
  };
  let open = true;
  const finish = (/** @type {boolean} */ keep) => {
    if (!open) return;
    open = false;
    const hadFocus = document.activeElement === area;
    area.replaceWith(p);
    if (hadFocus) item.focus();
    const text = area.value.trim().replace(/\s+/g, " ");
    onEnd(keep && text !== before ? text : null);
  };
  area.addEventListener("input", fit);
  area.addEventListener("blur", () => finish(true));
  area.addEventListener("keydown", (event) => {
    if (!event.ctrlKey && !event.metaKey) event.stopPropagation();
    if (event.isComposing || !["Enter", "Escape"].includes(event.key)) return;
    event.preventDefault();
    finish(event.key === "Enter");
  });
  p.replaceWith(area);
  fit();
  area.focus();
  area.setSelectionRange(area.value.length, area.value.length);
}

/** @param {HTMLElement} item whose text is not being edited */
export function textOf(item) {
  return /** @type {HTMLElement} */ (item.querySelector(".text"));
}

/**
 * Put a line into the tab order, or take it out.
 *
 * @param {?HTMLElement} item
 * @param {boolean} isIn
 */
export function setReach(item, isIn) {
  if (!item) return;
  item.tabIndex = isIn ? 0 : -1;
  for (const button of item.querySelectorAll("button")) button.tabIndex = item.tabIndex;
}

/** @param {string} kind */
function line(kind) {
  const item = element("li", kind);
  const text = element("p", "text");
  text.dir = "auto"; // Arabic and Hebrew run from the right
  item.append(element("time", "when"), text);
  return item;
}

/** @param {HTMLTimeElement} time */
function playButton(time) {
  const button = document.createElement("button");
  button.className = "when";
  button.type = "button";
  button.tabIndex = -1;
  button.dataset.act = "play";
  button.title = "Play from here (space)";
  const shown = document.createElement("time");
  shown.textContent = time.textContent;
  shown.dateTime = time.dateTime;
  button.append(shown);
  return button;
}

/** @param {import("./speakers.js").NamedTurn[]} turns */
function who(turns) {
  const group = element("span", "who");
  for (const { speaker, name } of speakersIn(turns)) {
    const button = /** @type {HTMLButtonElement} */ (element("button", "", name));
    button.type = "button";
    button.tabIndex = -1;
    button.dataset.act = "who";
    button.dataset.speaker = speaker;
    button.title = "Say who this is";
    group.append(button);
  }
  return group;
}

/** @param {Entry} entry */
function buttons(entry) {
  const group = element("span", "acts");
  for (const [act, label, icon] of [
    ...(entry.keptIn ? [["why", "Why was this cut?", "i-why"]] : []),
    ["edit", "Edit this line", "i-edit"],
    ["copy", "Copy this line", "i-copy"],
    ["remove", "Remove this line", "i-close"],
  ]) {
    const button = document.createElement("button");
    button.className = "quiet";
    button.type = "button";
    button.tabIndex = -1;
    button.dataset.act = act;
    button.title = label;
    button.setAttribute("aria-label", label);
    button.append(iconOf(icon));
    group.append(button);
  }
  return group;
}

/** @param {string} id */
function iconOf(id) {
  const space = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(space, "svg");
  const use = document.createElementNS(space, "use");
  svg.setAttribute("class", "icon");
  use.setAttribute("href", `#${id}`);
  svg.append(use);
  return svg;
}

/** @param {string} name @param {string} className @param {string} text */
function element(name, className = "", text = "") {
  const made = document.createElement(name);
  if (className) made.className = className;
  if (text) made.textContent = text;
  return made;
}

/** @param {number} part */
function percent(part) {
  return `${Math.round(100 * part)} %`;
}
