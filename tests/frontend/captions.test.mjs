import assert from "node:assert/strict";
import { test } from "node:test";

import { LastLines } from "../../frontend/captions.js";

const texts = (last) => last.lines.map(({ text }) => text);

test("a final takes the place of its partial, before the partials that go on", () => {
  const last = new LastLines();
  last.partial(0, "He was");
  last.partial(1, "and");
  last.partial(0, "He was not");
  assert.deepEqual(texts(last), ["He was not", "and"]);
  last.final(0, "He was not ill.");
  last.partial(0, "He was"); // a late one
  assert.deepEqual(texts(last), ["He was not ill.", "and"]);
  last.drop(1);
  assert.deepEqual(texts(last), ["He was not ill."]);
});

test("a new stream counts from 0 again, and leaves the finals", () => {
  const last = new LastLines();
  last.final(0, "Before.");
  last.partial(1, "gone");
  last.dropPartials();
  last.partial(0, "After");
  last.final(0, "After.");
  assert.deepEqual(texts(last), ["Before.", "After."]);
});

test("only the last lines are kept", () => {
  const last = new LastLines();
  for (let i = 0; i < 50; i++) last.final(i, `Line ${i}.`);
  assert.equal(texts(last).length, 12);
  assert.equal(texts(last).at(-1), "Line 49.");
});
