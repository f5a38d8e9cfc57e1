"""`sttlab replay` and `sttlab compare`: kept sessions."""

from __future__ import annotations

import json
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer

from sttlab.cli.options import Settings
from sttlab.cli.terminal import say, side_thread, with_bar
from sttlab.config import Config, TranscribeConfig, VadConfig, from_dict

Kept = Annotated[
    Path,
    typer.Argument(
        metavar="DIR",
        exists=True,
        file_okay=False,
        help="A kept session, or a folder of them, of which the newest is taken.",
        show_default=False,
    ),
]


class ComparisonFormat(str, Enum):
    """The formats in which a comparison can be written."""

    text = "text"
    json = "json"
    html = "html"


def replay(
    folder: Kept,
    changes: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="NAME=VALUE",
            help="A setting in place of the one that the session had: silence_timeout_s=0.4",
        ),
    ] = None,
    config: Settings = None,
    model: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Whisper model that transcribes all. [default: the session's own transcribes "
            "what the settings change]",
            show_default=False,
        ),
    ] = None,
    keep: Annotated[
        Path | None,
        typer.Option(metavar="DIR", file_okay=False, help="Folder to keep the replay in."),
    ] = None,
) -> None:
    """Run a kept session again, under other settings or with another model.

    With the same settings it decides the same, bit for bit. It prints the texts, each after the
    second at which it begins; what changed is on stderr, in one line.
    """
    import sttlab
    from sttlab.engines import make_engine

    kept = sttlab.open_session(folder)
    told = _settings(changes or [])
    vad = Config.load(config).vad if config else None
    with side_thread() as thread:
        engine: Any = make_engine(TranscribeConfig(model=model)) if model else kept.transcribe
        made = with_bar(
            thread,
            kept.folder.name,
            lambda progress: sttlab.replay(kept, vad=vad, model=engine, progress=progress, **told),
        )
    for u in made.utterances:
        if u.text:
            print(f"{u.start_s:.1f}\t{u.text}")
    say(sttlab.compare(kept, made).summary)
    if keep:
        say(f"kept in {made.save(keep)}")


def _settings(changes: list[str]) -> dict[str, Any]:
    """Read NAME=VALUE; what is not valid is left to VadConfig, which says the remedy."""
    told: dict[str, Any] = {}
    for change in changes:
        name, equals, value = change.partition("=")
        if not equals:
            raise typer.BadParameter(f"--set needs NAME=VALUE, not {change!r}")
        try:
            told[name] = None if value in ("", "none") else json.loads(value)
        except ValueError:
            told[name] = value
    from_dict(VadConfig, told)  # before anything is shown
    return told


def compare(
    a: Kept,
    b: Kept,
    format: Annotated[  # noqa: A002
        ComparisonFormat, typer.Option(help="html is one page with the audio of each difference.")
    ] = ComparisonFormat.text,
    labels: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Labels of when people speak, against which both are scored.",
            exists=True,
            dir_okay=False,
            show_default=False,
        ),
    ] = None,
    reference: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="The text of all that was said, against which words are counted.",
            exists=True,
            dir_okay=False,
            show_default=False,
        ),
    ] = None,
) -> None:
    """Compare two kept sessions or replays of the same audio: utterances, words, delays."""
    import sttlab

    made = sttlab.compare(
        sttlab.open_session(a),
        sttlab.open_session(b),
        labels=sttlab.load_labels(labels) if labels else None,
        reference=_read_text(reference) if reference else None,
    )
    print(getattr(made, f"to_{format.value}")(), end="")


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise typer.BadParameter(f"{path} can't be read as text: {error}") from error
