"""Who speaks, on the page: names, corrections, and what a person says about them."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from sttlab.events import SpeakerNames, SpeakersFound, SpeakerTurn
from sttlab.server.launch import ServerHandle
from tests.browser.pages import Opened, Stage, barriers, expect, final, finals, staged
from tests.browser.test_page import download

pytestmark = [pytest.mark.needs("chromium"), pytest.mark.timeout(240)]


def turns(*speakers: str, start_s: float = 0.0) -> tuple[SpeakerTurn, ...]:
    return tuple(
        SpeakerTurn(start_s=start_s + i, end_s=start_s + i + 1, speaker=speaker)
        for i, speaker in enumerate(speakers)
    )


def test_lines_show_who_speaks_and_a_person_names_them(
    silent: ServerHandle, opened: Opened, tmp_path: Path
) -> None:
    stage = Stage()
    page = staged(opened, silent, stage)
    stage.say(replace(final(0, "Shall we begin?"), speakers=turns("Speaker 1")))
    stage.final(1, "Yes. Let us begin.")
    who = page.locator("#transcript .who")
    expect(who).to_have_text(["Speaker 1"])
    late = turns("Speaker 2", "Speaker 1", start_s=3.0)
    stage.say(SpeakersFound(utterance_id=1, turns=late, revised=False))
    expect(finals(page).nth(1).locator(".who button")).to_have_text(["Speaker 2", "Speaker 1"])
    assert barriers(page) == []

    finals(page).nth(1).get_by_role("button", name="Speaker 1").click()
    asked = page.get_by_role("dialog", name="Who is Speaker 1?")
    assert barriers(page) == []
    page.screenshot(path=tmp_path / "who.png")
    asked.get_by_label("Name").fill("Anna <b>")
    asked.get_by_label("Name").press("Enter")
    request: dict[str, object] = {"speaker": {"rename": "Speaker 1", "to": "Anna <b>"}}
    stage.wait_heard(request)
    stage.say(SpeakerNames(names={"Speaker 1": "Anna <b>"}, merged={}))
    expect(who.first).to_have_text("Anna <b>")
    page.screenshot(path=tmp_path / "speakers.png")
    finals(page).nth(1).get_by_role("button", name="Speaker 2").click()
    asked = page.get_by_role("dialog", name="Who is Speaker 2?")
    asked.get_by_label("Name").fill("Anna <b>")
    asked.get_by_role("button", name="Save").click()
    request = {"speaker": {"merge": "Speaker 2", "into": "Speaker 1"}}
    stage.wait_heard(request)

    finals(page).nth(1).get_by_role("button", name="Speaker 2").click()
    asked.get_by_role("button", name="Somebody else says this line").click()
    stage.wait_heard({"speaker": {"split": 1}})

    finals(page).nth(1).get_by_role("button", name="Speaker 2").click()
    asked.get_by_role("button", name="Show only their lines").click()
    expect(page.locator("#found")).to_have_text("1 of 2")
    expect(finals(page)).to_have_text([re.compile("Yes. Let us begin")])
    assert barriers(page) == []
    page.screenshot(path=tmp_path / "only.png")
    page.get_by_role("button", name="Only Speaker 2").click()
    expect(finals(page)).to_have_count(2)

    page.get_by_label("Search the transcript").fill("Speaker 2")
    expect(page.locator("#found")).to_have_text("1 of 2")
    page.get_by_label("Search the transcript").press("Escape")
    page.reload()
    expect(who.first).to_have_text("Anna <b>")
    assert "<v Anna &lt;b&gt;>Shall we begin?" in download(page, "vtt", tmp_path)
