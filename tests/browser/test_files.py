"""Recordings on the page: dropped, sent, transcribed, listened to, taken along."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sttlab.audio import wav_bytes
from sttlab.decoding import load
from sttlab.live.session import Session
from sttlab.live.worker import AsrWorker
from sttlab.server import decode
from sttlab.server import files as server_files
from sttlab.server.launch import ServerHandle, launch_server
from tests.browser.pages import Opened, barriers, comes_true, expect, finals
from tests.browser.test_page import HEARD_MS, MARKUP, PHONE, download
from tests.fakes import Blocks, Counting, speech
from tests.server.clients import VAD, decoders, wait_until_not

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = [pytest.mark.needs("chromium"), pytest.mark.timeout(240)]

LONG = wav_bytes(speech(60))
DRAG = """([name, type, data]) => {
    const bytes = Uint8Array.from(atob(data), (c) => c.charCodeAt(0));
    const transfer = new DataTransfer();
    transfer.items.add(new File([bytes], name, { type, lastModified: 1 }));
    window.drag = (kind) => {
        const how = { bubbles: true, cancelable: true, dataTransfer: transfer };
        document.querySelector("main").dispatchEvent(new DragEvent(kind, how));
        return !document.querySelector("#drop").hidden;
    };
}"""


def drop(page: Page, name: str, data: bytes, kind: str = "audio/wav") -> None:
    """Drag a file over the page until it offers to take it, as a person does, and let go."""
    page.evaluate(DRAG, [name, kind, base64.b64encode(data).decode()])
    assert comes_true(page, lambda: page.evaluate("drag('dragover')"))
    assert not page.evaluate("drag('drop')")


@pytest.fixture
def engine() -> Counting:
    return Counting()


@pytest.fixture
def reading(engine: Counting) -> Iterator[ServerHandle]:
    session = Session(Blocks(then_wait=True), vad=VAD, model=engine)
    with launch_server(session, port=0) as server:
        yield server


@pytest.mark.needs("whisper")
def test_a_recording_dropped_on_the_page_becomes_text_that_plays(
    worker: AsrWorker, opened: Opened, data: Path, tmp_path: Path
) -> None:
    flac = (data / "austen-5.flac").read_bytes()
    with launch_server(Session(Blocks(then_wait=True), model=worker), port=0) as server:
        page = opened(server.url)
        drop(page, "austen 5.flac", flac, "audio/flac")
        expect(page.locator("#job")).to_have_text("Transcribed", timeout=HEARD_MS)
        expect(finals(page).last).to_contain_text("amiable himself")
        expect(page.locator("#state")).to_be_hidden()

        srt, made = (download(page, end, tmp_path, "austen 5") for end in ("srt", "json"))
        about = json.loads(made)
        assert about["file"] == "austen 5.flac"
        assert about["duration_s"] == load(data / "austen-5.flac").duration_s
        assert "amiable himself" in about["segments"][-1]["text"]
        assert srt.startswith("1\n00:00:0")

        finals(page).first.get_by_role("button", name=re.compile(r"^\d:\d\d$")).click()
        expect(page.locator("li.heard")).to_have_count(1)

        page.reload()
        page.get_by_role("button", name="austen 5.flac", exact=True).click()
        expect(finals(page).last).to_contain_text("amiable himself")
        expect(page.locator("#mute")).to_have_text("Drop the file here again to listen to it.")
        drop(page, "austen 5.flac", flac, "audio/flac")
        expect(page.locator("audio")).to_be_visible()
        expect(page.locator("#job")).to_have_text("Transcribed")


def test_progress_is_shown_and_a_recording_can_be_cancelled(
    reading: ServerHandle, engine: Counting, opened: Opened
) -> None:
    page = opened(reading.url)
    engine.go.clear()
    drop(page, "long.wav", LONG)
    expect(page.locator("#job")).to_have_text("Transcribing")
    expect(page.locator("#far")).to_have_text("0:00 of 0:48")
    drop(page, "second.wav", LONG[:100_000])
    expect(page.locator("#job")).to_have_text("Waiting for its turn")
    page.get_by_role("button", name="long.wav", exact=True).click()
    page.get_by_role("button", name="Cancel").click()
    expect(page.locator("#job")).to_have_text("Not transcribed")
    expect(page.locator("#fault")).to_have_text("It was cancelled.")
    page.get_by_role("button", name="Try again").click()
    expect(page.locator("#job")).to_have_text("Waiting for its turn")
    engine.go.set()
    expect(page.locator("#job")).to_have_text("Transcribed")
    expect(finals(page).first).to_have_attribute("aria-setsize", "60")
    page.get_by_role("button", name="second.wav", exact=True).click()
    expect(page.locator("#job")).to_have_text("Transcribed")
    expect(page.locator("#far")).to_have_text("0:03")
    wait_until_not(lambda: decoders(decode))


def test_file_that_fails_shows_the_reason(
    reading: ServerHandle, opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened.allowed = "422|503"
    page = opened(reading.url)
    drop(page, f"{MARKUP}.txt", b"no sound at all", "text/plain")
    expect(page.locator("#fault")).to_contain_text("not an audio file that can be decoded")
    expect(page.locator("[aria-current]")).to_have_text(f"{MARKUP}.txt")
    monkeypatch.setattr(server_files, "MAX_FILES", 0)
    drop(page, "talk.wav", LONG)
    expect(page.locator("#fault")).to_contain_text("try again later")
    monkeypatch.setattr(server_files, "MAX_FILES", 1)
    drop(page, "talk.wav", LONG)
    expect(page.locator("#job")).to_have_text("Transcribed")
    expect(finals(page).first).to_have_attribute("aria-setsize", "60")


def test_dropped_folder_is_refused_with_advice(
    reading: ServerHandle, opened: Opened, tmp_path: Path
) -> None:
    (tmp_path / "talks").mkdir()
    (tmp_path / "talk.wav").write_bytes(LONG)
    page = opened(reading.url)
    expect(page.locator("#state")).to_have_text("Listening")
    dropped = [str(tmp_path / name) for name in ("talks", "talk.wav")]
    data = {"items": [], "files": dropped, "dragOperationsMask": 1}
    devtools = page.context.new_cdp_session(page)
    for kind in ("dragEnter", "dragOver", "drop"):
        how = {"type": kind, "x": 200, "y": 200, "data": data}
        devtools.send("Input.dispatchDragEvent", how)
    expect(page.locator("#toast")).to_contain_text("drop the recordings that are in it")
    expect(page.locator(".tab")).to_have_count(2)
    expect(page.locator("#job")).to_have_text("Transcribed")


def test_a_file_that_is_too_large_is_not_sent(reading: ServerHandle, opened: Opened) -> None:
    page = opened(reading.url)
    sent: list[str] = []
    page.on("request", lambda request: sent.append(request.method))
    expect(page.locator("#state")).to_have_text("Listening")
    problem = page.evaluate(
        """async () => {
            const { Files } = await import("./files.js");
            const store = { write: async () => {} };
            const files = new Files(store, "test", "files", () => {});
            files.maxBytes = 1 << 20;
            return files.add(new File([new Uint8Array(2 << 20)], "big.wav")).problem;
        }"""
    )
    assert problem == "A file may have 1 MiB at most: cut it, or compress it."
    assert "POST" not in sent


def test_recording_cut_short_by_a_reload_can_be_dropped_again(
    reading: ServerHandle, engine: Counting, opened: Opened
) -> None:
    page = opened(reading.url)
    engine.go.clear()
    drop(page, "long.wav", LONG)
    expect(page.locator("#job")).to_have_text("Transcribing")
    assert comes_true(page, lambda: engine.taken.acquire(blocking=False))
    page.reload()
    engine.go.set()
    assert comes_true(page, lambda: not decoders(decode))
    page.get_by_role("button", name="long.wav", exact=True).click()
    expect(page.locator("#fault")).to_have_text("It was cut short: drop the file here again.")
    drop(page, "long.wav", LONG)
    expect(page.locator("#job")).to_have_text("Transcribed")
    expect(finals(page).first).to_have_attribute("aria-setsize", "60")


def test_a_recording_is_closed_and_brought_back_by_keyboard(
    reading: ServerHandle, opened: Opened
) -> None:
    page = opened(reading.url, viewport=PHONE)
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name="Open").press("Enter")
    chooser.value.set_files({"name": "talk.wav", "mimeType": "audio/wav", "buffer": LONG})
    expect(page.locator("#job")).to_have_text("Transcribed")
    finals(page).nth(1).focus()
    page.keyboard.press("Space")
    expect(finals(page).nth(1)).to_have_class(re.compile("heard"))
    assert page.evaluate("document.querySelector('audio').currentTime") > 0.5
    assert barriers(page) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    page.get_by_role("button", name="Close talk.wav").press("Enter")
    expect(page.locator("#tabs")).to_be_hidden()
    expect(page.locator("#state")).to_be_visible()
    page.keyboard.press("ControlOrMeta+z")
    expect(finals(page).first).to_have_attribute("aria-setsize", "60")
    expect(page.locator("#toast span")).to_have_text("Brought back talk.wav.")
    page.reload()
    expect(page.get_by_role("button", name="talk.wav", exact=True)).to_be_visible()


def test_two_pages_of_one_browser_keep_the_same_recordings(
    reading: ServerHandle, opened: Opened
) -> None:
    first = opened(reading.url)
    second = opened.beside(first.context, reading.url)
    drop(first, "talk.wav", LONG)
    expect(first.locator("#job")).to_have_text("Transcribed")
    second.get_by_role("button", name="talk.wav", exact=True).click()
    expect(finals(second).first).to_have_attribute("aria-setsize", "60")
    expect(second.locator("#job")).to_have_text("Transcribed")
    first.get_by_role("button", name="Close talk.wav").click()
    expect(second.locator("#tabs")).to_be_hidden()
    expect(finals(second)).to_have_count(0)
