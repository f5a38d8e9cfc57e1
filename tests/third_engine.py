"""An engine in one file, without weights: its text is the length of the audio.

sttlab doesn't know it; tests register it.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sttlab.audio import SAMPLE_RATE
from sttlab.engines.base import Cancelled
from sttlab.engines.local import Decoded, DecodedSpan, LocalEngine
from sttlab.events import Segment, Word

NAME = "stopwatch"


class StopwatchEngine(LocalEngine):
    """See `Engine`."""

    engine = NAME
    requires = (NAME, NAME)
    weights_format = "nothing"

    def _import(self) -> None:
        pass

    def _choose_device(self) -> str:
        return "cpu"

    def _find_weights(self) -> Path:
        return Path()

    def _open(self, path: Path, device: str) -> str:
        return "a model"

    def _is_multilingual(self, model: str) -> bool:
        return self.config.model != "tiny.en"

    def _decode_all(
        self, audio: NDArray[np.float32], cancelled: Callable[[], bool], *, final: bool
    ) -> Decoded:
        duration_s = len(audio) / SAMPLE_RATE
        text = f"{duration_s:.1f} seconds"
        words = tuple(
            Word(
                start_s=duration_s * i / 2,
                end_s=duration_s * (i + 1) / 2,
                text=word,
                confidence=1.0,
            )
            for i, word in enumerate(text.split())
        )
        for _ in words:
            if cancelled():
                raise Cancelled
        segment = Segment(
            start_s=0.0,
            end_s=duration_s,
            text=text,
            confidence=1.0,
            words=words if self.config.words else (),
        )
        span = DecodedSpan(
            start_s=0.0,
            end_s=duration_s,
            text=text,
            segments=(segment,),
            mean_log_prob=0.0,
            no_speech_prob=0.0,
            compression_ratio=1.0,
        )
        return Decoded(spans=(span,), language="en", language_probability=1.0)
