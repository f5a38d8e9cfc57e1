"""How well utterances fit labelled truth: per utterance, and by duration.

Durations are compared as pyannote.metrics defines it; the tests hold them to that library. It
isn't used here because it compares each stretch with each: an hour took it ten seconds, and a
sweep asks a thousand times.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sttlab.audio import SAMPLE_RATE
from sttlab.errors import ConfigError
from sttlab.evaluate.labels import Labels, Spans, Turn, union
from sttlab.events import Utterance

GAP_S = 0.5
COLLAR_S = 0.2
SHARED_S = 0.15
ROUNDING_S = 1e-9
COLLAR = np.array([-0.5, 0.5])  # around an edge


@dataclass(frozen=True, kw_only=True)
class Scores:
    """What utterances are worth. `score` makes one for a recording, `pool` one for several.

    Attributes
    ----------
    utterances, found : int
        How many were spoken, and how many found.
    missed : int
        Spoken, and no part of it found.
    false : int
        Found, and none of it spoken.
    fragmented : int
        Spoken as one, found as several.
    merged : int
        Spoken, and found together with another.
    cut_off : int
        Spoken, and ended while it still went on: decided before its last speech.
    onset_clipped_ms : tuple of float
        For each spoken one that was found: how much of its beginning the sound that was found,
        pre-roll included, doesn't hold.
    endpoint_delay_ms : tuple of float
        From the end of speech to the decision that it was over, for each spoken one whose end was
        decided: not missed, cut off, merged into a later one or ended by the recording's end.
    scored_s : float
        How much of the recording was compared: what was labelled, without the collars.
    speech_s, hit_s, false_alarm_s : float
        Speech in it, how much of that was found, and how much was found beside it.

    Notes
    -----
    Missed, false, fragmented and merged are the deletions, insertions, fragmentations and merges
    of J. Ward, P. Lukowicz and H. Gellersen, "Performance metrics for activity recognition", ACM
    TIST 2(1), 2011. Clipped onsets are the front-end clipping of D. Freeman et al., "The voice
    activity detector for the Pan-European digital cellular mobile telephone service", ICASSP 1989.
    Delay and cut-offs are how endpointers are compared, e.g. by M. Shannon et al., "Improved
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
        """Part of the found time that is speech; 1 if none was found (as pyannote.metrics)."""
        found_s = self.hit_s + self.false_alarm_s
        return self.hit_s / found_s if found_s else 1.0

    @property
    def recall(self) -> float:
        """Part of the speech that was found; 1 if there is none (as pyannote.metrics)."""
        return self.hit_s / self.speech_s if self.speech_s else 1.0

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall; 0 if both are."""
        both = self.precision + self.recall
        return 2 * self.precision * self.recall / both if both else 0.0

    @property
    def missed_speech_rate(self) -> float:
        """Speech that was not found, as a part of all speech."""
        return 1.0 - self.recall

    @property
    def false_alarm_rate(self) -> float:
        """Found time that is no speech, as a part of all speech; 1 for any if there is none."""
        return (
            self.false_alarm_s / self.speech_s if self.speech_s else float(self.false_alarm_s > 0)
        )

    @property
    def detection_error_rate(self) -> float:
        """Missed speech and false alarms, as a part of all speech."""
        return self.missed_speech_rate + self.false_alarm_rate

    def figures(self) -> dict[str, float]:
        """Give everything as plain numbers, for a table.

        Of onsets and delays the median and the 90th percentile; NaN where there are none.
        """
        counts = ("utterances", "found", "missed", "false", "fragmented", "merged", "cut_off")
        rates = ("precision", "recall", "f1", "missed_speech_rate", "false_alarm_rate")
        figures = {name: getattr(self, name) for name in (*counts, *rates, "detection_error_rate")}
        for name in ("onset_clipped", "endpoint_delay"):
            values = getattr(self, f"{name}_ms")
            percentiles = np.percentile(values, [50, 90]).tolist() if values else [np.nan] * 2
            figures[f"{name}_median_ms"], figures[f"{name}_p90_ms"] = percentiles
        return figures

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
    utterances: Iterable[Utterance | Turn | tuple[float, float]],
    labels: Labels,
    *,
    gap_s: float = GAP_S,
    collar_s: float = COLLAR_S,
    duration_s: float | None = None,
) -> Scores:
    """Compare utterances with labels.

    Parameters
    ----------
    utterances : iterable of Utterance, Turn or (start_s, end_s)
        What was found. Of an `Utterance` the speech in it is compared, without pre-roll and
        post-roll. The others do not say when they were decided: at their end, it is taken, and
        no delay is given.
    labels : Labels
        The truth. What was spoken as one utterance is not labelled; taken for one are turns of
        whomever with pauses shorter than `gap_s`.
    gap_s : float >= 0, seconds
        NIST's Rich Transcription evaluations close pauses of up to 0.3 s; half a second is a pause
        after which most listeners would begin to answer.
    collar_s : float >= 0, seconds
        Labels are not exact. As in pyannote.metrics, a stretch so long around each start and end
        of labelled speech is left out of the durations, half before and half after. An utterance
        that is decided by no more than half of it too early is not cut off.
    duration_s : float, optional
        Length of the recording. Needed only if silence at its end matters to ``scored_s``.

    Returns
    -------
    Scores
        An utterance is a find of what was spoken if they share 0.15 s, or half of the shorter.

    Raises
    ------
    LabelError
        If the times of a pair are not in order.
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
    found = finds(utterances)
    end_s = duration_s or max([t.end_s for t in labels] + found.end_s.tolist(), default=0.0)
    return judge(found, LabelledTruth(labels, gap_s, collar_s, end_s))


