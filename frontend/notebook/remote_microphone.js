// RemoteMicrophone: the browser's microphone, sent to the kernel as 16-bit samples.
//
// Each chunk has the number of its first sample in the capture. The kernel acknowledges the number
// of the first sample that it does not have. The browser keeps chunks until they are acknowledged,
// and sends them again in order. Beyond a bound it drops the oldest: the samples from `after` of
// the next chunk to its `first` never come.

import {
  Outbox,
  SILENT_S,
  explainFailure,
  lengthOf,
  openMicrophone,
  silenceAfter,
} from "../capture.js";
import { registerCapture } from "../worklet.js";

/** Most audio that is kept until the kernel acknowledges it, in s; then the oldest is dropped. */
const KEPT_S = 30;

/** Most audio that is sent ahead of its acknowledgement, in s. */
const AHEAD_S = 2;

/** Time without an acknowledgement after which audio is sent again, in s. */
const RESEND_S = 5;

/** Longest time between messages, in s, also while no session wants audio. */
const HEARTBEAT_S = 1;

/** Time without an answer of the kernel after which the widget says so, in s. */
const SLOW_S = 3;

/** Time without an answer of the kernel after which the microphone is turned off, in s. */
const GONE_S = 120;

/** Time without a view after which the microphone is turned off, in s: a cell may run again. */
const LEAVE_S = 1;

/** The lowest level that is shown, in dBFS. */
export const FLOOR_DBFS = -80;

const GONE = "Off: the kernel that this belongs to has ended. Run the cell again.";

/** Captured audio that the kernel has not acknowledged yet. */
export class AcknowledgedOutbox extends Outbox {
  /** @param {number} rate in Hz */
  constructor(rate) {
    super(rate, KEPT_S);
    /** @type {(import("../capture.js").Chunk & {sent_s: number})[]} */
    this.flying = []; // sent and not acknowledged, in order
  }

  /** @returns {import("../capture.js").Chunk[]} */
  all() {
    return [...this.flying, ...this.waiting];
  }

  /**
   * The next chunk to send, or undefined while enough is on its way.
   *
   * @param {number} now_s
   */
  next(now_s) {
    if (this.flying.length && now_s - this.flying[0].sent_s > RESEND_S) {
      this.waiting = this.all();
      this.flying = [];
    }
    if (lengthOf(this.flying) >= AHEAD_S * this.rate) return undefined;
    const chunk = this.waiting.shift();
    if (chunk) this.flying.push({ ...chunk, sent_s: now_s });
    return chunk;
  }

  /**
   * The kernel has all samples before this one.
   *
   * @param {number} taken
   */
  acknowledge(taken) {
    const isOpen = (/** @type {import("../capture.js").Chunk} */ chunk) =>
      chunk.first + chunk.pcm.length > taken;
    this.flying = this.flying.filter(isOpen);
    this.waiting = this.waiting.filter(isOpen);
  }
}

/**
 * RMS level of 16-bit samples, in dBFS.
 *
 * @param {Int16Array} pcm
 */
export function level(pcm) {
  const square = pcm.reduce((sum, sample) => sum + sample * sample, 0) / pcm.length / 32768 ** 2;
  return square ? Math.max(FLOOR_DBFS, 10 * Math.log10(square)) : FLOOR_DBFS;
}

/** @type {Record<string, string>} More advice than the page gives, by name of the error. */
const MORE_ADVICE = {
  SecurityError:
    "Open this notebook by https, or through a tunnel: ssh -L 8888:localhost:8888 MACHINE, then " +
    "http://localhost:8888.",
  NotAllowedError:
    "Then press Start again. In the window of another program, such as VS Code, it can't be " +
    "allowed: open the notebook in a browser.",
  NotSupportedError: "",
};

/** For a content security policy that allows blob: for modules but not for worklets. */
const BLOCKED =
  "This page does not let the code run that captures audio: whoever runs Jupyter must allow " +
  "blob: in script-src and worker-src of its content security policy. Until then, record with " +
  "another program, upload the file, and use stt.load or stt.FileSource.";

/**
 * Why no microphone could be opened, and what a person can do about it.
 *
 * @param {Error} error
 */
