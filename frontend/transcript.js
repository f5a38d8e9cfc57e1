// A transcript, kept in this browser until it is cleared. No DOM.

import { doubtsIn, doubtsLeft } from "./doubt.js";
import { SpeakerNames, nameBetween } from "./speakers.js";

/**
 * @typedef {object} Entry one utterance's final text
 * @property {string} key `stream:utterance`
 * @property {string} stream run of the server's capture that it belongs to
 * @property {number} at wall time at which it begins, in ms
 * @property {number} start_s
 * @property {number} end_s in seconds from the stream's start
 * @property {string} text
 * @property {number} confidence in 0..1
 * @property {{start_s: number, end_s: number, text: string, confidence: number}[]} [segments]
 *   of the engine, until a person edits the text
 * @property {boolean} [edited]
 * @property {string} [language] its code; a transcript of an older version has none
 * @property {import("./doubt.js").Range[]} [doubts] words that the engine is not sure of
 * @property {import("./speakers.js").NamedTurn[]} [turns] who speaks when, if that is known
 * @property {string} [keptIn] the server's folder in which its audio is kept
 * @property {{reason: string, pause_s: number}} [cut] why it ended, if it is kept and that is known
 * @property {number} order place among the others: wall time at which it came, in ms, or later
 *
 * @typedef {import("./storage.js").Change} Change
 * @typedef {import("./storage.js").Store} Store
 */

/** Entries in order. Stores each change, and can undo the last removal. */
export class Transcript {
  /**
   * @param {Store} store
   * @param {string} name in the store
   * @param {() => void} [onSaved] called when `saved` changes
   */
  constructor(store, name, onSaved = () => {}) {
    this.saved = true; // whether the store has all that is here
    /** @type {Entry[]} */
    this.entries = [];
    /** @type {?string} */
    this.stream = null;
    this.last = -1; // newest utterance of this stream
    this.speakers = new SpeakerNames();
    /** @type {Map<string, import("./speakers.js").Turn[]>} */
    this._early = new Map(); // turns of texts that are on their way, by key
    /** @type {Map<string, string>} */
    this._reasons = new Map(); // why utterances ended whose texts are on their way, by key
    this._store = store;
    this._name = name;
    this._onSaved = onSaved;
    /** @type {Map<string, Entry>} */
    this._byKey = new Map();
    /** @type {Entry[]} */
    this._removed = []; // by the last `remove`
    this._cleared = false; // whether that removed all entries at once, also in the store
    /** @type {Set<string>} */
    this._gone = new Set(); // keys of entries that were removed one by one, here or on another page
    this._order = 0; // of the newest entry
    this._zero = 0; // wall time of the stream's start, in ms
    this._stood = 0; // time of the stream at the last `setStream`, in s
    /** @type {string | null | undefined} */
    this._keptIn = null;
  }

  /** Read what the store has. */
  async load() {
    const { entries, removed, value, saved } = await this._store.read(this._name);
    this._insert(entries.filter(({ key }) => !this.find(key)));
    for (const key of removed) if (!this.find(key)) this._gone.add(key);
    this._setSaved(saved);
    this.stream ??= typeof value?.stream === "string" ? value.stream : null;
    this.last = Number.isInteger(value?.last) ? value.last : -1;
  }

  /**
   * Take over a change that another page of this browser has stored.
   *
   * @param {Change} change
   * @returns {boolean} false if all of it is known: every page tells of a line that all receive
   */
  take({ added = [], put = [], removed = [], cleared }) {
    const fresh = [...put, ...added.filter(({ key }) => !this.find(key) && !this._gone.has(key))];
    if (!fresh.length && !removed.length) return false;
    this._drop(new Set(put.map(({ key }) => key)));
    this._remove(removed, cleared);
    if (cleared && this.entries.length) this._write({ added: this.entries });
    this._insert(fresh);
    return true;
  }

  /** Store all entries anew. */
  save() {
    return this._write({ put: this.entries, removed: [...this._gone] }, true);
  }

  /** Remove all of it from the store. */
  forget() {
    return this._store.write({ name: this._name, forgotten: true }).catch(() => {});
  }

  /** @param {Entry[]} entries */
  _insert(entries) {
    let isSorted = true;
    for (const entry of entries) {
      isSorted &&= entry.order >= this._order;
      this.entries.push(entry);
      this._byKey.set(entry.key, entry);
      this._gone.delete(entry.key);
      this._order = Math.max(this._order, entry.order);
    }
    if (!isSorted) this.entries.sort(byOrder);
  }

