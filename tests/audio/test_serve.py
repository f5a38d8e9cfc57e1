"""`sttlab serve` where there is no sound card yet."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from websockets.sync.client import ClientConnection, connect

from sttlab.capture import Microphone
from sttlab.live.session import Session
from sttlab.server.launch import launch_server
from tests.fakes import Counting
from tests.pulse import pulse

pytestmark = pytest.mark.needs("microphone", "whisper")

WAIT_S = 60


@contextmanager
def serve() -> Iterator[tuple[str, list[str]]]:
    """`sttlab serve`, as its address and the lines that it has said so far."""
    process = subprocess.Popen(
        [sys.executable, "-m", "sttlab", "serve", "--port", "0"], stderr=subprocess.PIPE, text=True
    )
    said: list[str] = []
    try:
        assert process.stderr
        for line in process.stderr:
            said.append(line)
            if address := re.search(r"http://([\w.]+:\d+)", line):
                break
        assert address, said
        yield address[1], said
    finally:
        process.terminate()
        said += (process.communicate(timeout=WAIT_S)[1] or "").splitlines(keepends=True)


def receive(client: ClientConnection, event: str) -> dict[str, Any]:
    while True:
        message: dict[str, Any] = json.loads(client.recv(timeout=WAIT_S))
        if message["event"] == event:
            return message


def test_a_microphone_is_starting_until_its_first_audio() -> None:
    with (
        pulse(),
        launch_server(Session(Microphone(), model=Counting()), port=0) as server,
        connect(f"{server.ws_url}?events=all") as page,
    ):
        hello = receive(page, "hello")
        assert hello["busy"] == "starting the microphone"
        assert not hello["capturing"]
        # The level of the first audio and the new state come from two threads, in any order.
        events: list[dict[str, Any]] = []
        while {("level", None), ("state", True)} - {
            (event["event"], event.get("capturing")) for event in events
        }:
            events.append(json.loads(page.recv(timeout=WAIT_S)))
        states = [event for event in events if event["event"] == "state"]
        assert states[-1]["busy"] is None


def test_without_a_sound_card_it_starts_and_hears_the_one_that_is_plugged_in(data: Path) -> None:
    with pulse() as card:
        card.kill()
        with serve() as (address, said):
            assert sum("no microphone" in line for line in said) == 1
            assert any("the browser's own microphone, and recordings" in line for line in said)
            with connect(f"ws://{address}/ws?events=all") as page:
                hello = receive(page, "hello")
                assert not hello["capturing"]
                assert "no microphone" in hello["problem"]
                with connect(f"ws://{address}/ws?source=client&events=all") as own:
                    assert receive(own, "hello")["capturing"]
                card.start()
                while not receive(page, "state")["capturing"]:
                    pass
                with card.play(data / "austen-5.flac"):
                    assert "amiable" in receive(page, "transcript")["text"]
    assert sum("capture did not start" in line for line in said) == 1
