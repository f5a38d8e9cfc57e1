// The status of the page and its problem, in words. No DOM.

/**
 * @typedef {{state: "connecting" | "open" | "waiting", seconds?: number, reason?: string}} Link
 *   connection to the server; `seconds` until the next attempt, `reason` why the last one ended
 *
 * @typedef {object} BrowserMicrophone this browser's microphone, see microphone.js
 * @property {"off" | "asking" | "on" | "ending"} state
 * @property {string} [label]
 * @property {boolean} [heard] whether any audio has come from it
 * @property {boolean} [silent] whether nothing but zeros has come for seconds
 * @property {Problem} [problem]
 *
 * @typedef {object} Problem
 * @property {string} title
 * @property {string} advice
 * @property {"connect" | "capture" | "play" | "microphone"} [retry] what the button does again
 *
 * @typedef {{about: "silence" | "language", text: string}} Notice what a person should know
 *
 * @typedef {object} Status
 * @property {Link} link
 * @property {string} hearing state of the endpointer: listening, speech or pause
 * @property {readonly number[]} waiting ids of utterances that the engine has not answered
 * @property {string} source
 * @property {string} model
 * @property {boolean} capturing
 * @property {?string} busy
 * @property {?string} problem the server's sentence
 * @property {boolean} keeping whether audio and texts are kept on the server
 * @property {?string} keepProblem why they aren't, though they should be
 * @property {?Problem} device problem of the server's microphone
 * @property {?Notice} notice
 * @property {boolean} ended
 * @property {boolean} over whether the source is a file that doesn't play by itself any more
 * @property {boolean} locked whether this page may change nothing
 * @property {BrowserMicrophone} microphone
 */

const WITHOUT_MICROPHONE = "This browser's own microphone and recordings work meanwhile.";
const OPENING = "Starting the microphone"; // as the server says of its own
const SURE = 0.6; // confidence in a text, with which its language is the model's

/**
 * The status before the first message.
 *
 * @type {Readonly<Status>}
 */
export const START = Object.freeze({
  link: Object.freeze({ state: "connecting" }),
  hearing: "listening",
  waiting: Object.freeze([]),
  source: "",
  model: "",
  capturing: true,
  busy: null,
  problem: null,
  keeping: false,
  keepProblem: null,
  device: null,
  notice: null,
  ended: false,
  over: false,
  locked: false,
  microphone: Object.freeze({ state: "off" }),
});

/**
 * The status after a message of the server.
 *
 * @param {Status} status
 * @param {Record<string, any>} message
 * @returns {Status}
 */
export function afterMessage(status, message) {
  switch (message.event) {
    case "hello":
      return {
        ...START,
        link: status.link,
        microphone: status.microphone,
        ...known(message),
      };
    case "state":
      return { ...status, ...known(message), ended: status.ended && !message.capturing };
    case "level":
      return during(status, message);
    case "utterance":
      return { ...status, waiting: [...status.waiting, message.utterance_id] };
    case "transcript":
      return answered(message, { ...status, notice: noticeAfter(status, message) });
    case "suppressed":
    case "transcription_failed":
      return answered(message, status);
    case "device_lost":
      return {
        ...status,
        hearing: "listening",
        device: {
          title: `${message.device} is gone.`,
          advice: "Plug it in again: listening goes on by itself.",
        },
      };
    case "device_silent":
      return {
        ...status,
        device: { title: `Nothing comes from ${message.device}.`, advice: message.message },
      };
    case "device_restored":
      return { ...status, device: null };
    case "notice":
      if (message.about === "model") return status; // a remark in the transcript
      return { ...status, notice: { about: message.about, text: message.message } };
    case "source_ended":
      return { ...status, hearing: "listening", device: null, ended: true };
    case "session_failed":
      return { ...status, problem: message.message };
    default:
      return status;
  }
}

/** @param {Record<string, any>} message @param {Status} status @returns {Status} */
function answered({ utterance_id }, status) {
  return { ...status, waiting: status.waiting.filter((id) => id !== utterance_id) };
}

/**
 * The status at a level; the same object if it is as before, so that nothing is shown anew.
 *
 * @param {Status} status
 * @param {Record<string, any>} level
 * @returns {Status}
 */
function during(status, { state }) {
  const isOver = status.notice?.about === "silence" && state === "speech";
  const notice = isOver ? null : status.notice;
  if (state === status.hearing && notice === status.notice) return status;
  return { ...status, hearing: state, notice };
}

/** @param {Status} status @param {Record<string, any>} transcript @returns {?Notice} */
function noticeAfter({ notice }, { confidence }) {
  return notice?.about === "language" && confidence > SURE ? null : notice;
}

