"""`sttlab serve`."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sttlab.cli.options import (
    AllowedHosts,
    AllowedOrigins,
    Certificate,
    Channel,
    Device,
    Host,
    KeepDays,
    KeepFolder,
    KeepSize,
    Key,
    Language,
    Model,
    Port,
    Settings,
    Source,
    Speakers,
    Token,
    read_settings,
)
from sttlab.cli.terminal import INTERRUPTED, say, start_worker
from sttlab.errors import DeviceUnavailable, MissingExtra

if TYPE_CHECKING:
    from sttlab.capture.base import AudioSource
    from sttlab.live.keeper import Keep

WITHOUT_MICROPHONE = (
    "Until there is one, the page takes the browser's own microphone, and recordings; "
    "one that is plugged in later is used"
)


def serve(
    device: Device = None,
    source: Source = None,
    channel: Channel = None,
    host: Host = "127.0.0.1",
    port: Port = 8000,
    model: Model = None,
    language: Language = None,
    config: Settings = None,
    keep: KeepFolder = None,
    keep_days: KeepDays = None,
    keep_gb: KeepSize = None,
    speakers: Speakers = False,
    locked: Annotated[
        bool, typer.Option("--locked", help="Refuse changes of settings by clients.")
    ] = False,
    token: Token = None,
    certfile: Certificate = None,
    keyfile: Key = None,
    allow_host: AllowedHosts = None,
    allow_origin: AllowedOrigins = None,
) -> None:
    """Serve live transcripts of a microphone.

    A page shows them at http://HOST:PORT/, and a WebSocket at /ws sends them. The microphone is
    open while a client is connected. With --host 0.0.0.0, other machines can connect with the token
    that is in the link: a terminal shows it, and without one it is kept in a private file.
    """
    if device and source:
        raise typer.BadParameter("give one of --device and --source, not both")
    if keyfile and not certfile:
        raise typer.BadParameter("--keyfile needs --certfile")
    settings = read_settings(config, model, language)
    if config is None:  # a file decides for itself whether the page marks doubtful words
        settings = replace(settings, transcribe=replace(settings.transcribe, words=True))
    from sttlab import AsrWorker, Session
    from sttlab.engines import make_engine
    from sttlab.server.app import create_app
    from sttlab.server.gate import choose_token, own_name
    from sttlab.server.uvicorn_server import Server

    given = bool(token)
    token = choose_token(host, token)
    worker = AsrWorker(make_engine(settings.transcribe))
    session = Session(
        _source(source, device, channel),
        vad=settings.vad,
        model=worker,
        keep=_keep(keep, keep_days, keep_gb),
        speakers=speakers,
    )
    web = create_app(
        session,
        locked=locked,
        token=token,
        allowed_hosts=[*(allow_host or ()), *own_name(host)],
        allowed_origins=allow_origin or (),
    )
    server = Server(web, certfile, keyfile)
    server.listen(host, port)  # before the model loads, since the port may be in use
    with contextlib.closing(server.bound):
        start_worker(worker)
        _log_more()
        with contextlib.suppress(KeyboardInterrupt), _link_told(server.url, token, given):
            server.run()
    raise typer.Exit(INTERRUPTED)


def _log_more() -> None:
    for name in ("sttlab.server", "uvicorn.error"):
        logging.getLogger(name).setLevel(logging.INFO)


def _keep(folder: Path | None, days: float | None, gb: float | None) -> Keep | None:
    from sttlab import Keep

    if folder is None:
        if days or gb:
            raise typer.BadParameter("--keep-days and --keep-gb need --keep")
        return None
    keep = Keep(folder, max_days=days, max_gb=gb)
    say(f"what is said is kept in {folder}")
    return keep


def _source(source: Path | None, device: str | None, channel: int | None) -> AudioSource:
    from sttlab.capture import FileSource, Microphone
    from sttlab.capture.microphone import find_device, list_devices

    if source:
        file = FileSource(source, channel=channel)
        file.open()  # fails now if the file is broken, and not with the first client
        file.close()
        return file
    wanted = int(device) if device and device.isdecimal() else device
    try:
        find_device(wanted, list_devices())
    except (DeviceUnavailable, MissingExtra) as error:
        say(f"{error}. {WITHOUT_MICROPHONE}")
    return Microphone(wanted, channel=channel)


@contextlib.contextmanager
def _link_told(url: str, token: str | None, given: bool) -> Iterator[None]:
    """Say where the page is. The token goes to a terminal or into a file: a log is kept."""
    from sttlab.server.gate import TOKEN_VARIABLE
    from sttlab.server.launch import with_token

    if token is None or sys.stderr.isatty():
        say(f"serving at {with_token(url, token)}")
        yield
    elif given:
        say(f"serving at {url}?token=..., with the token that it was given")
        yield
    else:
        with _private_file(f"{with_token(url, token)}\n") as path:
            where = f"only you can read {path}, where the link with the token is"
            remedy = f"set {TOKEN_VARIABLE}: the link with the token can't be kept in a file"
            say(f"serving at {url}; {where if path else remedy}")
            yield


@contextlib.contextmanager
def _private_file(text: str) -> Iterator[str | None]:
    """Keep a text in a file that only its owner can read, for a while; None if it can't be kept."""
    path = None
    try:
        descriptor, path = tempfile.mkstemp(prefix="sttlab-link-", suffix=".txt", text=True)
        with open(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
    except OSError:
        yield None
        _remove(path)
        return

    def leave(number: int, _: object) -> None:  # SIGTERM ends the process as it always does
        _remove(path)
        signal.signal(number, signal.SIG_DFL)
        signal.raise_signal(number)

    signal.signal(signal.SIGTERM, leave)
    try:
        yield path
    finally:
        _remove(path)


def _remove(path: str | None) -> None:
    with contextlib.suppress(OSError):
        if path:
            os.unlink(path)
