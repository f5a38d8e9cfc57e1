import assert from "node:assert/strict";
import { test } from "node:test";

import { fileName, wavOf } from "../../frontend/notebook/saving.js";

test("audio is saved as 16-bit mono WAV, its parts in order", async () => {
  const blob = wavOf([new Int16Array([1, -2]), new Int16Array([3])], 16000);
  const bytes = new DataView(await blob.arrayBuffer());
  const text = (at) => String.fromCharCode(...[0, 1, 2, 3].map((i) => bytes.getUint8(at + i)));
  assert.deepEqual([text(0), text(8), text(12), text(36)], ["RIFF", "WAVE", "fmt ", "data"]);
  assert.equal(bytes.getUint32(4, true), bytes.byteLength - 8);
  assert.equal(bytes.getUint32(24, true), 16000);
  assert.equal(bytes.getUint32(40, true), 6);
  assert.deepEqual([44, 46, 48].map((at) => bytes.getInt16(at, true)), [1, -2, 3]);
});

test("a file is named after the recording and the stretch in it", () => {
  assert.equal(fileName("../data/talk.flac", [1, 2.5], "wav"), "talk 1.00-2.50 s.wav");
  assert.equal(fileName("C:\\a\\überblick: 1.m4a", [0, 9], "png"), "überblick- 1 0.00-9.00 s.png");
  assert.equal(fileName("", [0, 1], "wav"), "recording 0.00-1.00 s.wav");
});
