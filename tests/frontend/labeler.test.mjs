import assert from "node:assert/strict";
import { test } from "node:test";

import { History, clock, hit, rounded, sorted, step } from "../../frontend/notebook/labeler.js";

test("an edge is taken hold of before the turn, and the chosen turn before others", () => {
  const turns = [[1, 2, "", ""], [1.5, 3, "", ""], [5, 6, "", ""]];
  assert.deepEqual(hit(turns, null, 1.2, 0.1), { turn: turns[0], side: null });
  assert.deepEqual(hit(turns, null, 1.96, 0.1), { turn: turns[0], side: 1 });
  assert.deepEqual(hit(turns, turns[1], 1.52, 0.1), { turn: turns[1], side: 0 });
  assert.deepEqual(hit(turns, turns[1], 1.8, 0.1), { turn: turns[1], side: null });
  assert.equal(hit(turns, null, 4, 0.1), null);
  assert.deepEqual(hit([[5, 5.05, "", ""]], null, 5.04, 0.1).side, 1);
  assert.deepEqual(hit([[5, 5.05, "", ""]], null, 5.01, 0.1).side, 0);
});

test("changes are undone and redone, until another change", () => {
  const history = new History("a");
  assert.equal(history.undo(), undefined);
  history.take("b");
  history.take("c");
  assert.equal(history.undo(), "b");
  assert.equal(history.undo(), "a");
  assert.equal(history.redo(), "b");
  history.take("d");
  assert.equal(history.redo(), undefined);
  assert.equal(history.undo(), "b");
});

test("the axis has round steps, and as many decimals as they need", () => {
  assert.deepEqual(
    [0.007, 1, 31, 90, 600, 3600, 20000].map((s) => step(s, 8)),
    [0.001, 0.2, 5, 15, 120, 600, 3600],
  );
  assert.equal(clock(75.5, 0.5), "1:15.5");
  assert.equal(clock(59.9999, 0.001), "1:00");
  assert.equal(clock(5, 5), "0:05");
  assert.equal(clock(3600, 600), "60:00");
  assert.equal(clock(0.05, 0.01), "0:00.05");
});

test("turns are kept to the millisecond, in order", () => {
  assert.equal(rounded(1.23456), 1.235);
  assert.deepEqual(sorted([[2, 3], [1, 5], [1, 2]]), [[1, 2], [1, 5], [2, 3]]);
});
