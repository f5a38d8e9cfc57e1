"""Pages in a real browser, and a socket on which a test sends messages in place of a server."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

from sttlab.config import VadConfig
from sttlab.events import Event, Level, State, Transcript
from sttlab.server import protocol
from sttlab.server.launch import ServerHandle

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page, WebSocketRoute

PATIENCE_MS = 30_000
MODEL = r"(faster-)?whisper tiny\.en"  # whichever engine "auto" takes here
SETTINGS = {name: asdict(setting) for name, setting in protocol.settings().items()}
DETECTORS = {name: asdict(detector) for name, detector in protocol.detectors().items()}

DEVICES = {
    "devices": [
        {"index": 3, "name": "Built-in microphone", "is_default": True},
        {"index": 5, "name": "Studio microphone", "is_default": False},
    ],
    "problem": None,
}
MODELS = {
    "models": [{"name": "tiny.en"}, {"name": "base"}],
    "languages": {"en": "english", "de": "german"},
}

# Text as version 0.2.0 kept it in localStorage: a line for each sentence, some of them long.
KEEP_AS_BEFORE = """([name, count, text]) => {
    const entries = Array.from({ length: count }, (_, i) => ({
        key: `old:${i}`, stream: "old", at: 1.7e12 + 3000 * i, start_s: 3 * i, end_s: 3 * i + 2,
        text: `${text} ${i}.`.repeat(i % 7 ? 1 : 3), confidence: 0.9,
    }));
    localStorage.setItem(name, JSON.stringify({ stream: "old", last: count - 1, entries }));
}"""


class Opened:
    """Pages of one test, and the errors they may have."""

    def __init__(self, browser: Browser) -> None:
        self._browser = browser
        self._errors: list[str] = []
        self._contexts: list[Any] = []
        self.allowed = ""
        """Pattern of errors that a test causes on purpose."""

    def __call__(self, url: str = "", before: Callable[[Page], None] | None = None, **how: Any):
        """Open a page in a browser profile of its own."""
        context = self._browser.new_context(**how)
        context.set_default_timeout(PATIENCE_MS)
        self._contexts.append(context)
        return self.beside(context, url, before)

    def beside(self, context: Any, url: str, before: Callable[[Page], None] | None = None) -> Page:
        """Open a page in the profile of another page."""
        page = context.new_page()
        page.on("pageerror", lambda error: self._errors.append(f"uncaught: {error}"))
        page.on("console", self._on_console)
        if before:
            before(page)
        if url:
            page.goto(url)
        return page

    def _on_console(self, message: Any) -> None:
        if message.type in ("error", "warning"):
            self._errors.append(message.text)

    def close(self) -> list[str]:
        for context in self._contexts:
            context.close()
        return [e for e in self._errors if not (self.allowed and re.search(self.allowed, e))]


class Stage:
    """Takes the place of the server's socket, and sends the messages of a test."""

    def __init__(self, **hello: Any) -> None:
        self.hello = {
            "event": "hello",
            "version": protocol.VERSION,
            "locked": False,
            "settings": SETTINGS,
            "detectors": DETECTORS,
            "max_file_bytes": protocol.MAX_FILE_BYTES,
            "stream": "s1",
            "time_s": 0.0,
            "capturing": True,
            "source": "a microphone",
            "model": "whisper tiny.en",
            "partials": True,
            "problem": None,
            "busy": None,
            "over": False,
            "config": asdict(VadConfig()),
            "using": {"device": None, "model": "tiny.en", "language": None, "partials": True},
            "may_use": ["device", "model", "language", "partials"],
            **hello,
        }
        self.socket: WebSocketRoute | None = None
        self._page: Page | None = None
        self.asked: dict[str, list[str]] = {}
        self.heard: list[dict[str, Any]] = []

    def __call__(self, page: Page) -> None:
        self._page = page
        page.route_web_socket(re.compile("/ws"), self._connected)
        page.route("**/devices", lambda route: route.fulfill(json=DEVICES))
        page.route("**/models", lambda route: route.fulfill(json=MODELS))

    def _connected(self, socket: WebSocketRoute) -> None:
        self.socket = socket
        socket.on_message(lambda message: self.heard.append(json.loads(message)))
        self.asked = parse_qs(urlsplit(socket.url).query)
        socket.send(json.dumps(self.hello))

    def wait_until(self, condition: Callable[[], bool]) -> None:
        """Wait for a condition that the page brings about."""
        assert self._page is not None
        assert comes_true(self._page, condition), f"it did not happen; the page said {self.heard}"

    def wait_heard(self, request: dict[str, object]) -> None:
        """Wait until this is the last message that the page has sent."""
        self.wait_until(lambda: self.heard[-1:] == [request])

    def send(self, message: str) -> None:
        """Send a message, once the page has connected."""
        self.wait_until(lambda: self.socket is not None)
        assert self.socket is not None
        self.socket.send(message)

    def state(self, **changes: Any) -> None:
        """Send the state, with changes."""
        self.hello |= changes
        self.send(json.dumps({**self.hello, "event": "state"}))

    def refuse(self, message: str, request: str = "set") -> None:
        """Refuse a request of the page."""
        self.send(json.dumps({"event": "refused", "message": message, "request": request}))

    def say(self, event: Event) -> None:
        """Send an event as the server does."""
        self.send(protocol.full(event))

    def level(self, state: State, level_dbfs: float = -30.0) -> None:
        """Send a level."""
        level = Level(time_s=0, level_dbfs=level_dbfs, score=level_dbfs, threshold=-40, state=state)
        self.say(level)

    def final(self, number: int, text: str, confidence: float = 0.9) -> None:
        """Send the final text of one utterance of 2 s."""
        self.say(final(number, text, confidence))

    def hang_up(self, code: int = 1012, reason: str = "") -> None:
        """Close the connection as the server does."""
        assert self.socket is not None
        self.socket.close(code=code, reason=reason)


