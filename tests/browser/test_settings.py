"""The drawer of settings, in step with the server and with other pages."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sttlab.config import Config, TranscribeConfig, VadConfig
from sttlab.engines import make_engine
from sttlab.events import ConfigChanged, Suppressed
from sttlab.live.session import Session
from sttlab.server.launch import ServerHandle, launch_server
from tests.browser.pages import Opened, Stage, barriers, expect, finals, staged
from tests.browser.test_page import BROKEN
from tests.fakes import Counting, wait_until
from tests.plugin import registered
from tests.server.clients import Told, wait_for_capture

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

pytestmark = [pytest.mark.needs("chromium"), pytest.mark.timeout(240)]


def drawer(page: Page) -> Locator:
    page.get_by_role("button", name="Settings").click()
    return page.get_by_role("complementary", name="Settings")


def slider(page: Page, name: str) -> Locator:
    return page.get_by_role("slider", name=name).and_(page.locator(":visible"))


def test_a_slider_acts_on_the_running_session(silent: ServerHandle, opened: Opened) -> None:
    stage = Stage()
    page = staged(opened, silent, stage)
    drawer(page)
    margin = slider(page, "Above the noise")
    expect(margin).to_have_value("6")
    margin.press("ArrowRight")
    stage.wait_heard({"set": {"margin_db": 6.5}})
    slider(page, "Silence timeout").fill("0.9")
    stage.wait_heard({"set": {"silence_timeout_s": 0.9}})
    expect(slider(page, "Silence timeout")).to_have_attribute("aria-valuetext", "0.9 s")

    stage.say(ConfigChanged(time_s=1, config=VadConfig(margin_db=20, silence_timeout_s=2)))
    expect(margin).to_have_value("20")
    expect(slider(page, "Silence timeout")).to_have_value("2")
    page.get_by_role("button", name="Back to the defaults").click()
    stage.wait_until(lambda: stage.heard[-1]["set"].get("margin_db") == 6)


def test_settings_of_two_pages_and_the_notebook_stay_in_sync(opened: Opened) -> None:
    source = Told()
    session = Session(source, vad=VadConfig(threshold_dbfs=-40), model=Counting())
    with launch_server(session, port=0) as server:
        one, two = opened(server.url), opened(server.url)
        wait_for_capture(source)
        for page in (one, two):
            drawer(page)
        slider(one, "Threshold").fill("-55")
        expect(slider(two, "Threshold")).to_have_value("-55")
        assert session.config.threshold_dbfs == -55
        session.update(silence_timeout_s=1.5)  # as a notebook does
        source.say()
        for page in (one, two):
            expect(slider(page, "Silence timeout")).to_have_value("1.5")
            expect(page.get_by_role("meter")).to_have_attribute(
                "aria-valuetext", re.compile("threshold -55 dBFS")
            )
            page.close()


def test_change_without_a_connection_is_reverted(opened: Opened) -> None:
    opened.allowed = BROKEN
    with launch_server(Session(Told(), model=Counting()), port=0) as server:
        page = opened(server.url)
        expect(page.locator("#state")).to_have_text("Listening")
    expect(page.locator("#state")).to_have_text("Reconnecting")
    settings = drawer(page)
    slider(page, "Silence timeout").fill("2")
    expect(settings.get_by_role("alert")).to_contain_text("no connection")
    expect(slider(page, "Silence timeout")).to_have_value("0.6")


def test_refusal_stands_at_its_field_until_it_is_cured(
    silent: ServerHandle, opened: Opened
) -> None:
    stage = Stage()
    page = staged(opened, silent, stage)
    settings = drawer(page)
    alert, language = settings.get_by_role("alert"), page.get_by_label("Language")
    language.select_option("German")
    stage.wait_heard({"use": {"language": "de"}})
    stage.refuse("tiny.en knows English alone", "use")
    expect(language.locator("xpath=../following-sibling::*[1]")).to_have_text(
        "tiny.en knows English alone"
    )
    expect(language).to_have_attribute("aria-invalid", "true")
    assert barriers(page) == []
    stage.state(problem=None)
    expect(alert).to_be_visible()
    stage.state(using={**stage.hello["using"], "model": "base"})
    expect(alert).to_be_hidden()
    expect(language).not_to_have_attribute("aria-invalid", "true")

    page.get_by_text("More", exact=True).click()
    longest = slider(page, "Longest utterance")
    longest.fill("4")
    stage.wait_heard({"set": {"max_utterance_s": 4}})
    page.get_by_text("More", exact=True).click()
    stage.refuse("max_utterance_s must be longer", "set")
    expect(longest.locator("xpath=../following-sibling::*[1]")).to_have_text(
        "max_utterance_s must be longer"
    )
    expect(longest).to_have_value("28")
    stage.say(ConfigChanged(time_s=1, config=VadConfig(margin_db=20)))
    expect(slider(page, "Above the noise")).to_have_value("20")
    expect(alert).to_be_visible()
    longest.fill("5")
    expect(alert).to_be_hidden()


def test_settings_of_the_page_start_a_server(opened: Opened, tmp_path: Path) -> None:
    session = Session(Told(), model=make_engine(TranscribeConfig(model="tiny.en", words=True)))
    with launch_server(session, port=0) as server:
        page = opened(server.url)
        settings = drawer(page)
        expect(settings).to_contain_text("For everyone on this server")
        slider(page, "Silence timeout").fill("0.9")
        wait_until(lambda: session.config.silence_timeout_s == 0.9)
        with page.expect_download() as waiting:
            page.get_by_role("button", name="Save as a file").click()
        assert waiting.value.suggested_filename == "sttlab.toml"
        waiting.value.save_as(tmp_path / "sttlab.toml")
        page.close()
    saved = Config.load(tmp_path / "sttlab.toml")
    assert saved.vad == VadConfig(silence_timeout_s=0.9)
    assert saved.transcribe == TranscribeConfig(model="tiny.en", words=True)


def test_fixed_threshold_starts_at_the_current_threshold(
    silent: ServerHandle, opened: Opened
) -> None:
    stage = Stage()
    page = staged(opened, silent, stage)
    drawer(page)
    stage.level("listening", -60)
    expect(page.locator("#level")).to_have_text("-60 dBFS")
    page.get_by_label("Follow the noise of the room").uncheck()
    stage.wait_heard({"set": {"threshold_dbfs": -40}})
    stage.say(ConfigChanged(time_s=1, config=VadConfig(threshold_dbfs=-40)))
    expect(slider(page, "Threshold")).to_have_attribute("aria-valuetext", "-40 dBFS")
    page.get_by_label("Follow the noise of the room").check()
    stage.wait_heard({"set": {"threshold_dbfs": None}})
    page.get_by_text("More", exact=True).click()
    page.get_by_label("Detector").select_option("silero")
    stage.wait_heard({"set": {"detector": "silero"}})
    stage.say(ConfigChanged(time_s=1, config=VadConfig(detector="silero")))
    expect(slider(page, "Probability")).to_have_value("0.5")
    expect(page.get_by_label("Follow the noise of the room")).to_be_hidden()


def test_device_model_and_language_are_chosen(silent: ServerHandle, opened: Opened) -> None:
    stage = Stage()
    page = staged(opened, silent, stage)
    drawer(page)
    microphone = page.get_by_label("Microphone", exact=True)
    microphone.select_option("Studio microphone")
    stage.wait_heard({"use": {"device": 5}})
    page.get_by_label("Model", exact=True).select_option("base")
    stage.wait_heard({"use": {"model": "base"}})
    page.get_by_label("Language").select_option("German")
    stage.wait_heard({"use": {"language": "de"}})
    page.get_by_label("Words while they are said").uncheck()
    stage.wait_heard({"use": {"partials": False}})
    using = {"device": 5, "model": "/my/own.pt", "language": "de", "partials": False}
    stage.state(using=using, may_use=["model", "language", "partials"])
    expect(microphone.locator("option")).to_have_text(["a microphone", "My microphone"])
    expect(page.get_by_label("Model", exact=True)).to_have_value("/my/own.pt")


def test_refused_change_is_shown_and_reverted(silent: ServerHandle, opened: Opened) -> None:
    stage = Stage()
    page = staged(opened, silent, stage)
    settings = drawer(page)
    slider(page, "Silence timeout").fill("0.1")
    stage.wait_heard({"set": {"silence_timeout_s": 0.1}})
    stage.refuse("silence_timeout_s must be between 0.5 and 10 s, not 0.1 s")
    expect(settings.get_by_role("alert")).to_contain_text("must be between 0.5 and 10 s")
    expect(slider(page, "Silence timeout")).to_have_value("0.6")


def test_locked_server_hides_shared_settings(silent: ServerHandle, opened: Opened) -> None:
    page = staged(opened, silent, Stage(locked=True, may_use=[]))
    settings = drawer(page)
    expect(settings.get_by_text("locked")).to_be_visible()
    expect(page.get_by_role("slider")).to_have_count(0)
    expect(settings.get_by_role("combobox")).to_have_count(3)  # of this page and its browser
    microphones = page.get_by_label("Microphone", exact=True).locator("option")
    expect(microphones).to_have_text(["a microphone", "My microphone"])
    expect(page.get_by_label("Colours")).to_be_visible()


def test_preferences_apply_and_survive_a_reload(silent: ServerHandle, opened: Opened) -> None:
    stage = Stage()
    page = staged(opened, silent, stage, color_scheme="light")
    drawer(page)
    page.get_by_label("Times").select_option("From the start")
    page.get_by_label("Colours").select_option("Dark")
    page.get_by_label("Show text that was held back").check()
    stage.final(25, "Said.")
    expect(finals(page).locator("time")).to_have_text("1:15")
    stage.say(Suppressed(utterance_id=26, text="you", reason="no speech", start_s=1, end_s=2))
    expect(page.locator(".note")).to_have_text("Held back: “you” (no speech)")
    page.keyboard.press("Escape")
    page.reload()
    expect(finals(page).locator("time")).to_have_text("1:15")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(21, 23, 26)"


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_drawer_has_no_axe_violations_and_returns_the_focus(
    silent: ServerHandle, opened: Opened, theme: str
) -> None:
    stage = Stage()
    page = staged(opened, silent, stage, color_scheme=theme)
    page.get_by_role("button", name="Settings").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Close the settings")).to_be_focused()
    page.get_by_text("More", exact=True).click()
    stage.refuse("no")
    expect(page.locator("#refused")).to_be_visible()
    assert barriers(page) == []
    page.keyboard.press("Escape")
    expect(page.get_by_role("button", name="Settings")).to_be_focused()


def test_a_detector_that_the_page_does_not_know_is_offered(opened: Opened) -> None:
    source = Told()
    session = Session(source, vad=VadConfig(detector="energy"), model=Counting())
    with registered(), launch_server(session, port=0) as server:
        page = opened(server.url)
        wait_for_capture(source)
        drawer(page)
        page.get_by_text("More", exact=True).click()
        page.get_by_label("Detector").select_option("Loudness")
        expect(slider(page, "Probability")).to_have_value("0.5")
        expect(slider(page, "Above the noise")).to_have_count(0)
        expect(page.get_by_label("Follow the noise of the room")).to_be_hidden()
        assert session.config.detector == "loudness"
        source.say()
        expect(page.get_by_role("meter")).to_have_attribute(
            "aria-valuetext", re.compile(r"^\d+ points, threshold 50 points$")
        )
        page.close()
