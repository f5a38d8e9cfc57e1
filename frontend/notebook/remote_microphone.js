// RemoteMicrophone: the browser's microphone, sent to the kernel as 16-bit samples.
//
// Each chunk says which sample of its capture is its first. The kernel acknowledges up to where it
// has them all; what isn't acknowledged is kept, sent again in order, and if there is too much of
// it, given up. What was given up before a chunk begins with its sample `after`.

const RATE = 16_000; // what the kernel hears at; it resamples where a browser can't
const CHUNK_S = 0.1;
const KEPT_S = 30; // of sound that is not acknowledged yet; then the oldest goes
const AHEAD_S = 2; // of sound on its way
const RESEND_S = 5;
const BEAT_S = 1; // between signs of life while no sound is wanted
const SLOW_S = 3; // without an answer, so that it is worth a word
const GONE_S = 120; // without an answer, so that nobody will miss the sound
const LEAVE_S = 1; // off every page, so that it was not just a cell that ran again
const SILENT_S = 3; // of nothing but zeros
const START_MS = 5000; // until the browser's sound runs: without an output, some wait forever
export const FLOOR_DBFS = -80;
const GONE = "Off: the kernel that this belongs to has ended. Run the cell again.";

/** What is captured and not acknowledged yet. */
export class Outbox {
  constructor(rate) {
    this.rate = rate;
    this.position = 0; // samples captured
    this.lost = 0; // samples given up
    this.waiting = []; // chunks to send: {first, after, pcm, sent_s}
    this.flying = []; // chunks sent
  }

  get kept_s() {
    return lengthOf(this.all()) / this.rate;
  }

  all() {
    return [...this.flying, ...this.waiting];
  }

  add(pcm) {
    this.waiting.push({ first: this.position, after: this.position, pcm });
    this.position += pcm.length;
    while (this.kept_s > KEPT_S) {
      const { after, pcm } = this.waiting.shift(); // not of what may have come already
      this.waiting[0].after = after;
      this.lost += pcm.length;
    }
  }

  /** The next chunk to send, or undefined while enough is on its way. */
  next(now_s) {
    if (this.flying.length && now_s - this.flying[0].sent_s > RESEND_S) {
      this.waiting = this.all();
      this.flying = [];
    }
    if (!this.waiting.length || lengthOf(this.flying) >= AHEAD_S * this.rate) return undefined;
    const chunk = this.waiting.shift();
    chunk.sent_s = now_s;
    this.flying.push(chunk);
    return chunk;
  }

  /** The kernel has all samples before this one. */
  acknowledge(taken) {
    const open = (chunk) => chunk.first + chunk.pcm.length > taken;
    this.flying = this.flying.filter(open);
    this.waiting = this.waiting.filter(open);
  }
}

const lengthOf = (chunks) => chunks.reduce((sum, chunk) => sum + chunk.pcm.length, 0);

/** RMS level of 16-bit samples. */
export function level(pcm) {
  const square = pcm.reduce((sum, sample) => sum + sample * sample, 0) / pcm.length / 32768 ** 2;
  return square ? Math.max(FLOOR_DBFS, 10 * Math.log10(square)) : FLOOR_DBFS;
}

/** What a person can do about an error of getUserMedia. */
export function explain(error, secure) {
  if (!secure) {
    return (
      "Browsers give a microphone only to pages that come by https, or from localhost. Open this " +
      "notebook by https, or through a tunnel: ssh -L 8888:localhost:8888 MACHINE, then " +
      "http://localhost:8888."
    );
  }
  const none = "The browser finds no microphone. Plug one in, then press Start again.";
  const known = {
    NotAllowedError:
      "The browser was not allowed to use the microphone. Allow it by the symbol beside the " +
      "address, and in the system's privacy settings; then press Start again. In the window of " +
      "another program, such as VS Code, it can't be allowed: open the notebook in a browser.",
    NotFoundError: none,
    OverconstrainedError: none, // in WebKit: none is as wanted
    TimeoutError:
      "The browser's sound does not start. Some browsers need an output for it, too: plug in " +
      "headphones or a loudspeaker, then press Start again.",
    NotReadableError:
      "The microphone can't be opened: another program may hold it. Close that, then press Start " +
      "again.",
    // Of addModule, where a content security policy has blob: for modules but not for worklets.
    AbortError:
      "This page does not let the code run that captures sound: whoever runs Jupyter must allow " +
      "blob: in script-src and worker-src of its content security policy. Until then, record with " +
      "another program, upload the file, and use stt.load or stt.FileSource.",
  };
  return known[error?.name] ?? `The microphone can't be opened: ${error?.message ?? error}`;
}

