"""Speech by its level in the speech band, against a threshold, fixed or above the noise floor."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from sttlab.audio import BAND_HZ, FLOOR_DBFS, FRAME_SAMPLES, SAMPLE_RATE, frame_levels
from sttlab.config import VadConfig
from sttlab.errors import ConfigError
from sttlab.vad.base import LEVEL, Heard, VoiceDetector

MEAN_FRAMES = 7  # an odd number, so that the mean belongs to the frame in the middle

CHUNK_FRAMES = 25  # half a second
FLOOR_QUANTILE = 0.1
MEMORY_FRAMES = 60 * CHUNK_FRAMES  # half a minute: few people talk for longer without a pause
STEADY_FRAMES = 4 * CHUNK_FRAMES
STEADY_DB = 5.0
START_FLOOR_DBFS = -60.0  # of a room that is not heard, since there is digital silence
GATE_FRAMES = 20
LOWEST_THRESHOLD_DBFS = -60.0  # in a very quiet room, breath and clothes are not speech
LOW_GAIN_DB = 20.0  # a floor further below that is of a low gain, and speech is softer as well

ABOVE_LOUDEST_DB = 3.0
QUIET_SPREAD_DB = 10.0
QUIET_DBFS = -60.0


class RunningMean:
    """The mean level of the last `MEAN_FRAMES` frames, in dB.

    It smooths what varies from frame to frame, so that the margin above the noise can be small.
    Frames of digital silence have no part in it. Where the frame in the middle is one, it has its
    own level.
    """

    def __init__(self) -> None:
        self._before = np.full(MEAN_FRAMES - 1, FLOOR_DBFS)

    def follow(self, levels: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the mean at each of the next n frames, that frame included.

        Parameters
        ----------
        levels : ndarray, shape (n,), dBFS

        Returns
        -------
        ndarray, shape (n,), dBFS
        """
        known = np.concatenate([self._before, levels])
        self._before = known[len(levels) :]
        heard = known > FLOOR_DBFS
        sums, counts = np.zeros(len(levels)), np.zeros(len(levels))
        for i in range(MEAN_FRAMES):  # always in this order, so that blocks don't change the result
            part = slice(i, i + len(levels))
            sums += np.where(heard[part], known[part], 0.0)
            counts += heard[part]
        middle = MEAN_FRAMES // 2
        silent = ~heard[middle : middle + len(levels)]
        return np.where(silent, FLOOR_DBFS, sums / np.maximum(counts, 1.0))


