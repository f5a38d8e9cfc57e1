"""Clients that bring their own sound: each has a session of its own, and all share the engine."""

from __future__ import annotations

import asyncio
import contextlib
import os
from typing import Any

from fastapi import WebSocket

from sttlab.capture.push import BUFFER_S, PushSource
from sttlab.errors import ConfigError, SourceError
from sttlab.live.session import Session
from sttlab.server.hub import POLICY_VIOLATION, TRY_AGAIN_LATER, Client, Hub, refuse
from sttlab.server.limits import Allowance
from sttlab.server.protocol import End, Request

MAX_MICROPHONES = min(16, 4 * (os.cpu_count() or 1))  # what tiny.en keeps up with on two cores
LATE_S = 5.0  # for a text: one speaker more would delay everyone's further
FASTER = 1.5  # than it is said: sound that may come after a pause of the network
IDLE_S = 60.0  # without sound
ENDED_S = 0.05  # between looks at whether all is transcribed


class Microphones:
    """Belongs to the event loop's thread.

    Parameters
    ----------
    shared : Hub
        Of the session that clients without sound of their own hear; its settings are what a new
        client begins with, and its engine is everyone's.
    """

    def __init__(self, shared: Hub) -> None:
        self._shared = shared
        self.open: set[_OwnHub] = set()

    async def serve(self, socket: WebSocket, wants_all: bool, rate: int) -> None:
        """Serve one client until it leaves, or has ended its sound and got all its text.

        Parameters
        ----------
        socket : WebSocket
            Not yet accepted.
        wants_all : bool
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
        shared = self._shared
        session = Session(source, vad=shared.session.config, model=shared.engine.worker)
        hub = _OwnHub(session, source, shared)
        self.open.add(hub)
        try:
            await hub.serve(socket, wants_all)
        finally:
            session.abandon()  # nobody is left to hear the rest
            self.open.discard(hub)
            await hub.close()

    def _full(self) -> str | None:
        """Say why no further microphone can be heard, if so."""
        if len(self.open) >= MAX_MICROPHONES:
            return f"{MAX_MICROPHONES} microphones of browsers are heard already"
        # The shared session is left out: a file that it reads at full speed always waits, and
        # takes a microphone no more than its turn.
        late_s = max((hub.session.late_s for hub in self.open), default=0.0)
        if late_s > LATE_S:
            return f"the engine is {late_s:.0f} s late for the microphones that it hears already"
        return None

    async def close(self) -> None:
        """End the sessions."""
        await asyncio.gather(*(hub.close() for hub in self.open))


class _OwnHub(Hub):
    """Has one client, whose sound it is."""

    def __init__(self, session: Session, source: PushSource, shared: Hub) -> None:
        super().__init__(session, shared.engine, shared.metrics, locked=shared.locked)
        self._source = source
        bytes_per_s = 2 * source.sample_rate
        self._sound = Allowance(FASTER * bytes_per_s, BUFFER_S * bytes_per_s)
        self._heard = False  # anything since the last look
        self._ended = False
        self._tasks = {asyncio.create_task(self._expect_sound())}

    async def _take(self, client: Client, message: Any) -> None:
        sound = message.get("bytes")
        self._heard = True
        if sound is None or self._ended:
            await asyncio.shield(self._answer(client, message))
        elif not self._sound.take(len(sound)):
            client.dismiss(POLICY_VIOLATION, "sound may not come faster than it is said")
        elif len(sound) % 2:
            client.dismiss(POLICY_VIOLATION, "16-bit samples come in pairs of bytes")
        else:
            with contextlib.suppress(SourceError):  # capture failed, which the state has said
                self._source.push(sound)

    async def _obey(self, request: Request) -> None:
        if not isinstance(request, End):
            await super()._obey(request)
        elif self._ended:
            raise ConfigError("the sound has ended already")
        else:
            self._ended = True
            self._source.end()
            self._tasks.add(asyncio.create_task(self._finish()))

    async def _finish(self) -> None:
        while not self.session.wait(0):  # noqa: ASYNC110 - its end is an event of threads
            await asyncio.sleep(ENDED_S)
        await asyncio.sleep(0)  # for what is on its way from the threads
        for client in self.clients:
            client.finish()

    async def _expect_sound(self) -> None:
        """Let go of a client that holds a place and doesn't use it."""
        while not self._ended:
            self._heard = False
            await asyncio.sleep(IDLE_S)
            if not self._heard and not self._ended:
                for client in self.clients:
                    client.dismiss(POLICY_VIOLATION, f"no sound came for {IDLE_S:.0f} s")

    async def close(self) -> None:
        """Stop what was started here."""
        for task in self._tasks:
            task.cancel()
        await super().close()
