"""One session, many clients: the first starts capture, the last one ends it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
from collections import deque
from dataclasses import fields, replace
from typing import Any

from fastapi import WebSocket, WebSocketDisconnect

from sttlab.audio import FLOOR_DBFS
from sttlab.capture import Microphone
from sttlab.capture.microphone import find_device, list_devices
from sttlab.config import VadConfig
from sttlab.errors import ConfigError, SttlabError
from sttlab.events import (
    DeviceLost,
    DeviceRestored,
    DeviceSilent,
    Event,
    Level,
    Partial,
    SessionFailed,
    SourceEnded,
    Transcript,
)
from sttlab.live.session import Session
from sttlab.server import protocol
from sttlab.server.engine import CHOICES, SharedEngine
from sttlab.server.limits import MAX_MESSAGE_BYTES, Allowance
from sttlab.server.metrics import Metrics
from sttlab.server.protocol import End, Hello, Set, State, Using

log = logging.getLogger(__name__)

WAITING_MESSAGES = 200  # for one client; the one that has more unread is let go
MISSED_MESSAGES = 1000  # transcripts kept for clients that come back
LEVELS_EVERY = 3  # of 50 frames a second
MAX_CLIENTS = 400
MAX_REASON_BYTES = 123  # of a close frame
MESSAGES_PER_S, MESSAGES_AT_ONCE = 50, 200  # that a client may send
CLOSE_S = 1.0  # for what was said before the server stops to be transcribed
CHECK_S = 1.0  # between looks at what nobody reports
RETRY_CHECKS = 3  # between attempts to start capture
_ANY = VadConfig()
NORMAL, POLICY_VIOLATION, MESSAGE_TOO_BIG = 1000, 1008, 1009
INTERNAL_ERROR, TRY_AGAIN_LATER = 1011, 1013


class Client:
    """One socket, and what waits to be sent on it."""

    def __init__(self, wants_all: bool) -> None:
        self.wants_all = wants_all
        self.greeted = False
        self.messages: asyncio.Queue[str | None] = asyncio.Queue(WAITING_MESSAGES)
        self.allowance = Allowance(MESSAGES_PER_S, MESSAGES_AT_ONCE)
        self.goodbye: tuple[int, str] | None = None
        self.dismissed = asyncio.Event()

    def put(self, message: str, droppable: bool = False) -> None:
        """Have a message sent; one that can be missed only while few wait."""
        if droppable and self.messages.qsize() > WAITING_MESSAGES // 2:
            return
        try:
            self.messages.put_nowait(message)
        except asyncio.QueueFull:
            self.dismiss(TRY_AGAIN_LATER, "too slow")

    def begin(self, hello: str, missed: list[str]) -> None:
        """Put these before what has come since it was accepted."""
        self.greeted = True
        since = [self.messages.get_nowait() for _ in range(self.messages.qsize())]
        first = [hello, *missed, *(message for message in since if message not in missed)]
        self.messages = asyncio.Queue(WAITING_MESSAGES + len(first))  # not held against it
        for message in first:
            self.messages.put_nowait(message)

    def finish(self) -> None:
        """Let it go once it has been told what waits."""
        try:
            self.messages.put_nowait(None)
        except asyncio.QueueFull:
            self.dismiss(TRY_AGAIN_LATER, "too slow")
        else:
            self.goodbye = self.goodbye or (NORMAL, "")

    def dismiss(self, code: int, reason: str) -> None:
        """Let it go at once."""
        self.goodbye = self.goodbye or (code, reason)
        self.dismissed.set()


class Hub:
    """Belongs to the event loop's thread, but for `_on_event`.

    Parameters
    ----------
    session : Session
        Held while there are clients; other hubs may hold it too.
    engine : SharedEngine
        Of the session.
    metrics : Metrics
    locked : bool
        Whether clients may change nothing.
    """

    def __init__(
        self, session: Session, engine: SharedEngine, metrics: Metrics, *, locked: bool = False
    ) -> None:
        self.session = session
        self.engine = engine
        self.metrics = metrics
        self.locked = locked
        self.clients: set[Client] = set()
        self.problem: str | None = None
        self._id = secrets.token_hex(4)
        self._lock = asyncio.Lock()  # held while capture starts or stops
        self._lease = session.lease()
        self._partials = True  # for clients that want all
        self._silent = False
        self._stopping: set[asyncio.Task[None]] = set()
        self._stream = 0
        self._missed: deque[tuple[int, str]] = deque(maxlen=MISSED_MESSAGES)
        self._told: State | None = None
        self._levels = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._watch: asyncio.Task[None] | None = None
        self._unsubscribe = session.subscribe(self._on_event)

    # -- one client ---------------------------------------------------------------------------

    async def serve(
        self, socket: WebSocket, wants_all: bool, stream: str = "", after: int | None = None
    ) -> None:
        """Serve one client until it leaves, is dismissed, or capture doesn't start.

        Parameters
        ----------
        socket : WebSocket
            Not yet accepted.
        wants_all : bool
        stream : str
            The stream that the client heard before.
        after : int, optional
            The last transcript that it has of it; what it missed is sent again.
        """
        self._loop = asyncio.get_running_loop()
        self._watch = self._watch or asyncio.create_task(self._check())
        await socket.accept()
        if len(self.clients) >= MAX_CLIENTS:
            self.metrics.count_parting(TRY_AGAIN_LATER)
            await part(socket, TRY_AGAIN_LATER, f"{MAX_CLIENTS} clients are connected already")
            return
        client = Client(wants_all)
        self.clients.add(client)
        try:
            if await self._start() or wants_all:
                self._greet(client, stream, after)
                await self._talk(socket, client)
            else:
                self.metrics.count_parting(INTERNAL_ERROR)
                await part(socket, INTERNAL_ERROR, self.problem or "capture did not start")
        finally:
            self.clients.discard(client)
            # Not awaited: a server that stops waits for this socket, but not for the engine.
            stopping = asyncio.create_task(self._stop())
            self._stopping.add(stopping)
            stopping.add_done_callback(self._stopping.discard)

    def _greet(self, client: Client, stream: str, after: int | None) -> None:
        if not client.wants_all:
            return
        state = self.state()
        told = {f.name: getattr(state, f.name) for f in fields(State)}
        hello = Hello(**told, locked=self.locked, settings=protocol.settings())
        missed: list[str] = []
        if after is not None and stream and stream == state.stream:
            missed = [message for number, message in self._missed if number > after]
        client.begin(protocol.full(hello), missed)

    async def _talk(self, socket: WebSocket, client: Client) -> None:
        """Read, write, and watch for a client that is to be let go."""
        tasks = [
            asyncio.create_task(work)
            for work in (
                self._read(socket, client),
                _write(socket, client),
                client.dismissed.wait(),
            )
        ]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            ends = await asyncio.gather(*tasks, return_exceptions=True)
        for end in ends:
            if isinstance(end, Exception):
                log.error("serving a client failed", exc_info=end)
        if client.goodbye:
            if client.goodbye[0] != NORMAL:
                log.warning("a client was let go: %s", client.goodbye[1])
                self.metrics.count_parting(client.goodbye[0])
            await part(socket, *client.goodbye)

    async def _read(self, socket: WebSocket, client: Client) -> None:
        """Take what a client sends, within limits, until it leaves."""
        with contextlib.suppress(RuntimeError):
            while (message := await socket.receive())["type"] != "websocket.disconnect":
                if len(message.get("text") or message.get("bytes") or "") > MAX_MESSAGE_BYTES:
                    client.dismiss(MESSAGE_TOO_BIG, f"at most {MAX_MESSAGE_BYTES} bytes a message")
                elif not client.allowance.take():
                    client.dismiss(POLICY_VIOLATION, f"at most {MESSAGES_PER_S} messages a second")
                else:
                    await self._take(client, message)

    async def _take(self, client: Client, message: Any) -> None:
        """Obey a client that wants all, ignore what another sends."""
        if client.wants_all:
            await asyncio.shield(self._answer(client, message))

    async def _answer(self, client: Client, message: Any) -> None:
        name = None
        try:
            text = message.get("text")
            if text is None:
                raise ConfigError("send text; sound goes to /ws?source=client")
            decoded = protocol.decode(text)
            name = protocol.request_name(decoded)
            await self._obey(protocol.parse(decoded))
        except SttlabError as error:
            if client.wants_all:
                client.put(protocol.refusal(error, name))

    # -- what clients ask for -----------------------------------------------------------------

    async def _obey(self, request: protocol.Request) -> None:
        if isinstance(request, End):
            raise ConfigError("the sound here doesn't come from a client")
        if self.locked:
            raise ConfigError("this server is locked: its settings are made where it was started")
        if isinstance(request, Set):
            self.session.update(protocol.change(self.session.config, request.changes))
            if not self._capturing():  # then no event will say so
                self._tell(anyway=True)
            return
        refused = [name for name in request.changes if name not in self._may_use()]
        if refused:
            raise ConfigError(f"{refused[0]} can't be changed here")
        await self._use(dict(request.changes))

    async def _use(self, changes: dict[str, Any]) -> None:
        if "partials" in changes:
            self._partials = changes["partials"]
            self._set_partials()
        engine = {name: changes[name] for name in CHOICES if name in changes}
        try:
            if engine:
                using = asyncio.create_task(self.engine.use(engine))
                await asyncio.sleep(0)
                self._tell()
                await using
            if "device" in changes:
                await self._use_device(changes["device"])
            elif self.problem:
                await self._start()
        finally:
            self._tell()

    async def _use_device(self, device: int | str | None) -> None:
        """Change the microphone; if that one can't be opened, go back to the old one."""
        await asyncio.to_thread(lambda: find_device(device, list_devices()))
        source = type(self.session.source)(device)  # type: ignore[call-arg]
        try:
            async with self._lock:
                await asyncio.to_thread(self.session.change_source, source)
                self._begin(self.session.starts)
        except SttlabError:
            await self._start()
            raise

    def _may_use(self) -> tuple[str, ...]:
        if self.locked:
            return ()
        device = isinstance(self.session.source, Microphone) and not self.session.kept
        return (*("device",) * device, *(CHOICES if self.engine.config else ()), "partials")

    # -- capture ------------------------------------------------------------------------------

    async def _start(self) -> bool:
        """Start capture if it isn't, and say whether it runs."""
        async with self._lock:
            self._set_partials()
            problem = None
            if self.clients and (not self._lease.captures or self._failed()):
                try:
                    await asyncio.to_thread(self._lease.capture)
                    log.info("capture runs: %s", self.session.source.name)
                except SttlabError as error:
                    problem = str(error)
                    log.warning("capture did not start: %s", error)
            self._begin(self.session.starts)
            self.problem = problem or self.problem
            self._tell()
            return self.session.running

    async def _stop(self) -> None:
        async with self._lock:
            self._set_partials()
            if self.clients:
                return
            self.problem = None
            if self._lease.captures:
                await asyncio.to_thread(self._lease.close)
                if not self.session.running:
                    log.info("capture stopped: nobody is connected")

    def _failed(self) -> bool:
        """Whether capture has ended, and is the server's to start."""
        session = self.session
        return not session.running or (bool(session.error) and not session.kept)

    def _set_partials(self) -> None:
        anyone = any(client.wants_all for client in self.clients)
        self.session.want_partials(self, anyone and self._partials)

    async def _check(self) -> None:
        """Notice what no event tells, such as a stop in the notebook; try again what failed."""
        checks = 0
        while True:
            await asyncio.sleep(CHECK_S)
            if not self.clients:
                continue
            checks += 1
            self._begin(self.session.starts)
            if self.problem and self._failed() and checks % RETRY_CHECKS == 0:
                await self._start()
            self._tell()

    async def close(self) -> None:
        """Let go of the session, and with it of the last who hold it."""
        self._unsubscribe()
        if self._watch:
            self._watch.cancel()
            await asyncio.gather(self._watch, return_exceptions=True)
        self.clients.clear()
        ours = self._lease.captures or bool(self._stopping)  # and no stop of somebody else's
        late = (
            asyncio.get_running_loop().call_later(CLOSE_S, self.session.abandon) if ours else None
        )
        await asyncio.gather(self._stop(), *self._stopping, return_exceptions=True)
        if late:
            late.cancel()

    # -- what clients are told ----------------------------------------------------------------

    def _capturing(self) -> bool:
        return self.session.running and not self.session.wait(0)

    def ailment(self) -> str | None:
        """What is wrong and what to do; None if all is well."""
        error = self.session.error
        return self.problem or (str(error) if error else None) or self.engine.worker.hangs

    def state(self) -> State:
        """How things stand."""
        session, config = self.session, self.engine.config
        return State(
            stream=f"{self._id}-{session.starts}" if session.running else None,
            time_s=session.stats.audio_s,
            capturing=self._capturing(),
            source=session.source.name,
            model=session.worker.transcriber.name,
            partials=session.partials and self._partials,
            problem=self.problem or session.worker.hangs,
            busy=self.engine.busy,
            config=session.config,
            using=Using(
                device=getattr(session.source, "device", None),
                model=config.model if config else None,
                language=config.language if config else None,
                partials=self._partials,
            ),
            may_use=self._may_use(),
        )

    def _tell(self, anyway: bool = False) -> None:
        """Send the state, if any of it but the time has changed, or the config alone."""
        state = self.state()
        comparable = replace(state, time_s=0.0, config=_ANY)
        if comparable == self._told and not anyway:
            return
        self._told = comparable
        message = protocol.full(state)
        for client in self.clients:
            if client.wants_all and client.greeted:
                client.put(message)

    def _on_event(self, event: Event) -> None:
        """Run on the session's threads: count, hand over to the loop, and no more."""
        self.metrics.count(event)
        loop = self._loop
        if loop is None or not (self.clients or isinstance(event, Transcript)):
            return
        if isinstance(event, Partial) and not self._partials:
            return  # someone else wants them
        if isinstance(event, Level):
            self._levels += 1
            if self._levels % LEVELS_EVERY:
                return
        with contextlib.suppress(RuntimeError):  # the loop has ended
            loop.call_soon_threadsafe(self._publish, event, self.session.starts)

    def _publish(self, event: Event, stream: int) -> None:
        begins = self._begin(stream)
        plain = protocol.plain(event)
        full = None
        if isinstance(event, Transcript) or any(c.wants_all for c in self.clients):
            full = protocol.full(event)
        if isinstance(event, Transcript) and full:
            self._missed.append((event.utterance_id, full))
        for client in self.clients:
            message = full if client.wants_all else plain
            if message is not None:
                client.put(message, droppable=isinstance(event, Level))
        if self._notice(event) or begins:
            self._tell()

    def _begin(self, stream: int) -> bool:
        """Forget what is over if capture was started again, here or by another server."""
        if stream == self._stream:
            return False
        self._stream = stream
        self._missed.clear()
        self.problem, self._silent = None, False
        return True

    def _notice(self, event: Event) -> bool:
        """Take in what an event says about the state; say whether it says anything."""
        if isinstance(event, DeviceLost | DeviceSilent | SessionFailed):
            self.problem = event.message
            self._silent = isinstance(event, DeviceSilent)
        elif isinstance(event, DeviceRestored) or (
            self._silent and isinstance(event, Level) and event.level_dbfs > FLOOR_DBFS
        ):
            self.problem, self._silent = None, False
        else:
            return isinstance(event, SourceEnded)
        return True


async def _write(socket: WebSocket, client: Client) -> None:
    with contextlib.suppress(RuntimeError, WebSocketDisconnect):
        while (message := await client.messages.get()) is not None:
            await socket.send_text(message)


async def part(socket: WebSocket, code: int, reason: str) -> None:
    """Close a socket that may be closed already."""
    text = reason.encode()[:MAX_REASON_BYTES].decode(errors="ignore")
    with contextlib.suppress(RuntimeError, WebSocketDisconnect, TimeoutError):
        await asyncio.wait_for(socket.close(code, text), 1.0)


async def refuse(socket: WebSocket, code: int, reason: str) -> None:
    """Say why a client is not served. Its socket is opened first: only then it hears a reason."""
    await socket.accept()
    await part(socket, code, reason)
