"""Grid search: the scores of every combination of settings on labelled recordings.

Detectors score each recording once; each setting then needs only the decisions of
`endpoint.advance`. If numba is installed, it compiles that function, some forty times faster.
"""

from __future__ import annotations

import io
import logging
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, fields
from functools import cached_property, partial
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from sttlab.config import TranscribeConfig, VadConfig
from sttlab.core import Audio
from sttlab.engines import make_engine
from sttlab.engines.base import Engine
from sttlab.errors import ConfigError, SourceError
from sttlab.evaluate.corpus import Corpus, labelled
from sttlab.evaluate.corpus_reading import CorpusItem
from sttlab.evaluate.grid import GridScores, combinations, nothing_scored, plain_value
from sttlab.evaluate.labels import AnyLabels, Labels, as_labels
from sttlab.evaluate.score import COLLAR_S, GAP_S, Scores
from sttlab.evaluate.sweep_material import Material, chunks
from sttlab.evaluate.wer import WordErrors, wer
from sttlab.events import Utterance
from sttlab.tables import frame
from sttlab.trace import Trace
from sttlab.vad import deciding_fields

log = logging.getLogger(__name__)

METRICS = {
    "detection_error_rate": "error rate (of speech)",
    "missed_speech_rate": "missed speech (of speech)",
    "false_alarm_rate": "false alarms (of speech)",
    "lost_rate": "cut off or missed (of utterances)",
    "cut_off_rate": "cut off (of utterances)",
    "missed_rate": "missed (of utterances)",
    "fragmented_rate": "torn (of utterances)",
    "merged_rate": "merged (of utterances)",
    "false": "false utterances",
    "endpoint_delay_median_ms": "endpoint delay, median (ms)",
    "endpoint_delay_p90_ms": "endpoint delay, 90 % (ms)",
    "onset_clipped_p90_ms": "onset clipped, 90 % (ms)",
    "word_error_rate": "word error rate (of words)",
}
"""The metrics of a setting, with their labels. For each, less is better."""

TRADE = ("endpoint_delay_median_ms", "lost_rate")
"""The two metrics between which the silence timeout is a trade-off."""


