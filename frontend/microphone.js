// The microphone of this browser, as 16-bit samples for the server.

import { Outbox, SILENT_S, explainFailure, openMicrophone, silenceAfter } from "./capture.js";

/** Most audio that is kept while it can't be sent, in s; then the oldest is dropped. */
export const KEPT_S = 8;

/** @type {Record<string, string>} */
const MORE_ADVICE = {
  SecurityError: "Start the server with --certfile and --keyfile, and open its https address.",
};

/**
 * @typedef {object} Now state of the microphone
 * @property {"off" | "asking" | "on" | "ending"} state
 * @property {string} [wanted] the device that was requested, "" for the system's default
 * @property {string} [another] device that starts after this one has ended
 * @property {import("./status.js").Problem} [problem]
 * @property {boolean} [ready] whether the server takes its audio
 * @property {boolean} [heard] whether any audio has come from it
 * @property {boolean} [silent] whether nothing but zeros has come for seconds
 * @property {string} [label]
 * @property {string} [deviceId]
 * @property {number} [rate]
 * @property {() => void} [stop]
 * @property {Outbox} [outbox]
 *
 * @typedef {Now & {deviceId: string, rate: number, outbox: Outbox, silent_s: number}} On
 */

/**
 * The microphone of this page.
 *
 * @param {object} page
 * @param {(now: Now) => void} page.onChange
 * @param {(text: string) => void} page.note adds a remark to the transcript
 * @param {() => void} page.restart connects anew, with or without this audio
 * @param {(data: any) => boolean} page.send sends an object or an ArrayBuffer; see connection.js
 */
export function createMicrophone({ onChange, note, restart, send }) {
  /** @type {Now} */
  let now = { state: "off" };

  /** @param {Now} changed */
  function set(changed) {
    now = changed;
    onChange(now);
  }

  /** @param {string} deviceId */
  async function start(deviceId) {
    if (now.state === "asking" || now.state === "ending") return;
    if (now.state === "on") return stop(deviceId); // the server first transcribes what was said
    set({ state: "asking", wanted: deviceId });
    /** @type {?On} */
    let mine = null;
    try {
      const opened = await openMicrophone({
        deviceId,
        workletUrl: new URL("worklet.js", import.meta.url),
        onChunk: (pcm) => take(mine, pcm),
        onEnd: () => lose(mine),
      });
      const outbox = new Outbox(opened.rate, KEPT_S);
      mine = { ...opened, state: "on", wanted: deviceId, outbox, silent: false, silent_s: 0 };
      set(mine);
      restart();
    } catch (error) {
      const problem = explain(/** @type {Error} */ (error), deviceId);
      set({ state: "off", wanted: deviceId, problem });
    }
  }

  /** @param {?On} mine @param {Int16Array} pcm */
  function take(mine, pcm) {
    if (!mine || mine !== now) return;
    mine.silent_s = silenceAfter(mine.silent_s, pcm, mine.rate);
    const silent = mine.silent_s > SILENT_S;
    mine.outbox.add(pcm);
    flush();
    if (silent === mine.silent && mine.heard) return;
    set(Object.assign(mine, { silent, heard: true }));
  }

  function flush() {
    const { outbox, ready } = now;
    if (!outbox || !ready) return;
    outbox.flush(send);
    if (!outbox.lost) return;
    note(`${outbox.lost_s.toFixed(1)} s of sound were lost here: they could not be sent in time.`);
    outbox.lost = 0;
  }

  /**
   * Stop. The server transcribes the rest and closes the socket.
   *
   * @param {string} [another] a device to start after that
   */
  function stop(another) {
    if (now.state !== "on") return;
    now.stop?.();
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

  /** @param {?On} mine whose device vanished */
  function lose(mine) {
    if (!mine || mine !== now) return;
    stop();
    set({ ...now, problem: explain({ name: "OverconstrainedError" }, mine.deviceId) });
  }

  /** The server takes audio from now on. */
  function onHello() {
    now.ready = now.state === "on";
    flush();
  }

  /** @param {import("./status.js").Link} link */
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

/** The microphones of this browser. They have names once a person has allowed one. */
export async function listMicrophones() {
  const devices = (await navigator.mediaDevices?.enumerateDevices()) ?? [];
  return devices.filter(({ kind, label }) => kind === "audioinput" && label);
}

/**
 * Why no microphone could be opened, and what a person can do about it on this page.
 *
 * @param {{name: string, message?: string}} error
 * @param {string} deviceId that was requested
 */
function explain(error, deviceId) {
  const { title, advice } = explainFailure(error, deviceId);
  return { title, advice: [advice, MORE_ADVICE[error.name]].filter(Boolean).join(" ") };
}
