"""The audio that one client sends: its rate limit, its end, and whether it still comes."""

from __future__ import annotations

import asyncio
import contextlib

import numpy as np
from numpy.typing import NDArray

from sttlab.capture.push import BUFFER_S, PushSource
from sttlab.errors import ConfigError, SourceError
from sttlab.server.forms import Form, Unpacker
from sttlab.server.limits import Allowance
from sttlab.server.live_decoder import LiveDecoder
from sttlab.server.recognise import Recogniser

FASTER = 1.5  # than real time: audio that comes after a pause of the network
STALL_S = 60.0  # of the server or the network, after which what was said meanwhile may come at once
READ_S = 1.0  # for what came while the server itself stalled to be read


class ClientAudio:
    """Takes a client's audio into its source. Belongs to the event loop's thread.

    Parameters
    ----------
    source : PushSource
        Of the client's own session.
    form : Form
        How the client sends it.

    Attributes
    ----------
    heard : bool
        Whether the client has sent audio since `wait_for_end` last looked.
    """

    def __init__(self, source: PushSource, form: Form) -> None:
        bytes_per_s = form.frame_bytes * source.sample_rate
        self.heard = False
        self._source = source
        self._allowance = Allowance(
            FASTER * bytes_per_s, BUFFER_S * bytes_per_s, STALL_S * bytes_per_s
        )
        self._ended = asyncio.Event()
        self._unpacker = Unpacker(form)
        self._decoder = LiveDecoder(form.format, FASTER) if form.is_container else None
        plain = form.format == "s16le" and form.channels == 1
        self._recogniser = Recogniser(source.sample_rate) if plain else None

    async def open(self) -> None:
        """Be ready to decode. Raises SourceError if no decoder can be started."""
        try:
            if self._decoder:
                await self._decoder.open()
        except OSError as error:
            raise SourceError(f"no decoder could be started: {error.strerror}") from error

    async def decode(self) -> None:
        """Decode a container to its end. Raises SourceError if it can't be decoded."""
        if self._decoder:
            await self._decoder.run(self._keep)
            self._source.end()

    async def close(self) -> None:
        """End the decoder."""
        if self._decoder:
            await self._decoder.close()

    def _keep(self, samples: NDArray[np.float32], *, in_place: bool = False) -> None:
        with contextlib.suppress(SourceError):  # capture has failed, which the state says
            self._source.push(samples, in_place=in_place)

    @property
    def ended(self) -> bool:
        """Whether the client has said that no more comes."""
        return self._ended.is_set()

    def push(self, data: bytes) -> None:
        """Add what the client sent.

        Beyond the rate limit as much of the oldest is dropped as comes, which `SamplesLost` says.

        Raises
        ------
        SourceError
            If it ends within a sample, or isn't in the form that the client named.
        """
        self.heard = self.heard or bool(data)
        if self._decoder:
            self._decoder.write(data)
            return
        if self._recogniser and (instead := self._recogniser.hear(data)):
            raise SourceError(instead)
        samples = self._unpacker.unpack(data)
        self._keep(samples, in_place=not self._allowance.take(len(data)))

    def end(self) -> None:
        """Take no more audio. Raises ConfigError if it has ended already."""
        if self.ended:
            raise ConfigError("the audio has ended already")
        self._ended.set()
        self.stop()

    def stop(self) -> None:
        """Take no more audio, because the server stops."""
        if self._decoder:
            self._decoder.end()
        else:
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
