"""The meter: its threshold can be moved, and cut utterances are marked on it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from sttlab.config import VadConfig
from sttlab.events import ConfigChanged, EndReason, Level
from sttlab.server.launch import ServerHandle
from sttlab.server.protocol import UtteranceEnded
from tests.browser.pages import Opened, Stage, barriers, comes_true, expect, staged
from tests.browser.test_phone import PHONE

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

pytestmark = [pytest.mark.needs("chromium"), pytest.mark.timeout(240)]


def threshold(page: Page) -> Locator:
    return page.get_by_role("slider", name="Level where speech begins")


def middle(page: Page) -> tuple[float, float]:
    box = threshold(page).bounding_box()
    assert box is not None
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def test_threshold_is_dragged_with_the_mouse(silent: ServerHandle, opened: Opened) -> None:
    stage = Stage()
    page = staged(opened, silent, stage)
    expect(threshold(page)).to_be_hidden()  # it follows the noise, and no level came yet
    stage.level("listening", -60)
    expect(threshold(page)).to_have_attribute("aria-valuetext", "-40 dBFS")
    assert barriers(page) == []
    x, y = middle(page)
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x, y - 10, steps=4)
    page.mouse.up()
    # 80 px are 65 dB of the scale and 16 px beside it.
    margin_db = pytest.approx(VadConfig().margin_db + 10 * 65 / 64, abs=0.5)
    stage.wait_until(lambda: bool(stage.heard) and stage.heard[-1]["set"]["margin_db"] == margin_db)
    last = stage.heard[-1]["set"]["margin_db"]
    expect(threshold(page)).to_have_attribute("aria-valuetext", "-30 dBFS")
    stage.say(ConfigChanged(time_s=1, config=VadConfig(margin_db=last)))
    stage.say(Level(time_s=2, level_dbfs=-60, score=-60, threshold=last - 48, state="listening"))
    expect(threshold(page)).to_have_attribute("aria-valuetext", f"{round(last - 48)} dBFS")
    stage.hello |= {"locked": True}
    page.reload()
    expect(page.locator("#state")).to_have_text("Listening")
    stage.level("listening", -60)
    expect(page.locator("#level")).to_have_text("-60 dBFS")
    expect(threshold(page)).to_be_hidden()


def test_threshold_is_moved_with_the_keyboard(silent: ServerHandle, opened: Opened) -> None:
    stage = Stage(config={**Stage().hello["config"], "threshold_dbfs": -40.0})
    page = staged(opened, silent, stage)
    stage.level("listening", -60)
    threshold(page).focus()
    page.keyboard.press("ArrowUp")
    page.keyboard.press("ArrowUp")
    stage.wait_heard({"set": {"threshold_dbfs": -39}})
    page.keyboard.press("PageDown")
    stage.wait_heard({"set": {"threshold_dbfs": -44}})
    page.keyboard.press("End")
    stage.wait_heard({"set": {"threshold_dbfs": -10}})
    expect(threshold(page)).to_have_attribute("aria-valuenow", "-10")
    expect(threshold(page)).to_be_focused()


def test_threshold_is_dragged_with_a_finger(silent: ServerHandle, opened: Opened) -> None:
    stage = Stage(config={**Stage().hello["config"], "threshold_dbfs": -40.0})
    page = staged(opened, silent, stage, **PHONE)
    stage.level("listening", -60)
    expect(threshold(page)).to_be_visible()
    x, y = middle(page)
    finger = page.context.new_cdp_session(page)
    for kind, points in (
        ("touchStart", [{"x": x, "y": y}]),
        ("touchMove", [{"x": x, "y": y + 6}]),
        ("touchMove", [{"x": x, "y": y + 12}]),
        ("touchEnd", []),
    ):
        finger.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
    stage.wait_until(lambda: bool(stage.heard) and stage.heard[-1]["set"]["threshold_dbfs"] < -54)
    assert page.evaluate("scrollY") == 0


def test_an_utterance_that_was_too_long_is_marked_as_cut(
    silent: ServerHandle, opened: Opened
) -> None:
    stage = Stage()
    page = staged(opened, silent, stage)
    meter = page.get_by_role("meter")
    times = iter(range(1, 1000))

    def told() -> str:
        for _ in range(3):
            stage.say(
                Level(time_s=next(times), level_dbfs=-30, score=-30, threshold=-40, state="speech")
            )
        return meter.get_attribute("aria-valuetext") or ""

    def end(reason: EndReason) -> None:
        at = float(next(times))
        stage.say(
            UtteranceEnded(utterance_id=0, start_s=at - 1, end_s=at, level_dbfs=-30, reason=reason)
        )

    end("silence")
    assert comes_true(page, lambda: re.search("threshold -40", told()))
    assert "cut" not in told()
    end("longest")
    assert comes_true(page, lambda: "an utterance was cut" in told())
