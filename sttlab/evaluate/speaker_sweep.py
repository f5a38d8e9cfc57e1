"""Grid search over the settings by which speakers are told apart, on labelled recordings.

The network hears each recording once; each setting then needs only the grouping of what it heard.
"""

from __future__ import annotations

import logging
import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from sttlab.config import SpeakerConfig, VadConfig
from sttlab.core import Audio, segment
from sttlab.errors import SourceError
from sttlab.evaluate.corpus import Corpus, labelled
from sttlab.evaluate.corpus_reading import CorpusItem
from sttlab.evaluate.grid import GridScores, combinations, nothing_scored
from sttlab.evaluate.labels import AnyLabels, Labels
from sttlab.evaluate.speaker_score import SpeakerScores, pool_speaker_scores, score_speakers
from sttlab.evaluate.sweep import pairs
from sttlab.events import Utterance
from sttlab.speakers import EMBEDDERS
from sttlab.speakers.base import VoiceEmbedder
from sttlab.speakers.offline import turns_of
from sttlab.speakers.overlap import Together, hear_together
from sttlab.speakers.pieces import Piece, VoiceFinder
from sttlab.tables import frame

log = logging.getLogger(__name__)

PARTS = {"confusion": "confusion_s", "missed": "missed_s", "false_alarm": "false_alarm_s"}

Heard = dict[tuple[str, float], tuple[list[Piece], Together]]
"""What is heard in a recording, by the embedder and by the threshold of a change: its pieces, and
the voices of its windows."""


@dataclass(frozen=True, eq=False)
class SpeakerSweep(GridScores):
    """The scores of every setting of a grid, as `sweep_speakers` computes them.

    Attributes
    ----------
    grid : dict of str to tuple
        Fields of `SpeakerConfig`, each with the values that were tried.
    configs : tuple of SpeakerConfig
        Every combination; the last field of the grid changes fastest.
    scores : tuple of tuple of SpeakerScores
        For each setting, the scores of each recording.
    recordings : tuple of str
        Their names.
    left_out : tuple of str
        Recordings of a corpus that are not in the scores, and why.
    """

    METRICS: ClassVar[Mapping[str, str]] = {
        "diarization_error_rate": "error rate (of speech)",
        "confusion_rate": "confusion of speakers (of speech)",
        "missed_rate": "missed (of speech)",
        "false_alarm_rate": "false alarms (of speech)",
        "jaccard_error_rate": "Jaccard error rate",
        "wrong_count_rate": "wrong number of speakers (of recordings)",
    }
    TIES = ("jaccard_error_rate", "diarization_error_rate")

    grid: dict[str, tuple[Any, ...]]
    configs: tuple[SpeakerConfig, ...] = field(repr=False)
    scores: tuple[tuple[SpeakerScores, ...], ...] = field(repr=False)
    recordings: tuple[str, ...]
    left_out: tuple[str, ...] = ()

    def _metric(self, name: str) -> NDArray[np.float64]:
        return self._metrics[name]

    @cached_property
    def _metrics(self) -> dict[str, NDArray[np.float64]]:
        figures = [figures_of(scores) for scores in self.scores]
        return {name: np.array([f[name] for f in figures]) for name in self.METRICS}

    def to_frame(self, *, by: Literal["setting", "recording"] = "setting") -> Any:
        """Return a pandas.DataFrame with a row for each setting, or for each recording and setting.

        Its columns are the fields of the grid and METRICS.

        Raises
        ------
        MissingExtra
            If pandas is not installed.
        """
        if by == "setting":
            return frame(self._rows())
        return frame(
            [
                {"recording": name} | self.values(i) | figures_of([self.scores[i][number]])
                for number, name in enumerate(self.recordings)
                for i in range(len(self))
            ]
        )

    def _caption(self) -> str:
        return f"{len(self)} settings on {len(self.recordings)} recordings"


def figures_of(scores: Sequence[SpeakerScores]) -> dict[str, float]:
    """Return the metrics of recordings, pooled; NaN where nobody speaks."""
    pooled = pool_speaker_scores(scores)
    speech_s = pooled.speech_s or np.nan
    return {
        "diarization_error_rate": pooled.error_s / speech_s,
        **{f"{name}_rate": getattr(pooled, part) / speech_s for name, part in PARTS.items()},
        "jaccard_error_rate": pooled.jaccard_error_rate,
        "wrong_count_rate": float(np.mean([one.found != one.speakers for one in scores])),
    }