  /** @param {Set<string>} keys */
  _drop(keys) {
    const gone = this.entries.filter(({ key }) => keys.has(key));
    if (gone.length) this.entries = this.entries.filter(({ key }) => !keys.has(key));
    for (const { key } of gone) this._byKey.delete(key);
    return gone;
  }

  /**
   * Remove entries here, and remember that, unless the store forgets them too.
   *
   * @param {string[]} keys
   * @param {boolean} [cleared]
   */
  _remove(keys, cleared) {
    if (cleared) this._gone.clear();
    else for (const key of keys) this._gone.add(key);
    return this._drop(new Set(keys));
  }

  /**
   * @param {Omit<Change, "name">} change
   * @param {boolean} [isAll] whether it stores all entries
   */
  async _write(change, isAll = false) {
    const value = { stream: this.stream, last: this.last };
    try {
      await this._store.write({ name: this._name, value, ...change });
    } catch {
      this._cleared = false; // `save` removes one by one what the store still has
      if (change.cleared) this._remove((change.removed ?? []).filter((key) => !this.find(key)));
      return this._setSaved(false);
    }
    if (isAll) this._setSaved(true);
    else if (!this.saved) await this.save(); // there is room again
  }

  /** @param {boolean} saved */
  _setSaved(saved) {
    if (saved === this.saved) return;
    this.saved = saved;
    this._onSaved();
  }

  /**
   * Follow a stream of the server, which is at `time_s` at wall time `now` (in ms).
   *
   * @param {string} stream
   * @param {number} time_s
   * @param {number} now
   * @param {?string} [keptIn] the server's folder in which the stream is kept
   */
  setStream(stream, time_s, now, keptIn) {
    this._keptIn = keptIn;
    this._zero = now - 1000 * time_s;
    this._stood = time_s;
    if (stream === this.stream) return;
    this.stream = stream;
    this.last = -1;
    this._reasons.clear();
  }

  /**
   * Take a `transcript` message that came at `now` (wall time in ms).
   *
   * @param {Record<string, any>} message
   * @param {number} now
   * @returns {?Entry} null if the transcript has it already, or it was removed
   */
  add(message, now) {
    const { utterance_id, start_s, end_s, text, confidence, segments, delay_s, language } = message;
    const key = `${this.stream}:${utterance_id}`;
    this.last = Math.max(this.last, utterance_id);
    if (this.find(key) || this._gone.has(key)) return null;
    const missed = end_s <= this._stood; // it was said before the page connected
    const at = missed ? this._zero + 1000 * start_s : now - 1000 * (delay_s + end_s - start_s);
    const stream = this.stream ?? "";
    /** @type {Entry} */
    const entry = { key, stream, at: Math.round(at), start_s, end_s, text, confidence, order: 0 };
    entry.order = Math.max(now, this._order + 1);
    if (language) entry.language = language;
    if (this._keptIn) entry.keptIn = this._keptIn;
    const reason = this._reasons.get(key);
    if (this._keptIn && reason) entry.cut = { reason, pause_s: message.pause_s };
    this._reasons.delete(key);
    const turns = message.speakers?.length ? message.speakers : this._early.get(key);
    if (turns) entry.turns = turns.map((/** @type {any} */ turn) => this.speakers.named(turn));
    this._early.clear();
    const doubts = doubtsIn(text, segments);
    if (doubts.length) entry.doubts = doubts;
    if (segments.length) entry.segments = segments.map(withoutWords);
    this._insert([entry]);
    this._write({ added: [entry] });
    return entry;
  }

  /**
   * Take why an utterance ended, whose text may follow.
   *
   * @param {{utterance_id: number, reason: string}} message
   */
  setReason({ utterance_id, reason }) {
    this._reasons.set(`${this.stream}:${utterance_id}`, reason);
  }

  /**
   * Take who speaks in an utterance, which replaces what was known of it.
   *
   * @param {{utterance_id: number, turns: import("./speakers.js").Turn[]}} message
   */
  setTurns({ utterance_id, turns }) {
    const key = `${this.stream}:${utterance_id}`;
    const entry = this.find(key);
    if (!entry) {
      this._early.set(key, turns);
      return;
    }
    entry.turns = turns.map((turn) => this.speakers.named(turn));
    this._write({ put: [entry] });
  }

