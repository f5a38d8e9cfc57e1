"""A sweep of a corpus, in parts of some recordings that any process can score by itself."""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Executor
from contextlib import closing
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate, chain
from typing import Any, TypeAlias, overload

import numpy as np

from sttlab.audio import Recording
from sttlab.config import VadConfig
from sttlab.decoding import load
from sttlab.errors import ConfigError, SourceError
from sttlab.evaluate.corpus import Corpus, labelled
from sttlab.evaluate.corpus_reading import CorpusItem, content_of
from sttlab.evaluate.grid import combinations, nothing_scored
from sttlab.evaluate.labels import Labels
from sttlab.evaluate.score_table import ScoreTable, arrays, join
from sttlab.evaluate.sweep_cache import (
    code_version,
    keep_what_is_heard_by,
    key_of,
    shared_cache,
)
from sttlab.evaluate.sweep_material import Material
from sttlab.spread import spread
from sttlab.trace import HeardRecording, Trace
from sttlab.vad.base import Heard

log = logging.getLogger(__name__)

PART_BYTES = 4_000_000  # of files: minutes of audio, so that short recordings are scored together
PART_ITEMS = 256

Grid: TypeAlias = tuple[tuple[str, tuple[Any, ...]], ...]
"""Fields of `VadConfig`, each with the values to try."""


def score_corpus(
    corpus: Corpus,
    executor: Executor,
    progress: Callable[[int, int], None] | None,
    **about: Any,
) -> dict[str, Any]:
    """Score settings on a corpus, part by part, wherever the executor does it.

    Parameters
    ----------
    corpus : Corpus
    executor : Executor
    progress : callable, optional
        Called on this thread with the recordings done and those in all.
    **about
        The fields of `SweepPart` that all parts share.

    Returns
    -------
    dict
        The fields of `Sweep` that are about recordings.

    Raises
    ------
    ConfigError
        If no recording can be scored.
    SttlabError
        See `score_part` and `spread`.
    """
    given, left_out = labelled(corpus)
    parts = split_in_parts(given, **about)
    scored: dict[int, ScoredPart] = {}
    done = 0
    with closing(_score(parts, executor)) as results:
        for number, part in results:
            scored[number] = part
            done += len(parts[number].items)
            if progress:
                progress(done, len(given))
    in_order = [scored[number] for number in range(len(parts))]
    left_out += chain(*(part.left_out for part in in_order))
    for why in left_out:
        log.warning("left out of the sweep: %s", why)
    tables = [part.table for part in in_order if part.table]
    if not tables:
        raise nothing_scored(left_out)
    firsts = accumulate((len(part.items) for part in parts[:-1]), initial=0)
    kept = [
        given[first + n] for first, part in zip(firsts, in_order, strict=True) for n in part.scored
    ]
    return {
        "recordings": tuple(item.name for item, _ in kept),
        "duration_s": sum(chain(*(part.durations_s for part in in_order))),
        "table": join(tables),
        "traces": CorpusTraces([item for item, _ in kept]),
        "labels": tuple(labels for _, labels in kept),
        "left_out": tuple(left_out),
    }


class CorpusTraces(Sequence[Trace]):
    """The recordings of a corpus, each decoded whenever it is asked for, and kept by nobody."""

    def __init__(self, items: Sequence[CorpusItem]) -> None:
        self._items = items

    def __len__(self) -> int:
        return len(self._items)

    @overload
    def __getitem__(self, at: int) -> Trace: ...
    @overload
    def __getitem__(self, at: slice) -> CorpusTraces: ...
    def __getitem__(self, at: int | slice) -> Trace | CorpusTraces:
        if isinstance(at, slice):
            return CorpusTraces(self._items[at])
        trace = Trace(self._items[at].load())
        trace.origin = self._items[at].name
        return trace


@dataclass(frozen=True, kw_only=True)
class SweepPart:
    """Some recordings and the settings to score on them: paths, not audio, so that it travels."""

    items: tuple[CorpusItem, ...]
    labels: tuple[Labels, ...]
    grid: Grid
    config: VadConfig
    gap_s: float
    collar_s: float
    cached: bool
    code: str

    def key(self) -> str | None:
        """Return what its scores follow from, as a key; None if that can't be said.

        A file is told by its path, size and time of change, since to read the recordings would
        take this machine as long as the others take to score them.
        """
        detectors = {c.detector for c in _configs(self.grid, self.config)}
        if not self.cached or not keep_what_is_heard_by(detectors):
            return None
        try:
            stats = [item.audio.stat() for item in self.items]
        except OSError:
            return None
        files = [
            (str(i.audio), stat.st_size, stat.st_mtime_ns, i.name, i.channel, i.start_s, i.length_s)
            for i, stat in zip(self.items, stats, strict=True)
        ]
        return key_of(files, self.labels, self.grid, self.config, self.gap_s, self.collar_s)


@dataclass(frozen=True, kw_only=True)
class ScoredPart:
    """The scores of a part.

    Attributes
    ----------
    scored : tuple of int
        Numbers of the recordings of the part that are in the table.
    durations_s : tuple of float
        Of these.
    table : ScoreTable or None
        None if there are none.
    left_out : tuple of str
        The others, and why.
    """

    scored: tuple[int, ...]
    durations_s: tuple[float, ...]
    table: ScoreTable | None
    left_out: tuple[str, ...] = ()


