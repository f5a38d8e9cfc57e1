"""Scores of detected utterances against labelled truth: by utterance, and by duration.

Durations are compared as in pyannote.metrics, to which the tests compare the results. The library
itself is not used, because it compares each span with each: it takes ten seconds for an hour of
audio, and a sweep scores a thousand times.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from itertools import chain
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from sttlab.audio import SAMPLE_RATE
from sttlab.errors import ConfigError
from sttlab.evaluate.labels import AnyLabels, Labels, Spans, Turn, as_labels, union
from sttlab.events import Utterance
from sttlab.kept.run import KeptUtterance
from sttlab.tables import frame, scalars

Found: TypeAlias = Utterance | KeptUtterance | Turn | tuple[float, float]
"""A found utterance, as `score` takes it."""

GAP_S = 0.5
COLLAR_S = 0.2
SHARED_S = 0.15  # overlap that makes a match; half of the shorter one is enough
QUANTUM_S = 2.0**-31  # half a nanosecond: sums of multiples of it are exact up to 24 days
ROUNDING_S = 1e-9
COLLAR = np.array([-0.5, 0.5])  # bounds of a collar around an edge, in lengths of the collar


@dataclass(frozen=True, kw_only=True)
class Scores:
    """The scores of detected utterances. `score` makes them for a recording, `pool` for several.

    A spoken utterance is one of the labels, a found utterance one of the detector.

    Attributes
    ----------
    utterances, found : int
        Number of spoken utterances, and of found ones.
    missed : int
        Spoken utterances of which nothing is found.
    false : int
        Found utterances in which nothing is spoken.
    fragmented : int
        Spoken utterances that are found as several.
    merged : int
        Spoken utterances that are found together with another.
    cut_off : int
        Spoken utterances whose end is decided before their last speech.
    onset_clipped_ms : tuple of float
        For each spoken utterance that is found, the length of its beginning that the audio of the
        found one, which includes the pre-roll, doesn't hold.
    endpoint_delay_ms : tuple of float
        Time from the end of speech to the decision that the utterance is over. Spoken utterances
        that are missed, cut off, merged into a later one or ended by the end of the recording have
        none.
    scored_s : float
        Length of what is compared: the labelled parts of the recording without the collars.
    speech_s, hit_s, false_alarm_s : float
        Length of the speech in it, of the found speech, and of what is found and not speech.

    Notes
    -----
    Missed, false, fragmented and merged are the deletions, insertions, fragmentations and merges
    of J. Ward, P. Lukowicz and H. Gellersen, "Performance metrics for activity recognition", ACM
    TIST 2(1), 2011. Clipped onsets are the front-end clipping of D. Freeman et al., "The voice
    activity detector for the Pan-European digital cellular mobile telephone service", ICASSP 1989.
    Endpointers are compared by delay and cut-offs, e.g. by M. Shannon et al., "Improved
    end-of-query detection for streaming speech recognition", Interspeech 2017.
    """

    utterances: int
    found: int
    missed: int
    false: int
    fragmented: int
    merged: int
    cut_off: int
    onset_clipped_ms: tuple[float, ...]
    endpoint_delay_ms: tuple[float, ...]
    scored_s: float
    speech_s: float
    hit_s: float
    false_alarm_s: float

    @property
    def precision(self) -> float:
        """Share of the found time that is speech; 1 if none is found, as in pyannote.metrics."""
        found_s = self.hit_s + self.false_alarm_s
        return self.hit_s / found_s if found_s else 1.0

    @property
    def recall(self) -> float:
        """Share of the speech that is found; 1 if there is none, as in pyannote.metrics."""
        return self.hit_s / self.speech_s if self.speech_s else 1.0

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall; 0 if both are 0."""
        both = self.precision + self.recall
        return 2 * self.precision * self.recall / both if both else 0.0

    @property
    def missed_speech_rate(self) -> float:
        """Missed speech as a share of all speech."""
        return 1.0 - self.recall

    @property
    def false_alarm_rate(self) -> float:
        """False alarms as a share of all speech; without speech, 1 if there are any, else 0."""
        return (
            self.false_alarm_s / self.speech_s if self.speech_s else float(self.false_alarm_s > 0)
        )

    @property
    def detection_error_rate(self) -> float:
        """Missed speech and false alarms as a share of all speech."""
        return self.missed_speech_rate + self.false_alarm_rate

    def figures(self) -> dict[str, float]:
        """Return all scores as plain numbers, for a table.

        Clipped onsets and delays are given by median and 90th percentile; NaN if there are none.
        """
        counts = ("utterances", "found", "missed", "false", "fragmented", "merged", "cut_off")
        rates = ("precision", "recall", "f1", "missed_speech_rate", "false_alarm_rate")
        figures = {name: getattr(self, name) for name in (*counts, *rates, "detection_error_rate")}
        for name in ("onset_clipped", "endpoint_delay"):
            values = getattr(self, f"{name}_ms")
            percentiles = np.percentile(values, [50, 90]).tolist() if values else [np.nan] * 2
            figures[f"{name}_median_ms"], figures[f"{name}_p90_ms"] = percentiles
        return figures

    def to_frame(self) -> Any:
        """Return a pandas.DataFrame of one row: what `figures` returns, and the lengths in seconds.

        Raises
        ------
        MissingExtra
            If pandas is not installed.
        """
        return frame([self.figures() | scalars(self)])

    def _repr_html_(self) -> str:
        figures = self.figures()
        rows = [("utterances spoken", f"{self.utterances}"), ("utterances found", f"{self.found}")]
        for name in ("missed", "fragmented", "merged", "cut_off"):
            share = f" ({getattr(self, name) / self.utterances:.0%})" if self.utterances else ""
            rows.append((name.replace("_", " "), f"{getattr(self, name)}{share}"))
        rows.append(("false", f"{self.false}"))
        for name in ("onset_clipped", "endpoint_delay"):
            median, p90 = figures[f"{name}_median_ms"], figures[f"{name}_p90_ms"]
            text = "–" if np.isnan(median) else f"{median:.0f} ms, {p90:.0f} ms"
            rows.append((f"{name.replace('_', ' ')}, median and 90 %", text))
        for name in ("precision", "recall", "f1", "missed_speech_rate", "false_alarm_rate"):
            rows.append((name.replace("_", " "), f"{figures[name]:.1%}"))
        cells = "".join(
            f'<tr><th scope="row" style="text-align:left">{name}</th><td>{value}</td></tr>'
            for name, value in rows
        )
        return f"<table><caption>scores</caption>{cells}</table>"


