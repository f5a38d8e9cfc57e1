"""Two runs on the same audio against the truth: the scores of both, and how sure the difference is.

Both are resampled together, by utterances that were spoken or by texts (paired bootstrap), so that
what is hard for both doesn't widen the interval; see `wer.difference`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import isnan, nan
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from sttlab.audio import SAMPLE_RATE
from sttlab.evaluate.grid import written
from sttlab.evaluate.labels import Labels
from sttlab.evaluate.score import (
    COLLAR_S,
    GAP_S,
    LabelledTruth,
    Outcomes,
    detections,
    outcomes,
    within,
)
from sttlab.evaluate.sweep import METRICS
from sttlab.evaluate.wer import Interval, WordErrors, difference, wer
from sttlab.kept.run import KeptRun, KeptUtterance

RESAMPLES = 2000
CHUNK = 100  # resamples computed at a time, to bound memory
SEED = 0
TOUCH_SAMPLES = SAMPLE_RATE // 10  # edges of neighbours may overlap by less
NOWHERE = (-2, -1)

Stretch: TypeAlias = tuple[int, int]
"""Start and end in samples."""


@dataclass(frozen=True, kw_only=True)
class ScorePair:
    """One metric of two runs.

    Attributes
    ----------
    metric : str
        One of `sweep.METRICS`; less is better.
    a, b : float
        Of the first run, and of the second; NaN where it can't be measured.
    difference : Interval
        By how much it is more in the second run, with a 95 % interval; NaN where that is not known.
    """

    metric: str
    a: float
    b: float
    difference: Interval

    @property
    def is_sure(self) -> bool:
        """Whether the difference is more than chance: its interval doesn't hold 0."""
        return self.difference.low > 0 or self.difference.high < 0

    def __str__(self) -> str:
        if isnan(self.a) or isnan(self.b):
            return f"{METRICS[self.metric]} can't be compared"
        words = " → ".join(written(self.metric, value) for value in (self.a, self.b))
        told = f"{METRICS[self.metric]} {words}"
        if isnan(self.difference.low):
            return told
        low, high = (
            f"{'+' if value > 0 else ''}{written(self.metric, value)}"
            for value in (self.difference.low, self.difference.high)
        )
        return f"{told} (difference {low} to {high})"


def score_pairs(a: KeptRun, b: KeptRun, labels: Labels) -> tuple[ScorePair, ...]:
    """Score the utterances of two runs against labels."""
    truth = LabelledTruth(labels, GAP_S, COLLAR_S, a.source.duration_s)
    each = [outcomes(within(detections(r.utterances), truth), truth) for r in (a, b)]
    pairs = [_pair(name, of, each) for name, of in _RATES.items()]
    pairs.append(_pair("endpoint_delay_median_ms", _delays_ms, each, _median))
    false = [float(one.false.sum()) for one in each]
    unsure = Interval(estimate=false[1] - false[0], low=nan, high=nan)
    return (*pairs, ScorePair(metric="false", a=false[0], b=false[1], difference=unsure))


def _delays_ms(of: Outcomes) -> NDArray[np.float64]:
    return of.endpoint_delay_s * 1000


Values: TypeAlias = Callable[[Outcomes], NDArray[np.float64]]
"""Gives the value of each spoken utterance."""

_RATES: dict[str, Values] = {
    "lost_rate": lambda of: of.missed.astype(float) + of.cut_off,
    "cut_off_rate": lambda of: of.cut_off.astype(float),
    "missed_rate": lambda of: of.missed.astype(float),
    "fragmented_rate": lambda of: of.fragmented.astype(float),
    "merged_rate": lambda of: of.merged.astype(float),
}


