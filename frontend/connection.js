// A socket that comes back: `/ws` beside the page, with growing pauses between attempts.

const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 15_000;
const ALL_SAID = 1000; // closed by the server, with nothing left to say
const MOST_BUFFERED = 64 * 1024; // bytes of sound that the network has not taken yet

/** Address of the socket that belongs to a page, whatever path or proxy it is served at. */
export function socketUrl(pageUrl, query = {}) {
  const url = new URL("ws", pageUrl);
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  url.search = new URLSearchParams({ events: "all", ...query });
  return url.href;
}

/** The pause before the next attempt, given the one before it (0 for none). */
export function nextPause(pauseMs) {
  return pauseMs ? Math.min(2 * pauseMs, LONGEST_PAUSE_MS) : FIRST_PAUSE_MS;
}

/** What the server answers a page that it doesn't let in, "" if there is no such answer. */
async function refusal() {
  try {
    const answer = await fetch(new URL("health", document.baseURI));
    return answer.status === 403 ? (await answer.text()).trim() : "";
  } catch {
    return ""; // it doesn't run
  }
}

/**
 * Stay connected, and report each message and each change of the link.
 *
 * @param {() => string} url asked for at each attempt
 * @param {(message: object) => void} onMessage
 * @param {(link: {state: "connecting" | "open" | "waiting", seconds?: number, reason?: string})
 *   => void} onLink `reason` is the server's, "" if the connection broke without one.
 * @returns {{retry: () => void, restart: () => void,
 *   send: (data: object | ArrayBuffer) => boolean}} `retry` ends a pause; `restart` connects anew,
 *   for another url; `send` says whether there was a connection to send on, which for sound must
 *   keep up, too.
 */
export function connect(url, onMessage, onLink) {
  let socket;
  let pauseMs = 0;
  let timer = 0;

  function open() {
    clearInterval(timer);
    timer = 0;
    onLink({ state: "connecting" });
    const opened = new WebSocket(url());
    const current = (act) => (event) => opened === socket && act(event);
    socket = opened;
    let isIn = false;
    socket.addEventListener("open", current(() => {
      isIn = true;
      onLink({ state: "open" });
    }));
    socket.addEventListener("message", current((event) => {
      pauseMs = 0;
      onMessage(JSON.parse(event.data));
    }));
    socket.addEventListener("close", current(({ code, reason }) => {
      if (code === ALL_SAID) open();
      else wait(reason, !isIn);
    }));
  }

  function restart() {
    const old = socket;
    pauseMs = 0;
    open();
    old.close();
  }

  function wait(reason, wasRefused) {
    pauseMs = nextPause(pauseMs);
    const until = Date.now() + pauseMs;
    let why = reason;
    const tick = () => {
      const left = until - Date.now();
      if (left <= 0) open();
      else onLink({ state: "waiting", seconds: Math.ceil(left / 1000), reason: why });
    };
    const mine = setInterval(tick, Math.min(pauseMs, 250));
    timer = mine;
    tick();
    // A browser tells no script why a socket was refused.
    if (wasRefused) refusal().then((said) => {
      why = said;
      if (timer === mine) tick();
    });
  }

  function retry() {
    if (timer) open();
  }

  function send(data) {
    if (socket.readyState !== WebSocket.OPEN) return false;
    const isSound = data instanceof ArrayBuffer;
    if (isSound && socket.bufferedAmount > MOST_BUFFERED) return false;
    socket.send(isSound ? data : JSON.stringify(data));
    return true;
  }

  addEventListener("online", retry);
  document.addEventListener("visibilitychange", () => document.hidden || retry());
  open();
  return { retry, restart, send };
}
