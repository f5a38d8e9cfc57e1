"""Options that several commands take."""

from __future__ import annotations

from dataclasses import replace
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer

from sttlab.config import Config


class Format(str, Enum):
    """The formats in which a transcript can be written."""

    txt = "txt"
    json = "json"
    srt = "srt"
    vtt = "vtt"
    rttm = "rttm"


Model = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="Whisper model: tiny.en, base, ... or a checkpoint's path; `sttlab models` lists the "
        "installed ones. auto takes the largest whose answers come in time. [default: tiny.en]",
        show_default=False,
    ),
]
Language = Annotated[
    str | None,
    typer.Option(
        metavar="CODE",
        help="Language spoken: en, de, ... Without it the model decides for each utterance.",
        show_default=False,
    ),
]
Settings = Annotated[
    Path | None,
    typer.Option(
        "--config",
        metavar="FILE",
        exists=True,
        dir_okay=False,
        help="Settings file (TOML) with the tables [vad] and [transcribe], as the notebooks save. "
        "Options take precedence over it.",
        show_default=False,
    ),
]

Device = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="Microphone: its number or a part of its name; `sttlab devices` lists them. "
        "[default: the system's]",
        show_default=False,
    ),
]
Source = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        exists=True,
        dir_okay=False,
        help="Recording to play in place of the microphone: once, in real time, from the moment "
        "the first client connects.",
        show_default=False,
    ),
]
Channel = Annotated[
    int | None,
    typer.Option(
        metavar="NUMBER",
        min=1,
        help="Use this channel only, counted from 1. [default: all, mixed]",
        show_default=False,
    ),
]
Track = Annotated[
    int | None,
    typer.Option(
        metavar="NUMBER",
        min=1,
        help="Audio track of a video, counted from 1. [default: the one marked as default, if it "
        "is audible]",
        show_default=False,
    ),
]
Speakers = Annotated[
    bool, typer.Option("--speakers", help="Say who speaks: Speaker 1, Speaker 2, ...")
]
SpeakerCount = Annotated[
    int | None,
    typer.Option(
        "--num-speakers",
        metavar="NUMBER",
        min=1,
        help="How many people speak, with --speakers. [default: as many as are heard]",
        show_default=False,
    ),
]
Host = Annotated[
    str,
    typer.Option(metavar="ADDRESS", help="Address to listen at; 0.0.0.0 lets other machines in."),
]
Port = Annotated[
    int,
    typer.Option(metavar="NUMBER", min=0, max=65535, help="Port to listen at; 0 takes a free one."),
]
Token = Annotated[
    str | None,
    typer.Option(
        envvar="STTLAB_TOKEN",
        help="Token that clients must send. [default: none at this machine's own address, else a "
        "new one]",
        show_default=False,
    ),
]
Certificate = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE", exists=True, dir_okay=False, help="Certificate (PEM), for https and wss."
    ),
]
Key = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        exists=True,
        dir_okay=False,
        help="The certificate's private key (PEM), unless it is in the same file.",
    ),
]
AllowedHosts = Annotated[
    list[str] | None,
    typer.Option(metavar="NAME", help="Further host name of this server, as of a proxy."),
]
AllowedOrigins = Annotated[
    list[str] | None,
    typer.Option(metavar="URL", help="Further origin whose pages may connect: https://hub.example"),
]
KeepFolder = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        file_okay=False,
        help="Folder in which audio, texts and settings of each session are kept; the page says "
        "so. A client's own microphone is kept only if that client asks too. [default: nothing is "
        "kept]",
        show_default=False,
    ),
]
KeepDays = Annotated[
    float | None,
    typer.Option(metavar="DAYS", help="Remove kept sessions that are older.", show_default=False),
]
KeepSize = Annotated[
    float | None,
    typer.Option(
        metavar="GB",
        help="Remove the oldest kept sessions while all together are larger.",
        show_default=False,
    ),
]


def read_settings(path: Path | None, model: str | None, language: str | None) -> Config:
    """Read the settings file, if one is given, and apply the options."""
    config = Config.load(path) if path else Config()
    given = {"model": model, "language": language}
    changes: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    return replace(config, transcribe=replace(config.transcribe, **changes))
