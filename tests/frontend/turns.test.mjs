import assert from "node:assert/strict";
import { test } from "node:test";

import {
  History,
  dragged,
  hit,
  lineFor,
  rounded,
  same,
  sorted,
  summary,
  turnAfter,
  turnBefore,
} from "../../frontend/notebook/turns.js";
import { between, extended } from "../../frontend/notebook/viewport.js";

test("an edge is hit before the turn, and the chosen turn before others", () => {
  const turns = [[1, 2, "", ""], [1.5, 3, "", ""], [5, 6, "", ""]];
  assert.deepEqual(hit(turns, null, 1.2, 0.1), { turn: turns[0], side: null });
  assert.deepEqual(hit(turns, null, 1.96, 0.1), { turn: turns[0], side: 1 });
  assert.deepEqual(hit(turns, turns[1], 1.52, 0.1), { turn: turns[1], side: 0 });
  assert.deepEqual(hit(turns, turns[1], 1.8, 0.1), { turn: turns[1], side: null });
  assert.equal(hit(turns, null, 4, 0.1), null);
  assert.deepEqual(hit([[5, 5.05, "", ""]], null, 5.04, 0.1).side, 1);
  assert.deepEqual(hit([[5, 5.05, "", ""]], null, 5.01, 0.1).side, 0);
});

test("undo and redo step through changes, and a new change clears redo", () => {
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

test("turns are rounded to the millisecond and sorted", () => {
  assert.equal(rounded(1.23456), 1.235);
  assert.deepEqual(sorted([[2, 3], [1, 5], [1, 2]]), [[1, 2], [1, 5], [2, 3]]);
});

test("turns are equal by value, and null equals only null", () => {
  assert.ok(same([1, 2, "a", "b"], [1, 2, "a", "b"]));
  assert.ok(!same([1, 2, "a", "b"], [1, 2, "a", "c"]));
  assert.ok(same(null, null));
  assert.ok(!same([1, 2, "", ""], null));
});

test("a dragged edge stops before the other edge", () => {
  const turn = [1, 2, "anna", "so"];
  assert.deepEqual(dragged(turn, 0, 1, 1.23456, 10), [1.235, 2, "anna", "so"]);
  assert.deepEqual(dragged(turn, 0, 1, 3, 10), [1.98, 2, "anna", "so"]);
  assert.deepEqual(dragged(turn, 1, 2, 0, 10), [1, 1.02, "anna", "so"]);
});

test("a dragged turn keeps its length, and stays in the recording", () => {
  const turn = [1, 2, "", ""];
  assert.deepEqual(dragged(turn, null, 1.5, 4.5, 10), [4, 5, "", ""]);
  assert.deepEqual(dragged(turn, null, 1.5, 0, 10), [0, 1, "", ""]);
  assert.deepEqual(dragged(turn, null, 1.5, 20, 10), [9, 10, "", ""]);
  assert.deepEqual(dragged([9, 11, "", ""], null, 9, 10, 10), [9, 11, "", ""], "it reached beyond");
});

test("a mark grows from where it began, in both directions", () => {
  assert.deepEqual(between(3, 1), [1, 3]);
  const right = extended(null, 2, 3);
  assert.deepEqual(right, [2, 3]);
  assert.deepEqual(extended(right, 3, 4), [2, 4]);
  assert.deepEqual(extended(right, 3, 1), [1, 2], "past its own start");
  assert.deepEqual(extended([1, 2], 1, 0.5), [0.5, 2]);
});

test("arrow keys go to the turn before and after the chosen one, or the cursor", () => {
  const turns = [[1, 2, "", ""], [3, 4, "", ""], [5, 6, "", ""]];
  assert.equal(turnBefore(turns, turns[1], 0), turns[0]);
  assert.equal(turnBefore(turns, turns[0], 0), turns[0]);
  assert.equal(turnBefore(turns, null, 4.5), turns[1]);
  assert.equal(turnBefore(turns, null, 9), turns[2]);
  assert.equal(turnBefore([], null, 9), undefined);
  assert.equal(turnAfter(turns, turns[1], 0), turns[2]);
  assert.equal(turnAfter(turns, turns[2], 0), undefined);
  assert.equal(turnAfter(turns, null, 2), turns[1]);
});

test("the summary counts turns, speech, and what reaches beyond the recording", () => {
  assert.equal(summary([], 10), "0 stretches of speech, 0.0 s");
  assert.equal(
    summary([[1, 2.5, "", ""], [9, 11, "", ""]], 10),
    "2 stretches of speech, 3.5 s; 1 reach beyond the end of the recording",
  );
});

test("the words of people who speak at once have a line each", () => {
  const ends = [];
  const turns = [[0, 4], [1, 3], [2, 5], [3, 6], [5, 7]];
  assert.deepEqual(turns.map(([start, end]) => lineFor(ends, [start, end, "", ""])), [0, 1, 2, 1, 0]);
});
