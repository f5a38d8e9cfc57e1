// A socket that comes back: `/ws` beside the page, with growing pauses between attempts.

const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 15_000;

/** Address of the socket that belongs to a page, whatever path or proxy it is served at. */
export function socketUrl(pageUrl) {
  const url = new URL("ws", pageUrl);
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  return url.href;
}

/** The pause before the next attempt, given the one before it (0 for none). */
export function nextPause(pauseMs) {
  return pauseMs ? Math.min(2 * pauseMs, LONGEST_PAUSE_MS) : FIRST_PAUSE_MS;
}

/**
 * Stay connected, and report each message and each change of state.
 *
 * @param {string} url
 * @param {(message: object) => void} onMessage
 * @param {(state: "connecting" | "connected" | "waiting", detail?: {seconds: number, reason: string})
 *   => void} onState
 */
export function connect(url, onMessage, onState) {
  let pauseMs = 0;

  function open() {
    onState("connecting");
    const socket = new WebSocket(url);
    socket.addEventListener("open", () => onState("connected"));
    socket.addEventListener("message", (event) => {
      pauseMs = 0;
      onMessage(JSON.parse(event.data));
    });
    socket.addEventListener("close", (event) => {
      pauseMs = nextPause(pauseMs);
      countDown(Math.ceil(pauseMs / 1000), event.reason);
      setTimeout(open, pauseMs);
    });
  }

  function countDown(seconds, reason) {
    const until = Date.now() + pauseMs;
    onState("waiting", { seconds, reason });
    const timer = setInterval(() => {
      const left = Math.ceil((until - Date.now()) / 1000);
      if (left < 1) clearInterval(timer);
      else onState("waiting", { seconds: left, reason });
    }, 1000);
    setTimeout(() => clearInterval(timer), pauseMs);
  }

  open();
}
