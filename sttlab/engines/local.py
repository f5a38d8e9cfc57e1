"""What engines have in common whose model runs in this process."""

from __future__ import annotations

import copy
import pickle
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from sttlab.audio import SAMPLE_RATE, normalise
from sttlab.config import TranscribeConfig
from sttlab.engines.base import Transcription, never
from sttlab.engines.languages import LANGUAGES
from sttlab.engines.suppression import NO_SPEECH, Suppression, hallucination
from sttlab.errors import ConfigError, MissingExtra, ModelError, SourceError, TranscribeError
from sttlab.events import Segment

ENGLISH_ONLY = ".en"  # ends the names of such models
SHORTEST_S = 0.05  # audio shorter than that has no word in it
# What reading another kind of file raises, in words that say nothing to a person.
OF_ANOTHER_FILE = (pickle.UnpicklingError, EOFError, LookupError, TypeError, AttributeError)


@dataclass(frozen=True, kw_only=True)
class DecodedSpan:
    """What a model decoded from a span of the audio, before suppression.

    Attributes
    ----------
    start_s, end_s : float
        From the start of the audio.
    text : str
        Stripped.
    segments : tuple of Segment
        The same text with more exact times, from the start of the audio as well.
    mean_log_prob, no_speech_prob, compression_ratio : float
        See `hallucination`. An engine that has no such figures gives 0, 0 and 1, which suppress
        nothing.
    """

    start_s: float
    end_s: float
    text: str
    segments: tuple[Segment, ...]
    mean_log_prob: float
    no_speech_prob: float
    compression_ratio: float


@dataclass(frozen=True, kw_only=True)
class Decoded:
    """What a model decoded from an utterance, before suppression."""

    spans: tuple[DecodedSpan, ...]
    language: str
    language_probability: float


class LocalEngine(ABC):
    """An engine that loads a model once; see `Engine`.

    This class checks input and language, warms the model up, holds hallucinations back and turns
    failures into errors of sttlab. A subclass says how the model is loaded and run.

    Parameters
    ----------
    config : TranscribeConfig

    Attributes
    ----------
    weights : Path or None
        The file or folder of the weights, once they are loaded.
    """

    engine: ClassVar[str]
    """Its name, also where ``config.engine`` is "auto"."""

    requires: ClassVar[tuple[str, str]]
    """The package that `_import` imports, and the extra of sttlab that brings it."""

    weights_format: ClassVar[str]
    """Such as "a Whisper checkpoint", for the error if they don't load."""

    def __init__(self, config: TranscribeConfig) -> None:
        self.config = config
        self.weights: Path | None = None
        self._model: Any = None

    @property
    def name(self) -> str:
        """Engine and model, for people to read."""
        return f"{self.engine} {self.config.model}"

    @abstractmethod
    def _import(self) -> None:
        """Import what the engine needs. Raises ImportError."""

    @abstractmethod
    def _choose_device(self) -> str:
        """Choose the device to run on. Raises ModelError or ConfigError if it can't be had."""

    @abstractmethod
    def _find_weights(self) -> Path:
        """Find the weights. Raises ModelError."""

    @abstractmethod
    def _open(self, path: Path, device: str) -> Any:
        """Load the model. Raises ModelError for what isn't the file's fault, and anything."""

    @abstractmethod
    def _is_multilingual(self, model: Any) -> bool:
        """Whether a model knows other languages than English."""

    @abstractmethod
    def _decode_all(
        self, audio: NDArray[np.float32], cancelled: Callable[[], bool], *, final: bool
    ) -> Decoded:
        """Decode an utterance: mono, at SAMPLE_RATE, without DC offset, not empty.

        Parameters
        ----------
        audio : ndarray, shape (n,)
        cancelled : callable
        final : bool
            Whether a poor text is worth another try.

        Raises
        ------
        Cancelled
            If `cancelled` returned True.
        RuntimeError, ValueError
            If the model fails.
        """

    def _decode_each(
        self, batch: Sequence[NDArray[np.float32]], cancelled: Callable[[], bool], *, final: bool
    ) -> Iterator[tuple[int, Decoded]]:
        """Decode utterances as `_decode_all` does, in any order; yield each with its number."""
        for number, audio in enumerate(batch):
            yield number, self._decode_all(audio, cancelled, final=final)

    def load(self) -> None:
        """Load the model and warm it up; see `Engine.load`."""
        if self._model is not None:
            return
        check_language(self.config)
        try:
            self._import()
        except ImportError as error:
            raise MissingExtra(*self.requires) from error
        device, path = self._choose_device(), self._find_weights()
        try:
            model = self._open(path, device)
        except ModelError:
            raise
        except Exception as error:  # a file with something else in it raises anything
            what = f"{path} does not load as {self.weights_format}"
            raise ModelError(f"{what}: {_why(error)}") from error
        if not self._is_multilingual(model):
            _check_english(self.config)
        self._model, self.weights = model, path
        self.transcribe(np.random.default_rng(0).standard_normal(SAMPLE_RATE) * 1e-3)

    def close(self) -> None:
        """Free the model's memory, unless an engine of `in_language` has it too."""
        self._model = None

    def in_language(self, language: str | None) -> LocalEngine:
        """Make an engine of the same model, loaded once for both; any thread may call it.

        Only one of the two may transcribe from then on.

        Raises
        ------
        ConfigError
            If the model doesn't know the language.
        """
        other = copy.copy(self)
        other.config = replace(self.config, language=language)
        check_language(other.config)
        if other._model is not None and not self._is_multilingual(other._model):
            _check_english(other.config)
        return other

    def transcribe(
        self,
        samples: NDArray[np.generic],
        sample_rate: int = SAMPLE_RATE,
        *,
        cancelled: Callable[[], bool] = never,
    ) -> Transcription:
        """Turn one utterance into text; see `Engine.transcribe`."""
        ((_, answer),) = self._transcribe([samples], sample_rate, cancelled, final=True)
        return answer

    def transcribe_partial(
        self,
        samples: NDArray[np.generic],
        sample_rate: int = SAMPLE_RATE,
        *,
        cancelled: Callable[[], bool] = never,
    ) -> Transcription:
        """Turn the beginning of an utterance into text, without a second try if it is poor."""
        ((_, answer),) = self._transcribe([samples], sample_rate, cancelled, final=False)
        return answer

    def transcribe_batch(
        self,
        batch: Sequence[NDArray[np.generic]],
        sample_rate: int = SAMPLE_RATE,
        *,
        cancelled: Callable[[], bool] = never,
    ) -> Iterator[tuple[int, Transcription]]:
        """Turn utterances into text; see `Engine`."""
        return self._transcribe(batch, sample_rate, cancelled, final=True)

    def _transcribe(
        self,
        batch: Sequence[NDArray[np.generic]],
        sample_rate: int,
        cancelled: Callable[[], bool],
        *,
        final: bool,
    ) -> Iterator[tuple[int, Transcription]]:
        self.load()
        audio = [_without_offset(samples, sample_rate) for samples in batch]
        worth = [number for number, each in enumerate(audio) if may_hold_words(each)]
        nothing = Decoded(spans=(), language=self.config.language or "en", language_probability=1.0)
        for number in sorted(set(range(len(audio))) - set(worth)):
            yield number, self._answer(nothing, audio[number])
        try:
            for at, decoded in self._decode_each([audio[n] for n in worth], cancelled, final=final):
                yield worth[at], self._answer(decoded, audio[worth[at]])
        except (RuntimeError, ValueError) as error:
            raise TranscribeError(f"{self.name} failed: {error}") from error

    def _answer(self, decoded: Decoded, audio: NDArray[np.float32]) -> Transcription:
        answer = _without_hallucinations(decoded, audio)
        if self._is_multilingual(self._model):
            return answer
        return replace(answer, english_log_prob=_speech_log_prob(decoded))


