"""Large captions, and the keys."""

from __future__ import annotations

import pytest

from sttlab.events import DeviceLost, Partial
from sttlab.server.launch import ServerHandle
from tests.browser.pages import Opened, Stage, barriers, comes_true, expect, staged

pytestmark = [pytest.mark.needs("chromium"), pytest.mark.timeout(240)]


def test_captions_show_the_last_lines_large_until_escape(
    silent: ServerHandle, opened: Opened
) -> None:
    stage = Stage()
    page = staged(opened, silent, stage, color_scheme="light")
    page.keyboard.press("c")
    captions = page.get_by_role("dialog", name="Captions")
    expect(captions).to_be_visible()
    for number in range(20):
        stage.final(number, f"Line {number}, which fills a good part of the screen's width.")
    stage.say(Partial(utterance_id=20, text="And it goes on", stable="And"))
    lines = captions.locator("li")
    expect(lines.last).to_have_text("And it goes on")
    expect(lines.last).to_be_in_viewport(ratio=1)
    expect(lines.first).not_to_be_in_viewport()
    assert lines.last.evaluate("(e) => parseFloat(getComputedStyle(e).fontSize)") >= 48
    expect(captions).to_have_css("background-color", "rgb(0, 0, 0)")
    stage.say(DeviceLost(device="USB microphone", message="unplugged"))
    expect(captions.locator(".state")).to_have_text("No sound")
    assert barriers(page) == []
    page.keyboard.press("Escape")
    expect(captions).to_be_hidden()
    # Full screen ends a moment later.
    assert comes_true(page, lambda: page.evaluate("document.fullscreenElement === null"))
    stage.final(20, "And it goes on.")
    expect(page.locator("#transcript .final").last).to_contain_text("And it goes on.")


def test_a_question_mark_shows_the_keys(silent: ServerHandle, opened: Opened) -> None:
    stage = Stage()
    page = staged(opened, silent, stage)
    stage.final(0, "Something to search.")
    expect(page.get_by_label("Search the transcript")).to_be_enabled()
    page.keyboard.press("?")
    keys = page.get_by_role("dialog", name="Keys")
    expect(keys).to_contain_text("Large captions")
    assert barriers(page) == []
    page.keyboard.press("c")
    expect(page.get_by_role("dialog", name="Captions")).to_be_hidden()
    page.keyboard.press("Escape")
    expect(keys).to_be_hidden()
    page.keyboard.press("/")
    page.keyboard.type("c?")
    expect(page.get_by_label("Search the transcript")).to_have_value("c?")
    page.get_by_role("button", name="Settings").click()
    page.get_by_role("button", name="Keys").click()
    page.get_by_role("button", name="Close the keys").click()
    expect(keys).to_be_hidden()
