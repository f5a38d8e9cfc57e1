"""Curves of a recording at the resolution of a screen: extremes and means in bins of 2ⁿ values."""

from __future__ import annotations

from functools import cached_property

import numpy as np
from numpy.typing import NDArray

PIECE_BINS = 2048  # as in frontend/notebook/pieces.js
STORED = 8  # bins of less than 2⁸ values are reduced when they are asked for

Bins = tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]


class Pyramid:
    """The least, the greatest and the mean value of a curve in bins of 1, 2, 4, 8, ... values.

    What is stored takes a fiftieth of an hour of audio. It is made when it is first needed, which
    takes 0.2 s for an hour of audio. Any thread may use it.

    Parameters
    ----------
    values : ndarray, shape (n,)
        It must not change.
    is_wave : bool
        Whether the values are samples of audio, whose mean is their root mean square.
    """

    def __init__(self, values: NDArray[np.floating], *, is_wave: bool = False) -> None:
        self._values = values
        self._is_wave = is_wave

    @property
    def top(self) -> int:
        """The level at which all bins are in one piece."""
        pieces = -(-len(self._values) // PIECE_BINS)
        return max(0, pieces - 1).bit_length()

    def piece(self, level: int, index: int) -> Bins:
        """Return one of the pieces of a level.

        Parameters
        ----------
        level : int
            Bins hold 2 ** level values, the last of the curve fewer; at most `top`.
        index : int
            Bins ``PIECE_BINS * index`` to ``PIECE_BINS * (index + 1)``.

        Returns
        -------
        low, high, mean : ndarray, shape (n,), float32
            n is at most PIECE_BINS, and 0 beyond the end of the curve.
        """
        level, index = min(max(level, 0), self.top), max(index, 0)
        part = slice(PIECE_BINS * index, PIECE_BINS * (index + 1))
        if level >= STORED:
            low, high, sums = (stored[part] for stored in self._levels[level - STORED])
        else:
            values = self._values[part.start << level : part.stop << level]
            low, high, sums = self._reduce(values, 1 << level)
        first = (np.arange(len(sums)) + part.start) << level
        counts = np.minimum(len(self._values) - first, 1 << level)
        means = sums / np.maximum(counts, 1)
        if self._is_wave:
            means = np.sqrt(means)
        return low.astype(np.float32), high.astype(np.float32), means.astype(np.float32)

    @cached_property
    def _levels(self) -> list[tuple[NDArray[np.floating], ...]]:
        """Extremes and sums of all bins, from the level STORED upwards."""
        levels = [self._reduce(self._values, 1 << STORED)]
        while len(levels[-1][0]) > PIECE_BINS:
            low, high, sums = levels[-1]
            starts = np.arange(0, len(low), 2)
            halved = (np.minimum.reduceat(low, starts), np.maximum.reduceat(high, starts))
            levels.append((*halved, np.add.reduceat(sums, starts)))
        return levels

    def _reduce(self, values: NDArray[np.floating], unit: int) -> tuple[NDArray[np.floating], ...]:
        """Return the extremes and the sums of bins: sums of squares, of a wave."""
        whole = len(values) // unit * unit
        rows = values[:whole].reshape(-1, unit)
        parts = [(rows.min(axis=1), rows.max(axis=1), self._sums(rows))]
        if whole < len(values):
            rest = values[np.newaxis, whole:]
            parts.append((rest.min(axis=1), rest.max(axis=1), self._sums(rest)))
        return tuple(np.concatenate(arrays) for arrays in zip(*parts, strict=True))

    def _sums(self, rows: NDArray[np.floating]) -> NDArray[np.floating]:
        if self._is_wave:
            squares: NDArray[np.floating] = np.einsum("ij,ij->i", rows, rows)
            return squares.astype(np.float64)
        sums: NDArray[np.floating] = rows.sum(axis=1, dtype=np.float64)
        return sums