def _without_offset(samples: NDArray[np.generic], sample_rate: int) -> NDArray[np.float32]:
    """Return mono audio at SAMPLE_RATE without DC offset. Raises TranscribeError."""
    try:
        audio = normalise(samples, sample_rate)
    except SourceError as error:
        raise TranscribeError(f"this audio can't be used: {error}") from error
    return audio - audio.mean() if len(audio) else audio


def check_language(config: TranscribeConfig) -> None:
    """Check, before a model is loaded, what its name tells of its language.

    Raises
    ------
    ConfigError
        If there is no such language, or the model doesn't know it.
    """
    language = config.language
    if language is not None and language not in LANGUAGES:
        raise ConfigError(f"language must be a code such as en or de, not {language!r}")
    if config.model.endswith(ENGLISH_ONLY):
        _check_english(config)


def _why(error: Exception) -> str:
    """Say why weights don't load."""
    if isinstance(error, MemoryError):
        return "there is too little memory"
    # PyTorch's words on other files advise to let the file run its code.
    if isinstance(error, OF_ANOTHER_FILE) or "weights_only" in str(error) or not str(error):
        return "it is another kind of file, or damaged"
    return str(error)


def _check_english(config: TranscribeConfig) -> None:
    if config.language not in (None, "en") or config.task == "translate":
        raise ConfigError(
            f"{config.model} knows only English; for other languages and to translate "
            "take a multilingual model, such as base"
        )


def may_hold_words(audio: NDArray[np.float32]) -> bool:
    """Whether audio is long enough for a word, and not digital silence."""
    return len(audio) >= SHORTEST_S * SAMPLE_RATE and bool(audio.any())


def _speech_log_prob(decoded: Decoded) -> float | None:
    """Mean log probability of what was decoded from speech, by its length; None if none was."""
    speech = [span for span in decoded.spans if span.no_speech_prob <= NO_SPEECH[0][0]]
    lengths = [span.end_s - span.start_s for span in speech]
    if not sum(lengths):
        return None
    return float(np.average([span.mean_log_prob for span in speech], weights=lengths))


def _without_hallucinations(decoded: Decoded, audio: NDArray[np.float32]) -> Transcription:
    segments: list[Segment] = []
    suppressed: list[Suppression] = []
    for span in decoded.spans:
        start, stop = (round(time_s * SAMPLE_RATE) for time_s in (span.start_s, span.end_s))
        reason = hallucination(
            span.text,
            span.mean_log_prob,
            span.no_speech_prob,
            span.compression_ratio,
            audio[start:stop],
        )
        if reason:
            suppressed.append(
                Suppression(text=span.text, reason=reason, start_s=span.start_s, end_s=span.end_s)
            )
        else:
            segments += span.segments
    return Transcription(
        text=" ".join(segment.text for segment in segments),
        segments=tuple(segments),
        suppressed=tuple(suppressed),
        language=decoded.language,
        language_probability=decoded.language_probability,
        confidence=float(np.mean([s.confidence for s in segments])) if segments else 0.0,
    )
