// The microphone of this browser, as 16-bit samples for the server.

const RATE = 16_000; // what the server hears at; it resamples where a browser can't
const CHUNK_S = 0.1;
const KEPT_S = 8; // of sound that can't be sent yet; then the oldest goes
const SILENT_S = 3; // of nothing but zeros
const START_MS = 5000; // until the browser's sound runs: without an output, some wait forever

/** As it is: without the browser's own echo cancelling, noise suppression and gain. */
const RAW = {
  channelCount: 1,
  echoCancellation: false,
  noiseSuppression: false,
  autoGainControl: false,
};

/** Sound on its way to the server. */
export class Outbox {
  constructor(rate) {
    this.rate = rate;
    this.lost_s = 0; // of sound given up
    this._chunks = [];
    this._samples = 0;
  }

  add(pcm) {
    this._chunks.push(pcm);
    this._samples += pcm.length;
    while (this._samples > KEPT_S * this.rate) this.lost_s += this._take().length / this.rate;
  }

  /** Send what waits, in order, while `send` says that it went. */
  flush(send) {
    while (this._chunks.length && send(this._chunks[0].buffer)) this._take();
  }

  _take() {
    const chunk = this._chunks.shift();
    this._samples -= chunk.length;
    return chunk;
  }
}

/**
 * The microphone of this page: off, asking, on or ending, each with what is known then.
 *
 * @param {object} page
 * @param {(now: object) => void} page.onChange
 * @param {(text: string) => void} page.note for a remark in the transcript
 * @param {() => void} page.restart connects anew, with this sound or without
 * @param {(data: object | ArrayBuffer) => boolean} page.send
 */
export function createMicrophone({ onChange, note, restart, send }) {
  let now = { state: "off" };

  function set(changed) {
    now = changed;
    onChange(now);
  }

  async function start(deviceId) {
    if (now.state === "asking" || now.state === "ending") return;
    if (now.state === "on") return stop(deviceId); // what was said comes first
    set({ state: "asking", wanted: deviceId });
    const mine = { state: "on", wanted: deviceId, silent: false, silent_s: 0 };
    try {
      if (!isSecureContext) throw new DOMException("", "SecurityError");
      if (!navigator.mediaDevices) throw new DOMException("", "NotSupportedError");
      const opened = await openMicrophone(deviceId, (pcm) => take(mine, pcm), () => lose(mine));
      set(Object.assign(mine, opened, { outbox: new Outbox(opened.rate) }));
      restart();
    } catch ({ name, message }) {
      // Where there is none at all, WebKit says that none is as wanted.
      const none = name === "OverconstrainedError" && !deviceId;
      const problem = explain(none ? "NotFoundError" : name, message);
      set({ state: "off", wanted: deviceId, problem });
    }
  }

  function take(mine, pcm) {
    if (mine !== now) return;
    mine.silent_s = pcm.some((sample) => sample) ? 0 : mine.silent_s + pcm.length / mine.rate;
    const silent = mine.silent_s > SILENT_S;
    mine.outbox.add(pcm);
    flush();
    if (silent !== mine.silent) set(Object.assign(mine, { silent }));
  }

  function flush() {
    const { outbox, ready } = now;
    if (!outbox || !ready) return;
    outbox.flush(send);
    if (!outbox.lost_s) return;
    note(`${outbox.lost_s.toFixed(1)} s of sound were lost here: they could not be sent in time.`);
    outbox.lost_s = 0;
  }

  /** The server transcribes what was said, and closes the socket. Then perhaps another starts. */
  function stop(another) {
    if (now.state !== "on") return;
    now.stop();
    flush();
    const { ready, label, wanted } = now;
    if (ready && send({ end: true })) {
      set({ state: "ending", label, wanted, another });
    } else {
      set({ state: "off", wanted });
      restart();
      if (another !== undefined) start(another);
    }
  }

  function lose(mine) {
    if (mine !== now) return;
    stop();
    set({ ...now, problem: explain("OverconstrainedError") });
  }

  /** The server takes what is sent from now on. */
  function onHello() {
    now.ready = now.state === "on";
    flush();
  }

  function onLink(link) {
    const { state, wanted, problem, another, ready } = now;
    now.ready = false;
    if (ready && link.state === "waiting") {
      note("The connection broke here: of what was said just before, some may be missing.");
    }
    if (state !== "ending" || link.state !== "connecting") return;
    set({ state: "off", wanted, problem });
    if (another !== undefined) start(another);
  }

  return {
    now: () => now,
    chosen: () => now.deviceId ?? null,
    start,
    stop: () => stop(),
    dismiss: () => set({ state: "off" }),
    onHello,
    onLink,
  };
}

