"""Who needs a session's capture, and who its engine: each runs while anyone does."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from types import TracebackType


class Shared:
    """What runs while anyone holds it.

    Parameters
    ----------
    lock : RLock
        Guards the holders, and is held while this starts and stops.
    start : callable
        Starts it; does nothing if it runs. May raise.
    stop : callable
        Stops it within seconds, which are its argument; does nothing if it does not run.
    timeout_s : float
        How long a stop takes at most, unless `release` says otherwise.
    """

    def __init__(
        self,
        lock: threading.RLock,
        start: Callable[[], object],
        stop: Callable[[float], object],
        timeout_s: float,
    ) -> None:
        self._lock = lock
        self._start = start
        self._stop = stop
        self._timeout_s = timeout_s
        self._holders: set[object] = set()  # guarded by `_lock`

    def hold(self, holder: object) -> None:
        """Note a holder, and start. The holder stays noted if the start raises."""
        with self._lock:
            self._holders.add(holder)
            self._start()

    def release(self, holder: object, timeout_s: float | None = None) -> None:
        """Forget a holder, and stop if it was the last; does nothing for one that holds nothing."""
        with self._lock:
            if holder in self._holders:
                self._holders.remove(holder)
                if not self._holders:
                    self._stop(self._timeout_s if timeout_s is None else timeout_s)

    def held_by(self, holder: object) -> bool:
        """Whether this holder is noted; never blocks."""
        return holder in self._holders

    @property
    def held(self) -> bool:
        """Whether there is any holder; never blocks."""
        return bool(self._holders)


class Lease:
    """One holder's claim on a session's capture, on its engine, or on both.

    `Session.lease` makes one, which holds nothing yet and does not keep the session alive. Capture
    and engine run while any lease holds them; `Session.stop` stops capture whoever holds it. Any
    thread may call the methods, except from a callback of the session. They block until what they
    start or stop has started or stopped. They are idempotent, and a closed lease may hold again.

    Examples
    --------
    >>> with session.lease() as lease:  # doctest: +SKIP
    ...     lease.capture()
    """

    def __init__(
        self, capture: Shared, engine: Shared, wait_for_engine: Callable[[], None]
    ) -> None:
        self._capture = capture
        self._engine = engine
        self._wait_for_engine = wait_for_engine

    def capture(self) -> None:
        """Start capture as `Session.start` does, and hold it.

        Capture that has failed starts again, unless the session is `kept`. One that `Session.stop`
        has stopped does too.

        Raises
        ------
        SourceError
            If there is no audio to be had. The lease holds capture even so: close it, or call this
            again to retry.
        ModelError
            If the model can't be had. The same holds.
        """
        self._capture.hold(self)

    def engine(self) -> None:
        """Load the model, wait until it is loaded, and hold the engine's thread.

        Raises
        ------
        ModelError
            If the model can't be had. The lease holds the engine even so: close it.
        """
        self._engine.hold(self)
        self._wait_for_engine()

    @property
    def captures(self) -> bool:
        """Whether it holds capture, which may have failed or been stopped; never blocks."""
        return self._capture.held_by(self)

    def close(self) -> None:
        """Let go of both.

        Capture that nobody else holds stops as `Session.stop` stops it. The engine's thread ends if
        nobody holds it and it was not given to the session as an `AsrWorker`.
        """
        with contextlib.suppress(ReferenceError):  # a session that is gone has stopped already
            self._capture.release(self)
        self._engine.release(self)

    def __enter__(self) -> Lease:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
