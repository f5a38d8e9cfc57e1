// The player under the transcript of a recording: its progress and its audio.

import { setText } from "./dom.js";
import { readableTime } from "./exports.js";

/** @typedef {import("./files.js").Recording} Recording */

const PHASES = {
  waiting: ["off", "Waiting for its turn"],
  sending: ["busy", "Sending"],
  transcribing: ["busy", "Transcribing"],
  done: ["calm", "Transcribed"],
  failed: ["bad", "Not transcribed"],
};

/**
 * Fill the element that shows one recording at a time (see files.js).
 *
 * @param {HTMLElement} root
 * @param {(time_s: number) => void} onTime while it plays
 */
export function createPlayer(root, onTime) {
  const $ = (/** @type {string} */ selector) => /** @type {any} */ (root.querySelector(selector));
  const audio = $("audio");
  /** @type {?Pick<Recording, "id" | "file">} */
  let shown = null;
  let url = "";

  /**
   * Show a recording, or nothing.
   *
   * @param {?Recording} recording
   */
  function show(recording) {
    if (recording?.file !== shown?.file || recording?.id !== shown?.id) open(recording?.file);
    shown = recording && { id: recording.id, file: recording.file };
    root.hidden = !recording;
    if (recording) showProgress(recording);
  }

  /** @param {?File} [file] */
  function open(file) {
    audio.pause();
    URL.revokeObjectURL(url);
    url = file ? URL.createObjectURL(file) : "";
    if (url) audio.src = url;
    else audio.removeAttribute("src");
    audio.hidden = !url;
    $("#mute").textContent = url ? "" : "Drop the file here again to listen to it.";
  }

  /** @param {Recording} recording */
  function showProgress({ phase, part, duration_s, done_s, left_s, waits, problem, file }) {
    const [tone, text] = PHASES[phase];
    const busy = phase === "sending" || phase === "transcribing";
    const held = phase === "transcribing" && waits;
    setText($("#job"), held ? `Waits for ${waits}` : text);
    $("#job").dataset.tone = tone;
    setText($("#fault"), problem);
    $("progress").hidden = !busy;
    if (phase === "sending") $("progress").value = part;
    else if (duration_s) $("progress").value = Math.min(1, done_s / duration_s);
    else $("progress").removeAttribute("value");
    $("#cancel").hidden = !busy && phase !== "waiting";
    $("#again").hidden = phase !== "failed" || !file;
    const of = duration_s ? readableTime(duration_s) : "";
    const sent = `${Math.round(100 * part)} %`;
    /** @type {Record<string, string>} */
    const far = {
      sending: sent,
      transcribing: `${readableTime(done_s)} of ${of || "?"}${readableEstimate(left_s)}`,
    };
    $("#far").textContent = far[phase] ?? of;
  }

  /** @param {number} time_s */
  function play(time_s) {
    if (!url) return;
    audio.currentTime = time_s;
    audio.play().catch(cannotPlay);
  }

  function cannotPlay() {
    if (!url || !audio.error) return;
    audio.hidden = true;
    $("#mute").textContent =
      audio.error.code === MediaError.MEDIA_ERR_SRC_NOT_SUPPORTED
        ? "This browser can't play this kind of file."
        : "It can't be played: it is damaged, or there is no output for sound.";
  }

  audio.addEventListener("timeupdate", () => onTime(audio.currentTime));
  audio.addEventListener("error", cannotPlay);
  return { show, play };
}

/**
 * An estimate, as roughly as it is known; "" without one, or for a moment.
 *
 * @param {?number} left_s
 */
export function readableEstimate(left_s) {
  const seconds = 5 * Math.round((left_s ?? 0) / 5);
  if (seconds < 5) return "";
  if (seconds < 90) return `, about ${seconds} s left`;
  return `, about ${Math.round(seconds / 60)} min left`;
}
