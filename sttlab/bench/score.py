"""Scores of a live run: finals matched to the truth by time, then delays and words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

import numpy as np

from sttlab.bench.material import Truth

MIN_OVERLAP_S = 0.15  # shortest overlap that makes a match


@dataclass(frozen=True, kw_only=True)
class Shown:
    """A partial as it was received. ``at_s`` is in stream time."""

    at_s: float
    text: str
    stable: str


@dataclass(frozen=True, kw_only=True)
class Said:
    """A final as it was received.

    Attributes
    ----------
    start_s, end_s : float
        Position in the stream, as the system reports it.
    text : str
    received_s : float
        Time of receipt, in seconds after the stream's first sample was due.
    partials : tuple of Shown
        Its partials, in order.
    timings : dict
        Parts of its delay in seconds, if the system reports them.
    """

    start_s: float
    end_s: float
    text: str
    received_s: float
    partials: tuple[Shown, ...] = ()
    timings: dict[str, float] | None = None


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """The result for one utterance. Times are in seconds; None if they can't be measured.

    Attributes
    ----------
    truth : Truth
    texts : tuple of str
        Texts of the finals that match it: none if it was missed, several if it was cut.
    merged : bool
        Whether one of the finals also matches another utterance.
    delay_s : float or None
        Time from the true end of speech until its last final was received.
    first_shown_s : float or None
        Time from the true onset until its first partial was received.
    shown_s : float or None
        Time from the true end of speech until the words of its last final were first received, in
        a partial or in the final.
    timings : dict or None
        Timings of its last final.
    partials : tuple of Shown
        Partials of all its finals.
    """

    truth: Truth
    texts: tuple[str, ...]
    merged: bool
    delay_s: float | None
    first_shown_s: float | None
    shown_s: float | None
    timings: dict[str, float] | None
    partials: tuple[Shown, ...]


@dataclass(frozen=True, kw_only=True)
class Matched:
    """A run compared with the truth.

    Attributes
    ----------
    outcomes : tuple of Outcome
        One for each utterance.
    pairs : tuple of (str, str)
        Pairs of reference and transcript. Merged utterances make one pair; a hallucination has an
        empty reference.
    hallucinated : tuple of Said
        Finals that match no utterance.
    stable_words, contradicted_words : int
        Number of words in the stable part of the last partial before each final, and number of
        those that the final contradicts.
    late_partials : int
        Partials that were received after their final.
    """

    outcomes: tuple[Outcome, ...]
    pairs: tuple[tuple[str, str], ...]
    hallucinated: tuple[Said, ...]
    stable_words: int
    contradicted_words: int
    late_partials: int


def match(truths: Sequence[Truth], said: Sequence[Said]) -> Matched:
    """Match finals to utterances by time.

    A final matches each utterance that it overlaps by MIN_OVERLAP_S, or by half of the shorter one.
    """
    held = {i: [s for s in said if _overlaps(t, s)] for i, t in enumerate(truths)}
    holders = {id(s): sum(s in finals for finals in held.values()) for s in said}
    outcomes = []
    for truth, finals in zip(truths, held.values(), strict=True):
        outcomes.append(_outcome(truth, finals, any(holders[id(s)] > 1 for s in finals)))
    hallucinated = tuple(s for s in said if not holders[id(s)])
    in_time = {id(s): [p for p in s.partials if p.at_s <= s.received_s] for s in said}
    with_stable = [(s.text, in_time[id(s)][-1].stable) for s in said if in_time[id(s)]]
    return Matched(
        outcomes=tuple(outcomes),
        pairs=(*_pairs(truths, held), *(("", s.text) for s in hallucinated)),
        hallucinated=hallucinated,
        stable_words=sum(len(words(stable)) for _, stable in with_stable),
        contradicted_words=sum(_contradicted(*pair) for pair in with_stable),
        late_partials=sum(len(s.partials) - len(in_time[id(s)]) for s in said),
    )


def _overlaps(truth: Truth, said: Said) -> bool:
    shared_s = min(truth.end_s, said.end_s) - max(truth.start_s, said.start_s)
    shorter_s = min(truth.end_s - truth.start_s, said.end_s - said.start_s)
    return shared_s > 0 and shared_s >= min(MIN_OVERLAP_S, shorter_s / 2)


def _outcome(truth: Truth, finals: list[Said], merged: bool) -> Outcome:
    last = finals[-1] if finals else None
    partials = [p.at_s for final in finals for p in final.partials if p.text]
    return Outcome(
        truth=truth,
        texts=tuple(final.text for final in finals),
        merged=merged,
        delay_s=last.received_s - truth.end_s if last else None,
        first_shown_s=min(partials) - truth.start_s if partials else None,
        shown_s=_shown_at_s(last) - truth.end_s if last else None,
        timings=last.timings if last else None,
        partials=tuple(p for final in finals for p in final.partials),
    )


def _shown_at_s(final: Said) -> float:
    same = (p.at_s for p in final.partials if words(p.text) == words(final.text))
    return min((final.received_s, *same))


def _pairs(truths: Sequence[Truth], held: dict[int, list[Said]]) -> list[tuple[str, str]]:
    """Join utterances that share a final, so that no word counts for two of them."""
    pairs: list[tuple[str, str]] = []
    group: list[int] = []
    for i in range(len(truths)):
        if group and not any(s in held[i] for s in held[group[-1]]):
            pairs.append(_pair(truths, held, group))
            group = []
        group.append(i)
    return [*pairs, _pair(truths, held, group)] if group else pairs


def _pair(
    truths: Sequence[Truth], held: dict[int, list[Said]], group: list[int]
) -> tuple[str, str]:
    finals: list[Said] = []
    for i in group:
        finals += [s for s in held[i] if s not in finals]
    return " ".join(truths[i].text for i in group), " ".join(s.text for s in finals)


def words(text: str) -> list[str]:
    """Split a text into words, in lower case and without punctuation."""
    kept = "".join(c if c.isalnum() or c == "'" else " " for c in text.lower())
    return kept.split()


def _contradicted(final: str, stable: str) -> int:
    """Count the words of `stable` that `final` does not have in that place."""
    shown = words(stable)
    alike = SequenceMatcher(None, words(final), shown, autojunk=False).get_matching_blocks()
    return len(shown) - sum(block.size for block in alike)


def spread(values: Sequence[float]) -> dict[str, float] | None:
    """Return the median, 90th and 95th percentile (linear interpolation); None without values."""
    if not values:
        return None
    p50, p90, p95 = np.percentile(values, [50, 90, 95])
    return {"median": float(p50), "p90": float(p90), "p95": float(p95)}