def score(
    utterances: Iterable[Found],
    labels: AnyLabels,
    *,
    gap_s: float = GAP_S,
    collar_s: float = COLLAR_S,
    duration_s: float | None = None,
) -> Scores:
    """Compare utterances with labels.

    Parameters
    ----------
    utterances : iterable of Utterance, KeptUtterance, Turn or (start_s, end_s)
        The found utterances. Of an `Utterance` the speech is compared, without pre-roll and
        post-roll. A `Turn` or a pair counts as decided at its end, and has no delay.
    labels : Labels, str or Path
        The truth, or its file. Labels don't say which turns are one utterance: turns of any
        speakers with pauses shorter than `gap_s` count as one.
    gap_s : float >= 0, seconds
        NIST's Rich Transcription evaluations close pauses of up to 0.3 s. After half a second most
        listeners would begin to answer.
    collar_s : float >= 0, seconds
        Labels are not exact. As in pyannote.metrics, the durations leave out this much around each
        start and end of labelled speech, half before and half after. An utterance that is decided
        too early by at most half of it is not cut off.
    duration_s : float, optional
        Length of the recording. Needed only if silence at its end should count in ``scored_s``.

    Returns
    -------
    Scores
        A spoken and a found utterance match if they share 0.15 s, or half of the shorter one.

    Raises
    ------
    LabelError
        If a pair does not end after its start, or the labels can't be read.
    ConfigError
        If one of the other numbers is negative.

    Examples
    --------
    >>> labels = Labels([Turn(start_s=1, end_s=3), Turn(start_s=5, end_s=6)])
    >>> scores = score([(1.2, 3.1), (8, 9)], labels)
    >>> scores.missed, scores.false, scores.onset_clipped_ms
    (1, 1, (200.0,))
    """
    for name, value in (("gap_s", gap_s), ("collar_s", collar_s), ("duration_s", duration_s)):
        if value is not None and not 0 <= value < np.inf:
            raise ConfigError(f"{name} must be 0 s or more, not {value!r}")
    found = detections(utterances)
    truth = as_labels(labels)
    end_s = duration_s or max([t.end_s for t in truth] + found.end_s.tolist(), default=0.0)
    return judge(found, LabelledTruth(truth, gap_s, collar_s, end_s))


def pool(scores: Iterable[Scores]) -> Scores:
    """Add up the scores of several recordings, as if they were one."""
    parts = list(scores)
    sums: dict[str, Any] = {}
    for name in (f.name for f in fields(Scores)):
        values = [getattr(part, name) for part in parts]
        sums[name] = tuple(chain(*values)) if name.endswith("_ms") else sum(values)
    return Scores(**sums)


