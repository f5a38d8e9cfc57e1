"""What a speech-to-text engine is, and what it answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from sttlab.events import Segment


@dataclass(frozen=True, kw_only=True)
class Suppression:
    """Text that an engine produced and most likely invented, and why it was held back."""

    text: str
    reason: str
    start_s: float
    end_s: float


@dataclass(frozen=True, kw_only=True)
class Transcription:
    """What an engine makes of one utterance; times are seconds from the utterance's start.

    Attributes
    ----------
    text : str
        What remains after suppression, stripped; "" if nothing was said.
    segments : tuple of Segment
    suppressed : tuple of Suppression
    language : str
        ISO 639-1 code.
    language_probability, confidence : float in 0..1
    """

    text: str
    segments: tuple[Segment, ...]
    suppressed: tuple[Suppression, ...]
    language: str
    language_probability: float
    confidence: float


class Cancelled(Exception):
    """Raised by `Transcriber.transcribe` soon after its `cancelled` has said so."""


def never() -> bool:
    """Say that a transcription is not cancelled."""
    return False


class Transcriber(Protocol):
    """A speech-to-text engine. Made cheaply, loaded once, used by one thread at a time."""

    @property
    def name(self) -> str:
        """Engine and model, for people."""

    def load(self) -> None:
        """Load the weights and warm up. Blocks for seconds; does nothing when loaded already.

        Raises
        ------
        ModelError
            If the weights are not to be had or do not load, with the remedy.
        """

    def transcribe(
        self,
        samples: NDArray[np.generic],
        sample_rate: int = 16000,
        *,
        cancelled: Callable[[], bool] = never,
    ) -> Transcription:
        """Turn one utterance into text. Blocks; loads first if need be.

        Parameters
        ----------
        samples : ndarray, shape (n,) or (n, channels) or (channels, n), any real dtype
        sample_rate : int, Hz
        cancelled : callable
            Asked before each step; once it says True, the work is dropped.

        Raises
        ------
        Cancelled
            If `cancelled` said so.
        TranscribeError
            If the engine fails, or `samples` is not something that can be heard.
        """

    def close(self) -> None:
        """Free the model's memory. `load` brings it back."""