/**
 * Open a microphone.
 *
 * @param {string} deviceId "" for the system's default
 * @param {(pcm: Int16Array) => void} onChunk
 * @param {() => void} onGone the device vanished
 * @returns {Promise<{label: string, deviceId: string, rate: number, stop: () => void}>} rejected
 *   with what `explain` explains
 */
async function openMicrophone(deviceId, onChunk, onGone) {
  const device = deviceId ? { deviceId: { exact: deviceId } } : {};
  const stream = await navigator.mediaDevices.getUserMedia({ audio: { ...RAW, ...device } });
  const [track] = stream.getAudioTracks();
  let context;
  let awake; // or a phone turns its screen off, and the microphone with it
  const stop = () => {
    track.stop();
    awake?.release();
    if (context && context.state !== "closed") context.close();
  };
  try {
    const source = listen(stream);
    context = source.context;
    await context.audioWorklet.addModule(new URL("worklet.js", import.meta.url));
    await Promise.race([context.resume(), tooLate(START_MS)]);
    const worklet = new AudioWorkletNode(context, "sttlab-capture", {
      numberOfOutputs: 0,
      channelCount: 1,
      channelCountMode: "explicit",
      processorOptions: { size: Math.round(CHUNK_S * context.sampleRate) },
    });
    worklet.port.onmessage = ({ data }) => onChunk(data);
    source.connect(worklet);
    awake = await navigator.wakeLock?.request("screen").catch(() => undefined);
  } catch (error) {
    stop();
    throw error;
  }
  track.addEventListener("ended", onGone);
  return {
    label: track.label || "microphone",
    deviceId: track.getSettings().deviceId ?? deviceId,
    rate: context.sampleRate,
    stop,
  };
}

function tooLate(ms) {
  return new Promise((_, reject) => {
    setTimeout(() => reject(new DOMException("", "TimeoutError")), ms);
  });
}

/** At the server's rate if the browser resamples what it captures; older Firefox refuses to. */
function listen(stream) {
  const context = new AudioContext({ sampleRate: RATE });
  try {
    return context.createMediaStreamSource(stream);
  } catch {
    context.close();
    return new AudioContext().createMediaStreamSource(stream);
  }
}

/** The microphones to choose from, which have names once one was allowed. */
export async function listMicrophones() {
  const devices = (await navigator.mediaDevices?.enumerateDevices()) ?? [];
  return devices.filter(({ kind, label }) => kind === "audioinput" && label);
}

/** What went wrong, by the error's name, and what a person can do about it. */
function explain(name, message) {
  const known = {
    SecurityError: {
      title: "This page may not use your microphone.",
      advice:
        "Browsers give it only to pages that come by https, or from localhost. Start the server " +
        "with --certfile and --keyfile, and open its https address.",
    },
    NotSupportedError: {
      title: "This browser gives no microphone to pages.",
      advice: "Use another browser.",
    },
    TimeoutError: {
      title: "The browser's sound does not start.",
      advice: "Some browsers need an output for it, too: plug in headphones or a loudspeaker.",
    },
    NotAllowedError: {
      title: "The browser was not allowed to use the microphone.",
      advice: "Allow it by the symbol beside the address, and in the system's privacy settings.",
    },
    NotFoundError: { title: "This browser finds no microphone.", advice: "Plug one in." },
    OverconstrainedError: {
      title: "That microphone is gone.",
      advice: "Plug it in again, or choose another in the settings.",
    },
    NotReadableError: {
      title: "The microphone can't be opened.",
      advice: "Another program may hold it: close that.",
    },
  };
  return known[name] ?? { ...known.NotReadableError, advice: message };
}
