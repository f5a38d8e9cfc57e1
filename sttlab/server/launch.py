"""Launch the server from a notebook: it runs in the background, and a handle stops it."""

from __future__ import annotations

import atexit
import gc
import html
import logging
import threading
import weakref
from collections.abc import Callable, Iterable
from importlib import import_module
from pathlib import Path

from sttlab.errors import ServerError
from sttlab.live.session import Session
from sttlab.server.app import create_app
from sttlab.server.gate import check_hosts, choose_token, is_loopback, own_name
from sttlab.server.jupyter import Proxy, find_proxy, links_html
from sttlab.server.uvicorn_server import EVERYWHERE, Server

log = logging.getLogger(__name__)

START_S = 300.0  # the first start may convert a model or download it
STOP_S = 15.0  # longer than a server drains

# Running servers, to be replaced when their cell runs again. The key is what was asked for: host,
# port, and the session if the port was 0.
_handles: dict[tuple[str, int, Session | None], ServerHandle] = {}
_handles_lock = threading.Lock()


class ServerHandle:
    """A server that runs in the background. `launch_server` makes it.

    Attributes
    ----------
    url, ws_url : str
        Addresses of the page and of `/ws`.
    link : str
        What a person opens: `url`, with the token if the server has one.
    token : str or None
        What clients on other machines must send, as ``?token=`` or as a bearer token.
    proxy : Proxy or None
        The way through the Jupyter that runs this kernel, if it has jupyter-server-proxy.
    """

    def __init__(
        self, session: Session, server: Server, token: str | None, proxy: Proxy | None
    ) -> None:
        self._session: Callable[[], Session | None] = lambda: session
        self.token = token
        self.proxy = proxy
        self.url = server.url
        self.link = with_token(self.url, token)
        self.ws_url = self.url.replace("http", "ws", 1) + "ws"
        self._server: Server | None = server
        self._error: BaseException | None = None
        self._up = server.up = threading.Event()
        self._thread = threading.Thread(
            target=self._run, args=(server,), name=f"sttlab-server-{server.port}", daemon=True
        )

    @property
    def session(self) -> Session:
        """The session that is served. The handle of a stopped server does not keep it alive.

        Raises
        ------
        ServerError
            If the session is gone.
        """
        session = self._session()
        if session is None:
            raise ServerError(f"the server at {self.url} has stopped, and its session is gone")
        return session

    def _start(self, server: Server) -> None:
        self._thread.start()
        if not self._up.wait(START_S):
            self.stop()
            raise ServerError(f"the server did not come up within {START_S:.0f} s")
        if not server.started:
            self._thread.join(STOP_S)
            raise ServerError(f"the server did not start: {self._error or 'see the log'}")

    def _run(self, server: Server) -> None:
        try:
            server.run()
        except (Exception, SystemExit) as error:  # noqa: BLE001 - raised again in the caller
            self._error = error
        finally:
            self._up.set()

    @property
    def running(self) -> bool:
        """Whether the server's thread runs."""
        return self._thread.is_alive()

    def stop(self) -> None:
        """End the server. Blocks while what was said is transcribed, for 15 seconds at most."""
        if (server := self._server) is None:
            return
        server.should_exit = True
        self._thread.join(STOP_S)
        if self._thread.is_alive():
            log.warning("the server at %s did not stop within %.0f s", self.url, STOP_S)
        else:
            self._session, self._server = weakref.ref(self.session), None
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
        if not self.running:
            return f"<p>The server at {html.escape(self.url)} has stopped.</p>"
        ws = html.escape(with_token(self.ws_url, self.token))
        links = links_html(self.link, self.proxy)
        return f"<p>Live transcripts: {links}<br>WebSocket: <code>{ws}</code></p>"


def launch_server(
    session: Session | None = None,
    host: str = "127.0.0.1",
    port: int = 8000,
    *,
    locked: bool = False,
    token: str | None = None,
    certfile: str | Path | None = None,
    keyfile: str | Path | None = None,
    allowed_hosts: Iterable[str] = (),
    allowed_origins: Iterable[str] = (),
) -> ServerHandle:
    """Start the server in the background, and return when it answers.

    The same call again replaces the server it started before: at the same port or, where that is 0,
    of the same session. The token stays. Where Jupyter has jupyter-server-proxy, the handle shows a
    link through it, for browsers on other machines than the kernel's.

    Parameters
    ----------
    session : Session, optional
        A session whose `start` was called is never stopped by the server. Any other captures while
        a client of any of its servers is connected. By default, a session of the default
        microphone.
    host : str
        ``0.0.0.0`` lets other machines in; they need the token in the handle's link.
    port : int
        0 takes a free port.
    locked : bool
        Whether clients may change no settings.
    token : str, optional
        What clients must send. By default the value of the environment variable STTLAB_TOKEN; if
        that is not set, a new token if other machines can reach `host`.
    certfile, keyfile : path, optional
        Certificate and private key (PEM), for https and wss.
    allowed_hosts, allowed_origins : iterable of str
        Names and origins by which a proxy reaches the server.

    Raises
    ------
    ServerError
        If the port is taken or the address isn't this machine's, with the remedy.
    ConfigError
        If the token is too short, a host or an origin is not valid, or the certificate can't be
        used.
    ModelError
        If the model can't be loaded.
    """
    key = host, port, None if port else session
    with _handles_lock:
        before = _handles.get(key)
    token = choose_token(host, token or (before.token if before else None))
    proxy = None
    if not certfile and (is_loopback(host) or host in EVERYWHERE):
        proxy = find_proxy(token or (before.proxy.token if before and before.proxy else None))
    app = create_app(
        session,
        locked=locked,
        token=token or (proxy.token if proxy else None),
        open_here=token is None,
        allowed_hosts=[*check_hosts(allowed_hosts), *own_name(host)],
        allowed_origins=allowed_origins,
    )
    server = Server(app, certfile, keyfile)
    if before:  # stopped only now: it goes on if anything above raises
        before.stop()
        gc.collect()  # the old application is a reference cycle, which keeps its session alive
    server.listen(host, port)
    try:
        app.state.session.worker.start()
    except BaseException:  # an interrupt of the kernel too
        server.bound.close()
        raise
    handle = ServerHandle(app.state.session, server, token, proxy)
    with _handles_lock:
        _handles[key] = handle  # before it is up: an interrupted cell can be run again
    handle._start(server)
    return handle


def with_token(url: str, token: str | None) -> str:
    """Append the token, if any, to an address."""
    return f"{url}?token={token}" if token else url


def _stop_all() -> None:
    for handle in list(_handles.values()):
        handle.stop()


# A server stops its session on a thread of a pool, so servers stop before the interpreter shuts
# down its pools. What registers last runs first, hence the import; `atexit` runs after all of it.
import_module("concurrent.futures.thread")
getattr(threading, "_register_atexit", atexit.register)(_stop_all)
