"""One session, many clients: the first starts capture, the last one ends it."""

from __future__ import annotations

import asyncio
import contextlib
import logging

from fastapi import WebSocket, WebSocketDisconnect

from sttlab.errors import SttlabError
from sttlab.events import Event, Level
from sttlab.server import protocol
from sttlab.session import Session

log = logging.getLogger(__name__)

WAITING_MESSAGES = 200  # for one client; the one that has more unread is let go
LEVELS_EVERY = 3  # of 50 frames a second
MAX_CLIENTS = 100
MAX_REASON_BYTES = 123  # of a close frame
GOING_AWAY, INTERNAL_ERROR, TRY_AGAIN_LATER = 1001, 1011, 1013


class _Client:
    def __init__(self, wants_all: bool) -> None:
        self.wants_all = wants_all
        self.messages: asyncio.Queue[str] = asyncio.Queue(WAITING_MESSAGES)
        self.too_slow = asyncio.Event()

    def put(self, message: str, droppable: bool) -> None:
        if droppable and self.messages.qsize() > WAITING_MESSAGES // 2:
            return
        try:
            self.messages.put_nowait(message)
        except asyncio.QueueFull:
            self.too_slow.set()


class Hub:
    """Belongs to the event loop's thread, but for `_on_event`.

    Parameters
    ----------
    session : Session
        Started for the first client and stopped after the last, unless it runs already.
    """

    def __init__(self, session: Session) -> None:
        self.session = session
        self.clients: set[_Client] = set()
        self._lock = asyncio.Lock()
        self._started = False
        self._partials_before: bool | None = None  # while there are clients that want them
        self._levels = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._unsubscribe = session.subscribe(self._on_event)

    async def serve(self, socket: WebSocket, wants_all: bool) -> None:
        """Serve one client until it leaves, is too slow, or capture fails."""
        self._loop = asyncio.get_running_loop()
        await socket.accept()
        if len(self.clients) >= MAX_CLIENTS:
            await socket.close(TRY_AGAIN_LATER, f"{MAX_CLIENTS} clients are connected already")
            return
        client = _Client(wants_all)
        self.clients.add(client)
        try:
            await self._start()
            if wants_all:
                client.put(self._hello(), droppable=False)
            await self._talk(socket, client)
        except SttlabError as error:
            log.warning("capture did not start: %s", error)
            with contextlib.suppress(RuntimeError, WebSocketDisconnect):
                await socket.close(INTERNAL_ERROR, _reason(str(error)))
        finally:
            self.clients.discard(client)
            await asyncio.shield(self._stop())

    def _hello(self) -> str:
        session = self.session
        model = session.worker.transcriber.name
        return protocol.hello(session.config, model, session.source.name, session.partials)

    async def _talk(self, socket: WebSocket, client: _Client) -> None:
        """Read (to notice that the client leaves), write, and watch for a client that lags."""
        tasks = [
            asyncio.create_task(work)
            for work in (_read(socket), _write(socket, client), client.too_slow.wait())
        ]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        if client.too_slow.is_set():
            log.warning("a client that did not keep up was let go")
            with contextlib.suppress(RuntimeError, WebSocketDisconnect, TimeoutError):
                await asyncio.wait_for(socket.close(TRY_AGAIN_LATER, "too slow"), 1.0)

    async def _start(self) -> None:
        async with self._lock:
            self._set_partials()
            if not self.session.running:
                await asyncio.to_thread(self.session.start)
                self._started = True
                log.info("capture started: %s", self.session.source.name)

    async def _stop(self) -> None:
        async with self._lock:
            self._set_partials()
            if self.clients or not self._started:
                return
            self._started = False
            await asyncio.to_thread(self.session.stop)
            log.info("capture stopped: nobody is connected")

    def _set_partials(self) -> None:
        wanted = any(client.wants_all for client in self.clients)
        if wanted and self._partials_before is None:
            self._partials_before, self.session.partials = self.session.partials, True
        elif not wanted and self._partials_before is not None:
            self.session.partials, self._partials_before = self._partials_before, None

    async def close(self) -> None:
        """Stop what was started here."""
        self._unsubscribe()
        self.clients.clear()
        await self._stop()

    def _on_event(self, event: Event) -> None:
        """Run on the session's threads: hand over to the loop, and no more."""
        loop = self._loop
        if loop is None or not self.clients:
            return
        if isinstance(event, Level):
            self._levels += 1
            if self._levels % LEVELS_EVERY:
                return
        with contextlib.suppress(RuntimeError):  # the loop has ended
            loop.call_soon_threadsafe(self._publish, event)

    def _publish(self, event: Event) -> None:
        plain = protocol.plain(event)
        full = protocol.full(event) if any(c.wants_all for c in self.clients) else None
        for client in self.clients:
            message = full if client.wants_all else plain
            if message is not None:
                client.put(message, droppable=isinstance(event, Level))


async def _read(socket: WebSocket) -> None:
    """Ignore what a client sends, until it leaves."""
    with contextlib.suppress(RuntimeError):
        while (await socket.receive())["type"] != "websocket.disconnect":
            pass


async def _write(socket: WebSocket, client: _Client) -> None:
    with contextlib.suppress(RuntimeError, WebSocketDisconnect):
        while True:
            await socket.send_text(await client.messages.get())


def _reason(text: str) -> str:
    return text.encode()[:MAX_REASON_BYTES].decode(errors="ignore")
