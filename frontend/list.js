// The lines of the transcript: finals, partials and remarks, their search, editing and keys.

import { editLine, finalLine, mark, noteLine, partialLine, setPartial, setReach } from "./line.js";
import { matcher } from "./search.js";
import { isSaidBy, speakersIn } from "./speakers.js";
import { copySelection, selectedItems } from "./selection.js";
import { createVirtual } from "./virtual.js";

/**
 * @typedef {import("./transcript.js").Entry} Entry
 *
 * @typedef {object} Line of the list, in the document or not
 * @property {"final" | "partial" | "note"} kind
 * @property {string} key of a final's entry, "" of others
 * @property {?Entry} entry of a final
 * @property {string} text that is shown
 * @property {string} who the names of those who speak
 * @property {string} stable part of a partial
 * @property {boolean} isEdited whether a person edits it now
 * @property {?HTMLElement} item while it is in the document
 * @property {number} height in px, NaN before it is known
 */

/**
 * Fill an `<ol>` with entries (see transcript.js).
 *
 * @param {HTMLOListElement} root
 * @param {{edit: (key: string, text: ?string) => void, remove: (key: string) => void,
 *   copy: (key: string) => void, play: (key: string) => void, why: (key: string) => void,
 *   who: (speaker: string, key: string) => void}} actions of a person; an edit to null leaves the text unchanged
 * @param {(by: number) => void} onShift see virtual.js
 */
