"""Transcripts of all recordings of a corpus, here, in other processes or on a cluster."""

from __future__ import annotations

import html
import json
import logging
import threading
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from sttlab.audio import Recording
from sttlab.config import SpeakerConfig, TranscribeConfig, VadConfig
from sttlab.engines import make_engine
from sttlab.engines.base import Engine
from sttlab.engines.suppression import Suppression
from sttlab.errors import ConfigError, SourceError, TranscribeError
from sttlab.events import Segment, SpeakerTurn, Word
from sttlab.spread import spread
from sttlab.tables import frame
from sttlab.transcription import FileTranscript, transcribe

log = logging.getLogger(__name__)


class TranscribableItem(Protocol):
    """A recording of a corpus, as `sttlab.Corpus` holds it."""

    @property
    def name(self) -> str:
        """Distinct in the corpus."""

    def load(self) -> Recording:
        """Decode the audio."""

    def content(self) -> str | None:
        """Return a hash of the audio; None if it can't be read."""

    def alone(self) -> TranscribableItem:
        """Return what is needed to decode it from any folder, and nothing else."""


@runtime_checkable
class TranscribableCorpus(Protocol):
    """Recordings, as `sttlab.Corpus` holds them."""

    problems: tuple[str, ...]

    def __iter__(self) -> Iterator[TranscribableItem]:
        """Yield the recordings."""


@dataclass(frozen=True, eq=False)
class CorpusTranscripts(Mapping[str, FileTranscript]):
    """The transcripts of a corpus by the names of its recordings, in the order of the corpus.

    Attributes
    ----------
    transcripts : dict of str to FileTranscript
    left_out : tuple of str
        Recordings that are not there, and why.
    """

    transcripts: dict[str, FileTranscript]
    left_out: tuple[str, ...] = ()

    def __getitem__(self, name: str) -> FileTranscript:
        return self.transcripts[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.transcripts)

    def __len__(self) -> int:
        return len(self.transcripts)

    def to_frame(self) -> Any:
        """Return a pandas.DataFrame with a row for each recording.

        Raises
        ------
        MissingExtra
            If pandas is not installed.
        """
        columns = ("recording", "duration_s", "language", "language_probability", "text")
        rows = (
            {"recording": name} | {column: getattr(one, column) for column in columns[1:]}
            for name, one in self.items()
        )
        return frame(rows, columns=columns)

    def _repr_html_(self) -> str:
        rows = "".join(
            f'<tr><th scope="row" style="text-align:left">{html.escape(name)}</th>'
            f"<td>{one.duration_s:.1f} s</td>"
            f'<td style="text-align:left">{html.escape(one.text)}</td></tr>'
            for name, one in self.items()
        )
        problems = "".join(f"<p>⚠ left out: {html.escape(why)}</p>" for why in self.left_out)
        return f"<table><caption>{len(self)} recordings</caption>{rows}</table>{problems}"


@dataclass(frozen=True, kw_only=True)
class TranscribeJob:
    """A recording and how it is transcribed: a path, not audio, so that it travels."""

    item: TranscribableItem
    config: TranscribeConfig
    vad: VadConfig | None
    speakers: bool | SpeakerConfig
    num_speakers: int | None

    def key(self) -> str | None:
        """Return what its transcript follows from; None if the recording can't be read."""
        content = self.item.content()
        about = [self.config, self.vad or VadConfig(), self.speakers, self.num_speakers]
        return None if content is None else f"{content} {' '.join(map(repr, about))}"


