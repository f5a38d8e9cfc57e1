"""`sttlab bench`: options, material and output of the benchmarks."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

import typer

from sttlab.config import Config
from sttlab.errors import MissingExtra, SourceError, SttlabError

app = typer.Typer(
    help="""Measure latency and accuracy on this machine and your recordings, against other systems.

    \b
    sttlab bench live    live audio: delay from the last word to its text, word errors, CPU, memory
    sttlab bench file    whole recordings: speed, word errors, memory
    """,
    no_args_is_help=True,
)

SHORTEST_S, LONGEST_S = 1.0, 20.0  # bounds of the length of an utterance
LONG_S = (20.0, 600.0)  # bounds of the length of a natural recording

Recordings = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        help="Folder of recordings, each with its text in a .txt file of the same name, or all in "
        "a manifest.jsonl. [default: data/]",
        show_default=False,
    ),
]
Model = Annotated[str | None, typer.Option(help="Whisper model. [default: tiny.en]")]
Language = Annotated[str, typer.Option(help="Language of the recordings.")]
Settings = Annotated[
    Path | None,
    typer.Option("--config", metavar="FILE", exists=True, dir_okay=False, help="Settings (TOML)."),
]
Seed = Annotated[int, typer.Option(help="Seed of the order, the pauses and the noise.")]
Threads = Annotated[int, typer.Option(min=1, help="Threads with which each system may compute.")]
Output = Annotated[
    Path, typer.Option(metavar="DIR", file_okay=False, help="Folder for the JSON and the chart.")
]


@app.command()
def live(
    system: Annotated[
        list[str] | None,
        typer.Option(
            help="sttlab, sttlab+partials or naive; give it again for more. [default: all]",
            show_default=False,
        ),
    ] = None,
    recordings: Recordings = None,
    utterances: Annotated[int, typer.Option(min=1, help="Number of utterances.")] = 15,
    noise_s: Annotated[
        float, typer.Option(min=0, help="Seconds of noise after them, without speech.")
    ] = 60.0,
    model: Model = None,
    language: Language = "en",
    config: Settings = None,
    seed: Seed = 1,
    threads: Threads = 2,
    output: Output = Path("bench-results"),
) -> None:
    """Measure the delay from the last word to its text.

    Utterances with exactly known ends are played in real time to the real server. A WebSocket
    client notes when each text arrives. Each system takes about two and a half minutes, as long as
    the utterances last. `naive` is what a weekend project does: a level threshold, 0.8 s of
    silence, then openai-whisper.
    """
    _need("psutil", "jiwer", "matplotlib", "websockets")
    from sttlab.bench import live as bench
    from sttlab.bench import material, report

    settings = _settings(config, model, language)
    speech, noise = material.read_clips(folder(recordings), language, SHORTEST_S, LONGEST_S)
    played = material.stimulus(speech, noise, count=utterances, noise_s=noise_s, seed=seed)
    before = report.surroundings()
    systems, failures = [], 0
    offline: dict[str, Sequence[str]] = {}
    for name, under_test in {name: bench.find(name) for name in system or bench.SYSTEMS}.items():
        try:
            with bar(name) as progress:
                run = bench.run(name, played, settings, threads, progress)
            engine = under_test.engine
            if engine not in offline:
                tell(f"{name}: each utterance on its own, for comparison")
                offline[engine] = bench.offline(played, engine, settings, threads)
        except SttlabError as error:
            failures += 1
            tell(f"{name}: {error}")
            continue
        systems.append(report.live_figures(run, played, offline[engine], language))
    result = {
        "benchmark": "live",
        "settings": _as_json(settings, seed, threads),
        "material": report.describe(played, len({t.name for t in played.truths})),
        "before": before,
        "after": report.surroundings(),
        "systems": systems,
    }
    _finish(output / "live", result, report.live_table(systems), report.live_chart)
    if failures:
        raise typer.Exit(1)


@app.command()
def file(
    engine: Annotated[
        list[str] | None,
        typer.Option(
            help="sttlab, openai-whisper, ...; give it again for more. [default: all]",
            show_default=False,
        ),
    ] = None,
    recordings: Recordings = None,
    joined_s: Annotated[
        float, typer.Option(min=30, help="Length of the recording of joined sentences.")
    ] = 350.0,
    model: Model = None,
    language: Language = "en",
    config: Settings = None,
    seed: Seed = 1,
    threads: Threads = 2,
    output: Output = Path("bench-results"),
) -> None:
    """Measure speed, word errors and memory on whole recordings.

    These are one recording of joined sentences, and the natural recordings of 20 s and more. The
    first is hard for engines that carry context over or cut at fixed times; the others are like
    those that people have. All run on the device that the settings name.
    """
    _need("psutil", "jiwer", "matplotlib", "faster_whisper", "whisper")
    from sttlab.bench import files, material, report
    from sttlab.bench.engines import ENGINES, ON_REQUEST

    settings = _settings(config, model, language)
    chosen = folder(recordings)
    short, _ = material.read_clips(chosen, language, SHORTEST_S, LONGEST_S)
    natural, _ = material.read_clips(chosen, language, *LONG_S)
    kinds = {"joined sentences": [material.joined(short, joined_s, seed)]}
    if natural:
        kinds["natural recordings"] = natural
    before = report.surroundings()
    figures, failures = [], 0
    for kind, clips in kinds.items():
        for name in engine or [e for e in ENGINES if e not in ON_REQUEST]:
            tell(f"{kind}: {name}")
            try:
                run = files.run(name, clips, settings, threads)
            except SttlabError as error:
                failures += 1
                tell(f"{name}: {error}")
                continue
            figures.append(report.file_figures(run, kind, clips, language))
    result = {
        "benchmark": "file",
        "settings": _as_json(settings, seed, threads),
        "before": before,
        "after": report.surroundings(),
        "engines": figures,
    }
    _finish(output / "file", result, report.file_table(figures), report.file_chart)
    if failures:
        raise typer.Exit(1)


def _need(*modules: str) -> None:
    for module in modules:
        if find_spec(module) is None:
            raise MissingExtra(module, "bench")


def folder(given: Path | None) -> Path:
    """Return the folder of recordings: the given one, or data/ of a checkout.

    Raises
    ------
    SourceError
        If no folder is given and this is not a checkout.
    """
    if given is not None:
        return given
    data = Path(__file__).parents[2] / "data"
    if not data.is_dir():
        raise SourceError("the recordings are in a checkout's data/; name others by --recordings")
    return data


def _settings(path: Path | None, model: str | None, language: str) -> Config:
    config = Config.load(path) if path else Config()
    transcribe = replace(config.transcribe, model=model or config.transcribe.model)
    return replace(config, transcribe=replace(transcribe, language=language))


def _as_json(settings: Config, seed: int, threads: int) -> dict[str, Any]:
    return asdict(settings) | {"seed": seed, "threads": threads}


@contextmanager
def bar(label: str) -> Iterator[Callable[[str, float], None]]:
    """Show a progress bar on stderr; yield a function that sets its label and its share done."""
    with typer.progressbar(length=1000, label=label, file=sys.stderr) as bar:

        def progress(label: str, done: float) -> None:
            bar.label = label
            bar.update(int(done * 1000) - bar.pos)

        yield progress


def _finish(
    stem: Path, result: dict[str, Any], table: str, chart: Callable[[list[Any]], Any]
) -> None:
    """Print the table; write it, all figures and the chart into one folder."""
    figures = result.get("systems") or result.get("engines")
    if not figures:
        return
    write(stem, result, table)
    chart(figures).savefig(stem.with_suffix(".png"), dpi=120)


def write(stem: Path, result: dict[str, Any], table: str) -> None:
    """Print the table and the machine; write both and all figures into the folder of `stem`."""
    from sttlab.bench.report import machine

    stem.parent.mkdir(parents=True, exist_ok=True)
    about = f"{table}\n\n{machine(result['before'], result['after'])}"
    if threads := result.get("settings", {}).get("threads"):
        about += f", {threads} threads"
    text = json.dumps(result, indent=1, ensure_ascii=False)
    stem.with_suffix(".json").write_text(text + "\n", encoding="utf-8")
    stem.with_suffix(".md").write_text(about + "\n", encoding="utf-8")
    typer.echo(about)
    tell(f"wrote {stem.name} into {stem.parent}")


def tell(message: str) -> None:
    """Print a message to stderr; stdout is for the table."""
    typer.echo(f"sttlab: {message}", err=True)
