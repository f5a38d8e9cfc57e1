// RemoteMicrophone: the browser's microphone, sent to the kernel as 16-bit samples.
//
// Each chunk says which sample of its capture is its first. The kernel acknowledges up to the sample
// before which it has all. The browser keeps what is not acknowledged, and sends it again in order.
// If that grows beyond a bound, it gives up the oldest: the samples from `after` of the next chunk
// to its `first` never come.

import {
  Outbox,
  SILENT_S,
  explainFailure,
  lengthOf,
  openMicrophone,
  silenceAfter,
} from "../capture.js";
import { registerCapture } from "../worklet.js";

const KEPT_S = 30; // of audio that is not acknowledged yet; then the oldest goes
const AHEAD_S = 2; // of audio on its way
const RESEND_S = 5; // without an acknowledgement
const HEARTBEAT_S = 1; // between messages while no audio is wanted
const SLOW_S = 3; // without an answer, so that it is worth a word
const GONE_S = 120; // without an answer, so that nobody will miss the audio
const LEAVE_S = 1; // off every page, so that it was not just a cell that ran again
export const FLOOR_DBFS = -80;
const GONE = "Off: the kernel that this belongs to has ended. Run the cell again.";

/** Captured audio that the kernel has not acknowledged yet. */
export class AcknowledgedOutbox extends Outbox {
  /** @param {number} rate in Hz */
  constructor(rate) {
    super(rate, KEPT_S);
    /** @type {(import("../capture.js").Chunk & {sent_s: number})[]} */
    this.flying = []; // sent, in order
  }

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

/** RMS level of 16-bit samples. */
export function level(pcm) {
  const square = pcm.reduce((sum, sample) => sum + sample * sample, 0) / pcm.length / 32768 ** 2;
  return square ? Math.max(FLOOR_DBFS, 10 * Math.log10(square)) : FLOOR_DBFS;
}

/** What a person can do about an error, beyond what the page says about it. */
const MORE_ADVICE = {
  SecurityError:
    "Open this notebook by https, or through a tunnel: ssh -L 8888:localhost:8888 MACHINE, then " +
    "http://localhost:8888.",
  NotAllowedError:
    "Then press Start again. In the window of another program, such as VS Code, it can't be " +
    "allowed: open the notebook in a browser.",
  NotSupportedError: "",
};

/** Of addModule, where a content security policy has blob: for modules but not for worklets. */
const BLOCKED =
  "This page does not let the code run that captures audio: whoever runs Jupyter must allow " +
  "blob: in script-src and worker-src of its content security policy. Until then, record with " +
  "another program, upload the file, and use stt.load or stt.FileSource.";

/** Why no microphone could be opened, and what a person can do about it. */
export function explain(error) {
  if (error.name === "AbortError") return BLOCKED;
  const { title, advice } = explainFailure(error);
  const more = MORE_ADVICE[error.name] ?? "Then press Start again.";
  return [title, advice, more].filter(Boolean).join(" ");
}

/** How the microphone is, in words. */
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

/** Open the microphone. A widget's files have no address: the worklet is a module made of text. */
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

/** The microphone of one widget model: what its views show and its kernel hears. */
class Microphone {
  constructor() {
    this.views = new Set();
    this.state = "off";
    this.problem = "";
    this.id = null;
  }

  attach(model) {
    this.model = model;
    model.on("change:run", () => this.show());
    model.on("change:holder", () => {
      const holder = model.get("holder");
      if (this.state === "on" && holder && holder !== this.id) this.stop(); // another has it
      this.show();
    });
    model.on("comm_live_update", () => this.lose()); // the kernel is restarting
    model.on("msg:custom", ({ capture, run, taken }) => {
      if (capture !== this.id) return;
      this.heard_s = now();
      if (run === this.run) this.outbox?.acknowledge(taken);
      this.sendSound();
    });
  }

  show() {
    for (const view of this.views) view();
  }

  leave(view) {
    this.views.delete(view);
    setTimeout(() => this.views.size || this.stop(), LEAVE_S * 1000);
  }

  async start() {
    if (this.state !== "off" || this.gone) return;
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
      this.problem = explain(error);
    }
    this.show();
  }

  /** Let go of the microphone, after sending what is left; `why` is a reason other than a click. */
  stop(why = "") {
    if (this.state === "on") {
      this.opened.stop();
      this.state = "off";
      for (const chunk of this.outbox?.all() ?? []) this.sendChunk(chunk);
      this.send({ say: "stop", why });
      Object.assign(this, { outbox: null, opened: null, problem: why });
    }
    this.state = "off";
    this.show();
  }

  /** Stop for good. */
  lose() {
    this.gone = true;
    this.stop();
  }

  take(pcm) {
    if (this.state !== "on") return;
    this.level = level(pcm);
    this.silent_s = silenceAfter(this.silent_s, pcm, this.opened.rate);
    const run = this.model.get("run");
    if (run !== this.run) this.outbox = run ? new AcknowledgedOutbox(this.opened.rate) : null;
    this.run = run;
    this.outbox?.add(pcm);
    this.sendSound();
    if (now() - this.sent_s > HEARTBEAT_S) this.send({ say: "here", run });
    if (now() - this.heard_s > GONE_S) {
      this.stop("The kernel has not answered for two minutes: the microphone was turned off.");
    }
    this.show();
  }

  sendSound() {
    for (let chunk; (chunk = this.outbox?.next(now())); ) this.sendChunk(chunk);
  }

  sendChunk({ first, after, pcm }) {
    const { rate } = this.opened;
    this.send({ say: "sound", run: this.run, rate, first, after }, [pcm.buffer]);
  }

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

function build(el, microphone) {
  el.classList.add("sttlab-remote-microphone");
  el.setAttribute("role", "group");
  el.setAttribute("aria-label", "microphone of this computer");
  el.innerHTML = PAGE;
  const [button, meter, figures, words] = el.children;
  button.addEventListener("click", () =>
    microphone.state === "on" ? microphone.stop() : microphone.start(),
  );
  return () => {
    const { state, gone, outbox, model, id, problem, silent_s, heard_s } = microphone;
    const on = state === "on";
    button.textContent = on ? "Stop" : "Start";
    button.disabled = state === "asking" || Boolean(gone);
    button.classList.toggle("on", on);
    meter.value = on ? microphone.level : FLOOR_DBFS;
    const parts = on ? [`${Math.round(microphone.level)} dBFS`] : [];
    if (outbox?.kept_s > 1) parts.push(`${outbox.kept_s.toFixed(0)} s of ${KEPT_S} s kept`);
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
    initialize({ model }) {
      microphone.attach(model);
      return () => microphone.lose();
    },
    render({ el }) {
      const view = build(el, microphone);
      microphone.views.add(view);
      view();
      return () => microphone.leave(view);
    },
  };
};
