"""What a transcript of thousands of lines costs the page, in a real Chromium.

    python -m tests.benchmarks.bench_page

A real server hears quiet noise, so levels come as they do live, and speech when it is told to.
The lines are put into the browser's storage as version 0.2.0 kept them: the first load moves them.
"""

from __future__ import annotations

import argparse
import json
import statistics
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sttlab.audio import SAMPLE_RATE
from sttlab.bench.report import machine, surroundings
from sttlab.capture.base import Block
from sttlab.config import VadConfig
from sttlab.live.session import Session
from sttlab.server.launch import launch_server
from tests.browser.pages import keep_as_before
from tests.conftest import find_chromium
from tests.fakes import Counting, speech

if TYPE_CHECKING:
    from playwright.sync_api import Page

TARGETS = {"idle_percent": 10, "load_ms": 1500, "line_ms": 50, "search_ms": 300, "undo_ms": 500}
TEXT = "Mr. John Dashwood had then leisure to consider how much there might be in his power"
SPOKEN = 5
PATIENCE_MS = 120_000

# When a final comes, before the page takes it.
WATCH = """(() => {
    window.came = [];
    const Native = WebSocket;
    window.WebSocket = class extends Native {
        constructor(...given) {
            super(...given);
            this.addEventListener("message", ({ data }) => {
                if (/"event": ?"transcript"/.test(data)) came.push(performance.now());
            });
        }
    };
})()"""

# The time at which the page has painted what a condition waits for.
PAINTED = """([condition, patience]) => new Promise((resolve, reject) => {
    setTimeout(() => reject(new Error(`it did not happen: ${condition}`)), patience);
    const holds = new Function(`return ${condition}`);
    const look = () => {
        if (!holds()) return void requestAnimationFrame(look);
        const channel = new MessageChannel();
        channel.port1.onmessage = () => resolve(performance.now());
        requestAnimationFrame(() => channel.port2.postMessage(null));
    };
    look();
})"""

FOUND = "document.querySelector('#found').textContent"
LAST = "document.querySelector('#transcript .final:last-child .text')"


class Room:
    """A source of quiet noise in real time, in which somebody speaks when told to."""

    name = "room"

    def __init__(self) -> None:
        self._noise = np.random.default_rng(0).standard_normal(1600).astype(np.float32) * 1e-3
        self._said: list[np.ndarray] = []
        self._next = 0.0
        self.spoke = 0

    def open(self) -> None:
        self._next = time.monotonic()

    def read(self, timeout_s: float) -> Block:
        samples = self._said.pop(0) if self._said else self._noise
        self._next += len(samples) / SAMPLE_RATE
        threading.Event().wait(max(0, self._next - time.monotonic()))
        return Block(samples)

    def say(self) -> None:
        self.spoke += 1
        self._said.extend(np.array_split(speech(1, seconds=0.5), 9))

    def close(self) -> None:
        pass


def painted(page: Page, condition: str) -> float:
    """Wait until a condition holds, and give the page's time in ms at which it was painted."""
    return float(page.evaluate(PAINTED, [condition, PATIENCE_MS]))


def acted(page: Page, action: str, condition: str) -> float:
    """Time in ms from an action to the paint of what it leads to."""
    script = f"(() => {{ const now = performance.now(); {action}; return now; }})()"
    began = float(page.evaluate(script))
    return painted(page, condition) - began


def busy_percent(page: Page, seconds: float) -> float:
    """CPU time of the page's main thread, by the time that passes."""
    devtools = page.context.new_cdp_session(page)
    devtools.send("Performance.enable", {"timeDomain": "threadTicks"})

    def spent_s() -> float:
        metrics = devtools.send("Performance.getMetrics")["metrics"]
        return next(float(m["value"]) for m in metrics if m["name"] == "TaskDuration")

    before, began = spent_s(), time.monotonic()
    page.wait_for_timeout(1000 * seconds)
    busy = 100 * (spent_s() - before) / (time.monotonic() - began)
    devtools.detach()
    return busy


def lines(page: Page, room: Room, times: int) -> list[float]:
    """Times in ms from the message of a final to its paint."""
    took = []
    for number in range(1, times + 1):
        page.evaluate("came.length = 0")
        room.say()
        shown = painted(page, f"{LAST}?.textContent === 'new {number}'")
        took.append(shown - float(page.evaluate("came[0]")))
    return took


class Numbering(Counting):
    """An engine whose text says how often somebody spoke."""

    def __init__(self, room: Room) -> None:
        super().__init__()
        self._room = room

    def transcribe(self, *given: Any, **options: Any) -> Any:
        self.text = f"new {self._room.spoke}"
        return super().transcribe(*given, **options)


def measure(page: Page, url: str, room: Room, count: int, idle_s: float) -> dict[str, float]:
    """Measure a page with `count` lines."""
    found: dict[str, float] = {}
    keep_as_before(page, url, count, TEXT)
    is_last = f"{LAST}?.textContent.endsWith(' {count - 1}.')"
    for name in ("first_load_ms", "load_ms"):
        page.goto(url, wait_until="commit")
        found[name] = painted(page, is_last)
    painted(page, "document.querySelector('#state').textContent === 'Listening'")
    found["idle_percent"] = busy_percent(page, idle_s)
    found["line_ms"] = statistics.median(lines(page, room, SPOKEN))
    total = count + SPOKEN
    query = f"power {count // 2}."
    found["search_ms"] = acted(page, typed("consider"), f"{FOUND} === '{count} of {total}'")
    found["search_rare_ms"] = acted(page, typed(query), f"{FOUND} === '1 of {total}'")
    newest = f"{LAST}?.textContent === 'new {SPOKEN}'"
    found["search_end_ms"] = acted(page, typed(""), f"{FOUND} === '' && {newest}")
    is_empty = "!document.querySelector('#transcript .final')"
    found["clear_ms"] = acted(page, "document.querySelector('#clear').click()", is_empty)
    undo = "document.querySelector('#toast .undo').click()"
    found["undo_ms"] = acted(page, undo, newest)
    return found


def typed(query: str) -> str:
    """Script that types a query into the search at once."""
    search = "document.querySelector('#search')"
    return f"{search}.value = {query!r}; {search}.dispatchEvent(new Event('input'))"


def main() -> None:
    """Print what was measured, and write it as JSON."""
    from playwright.sync_api import sync_playwright

    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--lines", type=int, default=10_000)
    parser.add_argument("--idle-s", type=float, default=15)
    parser.add_argument("--output", type=Path, default=Path("bench-results"))
    options = parser.parse_args()
    before = surroundings()
    room = Room()
    vad = VadConfig(threshold_dbfs=-40, silence_timeout_s=0.2)
    session = Session(room, vad=vad, model=Numbering(room))
    with launch_server(session, port=0) as server, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_chromium())
        page = browser.new_page()
        page.set_default_timeout(PATIENCE_MS)
        page.add_init_script(WATCH)
        found = measure(page, server.url, room, options.lines, options.idle_s)
        about: dict[str, Any] = {"chromium": browser.version, "lines": options.lines}
        browser.close()
    about |= {"before": before, "after": surroundings()}
    print(machine(before, about["after"]))
    for name, value in found.items():
        target = f"  (target {TARGETS[name]})" if name in TARGETS else ""
        print(f"{name:16} {value:8.1f}{target}")
    options.output.mkdir(parents=True, exist_ok=True)
    path = options.output / "page.json"
    path.write_text(json.dumps({**about, **found}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
