"""What detectors hear in a recording, kept, so that a setting costs only its decisions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sttlab.audio import FLOOR_DBFS, SAMPLE_RATE, in_frames, to_dbfs
from sttlab.config import VadConfig
from sttlab.core import Audio
from sttlab.decoding import as_recording
from sttlab.endpoint import REASONS, Endpointer, compiled_advance, limits_of, utterance_from
from sttlab.events import Utterance
from sttlab.vad import DETECTORS
from sttlab.vad.base import Activity, Heard, VoiceDetector
from sttlab.vad.energy import EnergyVad

PART_FRAMES = 1500  # that a detector hears between two words of progress: half a minute


@dataclass(frozen=True, eq=False)
class HeardRecording:
    """What detectors hear in a recording, without its audio: all that settings need.

    Attributes
    ----------
    length_samples : int
        Length of the recording.
    by_detector : mapping of str to Heard
    """

    length_samples: int
    by_detector: Mapping[str, Heard]

    @property
    def duration_s(self) -> float:
        """Length of the recording."""
        return self.length_samples / SAMPLE_RATE

    def activity(self, config: VadConfig) -> Activity:
        """Return the decision of the detector of `config`, frame by frame."""
        return DETECTORS[config.detector].judge(self.by_detector[config.detector], config)


class Trace:
    """A recording, and what each detector hears in it once it is asked for.

    Any thread may use it.

    Parameters
    ----------
    audio : Recording
        Mono samples at SAMPLE_RATE.

    Attributes
    ----------
    samples : ndarray, shape (n,), float32
    origin : str
        Where the recording comes from, or its name.
    step_samples : int
        Length of the frames that `levels` is measured in.
    """

    step_samples = EnergyVad.frame_samples

    def __init__(self, audio: Audio) -> None:
        audio = as_recording(audio)
        self.origin = getattr(audio, "origin", "")  # what has samples is enough
        self.samples: NDArray[np.float32] = audio.samples.view()
        if not np.isfinite(self.samples).all():  # the copy takes a second for an hour
            self.samples = np.nan_to_num(self.samples, posinf=0.0, neginf=0.0)
        self.samples.flags.writeable = False
        self._lock = Lock()
        self._heard: dict[type[VoiceDetector], Heard] = {}
        self._last_found: tuple[VadConfig | None, list[Utterance]] = (None, [])
        self._step: Callable[..., Any] | None = None
        self.heard(EnergyVad.name)

    @property
    def duration_s(self) -> float:
        """Length of the recording."""
        return len(self.samples) / SAMPLE_RATE

    @property
    def levels(self) -> NDArray[np.float64]:
        """Level of each `step_samples` in dBFS; the last frame is filled up with zeros."""
        return self.heard(EnergyVad.name).level_dbfs

    def heard(self, name: str, progress: Callable[[int, int], None] | None = None) -> Heard:
        """Return a detector's scores, frame by frame. The first call computes them.

        Parameters
        ----------
        name : str
        progress : callable, optional
            Called on this thread with the number of frames heard and the number in all. An
            exception from it ends the work.

        Raises
        ------
        MissingExtra
            If the detector's packages are not installed.
        """
        detector = DETECTORS[name]
        if detector not in self._heard:  # what is there waits for no other detector
            with self._lock:
                if detector not in self._heard:
                    hearing = detector(VadConfig(detector=name))
                    self._heard[detector] = _hear(hearing, self.samples, progress)
        return self._heard[detector]

    def heard_by(self, names: Iterable[str]) -> HeardRecording:
        """Return the scores of several detectors, without the audio."""
        return HeardRecording(len(self.samples), {name: self.heard(name) for name in names})

    def activity(self, config: VadConfig) -> Activity:
        """Return the decision of the detector of `config`, frame by frame."""
        return self.heard_by([config.detector]).activity(config)

    def utterances(self, config: VadConfig) -> list[Utterance]:
        """Find the utterances: the same as `core.segment` finds, sooner."""
        known, found = self._last_found
        if known != config:
            found = self._find(config)
            self._last_found = config, found
        return list(found)

    def compile(self) -> None:
        """Have `utterances` find them sooner from now on, if numba is installed. Takes seconds."""
        self._step = compiled_advance()

    def _find(self, config: VadConfig) -> list[Utterance]:
        frame_samples = frame_length(config)
        endpointer = Endpointer(limits_of(config), self._step)
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

    def levels_of(self, found: Sequence[Utterance]) -> NDArray[np.float64]:
        """Return the levels of utterances to the frame, sooner than `Utterance.level_dbfs`."""
        edges = np.array([(u.start_sample, u.end_sample) for u in found], np.int64).reshape(-1, 2)
        frames = -(-edges // self.step_samples)
        sums = np.diff(self._power[frames], axis=1)[:, 0]
        return to_dbfs(sums / np.maximum(1, np.diff(frames, axis=1)[:, 0]))

    @cached_property
    def _power(self) -> NDArray[np.float64]:
        """The sum of the power in the speech band up to each frame."""
        return np.concatenate([[0.0], np.cumsum(10 ** (self.levels / 10))])

    def quietest(self, seconds: float = 2.0) -> NDArray[np.float32]:
        """Return the quietest stretch that holds no digital silence, for `calibrate`."""
        count = min(round(seconds * SAMPLE_RATE / self.step_samples), len(self.levels))
        if not count:
            return self.samples
        heard = np.where(self.levels > FLOOR_DBFS, self.levels, 0.0)
        sums = np.convolve(heard, np.ones(count), "valid")
        start = int(np.argmin(sums)) * self.step_samples
        return self.samples[start : start + count * self.step_samples]


def frame_length(config: VadConfig) -> int:
    """Samples in a frame of the detector that `config` names."""
    return DETECTORS[config.detector].frame_samples


def _hear(
    detector: VoiceDetector,
    samples: NDArray[np.float32],
    progress: Callable[[int, int], None] | None,
) -> Heard:
    """Let a detector hear a recording a part at a time: only the last part is copied."""
    length = detector.frame_samples
    total = -(-len(samples) // length)
    parts = []
    for first in range(0, max(total, 1), PART_FRAMES):
        part = samples[first * length : (first + PART_FRAMES) * length]
        parts.append(detector.hear(in_frames(part, length)))
        if progress:
            progress(min(first + PART_FRAMES, total), total)
    floors = [part.floor for part in parts if part.floor is not None]
    return Heard(
        np.concatenate([part.level_dbfs for part in parts]),
        np.concatenate([part.score for part in parts]),
        np.concatenate(floors) if floors else None,
    )


def frame_times(config: VadConfig, at: ArrayLike) -> NDArray[np.float64]:
    """Times, in seconds, of the audio that the frames `at` are about."""
    detector = DETECTORS[config.detector]
    frame_s = detector.frame_samples / SAMPLE_RATE
    times_s: NDArray[np.float64] = (np.asarray(at) - detector.delay_frames) * frame_s
    return times_s


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