/** @param {Record<string, any>} message */
function known({ source, model, capturing = true, busy = null, problem = null, ...more }) {
  const { keeping = false, keep_problem: keepProblem = null, over = false, may_use = [] } = more;
  const locked = !may_use.length;
  return { source, model, capturing, busy, problem, keeping, keepProblem, over, locked };
}

/**
 * The status after a change of this browser's microphone.
 *
 * @param {Status} status
 * @param {BrowserMicrophone} microphone
 * @returns {Status}
 */
export function afterMicrophone(status, microphone) {
  return { ...status, microphone };
}

/**
 * The status after a change of the connection.
 *
 * @param {Status} status
 * @param {Link} link
 * @returns {Status}
 */
export function afterLink(status, link) {
  if (link.state === "open") return { ...status, link };
  const again = link.state === "connecting" && status.link.state === "waiting";
  return { ...status, link: again ? { ...status.link, seconds: 0 } : link, waiting: [] };
}

/**
 * @typedef {"off" | "calm" | "speech" | "busy" | "bad"} Tone
 * @typedef {{tone: Tone, text: string, problem: ?Problem}} Words
 */

/**
 * The status in words.
 *
 * @param {Status} status
 * @returns {Words}
 */
export function words(status) {
  const { microphone } = status;
  const said = wordsOfServer(status);
  if (microphone.state === "asking") {
    const title = "Allow the microphone where the browser asks.";
    return say("busy", "Asking for the microphone", { title, advice: "" });
  }
  if (said.problem) return said;
  if (microphone.state === "on" && !microphone.heard) return say("busy", OPENING);
  if (microphone.problem) return { ...said, problem: { ...microphone.problem, retry: "microphone" } };
  if (status.keepProblem) return { ...said, problem: inTwo(status.keepProblem) };
  if (microphone.silent) return say("bad", "No sound", silence(microphone.label));
  if (status.notice) return { ...said, problem: inTwo(status.notice.text) };
  return said;
}

/**
 * What is so, and what to do about it.
 *
 * @param {string} text
 * @returns {Problem}
 */
function inTwo(text) {
  const [title, ...advice] = text.split(/(?<=\.) /);
  return { title: sentence(title), advice: advice.join(" ") };
}

/** @param {string} [label] @returns {Problem} */
function silence(label) {
  return {
    title: `Nothing but silence comes from ${label}.`,
    advice: "Is it muted, there or in the system's settings?",
  };
}

/**
 * Whether text would come if somebody spoke now.
 *
 * @param {Status} status
 */
export function hears(status) {
  const { tone, text } = words(status);
  if (tone === "off" || tone === "bad" || text === OPENING) return false;
  return status.capturing && !status.ended;
}

/** @param {Status} status @returns {Words} */
function wordsOfServer(status) {
  const { link, device } = status;
  if (link.state === "waiting") return withoutLink(link);
  if (link.state === "connecting" || !status.source) return say("off", "Connecting");
  if (status.busy) return say("busy", sentence(status.busy, ""));
  if (status.problem) {
    const title = sentence(status.problem);
    const deaf = /microphone|PortAudio|sounddevice/i.test(title);
    const advice = deaf ? WITHOUT_MICROPHONE : "";
    return say("bad", deaf ? "No microphone" : "Stopped", { title, advice, retry: "capture" });
  }
  if (device) return say("bad", "No sound", device);
  if (status.hearing === "speech") return say("speech", "Speech");
  if (status.hearing === "pause") return say("busy", "Waiting for silence");
  if (status.waiting.length) return say("busy", "Transcribing");
  if (status.microphone.state === "ending") return say("busy", "Transcribing");
  if (status.over) return say("off", "Recording ended", ofOver(status));
  if (status.ended) return say("off", "Recording ended");
  return status.capturing ? say("calm", "Listening") : say("off", "Not listening");
}

/**
 * @param {Tone} tone
 * @param {string} text
 * @param {?Problem} problem
 * @returns {Words}
 */
function say(tone, text, problem = null) {
  return { tone, text, problem };
}

/** @param {Status} status @returns {Problem} */
function ofOver({ source, locked }) {
  const title = `${source} has ended: nothing is heard.`;
  return { title, advice: "", ...(locked ? {} : { retry: "play" }) };
}

/** @param {Link} link @returns {Words} */
function withoutLink({ seconds, reason }) {
  const when = seconds ? `in ${seconds} s` : "now";
  return say("bad", "Reconnecting", {
    title: reason ? sentence(reason) : "No connection to the server.",
    advice: `Trying again ${when}.${reason ? "" : " Check that it is still running."}`,
    retry: "connect",
  });
}

/** @param {string} text @param {string} end */
function sentence(text, end = ".") {
  const begun = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?…]$/.test(begun) ? begun : `${begun}${end}`;
}
