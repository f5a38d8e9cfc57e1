"""The scores of many settings on many recordings, in arrays, which take little memory."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from sttlab.evaluate.score import Scores, to_ms

COUNTS = ("found", "missed", "false", "fragmented", "merged", "cut_off", "delays")


@dataclass(frozen=True, eq=False)
class ScoreTable:
    """The scores of s settings on r recordings.

    Attributes
    ----------
    utterances : ndarray, shape (r,), int32
    scored_s, speech_s : ndarray, shape (r,)
    counts : ndarray, shape (s, r, len(COUNTS)), int32
        COUNTS of each setting and recording; the last is how many have an endpoint delay.
    hit_s, false_alarm_s : ndarray, shape (s, r)
    onset_clipped_us, endpoint_delay_us : ndarray, shape (n,), int32 or int64
        What `Scores` has, in whole microseconds, by setting, then by recording.
    """

    utterances: NDArray[np.int32]
    scored_s: NDArray[np.float64]
    speech_s: NDArray[np.float64]
    counts: NDArray[np.int32]
    hit_s: NDArray[np.float64]
    false_alarm_s: NDArray[np.float64]
    onset_clipped_us: NDArray[np.integer[Any]]
    endpoint_delay_us: NDArray[np.integer[Any]]

    @property
    def recordings(self) -> int:
        """Number of recordings."""
        return len(self.utterances)

    @cached_property
    def _clipped_ends(self) -> NDArray[np.int64]:
        """Where the clipped onsets of each setting and recording end; those found have one."""
        return np.cumsum(self.utterances - self.counts[:, :, COUNTS.index("missed")])

    @cached_property
    def _delay_ends(self) -> NDArray[np.int64]:
        return np.cumsum(self.counts[:, :, COUNTS.index("delays")])

    def scores(self, setting: int, recordings: slice = slice(None)) -> Scores:
        """Return the scores of a setting, pooled over some recordings that follow each other."""
        first, last, _ = recordings.indices(self.recordings)
        cells = slice(setting * self.recordings + first, setting * self.recordings + last)
        counted = self.counts[setting, recordings].sum(axis=0).tolist()
        sums = dict(zip(COUNTS, counted, strict=True))
        del sums["delays"]
        return Scores(
            **sums,
            utterances=int(self.utterances[recordings].sum()),
            scored_s=float(self.scored_s[recordings].sum()),
            speech_s=float(self.speech_s[recordings].sum()),
            hit_s=float(self.hit_s[setting, recordings].sum()),
            false_alarm_s=float(self.false_alarm_s[setting, recordings].sum()),
            onset_clipped_ms=to_ms(_part(self.onset_clipped_us, self._clipped_ends, cells)),
            endpoint_delay_ms=to_ms(_part(self.endpoint_delay_us, self._delay_ends, cells)),
        )


class PooledScores(Sequence[Scores]):
    """The scores of each setting, pooled over some recordings; made when they are asked for."""

    def __init__(self, table: ScoreTable, recordings: slice = slice(None)) -> None:
        self._table = table
        self._recordings = recordings

    def __len__(self) -> int:
        return len(self._table.counts)

    @overload
    def __getitem__(self, at: int) -> Scores: ...
    @overload
    def __getitem__(self, at: slice) -> list[Scores]: ...
    def __getitem__(self, at: int | slice) -> Scores | list[Scores]:
        numbers = range(len(self))[at]
        if isinstance(numbers, int):
            return self._table.scores(numbers, self._recordings)
        return [self[i] for i in numbers]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and list(self) == list(other)


def join(tables: Iterable[ScoreTable]) -> ScoreTable:
    """Put the recordings of several tables of the same settings one after the other."""
    parts = list(tables)
    if len(parts) == 1:
        return parts[0]
    made = {
        name: np.concatenate([getattr(part, name) for part in parts])
        for name in ("utterances", "scored_s", "speech_s")
    } | {
        name: np.concatenate([getattr(part, name) for part in parts], axis=1)
        for name in ("counts", "hit_s", "false_alarm_s")
    }
    for name, ends in (("onset_clipped_us", "_clipped_ends"), ("endpoint_delay_us", "_delay_ends")):
        by_setting = [
            np.split(getattr(t, name), getattr(t, ends)[t.recordings - 1 :: t.recordings])
            for t in parts
        ]
        made[name] = np.concatenate([one for each in zip(*by_setting, strict=True) for one in each])
    return ScoreTable(**made)


def compact(us: Sequence[NDArray[np.int64]]) -> NDArray[np.integer[Any]]:
    """Join numbers, in 32 bits where they fit."""
    joined = np.concatenate([np.empty(0, np.int64), *us])
    fits = bool((np.abs(joined) < 2**31).all())
    return joined.astype(np.int32) if fits else joined


def arrays(table: ScoreTable) -> dict[str, NDArray[Any]]:
    """Return the arrays of a table by their names, which `ScoreTable` takes."""
    return {f.name: getattr(table, f.name) for f in fields(table)}


def _part(
    values: NDArray[np.integer[Any]], ends: NDArray[np.int64], cells: slice
) -> NDArray[np.integer[Any]]:
    """Return the values of some cells; `ends` says where those of each end."""
    if cells.start == cells.stop:
        return values[:0]
    return values[ends[cells.start - 1] if cells.start else 0 : ends[cells.stop - 1]]
