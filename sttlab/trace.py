"""What detectors hear in a recording, kept, so that a setting costs only its decisions."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from sttlab.audio import FLOOR_DBFS, SAMPLE_RATE
from sttlab.config import VadConfig
from sttlab.core import Sound
from sttlab.endpoint import REASONS, Endpointer, limits, utterance_from
from sttlab.events import Utterance
from sttlab.vad import energy, silero
from sttlab.vad.base import Activity


class Trace:
    """A recording's levels, noise floor and, once asked for, its probabilities by Silero.

    Any thread may use it.

    Parameters
    ----------
    sound : Recording
        Mono samples at SAMPLE_RATE.

    Attributes
    ----------
    samples : ndarray, shape (n,), float32
    levels, floors : ndarray, shape (frames,), dBFS
        Of each 20 ms; the last frame is filled up with zeros.
    """

    def __init__(self, sound: Sound) -> None:
        self.samples: NDArray[np.float32] = sound.samples.view()
        if not np.isfinite(self.samples).all():  # the copy takes a second for an hour
            self.samples = np.nan_to_num(self.samples, posinf=0.0, neginf=0.0)
        self.samples.flags.writeable = False
        self.levels = energy.frame_levels(_frames(self.samples, energy.FRAME_SAMPLES))
        self.floors = energy.NoiseFloor().follow(self.levels)
        self._silero_lock = Lock()

    @property
    def duration_s(self) -> float:
        """Length of the recording."""
        return len(self.samples) / SAMPLE_RATE

    @cached_property
    def probabilities(self) -> NDArray[np.float64]:
        """Silero's for each 32 ms. The first time takes 0.3 s for a minute of sound.

        Raises
        ------
        MissingExtra
            If the extra `silero` is not installed.
        """
        with self._silero_lock:
            detector = silero.SileroVad(VadConfig(detector="silero"))
            return detector.process(_frames(self.samples, silero.FRAME_SAMPLES)).score

    @cached_property
    def _silero_levels(self) -> NDArray[np.float64]:
        return energy.frame_levels(_frames(self.samples, silero.FRAME_SAMPLES))

    def activity(self, config: VadConfig) -> Activity:
        """Give what the detector of `config` says, frame by frame."""
        if config.detector == "silero":
            return silero.silero_activity(self._silero_levels, self.probabilities, config)
        onset = energy.onset_dbfs(self.floors, config)
        return Activity(self.levels, self.levels, onset, onset - config.hysteresis_db)

    def utterances(self, config: VadConfig) -> list[Utterance]:
        """Find the utterances: the same as `core.segment` finds, sooner."""
        frame_samples = frame_length(config)
        endpointer = Endpointer(limits(config, frame_samples))
        decisions, _ = endpointer.push(self.activity(config))
        last = endpointer.flush()
        ended = [d for d in decisions if d.what in REASONS] + ([last] if last else [])

        def sample(frame: int) -> int:
            return min(frame * frame_samples, len(self.samples))

        return [
            utterance_from(d, i, REASONS[d.what], sample=sample, samples=self._between)
            for i, d in enumerate(ended)
        ]

    def _between(self, start: int, stop: int) -> NDArray[np.float32]:
        return self.samples[start:stop]

    def quietest(self, seconds: float = 2.0) -> NDArray[np.float32]:
        """Give the quietest stretch that holds no digital silence, for `calibrate`."""
        count = min(round(seconds * SAMPLE_RATE / energy.FRAME_SAMPLES), len(self.levels))
        if not count:
            return self.samples
        heard = np.where(self.levels > FLOOR_DBFS, self.levels, 0.0)
        sums = np.convolve(heard, np.ones(count), "valid")
        start = int(np.argmin(sums)) * energy.FRAME_SAMPLES
        return self.samples[start : start + count * energy.FRAME_SAMPLES]


def frame_length(config: VadConfig) -> int:
    """Samples in a frame of the detector that `config` names."""
    return silero.FRAME_SAMPLES if config.detector == "silero" else energy.FRAME_SAMPLES


def extremes(
    values: NDArray[np.generic], columns: int
) -> tuple[Sequence[float], NDArray[np.generic], NDArray[np.generic]]:
    """Reduce a long curve to what a picture of so many columns can show.

    Returns
    -------
    at : sequence of float
        Position of each column, in values.
    low, high : ndarray
        Least and greatest value in each column.
    """
    if not len(values):
        return [], values, values
    starts = np.unique(np.linspace(0, len(values), columns, endpoint=False).astype(np.int64))
    low = np.minimum.reduceat(values, starts)
    return starts.tolist(), low, np.maximum.reduceat(values, starts)


def _frames(samples: NDArray[np.float32], length: int) -> NDArray[np.float32]:
    """Cut into frames, the last filled up with zeros."""
    return np.pad(samples, (0, -len(samples) % length)).reshape(-1, length)
