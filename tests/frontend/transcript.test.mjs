import assert from "node:assert/strict";
import { test } from "node:test";

import { Transcript, inOrder, isEntry, timeline } from "../../frontend/transcript.js";
import { Store } from "./store.mjs";

function message(utterance_id, text, start_s = 3 * utterance_id, end_s = start_s + 2) {
  return { utterance_id, text, start_s, end_s, confidence: 0.9, segments: [], delay_s: 0.5 };
}

function filled(count = 2) {
  const store = new Store();
  const told = []; // each change of `saved`
  const transcript = new Transcript(store, "t", () => told.push(transcript.saved));
  transcript.setStream("s1", 0, 10_000);
  for (let i = 0; i < count; i++) transcript.add(message(i, `text ${i}`), 20_000 + 1000 * i);
  return { transcript, store, told };
}

async function reloaded(store) {
  await store.settled();
  const transcript = new Transcript(store, "t");
  await transcript.load();
  return transcript;
}

const texts = ({ entries }) => entries.map(({ text }) => text);

test("entries and the position in the stream survive a reload", async () => {
  const { store } = filled();
  const again = await reloaded(store);
  assert.deepEqual(texts(again), ["text 0", "text 1"]);
  assert.equal(again.stream, "s1");
  assert.equal(again.last, 1);
});

test("the same utterance is not added twice", () => {
  const { transcript } = filled();
  assert.equal(transcript.add(message(1, "text 1"), 0), null);
  assert.deepEqual(texts(transcript), ["text 0", "text 1"]);
});

test("a new stream counts its utterances from 0", () => {
  const { transcript } = filled();
  transcript.setStream("s2", 0, 30_000);
  assert.equal(transcript.last, -1);
  assert.equal(transcript.add(message(0, "again"), 40_000).key, "s2:0");
  assert.equal(transcript.entries.length, 3);
});

test("an utterance gets the time of day at which it began", () => {
  const transcript = new Transcript(new Store(), "t");
  transcript.setStream("s1", 100, 1_000_000); // the stream began at 900,000 ms
  const missed = transcript.add(message(0, "before", 10, 12), 1_001_000);
  assert.equal(missed.at, 910_000);
  const live = transcript.add(message(1, "now", 200, 202), 2_000_000);
  assert.equal(live.at, 2_000_000 - 500 - 2000);
});

test("a line that is kept has why it ended, after a reload too", async () => {
  const store = new Store();
  const transcript = new Transcript(store, "t");
  transcript.setStream("s1", 0, 10_000);
  transcript.setReason({ utterance_id: 0, reason: "silence" });
  assert.equal(transcript.add({ ...message(0, "not kept"), pause_s: 0.4 }, 0).cut, undefined);
  transcript.setStream("s2", 0, 10_000, "/kept/a");
  transcript.setReason({ utterance_id: 0, reason: "silence" });
  transcript.add({ ...message(0, "kept"), pause_s: 0.4 }, 0);
  transcript.add({ ...message(1, "said before the page connected"), pause_s: 0.4 }, 0);
  const again = await reloaded(store);
  assert.deepEqual(again.find("s2:0").cut, { reason: "silence", pause_s: 0.4 });
  assert.equal(again.find("s2:1").cut, undefined);
});

test("an edited text stays, and loses its segments", async () => {
  const { transcript, store } = filled();
  const segments = [{ start_s: 6, end_s: 8, text: "cut", confidence: 0.8 }];
  transcript.add({ ...message(2, "cut"), segments }, 0);
  transcript.edit("s1:2", "cut");
  assert.deepEqual(transcript.find("s1:2").segments, segments, "the same text is no edit");
  transcript.edit("s1:2", "whole");
  transcript.edit("s1:9", "no such line");
  const entry = (await reloaded(store)).find("s1:2");
  assert.equal(entry.text, "whole");
  assert.equal(entry.edited, true);
  assert.equal(entry.segments, undefined);
});

