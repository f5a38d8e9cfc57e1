// Recordings: sent to the server one by one. Their text is kept until they are closed. No DOM.

import { Transcript } from "./transcript.js";

/** @typedef {import("./storage.js").Store} Store */

const ENDED = ["done", "failed"];
const CUT = "It was cut short: drop the file here again.";

/**
 * @typedef {object} Recording
 * @property {string} id the same for the same file
 * @property {string} name
 * @property {Transcript} transcript
 * @property {"waiting" | "sending" | "transcribing" | "done" | "failed"} phase
 * @property {number} part that is sent, in 0..1
 * @property {?number} duration_s null until it is known
 * @property {number} done_s of audio that is transcribed
 * @property {?number} left_s estimate of the time that the rest takes, null if there is none
 * @property {string} waits what the engine is at instead, "" if it is at this recording
 * @property {string} problem why it failed, or which part could not be decoded
 * @property {?File} file while this page has it
 */

/** The recordings of this page. */
export class Files {
  /**
   * @param {Store} store
   * @param {string} name of the list in the store; a recording's transcript is `name:id`
   * @param {string} url that takes the files
   * @param {(recording: Recording, message: ?Record<string, any>) => void} changed `message` of
   *   the server that caused the change, a transcript has its `entry`; or `kept`, after a change
   *   of what the store has
   */
  constructor(store, name, url, changed) {
    this.maxBytes = Infinity;
    /** @type {Recording[]} */
    this.open = [];
    this._store = store;
    this._name = name;
    this._url = url;
    this._changed = changed;
    /** @type {?XMLHttpRequest} */
    this._request = null; // of the recording that is being sent or transcribed
  }

  /** Read what the store has. */
  async load() {
    const { value } = await this._store.read(this._name);
    this.open = listed(value).map((kept) => this._make(kept));
    await Promise.all(this.open.map(({ transcript }) => transcript.load()));
  }

  /**
   * Add a file: a new one is queued, a known one can be played again.
   *
   * @param {File} file
   */
  add(file) {
    const id = `${file.name}:${file.size}:${file.lastModified}`;
    let recording = this.open.find((one) => one.id === id);
    if (!recording) {
      recording = this._make({ id, name: file.name });
      this.open.push(recording);
    }
    recording.file = file;
    if (recording.phase === "failed") this._queue(recording, file);
    this._save();
    this._changed(recording, { event: "added" });
    this._next();
    return recording;
  }

  /**
   * Cancel a recording and forget it; `restore` brings it back.
   *
   * @param {Recording} recording
   */
  close(recording) {
    this.cancel(recording);
    this.open = this.open.filter((one) => one !== recording);
    recording.transcript.forget();
    this._save();
  }

  /**
   * Bring back a recording that was closed; the promise ends once it is stored, or can't be.
   *
   * @param {Recording} recording
   */
  async restore(recording) {
    this.open.push(recording);
    await Promise.all([recording.transcript.save(), this._save()]);
  }

  /** @param {Recording} recording */
  cancel(recording) {
    if (ENDED.includes(recording.phase)) return;
    const request = recording.phase === "waiting" ? null : this._request;
    this._end(recording, "It was cancelled.");
    request?.abort();
  }

  /**
   * @param {Pick<Recording, "id" | "name"> & Partial<Recording>} kept
   * @returns {Recording}
   */
  _make({ id, name, phase = "failed", duration_s = null, problem = CUT }) {
    const saved = () => this._changed(recording, { event: "kept" });
    const transcript = new Transcript(this._store, this._key(id), saved);
    transcript.setStream(id, 0, Date.now());
    const heard = { phase, part: 0, duration_s, done_s: 0, left_s: null, waits: "", problem };
    /** @type {Recording} */
    const recording = { id, name, transcript, ...heard, file: null };
    return recording;
  }

  /** @param {Recording} recording @param {File} file */
  _queue(recording, file) {
    recording.transcript.remove();
    recording.transcript.setStream(`${recording.id}:${Date.now()}`, 0, Date.now());
    const anew = { part: 0, done_s: 0, left_s: null, waits: "", problem: "" };
    Object.assign(recording, { phase: "waiting", ...anew });
    if (file.size > this.maxBytes) {
      const mib = Math.floor(this.maxBytes / 1024 ** 2);
      this._end(recording, `A file may have ${mib} MiB at most: cut it, or compress it.`);
    }
  }

