// A transcript, kept in this browser until it is cleared. No DOM.

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
 *
 * @typedef {Pick<Storage, "getItem" | "setItem" | "removeItem">} Store
 */

/** Entries in order of time. Saves each change, and can undo the last removal. */
export class Transcript {
  /**
   * @param {Store} storage
   * @param {string} name its key in the storage
   */
  constructor(storage, name) {
    this.saved = true; // whether the storage took the last change
    /** @type {Entry[]} */
    this.entries = [];
    this._storage = storage;
    this._name = name;
    /** @type {Entry[]} */
    this._removed = []; // by the last `remove`
    this._zero = 0; // wall time of the stream's start, in ms
    this._stood = 0; // time of the stream at the last `setStream`, in s
    const kept = this.load();
    /** @type {?string} */
    this.stream = typeof kept?.stream === "string" ? kept.stream : null;
    this.last = Number.isInteger(kept?.last) ? kept.last : -1; // newest utterance of this stream
  }

  /** Read the entries from the storage; none if they can't be read. */
  load() {
    let kept = null;
    try {
      kept = JSON.parse(this._storage.getItem(this._name) ?? "null");
    } catch {
      // a person or another program wrote there
    }
    this.entries = Array.isArray(kept?.entries) ? kept.entries.filter(isEntry) : [];
    return kept;
  }

  /** Before a change: take over the changes of another page of this browser. */
  _catchUp() {
    const { entries } = this;
    if (this.saved && !this.load()) this.entries = entries; // the storage can't be read
  }

  /** Write the entries to the storage, and set `saved`. */
  save() {
    const { stream, last, entries } = this;
    try {
      this._storage.setItem(this._name, JSON.stringify({ stream, last, entries }));
      this.saved = true;
    } catch {
      this.saved = false;
    }
  }

  /**
   * Follow a stream of the server, which is at `time_s` at wall time `now` (in ms).
   *
   * @param {string} stream
   * @param {number} time_s
   * @param {number} now
   */
  setStream(stream, time_s, now) {
    this._zero = now - 1000 * time_s;
    this._stood = time_s;
    if (stream === this.stream) return;
    this.stream = stream;
    this.last = -1;
  }

  /**
   * Take a `transcript` message that came at `now` (wall time in ms).
   *
   * @param {Record<string, any>} message
   * @param {number} now
   * @returns {?Entry} null if the transcript has it already
   */
  add(message, now) {
    const { utterance_id, start_s, end_s, text, confidence, segments, delay_s } = message;
    const key = `${this.stream}:${utterance_id}`;
    this.last = Math.max(this.last, utterance_id);
    this._catchUp();
    if (this.find(key)) return null;
    const missed = end_s <= this._stood; // it was said before the page connected
    const at = missed ? this._zero + 1000 * start_s : now - 1000 * (delay_s + end_s - start_s);
    const stream = this.stream ?? "";
    /** @type {Entry} */
    const entry = { key, stream, at: Math.round(at), start_s, end_s, text, confidence };
    if (segments.length) entry.segments = segments;
    this.entries.push(entry);
    this.save();
    return entry;
  }

  /** @param {string} key */
  find(key) {
    return this.entries.find((entry) => entry.key === key);
  }

  /**
   * Replace the text of an entry by that of a person.
   *
   * @param {string} key
   * @param {string} text
   */
  edit(key, text) {
    this._catchUp();
    const entry = this.find(key);
    if (!entry || entry.text === text) return;
    entry.text = text;
    entry.edited = true;
    delete entry.segments;
    this.save();
  }

  /**
   * Remove entries, so that `undo` can bring them back.
   *
   * @param {string[]} [keys] without them all entries
   */
  remove(keys) {
    this._catchUp();
    const gone = keys ? this.entries.filter((entry) => keys.includes(entry.key)) : this.entries;
    this.entries = this.entries.filter((entry) => !gone.includes(entry));
    this._removed = gone;
    this.save();
    return gone.length;
  }

  /** Bring back the entries of the last removal. */
  undo() {
    this._catchUp();
    const back = this._removed.filter((entry) => !this.find(entry.key));
    this._removed = [];
    this.entries = [...this.entries, ...back].sort(byTime);
    this.save();
    return back.length;
  }
}

/**
 * Segments of all streams on one timeline that starts with the first stream. A later stream is
 * placed by the clock, but never before the end of the one before it.
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
      segments.push({ start_s: part.start_s + offset, end_s: end, text, confidence });
    }
  }
  return segments;
}

/** @param {Entry} a @param {Entry} b */
function byTime(a, b) {
  return a.stream === b.stream ? a.start_s - b.start_s : a.at - b.at;
}

/** @param {any} value */
function isEntry(value) {
  return (
    typeof value?.key === "string" &&
    typeof value.text === "string" &&
    [value.at, value.start_s, value.end_s, value.confidence].every(Number.isFinite)
  );
}