def transcribe_corpus(
    corpus: TranscribableCorpus,
    model: TranscribeConfig | Engine,
    *,
    vad: VadConfig | None = None,
    speakers: bool | SpeakerConfig = False,
    num_speakers: int | None = None,
    executor: Executor | None = None,
    results: str | Path | None = None,
    progress: Callable[[float, float], None] | None = None,
) -> CorpusTranscripts:
    """Turn all recordings of a corpus into text; see `sttlab.transcribe`.

    Raises
    ------
    ConfigError
        If an engine comes with an executor or a file of results, which need its settings.
    ModelError
        If the model is not found, or doesn't load.
    WorkersFailed
        If the processes or the cluster of the executor are gone.
    """
    if not isinstance(model, TranscribeConfig) and (executor or results):
        raise ConfigError(
            "an executor or a file of results needs the name of a model, not an engine, which "
            "can't travel and doesn't say what its texts follow from"
        )
    config = model if isinstance(model, TranscribeConfig) else TranscribeConfig()
    jobs = [
        TranscribeJob(
            item=item.alone(),
            config=config,
            vad=vad,
            speakers=speakers,
            num_speakers=num_speakers,
        )
        for item in corpus
    ]
    found: dict[int, FileTranscript | str] = {}
    with ExitStack() as stack:
        kept = stack.enter_context(closing(_Results(results, jobs))) if results else None
        found |= kept.known if kept else {}
        missing = [(n, job) for n, job in enumerate(jobs) if n not in found]
        work = spread(executor, transcribe_job, missing) if executor else _here(missing, model)
        for number, result in stack.enter_context(closing(work)):
            found[number] = result
            if kept and isinstance(result, FileTranscript):
                kept.add(number, result)
            if progress:
                progress(len(found), len(jobs))
    in_order = [found[number] for number in range(len(jobs))]
    left_out = [*corpus.problems, *(why for why in in_order if isinstance(why, str))]
    for why in left_out:
        log.warning("not transcribed: %s", why)
    made = zip(jobs, in_order, strict=True)
    return CorpusTranscripts(
        {job.item.name: one for job, one in made if isinstance(one, FileTranscript)},
        tuple(left_out),
    )


_LOCK = threading.Lock()  # an engine serves one thread at a time


@lru_cache(maxsize=1)
def _loaded(config: TranscribeConfig) -> Engine:
    """Make an engine, which stays in the process for the next recordings."""
    return make_engine(config)


def transcribe_job(job: TranscribeJob) -> FileTranscript | str:
    """Transcribe a recording, or say why it can't be read, wherever the executor calls it. Blocks.

    Raises
    ------
    ModelError
        If the model is not found, or doesn't load.
    """
    with _LOCK:
        return _transcribe(job, _loaded(job.config))


def _here(
    jobs: Sequence[tuple[int, TranscribeJob]], model: TranscribeConfig | Engine
) -> Generator[tuple[int, FileTranscript | str], None, None]:
    engine = make_engine(model) if isinstance(model, TranscribeConfig) else model
    try:
        for number, job in jobs:
            yield number, _transcribe(job, engine)
    finally:
        if engine is not model:
            engine.close()


def _transcribe(job: TranscribeJob, engine: Engine) -> FileTranscript | str:
    try:
        return transcribe(
            job.item.load(),
            model=engine,
            vad=job.vad,
            speakers=job.speakers,
            num_speakers=job.num_speakers,
        )
    except (SourceError, TranscribeError) as error:
        return f"{job.item.name}: {error}"


class _Results:
    """A file of JSON lines, one for each recording that is done.

    Raises
    ------
    ConfigError
        If it can't be read or written, or is another file.
    """

    def __init__(self, path: str | Path, jobs: Sequence[TranscribeJob]) -> None:
        self._path = Path(path).expanduser()
        self._keys = [job.key() for job in jobs]
        try:
            before = self._path.read_text(encoding="utf-8") if self._path.exists() else ""
            done = dict(self._lines(before))
            self._file = self._path.open("a", encoding="utf-8", newline="\n")
            if before and not before.endswith("\n"):  # a line that was not written to its end
                self._file.write("\n")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"results can't be kept in {self._path}: {error}") from error
        self.known = {n: done[key] for n, key in enumerate(self._keys) if key and key in done}

    def _lines(self, text: str) -> Iterator[tuple[str, FileTranscript]]:
        lines = text.splitlines()
        for number, line in enumerate(lines, 1):
            try:
                row = json.loads(line)
                yield row["key"], _from_dict(row["transcript"])
            except (ValueError, KeyError, TypeError) as error:
                if line.strip() and number < len(lines):
                    log.warning("%s, line %d is not a result: %r", self._path, number, error)

    def add(self, number: int, transcript: FileTranscript) -> None:
        """Write a transcript to the end of the file."""
        if key := self._keys[number]:
            self._file.write(json.dumps({"key": key, "transcript": asdict(transcript)}) + "\n")
            self._file.flush()

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _from_dict(given: dict[str, Any]) -> FileTranscript:
    segments = tuple(
        Segment(**(segment | {"words": tuple(Word(**word) for word in segment["words"])}))
        for segment in given["segments"]
    )
    turns = given["turns"]
    return FileTranscript(
        **given
        | {
            "segments": segments,
            "suppressed": tuple(Suppression(**held) for held in given["suppressed"]),
            "notices": tuple(given["notices"]),
            "turns": None if turns is None else tuple(SpeakerTurn(**turn) for turn in turns),
        }
    )
