"""Run the server: in the background for a notebook, in the foreground for the command line."""

from __future__ import annotations

import asyncio
import atexit
import errno
import gc
import html
import ipaddress
import logging
import socket
import ssl
import sys
import threading
import weakref
from collections.abc import Callable, Iterable
from importlib import import_module
from pathlib import Path
from types import FrameType
from typing import Any

import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import CloseCode, Frame

from sttlab.errors import ConfigError, ServerError
from sttlab.live.session import Session
from sttlab.server.app import create_app
from sttlab.server.gate import check_hosts, choose_token, is_loopback
from sttlab.server.jupyter import Proxy, find_proxy, links_html
from sttlab.server.limits import MAX_MESSAGE_BYTES, Allowance

log = logging.getLogger(__name__)

START_S = 300.0  # the first start may convert a model or download it
STOP_S = 10.0
GRACE_S = 1  # for clients, after which their sockets are cut
PING_S = 20.0  # between pings, and for their answer: a client that vanished is let go after both
REQUEST_S = 10.0  # for who connects, or has got an answer, to ask for something
FRAMES_PER_S, FRAMES_AT_ONCE = 1000, 4000  # pings and parts of messages, from one client
LAST_PORT = 65535
MAX_CONNECTIONS = 500  # of any kind; more are answered with 503
# What means all of this machine's addresses, and one elsewhere of the same kind.
EVERYWHERE = {"0.0.0.0": "192.0.2.1", "": "192.0.2.1", "::": "2001:db8::1"}

# By what was asked for, since a cell may be run again; on any free port, by the session.
_handles: dict[tuple[str, int, Session | None], ServerHandle] = {}
_handles_lock = threading.Lock()


class ServerHandle:
    """A server that runs in the background. `launch_server` makes it.

    Attributes
    ----------
    url, ws_url : str
        Addresses of the page and of the WebSocket.
    link : str
        What a person opens: `url`, with the token if the server has one.
    token : str or None
        What clients from elsewhere must bring, as ``?token=`` or as a bearer's.
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
        """What it serves. A handle whose server has stopped keeps no session alive.

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
        """Whether it answers."""
        return self._thread.is_alive()

    def stop(self) -> None:
        """Close every client's socket and end the server. Blocks for a second or two."""
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
        One whose `start` was called is served as it is, and never stopped; another runs while any
        client of any of its servers is connected. Without one, the default microphone is heard.
    host : str
        ``0.0.0.0`` lets other machines in, who need the token in the handle's link.
    port : int
        0 takes a free one.
    locked : bool
        Whether clients may change no settings.
    token : str, optional
        What clients must bring. Without one: the environment variable STTLAB_TOKEN, else one is
        made if other machines can reach `host`.
    certfile, keyfile : path, optional
        Certificate and private key (PEM), for https and wss.
    allowed_hosts, allowed_origins : iterable of str
        Names and origins by which a proxy reaches the server.

    Raises
    ------
    ServerError
        If the port is taken or the address isn't this machine's, with the remedy.
    ConfigError
        If the token can be guessed, a host or an origin is none, or the certificate can't be used.
    ModelError
        If the model can't be had.
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
    if before:  # which goes on if anything above is wrong
        before.stop()
        gc.collect()  # its application holds itself, and a session that nobody else may hold
    server.listen(host, port)
    try:
        app.state.session.worker.start()
    except BaseException:  # an interrupt of the kernel too
        server.bound.close()
        raise
    handle = ServerHandle(app.state.session, server, token, proxy)
    with _handles_lock:
        _handles[key] = handle  # before it is up, so that the cell can be interrupted and run again
    handle._start(server)
    return handle