export function explain(error) {
  if (error.name === "AbortError") return BLOCKED;
  const { title, advice } = explainFailure(error);
  const more = MORE_ADVICE[error.name] ?? "Then press Start again.";
  return [title, advice, more].filter(Boolean).join(" ");
}

/**
 * @typedef {object} State of the microphone
 * @property {"off" | "asking" | "on"} state
 * @property {boolean} gone whether its kernel has ended
 * @property {number} run how often sessions have opened it, 0 while none has it open
 * @property {string} holder id of the capture that the kernel takes audio from, "" if none is on
 * @property {?string} id of this browser's capture
 * @property {number} silent_s how long nothing but zeros has come
 * @property {number} unanswered_s how long the kernel has not answered
 * @property {string} problem
 */

/**
 * The state of the microphone in words.
 *
 * @param {State} microphone
 */
export function describe({ state, gone, run, holder, id, silent_s, unanswered_s, problem }) {
  if (gone) return GONE;
  if (problem) return problem;
  if (state === "asking") return "Allow the microphone where the browser asks.";
  if (state === "off") {
    return holder && holder !== id
      ? "On in another window, or before this page was loaded. Start takes it over."
      : "Off.";
  }
  if (unanswered_s > SLOW_S) return "On. The kernel does not answer; sound is kept until it does.";
  if (silent_s > SILENT_S) return "On, but nothing but silence comes: is the microphone muted?";
  if (!run) return "On. No session is listening.";
  return "On. A session is listening.";
}

// -- capture --------------------------------------------------------------------------------------

/**
 * Open the microphone. A widget's files have no address: the worklet is a module made of text.
 *
 * @param {(pcm: Int16Array) => void} onChunk
 * @param {() => void} onEnd
 */
async function openHere(onChunk, onEnd) {
  const text = `(${registerCapture})(globalThis);`;
  const workletUrl = URL.createObjectURL(new Blob([text], { type: "text/javascript" }));
  try {
    return await openMicrophone({ workletUrl, onChunk, onEnd });
  } finally {
    URL.revokeObjectURL(workletUrl);
  }
}

const newId = () => [...crypto.getRandomValues(new Uint8Array(8))].join("-");
const now = () => performance.now() / 1000;

/** @typedef {Awaited<ReturnType<typeof openMicrophone>>} Opened */

/** The microphone of one widget model: what its views show and its kernel hears. */
class Microphone {
  constructor() {
    /** @type {Set<() => void>} */
    this.views = new Set();
    /** @type {"off" | "asking" | "on"} */
    this.state = "off";
    this.gone = false;
    this.problem = "";
    /** @type {?string} */
    this.id = null; // of the capture
    /** @type {?Opened} */
    this.opened = null; // while it is on
    /** @type {?AcknowledgedOutbox} */
    this.outbox = null; // while a session wants audio
    this.run = 0;
    this.level = FLOOR_DBFS;
    this.silent_s = 0;
    this.sent_s = 0; // when a message was sent last
    this.heard_s = 0; // when the kernel answered last
  }

  /** @param {any} model */
  attach(model) {
    this.model = model;
    model.on("change:run", () => this.show());
    model.on("change:holder", () => {
      const holder = model.get("holder");
      if (this.state === "on" && holder && holder !== this.id) this.stop(); // another window took it over
      this.show();
    });
    model.on("comm_live_update", () => this.lose()); // the kernel is restarting
    model.on("msg:custom", (/** @type {Record<string, any>} */ { capture, run, taken }) => {
      if (capture !== this.id) return;
      this.heard_s = now();
      if (run === this.run) this.outbox?.acknowledge(taken);
      this.sendAudio();
    });
  }

  show() {
    for (const view of this.views) view();
  }

  /** @param {() => void} view */
  leave(view) {
    this.views.delete(view);
    setTimeout(() => this.views.size || this.stop(), LEAVE_S * 1000);
  }

  async start() {
    const { state, gone } = this;
    if (state !== "off" || gone) return;
    Object.assign(this, { state: "asking", problem: "", level: FLOOR_DBFS, silent_s: 0 });
    this.show();
    const id = newId();
    try {
      const opened = await openHere(
        (pcm) => id === this.id && this.take(pcm),
        () => id === this.id && this.stop("The microphone was disconnected."),
      );
      if (this.state !== "asking") return opened.stop();
      Object.assign(this, { state: "on", id, opened, outbox: null, run: 0, heard_s: now() });
      this.send({ say: "start", device: opened.label, run: 0 });
    } catch (error) {
      this.state = "off";
      this.problem = explain(/** @type {Error} */ (error));
    }
    this.show();
  }

