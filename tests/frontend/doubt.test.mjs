import assert from "node:assert/strict";
import { test } from "node:test";

import { cutAt, doubtsIn, doubtsLeft } from "../../frontend/doubt.js";

const words = (...pairs) => [{ words: pairs.map(([text, confidence]) => ({ text, confidence })) }];
const TEXT = "an old-sposed man, a man.";
const SEGMENTS = words(["an", 0.9], ["old-sposed", 0.2], ["man,", 0.9], ["a", 0.3], ["man.", 0.9]);
const texts = (text, ranges) => ranges.map(([from, to]) => text.slice(from, to));

test("words that the engine doubts are found at their places", () => {
  assert.deepEqual(doubtsIn(TEXT, SEGMENTS), [[3, 13], [19, 20]]);
  assert.deepEqual(doubtsIn(TEXT, [{}]), []);
  assert.deepEqual(texts("a b", doubtsIn("a b", words(["x", 0.1], ["b", 0.1]))), ["b"]);
});

test("a word that a person corrects is doubted no longer, and the others stay", () => {
  const left = (after) => texts(after, doubtsLeft(doubtsIn(TEXT, SEGMENTS), TEXT, after));
  assert.deepEqual(left("an ill-disposed man, a man."), ["a"]);
  assert.deepEqual(left("an old-sposed man, the man."), ["old-sposed"]);
  assert.deepEqual(left("an old-sposed man, a man. Yes."), ["old-sposed", "a"]);
  assert.deepEqual(left("an old-sposeds man, a man."), ["a"]);
  assert.deepEqual(left("And an old-sposed man, a man."), ["old-sposed", "a"]);
  assert.deepEqual(left("something else"), []);
});

test("a text is cut at doubts and matches, which may overlap", () => {
  const parts = cutAt("one two", [[4, 7]], [[2, 5]]);
  assert.deepEqual(
    parts.map(({ text, isDoubt, isHit }) => [text, isDoubt, isHit]),
    [["on", false, false], ["e ", false, true], ["t", true, true], ["wo", true, false]],
  );
  assert.deepEqual(cutAt("", [], []), []);
});
