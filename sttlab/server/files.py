"""Recordings that clients send: decoded in another process, transcribed when nobody speaks."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
from collections.abc import AsyncIterator, Callable, Iterable
from functools import partial

from fastapi import HTTPException, Request
from fastapi.responses import StreamingResponse
from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope, Send

from sttlab.errors import ModelError, SourceError
from sttlab.events import (
    Event,
    Notice,
    SessionFailed,
    Suppressed,
    Transcript,
    TranscriptionFailed,
)
from sttlab.live.ledger import HISTORY
from sttlab.server import protocol
from sttlab.server.decoder import DecoderProcess
from sttlab.server.hub import Hub
from sttlab.server.protocol import MAX_FILE_BYTES, FileDone, FileOpened, FileProgress
from sttlab.unheard import without_words

log = logging.getLogger("uvicorn.error")  # shown by a plain `uvicorn sttlab.server:app`

MAX_FILES = 4  # at a time
SLOW_S = 30.0  # of waiting for a file that comes more slowly than SLOWEST_BYTES_PER_S
SLOWEST_BYTES_PER_S = 2048.0  # half of what the slowest of mobile networks carries
DRAINED_S = 0.05  # between checks whether all files are done
WAITS_S = 2.0  # without progress, between two messages that say what the file waits for
MEASURED_S = 3.0  # of transcription, before which its speed says nothing
LIVE = "live speech"
TELL_S = 0.25  # between checks of the progress
TOO_SLOW = (
    f"in {SLOW_S:.0f} s less than {SLOWEST_BYTES_PER_S / 1024:.0f} KiB of the file came a second. "
    "Send it over a quicker network, or compress it"
)
STOPPED = "the server was stopped meanwhile"
NO_FORM = "send the recording itself, and no form: curl --data-binary @talk.m4a"
# Errors of the system that have to do with neither the disk nor the file.
SHORT = (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN)
TOO_LARGE = f"a file may have {MAX_FILE_BYTES >> 20} MiB at most: cut it, or compress it"


class Files:
    """Transcribes what `POST /files` brings. Belongs to the event loop's thread.

    Parameters
    ----------
    shared : Hub
        Its session's settings and engine are used.
    """

    def __init__(self, shared: Hub) -> None:
        self._shared = shared
        self._open: set[_File] = set()
        self._closing: set[asyncio.Task[None]] = set()

    async def transcribe(
        self, request: Request, name: str, track: int | None, channel: int | None
    ) -> StreamingResponse:
        """Take a file that is a request's body, and answer with its text as it is made.

        Parameters
        ----------
        request : Request
        name : str
            The file's name; may be empty.
        track, channel : int or None
            See `open_audio`.

        Raises
        ------
        HTTPException
            408, 413, 415, 422, 503 or 507, with the reason in words.
        """
        if request.headers.get("content-type", "").lower().startswith("multipart/"):
            raise HTTPException(415, NO_FORM)
        if int(request.headers.get("content-length", "0")) > MAX_FILE_BYTES:
            raise HTTPException(413, TOO_LARGE)
        if len(self._open) >= MAX_FILES:
            why = f"{MAX_FILES} files are being transcribed already: try again later"
            raise HTTPException(503, why, {"Retry-After": "10"})
        if self._shared.stopping:
            raise HTTPException(503, STOPPED)
        try:
            return await self._begin(request, DecoderProcess(name, track, channel))
        except OSError as error:
            raise _unable(error) from error

    async def _begin(self, request: Request, source: DecoderProcess) -> StreamingResponse:
        file = _File(self._shared, source)
        self._open.add(file)
        try:
            await file.take(request)
            opened = await file.start()
            file.started = True
        except BaseException:
            self._forget(file)
            raise
        return _Answer(file, opened, partial(self._forget, file))

    def _forget(self, file: _File) -> None:
        """Close a file on a thread. Nobody awaits it: a task that is cancelled can't."""
        closing = asyncio.create_task(asyncio.to_thread(file.close))
        self._closing.add(closing)
        closing.add_done_callback(self._closing.discard)
        closing.add_done_callback(lambda _: self._open.discard(file))

    async def drain(self, enough: asyncio.Event) -> None:
        """End uploads; let the engine finish what has come, until `enough` is set."""
        self._cancel(file for file in self._open if not file.started)
        while self._open and not enough.is_set():  # noqa: ASYNC110 - threads close a file
            await asyncio.sleep(DRAINED_S)
        self._cancel(self._open)

    def _cancel(self, files: Iterable[_File]) -> None:
        for file in files:
            file.request.cancel()

    async def close(self) -> None:
        """End the transcriptions that are running."""
        for file in list(self._open):
            await asyncio.to_thread(file.close)
        await asyncio.gather(*self._closing)


def _unable(error: OSError) -> HTTPException:
    """Say what the server lacks, which no other file would change."""
    if error.errno in SHORT:
        log.error("a recording was refused: %s", error.strerror)
        why = f"the server can't take another file now: {error.strerror}. Try again later"
        return HTTPException(503, why, {"Retry-After": "10"})
    remedy = "free some space in its temporary folder, or restart it with TMPDIR set to another"
    log.error("a recording was refused: it can't be kept: %s; %s", error.strerror, remedy)
    why = f"the server can't keep the file while it decodes it: {error.strerror}"
    return HTTPException(507, f"{why}. Whoever runs it: {remedy}; then send the file again")


