import assert from "node:assert/strict";
import { test } from "node:test";

import { Outbox, explainFailure, silenceAfter } from "../../frontend/capture.js";
import { registerCapture } from "../../frontend/worklet.js";

const chunk = (value) => new Int16Array(100).fill(value);

/** The processor as a browser makes it, and what it posts. */
function processor(size, register = registerCapture) {
  const posted = [];
  const classes = {};
  register({
    AudioWorkletProcessor: class {
      port = { postMessage: (pcm) => posted.push([...pcm]) };
    },
    registerProcessor: (name, made) => (classes[name] = made),
  });
  return { made: new classes["sttlab-capture"]({ processorOptions: { size } }), posted };
}

test("the worklet posts chunks of one size, however the browser cuts the audio", () => {
  const { made, posted } = processor(3);
  assert.equal(made.process([[Float32Array.of(0, 0.5)]]), true);
  assert.deepEqual(posted, []);
  made.process([[Float32Array.of(-0.5, 1, -1, 2, -2)]]);
  assert.deepEqual(posted, [[0, 16384, -16384], [32767, -32768, 32767]], "samples beyond full scale are clipped");
});

test("the worklet waits while its input is not connected", () => {
  const { made, posted } = processor(3);
  assert.equal(made.process([[]]), true);
  assert.deepEqual(posted, []);
});

test("the text of the worklet is a module of its own", () => {
  const { made, posted } = processor(1, (0, eval)(`(${registerCapture})`));
  made.process([[Float32Array.of(0.25)]]);
  assert.deepEqual(posted, [[8192]]);
});

test("the outbox sends chunks in order until the socket takes no more", () => {
  const outbox = new Outbox(1000, 8);
  for (let i = 0; i < 5; i++) outbox.add(chunk(i));
  const sent = [];
  let room = 3;
  const send = (data) => room-- > 0 && sent.push(new Int16Array(data)[0]) > 0;
  outbox.flush(send);
  assert.deepEqual(sent, [0, 1, 2]);
  assert.equal(outbox.kept_s, 0.2);
  room = 9;
  outbox.flush(send);
  assert.deepEqual(sent, [0, 1, 2, 3, 4]);
  assert.equal(outbox.lost, 0);
});

test("a full outbox drops the oldest chunks, and the next chunk says so", () => {
  const outbox = new Outbox(1000, 1);
  for (let i = 0; i < 12; i++) outbox.add(chunk(i));
  assert.equal(outbox.kept_s, 1);
  assert.equal(outbox.lost_s, 0.2);
  assert.equal(outbox.waiting[0].first, 200);
  assert.equal(outbox.waiting[0].after, 0);
  assert.equal(outbox.waiting[1].after, 300);
});

test("the time of silence starts again at a sample that is not zero", () => {
  assert.equal(silenceAfter(1, chunk(0), 1000), 1.1);
  assert.equal(silenceAfter(1, Int16Array.of(0, -1), 1000), 0);
});

test("the failure of a vanished device differs from that of no device at all", () => {
  const error = { name: "OverconstrainedError" };
  assert.equal(explainFailure(error, "some device").title, "That microphone is gone.");
  assert.equal(explainFailure(error).title, "This browser finds no microphone.");
  assert.deepEqual(explainFailure({ name: "OddError", message: "so it is" }), {
    title: "The microphone can't be opened: so it is",
    advice: "",
  });
});
