// The lines of the transcript: finals, partials, remarks, search marks, and editing in place.

import { readableTime } from "./exports.js";

const FAINT_BELOW = 0.6; // of confidence

/**
 * Fill an `<ol>` with entries (see transcript.js).
 *
 * @param {HTMLOListElement} root
 * @param {{edit: (key: string, text: ?string) => void, remove: (key: string) => void,
 *   copy: (key: string) => void, play: (key: string) => void}} actions what a person asks for; an
 *   edit to null leaves the text as it is
 */
export function createList(root, actions) {
  const partials = new Map(); // lines by utterance
  const settled = new Set(); // utterances whose partials come too late
  let query = "";
  let times = "clock"; // or "stream"
  let playable = false;

  /** From the next `show` on: how times are shown, and whether audio plays from them. */
  function setTimes(kind, canPlay) {
    times = kind;
    playable = canPlay;
  }

  function show(entries) {
    partials.clear();
    root.replaceChildren(...entries.map(finalItem));
    for (const item of root.children) match(item);
    setCurrent(root.lastElementChild);
  }

  /** Bring the finals in step with `entries`. Partials and remarks stay, and so does an open edit. */
  function sync(entries) {
    const kept = new Set(entries.map(({ key }) => key));
    const items = new Map();
    for (const item of root.querySelectorAll("li.final")) {
      if (kept.has(item.dataset.key) || isEdited(item)) items.set(item.dataset.key, item);
      else item.remove();
    }
    let before = null;
    for (const entry of entries) {
      let item = items.get(entry.key);
      if (!item) {
        item = finalItem(entry);
        if (before) before.after(item);
        else root.prepend(item);
        match(item);
      } else if (!isEdited(item) && item.querySelector(".text").textContent !== entry.text) {
        item = replace(entry);
      }
      before = item;
    }
    if (!root.querySelector("li[tabindex='0']")) setCurrent(before);
  }

  /** Show the final text of an utterance, where its partial stands. */
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

  /** Show text that may still change after its `stable` part. What comes too late changes nothing. */
  function partial(utteranceId, text, stable) {
    if (settled.has(utteranceId)) return;
    let item = partials.get(utteranceId);
    if (!item) {
      item = line("partial");
      partials.set(utteranceId, item);
      root.append(item);
    }
    const changing = element("span", "changing", text.slice(stable.length));
    item.querySelector(".text").replaceChildren(stable, changing);
  }

  /** The utterance has no text after all. */
  function dropPartial(utteranceId) {
    partials.get(utteranceId)?.remove();
    partials.delete(utteranceId);
    settled.add(utteranceId);
  }

  /** Forget all partials: utterances may be counted from 0 again. */
  function dropPartials() {
    for (const id of [...partials.keys()]) dropPartial(id);
    settled.clear();
  }

  /** A remark between the lines, not part of the transcript. */
  function note(text) {
    const item = line("note");
    item.querySelector(".text").textContent = text;
    root.insertBefore(item, partials.values().next().value ?? null);
  }

  function filter(text) {
    if (text === query) return;
    query = text;
    for (const item of root.children) match(item);
  }

  /** How many finals contain what is searched for. */
  function found() {
    return root.querySelectorAll("li.final:not([hidden])").length;
  }

  /** Hide an item that doesn't contain what is searched for; mark it in one that does. */
  function match(item) {
    const p = item.querySelector("p.text");
    if (!p || item.classList.contains("partial")) return;
    const parts = query ? split(p.textContent, query) : [p.textContent];
    item.hidden = query !== "" && parts.length === 1;
    if (parts.length === 1 && !p.querySelector("mark")) return; // a selection in it stays
    p.replaceChildren(...parts.map((part, i) => (i % 2 ? element("mark", "", part) : part)));
  }

  function finalItem(entry) {
    const item = line("final");
    const time = item.querySelector("time");
    time.dateTime = new Date(entry.at).toISOString();
    time.textContent = times === "clock" ? clockTime(entry.at) : readableTime(entry.start_s);
    if (playable) time.replaceWith(playButton(time));
    item.dataset.key = entry.key;
    item.tabIndex = -1;
    item.querySelector(".text").textContent = entry.text;
    item.classList.toggle("unsure", !entry.edited && entry.confidence < FAINT_BELOW);
    const sure = element("span", "sure", entry.edited ? "edited" : percent(entry.confidence));
    sure.title = entry.edited ? "You changed this text" : "How sure the model is";
    item.append(sure, buttons());
    return item;
  }

  function startEdit(item) {
    const p = item.querySelector(".text");
    const area = element("textarea", "text", p.textContent);
    area.value = p.textContent;
    area.dir = "auto";
    area.setAttribute("aria-label", "Text of this line. Enter keeps it, Escape leaves it as it was");
    area.rows = 1;
    const fit = () => {
      area.style.height = "auto";
      area.style.height = `${area.scrollHeight}px`;
    };
    let open = true;
    const finish = (keep) => {
      if (!open) return;
      open = false;
      const hadFocus = document.activeElement === area;
      area.replaceWith(p);
      if (hadFocus) item.focus();
      const text = area.value.trim().replace(/\s+/g, " ");
      match(item);
      if (keep && !text) actions.remove(item.dataset.key);
      else actions.edit(item.dataset.key, keep && text !== p.textContent ? text : null);
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

  function replace(entry) {
    const old = itemOf(entry.key);
    const item = finalItem(entry);
    const hadFocus = old.contains(document.activeElement);
    old.replaceWith(item);
    match(item);
    if (old.tabIndex === 0) setCurrent(item);
    if (hadFocus) item.focus();
    return item;
  }

  function isEdited(item) {
    return item.querySelector("textarea") !== null;
  }

  function itemOf(key) {
    return [...root.children].find((item) => item.dataset.key === key);
  }

  function act(item, what) {
    if (what === "edit") startEdit(item);
    else actions[what](item.dataset.key);
  }

  /** One line is in the tab order at a time; arrow keys move to the others. */
  function setCurrent(item) {
    for (const old of root.querySelectorAll("li[tabindex='0']")) reach(old, -1);
    if (item?.dataset.key) reach(item, 0);
  }

  function reach(item, tabIndex) {
    item.tabIndex = tabIndex;
    for (const button of item.querySelectorAll("button")) button.tabIndex = tabIndex;
  }

  root.addEventListener("focusin", (event) => {
    const item = event.target.closest("li.final");
    if (item && item.tabIndex !== 0) setCurrent(item);
  });
  root.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (button) act(button.closest("li"), button.dataset.act);
  });
  root.addEventListener("dblclick", (event) => {
    const p = event.target.closest("li.final p.text");
    if (p) startEdit(p.closest("li"));
  });
  root.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const item = event.target.closest("li.final");
    const shown = [...root.querySelectorAll("li.final:not([hidden])")];
    const place = shown.indexOf(item);
    const goal = {
      ArrowUp: shown[place - 1],
      ArrowDown: shown[place + 1],
      Home: shown[0],
      End: shown.at(-1),
    };
    if (event.key in goal) goal[event.key]?.focus();
    else if (event.target !== item) return;
    else if (event.key === "Enter" || event.key === "F2") startEdit(item);
    else if (event.key === " " && playable) actions.play(item.dataset.key);
    else if (event.key === "Delete") {
      const next = shown[place + 1] ?? shown[place - 1];
      actions.remove(item.dataset.key);
      if (next) itemOf(next.dataset.key)?.focus();
    } else return;
    event.preventDefault();
  });

  /** Mark the line that is being played; without a key, no line. */
  function setHeard(key) {
    for (const item of root.children) {
      item.classList.toggle("heard", key !== undefined && item.dataset.key === key);
    }
  }

  return { setTimes, setHeard, show, settle, sync, partial, dropPartial, dropPartials, note, filter, found };
}