def final(number: int, text: str, confidence: float = 0.9) -> Transcript:
    """The final text of one utterance of 2 s."""
    return Transcript(
        utterance_id=number,
        text=text,
        start_s=3.0 * number,
        end_s=3.0 * number + 2,
        language="en",
        language_probability=1.0,
        confidence=confidence,
        segments=(),
        pause_s=0.6,
        capture_s=0.0,
        queue_s=0.0,
        decode_s=0.2,
        delay_s=0.8,
        engine_s=0.2,
        guessed=False,
    )


def keep_as_before(page: Page, url: str, count: int, text: str, name: str = "sttlab:/") -> None:
    """Keep lines in the browser's storage as version 0.2.0 did; each ends with its number."""
    script = "**/app.js"  # which doesn't run meanwhile
    page.route(script, lambda route: route.fulfill(body="", content_type="text/javascript"))
    page.goto(url)
    page.evaluate(KEEP_AS_BEFORE, [name, count, text])
    page.unroute(script)


def finals(page: Page) -> Locator:
    return page.locator("#transcript .final")


def comes_true(page: Page, condition: Callable[[], object]) -> bool:
    """Wait until a condition holds, and say whether it does."""
    for _ in range(PATIENCE_MS // 50):
        if condition():
            return True
        page.wait_for_timeout(50)  # in which the page's messages come
    return False


def expect(it: Locator):
    from playwright.sync_api import expect

    return expect(it)


def staged(opened: Opened, server: ServerHandle, stage: Stage, **how) -> Page:
    page = opened(server.url, before=stage, **how)
    expect(page.locator("#state")).to_have_text("Listening")
    return page


def barriers(page: Page) -> list[tuple[str, str]]:
    """Violations that axe finds: the rule, and the first element that breaks it."""
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(page).response["violations"]
    return [(rule["id"], rule["nodes"][0]["html"]) for rule in found]