class _Answer(StreamingResponse):
    def __init__(self, file: _File, opened: FileOpened, ended: Callable[[], None]) -> None:
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        super().__init__(_lines(file, opened), media_type="application/x-ndjson", headers=headers)
        self._ended = ended

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, until all text is sent or the client leaves."""
        try:
            await super().__call__(scope, receive, send)
        except asyncio.CancelledError:  # the server stops; a client that leaves raises nothing
            last = protocol.full(SessionFailed(message=STOPPED))
            body = f"{last}\n".encode()
            with contextlib.suppress(OSError, RuntimeError):
                await send({"type": "http.response.body", "body": body, "more_body": False})
        finally:
            self._ended()


async def _lines(file: _File, opened: FileOpened) -> AsyncIterator[str]:
    yield f"{protocol.full(opened)}\n"
    async for event in file.events():
        yield f"{protocol.full(event)}\n"


class _File:
    def __init__(self, shared: Hub, source: DecoderProcess) -> None:
        self._source = source
        self._session = shared.new_session(self._source, live=False)
        self._loop = asyncio.get_running_loop()
        request = asyncio.current_task()
        assert request
        self.request = request
        self.started = False
        # As many as a session keeps: the engine is far slower than any client that reads at all.
        self._events: asyncio.Queue[Event] = asyncio.Queue(HISTORY)
        self._notices: list[str] = []
        self._duration_s: float | None = None
        self._started_s = 0.0
        self._session.subscribe(self._hear)

    async def take(self, request: Request) -> None:
        """Pass the file on to the decoder, as it comes."""
        await asyncio.to_thread(self._source.launch)
        taken, patience_s = 0, SLOW_S
        pieces = request.stream().__aiter__()
        loop = self._loop
        while True:
            asked_s = loop.time()
            try:
                piece = await asyncio.wait_for(pieces.__anext__(), patience_s)
            except StopAsyncIteration:
                break
            except ClientDisconnect:
                raise HTTPException(400, "the file did not come whole") from None
            except asyncio.TimeoutError:
                raise HTTPException(408, TOO_SLOW) from None
            taken += len(piece)
            left_s = patience_s - (loop.time() - asked_s) + len(piece) / SLOWEST_BYTES_PER_S
            patience_s = min(SLOW_S, max(0.0, left_s))
            if taken > MAX_FILE_BYTES:
                raise HTTPException(413, TOO_LARGE)
            await asyncio.to_thread(self._source.write, piece)

    async def start(self) -> FileOpened:
        """Start the session once the decoder knows what the file is."""
        try:
            self._duration_s = await asyncio.to_thread(self._source.begin)
            await asyncio.to_thread(self._session.start)
        except SourceError as error:
            raise HTTPException(422, str(error)) from error
        except ModelError as error:
            raise HTTPException(503, str(error)) from error
        self._started_s = self._loop.time()
        return FileOpened(duration_s=self._duration_s)

    def _hear(self, event: Event) -> None:
        """Run on the session's threads."""
        if isinstance(event, Notice):
            self._notices.append(event.message)
        if isinstance(event, Transcript | Suppressed | TranscriptionFailed):
            with contextlib.suppress(RuntimeError):  # the loop is closed
                self._loop.call_soon_threadsafe(self._put, event)

    def _put(self, event: Event) -> None:
        try:
            self._events.put_nowait(event)
        except asyncio.QueueFull:
            self._session.abandon()

    async def events(self) -> AsyncIterator[Event]:
        """Yield text as it is made, and the progress, to the end."""
        told_s = done_s = 0.0
        told_at = self._loop.time()
        while True:
            over = self._session.wait(0)
            event = await self._next(over)
            if event:
                yield event
            elif over:
                break
            if isinstance(event, Transcript | Suppressed):
                done_s = event.end_s
            elif not self._session.stats.queued_utterances:
                done_s = self._session.stats.audio_s
            now = self._loop.time()
            waits = now - told_at > WAITS_S and self._session.waits_for_live
            if done_s > told_s or waits:
                waits_for = None if done_s > told_s else LIVE
                told_s, told_at = done_s, now
                left_s = self._left_s(done_s, now - self._started_s)
                yield FileProgress(done_s=done_s, waits_for=waits_for, left_s=left_s)
        if self._session.error:
            yield SessionFailed(message=str(self._session.error))
        else:
            yield FileDone(duration_s=self._session.stats.audio_s, problem=self._problem())

    def _left_s(self, done_s: float, took_s: float) -> float | None:
        """Estimate how long the rest takes, if it goes on as it went, waits included."""
        if not self._duration_s or not done_s or took_s < MEASURED_S:
            return None
        return round(took_s * max(0.0, self._duration_s - done_s) / done_s, 1)

    def _problem(self) -> str | None:
        stats = self._session.stats
        said = [self._source.log, *self._notices]
        if stats.utterances and not stats.transcripts:
            said.append(without_words(stats.utterances))
        return "\n".join(filter(None, said)) or None

    async def _next(self, over: bool) -> Event | None:
        if over:
            await asyncio.sleep(0)  # for events that are on their way from the threads
            return None if self._events.empty() else self._events.get_nowait()
        with contextlib.suppress(asyncio.TimeoutError):
            return await asyncio.wait_for(self._events.get(), TELL_S)
        return None

    def close(self) -> None:
        """End the process and the session. Blocks shortly."""
        self._source.close()
        self._session.abandon()
        self._session.stop()
