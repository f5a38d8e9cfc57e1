// Audio of this browser's microphone as 16-bit samples: for the page and for RemoteMicrophone.

/** The sample rate of sttlab, in Hz. Where a browser can't resample to it, sttlab does. */
const RATE = 16_000;

/** Length of a chunk, in s. */
const CHUNK_S = 0.1;

/** Longest time until the browser's audio runs, in ms: some wait forever without an output. */
const START_MS = 5000;

/** Raw audio: without the browser's own echo cancellation, noise suppression and gain control. */
const RAW = {
  channelCount: 1,
  echoCancellation: false,
  noiseSuppression: false,
  autoGainControl: false,
};

/** Time of nothing but zeros after which the page says so, in s. */
export const SILENT_S = 3;

/**
 * How long nothing but zeros has come, in s, after one more chunk.
 *
 * @param {number} silent_s before it
 * @param {Int16Array} pcm
 * @param {number} rate in Hz
 */
export function silenceAfter(silent_s, pcm, rate) {
  return pcm.some((sample) => sample !== 0) ? 0 : silent_s + pcm.length / rate;
}

/**
 * @typedef {object} Chunk
 * @property {number} first its first sample, counted from the start of the capture
 * @property {number} after the end of the chunk before it; the samples between were dropped
 * @property {Int16Array} pcm
 */

/** A bounded queue of captured audio that is not sent yet. A full queue drops the oldest chunk. */
export class Outbox {
  /**
   * @param {number} rate in Hz
   * @param {number} longest_s most audio that it holds
   */
  constructor(rate, longest_s) {
    this.rate = rate;
    this.position = 0; // samples captured
    this.lost = 0; // samples dropped
    /** @type {Chunk[]} */
    this.waiting = [];
    this._longest_s = longest_s;
  }

  get kept_s() {
    return lengthOf(this.all()) / this.rate;
  }

  get lost_s() {
    return this.lost / this.rate;
  }

  all() {
    return this.waiting;
  }

  /** @param {Int16Array} pcm */
  add(pcm) {
    this.waiting.push({ first: this.position, after: this.position, pcm });
    this.position += pcm.length;
    while (this.kept_s > this._longest_s && this.waiting.length > 1) {
      const [{ after, pcm }] = this.waiting.splice(0, 1);
      this.waiting[0].after = after;
      this.lost += pcm.length;
    }
  }

  /**
   * Send chunks in order, until `send` returns false: it takes no more now.
   *
   * @param {(data: ArrayBufferLike) => boolean} send
   */
  flush(send) {
    while (this.waiting.length && send(this.waiting[0].pcm.buffer)) this.waiting.shift();
  }
}

/**
 * How many samples chunks have together.
 *
 * @param {Chunk[]} chunks
 */
export function lengthOf(chunks) {
  return chunks.reduce((sum, { pcm }) => sum + pcm.length, 0);
}

/**
 * Open a microphone.
 *
 * @param {object} how
 * @param {string} [how.deviceId] "" for the system's default
 * @param {string | URL} how.workletUrl where worklet.js is
 * @param {(pcm: Int16Array) => void} how.onChunk
 * @param {() => void} how.onEnd the device vanished
 * @returns {Promise<{label: string, deviceId: string, rate: number, stop: () => void}>} rejected
 *   with an error that `explainFailure` explains
 */
export async function openMicrophone({ deviceId = "", workletUrl, onChunk, onEnd }) {
  if (!isSecureContext) throw new DOMException("", "SecurityError");
  if (!navigator.mediaDevices) throw new DOMException("", "NotSupportedError");
  const device = deviceId ? { deviceId: { exact: deviceId } } : {};
  const stream = await navigator.mediaDevices.getUserMedia({ audio: { ...RAW, ...device } });
  const [track] = stream.getAudioTracks();
  /** @type {AudioContext | undefined} */
  let context;
  /** @type {any} */
  let awake; // a WakeLockSentinel: a phone that turns its screen off stops the microphone, too
  const stop = () => {
    track.stop();
    awake?.release();
    if (context && context.state !== "closed") context.close();
  };
  try {
    const opened = listen(stream);
    context = opened.context;
    await context.audioWorklet.addModule(workletUrl);
    await Promise.race([context.resume(), tooLate(START_MS)]);
    const worklet = new AudioWorkletNode(context, "sttlab-capture", {
      channelCount: 1,
      channelCountMode: "explicit",
      processorOptions: { size: Math.round(CHUNK_S * context.sampleRate) },
    });
    worklet.port.onmessage = ({ data }) => onChunk(data);
    // The worklet outputs silence; some browsers run only nodes that are connected.
    opened.source.connect(worklet).connect(context.destination);
    awake = await keepAwake();
  } catch (error) {
    stop();
    throw error;
  }
  track.addEventListener("ended", onEnd);
  return {
    label: track.label || "microphone",
    deviceId: track.getSettings().deviceId ?? deviceId,
    rate: context.sampleRate,
    stop,
  };
}

/** Keep the screen on, where the browser can. TypeScript 4.8 does not know "wakeLock". */
export async function keepAwake() {
  const { wakeLock } = /** @type {any} */ (navigator);
  return wakeLock?.request("screen").catch(() => undefined);
}

/**
 * Fails after some time.
 *
 * @param {number} ms
 * @returns {Promise<never>}
 */
function tooLate(ms) {
  return new Promise((_, reject) => {
    setTimeout(() => reject(new DOMException("", "TimeoutError")), ms);
  });
}

/**
 * A context at RATE, or at the rate of the device: older Firefox does not resample a microphone.
 *
 * @param {MediaStream} stream
 */
function listen(stream) {
  const context = new AudioContext({ sampleRate: RATE });
  try {
    return { context, source: context.createMediaStreamSource(stream) };
  } catch {
    context.close();
    const native = new AudioContext();
    return { context: native, source: native.createMediaStreamSource(stream) };
  }
}

/** @type {Record<string, {title: string, advice: string}>} */
const FAILURES = {
  SecurityError: {
    title: "This page may not use your microphone.",
    advice: "Browsers give it only to pages that come by https, or from localhost.",
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
  OverconstrainedError: { title: "That microphone is gone.", advice: "Plug it in again, or choose another." },
  NotReadableError: {
    title: "The microphone can't be opened: another program may hold it.",
    advice: "Close that program.",
  },
};

/**
 * Why no microphone could be opened, and what a person can do about it.
 *
 * @param {{name: string, message?: string}} error of `openMicrophone`
 * @param {string} deviceId that was requested
 */
export function explainFailure({ name, message }, deviceId = "") {
  // Without any microphone, WebKit fails with an OverconstrainedError.
  const none = name === "OverconstrainedError" && !deviceId;
  const known = FAILURES[none ? "NotFoundError" : name];
  return known ?? { title: `The microphone can't be opened: ${message || name}`, advice: "" };
}
