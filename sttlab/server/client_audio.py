"""The audio that one client sends: its rate limit, its end, and whether it still comes."""

from __future__ import annotations

import asyncio
import contextlib

from sttlab.capture.push import BUFFER_S, PushSource
from sttlab.errors import ConfigError, SourceError
from sttlab.server.limits import Allowance

FASTER = 1.5  # than real time: audio that comes after a pause of the network
STALL_S = 60.0  # of the server or the network, after which what was said meanwhile may come at once
READ_S = 1.0  # for what came while the server itself stalled to be read


class ClientAudio:
    """Takes a client's audio into its source. Belongs to the event loop's thread.

    Parameters
    ----------
    source : PushSource
        Of the client's own session.

    Attributes
    ----------
    heard : bool
        Whether the client has sent audio since `wait_for_end` last looked.
    """

    def __init__(self, source: PushSource) -> None:
        bytes_per_s = 2 * source.sample_rate
        self.heard = False
        self._source = source
        self._allowance = Allowance(
            FASTER * bytes_per_s, BUFFER_S * bytes_per_s, STALL_S * bytes_per_s
        )
        self._ended = asyncio.Event()

    @property
    def ended(self) -> bool:
        """Whether the client has said that no more comes."""
        return self._ended.is_set()

    def push(self, data: bytes) -> None:
        """Add 16-bit little-endian samples.

        Beyond the rate limit as much of the oldest is dropped as comes, which `SamplesLost` says.

        Raises
        ------
        SourceError
            If they end within a sample.
        """
        self.heard = self.heard or bool(data)
        if len(data) % 2:
            raise SourceError("16-bit samples come in pairs of bytes")
        with contextlib.suppress(SourceError):  # capture has failed, which the state says
            self._source.push(data, in_place=not self._allowance.take(len(data)))

    def end(self) -> None:
        """Take no more audio. Raises ConfigError if it has ended already."""
        if self.ended:
            raise ConfigError("the sound has ended already")
        self._ended.set()
        self._source.end()

    def stop(self) -> None:
        """Take no more audio, because the server stops."""
        self._source.end()

    async def wait_for_end(self, idle_s: float) -> bool:
        """Wait until the audio has ended, or none came for `idle_s`; say which.

        Returns
        -------
        bool
            Whether it has ended.
        """
        while True:
            self.heard = False
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._ended.wait(), idle_s)
            if not (self.ended or self.heard):
                await asyncio.sleep(min(READ_S, idle_s))
            if self.ended or not self.heard:
                return self.ended
