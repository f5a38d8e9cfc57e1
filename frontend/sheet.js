// The sheet: the transcript that is shown, live or of a recording, and its search.

import { byId, setText } from "./dom.js";
import { createFollow } from "./follow.js";
import { createList } from "./list.js";
import { isSaidBy } from "./speakers.js";

/** Newest finals that the log of screen readers keeps. */
const SAID_LINES = 5;

const SPEAK = "Speak, and your words appear here.";
const EMPTY = "Nothing was said in it.";
const SAVED = "Kept in this browser, also when you reload, until you clear it.";
const NOT_SAVED =
  "This browser's storage is full or closed to this page: a reload loses the newest lines. " +
  "Download them.";

/**
 * Fill the sheet with one transcript at a time.
 *
 * @typedef {{transcript: import("./transcript.js").Transcript, phase?: string}} Shown the
 *   live transcript, which has no phase, or a recording
 *
 * @param {Shown} live
 * @param {import("./toast.js").Toast} toast
 * @param {{copy: (text: string) => void, play: (time_s: number) => void,
 *   why: (entry: import("./transcript.js").Entry) => void, who: (speaker: string, entry: import("./transcript.js").Entry) => void}} actions
 */
export function createSheet(live, toast, actions) {
  const list = createList(byId("transcript"), {
    edit,
    remove,
    copy: (key) => actions.copy(find(key).text),
    play: (key) => actions.play(find(key).start_s),
    why: (key) => actions.why(find(key)),
    who: (speaker, key) => actions.who(speaker, find(key)),
  }, (by) => follow.shifted(by));
  const follow = createFollow(byId("newest"));
  /** @type {Shown} */
  let shown = live;
  let hears = false;
  let own = false;
  let only = ""; // name of the speaker whose lines are shown

  /** @param {string} key of an entry that is shown */
  function find(key) {
    return /** @type {import("./transcript.js").Entry} */ (shown.transcript.find(key));
  }

  // -- what is shown ----------------------------------------------------------------------------

  /** @param {Shown} one */
  function show(one) {
    list.endEdit();
    shown = one;
    showAll(one === live);
    follow.begin(one === live);
  }

  /** @param {boolean} [atEnd] whether the page is then scrolled to the newest line */
  function showAll(atEnd = false) {
    list.endEdit();
    list.show(shown.transcript.entries, atEnd);
    showAround();
  }

  /** Show entries that may have changed. Partials, remarks and an open edit stay. */
  function sync() {
    list.sync(shown.transcript.entries);
    showAround();
  }

  /** Update the buttons and texts around the list. */
  function showAround() {
    const none = !shown.transcript.entries.length;
    for (const id of ["copy", "download", "clear", "search"]) byId(id).disabled = none;
    byId("kept").hidden = none;
    byId("kept").textContent = shown.transcript.saved ? SAVED : NOT_SAVED;
    showEmpty();
    search();
  }

  function showEmpty() {
    const isLive = shown === live;
    const title = isLive ? SPEAK : EMPTY;
    setText(byId("empty").querySelector("p"), isLive && !hears ? "" : title);
    byId("starts").hidden = !isLive || own;
    const none = list.isEmpty();
    byId("empty").hidden = !none || (!isLive && shown.phase !== "done");
  }

  /**
   * @param {boolean} now whether words would appear if somebody spoke
   * @param {boolean} ofBrowser whether this browser's microphone is on
   */
  function setHearing(now, ofBrowser) {
    if (now === hears && ofBrowser === own) return;
    hears = now;
    own = ofBrowser;
    showEmpty();
  }

  // -- the live transcript ----------------------------------------------------------------------

  /**
   * Show a partial, whose text may still change after its `stable` part.
   *
   * @param {{utterance_id: number, text: string, stable: string}} message
   */
  function partial({ utterance_id, text, stable }) {
    if (shown === live) list.partial(utterance_id, text, stable);
    showEmpty();
  }

  /** @param {number} utteranceId of an utterance that has no text after all */
  function dropPartial(utteranceId) {
    list.dropPartial(utteranceId);
    showEmpty();
  }

  /** Remove all partials: none of them becomes final any more. */
  function dropPartials() {
    list.dropPartials();
    showEmpty();
  }

  /**
   * @param {number} utteranceId
   * @param {import("./transcript.js").Entry} entry
   */
  function final(utteranceId, entry) {
    const line = document.createElement("p");
    line.textContent = entry.text;
    byId("said").append(line);
    while (byId("said").childElementCount > SAID_LINES) byId("said").firstElementChild.remove();
    if (shown !== live) return;
    list.settle(utteranceId, entry);
    follow.added();
    showAround();
  }

  // -- a recording ------------------------------------------------------------------------------

  /** @param {import("./transcript.js").Entry} entry of the recording that is shown */
  function add(entry) {
    list.settle(entry.key, entry);
    showAround();
  }

  // -- what a person does -----------------------------------------------------------------------

  /** @param {string} key @param {?string} text null leaves the line unchanged */
  function edit(key, text) {
    if (text !== null) shown.transcript.edit(key, text);
    sync();
  }

  /** @param {string} key */
  function remove(key) {
    shown.transcript.remove([key]);
    sync();
    toast.say("Removed one line.", undo);
  }

  function clear() {
    const count = shown.transcript.remove();
    showAll();
    toast.say(`Cleared ${lines(count)}.`, undo);
  }

  async function undo() {
    const undone = shown.transcript.undo();
    sync();
    const count = await undone;
    if (count) toast.say(`Brought back ${lines(count)}.`);
  }

  function search() {
    const query = byId("search").value.trim();
    const { entries } = shown.transcript;
    if (only && !entries.some((entry) => isSaidBy(entry.turns, only))) only = ""; // the name is gone
    follow.pause(query !== "" || only !== "");
    list.filter(query, only);
    byId("only").hidden = !only;
    setText(byId("only").querySelector("span"), only && `Only ${only}`);
    setText(byId("found"), query || only ? `${list.found()} of ${entries.length}` : "");
  }

  /** @param {string} name of the speaker whose lines are shown; "" for all */
  function showOnly(name) {
    only = name;
    search();
  }

  /**
   * Go to the search, in place of the browser's, which finds only lines that are in the document.
   * False if there is nothing to search, or a person is there and may want the browser's.
   */
  function startSearch() {
    const box = byId("search");
    if (box.disabled || document.activeElement === box) return false;
    box.focus();
    box.select();
    return true;
  }

  byId("clear").addEventListener("click", clear);
  byId("search").addEventListener("input", search);
  byId("only").addEventListener("click", () => {
    showOnly("");
    byId("search").focus();
  });
  byId("search").addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
    if (event.key !== "Escape") return;
    byId("search").value = "";
    search();
    byId("search").blur();
  });

  return {
    shown: () => shown,
    show,
    showAll,
    showEmpty,
    setHearing,
    startSearch,
    showOnly,
    sync,
    partial,
    dropPartial,
    dropPartials,
    final,
    add,
    note: list.note,
    setTimes: list.setTimes,
    setHeard: list.setHeard,
  };
}

/** @param {number} count */
function lines(count) {
  return count === 1 ? "one line" : `${count} lines`;
}
