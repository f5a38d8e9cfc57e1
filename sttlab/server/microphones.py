"""Clients that send their own audio: each has a session of its own, and all share the engine."""

from __future__ import annotations

import asyncio
import os

from fastapi import WebSocket

from sttlab.capture.push import PushSource
from sttlab.errors import SourceError
from sttlab.server.client_audio import ClientAudio
from sttlab.server.connection import (
    POLICY_VIOLATION,
    SERVICE_RESTART,
    TRY_AGAIN_LATER,
    refuse,
)
from sttlab.server.forms import Form
from sttlab.server.hub import STOPPING, Hub

MAX_MICROPHONES = 16  # clients with their own audio, however fast the engine is
UNKNOWN_PER_CORE = 4  # while it isn't known how fast it is
# Microphones times the engine's seconds for one of audio, up to which texts come in time
# (tests/benchmarks/load.py, docs/server.md).
KEEPS_UP = 0.7
LATE_S = 5.0  # longest delay of a transcript with which a further client is admitted
IDLE_S = 60.0  # longest time without audio, after which a client is disconnected
KEEPS_NOTHING = "this server keeps no audio: start it with --keep, or connect without keep"
ENDED_S = 0.05  # interval of checks whether all is transcribed


class Microphones:
    """Admits such clients and makes their hubs. Belongs to the event loop's thread.

    Parameters
    ----------
    shared : Hub
        The hub of the shared session. A new client's session begins with the settings of that
        session, and all sessions use its engine.

    Attributes
    ----------
    open : set of Hub
        One hub for each client.
    """

    def __init__(self, shared: Hub) -> None:
        self._shared = shared
        self.open: set[Hub] = set()

    async def serve(
        self, socket: WebSocket, wants_all: bool, form: Form, *, keep: bool = False
    ) -> None:
        """Serve one client until it disconnects, or has ended its audio and received all its text.

        Parameters
        ----------
        socket : WebSocket
            Not yet accepted.
        wants_all : bool
            Whether the client asked for all events, and not for transcripts alone.
        form : Form
            How the client sends its audio.
        keep : bool
            Whether the client wants it to be kept.
        """
        if self._shared.stopping:
            await refuse(socket, SERVICE_RESTART, STOPPING)
            return
        if why := self._full():
            self._shared.metrics.count_parting(TRY_AGAIN_LATER)
            await refuse(socket, TRY_AGAIN_LATER, f"{why}: try again later")
            return
        shared = self._shared
        where = shared.session.keep
        if keep and where is None:
            await refuse(socket, POLICY_VIOLATION, KEEPS_NOTHING)
            return
        source = PushSource(form.sample_rate, name="a client's own audio")
        audio = ClientAudio(source, form)
        hub = Hub(
            shared.new_session(source, keep=where if keep else None),
            shared.engine,
            shared.metrics,
            locked=shared.control.locked,
            audio=audio,
            may_keep=where is not None,
        )
        self.open.add(hub)
        tasks: list[asyncio.Task[None]] = []
        try:
            await audio.open()
            tasks = [asyncio.create_task(work(hub, audio)) for work in (_watch, _decode)]
            await hub.serve(socket, wants_all)
        except SourceError as error:
            await refuse(socket, TRY_AGAIN_LATER, str(error))
        finally:
            for task in tasks:
                task.cancel()
            await audio.close()
            self.open.discard(hub)
            await hub.close()  # no client is left to receive the rest

    @property
    def most(self) -> int:
        """How many clients may send their own audio, by what the engine took for the last texts."""
        speed = self._shared.engine.worker.speed
        if speed is None:
            return min(MAX_MICROPHONES, UNKNOWN_PER_CORE * (os.cpu_count() or 1))
        return max(1, int(min(KEEPS_UP / max(speed, 1e-6), MAX_MICROPHONES)))

    def _full(self) -> str | None:
        """Say why no further microphone can be served; None if one can."""
        if len(self.open) >= (most := self.most):
            return f"{most} microphones of browsers are connected already"
        # The shared session does not count: a file that it reads at full speed is always late, but
        # delays a microphone by one utterance at most.
        late_s = max((hub.session.late_s for hub in self.open), default=0.0)
        if late_s > LATE_S:
            return f"the engine is {late_s:.0f} s late with the microphones that it already serves"
        return None

    async def close(self) -> None:
        """End the sessions."""
        await asyncio.gather(*(hub.close() for hub in self.open))


async def _decode(hub: Hub, audio: ClientAudio) -> None:
    """Disconnect a client whose container can't be decoded."""
    try:
        await audio.decode()
    except SourceError as error:
        for connection in hub.feed.connections:
            connection.dismiss(POLICY_VIOLATION, str(error))


async def _watch(hub: Hub, audio: ClientAudio) -> None:
    """Disconnect a client that sends nothing, or that has ended and received all its text."""
    if await audio.wait_for_end(IDLE_S):
        while not hub.session.wait(0):  # noqa: ASYNC110 - threads set it, not this loop
            await asyncio.sleep(ENDED_S)
        await asyncio.sleep(0)  # lets the loop deliver events that threads have just scheduled
        for connection in hub.feed.connections:
            connection.finish()
    else:
        for connection in hub.feed.connections:
            connection.dismiss(POLICY_VIOLATION, f"no audio came for {IDLE_S:.0f} s")