class NoiseFloor:
    """The level of the room when nobody speaks.

    It is the tenth percentile of the last half minute, looked up twice a second: speech pauses for
    longer than that even where people talk on and on, so it isn't learnt. What stays within
    `STEADY_DB` for two seconds is not speech, but a fan, say: then all that came before is
    forgotten. Until half a second is known, the floor is the least level so far. Digital silence
    says nothing about a room and is skipped.

    The floor as a low quantile of the recent levels: V. Stahl, A. Fischer and R. Bippus, "Quantile
    based noise estimation for spectral subtraction and Wiener filtering", ICASSP 2000; that
    minimum statistics need no detector: R. Martin, IEEE Trans. Speech and Audio Processing 9(5),
    2001. That noise is what varies little over a long time: P. Ghosh, A. Tsiartas and
    S. Narayanan, "Robust voice activity detection using long-term signal variability", IEEE Trans.
    Audio, Speech and Language Processing 19(3), 2011.
    """

    def __init__(self) -> None:
        self._memory = np.empty(0)
        self._silent = GATE_FRAMES  # how many frames of digital silence came last
        self._looked_up = 0  # how much of the memory `dbfs` knows, in frames
        self.dbfs = START_FLOOR_DBFS
        """The floor as it stands."""

    def follow(self, levels: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the floor at each of the next n frames, which depends on no later frame.

        Parameters
        ----------
        levels : ndarray, shape (n,), dBFS

        Returns
        -------
        ndarray, shape (n,), dBFS
        """
        heard, levels = self._gate(levels)
        known = np.concatenate([self._memory, levels[heard]])
        floors = [self.dbfs]
        begin, looked_up = 0, self._looked_up
        stops = range(looked_up + CHUNK_FRAMES, len(known) + 1, CHUNK_FRAMES)
        for stop, steady in zip(stops, _steady(known, stops), strict=True):
            if steady and stop - begin >= STEADY_FRAMES:
                begin = stop - STEADY_FRAMES
            begin, looked_up = max(begin, stop - MEMORY_FRAMES), stop
            rank = int(FLOOR_QUANTILE * (stop - begin))
            recent = known[begin:stop].copy()
            recent.partition(rank)
            floors.append(float(recent[rank]))
        before = np.cumsum(heard) - heard + len(self._memory) - self._looked_up
        result: NDArray[np.float64] = np.array(floors)[before // CHUNK_FRAMES]
        if not self._looked_up:
            least = np.minimum.accumulate(np.where(heard, levels, np.inf))
            least = np.minimum(least, self._memory.min(initial=np.inf))
            starts = before < CHUNK_FRAMES
            result[starts] = np.where(np.isinf(least), START_FLOOR_DBFS, least)[starts]
            floors[0] = float(known.min(initial=np.inf)) if len(known) else START_FLOOR_DBFS
        self.dbfs = floors[-1]
        self._memory, self._looked_up = known[begin:], looked_up - begin
        return result

    def _gate(self, levels: NDArray[np.float64]) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
        """Say which frames tell something of the room, and their levels.

        A noise gate puts zeros where the room would be: their first moments, after audio, count as
        a quiet room.
        """
        audible = levels > FLOOR_DBFS
        at = np.arange(len(levels))
        silent = at - np.maximum.accumulate(np.where(audible, at, -1 - self._silent))
        self._silent = int(silent[-1]) if len(levels) else self._silent
        return silent <= GATE_FRAMES, np.where(audible, levels, START_FLOOR_DBFS)


def _steady(levels: NDArray[np.float64], stops: range) -> list[bool]:
    """Say of each stop whether the `STEADY_FRAMES` before it vary by less than `STEADY_DB`."""
    starts = np.array(stops, np.int64) - STEADY_FRAMES
    enough = starts >= 0
    steady = np.zeros(len(starts), bool)
    if enough.any():
        recent = sliding_window_view(levels, STEADY_FRAMES)[starts[enough]]
        steady[enough] = recent.max(axis=1) - recent.min(axis=1) < STEADY_DB
    found: list[bool] = steady.tolist()
    return found


class EnergyVad(VoiceDetector):
    """Detector by the level in the speech band, against a fixed threshold or the noise floor."""

    name = "energy"
    label = "level"
    doc = "speech is louder than the room, or than a fixed level, between {} and {} Hz".format(
        *BAND_HZ
    )
    frame_samples = FRAME_SAMPLES
    delay_frames = MEAN_FRAMES // 2
    scale = LEVEL
    fields = ("threshold_dbfs", "margin_db", "hysteresis_db")

    def __init__(self, config: VadConfig) -> None:
        super().__init__(config)
        self._mean = RunningMean()
        self._floor = NoiseFloor()

    def hear(self, frames: NDArray[np.float32]) -> Heard:
        """Measure the level of the next n frames; see `VoiceDetector.hear`."""
        levels = frame_levels(frames)
        scores = self._mean.follow(levels)
        return Heard(levels, scores, self._floor.follow(scores))

    @staticmethod
    def onset(heard: Heard, config: VadConfig) -> NDArray[np.float64]:
        """Level at which speech begins, in dBFS."""
        if config.threshold_dbfs is not None:
            return np.full(len(heard.score), config.threshold_dbfs)
        assert heard.floor is not None
        return np.maximum(heard.floor + config.margin_db, _lowest_threshold(heard.floor))

    @staticmethod
    def offset(onset: NDArray[np.float64], config: VadConfig) -> NDArray[np.float64]:
        """Level below which speech ends, in dBFS."""
        return onset - config.hysteresis_db


def _lowest_threshold(floor: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the level that no threshold lies below, however small the margin, in dBFS."""
    return np.minimum(LOWEST_THRESHOLD_DBFS, floor + LOW_GAIN_DB)


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
    frames = samples[: count * FRAME_SAMPLES].reshape(count, FRAME_SAMPLES)
    levels = RunningMean().follow(frame_levels(frames))
    levels = levels[levels > FLOOR_DBFS]
    if len(levels) < CHUNK_FRAMES:
        raise ConfigError("calibration heard only digital silence: is the microphone muted?")
    quiet, loud = np.quantile(levels, [FLOOR_QUANTILE, 0.95])
    if loud > QUIET_DBFS and loud - quiet > QUIET_SPREAD_DB:
        raise ConfigError(
            f"calibration heard something between {quiet:.0f} and {loud:.0f} dBFS, speech perhaps; "
            "stay quiet and calibrate again"
        )
    above = max(float(quiet) + config.margin_db, float(loud) + ABOVE_LOUDEST_DB)
    threshold = min(max(above, float(_lowest_threshold(quiet))), 0.0)
    return replace(config, threshold_dbfs=round(threshold, 1))
