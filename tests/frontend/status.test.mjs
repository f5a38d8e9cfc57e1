import assert from "node:assert/strict";
import { test } from "node:test";

import { START, afterLink, afterMessage, afterMicrophone, hears, words } from "../../frontend/status.js";

const HELLO = { event: "hello", source: "a microphone", model: "whisper tiny.en" };
const open = afterMessage(afterLink(START, { state: "open" }), HELLO);
const after = (...messages) => messages.reduce(afterMessage, open);
const text = (status) => words(status).text;

test("the status is Connecting before hello, and Listening after it", () => {
  assert.deepEqual(words(START), { tone: "off", text: "Connecting", problem: null });
  assert.equal(text(afterLink(START, { state: "open" })), "Connecting");
  assert.deepEqual(words(open), { tone: "calm", text: "Listening", problem: null });
});

test("speech, pause and transcription follow each other", () => {
  const level = (state) => ({ event: "level", state });
  const utterance = { event: "utterance", utterance_id: 3 };
  assert.equal(text(after(level("speech"))), "Speech");
  assert.equal(text(after(level("speech"), level("pause"))), "Waiting for silence");
  assert.equal(text(after(utterance, level("listening"))), "Transcribing");
  for (const event of ["transcript", "suppressed", "transcription_failed"]) {
    assert.equal(text(after(utterance, { event, utterance_id: 3 })), "Listening");
    assert.equal(text(after(utterance, { event, utterance_id: 2 })), "Transcribing");
  }
});

test("that nothing more is kept is a problem, and text goes on", () => {
  const keep_problem = "this session is not kept from 34 s on: the disk is full. Free some space";
  const state = { ...HELLO, event: "state", keeping: false, keep_problem };
  assert.equal(after({ ...state, keeping: true, keep_problem: null }).keeping, true);
  assert.deepEqual(words(after(state)), {
    tone: "calm",
    text: "Listening",
    problem: {
      title: "This session is not kept from 34 s on: the disk is full.",
      advice: "Free some space",
    },
  });
});

test("a message that the status does not depend on changes nothing", () => {
  assert.equal(after({ event: "partial", text: "so" }), open);
});

test("a lost device is a problem until it is restored", () => {
  const lost = after({ event: "device_lost", device: "Headset" });
  assert.deepEqual(words(lost).problem, {
    title: "Headset is gone.",
    advice: "Plug it in again: listening goes on by itself.",
  });
  const silent = { event: "device_silent", device: "Headset", message: "Is it muted?" };
  assert.deepEqual(words(after(silent)).problem, {
    title: "Nothing comes from Headset.",
    advice: "Is it muted?",
  });
  assert.equal(words(afterMessage(lost, { event: "device_restored" })).problem, null);
});

test("a notice of silence stands until somebody speaks", () => {
  const message = "no speech found in 60 s: the loudest is -57 dBFS. Raise the gain";
  const silent = after({ event: "notice", about: "silence", message });
  assert.deepEqual(words(silent), {
    tone: "calm",
    text: "Listening",
    problem: {
      title: "No speech found in 60 s: the loudest is -57 dBFS.",
      advice: "Raise the gain",
    },
  });
  const level = (state) => afterMessage(silent, { event: "level", state });
  assert.ok(words(level("listening")).problem);
  assert.equal(words(level("speech")).problem, null);
});

test("a notice of another language stands until the model is sure of a text", () => {
  const doubted = after({ event: "notice", about: "language", message: "Not English." });
  const transcript = (confidence) =>
    words(afterMessage(doubted, { event: "transcript", utterance_id: 1, confidence })).problem;
  assert.ok(transcript(0.4));
  assert.equal(transcript(0.8), null);
});

