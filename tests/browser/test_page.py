"""The page, used as people use it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sttlab.capture import FileSource
from sttlab.events import (
    DeviceLost,
    DeviceRestored,
    Partial,
    SourceEnded,
    Suppressed,
    TranscriptionFailed,
)
from sttlab.live.session import Session
from sttlab.live.worker import AsrWorker
from sttlab.server.launch import ServerHandle, launch_server
from tests.browser.pages import MODEL, Opened, Stage, barriers, expect, finals, staged
from tests.fakes import Blocks, Counting
from tests.ports import free_port

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = [pytest.mark.needs("chromium"), pytest.mark.timeout(240)]

HEARD_MS = 120_000  # longest wait for the engine on a busy machine
BROKEN = "WebSocket connection|ERR_CONNECTION_REFUSED"
PHONE = {"width": 390, "height": 844}
MARKUP = "<script>alert(1)</script><img src=x onerror=alert(1)>"


# -- a real session -----------------------------------------------------------------------------


@pytest.mark.needs("whisper")
def test_finals_appear_survive_a_reload_and_download(
    demo: ServerHandle, opened: Opened, tmp_path: Path
) -> None:
    page = opened(demo.url)
    expect(finals(page)).to_have_count(5, timeout=HEARD_MS)
    expect(finals(page).nth(0)).to_contain_text("John Dashwood had then leisure to consider")
    expect(finals(page).nth(4)).to_contain_text("amiable himself")
    expect(page.locator("#state")).to_have_text("Recording ended")
    expect(page.locator("#about")).to_have_text(re.compile(rf"^demo.flac · {MODEL}$"))
    assert re.fullmatch(r"\d+ %", finals(page).nth(0).locator(".sure").text_content() or "")
    texts = finals(page).locator(".text").all_inner_texts()

    history = demo.session.history
    txt, srt, vtt, made = (download(page, end, tmp_path) for end in ("txt", "srt", "vtt", "json"))
    assert txt == "".join(f"{text}\n" for text in texts)
    parts = [part for transcript in history for part in transcript.segments]
    assert srt.count(" --> ") == vtt.count(" --> ") == len(parts)
    assert vtt.startswith("WEBVTT\n\n00:00:0")
    assert json.loads(made)["segments"] == [
        {
            "start": pytest.approx(part.start_s, abs=0.001),
            "end": pytest.approx(part.end_s, abs=0.001),
            "text": part.text.strip(),
            "confidence": pytest.approx(part.confidence, abs=0.001),
        }
        for part in parts
    ]

    page.reload()
    assert finals(page).locator(".text").all_inner_texts()[:5] == texts
    expect(page.locator("#kept")).to_contain_text("Kept in this browser")


def download(page: Page, ending: str, folder: Path, name: str = "transcript-") -> str:
    page.get_by_role("button", name="Download").click()
    with page.expect_download() as waiting:
        page.get_by_role("button", name=f".{ending}").click()
    path = folder / waiting.value.suggested_filename
    assert path.name.startswith(name)
    assert path.suffix == f".{ending}"
    waiting.value.save_as(path)
    return path.read_text(encoding="utf-8")


@pytest.mark.needs("whisper")
def test_page_that_opens_after_the_end_of_a_file_shows_its_texts_and_plays_it_when_asked(
    data: Path, worker: AsrWorker, opened: Opened
) -> None:
    session = Session(FileSource(data / "austen-2.flac", speed=4), model=worker)
    with session:
        assert session.wait(HEARD_MS / 1000)
    with launch_server(session, port=0) as server:
        page = opened(server.url)
        expect(page.locator("#state")).to_have_text("Recording ended")
        expect(page.get_by_role("alert")).to_have_text("austen-2.flac has ended: nothing is heard.")
        expect(finals(page)).to_have_count(1)
        page.reload()
        expect(page.locator("#state")).to_have_text("Recording ended")
        expect(finals(page)).to_have_count(1)
        assert session.starts == 1
        page.get_by_role("button", name="Play again").click()
        expect(finals(page)).to_have_count(2, timeout=HEARD_MS)
        expect(page.get_by_role("button", name="Play again")).to_be_visible()
        assert session.starts == 2


@pytest.mark.needs("whisper")
def test_page_reconnects_when_the_server_is_back(
    data: Path, worker: AsrWorker, opened: Opened
) -> None:
    opened.allowed = BROKEN
    first = Session(FileSource(data / "austen-2.flac", speed=4), model=worker)
    port = free_port()
    with launch_server(first, port=port) as server:
        page = opened(server.url)
        expect(finals(page)).to_have_count(1, timeout=HEARD_MS)
    expect(page.locator("#state")).to_have_text("Reconnecting")
    expect(page.get_by_role("alert")).to_have_text("No connection to the server.")
    expect(page.locator("#problem .advice")).to_contain_text(re.compile(r"again in \d+ s"))
    second = Session(FileSource(data / "austen-5.flac", speed=4), model=worker)
    with launch_server(second, port=port):
        page.get_by_role("button", name="Try now").click(force=True, no_wait_after=True)
        expect(finals(page)).to_have_count(2, timeout=HEARD_MS)
        expect(page.get_by_role("alert")).to_have_text("austen-5.flac has ended: nothing is heard.")
        expect(finals(page).nth(0)).to_contain_text("young man")
        expect(finals(page).nth(1)).to_contain_text("amiable himself")


def test_markup_from_any_source_is_shown_as_text(opened: Opened) -> None:
    class Named(Blocks):
        name = f"{MARKUP}.wav"

    session = Session(Named(then_wait=True), model=Counting())
    stage = Stage(source=Named.name, model=MARKUP)
    with launch_server(session, port=0) as server:
        page = opened(server.url, before=stage)
        page.on("dialog", lambda dialog: pytest.fail(f"a script ran: {dialog.message}"))
        stage.say(Partial(utterance_id=0, text=MARKUP, stable=MARKUP[:9]))
        expect(page.locator(".partial .text")).to_have_text(MARKUP)
        stage.final(0, MARKUP)
        stage.say(TranscriptionFailed(utterance_id=1, message=MARKUP, start_s=1.0, end_s=2.0))
        expect(page.locator(".final .text")).to_have_text(MARKUP)
        expect(page.locator(".note")).to_contain_text(MARKUP)
        expect(page.locator("#about")).to_have_text(f"{MARKUP}.wav · {MARKUP}")
        stage.say(DeviceLost(device=MARKUP, message=MARKUP))
        expect(page.get_by_role("alert")).to_contain_text(MARKUP)
        page.get_by_label("Search the transcript").fill("<script>")
        expect(page.locator(".final mark")).to_have_text("<script>")
        assert page.locator("main script, main img, footer script, footer img").count() == 0


AT_REST = """() => new Promise((rests) => {
    let before = NaN;
    const look = () => {
        if (scrollY === before) return rests(scrollY);
        before = scrollY;
        setTimeout(look, 200);
    };
    look();
})"""


# Texts of all lines that the browser keeps.
STORED = """async () => {
    const answer = (request) => new Promise((resolve) => {
        request.onsuccess = () => resolve(request.result);
    });
    const database = await answer(indexedDB.open("sttlab:/"));
    const found = await answer(database.transaction("entries").objectStore("entries").getAll());
    database.close();
    const packed = found.flatMap(({ added }) => added ?? []);
    const single = found.filter(({ added }) => !added);
    const byKey = new Map([...packed, ...single].map((entry) => [entry.key, entry]));
    return [...byKey.values()].filter(({ removed }) => !removed).map(({ text }) => text);
}"""

# A script of a page that hears nothing of other pages.
DEAF = "Object.defineProperty(BroadcastChannel.prototype, 'onmessage', { set() {} })"


# -- messages of a stage ------------------------------------------------------------------------


def test_final_replaces_its_partial_in_place(silent: ServerHandle, opened: Opened) -> None:
    stage = Stage()
    page = staged(opened, silent, stage)
    stage.say(Partial(utterance_id=0, text="She is very tall", stable="She is"))
    partial = page.locator(".partial .text")
    expect(partial).to_have_text("She is very tall")
    expect(page.locator(".changing")).to_have_text(" very tall")
    before = partial.bounding_box()
    stage.final(0, "She is very tall.")
    expect(finals(page)).to_have_count(1)
    after = finals(page).locator(".text").bounding_box()
    assert before is not None
    assert after is not None
    assert (after["x"], after["y"]) == (before["x"], before["y"])
    stage.say(Partial(utterance_id=0, text="She", stable=""))  # a late partial is ignored
    stage.say(Partial(utterance_id=1, text="you", stable=""))
    expect(page.locator(".partial")).to_have_count(1)
    stage.say(Suppressed(utterance_id=1, text="you", reason="no speech", start_s=3, end_s=4))
    expect(page.locator(".partial")).to_have_count(0)


def test_status_names_each_state_and_problem(silent: ServerHandle, opened: Opened) -> None:
    stage = Stage()
    page = staged(opened, silent, stage)
    state = page.locator("#state")
    stage.level("speech")
    expect(state).to_have_text("Speech")
    expect(page.locator("#level")).to_have_text("-30 dBFS")
    expect(page.get_by_role("meter")).to_have_attribute(
        "aria-valuetext", "-30 dBFS, threshold -40 dBFS"
    )
    stage.level("pause", -60)
    expect(state).to_have_text("Waiting for silence")
    stage.say(DeviceLost(device="USB microphone", message="unplugged"))
    expect(state).to_have_text("No sound")
    expect(page.get_by_role("alert")).to_have_text("USB microphone is gone.")
    expect(page.locator("#problem")).to_contain_text("Plug it in again")
    stage.say(DeviceRestored(device="USB microphone"))
    expect(page.locator("#problem")).to_be_hidden()
    stage.say(SourceEnded(time_s=1))
    expect(state).to_have_text("Recording ended")
    stage.state(capturing=False, problem="there is no microphone: plug one in")
    expect(state).to_have_text("No microphone")
    expect(page.get_by_role("alert")).to_have_text("There is no microphone: plug one in.")
    page.get_by_role("button", name="Try now").click()
    stage.state(capturing=True, problem=None, busy="loading base")
    expect(state).to_have_text("Loading base")
    assert stage.heard == [{"use": {}}]
    stage.state(busy=None)
    expect(state).to_have_text("Listening")
    page.clock.set_fixed_time("2030-01-01")  # the pause before the next attempt doesn't end
    stage.hang_up(1013, "too slow")
    expect(state).to_have_text("Reconnecting")
    expect(page.get_by_role("alert")).to_have_text("Too slow.")


def test_page_requests_missed_utterances_after_a_reload(
    silent: ServerHandle, opened: Opened
) -> None:
    stage = Stage()
    page = staged(opened, silent, stage)
    assert stage.asked == {"events": ["all"], "history": ["1000"]}
    stage.final(4, "Before.")
    page.get_by_role("button", name="Clear").click()
    stage.hello |= {"time_s": 60.0}
    page.reload()
    expect(page.locator("#state")).to_have_text("Listening")
    assert stage.asked == {"events": ["all"], "history": ["1000"], "stream": ["s1"], "after": ["4"]}
    stage.final(5, "Meanwhile.")
    expect(finals(page).locator(".text")).to_have_text(["Meanwhile."])
    said = page.evaluate("new Date(document.querySelector('.final time').dateTime) - Date.now()")
    assert said == pytest.approx(-45_000, abs=10_000)
    stage.state(stream="s2", time_s=0.0)
    stage.final(0, "Anew.")
    expect(finals(page).locator(".text")).to_have_text(["Meanwhile.", "Anew."])


def test_clear_can_be_undone(silent: ServerHandle, opened: Opened) -> None:
    stage = Stage()
    page = staged(opened, silent, stage)
    for number, text in enumerate(["One.", "Two.", "Three."]):
        stage.final(number, text)
    page.get_by_role("button", name="Clear").click()
    expect(finals(page)).to_have_count(0)
    expect(page.get_by_text("Speak, and your words appear here.")).to_be_visible()
    assert page.evaluate(STORED) == []
    stage.final(3, "Four.")
    page.get_by_role("button", name="Undo").click()
    expect(finals(page).locator(".text")).to_have_text(["One.", "Two.", "Three.", "Four."])
    expect(page.locator("#toast span")).to_have_text("Brought back 3 lines.")
    page.reload()
    expect(finals(page)).to_have_count(4)


def test_a_line_is_corrected_in_place(silent: ServerHandle, opened: Opened) -> None:
    stage = Stage()
    page = staged(opened, silent, stage)
    stage.final(0, "He was not an old-sposed young man.", confidence=0.3)
    line = finals(page).first
    line.hover()
    line.get_by_role("button", name="Edit").click()
    page.keyboard.press("ControlOrMeta+a")
    page.keyboard.type("He was not an ill-disposed <b>young</b> man.")
    page.keyboard.press("Enter")
    expect(line.locator(".text")).to_have_text("He was not an ill-disposed <b>young</b> man.")
    expect(line.locator(".sure")).to_have_text("edited")
    line.locator(".text").dblclick()
    page.keyboard.type("never mind")
    page.keyboard.press("Escape")
    page.reload()
    expect(line.locator(".text")).to_have_text("He was not an ill-disposed <b>young</b> man.")


def test_search_hides_lines_without_a_match(silent: ServerHandle, opened: Opened) -> None:
    stage = Stage()
    page = staged(opened, silent, stage)
    for number, text in enumerate(["A tall tree.", "A (small) house.", "TALL talk."]):
        stage.final(number, text)
    expect(finals(page)).to_have_count(3)
    box = page.get_by_label("Search the transcript")
    box.fill("tall")
    expect(page.locator("#found")).to_have_text("2 of 3")
    expect(page.locator("mark")).to_have_text(["tall", "TALL"])
    expect(finals(page).locator(".text")).to_have_text(["A tall tree.", "TALL talk."])
    box.fill("(small)")
    expect(page.locator("mark")).to_have_text(["(small)"])
    box.press("Escape")
    expect(finals(page).nth(2)).to_be_visible()
    assert page.locator("mark").count() == 0


def test_new_lines_do_not_scroll_a_page_that_is_scrolled_up(
    silent: ServerHandle, opened: Opened
) -> None:
    stage = Stage()
    page = staged(opened, silent, stage, viewport=PHONE)
    for number in range(40):
        stage.final(number, f"Line {number}, which is long enough to need a second line.")
    expect(finals(page).last).to_contain_text("Line 39,")
    expect(finals(page).last).to_be_in_viewport()
    page.mouse.move(200, 400)
    page.mouse.wheel(0, -1000)
    newest = page.locator("#newest")
    expect(newest).to_be_visible()
    top = page.evaluate(AT_REST)
    stage.final(40, "Line 40.")
    expect(newest).to_have_text("1 new")
    assert page.evaluate("scrollY") == top
    newest.click()
    expect(finals(page).last).to_be_in_viewport()
    expect(newest).to_be_hidden()
    stage.final(41, "Line 41.")
    expect(finals(page).last).to_be_in_viewport()


def test_two_pages_of_one_browser_keep_one_transcript(silent: ServerHandle, opened: Opened) -> None:
    one, two = Stage(), Stage()
    first = staged(opened, silent, one)
    second = opened.beside(first.context, silent.url, two)
    expect(second.locator("#state")).to_have_text("Listening")
    one.final(0, "Hello.")
    two.final(0, "Hello.")
    expect(finals(second)).to_have_count(1)
    expect(finals(first)).to_have_count(1)
    second.get_by_role("button", name="Clear").click()
    expect(finals(first)).to_have_count(0)


def test_line_removed_in_one_page_stays_away_where_another_hears_it_later(
    silent: ServerHandle, opened: Opened
) -> None:
    one, two = Stage(), Stage()
    first = staged(opened, silent, one)
    second = opened.beside(first.context, silent.url, two)
    expect(second.locator("#state")).to_have_text("Listening")
    for number, text in enumerate(["Zero.", "One."]):
        one.final(number, text)
    expect(finals(second)).to_have_count(2)
    finals(first).last.hover()
    finals(first).last.get_by_role("button", name="Remove this line").click()
    expect(finals(second)).to_have_count(1)
    for number, text in enumerate(["Zero.", "One.", "Two."]):
        two.final(number, text)
    for page in (first, second):
        expect(finals(page).locator(".text")).to_have_text(["Zero.", "Two."])
    first.get_by_role("button", name="Undo").click()
    for page in (first, second):
        expect(finals(page).locator(".text")).to_have_text(["Zero.", "One.", "Two."])
    second.reload()
    expect(finals(second).locator(".text")).to_have_text(["Zero.", "One.", "Two."])


def test_open_edit_survives_changes_of_another_page(silent: ServerHandle, opened: Opened) -> None:
    one, two = Stage(), Stage()
    first = staged(opened, silent, one)
    second = opened.beside(first.context, silent.url, two)
    expect(second.locator("#state")).to_have_text("Listening")
    for stage in (one, two):
        stage.final(0, "Hello.")
    expect(finals(second)).to_have_count(1)
    one.say(Partial(utterance_id=1, text="It is", stable="It"))
    finals(first).locator(".text").dblclick()
    first.keyboard.type(" You")
    two.final(1, "It is late.")
    expect(finals(first)).to_have_count(2)
    expect(first.locator(".partial")).to_have_count(1)
    first.keyboard.type(" there.")
    first.keyboard.press("Enter")
    expect(finals(second).locator(".text")).to_have_text(["Hello. You there.", "It is late."])

    finals(first).locator(".text").first.dblclick()
    finals(second).locator(".text").first.dblclick()
    second.keyboard.type(" Too.")
    second.keyboard.press("Enter")
    first.keyboard.press("Escape")
    for page in (first, second):
        expect(finals(page).first.locator(".text")).to_have_text("Hello. You there. Too.")

    finals(first).locator(".text").first.dblclick()
    second.get_by_role("button", name="Clear").click()
    expect(finals(first)).to_have_count(1)
    first.keyboard.press("Enter")
    expect(finals(first)).to_have_count(0)


def test_pages_of_different_streams_keep_all_lines(silent: ServerHandle, opened: Opened) -> None:
    one, two = Stage(), Stage(stream="s2")
    first = staged(opened, silent, one)
    second = opened.beside(first.context, silent.url, two)
    expect(second.locator("#state")).to_have_text("Listening")
    one.final(0, "Of one.")
    expect(finals(second)).to_have_count(1)
    two.final(0, "Of the other.")
    expect(finals(second)).to_have_count(2)
    expect(finals(first)).to_have_count(2)


def test_page_that_hears_of_no_other_page_overwrites_no_lines(
    silent: ServerHandle, opened: Opened
) -> None:
    one, two = Stage(), Stage(stream="s2")
    first = opened(before=one)
    first.add_init_script(DEAF)
    first.goto(silent.url)
    one.final(0, "Of one.")
    expect(finals(first)).to_have_count(1)
    second = opened.beside(first.context, silent.url, two)
    expect(second.locator("#state")).to_have_text("Listening")
    two.final(0, "Of the other.")
    expect(finals(second)).to_have_count(2)
    one.final(1, "Of one again.")
    expect(finals(second)).to_have_count(3)
    expect(finals(first)).to_have_count(2)
    first.reload()
    expect(finals(first)).to_have_count(3)


def test_selection_survives_new_lines(silent: ServerHandle, opened: Opened) -> None:
    stage = Stage()
    page = staged(opened, silent, stage)
    stage.final(0, "Hello.")
    finals(page).locator(".text").evaluate("p => getSelection().selectAllChildren(p)")
    stage.final(1, "Again.")
    expect(finals(page)).to_have_count(2)
    assert page.evaluate("String(getSelection())") == "Hello."


@pytest.mark.parametrize(
    "broken",
    [
        "Object.defineProperty(window, 'indexedDB', { get() { throw new Error(); } })",
        "IDBFactory.prototype.open = () => ({})",
        "IDBDatabase.prototype.transaction = () => { throw new Error(); }",
    ],
    ids=["blocked", "hanging", "damaged"],
)
def test_page_works_without_storage_until_a_reload(
    silent: ServerHandle, opened: Opened, broken: str
) -> None:
    stage = Stage()
    page = opened(before=stage)
    page.add_init_script(broken)
    page.add_init_script(
        "Object.defineProperty(window, 'localStorage', { get() { throw new Error(); } })"
    )
    page.goto(silent.url)
    expect(page.locator("#state")).to_have_text("Listening")
    stage.final(0, "Hello.")
    expect(page.locator("#kept")).to_contain_text("a reload loses")
    page.get_by_role("button", name="Settings").click()
    page.get_by_label("Colours").select_option("Dark")
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"


def test_header_and_footer_scroll_away_at_400_percent_zoom(
    silent: ServerHandle, opened: Opened
) -> None:
    stage = Stage()
    page = staged(opened, silent, stage, viewport={"width": 320, "height": 256})
    stage.final(0, "\u05e9\u05dc\u05d5\u05dd" + "a" * 10_000)
    expect(finals(page)).to_have_count(1)
    assert finals(page).locator(".text").evaluate("p => getComputedStyle(p).direction") == "rtl"
    assert page.evaluate("document.documentElement.scrollWidth") <= 320
    page.evaluate("scrollTo(0, 1000)")
    expect(page.locator("header")).not_to_be_in_viewport()
    expect(page.locator("footer")).not_to_be_in_viewport()
    page.get_by_role("button", name="Download").click()
    expect(page.locator("#formats")).to_be_in_viewport(ratio=0.99)


def test_print_shows_only_the_transcript_on_white(silent: ServerHandle, opened: Opened) -> None:
    stage = Stage()
    page = staged(opened, silent, stage)
    stage.final(0, "To keep.")
    page.get_by_role("button", name="Settings").click()
    page.get_by_label("Colours").select_option("Dark")
    page.emulate_media(media="print")
    for shown in ("header", "#settings", "#kept", "footer"):
        expect(page.locator(shown)).to_be_hidden()
    expect(finals(page)).to_be_visible()
    expect(page.locator("body")).to_have_css("background-color", "rgb(255, 255, 255)")
    expect(page.locator("body")).to_have_css("padding-right", "0px")


def test_reduced_motion_disables_transitions_and_animations(
    silent: ServerHandle, opened: Opened
) -> None:
    page = staged(opened, silent, Stage(), reduced_motion="reduce")
    page.get_by_role("button", name="Settings").click()
    moving = """[...document.querySelectorAll("*")].filter((e) => {
        const { transitionDuration, animationName, scrollBehavior } = getComputedStyle(e);
        return transitionDuration !== "0s" || animationName !== "none" || scrollBehavior !== "auto";
    }).length"""
    assert page.evaluate(moving) == 0


def test_keyboard_alone_reaches_all_actions(silent: ServerHandle, opened: Opened) -> None:
    stage = Stage()
    page = staged(opened, silent, stage)
    for number, text in enumerate(["One.", "Two.", "Three."]):
        stage.final(number, text)
    expect(finals(page)).to_have_count(3)
    page.keyboard.press("/")
    expect(page.get_by_label("Search the transcript")).to_be_focused()
    for name in ("Open", "Copy", "Download", "Clear", "Settings"):
        page.keyboard.press("Tab")
        expect(page.get_by_role("button", name=name, exact=True)).to_be_focused()
    page.keyboard.press("Tab")
    expect(page.locator("#transcript .final:focus")).to_have_count(1)
    page.keyboard.press("End")
    expect(finals(page).nth(2)).to_be_focused()
    page.keyboard.press("ArrowUp")
    page.keyboard.press("Enter")
    page.keyboard.press("ControlOrMeta+a")
    page.keyboard.type("Second.")
    page.keyboard.press("Enter")
    expect(finals(page).nth(1)).to_be_focused()
    page.keyboard.press("Delete")
    expect(finals(page).locator(".text")).to_have_text(["One.", "Three."])
    expect(finals(page).nth(1)).to_be_focused()
    page.keyboard.press("ControlOrMeta+z")
    expect(finals(page).locator(".text")).to_have_text(["One.", "Second.", "Three."])
    page.get_by_role("button", name="Download").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#formats button").first).to_be_focused()
    page.keyboard.press("ArrowDown")
    with page.expect_download() as waiting:
        page.keyboard.press("Enter")
    assert waiting.value.suggested_filename.endswith(".srt")


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1440])
def test_page_has_no_axe_violations_and_no_horizontal_scroll(
    silent: ServerHandle, opened: Opened, theme: str, width: int
) -> None:
    stage = Stage()
    page = staged(
        opened, silent, stage, color_scheme=theme, viewport={"width": width, "height": 800}
    )
    assert barriers(page) == []
    stage.final(0, "This is certain.")
    stage.final(1, "This is not.", confidence=0.2)
    stage.say(Partial(utterance_id=2, text="This may change", stable="This"))
    failed = TranscriptionFailed(utterance_id=7, message="it stopped", start_s=1.0, end_s=2.0)
    stage.say(failed)
    stage.say(DeviceLost(device="USB microphone", message="unplugged"))
    stage.level("pause")
    expect(page.locator("#problem")).to_be_visible()
    finals(page).first.focus()
    page.get_by_label("Search the transcript").fill("is")
    page.get_by_role("button", name="Download").click()
    assert barriers(page) == []
    paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (max(map(int, re.findall(r"\d+", paper))) < 60) == (theme == "dark")
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_finals_are_announced_to_screen_readers(silent: ServerHandle, opened: Opened) -> None:
    stage = Stage()
    page = staged(opened, silent, stage)
    stage.say(Partial(utterance_id=0, text="May change", stable=""))
    stage.final(0, "It is said.")
    log = page.get_by_role("log")
    expect(log).to_have_text("It is said.")
    assert log.evaluate("e => getComputedStyle(e).display") != "none"
