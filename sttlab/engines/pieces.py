"""Long audio in pieces that a model takes at once."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from sttlab.audio import SAMPLE_RATE

LONGEST_PIECE_S = 28.0
CUT_WINDOW_S = 5.0  # at the end of a piece, in which its quietest moment is looked for
FRAME_SAMPLES = 1600  # 0.1 s


def pieces(audio: NDArray[np.float32]) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """Cut audio at its quietest moments into pieces of at most LONGEST_PIECE_S.

    Parameters
    ----------
    audio : ndarray, shape (n,), float32
        At SAMPLE_RATE.

    Yields
    ------
    (int, ndarray)
        Where the piece begins, in samples, and its samples. Joined, they are `audio`.
    """
    longest, window = (round(s * SAMPLE_RATE) for s in (LONGEST_PIECE_S, CUT_WINDOW_S))
    start = 0
    while len(audio) - start > longest:
        first = start + longest - window
        frames = audio[first : start + longest].reshape(-1, FRAME_SAMPLES)
        quietest = int(np.square(frames).mean(axis=1).argmin())
        stop = first + quietest * FRAME_SAMPLES + FRAME_SAMPLES // 2
        yield start, audio[start:stop]
        start = stop
    yield start, audio[start:]
