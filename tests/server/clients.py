"""Real clients of a real server, and a source that speaks on demand."""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.request import urlopen

import jsonschema
import psutil
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from sttlab.audio import to_pcm16
from sttlab.config import VadConfig
from sttlab.server import contract
from sttlab.server.launch import ServerHandle
from tests.fakes import WAIT_S, Blocks, speech, wait_until

ALL = "?events=all"
OWN = "?source=client"
OWN_ALL = f"{OWN}&events=all"
SPOKEN = to_pcm16(speech(1)).tobytes()
UVICORN = ("-m", "uvicorn", "sttlab.server:app", "--port", "0")
WHISPER_S = 120
VAD = VadConfig(threshold_dbfs=-40, silence_timeout_s=0.2)
PROMISED = jsonschema.Draft202012Validator(
    {**contract.schema(), "anyOf": [{"$ref": "#/$defs/plain"}, {"$ref": "#/$defs/sent"}]}
)


class Told(Blocks):
    """A source that speaks on demand."""

    def __init__(self) -> None:
        super().__init__(then_wait=True)
        self.was_opened, self.was_closed = threading.Semaphore(0), threading.Semaphore(0)

    def open(self) -> None:
        super().open()
        self.was_opened.release()

    def say(self, count: int = 1) -> None:
        self.left.append(speech(count))

    def close(self) -> None:
        super().close()
        self.was_closed.release()


@contextmanager
def client(server: ServerHandle, query: str = "", **options: Any) -> Iterator[ClientConnection]:
    with connect(server.ws_url + query, **options) as socket:
        yield socket


def receive(client: ClientConnection, event: str | None = None) -> dict[str, Any]:
    """Return the next message, or the next of that event; each must fit the schema."""
    while True:
        text = client.recv(timeout=WAIT_S)
        assert isinstance(text, str)
        message: dict[str, Any] = json.loads(text)
        PROMISED.validate(message)
        if event in (None, message["event"]):
            return message


def receive_state(client: ClientConnection, **expected: object) -> dict[str, Any]:
    """Return the next state with the expected fields."""
    while True:
        state = receive(client, "state")
        if expected.items() <= state.items():
            return state


def send(client: ClientConnection, **request: object) -> None:
    client.send(json.dumps(request))


def closed_with(client: ClientConnection) -> tuple[int, str]:
    with pytest.raises(ConnectionClosed) as closed:  # noqa: PT012 - however much comes before
        while True:
            client.recv(timeout=WAIT_S)
    assert closed.value.rcvd is not None
    return closed.value.rcvd.code, closed.value.rcvd.reason


def wait_for_capture(source: Told) -> None:
    assert source.was_opened.acquire(timeout=WAIT_S)


def wait_until_not(condition: Callable[[], object]) -> None:
    """Wait until a condition that the server changes by itself is false."""
    wait_until(lambda: not condition())


def get(server: ServerHandle, path: str) -> Any:
    with urlopen(f"{server.url}{path}", timeout=WAIT_S) as answer:
        return json.load(answer)


def health(server: ServerHandle) -> dict[str, Any]:
    answer: dict[str, Any] = get(server, "health")
    return answer


@contextmanager
def running(*command: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A server in a process of its own, and the address of its `/ws`."""
    process = subprocess.Popen(
        [sys.executable, *command],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        env={**os.environ, "PYTHONIOENCODING": "utf-8"},
    )
    try:
        assert process.stderr
        found = (re.search(r"http://([\w.]+:\d+)", line) for line in process.stderr)
        yield process, next(f"ws://{match[1]}/ws" for match in found if match)
    finally:
        process.kill()
        process.communicate()


def serve(data: Path) -> tuple[str, ...]:
    return ("-m", "sttlab", "serve", "--port", "0", "--source", str(data / "demo.flac"))


def all_of(client: ClientConnection) -> tuple[list[dict[str, Any]], int | None]:
    """Give every message until the server closes the socket, and its close code."""
    heard = []
    try:
        while True:
            heard.append(json.loads(client.recv(timeout=WHISPER_S)))
    except ConnectionClosed as closed:
        return heard, closed.rcvd.code if closed.rcvd else None


def decoders(module: ModuleType) -> list[psutil.Process]:
    found = []
    for process in psutil.Process().children():
        with contextlib.suppress(psutil.Error):
            if module.__name__ in process.cmdline():
                found.append(process)
    return found