export function createList(root, actions, onShift) {
  /** @type {Line[]} */
  let lines = [];
  /** @type {Line[]} */
  let shown = []; // by the search
  /** @type {Map<number, Line>} */
  const partials = new Map(); // by utterance
  const settled = new Set(); // utterances that take no more partials
  /** @type {Line | undefined} */
  let current; // in the tab order
  let query = "";
  let only = ""; // name of the speaker whose lines are shown
  /** @type {"clock" | "stream" | "none"} */
  let times = "clock";
  let playable = false;
  let heard = ""; // key of the line that is playing
  const list = createVirtual(root, make, pinned, onShift);

  // -- lines in the document --------------------------------------------------------------------

  /** @param {Line} line */
  function make(line) {
    if (line.kind === "partial") return partialLine(line.text, line.stable);
    const item = line.entry ? final(line, line.entry) : noteLine(line.text);
    if (!line.entry) mark(item, query, null);
    item.classList.toggle("heard", line.key !== "" && line.key === heard);
    if (line === current) setReach(item, true);
    return item;
  }

  /** @param {Line} line @param {Entry} entry */
  function final(line, entry) {
    let i = lines.lastIndexOf(line) - 1;
    while (i >= 0 && !isFinal(lines[i])) i--;
    const before = lines[i]?.entry?.language;
    const isSwitch = before !== undefined && before !== entry.language;
    return finalLine(entry, times, playable, isSwitch, query);
  }

  /**
   * Lines that stay in the document: what has the focus, is edited or selected.
   *
   * @returns {(Line | undefined)[]}
   */
  function pinned() {
    const selected = selectedItems(root).map(lineOf);
    return [current, ...selected, ...list.present().filter(({ isEdited }) => isEdited)];
  }

  /** @param {?Element} item @returns {Line | undefined} */
  function lineOf(item) {
    return list.present().find((line) => line.item === item);
  }

  /**
   * Show the lines that the search finds; a line that is edited stays.
   *
   * @param {boolean} [atEnd] whether the page is then scrolled to the newest
   */
  function refresh(atEnd = false) {
    const matches = matcher(query);
    const isWanted = (/** @type {Line} */ line) =>
      line.kind === "partial" ||
      line.isEdited ||
      ((!only || isSaidBy(line.entry?.turns, only)) && (matches(line.text) || matches(line.who)));
    shown = query || only ? lines.filter(isWanted) : lines.slice();
    if (!current || !shown.includes(current)) setCurrent(shown.filter(isFinal).at(-1));
    list.show(shown, atEnd);
  }

  /** @param {Line} line whose text has changed */
  function remake(line) {
    if (!line.item) {
      line.height = NaN;
      return;
    }
    const old = line.item;
    const hadFocus = old.contains(document.activeElement);
    line.item = make(line);
    old.replaceWith(line.item);
    if (hadFocus) line.item.focus({ preventScroll: true });
  }

  // -- what is shown ----------------------------------------------------------------------------

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

  /** @param {Entry[]} entries @param {boolean} atEnd see `refresh` */
  function show(entries, atEnd) {
    partials.clear();
    lines = entries.map(finalOf);
    current = undefined;
    refresh(atEnd);
  }

  /**
   * Make the finals equal to `entries`. Partials, remarks and an open edit stay.
   *
   * @param {Entry[]} entries
   */
  function sync(entries) {
    const old = new Map(lines.filter(isFinal).map((line) => [line.key, line]));
    const kept = new Set(entries.map(({ key }) => key));
    /** @type {Map<Line | undefined, Line[]>} */
    const added = new Map(); // by the line that they come after
    /** @type {Line | undefined} */
    let before;
    for (const entry of entries) {
      const line = old.get(entry.key);
      if (line) {
        update(line, entry);
        before = line;
      } else {
        if (!added.has(before)) added.set(before, []);
        added.get(before)?.push(finalOf(entry));
      }
    }
    const merged = added.get(undefined) ?? [];
    for (const line of lines) {
      if (isFinal(line) && !kept.has(line.key) && !line.isEdited) continue;
      merged.push(line, ...(added.get(line) ?? []));
    }
    lines = merged;
    refresh();
  }

  /** @param {Line} line @param {Entry} entry */
  function update(line, entry) {
    line.entry = entry;
    const who = namesOf(entry);
    if (line.isEdited || (line.text === entry.text && line.who === who)) return;
    Object.assign(line, { text: entry.text, who });
    remake(line);
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
    if (partial) lines[lines.lastIndexOf(partial)] = finalOf(entry);
    else insert(finalOf(entry));
    refresh();
  }

  /** @param {Line} line that comes before the partials */
  function insert(line) {
    const first = partials.values().next().value;
    lines.splice(first ? lines.lastIndexOf(first) : lines.length, 0, line);
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
    let line = partials.get(utteranceId);
    if (line) {
      Object.assign(line, { text, stable });
      if (line.item) setPartial(line.item, text, stable);
      return;
    }
    line = { ...lineWith("partial", text), stable };
    partials.set(utteranceId, line);
    lines.push(line);
    refresh();
  }

  /**
   * Remove a partial: the utterance has no text after all.
   *
   * @param {number} utteranceId
   */
  function dropPartial(utteranceId) {
    settled.add(utteranceId);
    const partial = partials.get(utteranceId);
    if (!partial) return;
    partials.delete(utteranceId);
    lines = lines.filter((line) => line !== partial);
    refresh();
  }

  /** Remove all partials: utterances may be counted from 0 again. */
  function dropPartials() {
    settled.clear();
    if (!partials.size) return;
    partials.clear();
    lines = lines.filter(({ kind }) => kind !== "partial");
    refresh();
  }

  /**
   * Add a remark between the lines, which is not part of the transcript.
   *
   * @param {string} text
   */
  function note(text) {
    insert(lineWith("note", text));
    refresh();
  }

  /**
   * Show only lines that contain a text, and that a speaker says.
   *
   * @param {string} text "" for any
   * @param {string} name "" for any
   */
  function filter(text, name) {
    if (text === query && name === only) return;
    query = text;
    only = name;
    for (const { item, kind, entry } of list.present()) {
      if (item && kind !== "partial") mark(item, query, entry);
    }
    refresh();
  }

  /** How many finals match the search. */
  function found() {
    return shown.filter(isFinal).length;
  }

  // -- what a person does -----------------------------------------------------------------------

  /** @param {Line} line in the document */
  function startEdit(line) {
    const item = /** @type {HTMLElement} */ (line.item);
    line.isEdited = true;
    editLine(item, (text) => {
      line.isEdited = false;
      mark(item, query, line.entry);
      if (text === "") actions.remove(line.key);
      else actions.edit(line.key, text);
    });
  }

  /** End an open edit, and keep its text: other entries are about to be shown. */
  function endEdit() {
    root.querySelector("textarea")?.blur();
  }

  /** @param {Line} line @param {DOMStringMap} data of the button */
  function act(line, { act: what, speaker }) {
    if (what === "who") actions.who(speaker ?? "", line.key);
    else if (what === "edit") startEdit(line);
    else if (what === "remove" || what === "copy" || what === "play" || what === "why") {
      actions[what](line.key);
    }
  }

  /**
   * One line is in the tab order at a time; arrow keys move to the others.
   *
   * @param {Line} [line]
   */
  function setCurrent(line) {
    setReach(current?.item ?? null, false);
    current = line;
    setReach(line?.item ?? null, true);
  }

  /** @param {Line} [line] */
  function focus(line) {
    if (!line) return;
    setCurrent(line);
    list.update();
    line.item?.focus();
    list.update(); // the page may have scrolled far
  }

  /**
   * The final of an event, if what the event happened to is in one.
   *
   * @param {Event} event
   * @param {string} [within] selector of that part of the line
   */
  function finalAt({ target }, within = "li") {
    const part = /** @type {Element} */ (target).closest(within);
    return part ? lineOf(part.closest("li.final")) : undefined;
  }

  root.addEventListener("focusin", (event) => {
    const line = finalAt(event);
    if (line && line !== current) setCurrent(line);
  });
  root.addEventListener("click", (event) => {
    const button = /** @type {?HTMLElement} */ (/** @type {Element} */ (event.target).closest("button"));
    const line = finalAt(event);
    if (button && line) act(line, button.dataset);
  });
  root.addEventListener("dblclick", (event) => {
    const line = finalAt(event, "p.text");
    if (line) startEdit(line);
  });
  root.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const line = finalAt(event);
    if (!line) return;
    const all = shown.filter(isFinal);
    const place = all.indexOf(line);
    /** @type {Record<string, Line | undefined>} */
    const goal = {
      ArrowUp: all[place - 1],
      ArrowDown: all[place + 1],
      Home: all[0],
      End: all.at(-1),
    };
    if (event.key in goal) focus(goal[event.key]);
    else if (event.target !== line.item) return;
    else if (event.key === "Enter" || event.key === "F2") startEdit(line);
    else if (event.key === " " && playable) actions.play(line.key);
    else if (event.key === "Delete") {
      const next = all[place + 1] ?? all[place - 1];
      actions.remove(line.key);
      focus(next);
    } else return;
    event.preventDefault();
  });
  document.addEventListener("copy", (event) => copySelection(event, root, shown));

  /**
   * Mark the line that is playing; without a key, no line.
   *
   * @param {string} [key]
   */
  function setHeard(key = "") {
    if (key === heard) return;
    heard = key;
    for (const line of list.present()) {
      line.item?.classList.toggle("heard", key !== "" && line.key === key);
    }
  }

  return {
    setTimes,
    setHeard,
    show,
    endEdit,
    settle,
    sync,
    partial,
    dropPartial,
    dropPartials,
    note,
    filter,
    found,
    isEmpty: () => lines.length === 0,
  };
}

/** @param {Line} line */
const isFinal = ({ kind }) => kind === "final";

/** @param {Line["kind"]} kind @param {string} text @returns {Line} */
function lineWith(kind, text) {
  const about = { key: "", entry: null, who: "", stable: "", isEdited: false };
  return { kind, text, ...about, item: null, height: NaN };
}

/** @param {Entry} entry @returns {Line} */
function finalOf(entry) {
  return { ...lineWith("final", entry.text), key: entry.key, entry, who: namesOf(entry) };
}

/** @param {Entry} entry */
function namesOf({ turns }) {
  return speakersIn(turns)
    .map(({ name }) => name)
    .join(", ");
}
