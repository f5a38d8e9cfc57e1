"""`sttlab transcribe`."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from itertools import chain, count
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sttlab.cli.cluster import Scheduler, connected
from sttlab.cli.options import (
    Channel,
    Format,
    Language,
    Model,
    Settings,
    SpeakerCount,
    Speakers,
    Track,
    read_settings,
)
from sttlab.cli.terminal import FAILED, say, say_of, side_thread, wait_for, with_bar
from sttlab.config import Config
from sttlab.errors import ConfigError, SttlabError

MANIFESTS = (".jsonl", ".csv")
RESULTS = "transcripts.jsonl"  # of a corpus, in --output

if TYPE_CHECKING:
    from sttlab.audio import Recording
    from sttlab.engines.base import Engine
    from sttlab.transcription import FileTranscript


def transcribe(
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE",
            help="Audio or video, in any common format; - is stdin. Or one corpus: a folder, or a "
            "manifest (.jsonl, .csv).",
            show_default=False,
        ),
    ],
    format: Annotated[  # noqa: A002
        Format,
        typer.Option(
            help="json has one object per file and line; rttm says who speaks, without text."
        ),
    ] = Format.txt,
    output: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            file_okay=False,
            help="Folder for one result per file, made if it is missing. Results of the same name "
            "are replaced. By default they go to stdout.",
            show_default=False,
        ),
    ] = None,
    model: Model = None,
    language: Language = None,
    speakers: Speakers = False,
    num_speakers: SpeakerCount = None,
    track: Track = None,
    channel: Channel = None,
    config: Settings = None,
    scheduler: Scheduler = None,
) -> None:
    """Turn recordings into text or subtitles.

    They are cut into utterances exactly as `sttlab serve` would cut them. A file that fails is
    named on stderr, the others are still done, and the exit code is 1. Of a corpus, --output holds
    what is done, and the same command goes on from there after Ctrl-C.
    """
    settings = read_settings(config, model, language)
    _refuse_without(speakers, num_speakers, format)
    about = {"speakers": speakers, "num_speakers": num_speakers}
    is_corpus = len(files) == 1 and (files[0].is_dir() or files[0].suffix in MANIFESTS)
    if scheduler or is_corpus:
        if len(files) > 1 or track or channel or not files[0].exists():
            raise typer.BadParameter(
                "a corpus is one folder or manifest, without --track and --channel; --scheduler "
                "needs a corpus"
            )
        failures = _transcribe_corpus(files[0], settings, about, format, output, scheduler)
    else:
        choice = {"track": track, "channel": channel}
        failures = _transcribe_files(files, settings, about, format, output, choice)
    if failures:
        raise typer.Exit(FAILED)


def _transcribe_files(
    files: list[Path],
    settings: Config,
    about: dict[str, Any],
    wanted: Format,
    output: Path | None,
    choice: dict[str, int | None],
) -> int:
    """Transcribe files one by one, and return how many failed."""
    targets = _targets(files, output, wanted.value) if output else [None] * len(files)
    if output:
        output.mkdir(parents=True, exist_ok=True)
    from sttlab.decoding import load
    from sttlab.engines import make_engine

    engine = make_engine(settings.transcribe)
    failures = 0
    with side_thread() as thread:
        say(f"loading {engine.name}")
        wait_for(thread.submit(engine.load))
        for file, target in zip(files, targets, strict=True):
            try:
                recording = wait_for(thread.submit(load, file, **choice))
                result = _transcribe(recording, engine, settings, thread, about)
                text = getattr(result, f"to_{wanted.value}")(target)
            except (SttlabError, OSError) as error:
                failures += 1
                say_of(file, error)
                continue
            if target is None:
                print(text, end="", flush=True)
    return failures


def _transcribe_corpus(
    path: Path,
    settings: Config,
    about: dict[str, Any],
    wanted: Format,
    output: Path | None,
    scheduler: str | None,
) -> int:
    """Transcribe a corpus, and return how many recordings of it failed."""
    from sttlab.corpus_transcription import transcribe_corpus
    from sttlab.evaluate.corpus import Corpus

    corpus = Corpus(path)
    targets: list[Path | None] = [None] * len(corpus)
    if output:
        output.mkdir(parents=True, exist_ok=True)
        about["results"] = output / RESULTS
        targets = [*_targets([item.audio for item in corpus], output, wanted.value)]
    with connected(scheduler) as executor, side_thread() as thread:
        found = with_bar(
            thread,
            str(path),
            lambda progress: transcribe_corpus(
                corpus,
                settings.transcribe,
                vad=settings.vad,
                executor=executor,
                progress=progress,
                **about,
            ),
        )
    for item, target in zip(corpus, targets, strict=True):
        if item.name in found:
            text = getattr(found[item.name], f"to_{wanted.value}")(target)
            if target is None:
                print(text, end="", flush=True)
    return len(found.left_out)


def _refuse_without(speakers: bool, num_speakers: int | None, wanted: Format) -> None:
    """Raise ConfigError if an option about speakers is given without --speakers."""
    if not speakers and (num_speakers or wanted is Format.rttm):
        given = "--num-speakers" if num_speakers else "--format rttm"
        raise ConfigError(f"{given} needs --speakers: it is about who speaks")


def _transcribe(
    recording: Recording,
    engine: Engine,
    settings: Config,
    thread: ThreadPoolExecutor,
    about: dict[str, Any],
) -> FileTranscript:
    """Transcribe one recording on the engine's thread, with a progress bar on stderr."""
    from sttlab import transcription

    label = "".join(c if c.isprintable() else "?" for c in recording.origin)
    result = with_bar(
        thread,
        label,
        lambda progress: transcription.transcribe(
            recording,
            model=engine,
            vad=settings.vad,
            progress=progress,
            **about,
        ),
    )
    for held in result.suppressed:
        say(f"{recording.origin}: held back {held.text!r} at {held.start_s:.1f} s: {held.reason}")
    return result


def _targets(files: list[Path], folder: Path, suffix: str) -> list[Path]:
    """Name a result for each file: all distinct, and none of them one of the files."""

    def identity(path: Path) -> str:
        return os.path.realpath(path).casefold()

    taken = {identity(file) for file in files}
    targets = []
    for file in files:
        names = chain([file.stem, file.name], (f"{file.name}-{n}" for n in count(2)))
        paths = (folder / f"{name}.{suffix}" for name in names)
        targets.append(next(path for path in paths if identity(path) not in taken))
        taken.add(identity(targets[-1]))
    return targets
