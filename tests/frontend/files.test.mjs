import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";

import { Files } from "../../frontend/files.js";
import { Store } from "./store.mjs";

/** The requests that were sent. */
const requests = [];

class Request {
  upload = {};
  status = 200;
  responseText = "";

  constructor() {
    requests.push(this);
  }

  open(method, url) {
    this.asked = `${method} ${url}`;
  }

  send(file) {
    this.file = file;
  }

  abort() {
    this.aborted = true;
  }

  /** More of the answer has come. */
  answer(text) {
    this.responseText += text;
    this.onprogress({});
  }

  /** The answer is complete. */
  end(...messages) {
    this.responseText += messages.map((message) => `${JSON.stringify(message)}\n`).join("");
    this.onload({});
  }
}

const file = (name) => ({ name, size: 1000, lastModified: 1 });
const made = (store = new Store(), changed = () => {}) => new Files(store, "f", "files", changed);
async function reloaded(store, changed) {
  await store.settled();
  const files = made(store, changed);
  await files.load();
  return files;
}
const phases = ({ open }) => open.map(({ phase }) => phase);
const said = (utterance_id, text) => ({
  event: "transcript",
  utterance_id,
  text,
  start_s: 3 * utterance_id,
  end_s: 3 * utterance_id + 2,
  confidence: 0.9,
  segments: [],
  delay_s: 0,
});
const DONE = { event: "done", duration_s: 8, problem: null };

beforeEach(() => {
  requests.length = 0;
  globalThis.XMLHttpRequest = Request;
});

test("recordings are sent one at a time, and of their names only the suffix", () => {
  const files = made();
  files.add(file("my diary.flac"));
  files.add(file("no suffix"));
  assert.deepEqual(phases(files), ["sending", "waiting"]);
  assert.deepEqual(requests.map(({ asked }) => asked), ["POST files?name=.flac"]);
  requests[0].end(DONE);
  assert.deepEqual(phases(files), ["done", "sending"]);
  assert.equal(requests[1].asked, "POST files?name=");
});

test("an answer becomes text and progress line by line, wherever it is cut", () => {
  const heard = [];
  const files = made(new Store(), (_, message) => message && heard.push(message.event));
  const recording = files.add(file("talk.wav"));
  requests[0].upload.onprogress({ loaded: 250, total: 1000 });
  assert.equal(recording.part, 0.25);
  requests[0].answer('{"event":"opened","duration_s":8}\n{"event":"prog');
  assert.equal(recording.phase, "transcribing");
  assert.equal(recording.duration_s, 8);
  assert.equal(recording.done_s, 0);
  requests[0].answer('ress","done_s":5,"waits_for":"live speech","left_s":30}\n');
  assert.equal(recording.done_s, 5);
  assert.equal(recording.left_s, 30);
  assert.equal(recording.waits, "live speech");
  requests[0].end(said(0, "one"), said(1, "two"), { ...DONE, problem: "the end is damaged" });
  assert.deepEqual(recording.transcript.entries.map(({ text }) => text), ["one", "two"]);
  assert.equal(recording.phase, "done");
  assert.equal(recording.problem, "the end is damaged");
  assert.deepEqual(heard, ["added", "opened", "progress", "transcript", "transcript", "done"]);
});

test("a recording that fails says why", () => {
  const failed = (end) => {
    const files = made();
    const recording = files.add(file("talk.wav"));
    end(requests.at(-1));
    assert.equal(recording.phase, "failed");
    return recording.problem;
  };
  const refused = (status, responseText) => (request) => {
    Object.assign(request, { status, responseText });
    request.onload({});
  };
  assert.equal(failed(refused(422, '{"detail":"not an audio file"}')), "not an audio file");
  assert.equal(failed(refused(502, "Bad gateway\n")), "Bad gateway");
  assert.equal(failed(refused(502, "")), "The server answered 502.");
  assert.match(failed((request) => request.end()), /cut short/);
  assert.match(failed((request) => request.onerror({})), /connection .* broke/);
  const event = { event: "session_failed", message: "the server was stopped" };
  assert.equal(failed((request) => request.end(event)), "the server was stopped");
});

