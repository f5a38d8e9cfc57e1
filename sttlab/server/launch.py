"""Run the server: in the background for a notebook, in the foreground for the command line."""

from __future__ import annotations

import atexit
import errno
import html
import logging
import socket
import sys
import threading
from collections.abc import Iterable
from typing import Any

import uvicorn

from sttlab.errors import ServerError, SttlabError
from sttlab.server.app import create_app
from sttlab.session import Session

log = logging.getLogger(__name__)

START_S = 300.0  # the first start may convert a model or download it
STOP_S = 10.0
GRACE_S = 1  # for clients, after which their sockets are cut

# By what was asked for, since a cell may be run again; on any free port, by the session.
_handles: dict[tuple[str, int, Session | None], ServerHandle] = {}
_handles_lock = threading.Lock()


class ServerHandle:
    """A server that runs in the background. `launch_server` makes it.

    Attributes
    ----------
    url, ws_url : str
        Addresses of the page and of the WebSocket.
    session : Session
    """

    def __init__(self, session: Session, server: uvicorn.Server, bound: socket.socket) -> None:
        self.session = session
        host, port = bound.getsockname()[:2]
        self.url = f"http://{_as_url(host)}:{port}/"
        self.ws_url = f"ws://{_as_url(host)}:{port}/ws"
        self._server = server
        self._socket = bound
        self._error: BaseException | None = None
        self._up = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"sttlab-server-{port}", daemon=True)

    def _start(self) -> None:
        self._thread.start()
        if not self._up.wait(START_S):
            self.stop()
            raise ServerError(f"the server did not come up within {START_S:.0f} s")
        if not self._server.started:
            self._thread.join(STOP_S)
            raise ServerError(f"the server did not start: {self._error or 'see the log'}")

    def _run(self) -> None:
        try:
            self._server.run(sockets=[self._socket])
        except (Exception, SystemExit) as error:  # noqa: BLE001 - raised again in the caller
            self._error = error
        finally:
            self._up.set()
            self._socket.close()

    @property
    def running(self) -> bool:
        """Whether it answers."""
        return self._thread.is_alive()

    def stop(self) -> None:
        """Close every client's socket and end the server. Blocks for a second or two."""
        self._server.should_exit = True
        self._thread.join(STOP_S)
        if self._thread.is_alive():
            log.warning("the server at %s did not stop within %.0f s", self.url, STOP_S)
        with _handles_lock:
            for key in [key for key, handle in _handles.items() if handle is self]:
                del _handles[key]

    def __enter__(self) -> ServerHandle:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def __repr__(self) -> str:
        return f"<ServerHandle {self.url} {'running' if self.running else 'stopped'}>"

    def _repr_html_(self) -> str:
        url = html.escape(self.url)
        if not self.running:
            return f"<p>The server at {url} has stopped.</p>"
        return (
            f'<p>Live transcripts: <a href="{url}" target="_blank" rel="noopener">{url}</a><br>'
            f"WebSocket: <code>{html.escape(self.ws_url)}</code></p>"
        )


def launch_server(
    session: Session | None = None,
    host: str = "127.0.0.1",
    port: int = 8000,
    *,
    locked: bool = False,
    allowed_hosts: Iterable[str] = (),
    allowed_origins: Iterable[str] = (),
) -> ServerHandle:
    """Start the server in the background, and return when it answers.

    The same call again replaces the server it started before: at the same port or, where that is 0,
    of the same session.

    Parameters
    ----------
    session : Session, optional
        One that runs already is served as it is, and never stopped. Without one, the default
        microphone is heard while anyone is connected.
    host : str
    port : int
        0 takes a free one.
    locked : bool
        Whether clients may change no settings.
    allowed_hosts, allowed_origins : iterable of str
        Names and origins by which a proxy reaches the server.

    Raises
    ------
    ServerError
        If the port is taken or the address isn't this machine's, with the remedy.
    ModelError
        If the model can't be had.
    """
    key = host, port, None if port else session
    with _handles_lock:
        before = _handles.get(key)
    if before:
        before.stop()
    app = create_app(
        session, locked=locked, allowed_hosts=allowed_hosts, allowed_origins=allowed_origins
    )
    bound = bind(host, port)
    try:
        app.state.session.worker.start()
    except SttlabError:
        bound.close()
        raise
    server = _Server(_config(app))
    handle = ServerHandle(app.state.session, server, bound)
    server.up = handle._up
    handle._start()
    with _handles_lock:
        _handles[key] = handle
    return handle


def serve(session: Session, host: str = "127.0.0.1", port: int = 8000) -> None:
    """Run the server until Ctrl-C or SIGTERM. Belongs on the main thread; blocks.

    Raises
    ------
    ServerError
        If the port is taken or the address isn't this machine's.
    """
    app = create_app(session)
    bound = bind(host, port)
    log.info("serving at http://%s:%d/", _as_url(host), bound.getsockname()[1])
    try:
        _Server(_config(app)).run(sockets=[bound])
    except KeyboardInterrupt:
        pass
    finally:
        bound.close()


def bind(host: str, port: int) -> socket.socket:
    """Take a port, or say who may be there.

    Raises
    ------
    ServerError
        With the remedy.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    try:
        if sys.platform == "win32":
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
        else:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((host, port))
        bound.listen(100)
    except OSError as error:
        bound.close()
        if error.errno == errno.EADDRINUSE:
            raise ServerError(
                f"port {port} is taken by another program: stop it, or take another port (0 takes "
                "any that is free)"
            ) from error
        raise ServerError(f"cannot listen at {host}:{port}: {error.strerror or error}") from error
    return bound


class _Server(uvicorn.Server):
    """Tells when it answers, and stops for good at once after its grace."""

    up: threading.Event | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.up and self.started:
            self.up.set()


def _config(app: Any) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        loop="asyncio",
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=GRACE_S,
        ws_max_size=65536,
    )


def _as_url(host: str) -> str:
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"[{host}]" if ":" in host else host


@atexit.register
def _stop_all() -> None:
    for handle in list(_handles.values()):
        handle.stop()
