// What the session is doing and what is wrong, in words. No DOM.

/** Before anything is known. */
export const START = Object.freeze({
  link: { state: "connecting" },
  hearing: "listening", // what the endpointer says: listening, speech, pause
  waiting: Object.freeze([]), // ids of utterances that the engine has not answered
  source: "",
  model: "",
  capturing: true,
  busy: null,
  problem: null, // the server's sentence
  device: null, // {title, advice}: what is wrong with the microphone
  ended: false,
  microphone: Object.freeze({ state: "off" }), // this browser's: see app.js
});

/** The status after a message of the server. */
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
      return { ...status, hearing: message.state };
    case "utterance":
      return { ...status, waiting: [...status.waiting, message.utterance_id] };
    case "transcript":
    case "suppressed":
    case "transcription_failed":
      return { ...status, waiting: status.waiting.filter((id) => id !== message.utterance_id) };
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
    case "source_ended":
      return { ...status, hearing: "listening", device: null, ended: true };
    case "session_failed":
      return { ...status, problem: message.message };
    default:
      return status;
  }
}

function known({ source, model, capturing = true, busy = null, problem = null }) {
  return { source, model, capturing, busy, problem };
}

/** The status after a change of this browser's microphone. */
export function afterMicrophone(status, microphone) {
  return { ...status, microphone };
}

/** The status after a change of the connection. */
export function afterLink(status, link) {
  if (link.state === "open") return { ...status, link };
  const again = link.state === "connecting" && status.link.state === "waiting";
  return { ...status, link: again ? { ...status.link, seconds: 0 } : link, waiting: [] };
}

/**
 * How to say it.
 *
 * @returns {{tone: "off" | "calm" | "speech" | "busy" | "bad", text: string,
 *   problem: ?{title: string, advice: string, retry?: "connect" | "capture" | "microphone"}}}
 *   `retry`: what a person can have tried at once.
 */
export function words(status) {
  const { microphone } = status;
  const said = wordsOfServer(status);
  if (microphone.state === "asking") {
    const title = "Allow the microphone where the browser asks.";
    return say("busy", "Asking for the microphone", { title, advice: "" });
  }
  if (said.problem) return said;
  if (microphone.problem) return { ...said, problem: { ...microphone.problem, retry: "microphone" } };
  if (microphone.silent) return say("bad", "No sound", silence(microphone.label));
  return said;
}

function silence(label) {
  return {
    title: `Nothing but silence comes from ${label}.`,
    advice: "Is it muted, there or in the system's settings?",
  };
}

function wordsOfServer(status) {
  const { link, device } = status;
  if (link.state === "waiting") return withoutLink(link);
  if (link.state === "connecting" || !status.source) return say("off", "Connecting");
  if (status.busy) return say("busy", sentence(status.busy, ""));
  if (status.problem) {
    const problem = { title: sentence(status.problem), advice: "", retry: "capture" };
    return say("bad", /microphone|PortAudio/i.test(status.problem) ? "No microphone" : "Stopped", problem);
  }
  if (device) return say("bad", "No sound", device);
  if (status.hearing === "speech") return say("speech", "Speech");
  if (status.hearing === "pause") return say("busy", "Waiting for silence");
  if (status.waiting.length) return say("busy", "Transcribing");
  if (status.microphone.state === "ending") return say("busy", "Transcribing");
  if (status.ended) return say("off", "Recording ended");
  return status.capturing ? say("calm", "Listening") : say("off", "Not listening");
}

function say(tone, text, problem = null) {
  return { tone, text, problem };
}

function withoutLink({ seconds, reason }) {
  const when = seconds ? `in ${seconds} s` : "now";
  const problem = {
    title: reason ? sentence(reason) : "No connection to the server.",
    advice: `Trying again ${when}.${reason ? "" : " Check that it is still running."}`,
    retry: "connect",
  };
  return say("bad", "Reconnecting", problem);
}

function sentence(text, end = ".") {
  const begun = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?…]$/.test(begun) ? begun : `${begun}${end}`;
}