test("a cancelled recording takes no more text, and the next one is sent", () => {
  const files = made();
  const recording = files.add(file("one.wav"));
  files.add(file("two.wav"));
  files.cancel(recording);
  assert.ok(requests[0].aborted);
  assert.deepEqual(phases(files), ["failed", "sending"]);
  assert.equal(recording.problem, "It was cancelled.");
  requests[0].end(said(0, "late"), DONE);
  assert.equal(recording.phase, "failed");
  assert.deepEqual(recording.transcript.entries, []);
});

test("a recording that waits can be cancelled without harm to the one that is sent", () => {
  const files = made();
  files.add(file("one.wav"));
  files.cancel(files.add(file("two.wav")));
  assert.deepEqual(phases(files), ["sending", "failed"]);
  assert.equal(requests[0].aborted, undefined);
});

test("a file that failed is sent again when it is added again, a transcribed one is not", () => {
  const files = made();
  const recording = files.add(file("talk.wav"));
  requests[0].answer(`${JSON.stringify(said(0, "half"))}\n`);
  requests[0].onerror({});
  assert.equal(files.add(file("talk.wav")), recording);
  assert.deepEqual(recording.transcript.entries, [], "it begins anew");
  requests[1].end(said(0, "whole"), DONE);
  files.add(file("talk.wav"));
  assert.equal(requests.length, 2);
  assert.equal(files.open.length, 1);
  assert.equal(recording.transcript.entries.length, 1);
});

test("a reload keeps what was transcribed, and says what was cut short", async () => {
  const store = new Store();
  const files = made(store);
  files.add(file("one.wav"));
  requests[0].end(said(0, "one"), DONE);
  files.add(file("two.wav"));
  const again = await reloaded(store);
  assert.deepEqual(phases(again), ["done", "failed"]);
  assert.deepEqual(again.open[0].transcript.entries.map(({ text }) => text), ["one"]);
  assert.equal(again.open[0].duration_s, 8);
  assert.match(again.open[1].problem, /cut short/);
  assert.equal(again.open[1].file, null);
});

test("a closed recording is forgotten, and restored with its text", async () => {
  const store = new Store();
  const files = made(store);
  const recording = files.add(file("talk.wav"));
  requests[0].end(said(0, "one"), DONE);
  files.close(recording);
  assert.deepEqual((await reloaded(store)).open, []);
  assert.deepEqual([...store.entries.values()].flatMap((kept) => [...kept]), []);
  files.restore(recording);
  const { open } = await reloaded(store);
  assert.deepEqual(open[0].transcript.entries.map(({ text }) => text), ["one"]);
});

test("another page's recordings are taken over, and the own ones in transit stay", async () => {
  const store = new Store();
  const one = made(store);
  const two = made(store);
  const write = store.write.bind(store);
  store.write = async (change) => {
    await write(change);
    two.take(structuredClone(change));
  };
  const recording = one.add(file("one.wav"));
  await store.settled();
  assert.deepEqual(phases(two), ["failed"], "its file is on the other page");
  requests[0].end(said(0, "one"), DONE);
  await store.settled();
  assert.deepEqual(phases(two), ["done"]);
  assert.deepEqual(two.open[0].transcript.entries.map(({ text }) => text), ["one"]);
  two.add(file("two.wav"));
  one.close(recording);
  await store.settled();
  assert.deepEqual(two.open.map(({ name }) => name), ["two.wav"]);
});

test("a stored value that is not a list of recordings counts as empty", async () => {
  for (const kept of ["", 7, {}, [{ id: 1, name: "x" }], [null]]) {
    const store = new Store();
    store.values.set("f", kept);
    assert.deepEqual((await reloaded(store)).open, [], JSON.stringify(kept));
  }
});