@dataclass(frozen=True, eq=False)
class Detections:
    """The found utterances as arrays of shape (n,), in order of `start_s`.

    Attributes
    ----------
    audio_s : ndarray
        Start of the audio, pre-roll included.
    start_s, end_s : ndarray
        Start and end of the speech.
    decided_s : ndarray
        Time of the decision that the utterance is over.
    timed : ndarray of bool
        Whether the endpointer decided that, and not the end of the recording. Only then is there a
        delay.
    """

    audio_s: NDArray[np.float64]
    start_s: NDArray[np.float64]
    end_s: NDArray[np.float64]
    decided_s: NDArray[np.float64]
    timed: NDArray[np.bool_]


def detections(utterances: Iterable[Found]) -> Detections:
    """Put the utterances that `score` is given into arrays, in order."""
    rows = []
    for item in utterances:
        if isinstance(item, Utterance | KeptUtterance):
            samples = (item.onset_sample, item.speech_end_sample, item.decided_sample)
            times = [item.start_s, *(sample / SAMPLE_RATE for sample in samples)]
            rows.append((*times, item.reason in ("silence", "longest")))
            continue
        if not isinstance(item, Turn):
            start_s, end_s = item
            item = Turn(start_s=start_s, end_s=end_s)
        rows.append((item.start_s, item.start_s, item.end_s, item.end_s, False))
    rows.sort(key=lambda row: row[1:3])
    audio_s, start_s, end_s, decided_s, timed = exact(np.array(rows, np.float64).reshape(-1, 5)).T
    return Detections(audio_s, start_s, end_s, decided_s, timed.astype(bool))


class LabelledTruth:
    """Labels, prepared for many comparisons.

    Parameters
    ----------
    labels : Labels
    gap_s, collar_s : float
        See `score`.
    end_s : float
        End of the scored part if the labels do not say which parts are scored.
    """

    def __init__(self, labels: Labels, gap_s: float, collar_s: float, end_s: float) -> None:
        speech = exact(labels.speech)
        whole = [(0.0, end_s)] if labels.scored is None and end_s else labels.scored or []
        scored = exact(union(whole))
        edges = speech.reshape(-1, 1)
        collars = union(edges + exact(COLLAR * collar_s)) if collar_s else np.empty((0, 2))
        compared = intersect(scored, _gaps(collars))
        self.tolerance_s = collar_s / 2 + ROUNDING_S
        self.utterances = union(intersect(speech, scored), gap_s - ROUNDING_S)
        self.scored = Cover(scored)
        self.compared = Cover(compared)
        self.speech = Cover(intersect(speech, compared))


