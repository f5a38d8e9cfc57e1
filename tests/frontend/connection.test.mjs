import assert from "node:assert/strict";
import { afterEach, beforeEach, test } from "node:test";

import { connect, nextPause, socketUrl } from "../../frontend/connection.js";

/** The sockets that were made, and what a page has around them. */
const sockets = [];

class Socket {
  static CONNECTING = 0;
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

function connected(onLink = () => {}) {
  const heard = [];
  const links = [];
  let count = 0;
  const connection = connect(
    () => `ws://here/${count++}`,
    (message) => heard.push(message),
    (link) => {
      links.push(link.state);
      onLink(link);
    },
  );
  return { ...connection, heard, links };
}

/** The clock of the page, its running intervals, and the listeners of the window and document. */
let now_ms = 0;
const intervals = new Map();
const listeners = {};
const real = { setInterval, clearInterval, now: Date.now };

function pass(ms) {
  for (const end_ms = now_ms + ms; now_ms < end_ms; ) {
    now_ms += 1;
    for (const { call, every, start_ms } of [...intervals.values()]) {
      if ((now_ms - start_ms) % every === 0) call();
    }
  }
}

/** The newest socket is let in, and breaks. */
function fail(reason = "") {
  sockets.at(-1).open();
  sockets.at(-1).onclose({ code: 1006, reason });
}

beforeEach(() => {
  sockets.length = 0;
  intervals.clear();
  let made = 0;
  globalThis.WebSocket = Socket;
  globalThis.addEventListener = (name, call) => (listeners[name] = call);
  globalThis.document = {
    addEventListener: globalThis.addEventListener,
    baseURI: "http://here/",
    hidden: false,
  };
  globalThis.setInterval = (call, every) => {
    intervals.set(++made, { call, every, start_ms: now_ms });
    return made;
  };
  globalThis.clearInterval = (id) => intervals.delete(id);
  Date.now = () => now_ms;
});

afterEach(() => {
  Object.assign(globalThis, { setInterval: real.setInterval, clearInterval: real.clearInterval });
  Date.now = real.now;
});

test("the address of the socket follows the page, under any path and proxy", () => {
  assert.equal(socketUrl("http://localhost:8000/"), "ws://localhost:8000/ws?events=all");
  assert.equal(
    socketUrl("https://hub.example/user/a/proxy/8000/?token=t", { stream: "s 1", after: 3 }),
    "wss://hub.example/user/a/proxy/8000/ws?events=all&stream=s+1&after=3",
  );
});

test("the backoff doubles from 500 ms up to 15 s", () => {
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

test("nothing is sent without a connection, and no audio under backpressure", () => {
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

test("a restart connects to a new url and ignores the old socket", () => {
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

test("a restart closes a socket that still connects once it is open", () => {
  const { restart, links } = connected();
  restart();
  assert.ok(!sockets[0].closed);
  sockets[0].open();
  assert.ok(sockets[0].closed);
  assert.deepEqual(links, ["connecting", "connecting"]);
});

test("the page reconnects at once after close code 1000", () => {
  const { links } = connected();
  sockets[0].open();
  sockets[0].onclose({ code: 1000, reason: "" });
  assert.equal(sockets.length, 2);
  assert.deepEqual(links, ["connecting", "open", "connecting"]);
});

test("a person can end the pause after a broken connection", () => {
  const { retry, links } = connected();
  sockets[0].open();
  sockets[0].onclose({ code: 1006, reason: "" });
  assert.deepEqual(links, ["connecting", "open", "waiting"]);
  retry();
  assert.equal(sockets.length, 2);
  retry();
  assert.equal(sockets.length, 2, "there is no pause to end");
});

test("each broken connection doubles the pause until a message resets it", () => {
  connected();
  for (const pause of [500, 1000, 2000]) {
    fail();
    const count = sockets.length;
    pass(pause - 1);
    assert.equal(sockets.length, count, `no attempt before ${pause} ms`);
    pass(1);
    assert.equal(sockets.length, count + 1);
  }
  sockets.at(-1).onmessage({ data: '{"event":"hello"}' });
  fail();
  const count = sockets.length;
  pass(500);
  assert.equal(sockets.length, count + 1, "the first pause again");
  assert.equal(intervals.size, 0);
});

test("the seconds until the next attempt count down, with the server's reason", () => {
  const waiting = [];
  connected((link) => link.state === "waiting" && waiting.push([link.seconds, link.reason]));
  for (const pause of [500, 1000]) {
    fail();
    pass(pause);
  }
  waiting.length = 0;
  fail("too slow");
  pass(2000);
  assert.deepEqual(waiting[0], [2, "too slow"]);
  assert.deepEqual(waiting.at(-1), [1, "too slow"]);
});

test("a refused socket gets its reason over HTTP, and a broken one does not ask", async () => {
  const asked = [];
  globalThis.fetch = async (url) => {
    asked.push(String(url));
    return { status: 403, text: async () => "Open the address with its token.\n" };
  };
  const reason = new Promise((done) => connected((link) => link.reason && done(link.reason)));
  sockets[0].onclose({ code: 1006, reason: "" });
  assert.equal(await reason, "Open the address with its token.");
  assert.deepEqual(asked, ["http://here/health"]);
  pass(500);
  fail();
  assert.equal(asked.length, 1);
});

test("the pause ends when the network is back, or the page is shown again", () => {
  connected();
  fail();
  listeners.online();
  assert.equal(sockets.length, 2);
  fail();
  document.hidden = true;
  listeners.visibilitychange();
  assert.equal(sockets.length, 2, "a hidden page waits");
  document.hidden = false;
  listeners.visibilitychange();
  assert.equal(sockets.length, 3);
});