test("the last removal can be undone once, in its place", async () => {
  const { transcript } = filled(3);
  assert.equal(transcript.remove(["s1:1"]), 1);
  assert.deepEqual(texts(transcript), ["text 0", "text 2"]);
  assert.equal(await transcript.undo(), 1);
  assert.deepEqual(texts(transcript), ["text 0", "text 1", "text 2"]);
  assert.equal(await transcript.undo(), 0);
  assert.equal(transcript.remove(), 3);
  assert.deepEqual(texts(transcript), []);
  assert.equal(await transcript.undo(), 3);
});

test("a line that another page cleared before it knew of it is stored again", async () => {
  const { transcript, store } = filled(3);
  const cleared = { name: "t", removed: ["s1:0", "s1:1"], cleared: true };
  await store.write(cleared); // which removes all that is stored
  transcript.take(cleared);
  assert.deepEqual(texts(transcript), ["text 2"]);
  assert.deepEqual(texts(await reloaded(store)), ["text 2"]);
});

test("an undone removal is as it was after a reload", async () => {
  const { transcript, store } = filled(3);
  transcript.remove();
  transcript.add(message(3, "text 3"), 30_000);
  transcript.undo();
  assert.deepEqual(texts(await reloaded(store)), ["text 0", "text 1", "text 2", "text 3"]);
});

test("a clock that was set back leaves lines in the order in which they came", async () => {
  const { transcript, store } = filled();
  transcript.add(message(2, "text 2"), 5);
  assert.deepEqual(texts(await reloaded(store)), ["text 0", "text 1", "text 2"]);
});

test("two pages on one store keep each other's changes", async () => {
  const { transcript, store } = filled();
  const other = await reloaded(store);
  other.remove(["s1:0"]);
  transcript.add(message(2, "text 2"), 30_000);
  assert.deepEqual(texts(await reloaded(store)), ["text 1", "text 2"]);
});

test("a line that one page removed is not brought back by another that hears it later", async () => {
  const { transcript, store } = filled();
  const other = new Transcript(store, "t");
  other.setStream("s1", 0, 10_000);
  transcript.remove(["s1:1"]);
  const added = [other.add(message(1, "text 1"), 30_000)];
  assert.equal(transcript.take({ name: "t", added }), false);
  other.take({ name: "t", removed: ["s1:1"] });
  assert.deepEqual(texts(transcript), ["text 0"]);
  assert.deepEqual(texts(other), []);
  const again = await reloaded(store);
  assert.deepEqual(texts(again), ["text 0"]);
  again.setStream("s1", 0, 10_000);
  for (const page of [transcript, other, again]) {
    assert.equal(page.add(message(1, "text 1"), 40_000), null, "the server says it once more");
  }
  await transcript.undo();
  assert.deepEqual(texts(transcript), ["text 0", "text 1"]);
  assert.deepEqual(texts(await reloaded(store)), ["text 0", "text 1"]);
});

test("a line that could not be removed before all others is removed with them", async () => {
  const { transcript, store } = filled();
  store.full = true;
  for (const keys of [["s1:0"], undefined, undefined]) {
    transcript.remove(keys);
    await store.settled();
  }
  store.full = false;
  transcript.add(message(2, "text 2"), 30_000);
  await store.settled();
  assert.deepEqual(texts(await reloaded(store)), ["text 2"]);
});

test("what could not be removed does not stay away once another page has cleared all", async () => {
  const { transcript, store } = filled();
  const other = await reloaded(store);
  store.full = true;
  transcript.remove(["s1:0"]);
  await store.settled();
  store.full = false;
  other.remove();
  transcript.take({ name: "t", removed: ["s1:0", "s1:1"], cleared: true });
  transcript.add(message(2, "text 2"), 30_000);
  await store.settled();
  await other.undo();
  assert.deepEqual(texts(await reloaded(store)), ["text 0", "text 1", "text 2"]);
});

for (const keys of [["s1:1"], undefined]) {
  const what = keys ? "a line" : "all lines";
  test(`${what}, removed while the store takes nothing, are removed once it does`, async () => {
    const { transcript, store } = filled();
    store.full = true;
    transcript.remove(keys);
    await store.settled();
    store.full = false;
    transcript.add(message(2, "text 2"), 30_000);
    await store.settled();
    assert.deepEqual(texts(await reloaded(store)), keys ? ["text 0", "text 2"] : ["text 2"]);
    await transcript.undo();
    assert.deepEqual(texts(await reloaded(store)), ["text 0", "text 1", "text 2"]);
    assert.equal(transcript.saved, true);
  });
}

