import assert from "node:assert/strict";
import { test } from "node:test";

import { COLUMNS, Levels } from "../../frontend/notebook/levels.js";
import { columnsOf } from "../../frontend/notebook/pieces.js";
import { byRow } from "../../frontend/notebook/segments.js";
import { visibleSteps } from "../../frontend/notebook/tracks.js";
import { Viewport } from "../../frontend/notebook/viewport.js";

const ABOUT = { run: 0, step_s: 0.02, start_s: 0, kept: 1000 };

/** Rows whose level is their number, which are speech every other hundred. */
function rows(first, past) {
  const values = [];
  for (let i = first; i < past; i++) values.push(i, -i, 1, 0, Math.floor(i / 100) % 2);
  return new DataView(Float32Array.from(values).buffer);
}

function given(...parts) {
  const levels = new Levels();
  for (const [first, past] of parts) levels.take({ ...ABOUT, at: first }, rows(first, past));
  return levels;
}

const valuesOf = (levels, name, from, to) => {
  const columns = Math.round((to - from) / ABOUT.step_s);
  return [...columnsOf(levels.curve(name).cover(from, to), from, to, columns).mean];
};

test("levels that come in parts, and twice, are there once", () => {
  const levels = given([0, 10], [10, 30], [0, 30]);
  assert.deepEqual(levels.stretch, [0, 0.6]);
  assert.deepEqual(valuesOf(levels, "level", 0, 0.6), [...Array(30).keys()]);
  assert.deepEqual(valuesOf(levels, "score", 0.2, 0.26).map((v) => v || 0), [-10, -11, -12]);
});

test("only the last ones are kept, at the places where they were", () => {
  const levels = new Levels();
  for (let i = 0; i < 5000; i += 7) levels.take({ ...ABOUT, at: i }, rows(i, i + 7));
  const [from, to] = levels.stretch;
  assert.ok(Math.abs(to - from - 20) < 1e-9);
  assert.equal(valuesOf(levels, "level", to - 0.02, to)[0], levels.end - 1);
  assert.equal(valuesOf(levels, "level", from, from + 0.02)[0], levels.end - 1000);
  assert.ok(levels.columns[0].length <= 1250);
});

test("frames that never came are unknown", () => {
  const levels = given([0, 10], [20, 30]);
  const values = valuesOf(levels, "level", 0, 0.6);
  assert.deepEqual(values.map(Number.isNaN).lastIndexOf(true), 19);
  assert.equal(values[20], 20);
});

test("another run begins anew", () => {
  const levels = given([0, 500]);
  levels.take({ ...ABOUT, run: 1, at: 0 }, rows(0, 5));
  assert.deepEqual(levels.stretch, [0, 0.1]);
});

test("the stretches of a state are found within a view", () => {
  const levels = given([0, 450]);
  assert.deepEqual(levels.spans(1, 0, 9), [
    { start: 2, end: 4 },
    { start: 6, end: 8 },
  ]);
  assert.deepEqual(levels.spans(1, 3, 7), [
    { start: 3, end: 4 },
    { start: 6, end: 7 },
  ]);
});

test("a curve of so many numbers as the kernel sends", () => assert.equal(COLUMNS.length, 5));

test("a view of the end goes along, another one stays until what it shows is forgotten", () => {
  const viewport = new Viewport(15);
  viewport.show(5, 10);
  viewport.grow(0, 30, true);
  assert.deepEqual([viewport.from, viewport.to], [20, 30]);
  viewport.grow(0, 40, false);
  assert.deepEqual([viewport.from, viewport.to], [20, 30]);
  viewport.grow(25, 3600, false);
  assert.deepEqual([viewport.from, viewport.to], [25, 35]);
  viewport.show(0, 1e9);
  assert.deepEqual([viewport.from, viewport.to], [25, 3600]);
});

test("steps end where the curve ends", () => {
  const view = { from: 0, to: 10, width: 100 };
  assert.deepEqual(visibleSteps(view, { times: [0, 2], values: [1, 3], end: 4 }).at(-1), [4, 3]);
});

test("segments are sorted into their rows, once for the same segments", () => {
  const all = [{ start: 0, end: 9, row: 1 }, { start: 1, end: 2 }, { start: 3, end: 4, row: 7 }];
  const rowsOf = byRow(all, 2);
  assert.deepEqual(rowsOf.map((row) => row.length), [1, 2]);
  assert.equal(byRow(all, 2), rowsOf);
});
