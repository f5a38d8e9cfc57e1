"""The uvicorn server that `/ws` and the page run on: its port, its certificate, its protocols."""

from __future__ import annotations

import asyncio
import errno
import socket
import ssl
import sys
import threading
from pathlib import Path
from types import FrameType
from typing import Any

import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import CloseCode, Frame

from sttlab.errors import ConfigError, ServerError
from sttlab.server import descriptors
from sttlab.server.drain import Drain
from sttlab.server.limits import MAX_MESSAGE_BYTES, Allowance

GRACE_S = 1  # for clients to close when the server stops; then their sockets are cut
PING_S = 20.0  # between pings, and for the answer: a vanished client is disconnected after both
REQUEST_S = 10.0  # for a client to send a whole request, after it connected or got an answer
REFUSED_S = 1.0  # the same for a client for whom there is no place
FRAMES_PER_S, FRAMES_AT_ONCE = 1000, 4000  # rate limit on a client's pings and fragments
LAST_PORT = 65535
MAX_CONNECTIONS = 500  # of any kind
BACKLOG = 100  # connections that the system keeps until they are accepted
# Hosts that mean all of this machine's addresses; each with a remote address of its family.
EVERYWHERE = {"0.0.0.0": "192.0.2.1", "": "192.0.2.1", "::": "2001:db8::1"}  # RFC 5737, RFC 3849


class Server(uvicorn.Server):
    """Listens before it answers, so that its URL is known; sets an event once it answers.

    Parameters
    ----------
    app : FastAPI
        From `create_app`.
    certfile, keyfile
        See `launch_server`.

    Raises
    ------
    ConfigError
        If the certificate can't be used.

    Attributes
    ----------
    bound : socket
    port : int
    url : str
        These exist from `listen` on.
    up : threading.Event, optional
        Set once the server answers.
    """

    def __init__(
        self, app: FastAPI, certfile: str | Path | None, keyfile: str | Path | None
    ) -> None:
        _check_certificate(certfile, keyfile)
        config = uvicorn.Config(
            app,
            loop="asyncio",
            http=_HttpProtocol,
            ws=_WebSocketProtocol,
            log_config=None,
            access_log=False,
            timeout_graceful_shutdown=GRACE_S,
            backlog=BACKLOG,
            ws_max_size=MAX_MESSAGE_BYTES,
            ws_per_message_deflate=False,  # messages are short
            ws_ping_interval=PING_S,
            ws_ping_timeout=PING_S,
            ssl_certfile=certfile,
            ssl_keyfile=keyfile,
        )
        config.load()
        super().__init__(config)
        self._drain: Drain = app.state.drain
        self.up: threading.Event | None = None

    def listen(self, host: str, port: int) -> None:
        """Take the port. Raises ServerError, with the remedy, if it can't be taken."""
        self.bound = bind(host, port)
        self.port = self.bound.getsockname()[1]
        self.url = f"{'https' if self.config.is_ssl else 'http'}://{_as_url(host)}:{self.port}/"

    def run(self, sockets: list[socket.socket] | None = None) -> None:
        """Block until `should_exit` is set; on the main thread, Ctrl-C and SIGTERM set it."""
        try:
            super().run(sockets or [self.bound])
        finally:
            self.bound.close()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Set `up`."""
        await super().startup(sockets)
        if self.up and self.started:
            self.up.set()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Have what was said transcribed and sent before sockets are closed."""
        await self._drain.run()
        await super().shutdown(sockets)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Shut down gracefully, even if Ctrl-C is pressed twice: uvicorn would then cut it off."""
        if not self.should_exit:
            super().handle_exit(sig, frame)


class _HttpProtocol(H11Protocol):
    """HTTP that disconnects a client which does not send a whole request within REQUEST_S.

    Where there are too many connections, or hardly a file descriptor is left, it answers 503.
    """

    _timeout: asyncio.TimerHandle | None = None
    _why_not: str | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > MAX_CONNECTIONS:
            self._why_not = f"{MAX_CONNECTIONS} connections are open already"
        elif descriptors.are_scarce(transport.get_extra_info("socket").fileno()):
            self._why_not = "as many connections are open as the system allows this server"
            descriptors.log_lack("a connection was refused")
        self._expect_request()

    def data_received(self, data: bytes) -> None:
        if self._why_not:
            self._refuse(self._why_not)
            return
        super().data_received(data)
        self._expect_request()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._expect_request()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._cancel_timeout()

    def _refuse(self, why: str) -> None:
        body = f"{why}: try again later\n".encode()
        head = f"HTTP/1.1 503 Service Unavailable\r\nContent-Length: {len(body)}\r\n"
        head += "Content-Type: text/plain\r\nRetry-After: 10\r\nConnection: close\r\n\r\n"
        self.transport.write(head.encode() + body)
        self.transport.close()

    def _expect_request(self) -> None:
        answering = self.cycle is not None and not self.cycle.response_complete
        # After an upgrade to WebSocket, another protocol owns the transport.
        if answering or self.transport.get_protocol() is not self:
            self._cancel_timeout()
        elif self._timeout is None and not self.transport.is_closing():
            patience_s = REFUSED_S if self._why_not else REQUEST_S
            self._timeout = self.loop.call_later(patience_s, self.transport.close)

    def _cancel_timeout(self) -> None:
        if self._timeout:
            self._timeout.cancel()
            self._timeout = None


class _WebSocketProtocol(WebSocketsSansIOProtocol):
    """WebSocket with a rate limit on the frames that the application never sees.

    Those are pings, pongs and fragments of messages. A text message that is not UTF-8 closes the
    socket.
    """

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
        """Pass on a whole message."""
        if self.curr_msg_data_type == "text":
            try:
                b"".join(self.frames).decode()
            except UnicodeDecodeError:  # uvicorn would log a traceback
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
        self.loop.call_later(GRACE_S, self.transport.abort)  # the client may read nothing


def _as_url(host: str) -> str:
    """Return the host of a URL that works on this machine and on those that can reach it."""
    elsewhere = EVERYWHERE.get(host)
    if elsewhere:
        host = _outward(elsewhere)
    return f"[{host}]" if ":" in host else host


def _outward(address: str) -> str:
    """Return this machine's own address on the route to another. Sends nothing."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((address, 9))
        except OSError:  # no network
            return "::1" if family == socket.AF_INET6 else "127.0.0.1"
        return str(probe.getsockname()[0])


def _check_certificate(certfile: str | Path | None, keyfile: str | Path | None) -> None:
    if not certfile:
        if keyfile:
            raise ConfigError(f"the key {keyfile} needs its certificate: give certfile as well")
        return
    key = keyfile or certfile
    encrypted = False

    def ask() -> str:  # without this, OpenSSL asks at the terminal
        nonlocal encrypted
        encrypted = True
        return ""

    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certfile, keyfile, ask)
    except OSError as error:  # ssl.SSLError, for a broken certificate, is an OSError
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
    """Take a port.

    Raises
    ------
    ServerError
        If the port can't be taken, with the remedy.
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
        bound.listen(BACKLOG)
    except OSError as error:
        bound.close()
        if error.errno == errno.EADDRINUSE:
            raise ServerError(
                f"port {port} is taken: stop the program or the server that has it, or take "
                "another port (0 takes any that is free)"
            ) from None
        raise ServerError(f"cannot listen at {host}:{port}: {error.strerror or error}") from error
    return bound
