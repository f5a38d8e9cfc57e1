"""Clients that send their own audio: each has a session of its own, and all share the engine."""

from __future__ import annotations

import asyncio
import os

from fastapi import WebSocket

from sttlab.capture.push import PushSource
from sttlab.errors import SourceError
from sttlab.server.client_audio import ClientAudio
from sttlab.server.connection import POLICY_VIOLATION, TRY_AGAIN_LATER, refuse
from sttlab.server.hub import Hub

MAX_MICROPHONES = min(16, 4 * (os.cpu_count() or 1))  # what tiny.en keeps up with on two cores
LATE_S = 5.0  # that a text may be late: beyond that, one more speaker would delay all others
IDLE_S = 60.0  # without audio
ENDED_S = 0.05  # between checks whether all is transcribed


class Microphones:
    """Admits such clients and makes their hubs. Belongs to the event loop's thread.

    Parameters
    ----------
    shared : Hub
        Of the session that clients without audio of their own hear. A new client begins with its
        settings, and its engine is everyone's.

    Attributes
    ----------
    open : set of Hub
        One for each client.
    """

    def __init__(self, shared: Hub) -> None:
        self._shared = shared
        self.open: set[Hub] = set()

    async def serve(self, socket: WebSocket, wants_all: bool, rate: int) -> None:
        """Serve one client until it leaves, or has ended its audio and got all its text.

        Parameters
        ----------
        socket : WebSocket
            Not yet accepted.
        wants_all : bool
            Whether the client asked for all events, and not for transcripts alone.
        rate : int, Hz
            Of the 16-bit samples that it sends.
        """
        try:
            source = PushSource(rate, name="a client's own sound")
        except SourceError as error:
            await refuse(socket, POLICY_VIOLATION, str(error))
            return
        if why := self._full():
            self._shared.metrics.count_parting(TRY_AGAIN_LATER)
            await refuse(socket, TRY_AGAIN_LATER, f"{why}: try again later")
            return
        shared, audio = self._shared, ClientAudio(source)
        hub = Hub(
            shared.new_session(source),
            shared.engine,
            shared.metrics,
            locked=shared.control.locked,
            audio=audio,
        )
        watch = asyncio.create_task(_watch(hub, audio))
        self.open.add(hub)
        try:
            await hub.serve(socket, wants_all)
        finally:
            watch.cancel()
            hub.session.abandon()  # nobody is left to hear the rest
            self.open.discard(hub)
            await hub.close()

    def _full(self) -> str | None:
        """Say why no further microphone can be served, if so."""
        if len(self.open) >= MAX_MICROPHONES:
            return f"{MAX_MICROPHONES} microphones of browsers are heard already"
        # The shared session does not count: a file that it reads at full speed always waits, and
        # delays a microphone by no more than one turn.
        late_s = max((hub.session.late_s for hub in self.open), default=0.0)
        if late_s > LATE_S:
            return f"the engine is {late_s:.0f} s late for the microphones that it hears already"
        return None

    async def close(self) -> None:
        """End the sessions."""
        await asyncio.gather(*(hub.close() for hub in self.open))


async def _watch(hub: Hub, audio: ClientAudio) -> None:
    """Dismiss a client that sends nothing; disconnect one that has ended and got all its text."""
    if await audio.wait_for_end(IDLE_S):
        while not hub.session.wait(0):  # noqa: ASYNC110 - threads set it, not this loop
            await asyncio.sleep(ENDED_S)
        await asyncio.sleep(0)  # for events that are on their way from the threads
        for connection in hub.feed.connections:
            connection.finish()
    else:
        for connection in hub.feed.connections:
            connection.dismiss(POLICY_VIOLATION, f"no sound came for {IDLE_S:.0f} s")
