"""What a voice detector is: it says for each frame whether it holds speech, no more."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:  # config asks the registry here, so that nothing here may need config to load
    from sttlab.config import VadConfig


@dataclass(frozen=True, kw_only=True)
class Scale:
    """What a detector's scores are, for people: how to call, write and draw them."""

    label: str
    unit: str  # empty for a part of one, which is shown in percent
    low: float  # of a meter or an axis
    high: float


LEVEL = Scale(label="level", unit="dBFS", low=-75.0, high=-10.0)
"""The scale of a detector whose score is the level."""


@dataclass(frozen=True, eq=False)
class Heard:
    """What a detector hears in n frames, whatever the thresholds. Shapes are (n,), float64.

    Attributes
    ----------
    level_dbfs : ndarray
        The level in the speech band, as `audio.frame_levels` measures it.
    score : ndarray
        What is compared with the thresholds.
    floor : ndarray or None
        The score of the room when nobody speaks, if the detector follows it.
    """

    level_dbfs: NDArray[np.float64]
    score: NDArray[np.float64]
    floor: NDArray[np.float64] | None = None


@dataclass(frozen=True, eq=False)
class Activity:
    """What a detector makes of n frames. Each array has shape (n,) and is float64.

    Attributes
    ----------
    level_dbfs : ndarray
        The level in the speech band, as `audio.frame_levels` measures it.
    score : ndarray
        What is compared with the thresholds, on the detector's scale.
    onset, offset : ndarray
        At or above `onset` speech begins; below `offset` it ends.
    """

    level_dbfs: NDArray[np.float64]
    score: NDArray[np.float64]
    onset: NDArray[np.float64]
    offset: NDArray[np.float64]


class VoiceDetector(ABC):
    """A detector with a memory: one instance for each stream.

    A detector is a subclass in a file of its own that describes itself by the attributes below.
    `sttlab.vad.register` makes it known; tests/unit/test_detectors.py holds what all keep to.
    Hearing doesn't depend on the settings, and thresholds have no memory, so that a recording is
    heard once and judged by any number of settings.

    Parameters
    ----------
    config : VadConfig
        May be replaced between two calls of `process`.

    Attributes
    ----------
    name : str
        As `VadConfig.detector` holds it.
    label : str
        What people call it, within a sentence.
    doc : str
        How it tells speech, for people.
    frame_samples : int
        Length of a frame, which is also the step between frames.
    delay_frames : int
        How many frames late its score is, if it smooths: that of frame i is about the frame so
        many before i.
    scale : Scale
        What its scores are; LEVEL if they are the level.
    fields : tuple of str
        The fields of `VadConfig` that it uses, those that move its threshold first.
    extra : str or None
        The extra of sttlab that brings the packages it needs.
    """

    name: ClassVar[str]
    label: ClassVar[str]
    doc: ClassVar[str]
    frame_samples: ClassVar[int]
    delay_frames: ClassVar[int] = 0
    scale: ClassVar[Scale]
    fields: ClassVar[tuple[str, ...]]
    extra: ClassVar[str | None] = None

    def __init__(self, config: VadConfig) -> None:
        self.config = config

    @classmethod  # noqa: B027 (most detectors need nothing)
    def require(cls) -> None:
        """Raise MissingExtra if its packages are not installed. Loads nothing."""

    @abstractmethod
    def hear(self, frames: NDArray[np.float32]) -> Heard:
        """Hear the next n frames.

        The result depends on the frames alone, neither on how many come at once nor on the
        settings.

        Parameters
        ----------
        frames : ndarray, shape (n, frame_samples), float32
        """

    @staticmethod
    @abstractmethod
    def onset(heard: Heard, config: VadConfig) -> NDArray[np.float64]:
        """Return the score at which speech begins, for each frame."""

    @staticmethod
    @abstractmethod
    def offset(onset: NDArray[np.float64], config: VadConfig) -> NDArray[np.float64]:
        """Return the score below which speech ends, for each frame, from that where it begins."""

    @classmethod
    def judge(cls, heard: Heard, config: VadConfig) -> Activity:
        """Put the thresholds of `config` beside what was heard."""
        onset = cls.onset(heard, config)
        return Activity(heard.level_dbfs, heard.score, onset, cls.offset(onset, config))

    def process(self, frames: NDArray[np.float32]) -> Activity:
        """Hear the next n frames, shape (n, frame_samples), and judge them by `config`."""
        return self.judge(self.hear(frames), self.config)
