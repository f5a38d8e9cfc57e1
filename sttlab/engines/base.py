"""What a speech-to-text engine is, and what it answers."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from sttlab.audio import SAMPLE_RATE
from sttlab.config import TranscribeConfig
from sttlab.engines.suppression import Suppression
from sttlab.errors import TranscribeError
from sttlab.events import Segment


@dataclass(frozen=True, kw_only=True)
class Transcription:
    """What an engine makes of one utterance. Times are seconds from the utterance's start.

    Attributes
    ----------
    text : str
        What remains after suppression, stripped; "" if nothing was said.
    segments : tuple of Segment
    suppressed : tuple of Suppression
    language : str
        ISO 639-1 code.
    language_probability, confidence : float in 0..1
    english_log_prob : float or None
        Mean log probability of the tokens, those held back included, if the model knows only
        English and hears speech; it is low if the speech is in another language.
    """

    text: str
    segments: tuple[Segment, ...]
    suppressed: tuple[Suppression, ...]
    language: str
    language_probability: float
    confidence: float
    english_log_prob: float | None = None


class Cancelled(Exception):
    """Raised by `Engine.transcribe` soon after its argument `cancelled` returns True."""


def never() -> bool:
    """Return False: the transcription goes on to its end."""
    return False


class Engine(Protocol):
    """A speech-to-text engine. Making one is cheap; `load` loads its model.

    Only one thread at a time calls its methods: `sttlab-asr`, where an `AsrWorker` owns it. `load`
    may run on `sttlab-load` before that, while another engine transcribes.

    An engine may also have `transcribe_partial`, with the parameters of `transcribe`: a text that
    comes sooner and may be worse, for `Partial` events. Without it, `transcribe` serves for them.
    And it may have `transcribe_batch`, which takes a sequence of utterances in place of one, and
    yields the answer to each, with its number in the sequence, in the order in which they are
    done. Recordings are transcribed with it, if an engine has it.
    """

    @property
    def config(self) -> TranscribeConfig | None:
        """What `make_engine` makes this engine from; None if it can't, as for one made by hand.

        A client can change the model and the language only where it is not None.
        """

    @property
    def name(self) -> str:
        """Engine and model, for people to read."""

    def load(self) -> None:
        """Load the model and warm it up. Blocks for seconds; does nothing if it is loaded already.

        Raises
        ------
        MissingExtra
            If a package that the engine needs is not installed.
        ModelError
            If the weights can't be found or don't load; the message says what to do.
        ConfigError
            If the model doesn't know the language, or the engine doesn't run on the device.
        """

    def transcribe(
        self,
        samples: NDArray[np.generic],
        sample_rate: int = SAMPLE_RATE,
        *,
        cancelled: Callable[[], bool] = never,
    ) -> Transcription:
        """Turn one utterance into text. Blocks; loads the model first if it isn't loaded.

        The same audio gives the same text, again and in a batch.

        Parameters
        ----------
        samples : ndarray, shape (n,) or (n, channels) or (channels, n), any real dtype
        sample_rate : int, Hz
        cancelled : callable
            Called before each step; once it returns True, the engine stops.

        Raises
        ------
        Cancelled
            If `cancelled` returned True.
        TranscribeError
            If the engine fails, or `samples` is not audio.
        """

    def close(self) -> None:
        """Free the model's memory. `load` loads it again."""


def transcribe_each(
    engine: Engine, batch: Sequence[NDArray[np.float32]]
) -> Iterator[tuple[int, Transcription]]:
    """Transcribe utterances, together if the engine can; yield each answer with its number.

    Raises
    ------
    TranscribeError
        If the engine fails.
    """
    if transcribe_batch := getattr(engine, "transcribe_batch", None):
        yield from transcribe_batch(batch)
    else:
        yield from enumerate(map(engine.transcribe, batch))


def checked(answer: object) -> Transcription:
    """Return an engine's answer as it is.

    Raises
    ------
    TranscribeError
        If it is not a `Transcription`, or holds a number that is not finite.
    """
    if isinstance(answer, Transcription) and isinstance(answer.text, str):
        numbers = [answer.language_probability, answer.confidence, answer.english_log_prob or 0]
        numbers += [part.confidence for part in answer.segments]
        parts: tuple[Segment | Suppression, ...] = (*answer.segments, *answer.suppressed)
        numbers += [bound for part in parts for bound in (part.start_s, part.end_s)]
        if all(map(math.isfinite, numbers)):
            return answer
    raise TranscribeError(f"the engine answered nonsense: {str(answer)[:200]}")