def _mean(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the mean along the last axis, which is not empty."""
    mean: NDArray[np.float64] = values.mean(axis=-1)
    return mean


def _median(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the median along the last axis, which is not empty, of what is not NaN."""
    in_order = np.sort(values, axis=-1)  # NaN comes last
    known = np.count_nonzero(~np.isnan(values), axis=-1)
    middle = np.stack([np.maximum(known - 1, 0) // 2, np.minimum(known // 2, values.shape[-1] - 1)])
    both = [np.take_along_axis(in_order, at[..., None], axis=-1)[..., 0] for at in middle]
    median: NDArray[np.float64] = np.where(known > 0, (both[0] + both[1]) / 2, np.nan)
    return median


def _pair(
    metric: str,
    of: Values,
    each: Sequence[Outcomes],
    summary: Callable[[NDArray[np.float64]], NDArray[np.float64]] = _mean,
) -> ScorePair:
    one, other = (of(outcome) for outcome in each)
    count = len(one)
    a, b = (float(summary(v)) if count else nan for v in (one, other))
    low, high = nan, nan
    if count > 1:
        random = np.random.default_rng(SEED)  # the same utterances for each metric
        differences = []
        for _ in range(0, RESAMPLES, CHUNK):
            rows = random.integers(0, count, (CHUNK, count))
            differences.append(summary(other[rows]) - summary(one[rows]))
        all_of_them = np.concatenate(differences)
        known = all_of_them[~np.isnan(all_of_them)]
        if len(known):
            low, high = np.percentile(known, [2.5, 97.5]).tolist()
    told = Interval(estimate=b - a, low=low, high=high)
    return ScorePair(metric=metric, a=a, b=b, difference=told)


def word_pair(errors: tuple[WordErrors, WordErrors]) -> ScorePair:
    """Compare the word errors of two runs on the same reference."""
    a, b = errors
    return ScorePair(metric="word_error_rate", a=a.wer, b=b.wer, difference=difference(a, b))


def against_text(a: KeptRun, b: KeptRun, reference: str, language: str) -> ScorePair:
    """Compare the texts of two runs with the text of all that was said."""
    one, other = (wer(reference, run.text, language=language).in_stretches() for run in (a, b))
    return word_pair((one, other))


def against_turns(a: KeptRun, b: KeptRun, labels: Labels, language: str) -> ScorePair:
    """Compare the texts of two runs with those of labels, where those have texts.

    What is outside the labelled parts doesn't count.
    """
    scored = Labels((), labels.scored or [(0.0, a.source.duration_s or 1.0)]).scored or ()
    turns = [turn for turn in labels if turn.text]
    sides = [[u for u in run.utterances if _is_in(u, scored)] for run in (a, b)]
    spans = [(_sample(turn.start_s), _sample(turn.end_s)) for turn in turns]
    groups = list(together(spans, *([speech_of(u) for u in side] for side in sides)))
    said = [" ".join(turns[i].text for i in group[0]) for group in groups]
    errors = [
        wer(
            said,
            [" ".join(side[i].text or "" for i in group[n]) for group in groups],
            language=language,
        )
        for n, side in enumerate(sides, 1)
    ]
    return word_pair((errors[0], errors[1]))


def _is_in(u: KeptUtterance, parts: Sequence[tuple[float, float]]) -> bool:
    start_s, end_s = (at / SAMPLE_RATE for at in speech_of(u))
    return any(start < end_s and start_s < end for start, end in parts)


def _sample(time_s: float) -> int:
    return round(time_s * SAMPLE_RATE)


def speech_of(u: KeptUtterance) -> Stretch:
    """Return where speech begins and ends in an utterance; never nothing."""
    return u.onset_sample, max(u.speech_end_sample, u.onset_sample + 1)


def together(*sides: Sequence[Stretch]) -> Iterator[tuple[list[int], ...]]:
    """Put together the stretches of several sides that share time, in the order of time.

    Yields
    ------
    tuple of list of int
        The numbers of those that belong together, for each side.
    """
    queue = sorted(
        (stretch, side, number)
        for side, stretches in enumerate(sides)
        for number, stretch in enumerate(stretches)
    )
    group: tuple[list[int], ...] | None = None
    last: list[Stretch] = []  # of each side, in the open group
    for stretch, side, number in queue:
        if group is None or not any(_share(one, stretch) for one in last):
            if group:
                yield group
            group = tuple([] for _ in sides)
            last = [NOWHERE] * len(sides)
        group[side].append(number)
        last[side] = max(last[side], stretch, key=lambda one: one[1])
    if group:
        yield group


def _share(one: Stretch, later: Stretch) -> bool:
    """Whether two stretches have more in common than edges that touch."""
    lengths = one[1] - one[0], later[1] - later[0]
    return one[1] - later[0] >= min(TOUCH_SAMPLES, *(max(1, length // 2) for length in lengths))
