"""Recordings and labels of a sweep, joined on one time axis, and the scores of settings on them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cache, partial
from math import ceil
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from sttlab.audio import SAMPLE_RATE
from sttlab.config import VadConfig
from sttlab.endpoint import (
    CUT,
    ENDED,
    TIMED_OUT,
    Endpointer,
    EndpointState,
    Limits,
    advance,
    compiled_advance,
    limits_of,
    mark,
    moment_peaks,
    recent_levels,
)
from sttlab.evaluate.labels import Labels, Turn
from sttlab.evaluate.score import (
    Detections,
    LabelledTruth,
    durations,
    exact,
    known_us,
    outcomes,
    within,
)
from sttlab.evaluate.score_table import ScoreTable, compact
from sttlab.trace import HeardRecording, frame_length
from sttlab.vad import DETECTORS, deciding_fields

TOGETHER = 32  # settings that a thread scores at a time

_Row: TypeAlias = tuple[NDArray[Any], ...]
"""Of one setting: counts, found speech, false alarms, clipped onsets and delays, as ScoreTable."""


class Material:
    """Recordings and labels, joined on one time axis so that one comparison scores all."""

    def __init__(
        self,
        recordings: Sequence[HeardRecording],
        labels: Sequence[Labels],
        gap_s: float,
        collar_s: float,
    ) -> None:
        self._recordings = recordings
        self._places_s: list[int] = []
        turns: list[Turn] = []
        scored: list[tuple[float, float]] = []
        at_s = 0

        def placed(spans: Sequence[tuple[float, float]]) -> Any:
            return (at_s + exact(np.array(spans, np.float64).reshape(-1, 2))).tolist()

        for recording, truth in zip(recordings, labels, strict=True):
            self._places_s.append(at_s)
            last_s = max((t.end_s for t in truth), default=0.0)
            whole_s = recording.duration_s or last_s
            parts = ((0.0, whole_s),) if truth.scored is None and whole_s else truth.scored or ()
            scored += placed(parts)
            spans = placed([(t.start_s, t.end_s) for t in truth])
            turns += [Turn(start_s=start_s, end_s=end_s) for start_s, end_s in spans]
            last_s = max([recording.duration_s, last_s, *(end_s for _, end_s in parts)])
            at_s += ceil(last_s + gap_s + collar_s) + 1  # whole seconds add up without rounding
        self._truth = LabelledTruth(Labels(turns, scored), gap_s, collar_s, at_s)
        self._spoken_in = self._recording_at(self._truth.utterances[:, 0])
        detectors = recordings[0].by_detector
        self._peaks = {name: [_peaks(each, name) for each in recordings] for name in detectors}
        self._recent = {name: [_recent(each, name) for each in recordings] for name in detectors}

    def table(
        self,
        configs: Sequence[VadConfig],
        run: Callable[..., Iterator[dict[int, _Row]]] = map,
        done: Callable[[int], None] = lambda count: None,
    ) -> ScoreTable:
        """Score all settings.

        Parameters
        ----------
        configs : sequence of VadConfig
        run : callable
            `map`, or one like it that shares the work among threads.
        done : callable
            Called on this thread with the number of settings that were scored since the last call.
        """
        rows: dict[int, _Row] = {}
        for part in run(partial(self._score, configs), chunks(configs)):
            rows |= part
            done(len(part))
        in_order = [rows[i] for i in range(len(configs))]
        counts, hits, false_alarms, clipped, delays = zip(*in_order, strict=True)
        starts = np.array(self._places_s, np.float64)
        ends = np.append(starts[1:], np.inf)
        return ScoreTable(
            utterances=self._count(self._spoken_in).astype(np.int32),
            scored_s=self._truth.compared(starts, ends),
            speech_s=self._truth.speech(starts, ends),
            counts=np.array(counts, np.int32),
            hit_s=np.array(hits),
            false_alarm_s=np.array(false_alarms),
            onset_clipped_us=compact(clipped),
            endpoint_delay_us=compact(delays),
        )

    def _recording_at(self, times_s: NDArray[np.float64]) -> NDArray[np.intp]:
        return np.searchsorted(self._places_s, times_s, side="right") - 1

    def _count(
        self, recordings: NDArray[np.intp], weights: NDArray[np.float64] | None = None
    ) -> NDArray[Any]:
        return np.bincount(recordings, weights, len(self._recordings))

    def _score(self, configs: Sequence[VadConfig], chunk: Sequence[int]) -> dict[int, _Row]:
        """Score settings that share their thresholds, so that only the endpointing differs."""
        _, as_argument = _compiled()
        first = configs[chunk[0]]
        heard = zip(self._recordings, self._recent[first.detector], strict=True)
        marks = [as_argument(mark(each.activity(first), recent)) for each, recent in heard]
        marked = list(zip(marks, self._peaks[first.detector], strict=True))
        return {i: self._judge(self._detect(configs[i], marked)) for i in chunk}

    def _judge(self, found: Detections) -> _Row:
        """Score what is found as `score.judge` does, for each recording."""
        found = within(found, self._truth)
        each = outcomes(found, self._truth)
        found_in, spoken_in = self._recording_at(found.start_s), self._spoken_in
        timed = ~np.isnan(each.endpoint_delay_s)
        counts = [self._count(found_in)] + [
            self._count(where[which])
            for where, which in (
                (spoken_in, each.missed),
                (found_in, each.false),
                (spoken_in, each.fragmented),
                (spoken_in, each.merged),
                (spoken_in, each.cut_off),
                (spoken_in, timed),
            )
        ]
        start_s, hit_s, found_s = durations(found, self._truth)
        spans_in = self._recording_at(start_s)
        return (
            np.column_stack(counts),
            self._count(spans_in, hit_s),
            self._count(spans_in, found_s - hit_s),
            known_us(each.onset_clipped_s),
            known_us(each.endpoint_delay_s),
        )

    def _detect(self, config: VadConfig, marked: Sequence[tuple[Any, Any]]) -> Detections:
        """Return what `segment` would find, as `score.detections` does."""
        run, _ = _compiled()
        frame_samples = frame_length(config)
        bounds = limits_of(config)
        whats, times = [], []
        parts = zip(marked, self._recordings, self._places_s, strict=True)
        for (marks, peaks), recording, place_s in parts:
            rows = _cuts(run, marks, peaks, bounds)
            samples = np.minimum(rows[:, 1:5] * frame_samples, recording.length_samples)
            whats.append(rows[:, 0])
            times.append(exact(samples / SAMPLE_RATE) + place_s)
        decided, audio, start, end = np.concatenate(times).T
        return Detections(audio, start, end, decided, np.concatenate(whats) != ENDED)


def _peaks(recording: HeardRecording, detector: str) -> Any:
    """Return the peaks in which `advance` looks for a quiet moment, as its argument."""
    moment = limits_of(VadConfig(detector=detector)).moment
    levels = recording.by_detector[detector].level_dbfs
    return _compiled()[1](moment_peaks(levels, moment))


def _recent(recording: HeardRecording, detector: str) -> NDArray[np.float64] | None:
    delay = limits_of(VadConfig(detector=detector)).delay
    return recent_levels(recording.by_detector[detector].level_dbfs, delay)


def _cuts(run: Callable[..., Any], marks: Any, peaks: Any, bounds: Limits) -> NDArray[np.int64]:
    """Decide on a whole recording; return the decisions that end an utterance, one in a row."""
    decisions, state = run(marks, peaks, EndpointState(), bounds)
    what = decisions[:, 0]
    rows: NDArray[np.int64] = decisions[(what == TIMED_OUT) | (what == CUT)]
    endpointer = Endpointer(bounds)
    endpointer.state = state
    last = endpointer.flush()
    return np.vstack([rows, last]) if last else rows


@cache
def _compiled() -> tuple[Callable[..., Any], Callable[[NDArray[Any]], Any]]:
    """Return a function that runs `advance` on a recording, and one that converts its arguments."""
    step = compiled_advance()
    if step is None:
        return partial(_run, advance), np.ndarray.tolist
    from numba import njit

    return partial(njit(nogil=True)(_run), step), np.asarray


def _run(
    step: Callable[..., Any], marks: Any, peaks: Any, state: EndpointState, bounds: Limits
) -> tuple[NDArray[np.int64], EndpointState]:
    """Run `advance`; return its decisions as an array, which numba returns faster than tuples."""
    decisions, _, state = step(marks, peaks, state, bounds)
    rows = np.empty((len(decisions), 6), np.int64)
    for i, decision in enumerate(decisions):
        for j, value in enumerate(decision):
            rows[i, j] = value
    return rows, state


def chunks(configs: Sequence[VadConfig]) -> Iterator[list[int]]:
    """Yield a few settings at a time that share their thresholds."""
    alike: dict[tuple[Any, ...], list[int]] = {}
    for i, config in enumerate(configs):
        deciding = deciding_fields(config)
        uses = [name for name in DETECTORS[config.detector].fields if name in deciding]
        used = [getattr(config, name) for name in uses]
        alike.setdefault((config.detector, *used), []).append(i)
    for chunk in alike.values():
        for first in range(0, len(chunk), TOGETHER):
            yield chunk[first : first + TOGETHER]
