// The lines of the transcript: finals, partials, remarks, search marks, and editing in place.

import { readableTime } from "./exports.js";

/** @typedef {import("./transcript.js").Entry} Entry */

/** Confidence below which a line is shown faint. */
const FAINT_BELOW = 0.6;

/**
 * Fill an `<ol>` with entries (see transcript.js).
 *
 * @param {HTMLOListElement} root
 * @param {{edit: (key: string, text: ?string) => void, remove: (key: string) => void,
 *   copy: (key: string) => void, play: (key: string) => void}} actions of a person; an edit to null
 *   leaves the text unchanged
 */
export function createList(root, actions) {
  /** @type {Map<number, HTMLElement>} */
  const partials = new Map(); // lines by utterance
  const settled = new Set(); // utterances that take no more partials
  let query = "";
  let times = "clock"; // or "stream"
  let playable = false;

  /**
   * Set how times are shown and whether audio plays from them, from the next `show` on.
   *
   * @param {"clock" | "stream" | "none"} kind
   * @param {boolean} canPlay
   */
  function setTimes(kind, canPlay) {
    times = kind;
    playable = canPlay;
  }

  /** @param {Entry[]} entries */
  function show(entries) {
    partials.clear();
    root.replaceChildren(...entries.map(finalItem));
    for (const item of items()) match(item);
    setCurrent(items().at(-1));
  }

  /**
   * Make the finals equal to `entries`. Partials, remarks and an open edit stay.
   *
   * @param {Entry[]} entries
   */
  function sync(entries) {
    const kept = new Set(entries.map(({ key }) => key));
    /** @type {Map<string, HTMLElement>} */
    const old = new Map();
    for (const item of finals()) {
      if (kept.has(keyOf(item)) || isEdited(item)) old.set(keyOf(item), item);
      else item.remove();
    }
    /** @type {HTMLElement | undefined} */
    let before;
    for (const entry of entries) {
      let item = old.get(entry.key);
      if (!item) {
        item = finalItem(entry);
        if (before) before.after(item);
        else root.prepend(item);
        match(item);
      } else if (!isEdited(item) && textOf(item).textContent !== entry.text) {
        item = replace(item, entry);
      }
      before = item;
    }
    if (!root.querySelector("li[tabindex='0']")) setCurrent(before);
  }

  /**
   * Show the final text of an utterance in place of its partial.
   *
   * @param {any} utteranceId or a recording's key, which has no partials
   * @param {Entry} entry
   */
  function settle(utteranceId, entry) {
    const partial = partials.get(utteranceId);
    partials.delete(utteranceId);
    settled.add(utteranceId);
    const item = finalItem(entry);
    if (partial) partial.replaceWith(item);
    else root.insertBefore(item, partials.values().next().value ?? null);
    match(item);
    if (!root.querySelector("li[tabindex='0']")) setCurrent(item);
    return item;
  }

  /**
   * Show a partial, whose text may still change after its `stable` part. A late one is ignored.
   *
   * @param {number} utteranceId
   * @param {string} text
   * @param {string} stable
   */
  function partial(utteranceId, text, stable) {
    if (settled.has(utteranceId)) return;
    let item = partials.get(utteranceId);
    if (!item) {
      item = line("partial");
      partials.set(utteranceId, item);
      root.append(item);
    }
    const changing = element("span", "changing", text.slice(stable.length));
    textOf(item).replaceChildren(stable, changing);
  }

  /**
   * Remove a partial: the utterance has no text after all.
   *
   * @param {number} utteranceId
   */
  function dropPartial(utteranceId) {
    partials.get(utteranceId)?.remove();
    partials.delete(utteranceId);
    settled.add(utteranceId);
  }

  /** Remove all partials: utterances may be counted from 0 again. */
  function dropPartials() {
    for (const id of [...partials.keys()]) dropPartial(id);
    settled.clear();
  }

  /**
   * Add a remark between the lines, which is not part of the transcript.
   *
   * @param {string} text
   */
  function note(text) {
    const item = line("note");
    textOf(item).textContent = text;
    root.insertBefore(item, partials.values().next().value ?? null);
  }

  /**
   * Show only lines that contain a text, or all.
   *
   * @param {string} text
   */
  function filter(text) {
    if (text === query) return;
    query = text;
    for (const item of items()) match(item);
  }

  /** How many finals match the search. */
  function found() {
    return root.querySelectorAll("li.final:not([hidden])").length;
  }

  /**
   * Hide an item that doesn't match the search; mark the matches in one that does.
   *
   * @param {HTMLElement} item
   */
  function match(item) {
    const p = item.querySelector("p.text");
    if (!p || item.classList.contains("partial")) return;
    const text = p.textContent ?? "";
    const parts = query ? split(text, query) : [text];
    item.hidden = query !== "" && parts.length === 1;
    if (parts.length === 1 && !p.querySelector("mark")) return; // so that a selection in it stays
    p.replaceChildren(...parts.map((part, i) => (i % 2 ? element("mark", "", part) : part)));
  }

  /** @param {Entry} entry */
  function finalItem(entry) {
    const item = line("final");
    const time = /** @type {HTMLTimeElement} */ (item.querySelector("time"));
    time.dateTime = new Date(entry.at).toISOString();
    time.textContent = times === "clock" ? clockTime(entry.at) : readableTime(entry.start_s);
    if (playable) time.replaceWith(playButton(time));
    item.dataset.key = entry.key;
    item.tabIndex = -1;
    textOf(item).textContent = entry.text;
    item.classList.toggle("unsure", !entry.edited && entry.confidence < FAINT_BELOW);
    const sure = element("span", "sure", entry.edited ? "edited" : percent(entry.confidence));
    sure.title = entry.edited ? "You changed this text" : "How sure the model is";
    item.append(sure, buttons());
    return item;
  }

  /** @param {HTMLElement} item */
  function startEdit(item) {
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
      match(item);
      if (keep && !text) actions.remove(keyOf(item));
      else actions.edit(keyOf(item), keep && text !== p.textContent ? text : null);
    };
    area.addEventListener("input", fit);
    area.addEventListener("blur", () => finish(true));
    area.addEventListener("keydown", (event) => {
      event.stopPropagation();
      if (event.isComposing || !["Enter", "Escape"].includes(event.key)) return;
      event.preventDefault();
      finish(event.key === "Enter");
    });
    p.replaceWith(area);
    fit();
    area.focus();
    area.setSelectionRange(area.value.length, area.value.length);
  }

  /** @param {HTMLElement} old @param {Entry} entry */
  function replace(old, entry) {
    const item = finalItem(entry);
    const hadFocus = old.contains(document.activeElement);
    old.replaceWith(item);
    match(item);
    if (old.tabIndex === 0) setCurrent(item);
    if (hadFocus) item.focus();
    return item;
  }

  /** @param {HTMLElement} item */
  function isEdited(item) {
    return item.querySelector("textarea") !== null;
  }

  function items() {
    return /** @type {HTMLElement[]} */ ([...root.children]);
  }

  function finals() {
    return items().filter((item) => item.classList.contains("final"));
  }

  /** @param {HTMLElement} item @param {string | undefined} what */
  function act(item, what) {
    if (what === "edit") startEdit(item);
    else if (what === "remove" || what === "copy" || what === "play") actions[what](keyOf(item));
  }

  /**
   * One line is in the tab order at a time; arrow keys move to the others.
   *
   * @param {HTMLElement} [item]
   */
  function setCurrent(item) {
    for (const old of finals()) if (old.tabIndex === 0) reach(old, -1);
    if (item?.dataset.key) reach(item, 0);
  }

  /** @param {HTMLElement} item @param {number} tabIndex */
  function reach(item, tabIndex) {
    item.tabIndex = tabIndex;
    for (const button of item.querySelectorAll("button")) button.tabIndex = tabIndex;
  }

  root.addEventListener("focusin", (event) => {
    const item = closest(event, "li.final");
    if (item && item.tabIndex !== 0) setCurrent(item);
  });
  root.addEventListener("click", (event) => {
    const button = closest(event, "button");
    const item = closest(event, "li");
    if (button && item) act(item, button.dataset.act);
  });
  root.addEventListener("dblclick", (event) => {
    const item = closest(event, "li.final");
    if (item && closest(event, "p.text")) startEdit(item);
  });
  root.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const item = closest(event, "li.final");
    if (!item) return;
    const shown = finals().filter(({ hidden }) => !hidden);
    const place = shown.indexOf(item);
    /** @type {Record<string, HTMLElement | undefined>} */
    const goal = {
      ArrowUp: shown[place - 1],
      ArrowDown: shown[place + 1],
      Home: shown[0],
      End: shown.at(-1),
    };
    if (event.key in goal) goal[event.key]?.focus();
    else if (event.target !== item) return;
    else if (event.key === "Enter" || event.key === "F2") startEdit(item);
    else if (event.key === " " && playable) actions.play(keyOf(item));
    else if (event.key === "Delete") {
      const next = shown[place + 1] ?? shown[place - 1];
      actions.remove(keyOf(item));
      finals().find((other) => next && keyOf(other) === keyOf(next))?.focus();
    } else return;
    event.preventDefault();
  });

  /**
   * Mark the line that is playing; without a key, no line.
   *
   * @param {string} [key]
   */
  function setHeard(key) {
    for (const item of items()) {
      item.classList.toggle("heard", key !== undefined && item.dataset.key === key);
    }
  }

  return { setTimes, setHeard, show, settle, sync, partial, dropPartial, dropPartials, note, filter, found };
}

