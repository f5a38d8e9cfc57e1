"""Clients that misbehave, for the soak."""

from __future__ import annotations

import contextlib
import json
import socket
import struct
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit
from urllib.request import urlopen

import numpy as np

from sttlab.audio import SAMPLE_RATE, to_pcm16
from sttlab.bench.material import Clip

WAIT_S = 30.0
TEXT_S = 180.0  # longest wait for a text of the engine, which is shared and hangs at times
AT_ONCE_S = 8.0  # most audio that a client sends at once
MOST_DEAF = 4  # most clients at a time that never read
LEAVING = 0.2  # probability that all clients disconnect before the next act
HANDSHAKE = (
    "GET /ws{query} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: c3R0bGFiIHN0dGxhYiBzdA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


class Visitors:
    """Connect and misbehave on a thread `bench-visitors`, in random order.

    Parameters
    ----------
    url : str
        Address of the server's page.
    rng : numpy Generator
        Decides the order.
    counts : Counter
        Counts the acts by kind.
    clips : sequence of Clip
        Audio of those that send audio.
    alone : callable
        Called each time that all have disconnected.

    Attributes
    ----------
    pause_s : float
        Time between two acts.
    surprises : list of str
        Answers of the server that are wrong.
    stop : Event
        Set when it is to come to an end.
    """

    pause_s = 0.0

    def __init__(
        self,
        url: str,
        rng: np.random.Generator,
        counts: Counter[str],
        clips: Sequence[Clip],
        alone: Callable[[], None],
    ) -> None:
        self.surprises: list[str] = []
        parts = urlsplit(url)
        self.address = parts.hostname or "", parts.port or 0
        self.host = parts.netloc
        self.rng = rng
        self.counts = counts
        self.clips = [clip for clip in clips if clip.duration_s < AT_ONCE_S]
        self._alone = alone
        self._deaf: list[socket.socket] = []
        self.stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="bench-visitors", daemon=True)

    def __enter__(self) -> Visitors:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop.set()
        self._thread.join(2 * WAIT_S)
        if self._thread.is_alive():
            self.surprises.append("a visitor never came to an end")

    def acts(self) -> dict[str, Callable[[], None]]:
        """Give what it does, by its name."""
        return {
            "client that comes and goes": self._come_and_go,
            "client that wants all": self._want_all,
            "client that sends garbage": self._send_garbage,
            "frame too large": self._send_too_much,
            "client that never reads": self._never_read,
            "client that vanishes": self._vanish,
            "half a request": self._ask_half,
            "page of another site": self._come_from_elsewhere,
            "microphone of a client": self._speak,
        }

    def _run(self) -> None:
        acts = self.acts()
        names = list(acts)
        while not self.stop.wait(self.pause_s):
            name = names[self.rng.integers(len(names))]
            try:
                if self.rng.random() < LEAVING or len(self._deaf) >= MOST_DEAF:
                    self.leave()
                acts[name]()
                self.counts[name] += 1
            except Exception as error:  # noqa: BLE001 - any error is a finding
                self.surprises.append(f"{name}: {error!r}")
        self.leave()

    def disconnect(self) -> None:
        """Disconnect all."""
        for deaf in self._deaf:
            deaf.close()
        self._deaf.clear()

    def leave(self) -> None:
        """Disconnect all, and wait until the server has noticed."""
        self.disconnect()
        pause = threading.Event()
        for _ in range(round(WAIT_S * 20)):
            with urlopen(f"http://{self.host}/health", timeout=WAIT_S) as answer:
                health = json.load(answer)
            if health["clients"] == 1 and health["microphones"] == 0:
                self._alone()
                return
            pause.wait(0.05)
        raise TimeoutError(f"clients are still there: {health}")

    def connect(self, query: str = "", **options: Any) -> Any:
        from websockets.sync.client import connect

        return connect(
            f"ws://{self.host}/ws{query}", open_timeout=WAIT_S, max_queue=None, **options
        )

    def _come_and_go(self) -> None:
        with self.connect():
            pass

    def _want_all(self) -> None:
        with self.connect("?events=all") as client:
            first = json.loads(client.recv(WAIT_S))
            if first["event"] != "hello":
                raise ValueError(first)
            client.send(json.dumps({"set": {"pre_roll_s": float(self.rng.uniform(0.1, 0.4))}}))
            client.send(json.dumps({"set": {"silence_timeout_s": 99}}))
            while json.loads(client.recv(WAIT_S))["event"] != "refused":
                pass

    def _send_garbage(self) -> None:
        with self.connect("?events=all" if self.rng.random() < 0.5 else "") as client:
            for size in self.rng.integers(0, 2000, 5):
                data = self.rng.bytes(size)
                client.send(data if size % 2 else data.decode("latin-1"))

    def _send_too_much(self) -> None:
        from websockets.exceptions import ConnectionClosed

        with self.connect() as client:
            try:
                client.send(b"\0" * 1_000_000)
                while True:
                    client.recv(WAIT_S)
            except ConnectionClosed as closed:
                if closed.rcvd is not None and closed.rcvd.code != 1009:
                    raise

    def _handshake(self, query: str = "") -> socket.socket:
        client = socket.create_connection(self.address, WAIT_S)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.sendall(HANDSHAKE.format(query=query, host=self.host).encode())
        if client.recv(12) != b"HTTP/1.1 101":
            raise ValueError("no handshake")
        return client

    def _never_read(self) -> None:
        self._deaf.append(self._handshake("?events=all"))

    def _vanish(self) -> None:
        client = self._handshake()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()  # with SO_LINGER 0: a TCP reset without a close frame

    def _ask_half(self) -> None:
        with socket.create_connection(self.address, WAIT_S) as client:
            request = HANDSHAKE.format(query="", host=self.host).encode()
            client.sendall(request[: self.rng.integers(1, len(request) - 4)])

    def _come_from_elsewhere(self) -> None:
        from websockets.exceptions import InvalidStatus

        evil = {"Origin": "https://evil.example"}
        with contextlib.suppress(InvalidStatus), self.connect(additional_headers=evil):
            raise ValueError("it was admitted")

    def _speak(self) -> None:
        from websockets.exceptions import ConnectionClosedOK

        clip = self.clips[self.rng.integers(len(self.clips))]
        pcm = to_pcm16(clip.samples).astype("<i2").tobytes()
        texts = 0
        with self.connect("?source=client&events=all") as client:
            for begin in range(0, len(pcm), SAMPLE_RATE):
                client.send(pcm[begin : begin + SAMPLE_RATE])
            client.send('{"end": true}')
            with contextlib.suppress(ConnectionClosedOK):
                while True:
                    event = json.loads(client.recv(TEXT_S))["event"]
                    texts += event in ("transcript", "transcription_failed")
        if not texts:
            raise ValueError(f"no text came of {clip.name}")
