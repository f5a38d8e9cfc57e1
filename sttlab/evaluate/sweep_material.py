"""Recordings and labels of a sweep, joined on one time axis, and the scores of settings on them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache, partial
from math import ceil
from typing import Any

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
    limits_of,
    mark,
    moment_peaks,
    recent_levels,
)
from sttlab.evaluate.labels import Labels, Turn
from sttlab.evaluate.score import Detections, LabelledTruth, Scores, judge
from sttlab.trace import Trace, frame_length
from sttlab.vad import DETECTORS, deciding_fields

TOGETHER = 32  # settings that a thread scores at a time


class Material:
    """Recordings and labels, joined on one time axis so that one comparison scores all."""

    def __init__(
        self,
        traces: Sequence[Trace],
        labels: Sequence[Labels],
        detectors: Iterable[VadConfig],
        gap_s: float,
        collar_s: float,
    ) -> None:
        self._traces = traces
        self._places_s: list[int] = []
        turns: list[Turn] = []
        scored: list[tuple[float, float]] = []
        at_s = 0
        for trace, truth in zip(traces, labels, strict=True):
            self._places_s.append(at_s)
            last_s = max((t.end_s for t in truth), default=0.0)
            whole_s = trace.duration_s or last_s
            parts = ((0.0, whole_s),) if truth.scored is None and whole_s else truth.scored or ()
            scored += [(at_s + start_s, at_s + end_s) for start_s, end_s in parts]
            turns += [Turn(start_s=at_s + t.start_s, end_s=at_s + t.end_s) for t in truth]
            last_s = max([trace.duration_s, last_s, *(end_s for _, end_s in parts)])
            at_s += ceil(last_s + gap_s + collar_s) + 1  # whole seconds add up without rounding
        self._truth = LabelledTruth(Labels(turns, scored), gap_s, collar_s, at_s)
        self._peaks = {c.detector: [_peaks(trace, c) for trace in traces] for c in detectors}
        self._recent = {c.detector: [_recent(trace, c) for trace in traces] for c in detectors}

    def scores(self, configs: Sequence[VadConfig], chunk: Sequence[int]) -> dict[int, Scores]:
        """Score settings that share their thresholds, so that only the endpointing differs."""
        _, as_argument = _compiled()
        first = configs[chunk[0]]
        heard = zip(self._traces, self._recent[first.detector], strict=True)
        marks = [as_argument(mark(trace.activity(first), recent)) for trace, recent in heard]
        marked = list(zip(marks, self._peaks[first.detector], strict=True))
        return {i: judge(self._detect(configs[i], marked), self._truth) for i in chunk}

    def _detect(self, config: VadConfig, marked: Sequence[tuple[Any, Any]]) -> Detections:
        """Return what `segment` would find, as `score.detections` does."""
        run, _ = _compiled()
        frame_samples = frame_length(config)
        bounds = limits_of(config)
        whats, times = [], []
        parts = zip(marked, self._traces, self._places_s, strict=True)
        for (marks, peaks), trace, place_s in parts:
            rows = _cuts(run, marks, peaks, bounds)
            samples = np.minimum(rows[:, 1:5] * frame_samples, len(trace.samples))
            whats.append(rows[:, 0])
            times.append(samples / SAMPLE_RATE + place_s)
        decided, audio, start, end = np.concatenate(times).T
        return Detections(audio, start, end, decided, np.concatenate(whats) != ENDED)


def _peaks(trace: Trace, config: VadConfig) -> Any:
    """Return the peaks in which `advance` looks for a quiet moment, as its argument."""
    moment = limits_of(config).moment
    return _compiled()[1](moment_peaks(trace.heard(config.detector).level_dbfs, moment))


def _recent(trace: Trace, config: VadConfig) -> NDArray[np.float64] | None:
    return recent_levels(trace.heard(config.detector).level_dbfs, limits_of(config).delay)


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
    try:
        from numba import njit
    except ImportError:
        return partial(_run, advance), np.ndarray.tolist
    compiled = njit(nogil=True)
    return partial(compiled(_run), compiled(advance)), np.asarray


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
