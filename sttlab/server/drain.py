"""The end of a server: what was said is transcribed and sent before sockets are closed."""

from __future__ import annotations

import asyncio
import logging
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from uvicorn.server import HANDLED_SIGNALS

from sttlab.server.files import Files
from sttlab.server.hub import Hub
from sttlab.server.microphones import Microphones

log = logging.getLogger("uvicorn.error")  # shown by a plain `uvicorn sttlab.server:app`

DRAIN_S = 5.0  # for the engine; Docker kills a process 10 s after SIGTERM
ARRIVE_S = 0.3  # for audio that was said before, and is on its way


class Drain:
    """Drains a server once. Belongs to the event loop's thread.

    No client is accepted meanwhile, and no further audio is taken.

    Parameters
    ----------
    shared : Hub
    microphones : Microphones
    files : Files
    """

    def __init__(self, shared: Hub, microphones: Microphones, files: Files) -> None:
        self._shared = shared
        self._microphones = microphones
        self._files = files
        self._enough = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """Drain, in DRAIN_S at most; if that has begun already, wait until it is done."""
        self._task = self._task or asyncio.create_task(self._run())
        await asyncio.shield(self._task)

    def hurry(self) -> None:
        """Wait for the engine no longer: what it has not transcribed is reported as failed."""
        self._enough.set()

    async def _run(self) -> None:
        late = asyncio.get_running_loop().call_later(DRAIN_S, self.hurry)
        self._shared.stopping = True
        if self._microphones.open:
            await asyncio.sleep(ARRIVE_S)
        hubs = (self._shared, *self._microphones.open)
        await asyncio.gather(
            *(hub.drain(self._enough) for hub in hubs), self._files.drain(self._enough)
        )
        late.cancel()


@contextmanager
def drain_on_signals(drain: Drain) -> Iterator[None]:
    """Have Ctrl-C and SIGTERM drain before they reach uvicorn, which closes sockets at once.

    The second such signal ends the wait for the engine; further ones reach uvicorn directly.
    Outside the main thread, where Python takes no signals, nothing changes.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    loop = asyncio.get_running_loop()
    before = {number: signal.getsignal(number) for number in HANDLED_SIGNALS}
    count = 0

    def pass_on(number: int, frame: FrameType | None) -> None:
        handler = before[signal.Signals(number)]
        if callable(handler):
            handler(number, frame)

    def begin(number: int) -> None:
        log.info("Stopping: what was said is transcribed first; Ctrl-C again stops at once")
        draining = asyncio.ensure_future(drain.run())
        draining.add_done_callback(lambda _: pass_on(number, None))

    def handle(number: int, frame: FrameType | None) -> None:
        nonlocal count
        count += 1
        if count == 1:
            loop.call_soon_threadsafe(begin, number)
        elif count == 2:
            loop.call_soon_threadsafe(drain.hurry)
        else:
            pass_on(number, frame)

    for number, handler in before.items():
        if callable(handler):
            signal.signal(number, handle)
    try:
        yield
    finally:
        for number, handler in before.items():
            if signal.getsignal(number) is handle:
                signal.signal(number, handler)
