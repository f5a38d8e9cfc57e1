import assert from "node:assert/strict";
import { test } from "node:test";

import { moved, partOf, ticks, valueAt, write } from "../../frontend/scale.js";

const DB = { label: "level", unit: "dBFS", low: -75, high: -10 };
const SHARE = { label: "probability", unit: "", low: 0, high: 1 };
const POINTS = { label: "loudness", unit: "points", low: 0, high: 100 };
const settings = {
  threshold_dbfs: { min: -100, max: 0, unit: "dBFS" },
  margin_db: { min: 1, max: 60, unit: "dB", unless: "threshold_dbfs" },
  probability: { min: 0.02, max: 0.98, unit: "" },
  crest_db: { min: 0, max: 40, unit: "dB" },
};
const LEVELS = ["threshold_dbfs", "margin_db", "hysteresis_db"];
const energy = (config) => ({ scale: DB, settings, fields: LEVELS, config: { margin_db: 8, ...config } });
const byProbability = (scale) => {
  return { scale, settings, fields: ["probability"], config: { probability: 0.5 } };
};

test("a scale has round labels, four at most", () => {
  assert.deepEqual(ticks(DB), [-60, -40, -20]);
  assert.deepEqual(ticks(SHARE), [0, 0.5, 1]);
  assert.deepEqual(ticks(POINTS), [0, 50, 100]);
});

test("a value and its place on the scale are the same again, within its ends", () => {
  assert.equal(valueAt(DB, partOf(DB, -42.5)), -42.5);
  assert.equal(partOf(DB, -100), 0);
  assert.equal(valueAt(DB, 1.5), -10);
  assert.equal(write(DB, -42.4), "-42 dBFS");
  assert.equal(write(SHARE, 0.5), "50 %");
});

test("a fixed threshold moves to where it is dragged", () => {
  const judging = energy({ threshold_dbfs: -50 });
  const goal = { name: "threshold_dbfs", value: -42.5, threshold: -42.5 };
  assert.deepEqual(moved(judging, -50, -42.4), goal);
});

test("a threshold that follows the noise goes on to follow it", () => {
  const judging = energy({ threshold_dbfs: null });
  assert.deepEqual(moved(judging, -50.2, -45.2), { name: "margin_db", value: 13, threshold: -45.2 });
  assert.deepEqual(moved(judging, -50, -74), { name: "margin_db", value: 1, threshold: -57 });
});

test("a probability moves in hundredths, and an unknown score not at all", () => {
  const judging = byProbability(SHARE);
  assert.deepEqual(moved(judging, 0.5, 0.614), { name: "probability", value: 0.61, threshold: 0.61 });
  assert.equal(moved(judging, 0.5, 2).value, 0.98);
  assert.equal(moved(byProbability(POINTS), 50, 60), null);
});

test("a detector's own threshold moves on its own scale", () => {
  const scale = { label: "crest factor", unit: "dB", low: 0, high: 40 };
  const judging = { scale, settings, fields: ["crest_db", "hysteresis_db"], config: { crest_db: 12 } };
  assert.deepEqual(moved(judging, 12, 15.2), { name: "crest_db", value: 15, threshold: 15 });
});
