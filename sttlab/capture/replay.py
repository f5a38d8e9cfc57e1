"""A source that plays a file as if it were live."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sttlab.audio import SAMPLE_RATE
from sttlab.capture.base import Block
from sttlab.decoding import open_audio
from sttlab.errors import ConfigError

BLOCK_SAMPLES = SAMPLE_RATE // 25  # 40 ms


class FileSource:
    """A file that each `open` plays once, in real time or as fast as it is read.

    It waits for a reader that is late (backpressure), so it loses nothing.

    Parameters
    ----------
    path : str or Path
        Any file that `sttlab.load` reads. It is decoded while it plays, so it may be of any length.
    speed : float > 0 or None
        1.0 is real time; None is as fast as possible.
    track, channel : int, optional
        As for `load`.
    clock : callable
        Wall time in seconds.

    Raises
    ------
    ConfigError
        If `speed` is neither None nor a number above 0.
    """

    def __init__(
        self,
        path: str | Path,
        speed: float | None = 1.0,
        *,
        track: int | None = None,
        channel: int | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if speed is not None and not (math.isfinite(speed) and speed > 0):
            raise ConfigError(f"speed must be above 0, or None for as fast as possible: {speed!r}")
        self.path = Path(path)
        self.speed = speed
        self._track, self._channel = track, channel
        self._clock = clock
        self._closed = threading.Event()
        self._closed.set()
        self._stack = ExitStack()
        self._decoding = threading.Lock()  # FFmpeg crashes if a file is closed while it decodes

    @property
    def name(self) -> str:
        """The file's name."""
        return self.path.name

    def open(self) -> None:
        """Open the file at its beginning. Raises DecodeError if it holds no audio."""
        self.close()
        pieces = open_audio(self.path, track=self._track, channel=self._channel)
        self._blocks = _blocks(self._stack.enter_context(pieces))
        self._next = next(self._blocks, None)
        self._closed.clear()
        self._played = 0
        self._started_at: float | None = None

    def read(self, timeout_s: float) -> Block | None:
        """Wait until the next block is due; see `AudioSource.read`."""
        if self._closed.is_set() or self._next is None:
            return None
        block = self._next
        now = self._clock()
        if self._started_at is None:
            self._started_at = now
        if self.speed is not None:
            due = self._started_at + (self._played + len(block)) / SAMPLE_RATE / self.speed
            if due > now:
                self._closed.wait(min(due - now, timeout_s))
                if due > now + timeout_s and not self._closed.is_set():
                    return Block(np.empty(0, np.float32))
        with self._decoding:
            if self._closed.is_set():
                return None
            self._next = next(self._blocks, None)
        self._played += len(block)
        return Block(block)

    def close(self) -> None:
        """Close the file."""
        self._closed.set()
        with self._decoding:
            self._stack.close()


def _blocks(pieces: Iterator[NDArray[np.float32]]) -> Iterator[NDArray[np.float32]]:
    rest = np.empty(0, np.float32)
    for piece in pieces:
        rest = np.concatenate([rest, piece])
        while len(rest) >= BLOCK_SAMPLES:
            yield rest[:BLOCK_SAMPLES]
            rest = rest[BLOCK_SAMPLES:]
    if len(rest):
        yield rest