def pool(scores: Iterable[Scores]) -> Scores:
    """Add up the scores of several recordings, as if they were one."""
    parts = list(scores)
    sums: dict[str, Any] = {}
    for name in (f.name for f in fields(Scores)):
        values = [getattr(part, name) for part in parts]
        sums[name] = tuple(chain(*values)) if name.endswith("_ms") else sum(values)
    return Scores(**sums)


@dataclass(frozen=True, eq=False)
class Finds:
    """What was found, in order of `start_s`; each array has shape (n,).

    Attributes
    ----------
    sound_s : ndarray
        Where the sound begins, pre-roll included.
    start_s, end_s : ndarray
        Of the speech.
    decided_s : ndarray
        When it was decided that it was over.
    timed : ndarray of bool
        Whether that was for silence, and so has a delay.
    """

    sound_s: NDArray[np.float64]
    start_s: NDArray[np.float64]
    end_s: NDArray[np.float64]
    decided_s: NDArray[np.float64]
    timed: NDArray[np.bool_]


def finds(utterances: Iterable[Utterance | Turn | tuple[float, float]]) -> Finds:
    """Lay out what `score` is given, in order."""
    rows = []
    for item in utterances:
        if isinstance(item, Utterance):
            samples = (item.onset_sample, item.speech_end_sample, item.decided_sample)
            times = [item.start_s, *(sample / SAMPLE_RATE for sample in samples)]
            rows.append((*times, item.reason in ("silence", "longest")))
            continue
        if not isinstance(item, Turn):
            start_s, end_s = item
            item = Turn(start_s=start_s, end_s=end_s)
        rows.append((item.start_s, item.start_s, item.end_s, item.end_s, False))
    rows.sort(key=lambda row: row[1:3])
    sound_s, start_s, end_s, decided_s, timed = np.array(rows, np.float64).reshape(-1, 5).T
    return Finds(sound_s, start_s, end_s, decided_s, timed.astype(bool))


class LabelledTruth:
    """Labels, made ready to be compared with many times.

    Parameters
    ----------
    labels : Labels
    gap_s, collar_s : float
        See `score`.
    end_s : float
        Where the scored part ends if the labels do not say.
    """

    def __init__(self, labels: Labels, gap_s: float, collar_s: float, end_s: float) -> None:
        scored = union([(0.0, end_s)] if labels.scored is None and end_s else labels.scored or [])
        edges = labels.speech.reshape(-1, 1)
        collars = union(edges + COLLAR * collar_s) if collar_s else np.empty((0, 2))
        compared = intersect(scored, _gaps(collars))
        self.tolerance_s = collar_s / 2 + ROUNDING_S
        self.utterances = union(intersect(labels.speech, scored), gap_s)
        self.scored = Cover(scored)
        self.compared = Cover(compared)
        self.speech = Cover(intersect(labels.speech, compared))


