"""Where a session's events go: to callbacks on its threads, and to streams that others read."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterator
from functools import partial
from typing import TypeAlias

from sttlab.errors import SessionError
from sttlab.events import Event, Level

log = logging.getLogger(__name__)

LISTENER_EVENTS = 2_000  # that `Session.events` holds for a reader
LISTENER_LEVELS = 100  # events that wait when a `Level` is dropped

Callback: TypeAlias = Callable[[Event], None]


class EventStream:
    """What `Session.events` gives: an iterator that ends when the session stops."""

    def __init__(self) -> None:
        self._changed = threading.Condition()  # guards everything here
        self._events: deque[Event] = deque()  # bounded by LISTENER_EVENTS; Levels are dropped first
        self._closed = False
        self._behind = False

    def put(self, event: Event) -> None:
        """Take an event; never blocks."""
        with self._changed:
            droppable = isinstance(event, Level) and len(self._events) > LISTENER_LEVELS
            if self._closed or droppable:
                return
            if len(self._events) >= LISTENER_EVENTS:
                self._behind = self._closed = True
            else:
                self._events.append(event)
            self._changed.notify()

    def close(self) -> None:
        """End the stream once what is in it has been read."""
        with self._changed:
            self._closed = True
            self._changed.notify()

    def __iter__(self) -> Iterator[Event]:
        return self

    def __next__(self) -> Event:
        with self._changed:
            self._changed.wait_for(lambda: self._events or self._closed)
            if self._events:
                return self._events.popleft()
        if self._behind:
            raise SessionError(
                f"this reader fell {LISTENER_EVENTS} events behind; read events() faster, "
                "or call it again"
            )
        raise StopIteration


class Broadcast:
    """Broadcasts events to subscribers. Any thread may call it, and nothing here blocks."""

    def __init__(self) -> None:
        self._lock = threading.Lock()  # guards changes; `emit` reads without it, for it calls out
        self._callbacks: tuple[Callback, ...] = ()
        self._streams: tuple[EventStream, ...] = ()
        self._on = False

    def begin(self) -> None:
        """Let streams be opened."""
        with self._lock:
            self._on = True

    def end(self) -> None:
        """Close the streams; callbacks stay subscribed."""
        with self._lock:
            self._on = False
            streams, self._streams = self._streams, ()
        for stream in streams:
            stream.close()

    def stream(self) -> EventStream:
        """Open a stream of the events from now on; it is empty if none will come."""
        stream = EventStream()
        with self._lock:
            if self._on:
                self._streams = (*self._streams, stream)
            else:
                stream.close()
        return stream

    def subscribe(self, callback: Callback) -> Callable[[], None]:
        """Subscribe `callback` to every event; return what unsubscribes it."""
        with self._lock:
            self._callbacks = (*self._callbacks, callback)
        return partial(self.unsubscribe, callback)

    def unsubscribe(self, callback: Callback) -> None:
        """Give a callback no more events."""
        with self._lock:
            self._callbacks = tuple(c for c in self._callbacks if c != callback)

    def emit(self, event: Event) -> None:
        """Broadcast an event. A callback that raises is logged, and gets no more events."""
        for stream in self._streams:
            stream.put(event)
        for callback in self._callbacks:
            try:
                callback(event)
            except Exception:
                log.exception("a callback failed on %s and gets no more events", event.kind)
                self.unsubscribe(callback)