/** What to say about how things are. */
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

const WORKLET = `
registerProcessor("sttlab-capture", class extends AudioWorkletProcessor {
  constructor({ processorOptions }) {
    super();
    this.size = processorOptions.size;
    this.begin();
  }

  begin() {
    this.pcm = new Int16Array(this.size);
    this.filled = 0;
  }

  process([[samples]]) {
    for (const sample of samples ?? []) {
      this.pcm[this.filled++] = Math.max(-32768, Math.min(32767, Math.round(sample * 32768)));
      if (this.filled === this.size) {
        this.port.postMessage(this.pcm, [this.pcm.buffer]);
        this.begin();
      }
    }
    return true;
  }
});`;

const RAW = {
  channelCount: 1,
  echoCancellation: false,
  noiseSuppression: false,
  autoGainControl: false,
};

/** Open the microphone; chunks of samples go to onChunk, and a lost device is told to onEnd. */
async function openMicrophone(onChunk, onEnd) {
  const stream = await navigator.mediaDevices.getUserMedia({ audio: RAW });
  const [track] = stream.getAudioTracks();
  let context;
  const stop = () => {
    track.stop();
    if (context && context.state !== "closed") context.close();
  };
  try {
    const source = listen(stream);
    context = source.context;
    const url = URL.createObjectURL(new Blob([WORKLET], { type: "text/javascript" }));
    await context.audioWorklet.addModule(url).finally(() => URL.revokeObjectURL(url));
    await Promise.race([context.resume(), tooLate(START_MS)]);
    const worklet = new AudioWorkletNode(context, "sttlab-capture", {
      channelCount: 1,
      channelCountMode: "explicit",
      processorOptions: { size: Math.round(CHUNK_S * context.sampleRate) },
    });
    worklet.port.onmessage = (event) => onChunk(event.data);
    source.connect(worklet).connect(context.destination); // silence, or some browsers skip it
  } catch (error) {
    stop();
    throw error;
  }
  track.addEventListener("ended", onEnd);
  return { device: track.label || "microphone", rate: context.sampleRate, stop };
}

function tooLate(ms) {
  return new Promise((_, reject) => {
    setTimeout(() => reject(new DOMException("", "TimeoutError")), ms);
  });
}

/** At the kernel's rate if the browser resamples what it captures; older Firefox refuses to. */
function listen(stream) {
  const context = new AudioContext({ sampleRate: RATE });
  try {
    return context.createMediaStreamSource(stream);
  } catch {
    context.close();
    return new AudioContext().createMediaStreamSource(stream);
  }
}

const newId = () => [...crypto.getRandomValues(new Uint8Array(8))].join("-");
const now = () => performance.now() / 1000;

/** One for each model: what its views show and its kernel hears. */
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
      const opened = await openMicrophone(
        (pcm) => id === this.id && this.take(pcm),
        () => id === this.id && this.stop("The microphone was disconnected."),
      );
      if (this.state !== "asking") return opened.stop();
      Object.assign(this, { state: "on", id, opened, outbox: null, run: 0, heard_s: now() });
      this.send({ say: "start", device: opened.device, run: 0 });
    } catch (error) {
      this.state = "off";
      this.problem = explain(error, globalThis.isSecureContext && navigator.mediaDevices);
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
    this.silent_s = pcm.some((sample) => sample) ? 0 : this.silent_s + CHUNK_S;
    const run = this.model.get("run");
    if (run !== this.run) this.outbox = run ? new Outbox(this.opened.rate) : null;
    this.run = run;
    this.outbox?.add(pcm);
    this.sendSound();
    if (now() - this.sent_s > BEAT_S) this.send({ say: "here", run });
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
    if (outbox?.lost) parts.push(`${(outbox.lost / outbox.rate).toFixed(1)} s lost`);
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
