// A socket that reconnects: `/ws` beside the page, with growing pauses between attempts.

const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 15_000;

/** Close code of a server that has sent all there is. */
const ALL_SAID = 1000;

/** Backpressure: most bytes that the network has not taken yet while audio is sent. */
const MOST_BUFFERED = 64 * 1024;

/**
 * Address of the socket that belongs to a page, under any path and behind any proxy.
 *
 * @param {string} pageUrl
 * @param {Record<string, any>} query
 */
export function socketUrl(pageUrl, query = {}) {
  const url = new URL("ws", pageUrl);
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  url.search = String(new URLSearchParams({ events: "all", ...query }));
  return url.href;
}

/**
 * The backoff: the pause before the next attempt, after a pause of `pauseMs` (0 at first).
 *
 * @param {number} pauseMs
 */
export function nextPause(pauseMs) {
  return pauseMs ? Math.min(2 * pauseMs, LONGEST_PAUSE_MS) : FIRST_PAUSE_MS;
}

/** Why the server refuses this page, "" if it does not refuse it or does not run. */
async function refusal() {
  try {
    const answer = await fetch(new URL("health", document.baseURI));
    return answer.status === 403 ? (await answer.text()).trim() : "";
  } catch {
    return "";
  }
}

/**
 * Connect, reconnect when the connection ends, and report each message and change of the link.
 *
 * @param {() => string} url called at each attempt
 * @param {(message: Record<string, any>) => void} onMessage
 * @param {(link: import("./status.js").Link) => void} onLink `reason` is the server's, "" if the
 *   connection broke without a reason
 * @returns {{retry: () => void, restart: () => void,
 *   send: (data: object | ArrayBuffer) => boolean}} `retry` ends a pause; `restart` connects anew
 *   to another url; `send` returns whether it has sent: not without a connection, and no audio on
 *   one that falls behind
 */
export function connect(url, onMessage, onLink) {
  /** @type {WebSocket} */
  let socket;
  let pauseMs = 0;
  let timer = 0;

  function open() {
    clearInterval(timer);
    timer = 0;
    onLink({ state: "connecting" });
    const opened = new WebSocket(url());
    socket = opened;
    let isIn = false;
    opened.onopen = () => {
      isIn = true;
      if (opened === socket) onLink({ state: "open" });
      else opened.close();
    };
    opened.onmessage = ({ data }) => {
      if (opened !== socket) return;
      pauseMs = 0;
      onMessage(JSON.parse(data));
    };
    opened.onclose = ({ code, reason }) => {
      if (opened !== socket) return;
      if (code === ALL_SAID) open();
      else wait(reason, !isIn);
    };
  }

  function restart() {
    const old = socket;
    pauseMs = 0;
    open();
    // A browser logs an error for a socket that is closed while it connects, so that one closes once
    // it is open.
    if (old.readyState !== WebSocket.CONNECTING) old.close();
  }

  /** @param {string} reason @param {boolean} wasRefused */
  function wait(reason, wasRefused) {
    pauseMs = nextPause(pauseMs);
    const until = Date.now() + pauseMs;
    let why = reason;
    const tick = () => {
      const left = until - Date.now();
      if (left <= 0) open();
      else onLink({ state: "waiting", seconds: Math.ceil(left / 1000), reason: why });
    };
    const started = setInterval(tick, Math.min(pauseMs, 250));
    timer = started;
    tick();
    if (!wasRefused) return;
    // A browser tells no script why a socket was refused, so ask by HTTP.
    refusal().then((said) => {
      why = said;
      if (timer === started) tick();
    });
  }

  function retry() {
    if (timer) open();
  }

  /** @param {object | ArrayBuffer} data */
  function send(data) {
    if (socket.readyState !== WebSocket.OPEN) return false;
    const isAudio = data instanceof ArrayBuffer;
    if (isAudio && socket.bufferedAmount > MOST_BUFFERED) return false;
    socket.send(isAudio ? data : JSON.stringify(data));
    return true;
  }

  addEventListener("online", retry);
  document.addEventListener("visibilitychange", () => document.hidden || retry());
  open();
  return { retry, restart, send };
}