@dataclass(frozen=True, eq=False)
class Sweep(GridScores):
    """The scores of every setting of a grid, as `sweep` computes them.

    Attributes
    ----------
    grid : dict of str to tuple
        Fields of `VadConfig`, each with the values that were tried.
    configs : tuple of VadConfig
        Every combination; the last field of the grid changes fastest.
    scores : tuple of Scores
        Scores of each setting, pooled over all recordings.
    traces : tuple of Trace
        The recordings.
    labels : tuple of Labels
    gap_s, collar_s : float, seconds
        See `sttlab.evaluate.score.score`.
    left_out : tuple of str
        Recordings of a corpus that are not in the scores, and why.
    word_errors : dict of int to WordErrors
        Word errors by the number of a setting, for those that `transcribe` has counted.
    """

    METRICS = METRICS
    TIES = ("endpoint_delay_median_ms", "detection_error_rate")

    grid: dict[str, tuple[Any, ...]]
    configs: tuple[VadConfig, ...] = field(repr=False)
    scores: tuple[Scores, ...] = field(repr=False)
    traces: tuple[Trace, ...] = field(repr=False)
    labels: tuple[Labels, ...] = field(repr=False)
    gap_s: float = GAP_S
    collar_s: float = COLLAR_S
    left_out: tuple[str, ...] = ()
    word_errors: dict[int, WordErrors] = field(repr=False, default_factory=dict)
    _texts: dict[tuple[Any, ...], str] = field(repr=False, default_factory=dict)

    def metric(self, name: str) -> NDArray[np.float64]:
        """Return one of METRICS for each setting; NaN where it can't be measured.

        Returns
        -------
        ndarray, shape (settings,)
            Reshaped to `shape`, it has an axis for each field of the grid.

        Raises
        ------
        ConfigError
            If the metric is unknown.
        """
        if name not in METRICS:
            raise ConfigError(f"unknown metric {name!r}; known are {', '.join(METRICS)}")
        if name == "word_error_rate":
            known = self.word_errors
            return np.array([known[i].wer if i in known else np.nan for i in range(len(self))])
        return self._metrics[name]

    @cached_property
    def _metrics(self) -> dict[str, NDArray[np.float64]]:
        figures = [scores.figures() for scores in self.scores]
        found = {name: np.array([f.get(name, np.nan) for f in figures]) for name in METRICS}
        spoken = np.array([f["utterances"] or np.nan for f in figures])
        for name in ("cut_off", "missed", "fragmented", "merged"):
            found[f"{name}_rate"] = np.array([f[name] for f in figures]) / spoken
        found["lost_rate"] = found["cut_off_rate"] + found["missed_rate"]
        return found

    def transcribe(
        self,
        texts: str | Sequence[str | None],
        *,
        settings: Iterable[int] | None = None,
        model: str | Engine = "tiny.en",
        language: str = "en",
        progress: Callable[[int, int], None] | None = None,
    ) -> dict[int, WordErrors]:
        """Count the word errors of settings, which show what a wrong cut costs.

        An utterance that several settings find is transcribed once. Blocks.

        Parameters
        ----------
        texts : str or sequence of str or None
            Reference text of each recording; None leaves a recording out.
        settings : iterable of int, optional
            Numbers of the settings; by default the Pareto front of endpoint delay and of utterances
            cut off or missed.
        model : str or Engine
            Name or path of a model, which is loaded for this call only, or an engine.
        language : str
            ISO 639-1 code.
        progress : callable, optional
            Called on this thread with the number of utterances transcribed and the number in all.
            An exception from it ends the work; texts are kept for the next call.

        Returns
        -------
        dict of int to WordErrors
            `word_errors`, which also holds those of earlier calls.

        Raises
        ------
        ConfigError
            If there are not as many texts as recordings, or all texts are None.
        MissingExtra
            If the extra `evaluate` is not installed.
        ModelError
            If the model is not found, doesn't load, or fails.
        """
        said = [texts] if isinstance(texts, str) else list(texts)
        kept = [r for r, text in enumerate(said) if text is not None]
        if len(said) != len(self.traces) or not kept:
            raise ConfigError(
                f"{len(self.traces)} recordings need as many texts, not {len(said)}; "
                "None stands for a recording without text, and at least one must have a text"
            )
        references = [str(said[r]) for r in kept]
        wer(references, references, language=language)  # fails now if a package is missing
        chosen = self.front(*TRADE) if settings is None else list(settings)
        engine = model
        if isinstance(engine, str):
            engine = make_engine(TranscribeConfig(model=engine, language=language))
        found = {
            i: [(r, utterance) for r in kept for utterance in self.traces[r].utterances(config)]
            for i, config in ((i, self.configs[i]) for i in chosen)
        }

        def key(r: int, utterance: Utterance) -> tuple[Any, ...]:
            return engine.name, language, r, utterance.start_sample, utterance.end_sample

        missing = {key(r, u): u.samples for pairs in found.values() for r, u in pairs}
        missing = {k: samples for k, samples in missing.items() if k not in self._texts}
        try:
            for done, (k, samples) in enumerate(missing.items(), 1):
                self._texts[k] = engine.transcribe(samples).text
                if progress:
                    progress(done, len(missing))
        finally:
            if engine is not model:
                engine.close()
        for i, pairs in found.items():
            written = [
                " ".join(self._texts[key(r, u)] for r, u in pairs if r == recording)
                for recording in kept
            ]
            self.word_errors[i] = wer(references, written, language=language)
        return self.word_errors

    def to_frame(self, *, by: Literal["setting", "recording"] = "setting") -> Any:
        """Return a pandas.DataFrame with a row for each setting, or for each recording and setting.

        Its columns are the fields of the grid, with their units, and METRICS. Of single recordings
        the word error rate is not known.

        Raises
        ------
        MissingExtra
            If pandas is not installed.
        """
        if by == "setting":
            return frame(self._rows())
        return frame(
            [
                {"recording": trace.origin or str(number)} | row
                for number, (trace, labels) in enumerate(
                    zip(self.traces, self.labels, strict=True), 1
                )
                for row in self._of([trace], (labels,))._rows()
            ]
        )

    def _of(self, traces: list[Trace], labels: tuple[Labels, ...]) -> Sweep:
        """Score the same settings on some of the recordings."""
        return sweep(
            traces,
            labels,
            self.grid,
            config=self.configs[0],
            gap_s=self.gap_s,
            collar_s=self.collar_s,
        )

    def _caption(self) -> str:
        seconds = sum(trace.duration_s for trace in self.traces)
        return f"{len(self)} settings on {len(self.traces)} recordings, {seconds:.0f} s"


