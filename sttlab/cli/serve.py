"""`sttlab serve`."""

from __future__ import annotations

import contextlib
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sttlab.cli.options import (
    Certificate,
    Channel,
    Device,
    Host,
    Key,
    Language,
    Model,
    Port,
    Settings,
    Source,
    Token,
    read_settings,
)
from sttlab.cli.terminal import INTERRUPTED, say, start_worker

if TYPE_CHECKING:
    from sttlab.capture.base import AudioSource


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
        bool, typer.Option("--locked", help="Refuse changes of settings by clients.")
    ] = False,
    token: Token = None,
    certfile: Certificate = None,
    keyfile: Key = None,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Further host name of this server, as of a proxy."),
    ] = None,
    allow_origin: Annotated[
        list[str] | None,
        typer.Option(
            metavar="URL", help="Further origin whose pages may connect: https://hub.example"
        ),
    ] = None,
) -> None:
    """Serve live transcripts of a microphone.

    A page shows them at http://HOST:PORT/, and a WebSocket at /ws sends them. The microphone is
    open while a client is connected. With --host 0.0.0.0, other machines can connect with the token
    that is in the printed link.
    """
    if device and source:
        raise typer.BadParameter("give one of --device and --source, not both")
    if keyfile and not certfile:
        raise typer.BadParameter("--keyfile needs --certfile")
    settings = read_settings(config, model, language)
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
    server.listen(host, port)  # before the model loads, since the port may be in use
    with contextlib.closing(server.bound):
        start_worker(worker)
        for name in ("sttlab.server", "uvicorn.error"):
            logging.getLogger(name).setLevel(logging.INFO)
        # The link is printed and not logged, since logs are kept and the token must not be.
        say(f"serving at {with_token(server.url, token)}")
        with contextlib.suppress(KeyboardInterrupt):
            server.run()
    raise typer.Exit(INTERRUPTED)


def _source(source: Path | None, device: str | None, channel: int | None) -> AudioSource:
    from sttlab.capture import FileSource, Microphone
    from sttlab.capture.microphone import find_device, list_devices

    if source:
        file = FileSource(source, channel=channel)
        file.open()  # fails now if the file is broken, and not with the first client
        file.close()
        return file
    wanted = int(device) if device and device.isdecimal() else device
    find_device(wanted, list_devices())
    return Microphone(wanted, channel=channel)
