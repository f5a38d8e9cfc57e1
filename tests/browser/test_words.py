"""Words that the engine is not sure of, and languages that change."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from sttlab.config import TranscribeConfig
from sttlab.engines import make_engine
from sttlab.events import Segment, Transcript, Word
from sttlab.live.session import Session
from sttlab.server.launch import ServerHandle, launch_server
from tests.browser.pages import Opened, Stage, barriers, expect, final, finals, staged
from tests.browser.test_files import drop
from tests.browser.test_page import HEARD_MS
from tests.fakes import Blocks

pytestmark = [pytest.mark.needs("chromium"), pytest.mark.timeout(240)]


def spoken(number: int, text: str, unsure: str = "", language: str = "en") -> Transcript:
    words = tuple(
        Word(start_s=0, end_s=1, text=word, confidence=0.2 if word in unsure.split() else 0.9)
        for word in text.split()
    )
    segment = Segment(start_s=0, end_s=1, text=text, confidence=0.3, words=words)
    made = final(number, text, confidence=0.3)
    return replace(made, segments=(segment,), language=language)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_words_in_doubt_are_marked_until_a_person_corrects_them(
    silent: ServerHandle, opened: Opened, theme: str
) -> None:
    stage = Stage()
    page = staged(opened, silent, stage, color_scheme=theme)
    stage.say(spoken(0, "He was not an old-sposed yung man.", "old-sposed yung"))
    stage.say(spoken(1, "He was right."))
    expect(finals(page)).to_have_count(2)
    doubts = page.locator(".doubt")
    expect(doubts).to_have_text(["old-sposed", "yung"])
    page.get_by_label("Search the transcript").fill("old")
    expect(page.locator(".doubt mark")).to_have_text(["old"])
    page.get_by_label("Search the transcript").press("Escape")
    expect(page.locator("mark")).to_have_count(0)
    expect(doubts).to_have_text(["old-sposed", "yung"])
    assert barriers(page) == []

    line = finals(page).first
    line.locator(".text").dblclick()
    page.keyboard.press("ControlOrMeta+a")
    page.keyboard.type("He was not an ill-disposed yung man.")
    page.keyboard.press("Enter")
    expect(line.locator(".sure")).to_have_text("edited")
    expect(doubts).to_have_text(["yung"])
    page.reload()
    expect(doubts).to_have_text(["yung"])


def test_percentages_are_shown_only_when_asked_for(silent: ServerHandle, opened: Opened) -> None:
    stage = Stage()
    page = staged(opened, silent, stage)
    stage.say(spoken(0, "He was right."))
    expect(finals(page)).to_have_count(1)
    expect(page.locator(".sure")).to_be_hidden()
    page.get_by_role("button", name="Settings").click()
    page.get_by_label("Show how sure the model is").check()
    expect(page.locator(".sure")).to_have_text("30 %")
    expect(page.locator(".sure")).to_be_visible()


def test_language_is_shown_where_it_changes(silent: ServerHandle, opened: Opened) -> None:
    stage = Stage()
    page = staged(opened, silent, stage)
    for number, language in enumerate(["en", "de", "de", "en"]):
        stage.say(spoken(number, f"Line {number}.", language=language))
    expect(finals(page)).to_have_count(4)
    shown = """(lines) => lines.map((line) => getComputedStyle(line, "::before").content)"""
    texts = finals(page).locator(".text")
    assert texts.evaluate_all(shown) == ["none", '"German"', "none", '"English"']
    expect(texts).to_have_text([f"Line {number}." for number in range(4)])
    expect(finals(page).nth(2).locator(".text")).to_have_attribute("lang", "de")
    assert barriers(page) == []


@pytest.mark.needs("whisper")
def test_doubts_of_a_real_engine_reach_the_page(opened: Opened, data: Path) -> None:
    engine = make_engine(TranscribeConfig(model="tiny.en", words=True))
    with launch_server(Session(Blocks(then_wait=True), model=engine), port=0) as server:
        page = opened(server.url)
        drop(page, "pause.flac", (data / "pause.flac").read_bytes())
        expect(page.locator("#job")).to_have_text("Transcribed", timeout=HEARD_MS)
        text = " ".join(finals(page).locator(".text").all_inner_texts())
        marked = page.locator(".doubt").all_inner_texts()
        assert 0 < len(marked) < 0.2 * len(text.split())
        page.close()
