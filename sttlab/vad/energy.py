"""Speech by its level: RMS of 20 ms frames against a threshold, fixed or above the noise floor."""

from __future__ import annotations

from collections import deque
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from sttlab.audio import FLOOR_DBFS, SAMPLE_RATE, to_dbfs
from sttlab.config import VadConfig
from sttlab.errors import ConfigError
from sttlab.vad.base import LEVEL, Heard, VoiceDetector

FRAME_SAMPLES = 320  # 20 ms
CHUNK_FRAMES = 25  # half a second
CHUNK_QUANTILE = 0.1
WINDOW_CHUNKS = 12  # six seconds: longer than people talk without a breath
START_CHUNKS = 4  # until two seconds are known, the room is taken to be quiet
START_FLOOR_DBFS = -60.0
LOWEST_THRESHOLD_DBFS = -55.0  # in a very quiet room, breath and clothes are not speech

ABOVE_LOUDEST_DB = 3.0
QUIET_SPREAD_DB = 10.0
QUIET_DBFS = -60.0


def frame_levels(frames: NDArray[np.float32]) -> NDArray[np.float64]:
    """RMS level of each frame in dBFS.

    Parameters
    ----------
    frames : ndarray, shape (n, frame_samples), float32

    Returns
    -------
    ndarray, shape (n,), float64
    """
    means = np.empty(len(frames))
    for i in range(0, len(frames), 4096):  # in pieces that stay in the cache
        means[i : i + 4096] = np.square(frames[i : i + 4096], dtype=np.float64).mean(axis=1)
    return to_dbfs(means)


class NoiseFloor:
    """The level of the room when nobody speaks, by minimum statistics.

    Each half second gives its tenth percentile; the floor is the second least of the last six
    seconds, so that one odd dip doesn't rule. Speech has gaps that reach the floor in any six
    seconds, so it isn't learnt; a noise that stays is, after six seconds. Digital zeros say nothing
    about a room and are passed over.

    The idea: R. Martin, "Noise power spectral density estimation based on optimal smoothing and
    minimum statistics", IEEE Trans. Speech and Audio Processing 9(5), 2001.
    """

    def __init__(self) -> None:
        self._recent: deque[float] = deque(maxlen=WINDOW_CHUNKS)
        self._chunk = np.empty(0)

    @property
    def dbfs(self) -> float:
        """The floor as it stands."""
        if len(self._recent) < START_CHUNKS:
            return min([START_FLOOR_DBFS, *self._recent])
        return sorted(self._recent)[1]

    def follow(self, levels: NDArray[np.float64]) -> NDArray[np.float64]:
        """Give the floor at each of the next n frames, from what came before it.

        Parameters
        ----------
        levels : ndarray, shape (n,), dBFS

        Returns
        -------
        ndarray, shape (n,), dBFS
        """
        before = len(self._chunk)
        known = np.concatenate([self._chunk, levels])
        count = len(known) // CHUNK_FRAMES
        floors = [self.dbfs]
        for chunk in np.sort(known[: count * CHUNK_FRAMES].reshape(count, CHUNK_FRAMES)):
            heard = chunk[np.searchsorted(chunk, FLOOR_DBFS, side="right") :]
            if len(heard):
                self._recent.append(float(heard[int(CHUNK_QUANTILE * len(heard))]))
            floors.append(self.dbfs)
        self._chunk = known[count * CHUNK_FRAMES :]
        return np.repeat(floors, CHUNK_FRAMES)[before : before + len(levels)]


class EnergyVad(VoiceDetector):
    """Detector by level, against a fixed threshold or one above the noise floor."""

    name = "energy"
    label = "level"
    doc = "speech is louder than the room, or than a fixed level"
    frame_samples = FRAME_SAMPLES
    scale = LEVEL
    fields = ("threshold_dbfs", "margin_db", "hysteresis_db")

    def __init__(self, config: VadConfig) -> None:
        super().__init__(config)
        self._floor = NoiseFloor()

    def hear(self, frames: NDArray[np.float32]) -> Heard:
        """Measure the level of the next n frames; see `VoiceDetector.hear`."""
        levels = frame_levels(frames)
        return Heard(levels, levels, self._floor.follow(levels))

    @staticmethod
    def onset(heard: Heard, config: VadConfig) -> NDArray[np.float64]:
        """Level at which speech begins, in dBFS."""
        if config.threshold_dbfs is not None:
            return np.full(len(heard.score), config.threshold_dbfs)
        assert heard.floor is not None
        return np.maximum(heard.floor + config.margin_db, LOWEST_THRESHOLD_DBFS)

    @staticmethod
    def offset(onset: NDArray[np.float64], config: VadConfig) -> NDArray[np.float64]:
        """Level below which speech ends, in dBFS."""
        return onset - config.hysteresis_db


def calibrate(samples: NDArray[np.float32], config: VadConfig | None = None) -> VadConfig:
    """Propose a fixed threshold from a stretch of the room in which nobody speaks.

    Parameters
    ----------
    samples : ndarray, shape (n,), float32, mono at SAMPLE_RATE
        Half a second at least; two are better.
    config : VadConfig, optional
        What else the result holds. Its ``margin_db`` is put on top of the room's quiet frames, as
        it is live; the threshold is also ABOVE_LOUDEST_DB above nearly all of its loud ones.

    Returns
    -------
    VadConfig

    Raises
    ------
    ConfigError
        If it heard too little, only zeros, or something that rises and falls as speech does.
    """
    config = config or VadConfig()
    count = len(samples) // FRAME_SAMPLES
    if count < CHUNK_FRAMES:
        raise ConfigError(
            f"calibration needs half a second of the room, not {len(samples) / SAMPLE_RATE:.2f} s"
        )
    levels = frame_levels(samples[: count * FRAME_SAMPLES].reshape(count, FRAME_SAMPLES))
    levels = levels[levels > FLOOR_DBFS]
    if len(levels) < CHUNK_FRAMES:
        raise ConfigError("calibration heard only digital silence: is the microphone muted?")
    quiet, loud = np.quantile(levels, [CHUNK_QUANTILE, 0.95])
    if loud > QUIET_DBFS and loud - quiet > QUIET_SPREAD_DB:
        raise ConfigError(
            f"calibration heard something between {quiet:.0f} and {loud:.0f} dBFS, speech perhaps; "
            "stay quiet and calibrate again"
        )
    above = max(float(quiet) + config.margin_db, float(loud) + ABOVE_LOUDEST_DB)
    threshold = min(max(above, LOWEST_THRESHOLD_DBFS), 0.0)
    return replace(config, threshold_dbfs=round(threshold, 1))
