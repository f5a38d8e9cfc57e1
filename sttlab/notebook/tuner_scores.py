"""The scores of a tuner's settings, and what is wrong, by labels."""

from __future__ import annotations

from bisect import bisect_left
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sttlab.audio import SAMPLE_RATE
from sttlab.config import VadConfig
from sttlab.evaluate.doubt import doubt
from sttlab.evaluate.faults import Fault, find_faults
from sttlab.evaluate.labels import Labels
from sttlab.evaluate.score import COLLAR_S, GAP_S, LabelledTruth, Scores, detections, judge
from sttlab.events import Utterance
from sttlab.notebook.score_table import OVER, advice, score_table
from sttlab.notebook.timeline import segment
from sttlab.notebook.tuner_picture import enough_timeout_s
from sttlab.trace import Trace, frame_length

MARGIN_S = 0.2  # margin around labels, whose edges are not exact, that counts as neither


class Wrong(NamedTuple):
    """Something that is wrong by the labels, and what would mend it."""

    fault: Fault
    enough_s: float | None
    """Silence timeout that would not tear it, if the silence timeout has torn it."""

    @property
    def segment(self) -> list[Any]:
        """A segment of the track that shows it."""
        words = self.fault.words
        if self.enough_s is not None:
            words += f"; silence timeout {self.enough_s:.2f} s would not tear it"
        return segment(self.fault, words)


class TunerScores:
    """Compares what settings find in a recording with its labels, and with the first settings.

    Parameters
    ----------
    trace : Trace
    labels : Labels
    """

    def __init__(self, trace: Trace, labels: Labels) -> None:
        self._trace = trace
        self._labels = labels
        self._truth = LabelledTruth(labels, GAP_S, COLLAR_S, trace.duration_s)
        self._doubt = doubt(labels, trace)
        self._first: Scores | None = None
        # Where nobody speaks, frame by frame, by the length and number of the frames.
        self._silence: dict[tuple[int, int], NDArray[np.bool_]] = {}

    def score(self, found: list[Utterance]) -> Scores:
        """Score utterances."""
        return judge(detections(found), self._truth)

    def wrong(self, found: list[Utterance], config: VadConfig) -> list[Wrong]:
        """Find what is wrong, in order of time."""
        onsets = [u.onset_sample for u in found]

        def enough_s(fault: Fault) -> float | None:
            if "torn" not in fault.words:
                return None
            start, end = (round(at_s * SAMPLE_RATE) for at_s in (fault.start_s, fault.end_s))
            first, past = bisect_left(onsets, start), bisect_left(onsets, end)
            parts = [u for u in found[max(first - 1, 0) : past] if u.speech_end_sample > start]
            if any(u.reason != "silence" for u in parts[:-1]):
                return None
            each = (enough_timeout_s(*pair, config) for pair in pairwise(parts))
            return max(each, default=None)

        faults = find_faults(detections(found), self._truth)
        return [Wrong(fault, enough_s(fault)) for fault in faults]

    def html(
        self,
        config: VadConfig,
        found: list[Utterance],
        wrong: list[Wrong],
        others: dict[str, list[Utterance]],
    ) -> str:
        """Say what is worst and what to move, and write scores, also of what others find."""
        now = self.score(found)
        self._first = self._first or now
        rows = {"now": now, "at first": self._first}
        rows |= {name: self.score(each) for name, each in others.items()}
        whole_s = sorted(each.enough_s for each in wrong if each.enough_s is not None)
        words = self._doubt or advice(now, self._noise(config), config, whole_s)
        if now.detection_error_rate > 1:
            words += f" {OVER}"
        return f'<div class="sttlab-advice" role="status">{words}</div>' + score_table(
            rows, self._first
        )

    def _noise(self, config: VadConfig) -> float:
        """Return the share of the time without speech in which scores exceed the threshold."""
        activity = self._trace.activity(config)
        frames = frame_length(config), len(activity.score)
        if frames not in self._silence:
            self._silence[frames] = self._find_silence(*frames)
        silent = self._silence[frames]
        return float((activity.score > activity.offset)[silent].mean()) if silent.any() else 0.0

    def _find_silence(self, frame_samples: int, frames: int) -> NDArray[np.bool_]:
        times_s = np.arange(frames) * frame_samples / SAMPLE_RATE
        silent = np.ones(frames, bool)
        for span in self._labels:
            first, last = np.searchsorted(times_s, [span.start_s - MARGIN_S, span.end_s + MARGIN_S])
            silent[first:last] = False
        return silent