def split_in_parts(given: Sequence[tuple[CorpusItem, Labels]], **about: Any) -> list[SweepPart]:
    """Divide a corpus; what each recording scores doesn't depend on how."""
    parts: list[list[tuple[CorpusItem, Labels]]] = []
    size, before = 0, None
    for item, labels in given:
        if item.audio != before:  # several parts of one file are decoded once
            size += _size(item)
            before = item.audio
        if not parts or len(parts[-1]) == PART_ITEMS or size > PART_BYTES:
            parts.append([])
            size = _size(item)
        parts[-1].append((item.alone(), labels))
    made = [tuple(zip(*part, strict=True)) for part in parts]
    return [
        SweepPart(items=items, labels=labels, code=code_version(), **about)
        for items, labels in made
    ]


def score_part(part: SweepPart) -> ScoredPart:
    """Score a part, wherever the executor calls it: it blocks, and holds one recording at a time.

    Raises
    ------
    ConfigError
        If the sttlab here is not the one that asks.
    MissingExtra
        If the packages of a detector are not installed here.
    """
    if part.code != code_version():
        raise ConfigError(
            "a worker has another version of sttlab, or of numpy, av and the like, than the "
            "machine that asks: install the same on all, so that all figures are the same"
        )
    configs = _configs(part.grid, part.config)
    listener = _Listener(tuple(dict.fromkeys(c.detector for c in configs)), part.cached)
    heard, left_out = listener.hear_all(part.items)
    del listener  # and the audio that it holds
    if not heard:
        return ScoredPart(scored=(), durations_s=(), table=None, left_out=tuple(left_out))
    labels = [part.labels[number] for number in heard]
    material = Material(list(heard.values()), labels, part.gap_s, part.collar_s)
    return ScoredPart(
        scored=tuple(heard),
        durations_s=tuple(recording.duration_s for recording in heard.values()),
        table=material.table(configs),
        left_out=tuple(left_out),
    )


def _score(
    parts: Sequence[SweepPart], executor: Executor
) -> Generator[tuple[int, ScoredPart], None, None]:
    """Yield the number and the scores of each part, as they are done; keep them on disk."""
    cache = shared_cache()
    keys = [part.key() for part in parts]
    to_do = []
    for number, key in enumerate(keys):
        found = cache.get("scores", key) if key else None
        if found:
            durations_s = tuple(found.pop("durations_s").tolist())
            everything = tuple(range(len(durations_s)))
            table = ScoreTable(**found)
            yield number, ScoredPart(scored=everything, durations_s=durations_s, table=table)
        else:
            to_do.append((number, parts[number]))
    with closing(spread(executor, score_part, to_do)) as results:
        for number, scored in results:
            key = keys[number]
            # What can't be read may be there the next time.
            if key and scored.table and not scored.left_out:
                entry = {"durations_s": np.array(scored.durations_s)} | arrays(scored.table)
                cache.put("scores", key, entry)
            yield number, scored


@lru_cache(maxsize=8)
def _configs(grid: Grid, config: VadConfig) -> tuple[VadConfig, ...]:
    return combinations(dict(grid), config)[1]


class _Listener:
    """Hears recordings one after the other, from the cache where it can."""

    def __init__(self, detectors: tuple[str, ...], cached: bool) -> None:
        self._detectors = detectors
        self._cached = cached and keep_what_is_heard_by(detectors)
        self._hashed: tuple[object, str | None] = (None, None)
        self._loaded: tuple[object, Recording] | None = None

    def hear_all(self, items: Sequence[CorpusItem]) -> tuple[dict[int, HeardRecording], list[str]]:
        """Return what is heard in recordings, by their numbers; and why others can't be read."""
        heard: dict[int, HeardRecording] = {}
        left_out = []
        for number, item in enumerate(items):
            try:
                heard[number] = self._hear(item)
            except SourceError as error:
                left_out.append(f"{item.name}: {error}")
        return heard, left_out

    def _hear(self, item: CorpusItem) -> HeardRecording:
        keys = self._keys(item)
        found = {name: shared_cache().get("levels", key) for name, key in keys.items()}
        known = {name: entry for name, entry in found.items() if entry is not None}
        if len(known) == len(self._detectors):
            lengths = {int(entry.pop("length_samples")) for entry in known.values()}
            return HeardRecording(lengths.pop(), {n: Heard(**e) for n, e in known.items()})
        heard = Trace(self._load(item)).heard_by(self._detectors)
        for name, key in keys.items():
            entry = {k: v for k, v in vars(heard.by_detector[name]).items() if v is not None}
            length_samples = np.array(heard.length_samples)
            shared_cache().put("levels", key, entry | {"length_samples": length_samples})
        return heard

    def _load(self, item: CorpusItem) -> Recording:
        wanted = item.audio, item.channel
        if self._loaded is None or self._loaded[0] != wanted:
            self._loaded = None  # its memory is free before the next is decoded
            self._loaded = wanted, load(item.audio, channel=item.channel)
        return item.cut(self._loaded[1])

    def _keys(self, item: CorpusItem) -> dict[str, str]:
        """Return the keys of a recording's levels by detector; empty if they are not kept."""
        if self._hashed[0] != item.audio:
            self._hashed = item.audio, content_of(item.audio) if self._cached else None
        content = self._hashed[1]
        if content is None:
            return {}
        about = content, item.channel, item.start_s, item.length_s
        return {name: key_of(*about, name) for name in self._detectors}


def _size(item: CorpusItem) -> int:
    try:
        return item.audio.stat().st_size
    except OSError:
        return 0