def sweep(
    recordings: Audio | Iterable[Audio] | Corpus,
    labels: AnyLabels | Iterable[AnyLabels] | Mapping[str, Iterable[Any]],
    grid: Mapping[str, Iterable[Any]] | None = None,
    *,
    config: VadConfig | None = None,
    gap_s: float = GAP_S,
    collar_s: float = COLLAR_S,
    progress: Callable[[int, int], None] | None = None,
) -> Sweep:
    """Score every combination of settings on labelled recordings.

    Utterances are as `segment` finds them, and scores as `score` computes them, pooled over all
    recordings. Blocks; uses all cores. With numba (extra `evaluate`), a thousand settings on an
    hour of audio take about a second.

    Parameters
    ----------
    recordings : Recording, iterable of Recording, or Corpus
    labels : Labels, path, or iterable of these
        Labelled truth, one for each recording. A corpus has its own: ``sweep(corpus, grid)``.
    grid : mapping of str to iterable
        Names of fields of `VadConfig`, each with the values to try.
    config : VadConfig, optional
        Values of the fields that the grid doesn't name.
    gap_s, collar_s : float, seconds
        See `score`.
    progress : callable, optional
        Called on this thread with the amount done and the amount in all, both in recordings plus
        settings. An exception from it ends the sweep.

    Returns
    -------
    Sweep

    Raises
    ------
    ConfigError
        If a value is not valid, a field has no effect, the grid is empty, or there are not as many
        labels as recordings, or no recording of a corpus can be scored.
    MissingExtra
        If the packages of a detector are not installed.

    Examples
    --------
    >>> found = sweep(recordings, labels, {  # doctest: +SKIP
    ...     "margin_db": range(4, 16), "silence_timeout_s": [0.3, 0.6, 0.9]})
    >>> found.configs[found.best()]  # doctest: +SKIP
    """
    if isinstance(recordings, Corpus):
        grid = labels if isinstance(labels, Mapping) else grid
        given, left_out = labelled(recordings)
    else:
        given, left_out = list(zip(*pairs(recordings, labels), strict=True)), []
    tried, configs = settings(grid or {}, config or VadConfig())
    total, done = len(given) + len(configs), 0
    detectors = list({c.detector: c for c in configs}.values())
    threads = ThreadPoolExecutor(os.cpu_count(), "sttlab-sweep")
    try:
        traces: list[Trace] = []
        truths: list[Labels] = []
        found = threads.map(partial(_trace, detectors), (audio for audio, _ in given))
        for (_, truth), trace in zip(given, found, strict=True):
            if isinstance(trace, str):
                left_out.append(trace)
            else:
                traces.append(trace)
                truths.append(truth)
            done += 1
            if progress:
                progress(done, total)
        if not traces:
            raise nothing_scored(left_out)
        material = Material(traces, truths, detectors, gap_s, collar_s)
        scores: dict[int, Scores] = {}
        for part in threads.map(partial(material.scores, configs), chunks(configs)):
            scores |= part
            done += len(part)
            if progress:
                progress(done, total)
    finally:
        threads.shutdown(cancel_futures=True)
    for why in left_out:
        log.warning("left out of the sweep: %s", why)
    return Sweep(
        grid=tried,
        configs=configs,
        scores=tuple(scores[i] for i in range(len(configs))),
        traces=tuple(traces),
        labels=tuple(truths),
        gap_s=gap_s,
        collar_s=collar_s,
        left_out=tuple(left_out),
    )


def settings(
    grid: Mapping[str, Iterable[Any]], config: VadConfig
) -> tuple[dict[str, tuple[Any, ...]], tuple[VadConfig, ...]]:
    """Return the values of a grid, converted to the types of the fields, and every combination.

    Raises
    ------
    ConfigError
        If a value is not valid, a field has no effect, or the grid is empty.
    """
    tried, configs = combinations(grid, config)
    for name in tried:
        if not any(name in deciding_fields(c) for c in configs):
            raise ConfigError(
                f"{name} has no effect with {_why(name, configs[0])}: take it out of the grid"
            )
    return tried, configs


def _trace(detectors: Sequence[VadConfig], audio: Audio | CorpusItem) -> Trace | str:
    """Score a recording by each detector; of one of a corpus that can't be read, say why."""
    if isinstance(audio, CorpusItem):
        try:
            trace = Trace(audio.load())
            trace.origin = audio.name
        except SourceError as error:
            return f"{audio.name}: {error}"
    else:
        trace = audio if isinstance(audio, Trace) else Trace(audio)
    for config in detectors:
        trace.heard(config.detector)
    return trace


ONE_RECORDING = (str, bytes, bytearray, memoryview, io.IOBase, np.ndarray)  # though iterable


def pairs(
    recordings: Audio | Iterable[Audio], labels: AnyLabels | Iterable[AnyLabels]
) -> tuple[list[Audio], tuple[Labels, ...]]:
    """Return recordings and labels as sequences of the same length.

    Raises
    ------
    ConfigError
        If there is no recording, or not one labels for each.
    LabelError
        If one of the labels is none, or can't be read.
    """
    truths = tuple(map(as_labels, [labels] if isinstance(labels, AnyLabels) else labels))
    given: Any = recordings
    alone = not isinstance(given, Iterable) or isinstance(given, ONE_RECORDING)
    audios = [given] if alone else list(given)
    if not audios or len(audios) != len(truths):
        raise ConfigError(
            f"a sweep needs recordings and labels for each of them, not {len(audios)} recordings "
            f"and {len(truths)} labels"
        )
    return audios, truths


def _why(name: str, config: VadConfig) -> str:
    """Say with which other settings a field of `config` has no effect."""
    words = f"the detector {config.detector!r}"
    (other,) = (f.metadata.get("unless") for f in fields(config) if f.name == name)
    return f"{words} and {other} {plain_value(getattr(config, other))}" if other else words