test("a failed session can be started again, and says whether it was the microphone", () => {
  const failed = (message) => words(after({ event: "session_failed", message }));
  assert.deepEqual(failed("the model ran out of memory"), {
    tone: "bad",
    text: "Stopped",
    problem: { title: "The model ran out of memory.", advice: "", retry: "capture" },
  });
  const deaf = failed("PortAudio: no such device");
  assert.equal(deaf.text, "No microphone");
  assert.match(deaf.problem.advice, /browser's own microphone and recordings/);
});

test("a recording that ended stays ended until the server captures again", () => {
  const ended = after({ event: "source_ended" });
  assert.equal(text(ended), "Recording ended");
  const state = { ...HELLO, event: "state" };
  assert.equal(text(afterMessage(ended, { ...state, capturing: false })), "Recording ended");
  assert.equal(text(afterMessage(ended, { ...state, capturing: true })), "Listening");
  assert.equal(text(after({ ...state, capturing: false })), "Not listening");
  assert.equal(text(after({ ...state, busy: "loading the model" })), "Loading the model");
});

test("a file that is over plays again where this page may change something", () => {
  const state = { ...HELLO, event: "state", capturing: false, over: true, may_use: ["partials"] };
  const said = words(after(state));
  assert.equal(said.text, "Recording ended");
  assert.equal(said.problem.retry, "play");
  assert.equal(words(after({ ...state, may_use: [] })).problem.retry, undefined);
  assert.equal(text(after({ ...state, capturing: true, over: false })), "Listening");
});

test("without a connection the page says when it reconnects, and why it must", () => {
  const waiting = (link) => words(afterLink(open, { state: "waiting", ...link }));
  assert.deepEqual(waiting({ seconds: 2, reason: "" }), {
    tone: "bad",
    text: "Reconnecting",
    problem: {
      title: "No connection to the server.",
      advice: "Trying again in 2 s. Check that it is still running.",
      retry: "connect",
    },
  });
  assert.deepEqual(waiting({ seconds: 9, reason: "too many clients" }).problem, {
    title: "Too many clients.",
    advice: "Trying again in 9 s.",
    retry: "connect",
  });
});

test("an attempt to reconnect keeps the reason on the page", () => {
  const waiting = afterLink(open, { state: "waiting", seconds: 1, reason: "closed" });
  const again = words(afterLink(waiting, { state: "connecting" }));
  assert.equal(again.problem.title, "Closed.");
  assert.equal(again.problem.advice, "Trying again now.");
});

test("a broken connection forgets utterances, whose answers will not come", () => {
  const spoken = after({ event: "utterance", utterance_id: 0 });
  assert.deepEqual(afterLink(spoken, { state: "waiting" }).waiting, []);
});

test("hello replaces all but the link and this browser's microphone", () => {
  const mine = afterMicrophone(after({ event: "source_ended" }), { state: "on", label: "Headset" });
  const again = afterMessage(mine, { ...HELLO, model: "whisper base" });
  assert.deepEqual(again.microphone, { state: "on", label: "Headset" });
  assert.deepEqual(again.link, { state: "open" });
  assert.equal(again.model, "whisper base");
  assert.equal(again.ended, false);
});

test("the status shows each state and problem of this browser's microphone", () => {
  const said = (microphone) => words(afterMicrophone(open, microphone));
  assert.equal(said({ state: "asking" }).text, "Asking for the microphone");
  assert.equal(said({ state: "on", label: "Headset" }).text, "Starting the microphone");
  assert.equal(said({ state: "on", label: "Headset", heard: true }).text, "Listening");
  const silent = said({ state: "on", label: "Headset", heard: true, silent: true });
  assert.equal(silent.problem.title, "Nothing but silence comes from Headset.");
  assert.equal(said({ state: "ending" }).text, "Transcribing");
  const problem = { title: "That microphone is gone.", advice: "Plug it in again." };
  const lost = said({ state: "off", problem });
  assert.deepEqual(lost, { tone: "calm", text: "Listening", problem: { ...problem, retry: "microphone" } });
});

test("the server's problem comes before that of this browser's microphone", () => {
  const failed = after({ event: "session_failed", message: "it stopped" });
  const problem = { title: "That microphone is gone.", advice: "" };
  assert.equal(words(afterMicrophone(failed, { state: "off", problem })).problem.retry, "capture");
});

test("words are promised only while something is heard", () => {
  assert.equal(hears(START), false);
  assert.equal(hears(open), true);
  assert.equal(hears(after({ event: "level", state: "pause" })), true);
  assert.equal(hears(after({ ...HELLO, event: "state", capturing: false })), false);
  assert.equal(hears(after({ ...HELLO, event: "state", problem: "there is no microphone" })), false);
  assert.equal(hears(after({ event: "device_lost", device: "Headset" })), false);
  assert.equal(hears(after({ event: "source_ended" })), false);
  assert.equal(hears(afterMicrophone(open, { state: "on", label: "Headset" })), false);
  const silent = { state: "on", heard: true, silent: true, label: "Headset" };
  assert.equal(hears(afterMicrophone(open, silent)), false);
  assert.equal(hears(afterLink(open, { state: "waiting", seconds: 2, reason: "" })), false);
});

test("that a smaller model goes on is no problem to be shown", () => {
  const before = after();
  assert.deepEqual(after({ event: "notice", about: "model", message: "Smaller." }), before);
});
