"""Audio that arrives from elsewhere: a browser, a socket, a test."""

from __future__ import annotations

import threading
from collections import deque
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sttlab.audio import SAMPLE_RATE, check_rate, from_pcm16
from sttlab.capture.base import Block
from sttlab.errors import SourceError

BUFFER_S = 10.0


class PushSource:
    """A source into which other threads push audio.

    Parameters
    ----------
    sample_rate : int, Hz
        Sample rate of what is pushed, which is resampled to SAMPLE_RATE.
    name : str
        Name of the source, for people to read.
    buffer_s : float
        Audio buffered for a reader that is late, in seconds. Beyond that the oldest is dropped and
        counted.

    Raises
    ------
    SourceError
        If the rate is not a valid sample rate of audio.
    """

    def __init__(
        self,
        sample_rate: int = SAMPLE_RATE,
        *,
        name: str = "pushed audio",
        buffer_s: float = BUFFER_S,
    ) -> None:
        check_rate(sample_rate)
        self.name = name
        self.sample_rate = sample_rate
        self._buffer_samples = round(buffer_s * SAMPLE_RATE)
        self._changed = threading.Condition()
        self._waiting: deque[NDArray[np.float32]] = deque()  # bounded by buffer_s
        self._reset()

    def _reset(self) -> None:
        self._waiting.clear()
        self._length = 0
        self._lost = 0
        self._ended = False
        self._open = False
        self._resampler = None
        if self.sample_rate != SAMPLE_RATE:
            import soxr

            self._resampler = soxr.ResampleStream(self.sample_rate, SAMPLE_RATE, 1, "float32")

    def open(self) -> None:
        """Open with an empty buffer."""
        with self._changed:
            self._reset()
            self._open = True

    def push(
        self, audio: bytes | bytearray | memoryview | NDArray[Any], *, in_place: bool = False
    ) -> int:
        """Add audio. Any thread may call it; it never blocks.

        Parameters
        ----------
        audio : bytes or ndarray, shape (n,)
            Bytes are 16-bit little-endian samples; an array holds int16, or floats in -1..1.
        in_place : bool
            Drop as much of the oldest as is added, however little waits.

        Returns
        -------
        int
            How many older samples, at SAMPLE_RATE, were dropped because the buffer was full.

        Raises
        ------
        SourceError
            If `audio` is not of such a type, or the source is not open.
        """
        samples = _as_samples(audio)
        with self._changed:
            if not self._open or self._ended:
                raise SourceError(f"{self.name} is not open: start its session first")
            return self._add(self._resample(samples, last=False), in_place)

    def end(self) -> None:
        """Mark the end: no more audio comes."""
        with self._changed:
            if self._open and not self._ended:
                self._add(self._resample(np.empty(0, np.float32), last=True))
            self._ended = True
            self._changed.notify_all()

    def _resample(self, samples: NDArray[np.float32], last: bool) -> NDArray[np.float32]:
        if self._resampler is None:
            return samples
        resampled: NDArray[np.float32] = self._resampler.resample_chunk(samples, last=last)
        return resampled

    def _add(self, samples: NDArray[np.float32], in_place: bool = False) -> int:
        room = min(self._buffer_samples, self._length) if in_place else self._buffer_samples
        if len(samples):
            self._waiting.append(samples)
            self._length += len(samples)
        lost = excess = max(0, self._length - room)
        while excess:
            oldest = self._waiting.popleft()
            if len(oldest) > excess:
                self._waiting.appendleft(oldest[excess:])
            excess -= min(len(oldest), excess)
        self._length -= lost
        self._lost += lost
        self._changed.notify_all()
        return lost

    def read(self, timeout_s: float) -> Block | None:
        """Wait for audio; see `AudioSource.read`."""
        with self._changed:
            self._changed.wait_for(
                lambda: self._waiting or self._lost or self._ended or not self._open, timeout_s
            )
            if not (self._waiting or self._lost):
                over = self._ended or not self._open
                return None if over else Block(np.empty(0, np.float32))
            samples = np.concatenate([*self._waiting, np.empty(0, np.float32)])
            lost, self._lost = self._lost, 0
            self._waiting.clear()
            self._length = 0
            return Block(samples, lost_samples=lost)

    def close(self) -> None:
        """Refuse further audio, and drop what was not read."""
        with self._changed:
            self._reset()
            self._changed.notify_all()


def _as_samples(audio: bytes | bytearray | memoryview | NDArray[Any]) -> NDArray[np.float32]:
    """Copy pushed audio into finite floats in -1..1."""
    if isinstance(audio, bytes | bytearray | memoryview):
        data = bytes(audio)
        if len(data) % 2:
            raise SourceError(f"16-bit samples come in pairs of bytes, not {len(data)} bytes")
        return from_pcm16(data)
    audio = np.asarray(audio)
    if audio.ndim != 1 or not (audio.dtype == np.int16 or audio.dtype.kind == "f"):
        raise SourceError(
            "samples must be mono, shape (n,), and int16 or float, not "
            f"{audio.dtype} of shape {audio.shape}"
        )
    if audio.dtype == np.int16:
        return from_pcm16(audio)
    return np.nan_to_num(audio.astype(np.float32), copy=False, posinf=0.0, neginf=0.0)
