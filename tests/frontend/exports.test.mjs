import assert from "node:assert/strict";
import { test } from "node:test";

import { FORMATS, readableTime, toJson, toSrt, toTxt, toVtt } from "../../frontend/exports.js";

const segment = (text, start_s = 1, end_s = 2.5) => ({ text, start_s, end_s, confidence: 1 / 3 });

test("text has one line for each segment", () => {
  assert.equal(toTxt([segment(" one\ntwo "), segment(" "), segment("three")]), "one two\nthree\n");
});

test("SubRip numbers its cues and shortens an arrow in the text", () => {
  assert.equal(
    toSrt([segment("a ---> b"), segment("<b>", 3599.9995, 3661.001)]),
    "1\n00:00:01,000 --> 00:00:02,500\na -> b\n\n" +
      "2\n01:00:00,000 --> 01:01:01,001\n<b>\n",
  );
});

test("WebVTT escapes markup in the text", () => {
  assert.equal(
    toVtt([segment("5 < 6 & 7 --> 8")]),
    "WEBVTT\n\n00:00:01.000 --> 00:00:02.500\n5 &lt; 6 &amp; 7 --&gt; 8\n",
  );
});

test("a cue lasts a millisecond at least", () => {
  assert.match(toVtt([segment("x", 90_000, 90_000)]), /25:00:00\.000 --> 25:00:00\.001/);
});

test("JSON is one line, with times and confidence to a thousandth", () => {
  assert.equal(
    toJson([segment(' "ä"\nb ', 1 / 3, 2)], { file: "x.wav" }),
    '{"file":"x.wav","segments":[{"start":0.333,"end":2,"text":"\\"ä\\"\\nb","confidence":0.333}]}\n',
  );
});

test("JSON has the place of a segment in a kept session, and whether it was corrected", () => {
  const kept = { session: "2026-11-26", start_s: 1 / 3, end_s: 2, edited: true };
  const [made] = JSON.parse(toJson([{ ...segment("x"), kept }])).segments;
  assert.deepEqual(made.kept, { session: "2026-11-26", start: 0.333, end: 2, edited: true });
});

test("no segments make an empty file of each format", () => {
  const written = Object.entries(FORMATS).map(([name, { write }]) => [name, write([])]);
  assert.deepEqual(Object.fromEntries(written), {
    txt: "",
    srt: "",
    vtt: "WEBVTT\n",
    json: '{"segments":[]}\n',
  });
});

test("times of a recording have hours only from one hour on", () => {
  assert.deepEqual([0, 65.9, 3599.9, 3723].map(readableTime), ["0:00", "1:05", "59:59", "1:02:03"]);
});

test("each format names the speaker, where one is known", () => {
  const by = { ...segment("hello"), speaker: "Anna <B>" };
  assert.equal(toTxt([by, segment("x")]), "Anna <B>: hello\nx\n");
  assert.match(toSrt([by]), /\nAnna <B>: hello\n/);
  assert.match(toVtt([by]), /\n<v Anna &lt;B&gt;>hello\n/);
  assert.equal(JSON.parse(toJson([by])).segments[0].speaker, "Anna <B>");
  assert.equal("speaker" in JSON.parse(toJson([segment("x")])).segments[0], false);
});
