"""What a speech-to-text engine is, and what it answers."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from sttlab.audio import SAMPLE_RATE, level_dbfs
from sttlab.errors import TranscribeError
from sttlab.events import Segment, Word

LONGEST_PIECE_S = 28.0
CUT_WINDOW_S = 5.0
LONG_S, SLOWEST_LETTERS_PER_S = 5.0, 2.0  # nobody says "Thank you." for so long
NO_SPEECH = ((0.6, -0.9), (0.8, -0.8))  # by the model, with a mean log probability below
# What Whisper makes of noise, since its subtitles said so over music and silence (Baranski et al.,
# "Investigation of Whisper ASR hallucinations induced by non-speech audio", ICASSP 2025).
PHANTOMS = {"you", "thank you", "thank you very much", "thank you so much", "bye"} | {
    f"{thanks} for watching" for thanks in ("thanks", "thank you")
}
PHANTOM_NO_SPEECH, PHANTOM_LOG_PROB = 0.5, -0.6
TWICE_WORDS, TWICE_LOG_PROB = 3, -0.7  # a loop that stopped by itself
FRAME_SAMPLES = 1600  # 0.1 s
UNSPACED = {"zh", "ja", "th", "lo", "my", "yue"}  # languages written without spaces


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
    """Raised by `Engine.transcribe` soon after its `cancelled` has said so."""


def never() -> bool:
    """Say that a transcription is not cancelled."""
    return False


class Engine(Protocol):
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


def checked(answer: object) -> Transcription:
    """Give back what an engine answered. Raises TranscribeError if it makes no sense."""
    if isinstance(answer, Transcription) and isinstance(answer.text, str):
        numbers = [answer.language_probability, answer.confidence]
        numbers += [part.confidence for part in answer.segments]
        parts: tuple[Segment | Suppression, ...] = (*answer.segments, *answer.suppressed)
        numbers += [bound for part in parts for bound in (part.start_s, part.end_s)]
        if all(map(math.isfinite, numbers)):
            return answer
    raise TranscribeError(f"the engine answered nonsense: {str(answer)[:200]}")


def confidence(log_prob: float) -> float:
    """Give the geometric mean of the probabilities of the tokens, from the mean of their logs."""
    return min(1.0, math.exp(log_prob))


def word_confidence(shares: Iterable[float]) -> float:
    """Say how sure a word is, from the probabilities of its tokens.

    Of the formulas tried, the square root of their product tells right words from wrong ones best,
    and comes nearest to the part of such words that is right (tests/benchmarks/bench_confidence.py;
    docs/measurements.md).
    """
    return math.sqrt(math.prod(shares))


def invented(
    text: str, log_prob: float, no_speech: float, compression: float, sound: NDArray[np.float32]
) -> str | None:
    """Say why a text was most likely invented; None if it may well have been said.

    Parameters
    ----------
    text : str
    log_prob : float
        Mean log probability of the tokens.
    no_speech : float in 0..1
        The model's own probability that nobody speaks.
    compression : float
        Length of the text over its length compressed: a measure of repetition.
    sound : ndarray, shape (n,), float32
        What the text is said to be in.
    """
    if not text:
        return None
    if compression > 2.4:
        return f"it repeats itself (compression ratio {compression:.1f})"
    if not any(c.isalnum() for c in text):
        return "there is no word in it"
    if any(no_speech > least and log_prob < below for least, below in NO_SPEECH):
        return f"no speech ({no_speech:.0%} by the model, {confidence(log_prob):.0%} confident)"
    words = "".join(c if c.isalnum() else " " for c in text.lower()).split()
    half = len(words) // 2
    if half >= TWICE_WORDS and words == words[:half] * 2 and log_prob < TWICE_LOG_PROB:
        return f"it says the same twice ({confidence(log_prob):.0%} confident)"
    phantom = " ".join(words) in PHANTOMS
    if phantom and no_speech > PHANTOM_NO_SPEECH and log_prob < PHANTOM_LOG_PROB:
        return f"made of noise as a rule ({no_speech:.0%} no speech by the model)"
    letters, sound_s = sum(c.isalnum() for c in text), len(sound) / SAMPLE_RATE
    if sound_s > LONG_S and letters < SLOWEST_LETTERS_PER_S * sound_s and log_prob < -1.0:
        share = confidence(log_prob)
        return f"little text for {sound_s:.0f} s of sound ({share:.0%} confident)"
    if log_prob < -1.5:
        return f"the model guesses ({confidence(log_prob):.0%} confident)"
    level = level_dbfs(sound)
    if level < -60 and log_prob < -0.7:
        return f"too quiet to be words ({level:.0f} dBFS, {confidence(log_prob):.0%} confident)"
    return None


def whole_words(parts: Iterable[Word], language: str) -> list[Word]:
    """Put parts of words together: all that don't begin with a space, where words do."""
    words: list[Word] = []
    for part in parts:
        if words and language not in UNSPACED and not part.text.startswith(" "):
            last = words[-1]
            words[-1] = replace(
                last,
                end_s=part.end_s,
                text=last.text + part.text,
                confidence=last.confidence * part.confidence,
            )
        elif part.text.strip():
            words.append(part)
    return [replace(word, text=word.text.strip()) for word in words]


def pieces(sound: NDArray[np.float32]) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """Cut what is longer than a model hears at once, at the quietest moments. Nothing is lost.

    Returns
    -------
    iterator of (first sample, samples)
    """
    longest, window = (round(s * SAMPLE_RATE) for s in (LONGEST_PIECE_S, CUT_WINDOW_S))
    start = 0
    while len(sound) - start > longest:
        first = start + longest - window
        frames = sound[first : start + longest].reshape(-1, FRAME_SAMPLES)
        quietest = int(np.square(frames).mean(axis=1).argmin())
        stop = first + quietest * FRAME_SAMPLES + FRAME_SAMPLES // 2
        yield start, sound[start:stop]
        start = stop
    yield start, sound[start:]
