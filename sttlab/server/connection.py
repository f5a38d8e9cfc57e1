"""One client's socket: the messages queued for it, the limits on what it sends, its close."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Mapping
from typing import Any

from fastapi import WebSocket, WebSocketDisconnect

from sttlab.server.limits import MAX_MESSAGE_BYTES, Allowance

log = logging.getLogger(__name__)

WAITING_MESSAGES = 200  # in one client's queue; a client that has more unread is disconnected
MAX_REASON_BYTES = 123  # of a close frame
MESSAGES_PER_S, MESSAGES_AT_ONCE = 50, 200  # rate limit on what a client sends
MESSAGES_AFTER_STALL = 3000  # of audio, which were sent while the server or the network stalled
CLOSE_S = 1.0  # a client that reads nothing delays its close for no longer than this
NORMAL, POLICY_VIOLATION, MESSAGE_TOO_BIG = 1000, 1008, 1009
INTERNAL_ERROR, SERVICE_RESTART, TRY_AGAIN_LATER = 1011, 1012, 1013


class Connection:
    """A WebSocket with a bounded queue of outgoing messages. Belongs to the event loop's thread.

    Backpressure: a client that reads too slowly is disconnected, so that it delays nobody else.

    Parameters
    ----------
    socket : WebSocket
        Accepted already.
    wants_all : bool
        Whether the client asked for all events, and not for transcripts alone.

    Attributes
    ----------
    greeted : bool
        Whether `greet` was called.
    """

    def __init__(self, socket: WebSocket, wants_all: bool) -> None:
        self.wants_all = wants_all
        self.greeted = False
        self._socket = socket
        self._queue: asyncio.Queue[str | None] = asyncio.Queue(WAITING_MESSAGES)
        self._allowances: dict[type, Allowance] = {
            str: Allowance(MESSAGES_PER_S, MESSAGES_AT_ONCE),
            bytes: Allowance(MESSAGES_PER_S, MESSAGES_AT_ONCE, MESSAGES_AFTER_STALL),
        }
        self._closing: tuple[int, str] | None = None  # close code and reason
        self._dismissed = asyncio.Event()
        self._closed = asyncio.Event()

    def put(self, message: str, droppable: bool = False) -> None:
        """Queue a message. A droppable one is dropped while the queue is half full."""
        if droppable and self._queue.qsize() > WAITING_MESSAGES // 2:
            return
        self._put(message)

    def greet(self, first: list[str]) -> None:
        """Queue the greeting and the missed transcripts before all that is queued already."""
        self.greeted = True
        queued = [self._queue.get_nowait() for _ in range(self._queue.qsize())]
        messages = [*first, *(message for message in queued if message not in first)]
        # The client is no slower for these: they take no place of later messages.
        self._queue = asyncio.Queue(WAITING_MESSAGES + len(messages))
        for message in messages:
            self._queue.put_nowait(message)

    def finish(self, code: int = NORMAL, reason: str = "") -> None:
        """Close the socket once all queued messages are sent."""
        if self._put(None):
            self._closing = self._closing or (code, reason)

    def dismiss(self, code: int, reason: str) -> None:
        """Close the socket at once; queued messages are lost."""
        self._closing = self._closing or (code, reason)
        self._dismissed.set()

    async def wait_closed(self) -> None:
        """Wait until `run` has ended."""
        await self._closed.wait()

    def _put(self, message: str | None) -> bool:
        try:
            self._queue.put_nowait(message)
        except asyncio.QueueFull:
            self.dismiss(TRY_AGAIN_LATER, "too slow")
            return False
        return True

    async def run(self, take: Callable[[str | bytes], None]) -> int | None:
        """Send what is queued and receive messages, until the client leaves or is dismissed.

        Parameters
        ----------
        take : callable
            Called with each message that is within the limits, one at a time.

        Returns
        -------
        int or None
            The close code that the client was dismissed with; None if it left, or if `finish`
            closed the socket.
        """
        work = (self._receive(take), self._send(), self._dismissed.wait())
        tasks = [asyncio.create_task(each) for each in work]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            results = await asyncio.gather(*tasks, return_exceptions=True)
        for result in results:
            if isinstance(result, Exception):
                log.error("serving a client failed", exc_info=result)
        if self._closing is None:
            self._closed.set()
            return None
        code, reason = self._closing
        if code not in (NORMAL, SERVICE_RESTART):
            log.warning("a client was let go: %s", reason)
        await close(self._socket, code, reason)
        self._closed.set()
        return None if code == NORMAL else code

    async def _receive(self, take: Callable[[str | bytes], None]) -> None:
        with contextlib.suppress(RuntimeError):  # the socket is closed already
            while (received := await self._socket.receive())["type"] != "websocket.disconnect":
                message = _content(received)
                if len(message) > MAX_MESSAGE_BYTES:
                    self.dismiss(MESSAGE_TOO_BIG, f"at most {MAX_MESSAGE_BYTES} bytes a message")
                elif not self._allowances[type(message)].take():
                    self.dismiss(POLICY_VIOLATION, f"at most {MESSAGES_PER_S} messages a second")
                else:
                    take(message)

    async def _send(self) -> None:
        with contextlib.suppress(RuntimeError, WebSocketDisconnect):
            while (message := await self._queue.get()) is not None:
                await self._socket.send_text(message)


def _content(received: Mapping[str, Any]) -> str | bytes:
    text: str | None = received.get("text")
    data: bytes = received.get("bytes") or b""
    return data if text is None else text


async def close(socket: WebSocket, code: int, reason: str) -> None:
    """Close a socket, which may be closed already."""
    text = reason.encode()[:MAX_REASON_BYTES].decode(errors="ignore")
    with contextlib.suppress(RuntimeError, WebSocketDisconnect, TimeoutError):
        await asyncio.wait_for(socket.close(code, text), CLOSE_S)


async def refuse(socket: WebSocket, code: int, reason: str) -> None:
    """Accept a socket and close it: only a client whose socket was open hears the reason."""
    await socket.accept()
    await close(socket, code, reason)
