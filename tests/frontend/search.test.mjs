import assert from "node:assert/strict";
import { test } from "node:test";

import { split } from "../../frontend/search.js";

test("search matches in any case, and every second part is a match", () => {
  assert.deepEqual(split("A tall tree, TALL talk", "tall"), ["A ", "tall", " tree, ", "TALL", " talk"]);
  assert.deepEqual(split("tall", "tall"), ["", "tall", ""]);
  assert.deepEqual(split("ÄRGER", "ärger"), ["", "ÄRGER", ""]);
});

test("search without a match leaves one part", () => {
  assert.deepEqual(split("A small house", "tall"), ["A small house"]);
  assert.deepEqual(split("", "tall"), [""]);
});

test("search takes the characters of a pattern as text", () => {
  assert.deepEqual(split("A (small) house.", "(small)"), ["A ", "(small)", " house."]);
  assert.deepEqual(split("a.b axb", "a.b"), ["", "a.b", " axb"]);
  for (const query of ["[", "\\", "*", "a|b", "$^", "{2}", "?"]) {
    assert.deepEqual(split(`x${query}y`, query), ["x", query, "y"]);
  }
});
