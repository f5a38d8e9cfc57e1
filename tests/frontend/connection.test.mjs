import assert from "node:assert/strict";
import { test } from "node:test";

import { nextPause, socketUrl } from "../../frontend/connection.js";

test("the socket is beside the page, behind whatever path and proxy", () => {
  assert.equal(socketUrl("http://localhost:8000/"), "ws://localhost:8000/ws?events=all");
  assert.equal(
    socketUrl("https://hub.example/user/a/proxy/8000/?token=t", { stream: "s 1", after: 3 }),
    "wss://hub.example/user/a/proxy/8000/ws?events=all&stream=s+1&after=3",
  );
});

test("pauses between attempts double up to a quarter of a minute", () => {
  const pauses = [];
  for (let pause = 0; pauses.length < 7; pauses.push(pause)) pause = nextPause(pause);
  assert.deepEqual(pauses, [500, 1000, 2000, 4000, 8000, 15_000, 15_000]);
});
