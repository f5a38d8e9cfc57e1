"""Decodes the container that a client streams, in a process of its own; see decode_live.py."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from sttlab.audio import SAMPLE_RATE
from sttlab.capture.push import BUFFER_S
from sttlab.errors import SourceError
from sttlab.server import decode_live
from sttlab.server.decode import SAMPLE
from sttlab.server.limits import Allowance

PIECE_BYTES = 1 << 14
MOST_WAITING_BYTES = 1 << 22  # minutes of speech, that the decoder has not taken yet
MOST_LOG_BYTES = 2000
WAIT_S = 0.1  # for the rate limit to allow more


class LiveDecoder:
    """A process that decodes what comes. Belongs to the event loop's thread.

    Backpressure bounds what a malicious stream can cause: decoded audio is read no faster than the
    rate limit allows, and what is sent waits within MOST_WAITING_BYTES.

    Parameters
    ----------
    container : str
        ``webm`` or ``ogg``.
    faster : float
        Than real time, that audio is read.
    """

    def __init__(self, container: str, faster: float) -> None:
        self._container = container
        bytes_per_s = SAMPLE_RATE * SAMPLE.itemsize
        self._allowance = Allowance(faster * bytes_per_s, BUFFER_S * bytes_per_s)
        self._process: Process | None = None

    async def open(self) -> None:
        """Start the process. Raises OSError if the system can't."""
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", decode_live.__name__, self._container),
            stdin=PIPE,
            stdout=PIPE,
            stderr=PIPE,
        )

    def write(self, data: bytes) -> None:
        """Pass on what came. Never blocks.

        Raises
        ------
        SourceError
            If too much waits already.
        """
        stdin = self._process and self._process.stdin
        if stdin and not stdin.is_closing():
            if stdin.transport.get_write_buffer_size() + len(data) > MOST_WAITING_BYTES:
                raise SourceError("audio comes faster than it is spoken")
            stdin.write(data)

    def end(self) -> None:
        """No more comes."""
        stdin = self._process and self._process.stdin
        if stdin:
            stdin.close()

    async def run(self, take: Callable[[NDArray[np.float32]], object]) -> None:
        """Pass decoded audio to `take`, mono at SAMPLE_RATE, until the end.

        Raises
        ------
        SourceError
            If it can't be decoded.
        """
        process = self._process
        assert process
        assert process.stdout
        assert process.stderr
        rest = b""
        while piece := await process.stdout.read(PIECE_BYTES):
            while not self._allowance.take(len(piece)):  # noqa: ASYNC110 - time alone allows more
                await asyncio.sleep(WAIT_S)
            piece = rest + piece
            whole = len(piece) // SAMPLE.itemsize * SAMPLE.itemsize
            rest = piece[whole:]
            take(np.frombuffer(piece[:whole], SAMPLE).astype(np.float32))
        why = (await process.stderr.read(MOST_LOG_BYTES)).decode(errors="replace").strip()
        if await process.wait():
            raise SourceError(why or f"this {self._container} broke the decoder")

    async def close(self) -> None:
        """End the process, even if it still decodes."""
        if self._process:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
            self.end()
            await self._process.communicate()  # a pipe that isn't read to its end stays open