  /** Close the microphone and send what is left; `why` is a reason other than a click. */
  stop(why = "") {
    if (this.state === "on") {
      this.opened?.stop();
      this.state = "off";
      for (const chunk of this.outbox?.all() ?? []) this.sendChunk(chunk);
      this.send({ say: "stop", why });
      Object.assign(this, { outbox: null, opened: null, problem: why });
    }
    this.state = "off";
    this.show();
  }

  /** Stop for good: the kernel has ended. */
  lose() {
    this.gone = true;
    this.stop();
  }

  /** @param {Int16Array} pcm */
  take(pcm) {
    if (this.state !== "on" || !this.opened) return;
    this.level = level(pcm);
    this.silent_s = silenceAfter(this.silent_s, pcm, this.opened.rate);
    const run = this.model.get("run");
    if (run !== this.run) this.outbox = run ? new AcknowledgedOutbox(this.opened.rate) : null;
    this.run = run;
    this.outbox?.add(pcm);
    this.sendAudio();
    if (now() - this.sent_s > HEARTBEAT_S) this.send({ say: "here", run });
    if (now() - this.heard_s > GONE_S) {
      this.stop("The kernel has not answered for two minutes: the microphone was turned off.");
    }
    this.show();
  }

  sendAudio() {
    for (let chunk; (chunk = this.outbox?.next(now())); ) this.sendChunk(chunk);
  }

  /** @param {import("../capture.js").Chunk} chunk */
  sendChunk({ first, after, pcm }) {
    const { rate } = /** @type {Opened} */ (this.opened);
    this.send({ say: "sound", run: this.run, rate, first, after }, [pcm.buffer]);
  }

  /** @param {object} content @param {ArrayBufferLike[]} buffers */
  send(content, buffers = []) {
    if (this.gone) return;
    this.sent_s = now();
    try {
      this.model.send({ capture: this.id, ...content }, undefined, buffers);
    } catch {
      this.lose(); // the kernel was shut down
    }
  }
}

// -- the page -------------------------------------------------------------------------------------

const PAGE = `
<button type="button">Start</button>
<meter min="${FLOOR_DBFS}" max="0" aria-label="level in dBFS"></meter>
<span class="figures"></span>
<span class="words" role="status"></span>`;

/** @param {HTMLElement} el @param {Microphone} microphone */
function build(el, microphone) {
  el.classList.add("sttlab-remote-microphone");
  el.setAttribute("role", "group");
  el.setAttribute("aria-label", "microphone of this computer");
  el.innerHTML = PAGE;
  const [button, meter, figures, words] = /** @type {any} */ (el.children);
  button.addEventListener("click", () =>
    microphone.state === "on" ? microphone.stop() : microphone.start(),
  );
  return () => {
    const { state, gone, outbox, model, id, problem, silent_s, heard_s } = microphone;
    const on = state === "on";
    button.textContent = on ? "Stop" : "Start";
    button.disabled = state === "asking" || gone;
    button.classList.toggle("on", on);
    meter.value = on ? microphone.level : FLOOR_DBFS;
    const parts = on ? [`${Math.round(microphone.level)} dBFS`] : [];
    if (outbox && outbox.kept_s > 1) parts.push(`${outbox.kept_s.toFixed(0)} s of ${KEPT_S} s kept`);
    if (outbox?.lost) parts.push(`${outbox.lost_s.toFixed(1)} s lost`);
    figures.textContent = parts.join(", ");
    const text = describe({
      state,
      gone,
      id,
      problem,
      silent_s,
      run: model.get("run"),
      holder: model.get("holder"),
      unanswered_s: now() - heard_s,
    });
    if (words.textContent !== text) words.textContent = text;
  };
}

export default () => {
  const microphone = new Microphone();
  return {
    /** @param {{model: any}} widget */
    initialize({ model }) {
      microphone.attach(model);
      return () => microphone.lose();
    },
    /** @param {{el: HTMLElement}} widget */
    render({ el }) {
      const view = build(el, microphone);
      microphone.views.add(view);
      view();
      return () => microphone.leave(view);
    },
  };
};