test("a line that another page edited is not undone by the same line", async () => {
  const { transcript, store } = filled();
  const other = new Transcript(store, "t");
  other.setStream("s1", 0, 10_000);
  transcript.edit("s1:1", "better");
  other.add(message(1, "text 1"), 30_000);
  assert.deepEqual(texts(await reloaded(store)), ["text 0", "better"]);
});

test("changes of another page are taken over", async () => {
  const { transcript } = filled(3);
  const entry = (key, order, text) => ({ ...transcript.find("s1:0"), key, order, text });
  const put = [entry("s1:0", 20_000, "better")];
  transcript.take({ name: "t", added: [entry("s2:0", 20_500, "between"), entry("s1:1", 9, "late")] });
  transcript.take({ name: "t", put, removed: ["s1:2"] });
  assert.deepEqual(texts(transcript), ["better", "between", "text 1"]);
  assert.equal(await transcript.undo(), 0, "the other page's removal is its own");
});

test("a full store clears saved, and what it did not take is stored once there is room", async () => {
  const { transcript, store, told } = filled();
    store.full = true;
  transcript.add(message(2, "text 2"), 30_000);
  await store.settled();
  assert.equal(transcript.saved, false);
  transcript.add(message(3, "text 3"), 31_000);
  assert.equal(transcript.entries.length, 4);
  await store.settled();
  store.full = false;
  transcript.edit("s1:3", "three");
  assert.deepEqual(texts(await reloaded(store)), ["text 0", "text 1", "text 2", "three"]);
  assert.deepEqual(told, [false, true]);
});

test("a stored value that is not an entry is told apart", () => {
  const { transcript } = filled(1);
  assert.ok(isEntry(transcript.entries[0]));
  for (const kept of [null, 7, "", {}, { key: 1 }, { ...transcript.entries[0], at: null }]) {
    assert.ok(!isEntry(kept), JSON.stringify(kept));
  }
});

test("entries of an older version stay in their order", () => {
  const orders = inOrder([{ at: 1000 }, { at: 900 }, { at: 2000 }]).map(({ order }) => order);
  assert.deepEqual(orders, [1000, 1001, 2000]);
});

test("segments of several streams share one timeline", () => {
  const entry = (stream, at, start_s, end_s) => ({ stream, at, start_s, end_s, text: stream, confidence: 1 });
  const spans = (entries) => timeline(entries).map(({ start_s, end_s }) => [start_s, end_s]);
  assert.deepEqual(spans([entry("a", 5000, 5, 7), entry("b", 60_000, 1, 2)]), [[5, 7], [60, 61]]);
  assert.deepEqual(
    spans([entry("a", 5000, 5, 7), entry("b", 4000, 0, 2)]),
    [[5, 7], [7, 9]],
    "a clock that was set back never makes lines overlap",
  );
  const parts = [{ start_s: 5, end_s: 6, text: "one", confidence: 1 }, { start_s: 6, end_s: 7, text: "two", confidence: 1 }];
  assert.deepEqual(timeline([{ ...entry("a", 5000, 5, 7), segments: parts }]), parts);
});

test("a line of a stream that is kept says where, and has its place there in the timeline", () => {
  const { transcript } = filled(1);
  transcript.setStream("s1", 3, 21_000, "kept/2026-11-26");
  transcript.add(message(1, "said"), 22_000);
  transcript.setStream("s2", 0, 90_000, null);
  transcript.add(message(0, "again"), 95_000);
  const [before, kept, after] = transcript.entries;
  assert.deepEqual([before.keptIn, after.keptIn], [undefined, undefined]);
  assert.equal(kept.keptIn, "kept/2026-11-26");
  transcript.edit(kept.key, "meant");
  const places = timeline(transcript.entries).map((segment) => segment.kept);
  const place = { session: "2026-11-26", start_s: 3, end_s: 5, edited: true };
  assert.deepEqual(places, [undefined, place, undefined]);
});
