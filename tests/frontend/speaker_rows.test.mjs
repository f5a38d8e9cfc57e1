import assert from "node:assert/strict";
import { test } from "node:test";

import { rowAt } from "../../frontend/notebook/segments.js";
import { SpeakerRows, renamed, speakersOf } from "../../frontend/notebook/speaker_rows.js";

const TURNS = [[0, 1, "Ben", "a"], [1, 2, "", ""], [2, 3, "Anna", ""], [3, 4, "Ben", ""]];

test("speakers have rows in order of appearance, and keep them", () => {
  assert.deepEqual(speakersOf(TURNS, []), ["Ben", "Anna", ""]);
  assert.deepEqual(speakersOf(TURNS, ["", "Anna"]), ["Anna", "Ben", ""]);
  assert.deepEqual(speakersOf(TURNS.slice(1, 3), ["Ben", "Anna", ""]), ["Anna", ""]);
  assert.deepEqual(speakersOf([], ["Anna"]), []);
});

test("a turn gets another speaker, or all turns of its speaker do", () => {
  assert.deepEqual(renamed(TURNS, TURNS[0], "Cleo", false).map((turn) => turn[2]), ["Cleo", "", "Anna", "Ben"]);
  assert.deepEqual(renamed(TURNS, TURNS[0], "Cleo", true).map((turn) => turn[2]), ["Cleo", "", "Anna", "Cleo"]);
  assert.equal(TURNS[0][2], "Ben", "undo needs them as they were");
});

test("a renamed speaker keeps row and colour", () => {
  const rows = new SpeakerRows();
  assert.equal(rows.take(TURNS), true);
  assert.equal(rows.take([...TURNS]), false);
  const color = rows.colorOf(TURNS[0]);
  const turns = renamed(TURNS, TURNS[0], "Zoe", true);
  rows.take(turns);
  assert.deepEqual(rows.names, ["Zoe", "Anna", ""]);
  assert.equal(rows.colorOf(turns[0]), color);
  rows.take(TURNS);
  assert.deepEqual(rows.names, ["Ben", "Anna", ""], "after an undo too");
});

test("one speaker, or none that is known, has the colour of speech", () => {
  const rows = new SpeakerRows();
  rows.take([[0, 1, "", ""]]);
  assert.equal(rows.isShown, false);
  assert.equal(rows.colorOf([0, 1, "", ""]), "speech");
  rows.take([[0, 1, "Ben", ""]]);
  assert.equal(rows.isShown, true);
  assert.equal(rows.colorOf([0, 1, "Ben", ""]), "speech");
});

test("the row at a height is that of its speaker", () => {
  const rows = new SpeakerRows();
  rows.take(TURNS);
  const lane = { top: 100, height: 13 + 3 * 16 };
  const lanes = [{ track: { name: "wave" }, lane: { top: 0, height: 100 } }, { track: rows.track(() => -1), lane }];
  assert.deepEqual([50, 105, 114, 130, 150, 170].map((y) => rows.at(lanes, y)), [
    undefined,
    undefined,
    "Ben",
    "Anna",
    "",
    undefined,
  ]);
  assert.equal(rowAt(1000, lane, 3), 3);
});
