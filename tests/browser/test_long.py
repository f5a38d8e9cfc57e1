"""A page with ten thousand lines: few are in the document, and people notice nothing of it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sttlab.server.launch import ServerHandle
from tests.browser.pages import (
    Opened,
    Stage,
    barriers,
    comes_true,
    expect,
    finals,
    keep_as_before,
)
from tests.browser.test_page import AT_REST, DEAF, STORED, download

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = [pytest.mark.needs("chromium"), pytest.mark.timeout(240)]

COUNT = 10_000
MOST = 120  # lines in the document, while no more are needed
TEXT = "It is line"
LINES = [f"{TEXT} {i}." * (1 if i % 7 else 3) for i in range(COUNT)]

# Numbers of the lines of which anything is in sight, and the part of the list in sight they cover.
IN_SIGHT = """() => {
    const [header, list, footer] = ["header", "#transcript", "footer"].map((name) =>
        document.querySelector(name).getBoundingClientRect());
    const top = Math.max(header.bottom, list.top);
    const bottom = Math.min(footer.top, list.bottom);
    const lines = [...document.querySelectorAll("#transcript .final")].map((line) => {
        const box = line.getBoundingClientRect();
        return { number: Number(line.dataset.key.split(":")[1]), box };
    }).filter(({ box }) => box.bottom > top && box.top < bottom);
    const covered = lines.reduce((sum, { box }) =>
        sum + Math.min(box.bottom, bottom) - Math.max(box.top, top), 0);
    return [lines.map(({ number }) => number), covered / (bottom - top)];
}"""

# Remove the last line, change the one before it, and leave the page at once.
CHANGE_AND_LEAVE = """() => {
    const last = (selector) => document.querySelector(`#transcript .final:last-child ${selector}`);
    last("[data-act=remove]").click();
    last(".text").dispatchEvent(new MouseEvent("dblclick", { bubbles: true }));
    last("textarea").value = "Better.";
    last("textarea").dispatchEvent(new KeyboardEvent("keydown", { key: "Enter" }));
    location.reload();
}"""


def long(opened: Opened, server: ServerHandle, stage: Stage, **how) -> Page:
    """Open a page whose browser keeps ten thousand lines."""
    page = opened(**how)
    keep_as_before(page, server.url, COUNT, TEXT)
    stage(page)
    page.goto(server.url)
    expect(finals(page).last).to_have_text(re.compile(f" {COUNT - 1}\\."))
    expect(page.locator("#state")).to_have_text("Listening")
    return page


def in_sight(page: Page) -> list[int]:
    """Numbers of the lines in sight, which are in order and leave no gap."""
    numbers, part = page.evaluate(IN_SIGHT)
    assert part > 0.99
    assert numbers == list(range(numbers[0], numbers[-1] + 1))
    return numbers


def test_lines_of_an_older_version_move_and_nothing_is_lost(
    silent: ServerHandle, opened: Opened, tmp_path: Path
) -> None:
    stage = Stage()
    page = long(opened, silent, stage)
    assert stage.asked["stream"] == ["old"]
    assert page.evaluate("Object.keys(localStorage)") == []
    expect(finals(page).last).to_be_in_viewport()
    assert finals(page).count() < MOST
    stage.final(0, "And a new one.")
    expect(finals(page).last).to_have_text(re.compile("And a new one."))
    expect(finals(page).last).to_be_in_viewport()
    assert comes_true(page, lambda: len(page.evaluate(STORED)) == COUNT + 1)
    page.reload()
    expect(finals(page).last).to_be_in_viewport()
    assert download(page, "txt", tmp_path).splitlines() == [*LINES, "And a new one."]
    assert len(page.evaluate(STORED)) == COUNT + 1


def test_lines_in_sight_are_whole_and_in_order_wherever_one_scrolls(
    silent: ServerHandle, opened: Opened
) -> None:
    page = long(opened, silent, Stage(), viewport={"width": 390, "height": 844})
    assert in_sight(page)[-1] == COUNT - 1
    page.mouse.move(200, 400)
    before = in_sight(page)
    for _ in range(10):
        page.mouse.wheel(0, -500)  # less than the list's part of the screen
        page.evaluate(AT_REST)
        now = in_sight(page)
        assert now[0] < before[0] <= now[-1] + 1  # none is left out
        before = now
    for part in (0.5, 0.25, 0.75):
        page.evaluate(f"scrollTo(0, {part} * document.documentElement.scrollHeight)")
        page.evaluate(AT_REST)
        assert in_sight(page)[0] == pytest.approx(part * COUNT, abs=COUNT / 20)
        assert finals(page).count() < MOST
    page.evaluate("scrollTo(0, 0)")
    page.evaluate(AT_REST)
    assert in_sight(page)[0] == 0
    before = in_sight(page)
    page.set_viewport_size({"width": 900, "height": 600})
    assert in_sight(page)[0] == 0


def test_keys_reach_all_lines_and_readers_know_where_they_are(
    silent: ServerHandle, opened: Opened
) -> None:
    page = long(opened, silent, Stage())
    page.keyboard.press("/")
    for _ in range(6):
        page.keyboard.press("Tab")
    focused = page.locator("#transcript .final:focus")
    expect(focused).to_have_attribute("aria-posinset", str(COUNT))
    expect(focused).to_have_attribute("aria-setsize", str(COUNT))
    page.keyboard.press("Home")
    expect(focused).to_have_attribute("data-key", "old:0")
    expect(focused).to_have_attribute("aria-posinset", "1")
    expect(focused).to_be_in_viewport()
    assert in_sight(page)[0] == 0
    for _ in range(40):
        page.keyboard.press("ArrowDown")
    expect(focused).to_have_attribute("data-key", "old:40")
    expect(focused).to_be_in_viewport(ratio=1)
    page.evaluate("scrollTo(0, 300_000)")
    page.evaluate(AT_REST)
    expect(focused).to_have_attribute("data-key", "old:40")
    assert barriers(page) == []
    page.keyboard.press("Delete")
    expect(focused).to_have_attribute("data-key", "old:41")
    expect(focused).to_have_attribute("aria-setsize", str(COUNT - 1))
    expect(focused).to_be_in_viewport()
    page.keyboard.press("End")
    expect(focused).to_have_attribute("data-key", f"old:{COUNT - 1}")
    expect(focused).to_be_in_viewport()
    assert in_sight(page)[-1] == COUNT - 1


def test_search_takes_the_place_of_the_browsers(silent: ServerHandle, opened: Opened) -> None:
    page = long(opened, silent, Stage())
    page.mouse.move(600, 400)
    page.mouse.wheel(0, -1000)
    expect(page.locator("#newest")).to_be_visible()  # the page doesn't go back to the newest
    page.keyboard.press("ControlOrMeta+f")
    box = page.get_by_label("Search the transcript")
    expect(box).to_be_focused()
    page.keyboard.type("line 77")
    expect(page.locator("#found")).to_have_text(f"111 of {COUNT}")
    expect(finals(page).first.locator("mark").first).to_have_text("line 77")
    expect(finals(page).first).to_have_attribute("aria-setsize", "111")
    page.keyboard.type("77.")
    expect(finals(page).locator(".text")).to_have_text([LINES[7777]])
    page.keyboard.press("Escape")
    expect(page.locator("#found")).to_have_text("")
    expect(finals(page).filter(has_text="line 7777.")).to_be_in_viewport()
    assert 7777 in in_sight(page)
    assert page.locator("mark").count() == 0


def test_open_edit_survives_scrolling_and_new_lines(silent: ServerHandle, opened: Opened) -> None:
    stage = Stage()
    page = long(opened, silent, stage)
    finals(page).last.locator(".text").dblclick()
    page.keyboard.type(" Better")
    page.evaluate("scrollTo(0, 0)")
    page.evaluate(AT_REST)
    stage.final(0, "New.")
    expect(page.locator("#newest")).to_have_text("1 new")
    assert in_sight(page)[0] == 0
    expect(page.locator("textarea")).to_be_focused()
    page.keyboard.type(".")
    expect(page.locator("textarea")).to_be_in_viewport()
    page.keyboard.press("Enter")
    expect(page.locator("#transcript .final:focus .text")).to_have_text(f"{LINES[-1]} Better.")
    page.reload()
    expect(finals(page).nth(-2).locator(".text")).to_have_text(f"{LINES[-1]} Better.")


def test_selection_over_lines_out_of_sight_is_copied_whole(
    silent: ServerHandle, opened: Opened
) -> None:
    page = long(opened, silent, Stage(), permissions=["clipboard-read", "clipboard-write"])
    page.evaluate("scrollTo(0, 300_000)")
    page.evaluate(AT_REST)
    first, last = in_sight(page)[3], 0
    text = finals(page).filter(has_text=f"line {first}.").locator(".text")
    box = text.bounding_box()
    assert box is not None
    page.mouse.click(box["x"], box["y"] + 10)
    page.evaluate("scrollBy(0, 20_000)")
    page.evaluate(AT_REST)
    last = in_sight(page)[3]
    assert last > first + MOST
    box = finals(page).filter(has_text=f"line {last}.").locator(".text").bounding_box()
    assert box is not None
    page.keyboard.down("Shift")
    page.mouse.click(box["x"], box["y"] + 10)
    page.keyboard.up("Shift")
    page.evaluate("scrollTo(0, 0)")
    page.evaluate(AT_REST)
    page.keyboard.press("ControlOrMeta+c")
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied.splitlines() == LINES[first:last]
    page.keyboard.press("ControlOrMeta+a")
    page.keyboard.press("ControlOrMeta+c")
    assert page.evaluate("navigator.clipboard.readText()").splitlines() == LINES


def test_print_has_all_lines(silent: ServerHandle, opened: Opened) -> None:
    page = long(opened, silent, Stage())
    page.evaluate(
        "addEventListener('beforeprint', () => {"
        " window.printed = document.querySelectorAll('#transcript .final').length; })"
    )
    page.pdf()
    assert page.evaluate("printed") == COUNT
    assert finals(page).count() < MOST


def test_clear_of_all_lines_can_be_undone(silent: ServerHandle, opened: Opened) -> None:
    page = long(opened, silent, Stage())
    page.evaluate("scrollTo(0, 300_000)")
    page.evaluate(AT_REST)
    page.get_by_role("button", name="Clear").click()
    expect(page.locator("#toast span")).to_have_text(f"Cleared {COUNT} lines.")
    expect(finals(page)).to_have_count(0)
    page.get_by_role("button", name="Undo").click()
    expect(page.locator("#toast span")).to_have_text(f"Brought back {COUNT} lines.")
    in_sight(page)
    page.reload()
    expect(finals(page).last.locator(".text")).to_have_text(LINES[-1])
    assert len(page.evaluate(STORED)) == COUNT


def test_undo_that_was_said_survives_a_page_that_is_closed_at_once(
    silent: ServerHandle, opened: Opened
) -> None:
    page = long(opened, silent, Stage())
    page.get_by_role("button", name="Clear").click()
    expect(finals(page)).to_have_count(0)
    page.get_by_role("button", name="Undo").click()
    expect(page.locator("#toast span")).to_have_text(f"Brought back {COUNT} lines.")
    page.close()
    again = opened.beside(page.context, silent.url, before=Stage())
    expect(finals(again).last.locator(".text")).to_have_text(LINES[-1])
    assert sorted(again.evaluate(STORED)) == sorted(LINES)


def test_what_is_removed_or_changed_just_before_a_page_is_left_stays_so(
    silent: ServerHandle, opened: Opened
) -> None:
    page = long(opened, silent, Stage())
    page.get_by_role("button", name="Clear").click()
    page.get_by_role("button", name="Undo").click()
    expect(page.locator("#toast span")).to_have_text(f"Brought back {COUNT} lines.")
    page.evaluate(CHANGE_AND_LEAVE)
    last = page.locator("#transcript .final:last-child")
    expect(last).to_have_attribute("data-key", f"old:{COUNT - 2}")
    expect(last.locator(".text")).to_have_text("Better.")
    assert sorted(page.evaluate(STORED)) == sorted([*LINES[:-2], "Better."])


def test_lines_that_two_pages_remove_are_not_brought_back_by_each_other(
    silent: ServerHandle, opened: Opened
) -> None:
    page = long(opened, silent, Stage())
    other = opened.beside(page.context, silent.url, before=Stage())
    expect(finals(other).last.locator(".text")).to_have_text(LINES[-1])
    page.get_by_role("button", name="Clear").click()
    expect(finals(other)).to_have_count(0)
    page.get_by_role("button", name="Undo").click()
    for number, (one, beside) in enumerate([(other, page), (page, other), (other, page)], 1):
        expect(finals(one).last).to_have_attribute("data-key", f"old:{COUNT - number}")
        remove = finals(one).last.get_by_role("button", name="Remove this line")
        remove.dispatch_event("click")
        expect(finals(beside).last).to_have_attribute("data-key", f"old:{COUNT - number - 1}")
    page.reload()
    expect(finals(page).last.locator(".text")).to_have_text(LINES[-4])
    assert sorted(page.evaluate(STORED)) == sorted(LINES[:-3])


def test_lines_stay_removed_though_another_page_does_not_hear_of_it(
    silent: ServerHandle, opened: Opened
) -> None:
    page = long(opened, silent, Stage())
    page.context.add_init_script(DEAF)
    deaf = opened.beside(page.context, silent.url, before=Stage())
    for one in (page, deaf):
        last = finals(one).last
        expect(last).to_have_attribute("data-key", f"old:{COUNT - 1}")
        last.get_by_role("button", name="Remove this line").dispatch_event("click")
        expect(last).to_have_attribute("data-key", f"old:{COUNT - 2}")
    finals(deaf).last.get_by_role("button", name="Remove this line").dispatch_event("click")
    expect(finals(page).last).to_have_attribute("data-key", f"old:{COUNT - 3}")
    assert sorted(page.evaluate(STORED)) == sorted(LINES[:-2])
    page.get_by_role("button", name="Clear").click()
    expect(page.locator("#toast span")).to_have_text(f"Cleared {COUNT - 2} lines.")
    finals(deaf).last.get_by_role("button", name="Remove this line").dispatch_event("click")
    deaf.reload()
    expect(deaf.get_by_text("Speak, and your words appear here.")).to_be_visible()
    assert deaf.evaluate(STORED) == []


def test_full_storage_is_said_and_takes_lines_again_once_there_is_room(
    silent: ServerHandle, opened: Opened
) -> None:
    stage = Stage()
    page = opened()
    keep_as_before(page, silent.url, COUNT, TEXT)
    devtools = page.context.new_cdp_session(page)
    origin = silent.url.rstrip("/")
    devtools.send("Storage.overrideQuotaForOrigin", {"origin": origin, "quotaSize": 1000})
    stage(page)
    page.goto(silent.url)
    expect(finals(page).last.locator(".text")).to_have_text(LINES[-1])
    kept = page.locator("#kept")
    expect(kept).to_contain_text("full or closed")
    stage.final(0, "New.")
    expect(finals(page).last.locator(".text")).to_have_text("New.")
    expect(kept).to_contain_text("full or closed")
    assert page.evaluate("localStorage.getItem('sttlab:/').length") > COUNT
    devtools.send("Storage.overrideQuotaForOrigin", {"origin": origin})
    stage.final(1, "Newer.")
    expect(kept).to_contain_text("Kept in this browser")
    page.reload()
    expect(finals(page).last.locator(".text")).to_have_text("Newer.")
    assert sorted(page.evaluate(STORED)) == sorted([*LINES, "New.", "Newer."])
