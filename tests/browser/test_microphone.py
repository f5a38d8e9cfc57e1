"""The microphone of this browser: one that speaks, one that is not allowed, one without https."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sttlab.decoding import load
from sttlab.evaluate.labels import load_labels
from sttlab.kept.session import open_session
from sttlab.live.session import Session
from sttlab.live.worker import AsrWorker
from sttlab.server.launch import ServerHandle, launch_server
from tests.browser.pages import MODEL, Opened, barriers, expect, finals
from tests.browser.test_page import BROKEN, HEARD_MS
from tests.fakes import Blocks, Counting
from tests.ports import free_port
from tests.server.clients import wait_until_not

if TYPE_CHECKING:
    from playwright.sync_api import Page, Playwright

pytestmark = [pytest.mark.needs("chromium"), pytest.mark.timeout(240)]

USE, STOP = "Use my microphone", "Stop my microphone"
CODE = re.compile(
    r"import sttlab as stt\nstt\.VadTuner\(stt\.open_session\((\".+\")\), at_s=([\d.]+)\)\n"
)


@pytest.fixture
def speaking(
    playwright: Playwright, chromium: str, data: Path, tmp_path: Path
) -> Iterator[Callable[[str], Opened]]:
    """Browsers whose microphone plays a recording once, from when it is opened."""
    browsers = []
    all_opened = []

    def launch(name: str) -> Opened:
        audio = tmp_path / f"{name}.wav"
        load(data / f"{name}.flac").save(audio)
        browser = playwright.chromium.launch(
            executable_path=chromium,
            args=[
                "--use-fake-device-for-media-stream",
                f"--use-file-for-fake-audio-capture={audio}%noloop",
            ],
        )
        browsers.append(browser)
        all_opened.append(Opened(browser))
        return all_opened[-1]

    yield launch
    errors = [error for opened in all_opened for error in opened.close()]
    for browser in browsers:
        browser.close()
    assert errors == []


@pytest.fixture
def room(worker: AsrWorker) -> Iterator[ServerHandle]:
    """A server with the real engine, whose own source has no audio."""
    with launch_server(Session(Blocks(then_wait=True), model=worker), port=0) as server:
        yield server


def started(page: Page) -> None:
    page.get_by_role("button", name=USE).click()
    expect(page.get_by_role("button", name=STOP)).to_be_visible()


@pytest.mark.needs("whisper")
def test_each_page_shows_only_the_speech_of_its_own_microphone(
    room: ServerHandle, speaking: Callable[[str], Opened], opened: Opened
) -> None:
    one = speaking("austen-2")(room.url, permissions=["microphone"])
    two = speaking("austen-5")(room.url, permissions=["microphone"])
    other = opened(room.url)
    for page in (one, two, other):
        expect(page.locator("#state")).to_have_text("Listening")
    started(one)
    started(two)
    expect(one.locator("#about")).to_contain_text(re.compile(rf"in this browser · {MODEL}"))
    expect(one.locator("#level")).to_contain_text("dBFS")
    expect(finals(one).first).to_contain_text("young man", timeout=HEARD_MS)
    expect(finals(two).first).to_contain_text("amiable himself", timeout=HEARD_MS)
    for page in (one, two):
        page.get_by_role("button", name=STOP).click()
        expect(page.get_by_role("button", name=USE)).to_be_enabled()
        expect(page.locator("#about")).to_have_text(re.compile(rf"^blocks · {MODEL}$"))
    assert "amiable" not in one.locator("#transcript").inner_text()
    assert "young" not in two.locator("#transcript").inner_text()
    assert finals(other).count() == 0
    wait_until_not(lambda: sum(t.name == "sttlab-dsp" for t in threading.enumerate()) > 1)


def test_an_empty_page_starts_the_microphone(
    silent: ServerHandle, speaking: Callable[[str], Opened]
) -> None:
    page = speaking("monologue")(silent.url, permissions=["microphone"])
    page.get_by_role("button", name="Speak into this browser's microphone").click()
    expect(page.get_by_role("button", name=STOP)).to_be_visible()
    expect(page.locator("#starts")).to_be_hidden()
    expect(finals(page).first).to_be_visible()


def test_stop_transcribes_the_last_utterance(
    silent: ServerHandle, speaking: Callable[[str], Opened]
) -> None:
    page = speaking("monologue")(silent.url, permissions=["microphone"])
    started(page)
    expect(page.locator("#state")).to_have_text("Speech")
    page.get_by_role("button", name=STOP).click()
    expect(finals(page)).to_have_count(1)
    expect(page.get_by_role("button", name=USE)).to_be_enabled()


def test_what_i_say_is_kept_where_i_ask_and_a_line_leads_to_what_decided_it(
    speaking: Callable[[str], Opened], tmp_path: Path
) -> None:
    keep = tmp_path / "kept"
    session = Session(Blocks(then_wait=True), model=Counting(text="alpha"), keep=keep)
    allowed = ["microphone", "clipboard-read", "clipboard-write"]
    with launch_server(session, port=0) as server:
        page = speaking("austen-2")(server.url, permissions=allowed)
        expect(page.locator("#keeping")).to_have_text("What is said is kept on the server")
        started(page)
        expect(page.locator("#keeping")).to_be_hidden()  # the server's is, this browser's is not
        page.get_by_role("button", name=STOP).click()
        expect(page.get_by_role("button", name=USE)).to_be_enabled()
        page.get_by_role("button", name="Settings").click()
        page.get_by_label("Keep what I say on the server").check()
        page.get_by_role("button", name="Close the settings").click()
        count = finals(page).count()
        started(page)
        expect(page.locator("#keeping")).to_be_visible()
        expect(finals(page)).to_have_count(count + 1)
        page.get_by_role("button", name=STOP).click()
        expect(page.get_by_role("button", name=USE)).to_be_enabled()
        line = finals(page).nth(count)
        line.hover()
        line.get_by_role("button", name="Edit this line").click()
        line.get_by_role("textbox").fill("beta")
        page.keyboard.press("Enter")
        line.hover()
        line.get_by_role("button", name="Why was this cut?").click()
        assert barriers(page) == []
        expect(page.locator("#why .reason")).to_contain_text(re.compile("Nobody spoke|audio ended"))
        page.get_by_role("button", name="Copy the code").click()
        code = page.evaluate("navigator.clipboard.readText()")
        page.get_by_role("button", name="Download").click()
        with page.expect_download() as downloaded:
            page.locator("#formats").get_by_role("button", name="JSON").click()
        downloaded.value.save_as(tmp_path / "lines.json")
    told = CODE.fullmatch(code)
    assert told, code
    kept = open_session(json.loads(told[1]))
    assert kept.manifest["source"] == "a client's own audio"
    (utterance,) = (u for u in kept.utterances if u.text)
    assert utterance.end_s - 0.02 < float(told[2]) < utterance.end_s
    labels = load_labels(tmp_path / "lines.json", recording=kept.folder.name)
    assert [turn.text for turn in labels] == ["beta"]
    place = [utterance.start_s, utterance.end_s]
    assert labels.speech[0].tolist() == pytest.approx(place, abs=0.001)


def test_a_microphone_that_is_not_allowed_is_explained(
    silent: ServerHandle, speaking: Callable[[str], Opened]
) -> None:
    page = speaking("austen-2")(silent.url)  # without permission
    page.get_by_role("button", name=USE).click()
    expect(page.get_by_role("alert")).to_have_text(re.compile("was not allowed"))
    expect(page.locator("#problem .advice")).to_contain_text("symbol beside the address")
    expect(page.locator("#state")).to_have_text("Listening")
    page.context.grant_permissions(["microphone"])
    page.get_by_role("button", name="Try now").click()
    expect(page.get_by_role("button", name=STOP)).to_be_visible()
    expect(page.locator("#problem")).to_be_hidden()


def test_microphone_on_plain_http_is_refused_with_the_reason(opened: Opened) -> None:
    session = Session(Blocks(then_wait=True), model=Counting())
    with launch_server(session, port=0, allowed_hosts=["lab.test"]) as server:
        page = opened(server.url.replace("127.0.0.1", "lab.test"))
        page.get_by_role("button", name=USE).click()
        expect(page.locator("#problem .advice")).to_contain_text("only to pages that come by https")
        page.get_by_role("button", name="Dismiss").click()
        expect(page.locator("#problem")).to_be_hidden()


def test_another_microphone_of_the_browser_is_chosen_in_the_settings(
    silent: ServerHandle, speaking: Callable[[str], Opened]
) -> None:
    page = speaking("austen-2")(silent.url, permissions=["microphone"])
    started(page)
    page.get_by_role("button", name="Settings").click()
    choice = page.get_by_label("Microphone", exact=True)
    choice.select_option("Fake Audio Input 2")
    expect(page.locator("#about")).to_have_text("Fake Audio Input 2 in this browser · counting")
    expect(page.locator("#level")).to_contain_text("dBFS")
    assert barriers(page) == []
    choice.select_option("Back to the server's")
    expect(page.locator("#about")).to_have_text("blocks · counting")
    expect(choice.locator("option:checked")).to_have_text("blocks")


def test_microphone_resumes_when_the_server_is_back(
    speaking: Callable[[str], Opened],
) -> None:
    session = Session(Blocks(then_wait=True), model=Counting())
    opened = speaking("monologue")
    opened.allowed = BROKEN
    port = free_port()
    with launch_server(session, port=port) as server:
        page = opened(server.url, permissions=["microphone"])
        started(page)
        expect(page.locator("#state")).to_have_text("Speech")
    expect(page.locator("#state")).to_have_text("Reconnecting")
    expect(page.locator(".note")).to_contain_text("The connection broke here")
    session = Session(Blocks(then_wait=True), model=Counting())
    with launch_server(session, port=port):
        expect(page.locator("#state")).to_have_text("Speech")
        expect(page.locator("#about")).to_contain_text("in this browser")
        page.close()


def test_outbox_drops_the_oldest_audio_and_counts_it(silent: ServerHandle, opened: Opened) -> None:
    page = opened(silent.url)
    sent, lost_s = page.evaluate(
        """async () => {
            const { Outbox } = await import("./capture.js");
            const { KEPT_S } = await import("./microphone.js");
            const outbox = new Outbox(1000, KEPT_S);
            for (let i = 0; i < 95; i++) outbox.add(new Int16Array(100).fill(i));
            const sent = [];
            let room = 3;
            outbox.flush((bytes) => room-- > 0 && sent.push(new Int16Array(bytes)[0]));
            outbox.flush((bytes) => sent.push(new Int16Array(bytes)[0]));
            return [sent, outbox.lost_s];
        }"""
    )
    assert sent == list(range(15, 95))
    assert lost_s == pytest.approx(1.5)
