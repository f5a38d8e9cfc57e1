"""One session and its connections: wires feed, control and supervisor."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import fields

from fastapi import WebSocket

from sttlab.capture.base import AudioSource
from sttlab.errors import SourceError
from sttlab.events import Event
from sttlab.live.keeper import Keep
from sttlab.live.session import Session
from sttlab.server import protocol
from sttlab.server.client_audio import ClientAudio
from sttlab.server.connection import (
    CLOSE_S,
    INTERNAL_ERROR,
    POLICY_VIOLATION,
    SERVICE_RESTART,
    TRY_AGAIN_LATER,
    Connection,
    close,
    refuse,
)
from sttlab.server.control import Control
from sttlab.server.engine import SharedEngine
from sttlab.server.feed import Feed
from sttlab.server.metrics import Metrics
from sttlab.server.protocol import Hello, State
from sttlab.server.recognise import audio_in_text
from sttlab.server.supervisor import Supervisor

MAX_CLIENTS = 400
STOPPING = "the server stops"
OPENING = "starting the microphone"


class Hub:
    """Serves any number of clients with one session. Belongs to the event loop's thread.

    Parameters
    ----------
    session : Session
        Held while there are clients; other hubs may hold it too.
    engine : SharedEngine
        Of the session.
    metrics : Metrics
    locked : bool
        Whether clients may change nothing.
    audio : ClientAudio, optional
        Where binary messages go, if the session's audio comes from a client. Without it, they and
        `end` are refused.
    may_keep : bool, optional
        Whether clients may have their own audio kept; by default, if the session is kept.

    Attributes
    ----------
    stopping : bool
        Whether no client is accepted any more.
    """

    def __init__(
        self,
        session: Session,
        engine: SharedEngine,
        metrics: Metrics,
        *,
        locked: bool = False,
        audio: ClientAudio | None = None,
        may_keep: bool | None = None,
    ) -> None:
        self.session = session
        self.engine = engine
        self.metrics = metrics
        self.feed = Feed(session, self._on_event)
        self._audio = audio
        self._may_keep = session.keep is not None if may_keep is None else may_keep
        self.stopping = False
        self._supervisor = Supervisor(
            session, lambda: bool(self.feed.connections) and not self.stopping
        )
        self.control = Control(
            session,
            engine,
            self.feed,
            self._supervisor,
            self._tell,
            locked=locked,
            end=audio.end if audio else None,
        )
        self._supervising: asyncio.Task[None] | None = None
        self._stop_counting = session.subscribe(metrics.count)

    async def serve(
        self,
        socket: WebSocket,
        wants_all: bool,
        stream: str = "",
        after: int | None = None,
        history: int = 0,
    ) -> None:
        """Serve one client until it leaves, is dismissed, or capture doesn't start.

        Parameters
        ----------
        socket : WebSocket
            Not yet accepted.
        wants_all : bool
            Whether the client asked for all events, and not for transcripts alone.
        stream, after, history : str, int or None, int
            What the client received before, and how much it asks for; see `Feed.greet`.
        """
        if self.stopping:
            await refuse(socket, SERVICE_RESTART, STOPPING)
            return
        self._supervising = self._supervising or asyncio.create_task(
            self._supervisor.run(self._tell)
        )
        await socket.accept()
        if len(self.feed.connections) >= MAX_CLIENTS:
            self.metrics.count_parting(TRY_AGAIN_LATER)
            await close(socket, TRY_AGAIN_LATER, f"{MAX_CLIENTS} clients are connected already")
            return
        connection = Connection(socket, wants_all)
        self.feed.add(connection)
        if not wants_all:
            self.feed.replay(connection, history)
        try:
            # A plain client asks by connecting; any other can ask by `use`.
            runs = await self._supervisor.start(again=not wants_all)
            self._tell()
            if runs or wants_all:
                if wants_all:
                    self.feed.greet(connection, self._hello(), stream, after, history)
                code = await connection.run(lambda message: self._take(connection, message))
            else:
                code = INTERNAL_ERROR
                await close(socket, code, self._supervisor.problem or "capture did not start")
            if code is not None:
                self.metrics.count_parting(code)
        finally:
            self.feed.discard(connection)
            self._supervisor.release()

    def _take(self, connection: Connection, message: str | bytes) -> None:
        """Take audio; obey a client that wants all, and ignore what another sends."""
        audio = self._audio
        if audio and not audio.ended and isinstance(message, bytes):
            try:
                audio.push(message)
            except SourceError as error:
                connection.dismiss(POLICY_VIOLATION, str(error))
        elif audio and isinstance(message, str) and (instead := audio_in_text(message)):
            connection.dismiss(POLICY_VIOLATION, instead)
        elif audio or connection.wants_all:
            self.control.answer(message, connection.put if connection.wants_all else _ignore)

    def _on_event(self, event: Event, start: int) -> None:
        if self._supervisor.notice(event, start):
            self._tell()

    def _tell(self, even_config: bool = False) -> None:
        self.feed.broadcast_state(self._state(), even_config)

    # -- how things stand ---------------------------------------------------------------------

    def ailment(self) -> str | None:
        """Say what is wrong and what to do; None if all is well."""
        session = self.session
        error = str(session.error) if session.error else None
        return self._supervisor.problem or error or session.engine_problem or session.keep_problem

    def _state(self) -> State:
        session = self.session
        using = self.control.using()
        opening = self._supervisor.opening
        return State(
            stream=self.feed.stream,
            time_s=session.stats.audio_s,
            capturing=self._supervisor.capturing and not opening,
            over=session.over,
            source=session.source.name,
            model=session.engine_name,
            partials=session.partials and using.partials,
            problem=self._supervisor.problem or session.engine_problem,
            busy=self.engine.busy or (OPENING if opening else None),
            keeping=session.keeps,
            kept_in=str(session.kept_folder) if session.keeps else None,
            keep_problem=session.keep_problem,
            config=session.config,
            using=using,
            may_use=self.control.may_use(),
        )

    def _hello(self) -> Hello:
        state = self._state()
        names = self.session.speakers.names() if self.session.speakers else None
        told = {f.name: getattr(state, f.name) for f in fields(State)}
        return Hello(
            **told,
            locked=self.control.locked,
            may_keep=self._may_keep,
            speaker_names=names.names if names else None,
            speakers_merged=names.merged if names else {},
            settings=protocol.settings(),
            detectors=protocol.detectors(),
        )

    # -- beginning and end --------------------------------------------------------------------

    def new_session(
        self, source: AudioSource, *, live: bool = True, keep: Keep | None = None
    ) -> Session:
        """Make a session from this one's settings, which shares its engine."""
        speakers = self.session.speakers
        return Session(
            source,
            vad=self.session.config,
            model=self.engine.worker,
            live=live,
            keep=keep,
            speakers=speakers.config if speakers and live else False,
        )

    async def drain(self, enough: asyncio.Event) -> None:
        """Disconnect all clients once what was said is transcribed and sent.

        Parameters
        ----------
        enough : Event
            Ends the wait for the engine.
        """
        self.stopping = True
        if self._supervising:
            self._supervising.cancel()
        if self._audio:
            self._audio.stop()
        await self._supervisor.close(enough)
        connections = list(self.feed.connections)
        for connection in connections:
            connection.finish(SERVICE_RESTART, STOPPING)
        closed = asyncio.gather(*(connection.wait_closed() for connection in connections))
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(closed, CLOSE_S)

    async def close(self) -> None:
        """Let go of the session; it stops if no other hub holds it and `start` was not called."""
        self._stop_counting()
        self.feed.close()
        if self._supervising:
            self._supervising.cancel()
            await asyncio.gather(self._supervising, return_exceptions=True)
        await self._supervisor.close(enough=None)


def _ignore(refusal: str) -> None:
    """Tell a plain client nothing."""
