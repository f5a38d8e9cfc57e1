import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";

import { connect, nextPause, socketUrl } from "../../frontend/connection.js";

/** The sockets that were made, and what a page has around them. */
const sockets = [];

class Socket {
  static OPEN = 1;
  readyState = 0;
  bufferedAmount = 0;
  sent = [];

  constructor(url) {
    this.url = url;
    sockets.push(this);
  }

  send(data) {
    this.sent.push(data);
  }

  close() {
    this.closed = true;
  }

  open() {
    this.readyState = Socket.OPEN;
    this.onopen();
  }
}

function connected() {
  const heard = [];
  const links = [];
  let count = 0;
  const connection = connect(
    () => `ws://here/${count++}`,
    (message) => heard.push(message),
    ({ state }) => links.push(state),
  );
  return { ...connection, heard, links };
}

beforeEach(() => {
  sockets.length = 0;
  globalThis.WebSocket = Socket;
  globalThis.document = { addEventListener() {} };
  globalThis.addEventListener = () => {};
});

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

test("messages and changes of the link are reported", () => {
  const { heard, links } = connected();
  sockets[0].open();
  sockets[0].onmessage({ data: '{"event":"hello"}' });
  assert.deepEqual(heard, [{ event: "hello" }]);
  assert.deepEqual(links, ["connecting", "open"]);
});

test("nothing is sent without a connection, nor audio to one that falls behind", () => {
  const { send } = connected();
  assert.equal(send({ end: true }), false);
  sockets[0].open();
  assert.equal(send({ end: true }), true);
  const audio = new Int16Array(4).buffer;
  assert.equal(send(audio), true);
  assert.deepEqual(sockets[0].sent, ['{"end":true}', audio]);
  sockets[0].bufferedAmount = 1024 ** 2;
  assert.equal(send(audio), false);
  assert.equal(send({ end: true }), true);
});

test("a restart takes another url, and hears no more of the old socket", () => {
  const { restart, heard, links } = connected();
  sockets[0].open();
  restart();
  assert.ok(sockets[0].closed);
  assert.equal(sockets[1].url, "ws://here/1");
  sockets[0].onmessage({ data: '{"event":"level"}' });
  sockets[0].onclose({ code: 1005, reason: "" });
  assert.deepEqual(heard, []);
  assert.deepEqual(links, ["connecting", "open", "connecting"]);
});

test("a server that has said all it had is asked again at once", () => {
  const { links } = connected();
  sockets[0].open();
  sockets[0].onclose({ code: 1000, reason: "" });
  assert.equal(sockets.length, 2);
  assert.deepEqual(links, ["connecting", "open", "connecting"]);
});

test("a broken connection waits, and a person can end the pause", () => {
  const { retry, links } = connected();
  sockets[0].open();
  sockets[0].onclose({ code: 1006, reason: "" });
  assert.deepEqual(links, ["connecting", "open", "waiting"]);
  retry();
  assert.equal(sockets.length, 2);
  retry();
  assert.equal(sockets.length, 2, "there is no pause to end");
});
