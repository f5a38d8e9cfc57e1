"""Keeps a session capturing while it has clients, and says what is wrong when it doesn't."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from sttlab.audio import FLOOR_DBFS
from sttlab.capture.base import AudioSource
from sttlab.capture.microphone import Microphone
from sttlab.errors import SttlabError
from sttlab.events import (
    DeviceLost,
    DeviceRestored,
    DeviceSilent,
    Event,
    Level,
    SessionFailed,
    SourceEnded,
)
from sttlab.live.session import Session

log = logging.getLogger(__name__)

CHECK_S = 1.0  # between checks for what no event reports
RETRY_CHECKS = 3  # between attempts to start capture that failed


class Supervisor:
    """Holds, restarts and watches capture. Belongs to the event loop's thread, and never blocks it.

    Parameters
    ----------
    session : Session
        Others may hold it too: it stops with the last who does.
    is_wanted : callable
        Whether there are clients.

    Attributes
    ----------
    problem : str or None
        What is wrong with capture, and what to do.
    """

    def __init__(self, session: Session, is_wanted: Callable[[], bool]) -> None:
        self.problem: str | None = None
        self._session = session
        self._is_wanted = is_wanted
        self._lock = asyncio.Lock()  # held while capture starts or stops
        self._lease = session.lease()
        self._start = 0  # the start of capture that `problem` is about: `Session.starts`
        self._logged: str | None = None  # problem of the attempts since capture last ran
        self._silent = False  # whether the problem is a microphone that delivers zeros
        self._heard = 0  # the last start of capture of which a level has come
        self._releasing: set[asyncio.Task[None]] = set()

    @property
    def capturing(self) -> bool:
        """Whether capture runs."""
        return self._session.running and not self._session.wait(0)

    @property
    def opening(self) -> bool:
        """Whether a microphone is open that has not delivered anything yet.

        PulseAudio and Bluetooth take two seconds for that. What is said before is not heard.
        """
        session = self._session
        return (
            isinstance(session.source, Microphone) and session.stats.audio_s == 0 and self.capturing
        )

    async def start(self, *, again: bool = True) -> bool:
        """Start capture if it doesn't run, and say whether it runs.

        Parameters
        ----------
        again : bool
            Whether a file that is over plays again.
        """
        async with self._lock:
            problem = None
            held = self._lease.captures and not self._has_failed()
            if self._is_wanted() and not held and (again or not self._session.over):
                try:
                    await asyncio.to_thread(self._lease.capture)
                    log.info("capture runs: %s", self._session.source.name)
                    self._logged = None
                except SttlabError as error:
                    problem = str(error)
                    if problem != self._logged:
                        log.warning("capture did not start: %s", error)
                    self._logged = problem
            self._see_start(self._session.starts)
            self.problem = problem or self.problem
            return self._session.running

    def release(self) -> None:
        """Stop capture soon, unless there are clients.

        Nobody waits for it: a server that stops waits for its sockets, but not for the engine.
        """
        task = asyncio.create_task(self._release())
        self._releasing.add(task)
        task.add_done_callback(self._releasing.discard)

    async def _release(self) -> None:
        async with self._lock:
            if self._is_wanted():
                return
            self.problem = None
            if self._lease.captures:
                await asyncio.to_thread(self._lease.close)
                if not self._session.running:
                    log.info("capture stopped: nobody is connected")

    async def change_source(self, source: AudioSource) -> None:
        """Capture from another source; if it doesn't start, go back to the old one.

        Raises
        ------
        SourceError, ModelError
            If capture did not start from the new source.
        """
        try:
            async with self._lock:
                await asyncio.to_thread(self._session.change_source, source)
                self._see_start(self._session.starts)
        except SttlabError:
            await self.start()
            raise

    async def run(self, checked: Callable[[], None]) -> None:
        """Check every second, until cancelled, what no event reports; retry capture that failed.

        No event reports a start or stop by the notebook or by another server.

        Parameters
        ----------
        checked : callable
            Called after each check.
        """
        checks = 0
        while True:
            await asyncio.sleep(CHECK_S)
            if not self._is_wanted():
                continue
            checks += 1
            self._see_start(self._session.starts)
            if self.problem and self._has_failed() and checks % RETRY_CHECKS == 0:
                await self.start()
            checked()

    def notice(self, event: Event, start: int) -> bool:
        """Take in an event of a start of capture; say whether the state changes with it."""
        begins = self._see_start(start)
        if isinstance(event, Level) and start != self._heard:
            self._heard = start
            begins = True
        if isinstance(event, DeviceLost | DeviceSilent | SessionFailed):
            self.problem = event.message
            self._silent = isinstance(event, DeviceSilent)
        elif isinstance(event, DeviceRestored) or (
            self._silent and isinstance(event, Level) and event.level_dbfs > FLOOR_DBFS
        ):
            self.problem, self._silent = None, False
        else:
            return begins or isinstance(event, SourceEnded)
        return True

    def _see_start(self, start: int) -> bool:
        """Forget the problem if capture was started again, by whomever; say whether it was."""
        if start == self._start:
            return False
        self._start = start
        self.problem, self._silent = None, False
        return True

    def _has_failed(self) -> bool:
        """Whether capture is over, and no `Session.start` leaves its restart to somebody else."""
        session = self._session
        return not session.running or (bool(session.error) and not session.kept)

    async def close(self, enough: asyncio.Event | None) -> None:
        """Let go of the session, which stops if nobody else holds it.

        Parameters
        ----------
        enough : Event or None
            Until it is set, wait for the engine to transcribe what was said; None: don't wait.
        """
        holds = self._lease.captures or bool(self._releasing)  # else the stop is somebody else's
        if holds and enough is None:
            self._session.abandon()
        giving_up = asyncio.create_task(self._give_up(enough)) if holds and enough else None
        await asyncio.gather(self._release(), *self._releasing, return_exceptions=True)
        if giving_up:
            giving_up.cancel()

    async def _give_up(self, enough: asyncio.Event) -> None:
        await enough.wait()
        self._session.abandon()
