"""Grid search: the scores of every combination of settings on labelled recordings.

Detectors score each recording once; each setting then needs only the decisions of
`endpoint.advance`. If numba is installed, it compiles that function, some forty times faster.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field, fields
from functools import cached_property, partial
from itertools import chain
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from sttlab.config import TranscribeConfig, VadConfig
from sttlab.core import Audio
from sttlab.engines import make_engine
from sttlab.engines.base import Engine, transcribe_each
from sttlab.errors import ConfigError
from sttlab.evaluate.corpus import Corpus
from sttlab.evaluate.grid import GridScores, combinations, plain_value
from sttlab.evaluate.labels import AnyLabels, Labels, as_labels
from sttlab.evaluate.score import COLLAR_S, GAP_S, Scores
from sttlab.evaluate.score_table import PooledScores, ScoreTable
from sttlab.evaluate.sweep_material import Material
from sttlab.evaluate.sweep_parts import score_corpus
from sttlab.evaluate.wer import WordErrors, wer
from sttlab.tables import frame
from sttlab.trace import Trace
from sttlab.transcription import TOGETHER
from sttlab.vad import deciding_fields

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
    recordings : tuple of str
        Names of the recordings.
    duration_s : float
        Length of all recordings.
    scores : sequence of Scores
        Scores of each setting, pooled over all recordings.
    table : ScoreTable
        Scores of each setting and recording.
    traces : sequence of Trace
        The recordings; those of a corpus are decoded whenever they are asked for.
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
    recordings: tuple[str, ...] = field(repr=False)
    duration_s: float
    table: ScoreTable = field(repr=False)
    traces: Sequence[Trace] = field(repr=False)
    labels: tuple[Labels, ...] = field(repr=False)
    gap_s: float = GAP_S
    collar_s: float = COLLAR_S
    left_out: tuple[str, ...] = ()
    word_errors: dict[int, WordErrors] = field(repr=False, default_factory=dict)
    _texts: dict[tuple[Any, ...], str] = field(repr=False, default_factory=dict)

    @property
    def scores(self) -> Sequence[Scores]:
        """Scores of each setting, pooled over all recordings; made when they are asked for."""
        return PooledScores(self.table)

    def _metric(self, name: str) -> NDArray[np.float64]:
        if name == "word_error_rate":
            known = self.word_errors
            return np.array([known[i].wer if i in known else np.nan for i in range(len(self))])
        return self._metrics[name]

    @cached_property
    def _metrics(self) -> dict[str, NDArray[np.float64]]:
        return self._metrics_of(self.scores)

    def _metrics_of(self, each: Sequence[Scores]) -> dict[str, NDArray[np.float64]]:
        figures = [scores.figures() for scores in each]
        found = {name: np.array([f.get(name, np.nan) for f in figures]) for name in METRICS}
        spoken = np.array([f["utterances"] or np.nan for f in figures])
        for name in ("cut_off", "missed", "fragmented", "merged"):
            found[f"{name}_rate"] = np.array([f[name] for f in figures]) / spoken
        found["lost_rate"] = np.array([f["cut_off"] + f["missed"] for f in figures]) / spoken
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
        if len(said) != len(self.recordings) or not kept:
            raise ConfigError(
                f"{len(self.recordings)} recordings need as many texts, not {len(said)}; "
                "None stands for a recording without text, and at least one must have a text"
            )
        references = [str(said[r]) for r in kept]
        wer(references, references, language=language)  # fails now if a package is missing
        chosen = self.front(*TRADE) if settings is None else list(settings)
        engine = model
        if isinstance(engine, str):
            engine = make_engine(TranscribeConfig(model=engine, language=language))
        try:
            found = self._transcribe(engine, language, kept, chosen, progress)
        finally:
            if engine is not model:
                engine.close()
        for i, written in found.items():
            self.word_errors[i] = wer(references, written, language=language)
        return self.word_errors

    def _transcribe(
        self,
        engine: Engine,
        language: str,
        kept: Sequence[int],
        chosen: Sequence[int],
        progress: Callable[[int, int], None] | None,
    ) -> dict[int, list[str]]:
        """Return the texts of some recordings under some settings; holds one at a time."""
        configs = [self.configs[i] for i in chosen]

        def spans_of(trace: Trace) -> list[list[tuple[int, int]]]:
            return [[(u.start_sample, u.end_sample) for u in trace.utterances(c)] for c in configs]

        spans = {r: spans_of(self.traces[r]) for r in kept}

        def key(r: int, span: tuple[int, int]) -> tuple[Any, ...]:
            return engine.name, language, r, *span

        missing = {
            r: [span for span in dict.fromkeys(chain(*each)) if key(r, span) not in self._texts]
            for r, each in spans.items()
        }
        done, total = 0, sum(map(len, missing.values()))
        for r, wanted in missing.items():
            samples = self.traces[r].samples if wanted else np.empty(0, np.float32)
            for first in range(0, len(wanted), TOGETHER):
                together = wanted[first : first + TOGETHER]
                batch = [samples[slice(*span)] for span in together]
                for number, answer in transcribe_each(engine, batch):
                    self._texts[key(r, together[number])] = answer.text
                    done += 1
                    if progress:
                        progress(done, total)
        return {
            i: [" ".join(self._texts[key(r, span)] for span in spans[r][n]) for r in kept]
            for n, i in enumerate(chosen)
        }

    def to_frame(self, *, by: Literal["setting", "recording"] = "setting") -> Any:
        """Return a pandas.DataFrame with a row for each setting, or for each recording and setting.

        Its columns are the fields of the grid, with their units, and METRICS. Those of a recording
        also have its number of utterances and the length of its speech, by which rates can be
        weighted; of single recordings the word error rate is not known.

        Raises
        ------
        MissingExtra
            If pandas is not installed.
        """
        if by == "setting":
            return frame(self._rows())
        rows: list[dict[str, Any]] = []
        for number, name in enumerate(self.recordings):
            alone = PooledScores(self.table, slice(number, number + 1))
            about = {
                "recording": name,
                "utterances": alone[0].utterances,
                "speech_s": alone[0].speech_s,
            }
            rows += [about | row for row in self._rows(self._metrics_of(alone))]
        return frame(rows)

    def _caption(self) -> str:
        return f"{len(self)} settings on {len(self.recordings)} recordings, {self.duration_s:.0f} s"


def sweep(
    recordings: Audio | Iterable[Audio] | Corpus,
    labels: AnyLabels | Iterable[AnyLabels] | Mapping[str, Iterable[Any]],
    grid: Mapping[str, Iterable[Any]] | None = None,
    *,
    config: VadConfig | None = None,
    gap_s: float = GAP_S,
    collar_s: float = COLLAR_S,
    executor: Executor | None = None,
    cached: bool = True,
    progress: Callable[[int, int], None] | None = None,
) -> Sweep:
    """Score every combination of settings on labelled recordings.

    Utterances are as `segment` finds them, and scores as `score` computes them, pooled over all
    recordings. Blocks; uses all cores. With numba (extra `evaluate`), a thousand settings on an
    hour of audio take about a second.

    Of a corpus, a recording is decoded, scored and dropped before the next one. Its levels and
    scores are kept on disk (`sttlab cache`), so that a sweep that was interrupted goes on where it
    was, and another grid decodes nothing.

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
    executor : concurrent.futures.Executor, optional
        Where a corpus is scored, by default in threads of this process: processes, or a cluster of
        Dask by ``Client(...).get_executor()`` (extra `cluster`). Paths and settings travel, not
        audio, so all workers must see the files under the same paths. The figures are the same bit
        for bit. The caller shuts it down.
    cached : bool
        Whether levels and scores of a corpus are kept on disk, and those of earlier sweeps used.
    progress : callable, optional
        Called on this thread with the amount done and the amount in all: in recordings plus
        settings, of a corpus in recordings. An exception from it ends the sweep.

    Returns
    -------
    Sweep

    Raises
    ------
    ConfigError
        If a value is not valid, a field has no effect, the grid is empty, or there are not as many
        labels as recordings, or no recording of a corpus can be scored; or recordings that are not
        of a corpus come with an executor.
    MissingExtra
        If the packages of a detector are not installed.
    WorkersFailed
        If the processes or the cluster of the executor are gone. What is done is kept.

    Examples
    --------
    >>> found = sweep(recordings, labels, {  # doctest: +SKIP
    ...     "margin_db": range(4, 16), "silence_timeout_s": [0.3, 0.6, 0.9]})
    >>> found.configs[found.best()]  # doctest: +SKIP
    """
    about: dict[str, Any] = {"gap_s": gap_s, "collar_s": collar_s}
    corpus = recordings if isinstance(recordings, Corpus) else None
    if corpus and isinstance(labels, Mapping):
        grid = labels
    tried, configs = settings(grid or {}, config or VadConfig())
    about |= {"grid": tried, "configs": configs}
    with ExitStack() as stack:
        if executor is None or not corpus:
            threads = ThreadPoolExecutor(os.cpu_count(), "sttlab-sweep")
            stack.callback(threads.shutdown, cancel_futures=True)
        if corpus:
            found = score_corpus(
                corpus,
                executor or threads,
                progress,
                grid=tuple(tried.items()),
                config=config or VadConfig(),
                gap_s=gap_s,
                collar_s=collar_s,
                cached=cached,
            )
            return Sweep(**about, **found)
        if executor is not None:
            raise ConfigError(
                "an executor needs a Corpus, since paths travel to it and not audio: put the "
                "recordings and labels into a folder (add_to_corpus), and sweep Corpus(folder)"
            )
        given: Any = recordings
        return _sweep_here(pairs(given, labels), about, threads, progress)


def _sweep_here(
    given: tuple[list[Audio], tuple[Labels, ...]],
    about: dict[str, Any],
    threads: ThreadPoolExecutor,
    progress: Callable[[int, int], None] | None,
) -> Sweep:
    """Score settings on recordings that are in memory, where settings are shared by the threads."""
    audios, truths = given
    configs = about["configs"]
    done, total = 0, len(audios) + len(configs)

    def advance(count: int) -> None:
        nonlocal done
        done += count
        if progress:
            progress(done, total)

    detectors = list(dict.fromkeys(c.detector for c in configs))
    traces = []
    for trace in threads.map(partial(_trace, detectors), audios):
        traces.append(trace)
        advance(1)
    heard = [trace.heard_by(detectors) for trace in traces]
    material = Material(heard, truths, about["gap_s"], about["collar_s"])
    return Sweep(
        **about,
        recordings=tuple(trace.origin or str(i) for i, trace in enumerate(traces, 1)),
        duration_s=sum(trace.duration_s for trace in traces),
        table=material.table(configs, threads.map, advance),
        traces=tuple(traces),
        labels=truths,
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


def _trace(detectors: Sequence[str], audio: Audio) -> Trace:
    """Score a recording by each detector."""
    trace = audio if isinstance(audio, Trace) else Trace(audio)
    trace.heard_by(detectors)
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
