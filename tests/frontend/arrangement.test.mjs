import assert from "node:assert/strict";
import { test } from "node:test";

import {
  arranged,
  chosenNext,
  chosenOf,
  moved,
  ordered,
  resized,
  toggled,
} from "../../frontend/notebook/arrangement.js";

const TRACKS = ["waveform", "level", "utterances"].map((name) => ({ name, height: 100, paint() {} }));
const hidden = { name: "spectrogram", height: 100, isHidden: true, paint() {} };
const names = (tracks) => tracks.map(({ name }) => name);

test("tracks stand as the widget has them until somebody arranges them", () => {
  assert.deepEqual(names(arranged({}, TRACKS)), ["waveform", "level", "utterances"]);
  assert.deepEqual(names(arranged({}, [...TRACKS, hidden])), names(TRACKS));
});

test("a track is moved, and no further than to the end", () => {
  let arrangement = moved({}, TRACKS, TRACKS[2], -1);
  assert.deepEqual(names(arranged(arrangement, TRACKS)), ["waveform", "utterances", "level"]);
  for (let i = 0; i < 5; i++) arrangement = moved(arrangement, TRACKS, TRACKS[2], -1);
  assert.deepEqual(names(arranged(arrangement, TRACKS)), ["utterances", "waveform", "level"]);
});

test("a new track stands after the one that it follows by itself", () => {
  const arrangement = moved({}, TRACKS, TRACKS[0], 1);
  const more = [TRACKS[0], hidden, TRACKS[1], TRACKS[2]];
  assert.deepEqual(names(ordered(arrangement, more)), ["level", "waveform", "spectrogram", "utterances"]);
});

test("a track that is gone leaves the others in order", () => {
  const arrangement = { order: ["utterances", "labels", "waveform", "level"] };
  assert.deepEqual(names(ordered(arrangement, TRACKS)), ["utterances", "waveform", "level"]);
});

test("a track is switched off and on, and one that is hidden at first on and off", () => {
  const off = toggled({}, TRACKS[1]);
  assert.deepEqual(names(arranged(off, TRACKS)), ["waveform", "utterances"]);
  assert.deepEqual(names(arranged(toggled(off, TRACKS[1]), TRACKS)), names(TRACKS));
  assert.deepEqual(names(arranged(toggled({}, hidden), [hidden])), ["spectrogram"]);
});

test("a track is made higher and lower within bounds", () => {
  let arrangement = resized({}, TRACKS[0], 1);
  assert.equal(arranged(arrangement, TRACKS)[0].height, 125);
  for (let i = 0; i < 30; i++) arrangement = resized(arrangement, TRACKS[0], -1);
  assert.equal(arranged(arrangement, TRACKS)[0].height, 20);
  for (let i = 0; i < 30; i++) arrangement = resized(arrangement, TRACKS[0], 1);
  assert.equal(arranged(arrangement, TRACKS)[0].height, 600);
});

test("a choice goes through its values, apart from the others and from those of other tracks", () => {
  const top = { words: "highest frequency", unit: "kHz", values: [8, 4, 2] };
  const range = { words: "range", unit: "dB", values: [60, 40] };
  assert.equal(chosenOf({}, "spectrogram", top), 8);
  let arrangement = chosenNext({}, "spectrogram", range);
  const seen = [];
  for (let i = 0; i < 4; i++) {
    arrangement = chosenNext(arrangement, "spectrogram", top);
    seen.push(chosenOf(arrangement, "spectrogram", top));
  }
  assert.deepEqual(seen, [4, 2, 8, 4]);
  assert.equal(chosenOf(arrangement, "spectrogram", range), 40);
  assert.equal(chosenOf(arrangement, "another", top), 8);
});
