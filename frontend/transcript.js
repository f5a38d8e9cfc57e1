// What was said, kept in this browser until it is cleared. No DOM.

/**
 * @typedef {object} Entry one utterance's final text
 * @property {string} key stream and utterance
 * @property {string} stream which run of the server's capture it belongs to
 * @property {number} at wall time at which it begins, in ms
 * @property {number} start_s
 * @property {number} end_s in seconds from the stream's start
 * @property {string} text
 * @property {number} confidence in 0..1
 * @property {{start_s: number, end_s: number, text: string, confidence: number}[]} [segments]
 *   if there are several, and the text is as it came
 * @property {boolean} [edited]
 */

const SAME_STREAM_S = 3;

/** Keeps entries in order of time, saves them at every change, and can bring back the last lot. */
export class Transcript {
  /**
   * @param {Storage} storage
   * @param {string} name its key in the storage
   */
  constructor(storage, name) {
    this.entries = [];
    this.saved = true; // whether the storage took the last change
    this._storage = storage;
    this._name = name;
    this._removed = [];
    this.load();
  }

  /** Read what is kept; what can't be read counts as nothing. */
  load() {
    try {
      const kept = JSON.parse(this._storage.getItem(this._name) ?? "[]");
      this.entries = Array.isArray(kept) ? kept.filter(isEntry) : [];
    } catch {
      this.entries = [];
    }
  }

  _save() {
    try {
      if (this.entries.length) this._storage.setItem(this._name, JSON.stringify(this.entries));
      else this._storage.removeItem(this._name);
      this.saved = true;
    } catch {
      this.saved = false;
    }
  }

  /**
   * Take a `transcript` message that came at `now` (wall time in ms).
   *
   * @returns {?Entry} null if it is here already
   */
  add(message, now) {
    const at = now - 1000 * (message.delay_s + message.end_s - message.start_s);
    const stream = this._streamOf(message, at);
    const key = `${stream}:${message.utterance_id}`;
    if (this.find(key)) return null;
    const { start_s, end_s, text, confidence, segments } = message;
    const entry = { key, stream, at: Math.round(at), start_s, end_s, text, confidence };
    if (segments.length > 1) entry.segments = segments;
    this.entries.push(entry);
    this._save();
    return entry;
  }

  /** The run of capture that a message belongs to: the last one, unless times begin anew. */
  _streamOf(message, at) {
    if (message.stream) return message.stream;
    const zero = at / 1000 - message.start_s;
    const last = this.entries.at(-1);
    const goesOn = last && Math.abs(zero - (last.at / 1000 - last.start_s)) < SAME_STREAM_S;
    return goesOn ? last.stream : String(Math.round(zero * 1000));
  }

  find(key) {
    return this.entries.find((entry) => entry.key === key);
  }

  /** Replace an entry's text by what a person wrote. */
  edit(key, text) {
    const entry = this.find(key);
    if (!entry || entry.text === text) return;
    entry.text = text;
    entry.edited = true;
    delete entry.segments;
    this._save();
  }

  /** Remove entries (all of them without `keys`), so that `undo` can bring them back. */
  remove(keys) {
    const gone = keys ? this.entries.filter((entry) => keys.includes(entry.key)) : this.entries;
    this.entries = this.entries.filter((entry) => !gone.includes(entry));
    this._removed = gone;
    this._save();
    return gone.length;
  }

  /** Bring back what was removed last. */
  undo() {
    const back = this._removed.filter((entry) => !this.find(entry.key));
    this._removed = [];
    this.entries = [...this.entries, ...back].sort((a, b) => a.at - b.at);
    this._save();
    return back.length;
  }
}

/**
 * Segments on one line of time that begins with the first stream: a later stream lies as far
 * behind as the clock says, and never before the end of the one before it.
 */
export function timeline(entries) {
  const segments = [];
  let stream, zero, offset;
  let end = 0;
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

function isEntry(value) {
  return (
    typeof value?.key === "string" &&
    typeof value.text === "string" &&
    [value.at, value.start_s, value.end_s, value.confidence].every(Number.isFinite)
  );
}
