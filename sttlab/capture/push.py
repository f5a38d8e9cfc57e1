"""Sound that arrives from elsewhere: a browser, a socket, a test."""

from __future__ import annotations

import threading
from collections import deque

import numpy as np
from numpy.typing import NDArray

from sttlab.audio import SAMPLE_RATE, from_pcm16
from sttlab.capture.base import Block
from sttlab.errors import SourceError

BUFFER_S = 10.0  # held for a reader that is late; then the oldest goes, and is counted


class PushSource:
    """A source that is given its sound by other threads.

    Parameters
    ----------
    sample_rate : int, Hz
        Of what is pushed; resampled on the way, without loss.
    name : str
        What a person calls it.

    Raises
    ------
    SourceError
        If the rate is not one of sound.
    """

    def __init__(self, sample_rate: int = SAMPLE_RATE, *, name: str = "pushed sound") -> None:
        if not 1_000 <= sample_rate <= 768_000:
            raise SourceError(f"sample_rate must be between 1000 and 768000 Hz, not {sample_rate}")
        self.name = name
        self.sample_rate = sample_rate
        self._changed = threading.Condition()
        self._waiting: deque[NDArray[np.float32]] = deque()  # bounded by BUFFER_S
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
        """Start empty."""
        with self._changed:
            self._reset()
            self._open = True

    def push(self, sound: bytes | NDArray[np.float32]) -> int:
        """Add sound; from any thread, never blocks.

        Parameters
        ----------
        sound : bytes or ndarray, shape (n,), float32
            Bytes are 16-bit little-endian samples.

        Returns
        -------
        int
            How many older samples, at SAMPLE_RATE, had to go to make room: 0 if all is well.

        Raises
        ------
        SourceError
            If the bytes are not whole samples, or the source is not open.
        """
        if isinstance(sound, bytes) and len(sound) % 2:
            raise SourceError(f"16-bit samples come in pairs of bytes, not {len(sound)} bytes")
        samples = from_pcm16(sound) if isinstance(sound, bytes) else np.array(sound, np.float32)
        if samples.ndim != 1:
            raise SourceError(f"samples must be mono, shape (n,), not {samples.shape}")
        with self._changed:
            if not self._open or self._ended:
                raise SourceError(f"{self.name} is not open: start its session first")
            return self._add(self._resample(samples, last=False))

    def end(self) -> None:
        """Say that no more sound comes."""
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

    def _add(self, samples: NDArray[np.float32]) -> int:
        if len(samples):
            self._waiting.append(samples)
            self._length += len(samples)
        lost = 0
        while self._length > BUFFER_S * SAMPLE_RATE:
            lost += len(self._waiting[0])
            self._length -= len(self._waiting.popleft())
        self._lost += lost
        self._changed.notify_all()
        return lost

    def read(self, timeout_s: float) -> Block | None:
        """Wait for sound; see `AudioSource.read`."""
        with self._changed:
            if not self._waiting and not self._ended and self._open:
                self._changed.wait(timeout_s)
            if not self._waiting:
                return None if self._ended else Block(np.empty(0, np.float32))
            samples = np.concatenate(self._waiting)
            lost, self._lost = self._lost, 0
            self._waiting.clear()
            self._length = 0
            return Block(samples, lost_samples=lost)

    def close(self) -> None:
        """Refuse further sound and drop what nobody read."""
        with self._changed:
            self._reset()
            self._ended = True
            self._changed.notify_all()