def sweep_speakers(
    recordings: Audio | Iterable[Audio] | Corpus,
    labels: AnyLabels | Iterable[AnyLabels] | Mapping[str, Iterable[Any]],
    grid: Mapping[str, Iterable[Any]] | None = None,
    *,
    config: SpeakerConfig | None = None,
    vad: VadConfig | None = None,
    collar_s: float = 0.25,
    overlap: bool = True,
    progress: Callable[[int, int], None] | None = None,
) -> SpeakerSweep:
    """Score every combination of settings of speakers on labelled recordings.

    Speakers are told apart as by `diarize`, and scored as by `score_speakers`. Blocks; uses all
    cores: a minute of audio takes about 4 s on one.

    Parameters
    ----------
    recordings : Recording, iterable of Recording, or Corpus
    labels : Labels, path, or iterable of these
        Labelled truth, one for each recording. A corpus has its own:
        ``sweep_speakers(corpus, grid)``.
    grid : mapping of str to iterable
        Names of fields of `SpeakerConfig`, each with the values to try.
    config : SpeakerConfig, optional
        Values of the fields that the grid doesn't name.
    vad : VadConfig, optional
        Where utterances begin and end.
    collar_s, overlap
        See `score_speakers`.
    progress : callable, optional
        Called on this thread with the amount done and the amount in all, both in recordings plus
        settings. An exception from it ends the sweep.

    Raises
    ------
    ConfigError
        If a value is not valid, the grid is empty, there are not as many labels as recordings, or
        no recording of a corpus can be scored.
    MissingExtra
        If the extra `speakers` is not installed.

    Examples
    --------
    >>> tuning, test = corpus.split(0.5, by="speaker")  # doctest: +SKIP
    >>> found = sweep_speakers(tuning, {"same": [0.3, 0.4, 0.5]})  # doctest: +SKIP
    >>> chosen = found.configs[found.best()]  # doctest: +SKIP
    """
    given: Sequence[tuple[Audio | CorpusItem, Labels]]
    if isinstance(recordings, Corpus):
        grid = labels if isinstance(labels, Mapping) else grid
        given, left_out = labelled(recordings)
    else:
        given, left_out = list(zip(*pairs(recordings, labels), strict=True)), []
    tried, configs = combinations(grid or {}, config or SpeakerConfig())
    total, done = len(given) + len(configs), 0
    names: list[str] = []
    heard: list[tuple[Heard, Labels]] = []
    threads = ThreadPoolExecutor(os.cpu_count(), "sttlab-sweep")
    try:
        hear = partial(_hear, _Finders(configs), vad)
        for (audio, truth), found in zip(given, threads.map(hear, given), strict=True):
            done += 1
            if isinstance(found, str):
                left_out.append(found)
            else:
                names.append(_name(audio) or str(len(names) + 1))
                heard.append((found, truth))
            if progress:
                progress(done, total)
    finally:
        threads.shutdown(cancel_futures=True)
    if not heard:
        raise nothing_scored(left_out)
    scores = []
    for one in configs:
        each = [found[one.embedder, one.change] for found, _ in heard]
        turns = [turns_of(pieces, one, together=together) for pieces, together in each]
        scores.append(
            tuple(
                score_speakers(found, truth, collar_s=collar_s, overlap=overlap)
                for found, (_, truth) in zip(turns, heard, strict=True)
            )
        )
        done += 1
        if progress:
            progress(done, total)
    for why in left_out:
        log.warning("left out of the sweep: %s", why)
    return SpeakerSweep(
        grid=tried,
        configs=configs,
        scores=tuple(scores),
        recordings=tuple(names),
        left_out=tuple(left_out),
    )


class _Finders:
    """Embedders of settings, and the thresholds of a change for each. Any thread may call it."""

    def __init__(self, configs: Iterable[SpeakerConfig]) -> None:
        self._changes: dict[str, list[float]] = defaultdict(list)
        self._free: dict[str, list[VoiceEmbedder]] = {}  # that no thread calls now
        for config in configs:
            EMBEDDERS[config.embedder].require()
            self._free[config.embedder] = []
            if config.change not in self._changes[config.embedder]:
                self._changes[config.embedder].append(config.change)

    def find(self, samples: NDArray[np.float32], utterances: Sequence[Utterance]) -> Heard:
        """Find the pieces of a recording, and the voices of its windows."""
        found: Heard = {}
        for name, changes in self._changes.items():
            free = self._free[name]
            try:
                embedder = free.pop()
            except IndexError:
                embedder = EMBEDDERS[name]()
            finder = VoiceFinder(embedder, changes[0])
            by_utterance = [finder.find_each(utterance, changes) for utterance in utterances]
            together = hear_together(samples, embedder)
            for i, change in enumerate(changes):
                pieces = [piece for parts in by_utterance for piece in parts[i]]
                found[name, change] = pieces, together
            free.append(embedder)
        return found


def _hear(
    finders: _Finders, vad: VadConfig | None, given: tuple[Audio | CorpusItem, Labels]
) -> Heard | str:
    """Find the pieces of a recording; of one that can't be scored, say why."""
    audio, truth = given
    if not truth.speakers:
        return f"{_name(audio)}: its labels name no speaker"
    try:
        recording = audio.load() if isinstance(audio, CorpusItem) else audio
    except SourceError as error:
        return f"{_name(audio)}: {error}"
    return finders.find(recording.samples, segment(recording, vad))


def _name(audio: Audio | CorpusItem) -> str:
    return audio.name if isinstance(audio, CorpusItem) else str(getattr(audio, "origin", "") or "")
