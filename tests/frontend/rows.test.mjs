import assert from "node:assert/strict";
import { test } from "node:test";

import { rangeOf, topsOf } from "../../frontend/rows.js";

const rows = (...heights) => heights.map((height) => ({ height }));

test("rows lie below one another, and an unknown height is likely", () => {
  assert.deepEqual([...topsOf(rows(10, NaN, 30), 20)], [0, 10, 30, 60]);
  assert.deepEqual([...topsOf([], 20)], [0]);
});

test("the range has each row that is in sight, if only in part", () => {
  const tops = topsOf(rows(10, 20, 30, 40), 0);
  assert.deepEqual(rangeOf(tops, 0, 10), [0, 2]);
  assert.deepEqual(rangeOf(tops, 9, 9), [0, 1]);
  assert.deepEqual(rangeOf(tops, 10, 59), [1, 3]);
  assert.deepEqual(rangeOf(tops, -50, 1000), [0, 4]);
});

test("no row is in sight above, below or without rows", () => {
  const tops = topsOf(rows(10, 20), 0);
  assert.deepEqual(rangeOf(tops, -50, -1), [0, 0]);
  assert.deepEqual(rangeOf(tops, 31, 90), [2, 2]);
  assert.deepEqual(rangeOf(topsOf([], 0), 0, 100), [0, 0]);
});

test("the range of many rows is found by halving", () => {
  const tops = topsOf(Array.from({ length: 100_000 }, () => ({ height: NaN })), 50);
  assert.deepEqual(rangeOf(tops, 2_500_000, 2_500_499), [50_000, 50_010]);
});
