import assert from "node:assert/strict";
import { test } from "node:test";

import { nearest, next } from "../../frontend/notebook/sweeper.js";

const GRID = [[0, 0.1, 0.9], [1, 0.5, 0.9], [2, 0.1, 0.5], [3, 0.5, 0.5], [4, 0.9, 0.1]];
const [LEFT, RIGHT, UP, DOWN] = [[-1, 0], [1, 0], [0, -1], [0, 1]];

test("arrow keys go to the next point, as far as there is one in that direction", () => {
  const from = (i, step) => next(GRID, GRID[i], step)?.[0] ?? null;
  const gone = [[0, RIGHT], [0, UP], [0, LEFT], [0, DOWN], [3, DOWN], [3, UP]];
  assert.deepEqual(gone.map(([i, step]) => from(i, step)), [1, 2, null, null, 1, 4]);
});

test("a click takes the nearest point within reach", () => {
  assert.equal(nearest(GRID, 0.52, 0.88)[0], 1);
  assert.equal(nearest(GRID, 0.3, 0.7), undefined);
});
