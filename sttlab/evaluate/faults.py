"""Where found utterances are wrong by labels."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from sttlab.evaluate.labels import Labels
from sttlab.evaluate.score import (
    COLLAR_S,
    GAP_S,
    Detections,
    Found,
    LabelledTruth,
    detections,
    outcomes,
    within,
)


class Fault(NamedTuple):
    """A stretch in which something is wrong: a spoken utterance, or one that nobody spoke."""

    start_s: float
    end_s: float
    words: str
    """What is wrong: "torn", "cut off", "merged", "missed" or "false", or several of them."""


def faults(utterances: Iterable[Found], labels: Labels, duration_s: float) -> list[Fault]:
    """Find what `score` counts as torn, cut off, merged, missed or false, in order of time.

    Parameters
    ----------
    utterances, labels, duration_s
        As for `score`.
    """
    return find_faults(detections(utterances), LabelledTruth(labels, GAP_S, COLLAR_S, duration_s))


def find_faults(found: Detections, truth: LabelledTruth) -> list[Fault]:
    """Find what `judge` counts, as `faults` does."""
    found = within(found, truth)
    each = outcomes(found, truth)
    wrong = {
        "torn": each.fragmented,
        "cut off": each.cut_off,
        "merged": each.merged,
        "missed": each.missed,
    }
    known = [
        Fault(float(start_s), float(end_s), "false")
        for start_s, end_s, is_false in zip(found.start_s, found.end_s, each.false, strict=True)
        if is_false
    ]
    for i, (start_s, end_s) in enumerate(truth.utterances.tolist()):
        words = ", ".join(name for name, which in wrong.items() if which[i])
        if words:
            known.append(Fault(start_s, end_s, words))
    return sorted(known)
