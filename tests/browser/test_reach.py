"""Where the page can be used from, and which websites may not connect."""

from __future__ import annotations

import base64
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

import pytest

from sttlab.audio import wav_bytes
from sttlab.live.session import Session
from sttlab.server.decoder import DecoderProcess
from sttlab.server.launch import launch_server
from tests.browser.pages import Opened, expect, finals
from tests.browser.test_files import drop
from tests.fakes import Blocks, Counting, speech
from tests.server.clients import VAD, Told, wait_for_capture
from tests.server.test_gate import TOKEN, SubPath

pytestmark = [pytest.mark.needs("chromium"), pytest.mark.timeout(240)]

LISTEN = """(url) => new Promise((resolve) => {
    const socket = new WebSocket(url);
    socket.onopen = () => resolve("open");
    socket.onerror = () => resolve("refused");
})"""
SEND = """async ([url, data]) => {
    const body = Uint8Array.from(atob(data), (c) => c.charCodeAt(0));
    const answer = await fetch(url, { method: "POST", mode: "no-cors", body });
    return answer.type; // the page may know no more
}"""


def test_page_works_under_a_sub_path_of_a_proxy(opened: Opened) -> None:
    source = Told()
    session = Session(source, vad=VAD, model=Counting())
    with launch_server(session, port=0, token=TOKEN) as server, SubPath(server) as proxy:
        page = opened(f"http://{proxy.address}/user/me/?token={TOKEN}")
        assert page.url == f"http://{proxy.address}/user/me/"
        wait_for_capture(source)
        source.say()
        expect(finals(page)).to_have_count(1)
        page.get_by_role("button", name="Settings").click()
        expect(page.get_by_label("Language")).to_be_hidden()
        page.keyboard.press("Escape")
        drop(page, "talk.wav", wav_bytes(speech(3)))
        expect(page.locator("#job")).to_have_text("Transcribed")
        expect(finals(page)).to_have_count(3)
        page.close()


def test_page_with_an_outdated_token_shows_what_to_do(opened: Opened) -> None:
    opened.allowed = "403|ERR_CONNECTION_REFUSED"
    with launch_server(
        Session(Blocks(then_wait=True), model=Counting()), port=0, token=TOKEN
    ) as server:
        page = opened(server.link)
        expect(page.locator("#state")).to_have_text("Listening")
    again = Session(Blocks(then_wait=True), model=Counting())
    with launch_server(again, port=urlsplit(server.url).port or 0, token=f"{TOKEN}2"):
        expect(page.get_by_role("alert")).to_contain_text("open the link that it gave")
        page.close()


class Elsewhere(BaseHTTPRequestHandler):
    """Another website."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(b"<!doctype html><link rel=icon href=data:,><title>evil</title>")

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def evil() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Elsewhere) as website:
        thread = threading.Thread(target=website.serve_forever)
        thread.start()
        yield f"http://evil.test:{website.server_port}"
        website.shutdown()
        thread.join()


@pytest.mark.parametrize("is_allowed", [False, True])
def test_a_page_of_another_website_may_not_listen(
    evil: str, opened: Opened, is_allowed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened.allowed = "" if is_allowed else "403"
    # The text of a file is no evidence: the browser may disconnect before there is any.
    taken = threading.Event()
    launch = DecoderProcess.launch

    def take(decoder: DecoderProcess) -> None:
        taken.set()
        launch(decoder)

    monkeypatch.setattr(DecoderProcess, "launch", take)
    source = Blocks(then_wait=True)
    session = Session(source, vad=VAD, model=Counting())
    origins = [evil] if is_allowed else []
    with launch_server(session, port=0, allowed_origins=origins) as server:
        page = opened(f"{evil}/")
        for query in ("", "?events=all", "?source=client"):
            came = page.evaluate(LISTEN, server.ws_url + query)
            assert came == ("open" if is_allowed else "refused")
        data = base64.b64encode(wav_bytes(speech(1))).decode()
        assert page.evaluate(SEND, [f"{server.url}files", data]) == "opaque"
        page.close()
    assert bool(source.opened) == is_allowed
    assert taken.is_set() == is_allowed


FRAME = """(url) => {
    const frame = document.createElement("iframe");
    frame.src = url;
    document.body.append(frame);
}"""


def test_a_page_of_another_website_may_not_frame_this_one(evil: str, opened: Opened) -> None:
    """A frame would let it lead clicks to the buttons of this page."""
    opened.allowed = "frame-ancestors"
    source = Told()
    with launch_server(Session(source, vad=VAD, model=Counting()), port=0) as server:
        page = opened(f"{evil}/")
        with page.expect_event("console", lambda told: "frame-ancestors" in told.text):
            page.evaluate(FRAME, server.url)
        page.close()
    assert source.opened == 0
