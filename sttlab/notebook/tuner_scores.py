"""The scores of a tuner's settings, and what is wrong, by labels."""

from __future__ import annotations

from bisect import bisect_left
from itertools import pairwise
from typing import Any

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

    def faults(self, found: list[Utterance], config: VadConfig) -> list[list[Any]]:
        """Find what is wrong, as segments of a track."""
        wrong = find_faults(detections(found), self._truth)
        remedies = {
            fault: f"; silence timeout {enough_s:.2f} s would not tear it"
            for fault, enough_s in _torn(wrong, found, config).items()
        }
        return [segment(fault, fault.words + remedies.get(fault, "")) for fault in wrong]

    def html(
        self, config: VadConfig, found: list[Utterance], others: dict[str, list[Utterance]]
    ) -> str:
        """Say what is worst and what to move, and write scores, also of what others find."""
        now = self.score(found)
        self._first = self._first or now
        rows = {"now": now, "at first": self._first}
        rows |= {name: self.score(each) for name, each in others.items()}
        words = self._doubt
        if not words:
            wrong = find_faults(detections(found), self._truth) if now.fragmented else []
            whole_s = _torn(wrong, found, config).values()
            words = advice(now, self._noise(config), config, sorted(whole_s))
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


def _torn(wrong: list[Fault], found: list[Utterance], config: VadConfig) -> dict[Fault, float]:
    """Return the silence timeouts that would not tear what the silence timeout has torn."""
    onsets = [u.onset_sample for u in found]
    whole_s = {}
    for fault in wrong:
        if "torn" not in fault.words:
            continue
        start, end = (round(at_s * SAMPLE_RATE) for at_s in (fault.start_s, fault.end_s))
        first, past = bisect_left(onsets, start), bisect_left(onsets, end)
        parts = [u for u in found[max(first - 1, 0) : past] if u.speech_end_sample > start]
        if len(parts) > 1 and all(u.reason == "silence" for u in parts[:-1]):
            whole_s[fault] = max(enough_timeout_s(*pair, config) for pair in pairwise(parts))
    return whole_s
