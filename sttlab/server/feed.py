"""Broadcasts a session's events to connections, and replays what a client missed."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

from sttlab.audio import SAMPLE_RATE
from sttlab.config import VadConfig
from sttlab.events import Event, Level, Partial, SpeakersFound, Transcript
from sttlab.live.session import Session
from sttlab.server import protocol
from sttlab.server.connection import Connection
from sttlab.server.protocol import Hello, State
from sttlab.vad import DETECTORS

MISSED_MESSAGES = 1000  # transcripts kept for clients that reconnect
LEVELS_EVERY_S = 0.06  # quicker than the eye
_ANY = VadConfig()


class _Text(NamedTuple):
    full: str
    plain: str


class Feed:
    """Belongs to the event loop's thread, but for `_on_event`.

    A plain connection gets transcripts alone; one that wants all gets every event and the state.

    Parameters
    ----------
    session : Session
    on_event : callable
        Called on the event loop's thread with each event that was broadcast, and the number of the
        start of capture (`Session.starts`) that it belongs to.

    Attributes
    ----------
    connections : set of Connection
    partials : bool
        Whether partials are broadcast.
    """

    def __init__(self, session: Session, on_event: Callable[[Event, int], None]) -> None:
        self.connections: set[Connection] = set()
        self.partials = True
        self._session = session
        self._callback = on_event
        self._loop: asyncio.AbstractEventLoop | None = None
        self._levels = 0  # owned by the session's threads
        self._missed: dict[tuple[str, int], _Text] = {}  # by stream and utterance, in order
        self._told: State | None = None
        self._unsubscribe = session.subscribe(self._on_event)

    def add(self, connection: Connection) -> None:
        """Broadcast to this connection as well."""
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
            self._recall()
        self.connections.add(connection)
        self._want_partials()

    def discard(self, connection: Connection) -> None:
        """Broadcast to this connection no more."""
        self.connections.discard(connection)
        self._want_partials()

    def set_partials(self, wanted: bool) -> None:
        """Broadcast partials, or don't."""
        self.partials = wanted
        self._want_partials()

    def _want_partials(self) -> None:
        """Have the engine make partials only while somebody gets them."""
        anyone = any(connection.wants_all for connection in self.connections)
        self._session.want_partials(self, anyone and self.partials)

    def close(self) -> None:
        """Broadcast nothing more."""
        self._unsubscribe()
        self.connections.clear()
        self._want_partials()

    # -- state and replay ---------------------------------------------------------------------

    def stream_id(self, start: int) -> str:
        """Name the stream that a start of capture began, for clients that reconnect."""
        return f"{self._session.id}-{start}"

    @property
    def stream(self) -> str | None:
        """The stream that runs, or that of a file that is over; None without one."""
        session = self._session
        return self.stream_id(session.starts) if session.running or session.over else None

    def _recall(self) -> None:
        """Take over the texts that the session has from before the first client came."""
        for text in self._session.history[-MISSED_MESSAGES:]:
            plain = protocol.plain(text) or ""
            self._keep(text, self.stream_id(text.run), _Text(protocol.full(text), plain))

    def _keep(self, text: Transcript, stream: str, written: _Text) -> None:
        self._missed[stream, text.utterance_id] = written
        if len(self._missed) > MISSED_MESSAGES:
            del self._missed[next(iter(self._missed))]

    def greet(
        self, connection: Connection, hello: Hello, stream: str, after: int | None, history: int
    ) -> None:
        """Send a connection its first message, and the transcripts that its client asks for.

        Parameters
        ----------
        connection : Connection
        hello : Hello
        stream : str
            The stream that the client received before.
        after : int, optional
            The id of the last utterance whose transcript the client has, if that stream still runs.
        history : int
            The most transcripts of a stream that the client has not received before.
        """
        texts = self._missed.items()
        kept = [(number, text.full) for (of, number), text in texts if of == hello.stream]
        if after is not None and stream == hello.stream:
            missed = [full for number, full in kept if number > after]
        else:
            missed = [full for _, full in kept[-history:]] if history else []
        connection.greet([protocol.full(hello), *missed])

    def replay(self, connection: Connection, history: int) -> None:
        """Send a plain connection, just added, the last transcripts of the stream that runs."""
        kept = [text.plain for (of, _), text in self._missed.items() if of == self.stream]
        if history and kept:
            connection.greet(kept[-history:])

    def broadcast_state(self, state: State, even_config: bool = False) -> None:
        """Send the state if it has changed.

        A change of the time alone does not count. Nor does one of the config, which has an event of
        its own, except with `even_config`.
        """
        comparable = replace(state, time_s=0.0, config=_ANY)
        if comparable == self._told and not even_config:
            return
        self._told = comparable
        message = protocol.full(state)
        for connection in self.connections:
            if connection.wants_all and connection.greeted:
                connection.put(message)

    def _correct(self, found: SpeakersFound, stream: str) -> None:
        """Have those who reconnect receive a text with its speakers as they are known now."""
        key = stream, found.utterance_id
        if text := self._missed.get(key):
            self._missed[key] = text._replace(full=protocol.with_turns(text.full, found))

    # -- events -------------------------------------------------------------------------------

    def _on_event(self, event: Event) -> None:
        """Pass an event on to the event loop. Runs on the session's threads, and never blocks."""
        loop = self._loop
        if loop is None or not self._is_wanted(event):
            return
        with contextlib.suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(self._broadcast, event, self._session.starts)

    def _is_wanted(self, event: Event) -> bool:
        if isinstance(event, Transcript | SpeakersFound):
            return True  # kept for those who reconnect
        if not self.connections:
            return False
        if isinstance(event, Partial):
            return self.partials  # else another server's clients want them
        if isinstance(event, Level):
            self._levels += 1
            frame_s = DETECTORS[self._session.config.detector].frame_samples / SAMPLE_RATE
            return self._levels % max(1, round(LEVELS_EVERY_S / frame_s)) == 0
        return True

    def _broadcast(self, event: Event, start: int) -> None:
        full = None
        plain = protocol.plain(event)
        if isinstance(event, Transcript):
            full = protocol.full(event)
            self._keep(event, self.stream_id(start), _Text(full, plain or ""))
        elif any(connection.wants_all for connection in self.connections):
            full = protocol.full(event)
        if isinstance(event, SpeakersFound):
            self._correct(event, self.stream_id(start))
        for connection in self.connections:
            message = full if connection.wants_all else plain
            if message is not None:
                connection.put(message, droppable=isinstance(event, Level))
        self._callback(event, start)
