"""A real Chromium on the real server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sttlab.capture import FileSource
from sttlab.config import TranscribeConfig
from sttlab.engines import make_engine
from sttlab.live.session import Session
from sttlab.live.worker import AsrWorker
from sttlab.server.launch import ServerHandle, launch_server
from tests.browser.pages import PATIENCE_MS, Opened
from tests.fakes import Blocks, Counting

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Playwright

LAB_TEST = "--host-resolver-rules=MAP *.test 127.0.0.1"  # looks like another machine


@pytest.fixture(scope="module")
def playwright() -> Iterator[Playwright]:
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=PATIENCE_MS)
    with sync_playwright() as running:
        yield running


@pytest.fixture(scope="module")
def browser(playwright: Playwright, headless: str) -> Iterator[Browser]:
    browser = playwright.chromium.launch(executable_path=headless, args=[LAB_TEST])
    yield browser
    browser.close()


@pytest.fixture
def opened(browser: Browser) -> Iterator[Opened]:
    """Open pages; the test fails if one of them has an error in its console."""
    opened = Opened(browser)
    yield opened
    assert opened.close() == []


@pytest.fixture(scope="module")
def worker() -> Iterator[AsrWorker]:
    """An engine of the real tiny.en, shared by the sessions of a module."""
    with AsrWorker(make_engine(TranscribeConfig(model="tiny.en"))) as worker:
        yield worker


@pytest.fixture
def demo(data: Path, worker: AsrWorker) -> Iterator[ServerHandle]:
    """A server that transcribes a recording of five sentences in place of a microphone."""
    session = Session(FileSource(data / "demo.flac", speed=4), model=worker)
    with launch_server(session, port=0) as server:
        yield server


@pytest.fixture
def silent() -> Iterator[ServerHandle]:
    """A server whose source has no audio."""
    with launch_server(Session(Blocks(then_wait=True), model=Counting()), port=0) as server:
        yield server
