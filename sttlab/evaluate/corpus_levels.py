"""How loud the speech of a recording is, and how loud the room."""

from __future__ import annotations

from dataclasses import dataclass
from math import nan

import numpy as np

from sttlab.audio import SAMPLE_RATE, Recording, to_dbfs
from sttlab.config import VadConfig
from sttlab.evaluate.labels import Labels, Spans
from sttlab.trace import Trace
from sttlab.vad.energy import EnergyVad


@dataclass(frozen=True, kw_only=True)
class AudioLevels:
    """Levels of a recording between 300 and 6000 Hz, in dBFS; NaN if there is nothing to measure.

    Attributes
    ----------
    speech_dbfs : float
        RMS of the labelled speech; without labels that can be read, of the speech that the default
        settings find.
    noise_floor_dbfs : float
        Median of the noise floor, as the detector "energy" follows it.
    """

    speech_dbfs: float
    noise_floor_dbfs: float


def measure(recording: Recording, labels: Labels | None) -> AudioLevels:
    """Measure the levels of a recording."""
    trace = Trace(recording)
    heard = trace.heard(EnergyVad.name)
    speech = np.zeros(len(heard.level_dbfs), bool)
    for start_s, end_s in _found(trace) if labels is None else labels.speech:
        frames = np.array([start_s, end_s]) * SAMPLE_RATE / trace.step_samples
        speech[slice(*np.rint(frames).astype(int))] = True
    powers = 10 ** (heard.level_dbfs[speech] / 10)
    floor = nan if heard.floor is None or not len(heard.floor) else float(np.median(heard.floor))
    return AudioLevels(
        speech_dbfs=float(to_dbfs(powers.mean(keepdims=True))[0]) if len(powers) else nan,
        noise_floor_dbfs=floor,
    )


def _found(trace: Trace) -> Spans:
    found = trace.utterances(VadConfig())
    spans = [(u.onset_sample, u.speech_end_sample) for u in found]
    return np.array(spans, np.float64).reshape(-1, 2) / SAMPLE_RATE
