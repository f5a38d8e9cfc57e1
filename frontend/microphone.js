// The microphone of this browser, as 16-bit samples for the server.

const RATE = 16_000; // what the server hears at; it resamples where a browser can't
const CHUNK_S = 0.1;
const KEPT_S = 8; // of sound that can't be sent yet; then the oldest goes

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
 * Open a microphone.
 *
 * @param {string} deviceId "" for the system's default
 * @param {(pcm: Int16Array) => void} onChunk
 * @param {() => void} onGone the device vanished
 * @returns {Promise<{label: string, deviceId: string, rate: number, stop: () => void}>} rejected
 *   with what `explain` explains
 */
export async function openMicrophone(deviceId, onChunk, onGone) {
  const device = deviceId ? { deviceId: { exact: deviceId } } : {};
  const stream = await navigator.mediaDevices.getUserMedia({ audio: { ...RAW, ...device } });
  const [track] = stream.getAudioTracks();
  let context;
  const stop = () => {
    track.stop();
    if (context && context.state !== "closed") context.close();
  };
  try {
    const source = listen(stream);
    context = source.context;
    await context.audioWorklet.addModule(new URL("worklet.js", import.meta.url));
    await context.resume();
    const worklet = new AudioWorkletNode(context, "sttlab-capture", {
      numberOfOutputs: 0,
      channelCount: 1,
      channelCountMode: "explicit",
      processorOptions: { size: Math.round(CHUNK_S * context.sampleRate) },
    });
    worklet.port.onmessage = ({ data }) => onChunk(data);
    source.connect(worklet);
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

/** At the server's rate if the browser resamples what it captures; Firefox refuses to. */
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

/** What went wrong, and what a person can do about it. */
export function explain(error, secure) {
  if (!secure) {
    return {
      title: "This page may not use your microphone.",
      advice:
        "Browsers give it only to pages that come by https, or from localhost. Start the server " +
        "with --certfile and --keyfile, and open its https address.",
    };
  }
  const known = {
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
  const other = { title: "The microphone can't be opened.", advice: error?.message ?? "" };
  return known[error?.name] ?? other;
}