function line(kind) {
  const item = element("li", kind);
  const text = element("p", "text");
  text.dir = "auto"; // Arabic and Hebrew from the right
  item.append(element("time", "when"), text);
  return item;
}

function playButton(time) {
  const button = element("button", "when");
  button.type = "button";
  button.tabIndex = -1;
  button.dataset.act = "play";
  button.title = "Play from here (space)";
  const shown = element("time", "", time.textContent);
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
    const button = element("button", "quiet");
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

function iconOf(id) {
  const space = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(space, "svg");
  const use = document.createElementNS(space, "use");
  svg.setAttribute("class", "icon");
  use.setAttribute("href", `#${id}`);
  svg.append(use);
  return svg;
}

function element(name, className = "", text = "") {
  const made = document.createElement(name);
  if (className) made.className = className;
  if (text) made.textContent = text;
  return made;
}

/** Cut a text at what is searched for, in any case: every second part is a match. */
export function split(text, query) {
  const parts = [];
  const pattern = new RegExp(query.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"), "giu");
  let from = 0;
  for (const { 0: hit, index } of text.matchAll(pattern)) {
    parts.push(text.slice(from, index), hit);
    from = index + hit.length;
  }
  return [...parts, text.slice(from)];
}

function clockTime(at) {
  return new Date(at).toLocaleTimeString([], {
    hour: "2-digit",
    minute: "2-digit",
    second: "2-digit",
    hourCycle: "h23",
  });
}

function percent(part) {
  return `${Math.round(100 * part)} %`;
}
