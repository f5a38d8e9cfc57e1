"""An empty page: what it says, and three ways to start."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from sttlab.capture import Microphone
from sttlab.live.session import Session
from sttlab.live.worker import AsrWorker
from sttlab.server.launch import ServerHandle, launch_server
from tests.browser.pages import Opened, Stage, barriers, expect, finals, staged
from tests.browser.test_page import HEARD_MS
from tests.fakes import Blocks, Counting
from tests.pulse import pulse

pytestmark = [pytest.mark.needs("chromium"), pytest.mark.timeout(240)]

SPEAK = "Speak, and your words appear here."


def test_words_are_promised_only_while_a_microphone_is_heard(
    silent: ServerHandle, opened: Opened
) -> None:
    stage = Stage()
    page = staged(opened, silent, stage)
    promise, starts = page.get_by_text(SPEAK), page.locator("#starts button")
    expect(promise).to_be_visible()
    expect(starts).to_have_count(3)
    stage.state(capturing=False, problem="there is no microphone: plug one in")
    expect(page.locator("#state")).to_have_text("No microphone")
    expect(promise).to_be_hidden()
    expect(starts.first).to_be_visible()
    assert barriers(page) == []
    stage.state(capturing=False, problem=None, busy="starting the microphone")
    expect(page.locator("#state")).to_have_text("Starting the microphone")
    expect(promise).to_be_hidden()
    stage.state(capturing=True, busy=None)
    expect(promise).to_be_visible()
    stage.final(0, "Now there is text.")
    expect(starts.first).to_be_hidden()


@pytest.mark.needs("whisper")
def test_the_sample_is_transcribed_and_shown_again_when_asked_twice(
    worker: AsrWorker, opened: Opened
) -> None:
    with launch_server(Session(Blocks(then_wait=True), model=worker), port=0) as server:
        page = opened(server.url)
        page.get_by_role("button", name="Try a sample").click()
        expect(page.locator("#job")).to_have_text("Transcribed", timeout=HEARD_MS)
        expect(finals(page).first).to_contain_text("John Dashwood had then leisure to consider")
        assert page.locator("#player audio").evaluate("(audio) => audio.src").startswith("blob:")
        page.get_by_role("button", name="Live").click()
        page.get_by_role("button", name="Try a sample").click()
        expect(page.locator("#tabs .tab")).to_have_count(2)
        expect(finals(page).first).to_be_visible()
        page.close()


def test_a_recording_is_chosen_from_the_empty_page(
    silent: ServerHandle, opened: Opened, data: Path
) -> None:
    page = opened(silent.url)
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name="Choose a recording").click()
    chooser.value.set_files(data / "austen-2.flac")
    expect(page.locator("#job")).to_have_text("Transcribed")
    expect(page.locator("#tabs [aria-current]")).to_have_text(re.compile("austen-2"))


@pytest.mark.needs("microphone")
def test_the_page_says_that_a_microphone_starts_until_its_first_audio(opened: Opened) -> None:
    watch = """window.said = [];
        new MutationObserver(() => said.push(document.querySelector("#state")?.textContent))
            .observe(document, { subtree: true, childList: true, characterData: true });"""
    with pulse(), launch_server(Session(Microphone(), model=Counting()), port=0) as server:
        page = opened()
        page.add_init_script(watch)
        page.goto(server.url)
        expect(page.locator("#state")).to_have_text("Listening")
        expect(page.get_by_text(SPEAK)).to_be_visible()
        said = page.evaluate("said.filter((text, i) => text && text !== said[i - 1])")
        assert said[-2:] == ["Starting the microphone", "Listening"]
        assert "Listening" not in said[:-1]
        page.close()