  _next() {
    const recording = this.open.find(({ phase }) => phase === "waiting");
    if (this._request || !recording) return;
    const request = new XMLHttpRequest(); // fetch doesn't report the progress of an upload
    let read = 0;
    const readLines = () => {
      if (request.status !== 200) return;
      const end = request.responseText.lastIndexOf("\n") + 1;
      const lines = request.responseText.slice(read, end).split("\n").filter(Boolean);
      read = end;
      for (const line of lines) this._receive(recording, JSON.parse(line));
    };
    this._request = request;
    recording.phase = "sending";
    const [suffix] = /\.\w+$/.exec(recording.name) ?? [""]; // the whole name would end up in logs
    request.open("POST", `${this._url}?name=${suffix}`);
    /** @param {(event: ProgressEvent) => void} act */
    const current = (act) => (/** @type {ProgressEvent} */ event) => {
      if (this._request === request) act(event);
    };
    request.upload.onprogress = current(({ loaded, total }) => {
      recording.part = loaded / total;
      this._changed(recording, null);
    });
    request.onprogress = current(readLines);
    request.onload = current(() => {
      readLines();
      this._end(recording, request.status === 200 ? CUT : reason(request));
    });
    request.onerror = current(() => this._end(recording, "The connection to the server broke."));
    request.send(recording.file);
    this._changed(recording, null);
  }

  /** @param {Recording} recording @param {Record<string, any>} message */
  _receive(recording, message) {
    if (recording.phase === "sending") recording.phase = "transcribing";
    switch (message.event) {
      case "opened":
        recording.duration_s = message.duration_s;
        break;
      case "progress":
        recording.done_s = message.done_s;
        recording.left_s = message.left_s ?? null;
        recording.waits = message.waits_for ?? "";
        break;
      case "transcript":
        message = { ...message, entry: recording.transcript.add(message, Date.now()) };
        break;
      case "session_failed":
        return this._end(recording, message.message);
      case "done":
        recording.duration_s = recording.done_s = message.duration_s;
        recording.problem = message.problem ?? "";
        recording.phase = "done";
        this._save();
        break;
    }
    this._changed(recording, message);
  }

  /**
   * End a recording; if it isn't done, it failed with this problem.
   *
   * @param {Recording} recording
   * @param {string} problem
   */
  _end(recording, problem) {
    if (recording.phase === "failed") return;
    if (recording.phase !== "waiting") this._request = null;
    if (recording.phase !== "done") Object.assign(recording, { phase: "failed", problem });
    this._save();
    this._changed(recording, null);
    this._next();
  }

  /** @param {string} id */
  _key(id) {
    return `${this._name}:${id}`;
  }

  /**
   * Take over a change that another page of this browser has stored.
   *
   * @param {import("./storage.js").Change} change
   */
  take(change) {
    const changed = this.open.find(({ id }) => this._key(id) === change.name);
    if (changed) changed.transcript.take(change);
    if (change.name !== this._name) return;
    const kept = listed(change.value);
    const mine = this.open.filter((one) => !ENDED.includes(one.phase) || isIn(kept, one));
    for (const one of mine) {
      const now = kept.find(({ id }) => id === one.id);
      if (now && ENDED.includes(one.phase)) Object.assign(one, now);
    }
    const others = kept.filter((one) => !isIn(mine, one)).map((one) => this._make(one));
    this.open = [...mine, ...others];
    for (const one of others) one.transcript.load().then(() => this._changed(one, { event: "kept" }));
  }

  _save() {
    const value = this.open.map(({ id, name, phase, duration_s, problem }) => {
      return { id, name, duration_s, ...(ENDED.includes(phase) ? { phase, problem } : {}) };
    });
    // Where there is no room, the transcript reports it.
    return this._store.write({ name: this._name, value }).catch(() => {});
  }
}

/**
 * Recordings of a stored list, without their files and transcripts.
 *
 * @param {any} value
 * @returns {Recording[]}
 */
function listed(value) {
  if (!Array.isArray(value)) return [];
  return value.filter((one) => typeof one?.id === "string" && typeof one.name === "string");
}

/** @param {Pick<Recording, "id">[]} recordings @param {Pick<Recording, "id">} recording */
function isIn(recordings, { id }) {
  return recordings.some((one) => one.id === id);
}

/** @param {XMLHttpRequest} request */
function reason({ responseText, status }) {
  try {
    return JSON.parse(responseText).detail;
  } catch {
    return responseText.trim() || `The server answered ${status}.`;
  }
}
