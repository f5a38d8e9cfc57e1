"""The page on a phone, under a finger."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from sttlab.server.launch import ServerHandle
from tests.browser.pages import Opened, Stage, expect, finals, staged
from tests.browser.test_page import AT_REST

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = [pytest.mark.needs("chromium"), pytest.mark.timeout(240)]

PHONE: dict[str, Any] = {
    "viewport": {"width": 360, "height": 740},
    "is_mobile": True,
    "has_touch": True,
    "device_scale_factor": 2,
}
TOP = "(line) => Math.round(line.getBoundingClientRect().top)"
TOO_SMALL = """() => [...document.querySelectorAll("button, select, summary, input, label.check")]
    .filter((e) => e.checkVisibility({ opacityProperty: true }) && !e.closest(".check > *"))
    .map((e) => [e.id || e.className || e.textContent, e.getBoundingClientRect()])
    .filter(([, { width, height }]) => Math.min(width, height) < 44)
    .map(([name, { width, height }]) => `${name}: ${width} x ${height}`)"""


def tap(page: Page, selector: str) -> None:
    """Tap as a finger does: Playwright's own tap may scroll first."""
    box = page.locator(selector).bounding_box()
    assert box is not None
    page.touchscreen.tap(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)


def test_settings_keep_the_reading_place_on_a_phone(silent: ServerHandle, opened: Opened) -> None:
    stage = Stage()
    page = staged(opened, silent, stage, **PHONE)
    for number in range(60):
        stage.final(number, f"Line {number}, which is long enough to need a second line.")
    expect(finals(page).last).to_be_in_viewport()
    page.evaluate("scrollTo(0, 1500)")
    page.evaluate(AT_REST)
    line = page.evaluate_handle("document.elementFromPoint(180, 300).closest('li')").as_element()
    assert line is not None
    top = line.evaluate(TOP)
    tap(page, "#open-settings")
    expect(page.locator("#close-settings")).to_be_focused()
    page.evaluate(AT_REST)
    assert line.evaluate(TOP) == top
    tap(page, "#close-settings")
    expect(page.locator("#open-settings")).to_be_focused()
    page.evaluate(AT_REST)
    assert line.evaluate(TOP) == top


def test_touch_targets_have_44_px(silent: ServerHandle, opened: Opened) -> None:
    stage = Stage()
    page = staged(opened, silent, stage, **PHONE)
    assert page.evaluate(TOO_SMALL) == []
    stage.final(0, "One.")
    stage.state(capturing=False, problem="there is no microphone: plug one in")
    expect(page.locator("#problem")).to_be_visible()
    finals(page).tap()
    page.locator("#download").tap()
    assert page.evaluate(TOO_SMALL) == []
    page.keyboard.press("Escape")
    page.locator("#open-settings").tap()
    page.locator("#settings summary").tap()
    assert page.evaluate(TOO_SMALL) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