class Cover:
    """How much of any stretch some spans cover."""

    def __init__(self, spans: Spans) -> None:
        lengths = np.repeat(spans[:, 1] - spans[:, 0], 2)
        lengths[::2] = 0.0
        self._times = spans.ravel()
        self._sums = np.cumsum(lengths)
        self.whole_s = float(self._sums[-1]) if len(self._sums) else 0.0

    def __call__(
        self, start_s: NDArray[np.float64], end_s: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Seconds covered of each stretch."""
        if not self.whole_s:
            return np.zeros(len(start_s))
        covered: NDArray[np.float64] = np.interp(end_s, self._times, self._sums)
        return covered - np.interp(start_s, self._times, self._sums)


def judge(found: Finds, truth: LabelledTruth) -> Scores:
    """Compare what was found with the truth; `score` says how."""
    counted = truth.scored(found.start_s, found.end_s) > ROUNDING_S
    if not counted.all():
        found = Finds(*(getattr(found, f.name)[counted] for f in fields(Finds)))
    start_s, end_s = truth.utterances.T
    spoken, heard = _matches(found, truth.utterances)
    hits = np.bincount(spoken, minlength=len(start_s))
    holds = np.bincount(heard, minlength=len(found.start_s))
    shared = np.bincount(spoken, holds[heard] > 1, len(start_s)) > 0
    first = np.flatnonzero(np.diff(spoken, prepend=-1))
    last = np.append(first[1:], len(spoken))[: len(first)] - 1
    hit = spoken[first]
    early = found.decided_s[heard] < end_s[spoken] - truth.tolerance_s
    clipped = found.sound_s[heard[first]] - start_s[hit]
    final = _last_held(spoken, heard, len(found.start_s))[heard[last]] == hit
    ended = final & found.timed[heard[last]] & ~early[last]
    delays = found.decided_s[heard[last]] - end_s[hit]
    hit_s, found_s = _durations(found, truth)
    return Scores(
        utterances=len(start_s),
        found=len(found.start_s),
        missed=int((hits == 0).sum()),
        false=int((holds == 0).sum()),
        fragmented=int((hits > 1).sum()),
        merged=int(shared.sum()),
        cut_off=len(np.unique(spoken[early])),
        onset_clipped_ms=_ms(np.maximum(clipped, 0.0)),
        endpoint_delay_ms=_ms(delays[ended]),
        scored_s=truth.compared.whole_s,
        speech_s=truth.speech.whole_s,
        hit_s=hit_s,
        false_alarm_s=max(0.0, found_s - hit_s),
    )


def intersect(a: Spans, b: Spans) -> Spans:
    """What two sets of spans share."""
    i, j = _overlaps(a[:, 0], a[:, 1], b)
    return np.column_stack([np.maximum(a[i, 0], b[j, 0]), np.minimum(a[i, 1], b[j, 1])])


def _gaps(spans: Spans) -> Spans:
    """All time outside of spans."""
    return np.concatenate([[-np.inf], spans.ravel(), [np.inf]]).reshape(-1, 2)


def _overlaps(
    start_s: NDArray[np.float64], end_s: NDArray[np.float64], spans: Spans
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Each stretch i and span j that share some time, in order of i, then j."""
    first = np.searchsorted(spans[:, 1], start_s, side="right")
    counts = np.maximum(np.searchsorted(spans[:, 0], end_s, side="left") - first, 0)
    i = np.repeat(np.arange(len(start_s)), counts)
    j = np.arange(len(i)) - np.repeat(np.cumsum(counts) - counts - first, counts)
    return i, j


def _matches(found: Finds, spoken: Spans) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Each spoken utterance and find that belong together, in order of the spoken one."""
    heard, said = _overlaps(found.start_s, found.end_s, spoken)
    starts, ends = found.start_s[heard], found.end_s[heard]
    begins, stops = spoken[said].T
    shared = np.minimum(ends, stops) - np.maximum(starts, begins)
    shorter = np.minimum(ends - starts, stops - begins)
    enough = shared >= np.minimum(SHARED_S, shorter / 2) - ROUNDING_S
    said, heard = said[enough], heard[enough]
    order = np.argsort(said, kind="stable")
    return said[order], heard[order]


def _last_held(spoken: NDArray[np.intp], heard: NDArray[np.intp], count: int) -> NDArray[np.intp]:
    """The last spoken utterance that each find holds."""
    last = np.full(count, -1)
    last[heard] = spoken  # in order, so that the last one stays
    return last


def _durations(found: Finds, truth: LabelledTruth) -> tuple[float, float]:
    """Found speech, and all found time, in what is compared."""
    start_s, end_s = found.start_s, found.end_s
    if (start_s[1:] < end_s[:-1]).any():
        start_s, end_s = union(np.column_stack([start_s, end_s])).T
    hit_s = truth.speech(start_s, end_s).sum()
    return float(hit_s), float(truth.compared(start_s, end_s).sum())


def _ms(seconds: NDArray[np.float64]) -> tuple[float, ...]:
    return tuple(np.round(1000 * seconds, 3).tolist())
