"""What a voice detector is: it says for each frame whether it sounds like speech, no more."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from sttlab.config import VadConfig


@dataclass(frozen=True, eq=False)
class Activity:
    """What a detector makes of n frames. Each array has shape (n,) and is float64.

    Attributes
    ----------
    level_dbfs : ndarray
    score : ndarray
        What is compared with the thresholds: the level in dBFS, or a probability.
    onset, offset : ndarray
        At or above `onset` speech begins; below `offset` it ends.
    """

    level_dbfs: NDArray[np.float64]
    score: NDArray[np.float64]
    onset: NDArray[np.float64]
    offset: NDArray[np.float64]


class VoiceDetector(Protocol):
    """A detector with a memory: one instance for each stream."""

    frame_samples: int
    """Length of a frame, which is also the step between frames."""

    config: VadConfig
    """May be replaced between two calls of `process`."""

    def process(self, frames: NDArray[np.float32]) -> Activity:
        """Judge the next n frames.

        The result depends on the frames alone, not on how many come at once.

        Parameters
        ----------
        frames : ndarray, shape (n, frame_samples), float32
        """