class Cover:
    """Computes how much of a range of time given spans cover."""

    def __init__(self, spans: Spans) -> None:
        lengths = np.repeat(spans[:, 1] - spans[:, 0], 2)
        lengths[::2] = 0.0
        self._times = spans.ravel()
        self._sums = np.cumsum(lengths)
        self.whole_s = float(self._sums[-1]) if len(self._sums) else 0.0

    def __call__(
        self, start_s: NDArray[np.float64], end_s: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Return the seconds covered of each range, shape (n,)."""
        if not self.whole_s:
            return np.zeros(len(start_s))
        covered: NDArray[np.float64] = np.interp(end_s, self._times, self._sums)
        return covered - np.interp(start_s, self._times, self._sums)


@dataclass(frozen=True, eq=False)
class Outcomes:
    """What becomes of each spoken utterance: arrays of shape (n,), in order of time.

    Attributes
    ----------
    missed, fragmented, merged, cut_off : ndarray of bool
    onset_clipped_s, endpoint_delay_s : ndarray
        NaN where there is none; see `Scores`.
    false : ndarray of bool, shape (m,)
        Of the found utterances, those in which nothing is spoken.
    """

    missed: NDArray[np.bool_]
    fragmented: NDArray[np.bool_]
    merged: NDArray[np.bool_]
    cut_off: NDArray[np.bool_]
    onset_clipped_s: NDArray[np.float64]
    endpoint_delay_s: NDArray[np.float64]
    false: NDArray[np.bool_]


def exact(seconds: NDArray[np.float64]) -> NDArray[np.float64]:
    """Round to multiples of QUANTUM_S.

    Times are then added and subtracted without rounding, so that scores don't depend on where a
    recording lies on an axis of time that several share, nor on the order in which they are added.
    """
    rounded: NDArray[np.float64] = np.rint(seconds / QUANTUM_S) * QUANTUM_S
    return rounded


def judge(found: Detections, truth: LabelledTruth) -> Scores:
    """Score the found utterances against the truth, as `score` describes."""
    found = within(found, truth)
    each = outcomes(found, truth)
    _, hit_s, found_s = durations(found, truth)
    return Scores(
        utterances=len(each.missed),
        found=len(found.start_s),
        missed=int(each.missed.sum()),
        false=int(each.false.sum()),
        fragmented=int(each.fragmented.sum()),
        merged=int(each.merged.sum()),
        cut_off=int(each.cut_off.sum()),
        onset_clipped_ms=to_ms(known_us(each.onset_clipped_s)),
        endpoint_delay_ms=to_ms(known_us(each.endpoint_delay_s)),
        scored_s=truth.compared.whole_s,
        speech_s=truth.speech.whole_s,
        hit_s=float(hit_s.sum()),
        false_alarm_s=float((found_s - hit_s).sum()),
    )


def outcomes(found: Detections, truth: LabelledTruth) -> Outcomes:
    """Say what becomes of each spoken utterance, as `score` describes; all is in scored parts."""
    start_s, end_s = truth.utterances.T
    count = len(start_s)
    spoken, match = _matches(found, truth.utterances)
    hits = np.bincount(spoken, minlength=count)
    holds = np.bincount(match, minlength=len(found.start_s))
    shared = np.bincount(spoken, holds[match] > 1, count) > 0
    first = np.flatnonzero(np.diff(spoken, prepend=-1))
    last = np.append(first[1:], len(spoken))[: len(first)] - 1
    hit = spoken[first]
    early = found.decided_s[match] < end_s[spoken] - truth.tolerance_s
    clipped_s, delay_s = np.full(count, np.nan), np.full(count, np.nan)
    clipped_s[hit] = np.maximum(found.audio_s[match[first]] - start_s[hit], 0.0)
    final = _last_spoken(spoken, match, len(found.start_s))[match[last]] == hit
    ended = final & found.timed[match[last]] & ~early[last]
    delay_s[hit[ended]] = (found.decided_s[match[last]] - end_s[hit])[ended]
    return Outcomes(
        missed=hits == 0,
        fragmented=hits > 1,
        merged=shared,
        cut_off=np.bincount(spoken[early], minlength=count) > 0,
        onset_clipped_s=clipped_s,
        endpoint_delay_s=delay_s,
        false=holds == 0,
    )


def within(found: Detections, truth: LabelledTruth) -> Detections:
    """Leave out what is found outside the scored parts."""
    counted = truth.scored(found.start_s, found.end_s) > ROUNDING_S
    if counted.all():
        return found
    return Detections(*(getattr(found, f.name)[counted] for f in fields(Detections)))


def intersect(a: Spans, b: Spans) -> Spans:
    """Return the intersection of two sets of spans."""
    i, j = _overlaps(a[:, 0], a[:, 1], b)
    return np.column_stack([np.maximum(a[i, 0], b[j, 0]), np.minimum(a[i, 1], b[j, 1])])


def _gaps(spans: Spans) -> Spans:
    """Return all time outside the spans."""
    return np.concatenate([[-np.inf], spans.ravel(), [np.inf]]).reshape(-1, 2)


def _overlaps(
    start_s: NDArray[np.float64], end_s: NDArray[np.float64], spans: Spans
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return each range i and span j that overlap, in order of i, then j."""
    first = np.searchsorted(spans[:, 1], start_s, side="right")
    counts = np.maximum(np.searchsorted(spans[:, 0], end_s, side="left") - first, 0)
    i = np.repeat(np.arange(len(start_s)), counts)
    j = np.arange(len(i)) - np.repeat(np.cumsum(counts) - counts - first, counts)
    return i, j


def _matches(found: Detections, spoken: Spans) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the spoken and the found utterance of each match, in order of the spoken one."""
    match, said = _overlaps(found.start_s, found.end_s, spoken)
    starts, ends = found.start_s[match], found.end_s[match]
    begins, stops = spoken[said].T
    shared = np.minimum(ends, stops) - np.maximum(starts, begins)
    shorter = np.minimum(ends - starts, stops - begins)
    enough = shared >= np.minimum(SHARED_S, shorter / 2) - ROUNDING_S
    said, match = said[enough], match[enough]
    order = np.argsort(said, kind="stable")
    return said[order], match[order]


def _last_spoken(spoken: NDArray[np.intp], match: NDArray[np.intp], count: int) -> NDArray[np.intp]:
    """Return the last spoken utterance that each found one matches; -1 if it matches none."""
    last = np.full(count, -1)
    last[match] = spoken  # matches are in order, so the last one stays
    return last


def durations(
    found: Detections, truth: LabelledTruth
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return disjoint spans of found time: their starts, the speech in each, and their lengths.

    Only what is compared counts.
    """
    start_s, end_s = found.start_s, found.end_s
    if (start_s[1:] < end_s[:-1]).any():
        start_s, end_s = union(np.column_stack([start_s, end_s])).T
    return start_s, truth.speech(start_s, end_s), truth.compared(start_s, end_s)


def known_us(seconds: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return what is not NaN, in whole microseconds."""
    return np.rint(1e6 * seconds[~np.isnan(seconds)]).astype(np.int64)


def to_ms(us: NDArray[np.integer[Any]]) -> tuple[float, ...]:
    """Return microseconds as milliseconds."""
    return tuple((us / 1000).tolist())