def own_name(host: str) -> list[str]:
    """Give the name that a server listens at, if it is none that `Gate` knows anyway."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return [host] if host else []
    return []


def with_token(url: str, token: str | None) -> str:
    """Put the token into an address, if there is one."""
    return f"{url}?token={token}" if token else url


def _check_certificate(certfile: str | Path | None, keyfile: str | Path | None) -> None:
    if not certfile:
        if keyfile:
            raise ConfigError(f"the key {keyfile} needs its certificate: give certfile as well")
        return
    key = keyfile or certfile
    encrypted = False

    def ask() -> str:  # else OpenSSL asks the terminal, where nobody may be
        nonlocal encrypted
        encrypted = True
        return ""

    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certfile, keyfile, ask)
    except OSError as error:  # a broken certificate is one too
        if encrypted:
            raise ConfigError(
                f"the key {key} is encrypted: decrypt it, with `openssl pkey -in {key} -out "
                "plain.pem`, and give that file, which nobody else may read"
            ) from error
        raise ConfigError(
            f"the certificate {certfile} with the key {key} can't be used: "
            f"{error.strerror or error}"
        ) from error


def bind(host: str, port: int) -> socket.socket:
    """Take a port, or say who may be there.

    Raises
    ------
    ServerError
        With the remedy.
    """
    if not 0 <= port <= LAST_PORT:
        raise ServerError(f"port must be between 0 and {LAST_PORT}, not {port}")
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
                f"port {port} is taken: stop the program or the server that has it, or take "
                "another port (0 takes any that is free)"
            ) from error
        raise ServerError(f"cannot listen at {host}:{port}: {error.strerror or error}") from error
    return bound


class Server(uvicorn.Server):
    """Listens before it answers; tells when it answers, and where.

    Parameters
    ----------
    app : FastAPI
        From `create_app`.
    certfile, keyfile
        See `launch_server`.

    Raises
    ------
    ConfigError
        If its certificate can't be used.
    """

    def __init__(
        self, app: FastAPI, certfile: str | Path | None, keyfile: str | Path | None
    ) -> None:
        _check_certificate(certfile, keyfile)
        config = uvicorn.Config(
            app,
            loop="asyncio",
            http=_Protocol,
            ws=_SocketProtocol,
            log_config=None,
            access_log=False,
            timeout_graceful_shutdown=GRACE_S,
            limit_concurrency=MAX_CONNECTIONS,
            ws_max_size=MAX_MESSAGE_BYTES,
            ws_per_message_deflate=False,  # messages are short
            ws_ping_interval=PING_S,
            ws_ping_timeout=PING_S,
            ssl_certfile=certfile,
            ssl_keyfile=keyfile,
        )
        config.load()
        super().__init__(config)
        self.up: threading.Event | None = None

    def listen(self, host: str, port: int) -> None:
        """Take the port. Raises ServerError, with the remedy, if it can't be had."""
        self.bound = bind(host, port)
        self.port = self.bound.getsockname()[1]
        self.url = f"{'https' if self.config.is_ssl else 'http'}://{_as_url(host)}:{self.port}/"

    def run(self, sockets: list[socket.socket] | None = None) -> None:
        """Answer until it is told to exit; on the main thread, Ctrl-C and SIGTERM tell it so."""
        try:
            super().run(sockets or [self.bound])
        finally:
            self.bound.close()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Tell that it answers."""
        await super().startup(sockets)
        if self.up and self.started:
            self.up.set()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """End in good order and soon, however often Ctrl-C is pressed."""
        if not self.should_exit:
            super().handle_exit(sig, frame)


class _Protocol(H11Protocol):
    """Hangs up on who connects, or has got an answer, and then asks for nothing whole."""

    _impatience: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._expect_request()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._expect_request()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._expect_request()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._be_patient()

    def _expect_request(self) -> None:
        answering = self.cycle is not None and not self.cycle.response_complete
        # On an upgrade, another protocol has taken over.
        if answering or self.transport.get_protocol() is not self:
            self._be_patient()
        elif self._impatience is None and not self.transport.is_closing():
            self._impatience = self.loop.call_later(REQUEST_S, self.transport.close)

    def _be_patient(self) -> None:
        if self._impatience:
            self._impatience.cancel()
            self._impatience = None


class _SocketProtocol(WebSocketsSansIOProtocol):
    """Ends the client that floods with what no application sees, or whose text is none."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._frames_allowed = Allowance(FRAMES_PER_S, FRAMES_AT_ONCE)

    def handle_ping(self) -> None:
        if self._allows_frame():
            super().handle_ping()

    def handle_pong(self, event: Frame) -> None:
        if self._allows_frame():
            super().handle_pong(event)

    def handle_cont(self, event: Frame) -> None:
        if self._allows_frame():
            super().handle_cont(event)

    def send_receive_event_to_app(self) -> None:
        """Take a whole message."""
        if self.curr_msg_data_type == "text":
            try:
                b"".join(self.frames).decode()
            except UnicodeDecodeError:  # for which uvicorn logs a traceback
                self._end(CloseCode.INVALID_DATA, "text must be UTF-8")
                return
        super().send_receive_event_to_app()

    def _allows_frame(self) -> bool:
        if self.transport.is_closing():
            return False
        if not self._frames_allowed.take():
            self._end(CloseCode.POLICY_VIOLATION, f"at most {FRAMES_PER_S} frames a second")
            return False
        return True

    def _end(self, code: int, reason: str) -> None:
        if not self.close_sent:
            self.conn.send_close(code, reason)
            self.handle_parser_exception()
        self.transport.close()
        self.loop.call_later(GRACE_S, self.transport.abort)  # which reads nothing, perhaps


def _as_url(host: str) -> str:
    """Give an address that can be opened, from other machines too if they can reach `host`."""
    elsewhere = EVERYWHERE.get(host)
    if elsewhere:
        host = _outward(elsewhere)
    return f"[{host}]" if ":" in host else host


def _outward(address: str) -> str:
    """Give this machine's own address on the way to another, to which nothing is sent."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((address, 9))
        except OSError:  # no network
            return "::1" if family == socket.AF_INET6 else "127.0.0.1"
        return str(probe.getsockname()[0])


def _stop_all() -> None:
    for handle in list(_handles.values()):
        handle.stop()


# Before the interpreter ends its pools of threads, on one of which a server stops its session: the
# last to register comes first, and `atexit` after all of these.
import_module("concurrent.futures.thread")
getattr(threading, "_register_atexit", atexit.register)(_stop_all)