  /** Call the speakers of all that this server heard by their names as they are now. */
  nameSpeakers() {
    const server = serverOf(this.stream ?? "");
    const changed = this.entries.filter((entry) => {
      if (!entry.turns || serverOf(entry.stream) !== server) return false;
      const before = JSON.stringify(entry.turns);
      entry.turns = entry.turns.map((turn) => this.speakers.named(turn));
      return JSON.stringify(entry.turns) !== before;
    });
    if (changed.length) this._write({ put: changed });
  }

  /** @param {string} key */
  find(key) {
    return this._byKey.get(key);
  }

  /**
   * Replace the text of an entry by that of a person.
   *
   * @param {string} key
   * @param {string} text
   */
  edit(key, text) {
    const entry = this.find(key);
    if (!entry || entry.text === text) return;
    if (entry.doubts) entry.doubts = doubtsLeft(entry.doubts, entry.text, text);
    entry.text = text;
    entry.edited = true;
    delete entry.segments;
    this._write({ put: [entry] });
  }

  /**
   * Remove entries, so that `undo` can bring them back.
   *
   * @param {string[]} [keys] without them all entries
   */
  remove(keys) {
    this._cleared = !keys;
    const before = keys ? [] : this._gone; // some of which the store may still have
    const removed = [...before, ...(keys ?? this._byKey.keys())];
    this._removed = this._remove(removed, this._cleared);
    this._write({ removed, cleared: this._cleared });
    return this._removed.length;
  }

  /** Bring back the entries of the last removal; give how many, once they are stored. */
  async undo() {
    const goneSince = this._cleared ? this._gone : new Set();
    const back = this._removed.filter(({ key }) => !this.find(key) && !goneSince.has(key));
    this._removed = [];
    this._insert(back);
    await this._write(this._cleared ? { added: back } : { put: back });
    return back.length;
  }
}

/**
 * Segments of all streams on one timeline that starts with the first stream. A later stream is
 * placed by the clock, but never before the end of the one before it. What is kept on the server also
 * has its place there.
 *
 * @param {Entry[]} entries
 */
export function timeline(entries) {
  const segments = [];
  let stream, zero;
  let [offset, end] = [0, 0];
  for (const entry of entries) {
    const began = entry.at / 1000 - entry.start_s;
    zero ??= began;
    if (entry.stream !== stream) {
      offset = stream === undefined ? 0 : Math.max(began - zero, end - entry.start_s);
      stream = entry.stream;
    }
    for (const part of entry.segments ?? [entry]) {
      const { text, confidence } = part;
      end = part.end_s + offset;
      /** @type {import("./exports.js").Segment} */
      const segment = { start_s: part.start_s + offset, end_s: end, text, confidence };
      const speaker = nameBetween(entry.turns, part.start_s, part.end_s);
      if (speaker) segment.speaker = speaker;
      segments.push(entry.keptIn ? { ...segment, kept: placeOf(entry, part) } : segment);
    }
  }
  return segments;
}

/**
 * The place of a part of an entry in the kept session, and whether a person has changed its text.
 *
 * @param {Entry} entry
 * @param {{start_s: number, end_s: number}} part
 */
function placeOf({ keptIn = "", edited = false }, { start_s, end_s }) {
  return { session: keptIn.split(/[\\/]/).at(-1), start_s, end_s, edited };
}

/**
 * What the ids of a server's streams have in common: a number of the start follows.
 *
 * @param {string} stream
 */
function serverOf(stream) {
  return stream.slice(0, Math.max(0, stream.lastIndexOf("-")));
}

/**
 * A segment without its words, which are many: the words in doubt are kept.
 *
 * @param {Record<string, any>} segment
 */
function withoutWords({ start_s, end_s, text, confidence }) {
  return { start_s, end_s, text, confidence };
}

/** @param {Entry} a @param {Entry} b */
function byOrder(a, b) {
  return a.order - b.order;
}

/**
 * Entries of a version that had no `order`, with one that leaves them as they are.
 *
 * @param {Omit<Entry, "order">[]} entries
 * @returns {Entry[]}
 */
export function inOrder(entries) {
  let order = 0;
  return entries.map((entry) => {
    order = Math.max(order + 1, entry.at);
    return { ...entry, order };
  });
}

/**
 * Whether a stored value is an entry.
 *
 * @param {any} value
 */
export function isEntry(value) {
  return (
    typeof value?.key === "string" &&
    typeof value.text === "string" &&
    [value.at, value.start_s, value.end_s, value.confidence].every(Number.isFinite)
  );
}
