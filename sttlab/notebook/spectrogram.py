"""The spectrogram of a recording, in pieces, at the resolution of the screen."""

from __future__ import annotations

from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from sttlab.audio import SAMPLE_RATE
from sttlab.notebook.pyramid import PIECE_BINS

BANDS = 128  # from 0 to 8 kHz, as in frontend/notebook/spectrogram.js
STEP = SAMPLE_RATE // 100  # samples from one column to the next, at the finest level
WINDOW = 400  # samples, 25 ms: wide-band enough to see syllables, narrow enough to see harmonics
FFT = 512
PLACES = 3  # most windows of which a column is the mean
RANGE_DB = 80.0  # below the loudest band; the browser shows a part of it, as somebody chooses


class Spectrogram:
    """Power by time and frequency, with 6 dB an octave of pre-emphasis. Any thread may use it.

    Nothing is computed before it is asked for. A piece takes some 50 ms.

    Parameters
    ----------
    samples : ndarray, shape (n,)
        Mono at SAMPLE_RATE. It must not change.
    """

    def __init__(self, samples: NDArray[np.float32]) -> None:
        self._samples = samples

    def piece(self, level: int, index: int) -> NDArray[np.uint8]:
        """Return columns ``PIECE_BINS * index`` to ``PIECE_BINS * (index + 1)`` of a level.

        Parameters
        ----------
        level : int
            A column is of 2 ** level times 10 ms.
        index : int

        Returns
        -------
        ndarray, shape (columns, BANDS), uint8
            From 0 for RANGE_DB below the loudest, or less, to 255.
        """
        level = min(max(0, level), self._top)
        width = STEP << level
        first = PIECE_BINS * max(0, index)
        past = min(first + PIECE_BINS, -(-len(self._samples) // width))
        starts = np.arange(first, past) * width
        count = min(PLACES, 1 << level)
        power = np.zeros((len(starts), BANDS))
        for place in range(count):
            power += self._power(starts + round((place + 0.5) * width / count))
        decibels = 10 * np.log10(power / count + 1e-12) - self._loudest_db
        return np.clip(255 * (1 + decibels / RANGE_DB), 0, 255).astype(np.uint8)

    def _power(self, centres: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the power in each band around each of these samples."""
        at = centres[:, np.newaxis] + np.arange(WINDOW) - WINDOW // 2
        inside = (at >= 0) & (at < len(self._samples))
        frames = np.where(inside, self._samples[np.clip(at, 0, len(self._samples) - 1)], 0)
        spectrum = np.fft.rfft(frames * np.hanning(WINDOW), FFT)[:, 1:]
        raised = np.arange(1, FFT // 2 + 1) ** 2.0
        power = (spectrum.real**2 + spectrum.imag**2) * raised
        bands: NDArray[np.float64] = power.reshape(-1, BANDS, FFT // 2 // BANDS).mean(axis=2)
        return bands

    @property
    def _top(self) -> int:
        """The level at which all columns are in one piece."""
        return max(0, len(self._samples) // (STEP * PIECE_BINS)).bit_length()

    @cached_property
    def _loudest_db(self) -> float:
        """Of a thousand places over the recording."""
        if not len(self._samples):
            return 0.0
        places = np.linspace(0, len(self._samples) - 1, 1000).astype(np.int64)
        return float(10 * np.log10(self._power(places).max() + 1e-12))
