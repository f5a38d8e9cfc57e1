import assert from "node:assert/strict";
import { test } from "node:test";

import { SpeakerNames, nameBetween, speakersIn } from "../../frontend/speakers.js";
import { Transcript, timeline } from "../../frontend/transcript.js";
import { Store } from "./store.mjs";

const turn = (speaker, start_s = 0, end_s = 2) => ({ speaker, start_s, end_s });

function message(utterance_id, speakers = []) {
  const start_s = 3 * utterance_id;
  const about = { start_s, end_s: start_s + 2, confidence: 0.9, segments: [], delay_s: 0.5 };
  return { utterance_id, text: `text ${utterance_id}`, speakers, ...about };
}

function transcript() {
  const made = new Transcript(new Store(), "t");
  made.setStream("ab-1", 0, 0);
  return made;
}

const names = (entry) => speakersIn(entry.turns).map(({ name }) => name);

test("a speaker has its number until a person gives a name", () => {
  const known = new SpeakerNames();
  assert.equal(known.named(turn("Speaker 1")).name, "Speaker 1");
  known.set({ "Speaker 1": "Anna" }, { "Speaker 2": "Speaker 1" });
  assert.deepEqual(known.named(turn("Speaker 2")), { ...turn("Speaker 1"), name: "Anna" });
});

test("the name of another speaker makes the two one", () => {
  const known = new SpeakerNames();
  known.set({ "Speaker 1": "Anna" });
  const turns = ["Speaker 1", "Speaker 2"].map((speaker) => known.named(turn(speaker)));
  assert.deepEqual(known.request("Speaker 2", "Ben", turns), { rename: "Speaker 2", to: "Ben" });
  assert.deepEqual(known.request("Speaker 2", "Anna", turns), {
    merge: "Speaker 2",
    into: "Speaker 1",
  });
});

test("speakers come with the text, after it, or before it", () => {
  const made = transcript();
  assert.deepEqual(names(made.add(message(0, [turn("Speaker 1")]), 0)), ["Speaker 1"]);
  made.add(message(1), 1);
  made.setTurns({ utterance_id: 1, turns: [turn("Speaker 2", 3, 5)] });
  assert.deepEqual(names(made.entries[1]), ["Speaker 2"]);
  made.setTurns({ utterance_id: 2, turns: [turn("Speaker 1", 6, 8)] });
  assert.deepEqual(names(made.add(message(2), 2)), ["Speaker 1"]);
});

test("a name holds for all that this server heard, and for no other's", () => {
  const made = transcript();
  made.setStream("zz-1", 0, 0);
  made.add(message(0, [turn("Speaker 1")]), 0);
  made.setStream("ab-1", 0, 0);
  made.add(message(0, [turn("Speaker 1")]), 1);
  made.setStream("ab-2", 0, 0);
  made.speakers.set({ "Speaker 1": "Anna" });
  made.nameSpeakers();
  assert.deepEqual(made.entries.flatMap(names), ["Speaker 1", "Anna"]);
});

test("names are stored with the entries, and exported", async () => {
  const store = new Store();
  const made = new Transcript(store, "t");
  made.setStream("ab-1", 0, 0);
  made.speakers.set({ "Speaker 1": "Anna" });
  made.add(message(0, [turn("Speaker 1")]), 0);
  await store.settled();
  const again = new Transcript(store, "t");
  await again.load();
  assert.deepEqual(timeline(again.entries).map(({ speaker }) => speaker), ["Anna"]);
});

test("who speaks most has a segment", () => {
  const turns = [turn("Speaker 1", 0, 1), turn("Speaker 2", 1, 4)].map((each) => ({
    ...each,
    name: each.speaker,
  }));
  assert.equal(nameBetween(turns, 0, 4), "Speaker 2");
  assert.equal(nameBetween(turns, 0, 1), "Speaker 1");
  assert.equal(nameBetween(undefined, 0, 1), "");
});
