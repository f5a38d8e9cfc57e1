// What the session is doing and what is wrong, in words. No DOM.

/** Before anything is known. */
export const START = Object.freeze({
  link: { state: "connecting" },
  hearing: "listening", // what the endpointer says: listening, speech, pause
  waiting: Object.freeze([]), // ids of utterances that the engine has not answered
  source: "",
  model: "",
  problem: null, // {title, advice}: stays until it is over
  ended: false,
});

/** The status after a message of the server. */
export function afterMessage(status, message) {
  switch (message.event) {
    case "hello":
      return { ...START, link: status.link, source: message.source, model: message.model };
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
        problem: {
          title: `The microphone ${message.device} is gone`,
          advice: "Plug it in again: listening goes on by itself.",
        },
      };
    case "device_silent":
      return {
        ...status,
        problem: { title: `Nothing comes from ${message.device}`, advice: message.message },
      };
    case "device_restored":
      return { ...status, problem: null };
    case "source_ended":
      return { ...status, hearing: "listening", ended: true };
    case "session_failed":
      return {
        ...status,
        problem: { title: "The server has stopped listening", advice: message.message },
      };
    default:
      return status;
  }
}

/** The status after a change of the connection. */
export function afterLink(status, link) {
  return link.state === "open" ? { ...status, link } : { ...status, link, waiting: [] };
}

/**
 * How to say it.
 *
 * @returns {{tone: "off" | "calm" | "speech" | "busy" | "bad", text: string,
 *   problem: ?{title: string, advice: string, retry?: boolean}}} `retry`: a pause that a person
 *   can end.
 */
export function words(status) {
  const { link, problem } = status;
  if (link.state === "waiting") return withoutLink(link);
  if (link.state === "connecting") return { tone: "off", text: "Connecting", problem: null };
  if (problem) return { tone: "bad", text: "No sound", problem };
  if (status.hearing === "speech") return { tone: "speech", text: "Speech", problem };
  if (status.hearing === "pause") return { tone: "busy", text: "Waiting for silence", problem };
  if (status.waiting.length) return { tone: "busy", text: "Transcribing", problem };
  if (status.ended) return { tone: "off", text: "Recording ended", problem };
  return { tone: "calm", text: "Listening", problem };
}

function withoutLink({ seconds, reason }) {
  const again = `Trying again in ${seconds} s.`;
  if (!reason) {
    const problem = {
      title: "No connection to the server",
      advice: `${again} Check that it is still running.`,
      retry: true,
    };
    return { tone: "bad", text: "Reconnecting", problem };
  }
  const microphone = /microphone|device|PortAudio|PulseAudio/i.test(reason);
  const problem = { title: sentence(reason), advice: again, retry: true };
  return { tone: "bad", text: microphone ? "No microphone" : "Reconnecting", problem };
}

function sentence(text) {
  const begun = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?…]$/.test(begun) ? begun : `${begun}.`;
}
