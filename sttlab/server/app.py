"""The FastAPI application: the routes of routes.py, and the page at `/`."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Iterable, MutableMapping
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError, WebSocketRequestValidationError
from fastapi.responses import JSONResponse
from fastapi.staticfiles import StaticFiles

from sttlab.capture import Microphone
from sttlab.config import Config, TranscribeConfig
from sttlab.errors import ConfigError, SttlabError
from sttlab.live.session import Session
from sttlab.live.worker import AsrWorker
from sttlab.server import descriptors
from sttlab.server.drain import Drain, drain_on_signals
from sttlab.server.engine import SharedEngine
from sttlab.server.files import STOPPED, Files
from sttlab.server.gate import (
    TOKEN_VARIABLE,
    App,
    Gate,
    Receive,
    Scope,
    Send,
    check_hosts,
    check_origins,
    choose_token,
)
from sttlab.server.hub import Hub
from sttlab.server.memory import keep_giving_back
from sttlab.server.metrics import Metrics
from sttlab.server.microphones import Microphones
from sttlab.server.routes import refuse_query, refuse_request, router
from sttlab.shipped import shipped

log = logging.getLogger("uvicorn.error")  # shown by a plain `uvicorn sttlab.server:app`

CONFIG_VARIABLE = "STTLAB_CONFIG"


def create_app(
    session: Session | None = None,
    *,
    locked: bool = False,
    token: str | None = None,
    open_here: bool = False,
    allowed_hosts: Iterable[str] = (),
    allowed_origins: Iterable[str] = (),
) -> FastAPI:
    """Make the application that serves a session.

    The application loads the model when it starts. The first client of `/ws` starts the session,
    and the last client stops it, unless someone called its `start`. Several servers of one session
    share it: it stops with the last client of all.

    Parameters
    ----------
    session : Session, optional
        By default a session of the default microphone, with the settings file that the
        environment variable STTLAB_CONFIG names, if it is set.
    locked : bool
        Whether the server refuses changes of settings by clients.
    token : str, optional
        See `Gate`. Without a session, the default is the environment variable STTLAB_TOKEN.
    open_here, allowed_hosts, allowed_origins : bool, iterable of str, iterable of str
        See `Gate`.

    Raises
    ------
    ConfigError
        If the session is not a Session, or a setting, the token, a host or an origin is not valid.
    """
    if not isinstance(session, Session | None):
        raise ConfigError(
            f"session must be a Session, such as Session(Microphone()), not {session!r}"
        )
    hosts, origins = check_hosts(allowed_hosts), check_origins(allowed_origins)
    on_its_own = session is None
    if session is None:
        path = os.environ.get(CONFIG_VARIABLE)
        config = Config.load(path) if path else Config(transcribe=TranscribeConfig(words=True))
        token = choose_token("localhost", token)
        session = Session(Microphone(), vad=config.vad, model=config.transcribe)
    engine = SharedEngine(session.worker)
    metrics = Metrics()
    hub = Hub(session, engine, metrics, locked=locked)
    microphones = Microphones(hub)
    files = Files(hub)
    drain = Drain(hub, microphones, files)
    _add_gauges(metrics, hub, microphones, session.worker)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        lease = session.lease()
        try:
            await asyncio.to_thread(lease.engine)
        except SttlabError as error:
            app.state.failure = str(error)
            await asyncio.to_thread(lease.close)
            raise
        _log_start(only_here=on_its_own and token is None)
        giving_back = asyncio.create_task(keep_giving_back())
        with drain_on_signals(drain), descriptors.managed():
            yield
        giving_back.cancel()
        await drain.run()
        await asyncio.gather(hub.close(), microphones.close(), files.close())
        await asyncio.to_thread(lease.close)

    app = FastAPI(title="sttlab", lifespan=lifespan, docs_url=None, redoc_url=None)
    app.state.session = session
    app.state.hub = hub
    app.state.microphones = microphones
    app.state.files = files
    app.state.drain = drain
    app.state.metrics = metrics
    app.state.failure = None

    _add_routes(app)
    app.add_middleware(_HeadAsGet)  # inside the gate, which hides the token from uvicorn's log
    app.add_middleware(Gate, hosts=hosts, origins=origins, token=token, open_here=open_here)
    app.add_middleware(_PlainFailure)
    return app


def _add_gauges(metrics: Metrics, hub: Hub, microphones: Microphones, worker: AsrWorker) -> None:
    metrics.add_gauges(
        clients=("Clients of the shared session", lambda: len(hub.feed.connections)),
        microphones=("Clients that send their own audio", lambda: len(microphones.open)),
        engine_queue=("Jobs that wait for the engine", lambda: worker.waiting),
        ready=("1 if the server is ready, 0 if it is degraded", lambda: not hub.ailment()),
    )


def _add_routes(app: FastAPI) -> None:
    app.include_router(router)
    app.add_exception_handler(WebSocketRequestValidationError, refuse_query)
    app.add_exception_handler(RequestValidationError, refuse_request)
    page = StaticFiles(directory=shipped("frontend"), html=True)
    for path in ("/", "/{path:path}.{suffix}"):  # a path without a suffix is not a file of the page
        app.add_route(path, page, methods=["GET"])  # type: ignore[arg-type]


def _log_start(only_here: bool) -> None:
    if only_here:
        log.info("Only this machine is answered; %s lets others in", TOKEN_VARIABLE)
    log.info("🎙️ Audio worker started")
    log.info("🚀 Backend fully started")


class _HeadAsGet:
    """Middleware that answers HEAD like GET; uvicorn leaves out the body."""

    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] == "HEAD":
            scope = {**scope, "method": "GET"}  # a copy: uvicorn reads its own
        await self._app(scope, receive, send)


class _PlainFailure:
    """Middleware that replaces a traceback by a message.

    That is for a start that fails for a known reason, and for a request that is cut off when the
    server stops.
    """

    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        begun = False

        async def sending(message: MutableMapping[str, Any]) -> None:
            nonlocal begun
            begun = True
            if message["type"] == "lifespan.startup.failed" and scope["app"].state.failure:
                message["message"] = scope["app"].state.failure
            await send(message)

        try:
            await self._app(scope, receive, sending)
        except asyncio.CancelledError:
            if scope["type"] != "http":
                raise
            if not begun:
                await JSONResponse({"detail": STOPPED}, 503)(scope, receive, send)
