import assert from "node:assert/strict";
import { test } from "node:test";

import {
  AcknowledgedOutbox,
  FLOOR_DBFS,
  describe,
  explain,
  level,
} from "../../frontend/notebook/remote_microphone.js";

const KEPT_S = 30;
const second = () => new Int16Array(1000).fill(100);

test("chunks are sent ahead within a bound, and again without an acknowledgement", () => {
  const outbox = new AcknowledgedOutbox(1000);
  for (let i = 0; i < 4; i++) outbox.add(second());
  assert.equal(outbox.next(0).first, 0);
  assert.equal(outbox.next(0).first, 1000);
  assert.equal(outbox.next(0), undefined, "enough is on its way");
  outbox.acknowledge(500);
  assert.equal(outbox.next(1), undefined, "half of a chunk has come");
  outbox.acknowledge(1000);
  assert.equal(outbox.next(1).first, 2000);
  assert.equal(outbox.kept_s, 3);
  assert.equal(outbox.next(5), undefined);
  assert.equal(outbox.next(5.5).first, 1000, "sent again in order after 5 s without an acknowledgement");
  assert.equal(outbox.next(5.5).first, 2000);
  outbox.acknowledge(3000);
  assert.equal(outbox.next(6).first, 3000);
  outbox.acknowledge(4000);
  assert.equal(outbox.kept_s, 0);
  assert.equal(outbox.lost, 0);
});

test("chunks without acknowledgement are kept within a bound, and dropped ones counted", () => {
  const outbox = new AcknowledgedOutbox(1000);
  for (let i = 0; i < 4; i++) outbox.add(second());
  while (outbox.next(6)) outbox.acknowledge(4000);
  for (let i = 0; i < 40; i++) outbox.add(second());
  assert.equal(outbox.kept_s, KEPT_S, "no more than that is kept");
  assert.equal(outbox.lost, 10_000);
  const chunk = outbox.next(9);
  assert.equal(chunk.first, 14_000);
  assert.equal(chunk.after, 4000, "from which the kernel sees what is missing");
  assert.equal(outbox.next(9).after, 15_000);
  for (let i = 0; i < 40; i++) outbox.add(second());
  assert.equal(outbox.all()[0].first, 14_000, "chunks that are sent are not dropped");
  assert.equal(outbox.kept_s, KEPT_S);
  assert.equal(outbox.lost, 10_000 + 40_000);
  outbox.acknowledge(16_000);
  assert.equal(outbox.next(10).after, 16_000);
});

test("the level is the RMS in dBFS, with a floor", () => {
  assert.equal(Math.round(level(new Int16Array(800).fill(16384))), -6);
  assert.equal(level(new Int16Array(800)), FLOOR_DBFS);
});

test("each error of the browser is explained with advice", () => {
  const error = (name) => Object.assign(new Error("so it is"), { name });
  assert.match(explain(error("SecurityError")), /https.*ssh -L 8888:localhost:8888 MACHINE/);
  assert.match(explain(error("NotAllowedError")), /not allowed.*Allow it.*Start again/);
  assert.match(explain(error("NotFoundError")), /Plug one in/);
  assert.match(explain(error("OverconstrainedError")), /Plug one in/);
  assert.match(explain(error("TimeoutError")), /plug in headphones/);
  assert.match(explain(error("NotReadableError")), /another program may hold it/);
  assert.match(explain(error("AbortError")), /content security policy.*stt.FileSource/);
  assert.match(explain(error("OtherError")), /can't be opened: so it is/);
});

test("the widget describes each state of its microphone", () => {
  const on = { state: "on", id: "a", holder: "a", run: 1, silent_s: 0, unanswered_s: 0, problem: "" };
  assert.equal(describe(on), "On. A session is listening.");
  assert.equal(describe({ ...on, run: 0 }), "On. No session is listening.");
  assert.match(describe({ ...on, silent_s: 4 }), /muted/);
  assert.match(describe({ ...on, silent_s: 4, unanswered_s: 4 }), /kept until it does/);
  assert.match(describe({ ...on, state: "asking" }), /browser asks/);
  const off = { ...on, state: "off" };
  assert.equal(describe({ ...off, holder: "" }), "Off.");
  assert.equal(describe(off), "Off.");
  assert.match(describe({ ...off, holder: "b" }), /another window.*takes it over/);
  assert.equal(describe({ ...off, problem: "Unplugged." }), "Unplugged.");
  assert.match(describe({ ...off, problem: "Unplugged.", gone: true }), /Run the cell again/);
});
