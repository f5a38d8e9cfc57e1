"""The picture of a running session on the timeline: the levels of its last hour."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import asdict
from typing import Any

import numpy as np
import traitlets
from numpy.typing import NDArray

from sttlab.audio import SAMPLE_RATE, to_pcm16
from sttlab.config import VadConfig
from sttlab.events import Level, State, Utterance
from sttlab.notebook.esm import read_module, read_style
from sttlab.notebook.timeline import AUDIO_S, Tracks
from sttlab.vad import DETECTORS
from sttlab.vad.base import LEVEL

KEPT_S = 3600.0  # of levels
AUDIBLE_S = 600.0  # of the last utterances, whose audio is kept to be heard
STATES: tuple[State, ...] = ("listening", "speech", "pause")  # as in monitor.js
COLUMNS = 5  # level, score, onset and offset thresholds, state: as in levels.js


class LevelLog:
    """The levels of the last hour of a stream: a row for each frame, NaN where frames are missing.

    No method locks; the owner does. What it holds is at most 3.6 MB.

    Parameters
    ----------
    detector : str
        Whose scores the levels have.

    Attributes
    ----------
    frame_s : float
    end : int
        The number of the row after the last.
    """

    def __init__(self, detector: str) -> None:
        about = DETECTORS[detector]
        self.detector = detector
        self.frame_s = about.frame_samples / SAMPLE_RATE
        self.start_s = -about.delay_frames * self.frame_s  # of the audio that row 0 is about
        self.end = 0
        self._first = 0
        self._rows = np.full((math.ceil(KEPT_S / self.frame_s), COLUMNS), np.nan, np.float32)

    def __len__(self) -> int:
        return self.end - self._first

    def follows(self, event: Level) -> bool:
        """Whether an event goes on with the stream, and isn't of one that has begun anew."""
        return self._row(event) >= self.end

    def add(self, event: Level, config: VadConfig) -> None:
        """Take a level in. The settings give its offset threshold."""
        row = self._row(event)
        if not len(self):
            self._first = self.end = row
        size = len(self._rows)
        for missing in range(max(self.end, row - size), row):
            self._rows[missing % size] = np.nan
        onset = np.array([event.threshold])
        offset = DETECTORS[self.detector].offset(onset, config)
        state = STATES.index(event.state)
        self._rows[row % size] = (event.level_dbfs, event.score, onset[0], offset[0], state)
        self.end = row + 1
        self._first = max(self._first, self.end - size)

    def since(self, row: int) -> tuple[int, NDArray[np.float32]]:
        """Return the rows from a number on, and the number of the first of them."""
        first = max(row, self._first)
        return first, self._rows[np.arange(first, self.end) % len(self._rows)]

    def about(self) -> dict[str, float]:
        """Describe the rows to levels.js."""
        return {"step_s": self.frame_s, "start_s": self.start_s, "kept": len(self._rows)}

    def _row(self, event: Level) -> int:
        return round(event.time_s / self.frame_s)


class LastSpeech:
    """The last utterances of a stream, ten minutes of them, to be heard. Any thread may use it."""

    def __init__(self) -> None:
        self._utterances: deque[Utterance] = deque()

    def add(self, utterance: Utterance) -> None:
        """Take an utterance in, and forget the oldest ones that are too many."""
        kept = [*self._utterances, utterance]
        total = np.cumsum([u.duration_s for u in reversed(kept)])
        count = max(1, int(np.searchsorted(total, AUDIBLE_S, "right")))
        self._utterances = deque(kept[-count:])

    def find(self, utterance_id: int) -> Utterance | None:
        """Return an utterance by its id, if it is still there."""
        found = (u for u in reversed(self._utterances) if u.utterance_id == utterance_id)
        return next(found, None)

    def samples(self, start_s: float, end_s: float) -> NDArray[np.float32]:
        """Return a stretch of the stream, silent where no utterance is."""
        start, end = (round(at_s * SAMPLE_RATE) for at_s in (start_s, end_s))
        samples = np.zeros(max(0, end - start), np.float32)
        for u in self._utterances:
            first, past = max(start, u.start_sample), min(end, u.end_sample)
            if first < past:
                part = slice(first - u.start_sample, past - u.start_sample)
                samples[first - start : past - start] = u.samples[part]
        return samples


class LivePicture(Tracks):
    """The monitor's timeline in the browser: monitor.js. It holds what it was sent, for an hour."""

    _esm = read_module("monitor.js")
    _css = read_style("timeline.css")

    name = traitlets.Unicode().tag(sync=True)
    # The scales of the curves from above, each with name, label, unit, low and high. The last one
    # is the detector's scores, which the thresholds are about.
    scores: traitlets.List[dict[str, Any]] = traitlets.List().tag(sync=True)
    # Each is [start_s, end_s, label, row].
    utterances: traitlets.List[list[Any]] = traitlets.List().tag(sync=True)
    texts: traitlets.List[list[Any]] = traitlets.List().tag(sync=True)

    def answer_sound(self, content: dict[str, Any], heard: LastSpeech) -> None:
        """Answer a request for audio."""
        start_s = float(content["start_s"])
        end_s = min(float(content["end_s"]), start_s + AUDIO_S)
        pcm = to_pcm16(heard.samples(start_s, end_s)).astype("<i2").tobytes()
        self.send({"id": content["id"]}, [pcm])


def score_scales(detector: str) -> list[dict[str, Any]]:
    """Return the scales of a session's curves, from above: the level, then other scores."""
    about = DETECTORS[detector]
    level = {"name": "level", **asdict(LEVEL), "low": -85.0, "high": 0.0}
    if about.scale == LEVEL:
        return [level]
    return [level, {"name": detector, **asdict(about.scale)}]
