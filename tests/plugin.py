"""A detector outside the package: one class, and one call that registers it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray

from sttlab import vad
from sttlab.audio import frame_levels
from sttlab.config import VadConfig
from sttlab.vad.base import Heard, Scale, VoiceDetector


class LoudnessVad(VoiceDetector):
    """Detector by level on a scale of its own, 0 to 100 points, in frames of 10 ms."""

    name = "loudness"
    label = "loudness"
    doc = "speech is louder than so many points"
    frame_samples = 160
    scale = Scale(label="loudness", unit="points", low=0.0, high=100.0)
    fields = ("probability", "probability_hysteresis")

    def hear(self, frames: NDArray[np.float32]) -> Heard:
        """Count dB above -100 dBFS."""
        levels = frame_levels(frames)
        return Heard(levels, levels + 100)

    @staticmethod
    def onset(heard: Heard, config: VadConfig) -> NDArray[np.float64]:
        """Return the points at which speech begins."""
        return np.full(len(heard.score), 100 * config.probability)

    @staticmethod
    def offset(onset: NDArray[np.float64], config: VadConfig) -> NDArray[np.float64]:
        """Return the points below which speech ends."""
        return onset - 100 * config.probability_hysteresis


@contextmanager
def registered() -> Iterator[None]:
    """Register the detector for a while."""
    vad.register(LoudnessVad)
    try:
        yield
    finally:
        del vad.DETECTORS[LoudnessVad.name]