/** @param {HTMLElement} item */
const keyOf = (item) => item.dataset.key ?? "";

/** @param {HTMLElement} item whose text is not being edited */
function textOf(item) {
  return /** @type {HTMLElement} */ (item.querySelector(".text"));
}

/** @param {Event} event @param {string} selector @returns {?HTMLElement} */
function closest({ target }, selector) {
  return /** @type {Element} */ (target).closest(selector);
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

function buttons() {
  const group = element("span", "acts");
  for (const [act, label, icon] of [
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

/**
 * Split a text at the matches of a search, which ignores case: every second part is a match.
 *
 * @param {string} text
 * @param {string} query
 */
export function split(text, query) {
  const parts = [];
  const pattern = new RegExp(query.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"), "giu");
  let from = 0;
  for (const { 0: hit, index = 0 } of text.matchAll(pattern)) {
    parts.push(text.slice(from, index), hit);
    from = index + hit.length;
  }
  return [...parts, text.slice(from)];
}

/** @param {number} at wall time in ms */
function clockTime(at) {
  return new Date(at).toLocaleTimeString([], {
    hour: "2-digit",
    minute: "2-digit",
    second: "2-digit",
    hourCycle: "h23",
  });
}

/** @param {number} part */
function percent(part) {
  return `${Math.round(100 * part)} %`;
}
