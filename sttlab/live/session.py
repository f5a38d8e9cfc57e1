"""The live pipeline; the only place that starts pipeline threads.

| thread | runs | owns |
| --- | --- | --- |
| sttlab-dsp | `_capture` | the source and the StreamCore |
| sttlab-asr | `AsrWorker._run` | the transcriber |
| sttlab-watchdog | `AsrWorker._watch` | nothing: it notices an engine that hangs |

Callbacks of `Session.subscribe` run on these and must not block.
"""

from __future__ import annotations

import logging
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from types import TracebackType
from typing import Any

from sttlab.audio import SAMPLE_RATE
from sttlab.capture.base import AudioSource, Block
from sttlab.config import TranscribeConfig, VadConfig
from sttlab.core import StreamCore
from sttlab.engines import make_engine
from sttlab.engines.base import Engine, Transcription
from sttlab.errors import SessionError, SttlabError, TranscribeError
from sttlab.events import (
    DeviceLost,
    Event,
    Level,
    SamplesLost,
    SessionFailed,
    SourceEnded,
    SpeechPaused,
    StreamEvent,
    Suppressed,
    Transcript,
    TranscriptionFailed,
    Utterance,
)
from sttlab.live.lease import Lease, Shared
from sttlab.live.speculation import Attempt, Speculation
from sttlab.live.worker import Answer, AsrWorker, Job, Priority
from sttlab.vad import require_detector

log = logging.getLogger(__name__)

READ_S = 0.1  # the longest that a stop or new settings wait for the source
STALL_S = 2.0  # without sound for so long, open speech is over
LAST_S = 5.0  # of sound, read after a stop: as much as a microphone may have heard before
STOP_S = 30.0  # for the engine to read what was said before a stop
STOP_ENGINE_S = 10.0  # for its thread to end when no capture needs it
HISTORY = 10_000  # transcripts kept by a session
FAILED_S = 600.0  # of sound of the utterances that the engine failed on; the oldest are let go
LISTENER_EVENTS = 2_000  # that `Session.events` holds for a reader


@dataclass(frozen=True)
class _Open:
    """An utterance that waits for its answer; wall times in seconds."""

    utterance: Utterance
    arrived_at: float  # when its last audio did
    decided_at: float


@dataclass(frozen=True, kw_only=True)
class SessionStats:
    """A session's figures since its start.

    Attributes
    ----------
    audio_s : float
        Stream time, lost samples included.
    lost_samples : int
    utterances, queued_utterances, transcripts, suppressed, failed : int
    decode_s : float
        Wall time that the engine took.
    rtf : float
        `decode_s` over the length of the utterances decoded; 0 before the first.
    """

    audio_s: float
    lost_samples: int
    utterances: int
    queued_utterances: int
    transcripts: int
    suppressed: int
    failed: int
    decode_s: float
    rtf: float


class EventStream:
    """What `Session.events` gives: an iterator that ends when the session stops."""

    def __init__(self) -> None:
        self._events: deque[Event] = deque()  # bounded by LISTENER_EVENTS; Levels are dropped first
        self._changed = threading.Condition()
        self._closed = False
        self._behind = False

    def put(self, event: Event) -> None:
        """Take an event; never blocks."""
        with self._changed:
            full = len(self._events) >= LISTENER_EVENTS
            if self._closed or (isinstance(event, Level) and len(self._events) > 100):
                return
            if full:
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


class Session:
    """Sound in, text out, live.

    Parameters
    ----------
    source : AudioSource
    vad : VadConfig, optional
    model : str, TranscribeConfig, Engine or AsrWorker
        A model's name; or all about it; or an engine; or a worker that other sessions share.
    partials : bool
        Whether to emit `Partial` while someone speaks, even if nobody asks by `want_partials`. May
        be set while running.
    live : bool
        Otherwise the engine has its turn when no live session needs it, and there are no `Level`.
    clock : callable
        Wall time in seconds, for latency figures and to notice a stalled source.

    Attributes
    ----------
    starts : int
        How often it was started; times and ids of utterances begin anew each time.
    error : SttlabError or None
        Why capture ended, if it failed.

    Examples
    --------
    >>> with Session(FileSource("talk.wav", speed=None)) as session:  # doctest: +SKIP
    ...     session.wait()
    ...     print(session.history[0].text)
    """

    def __init__(
        self,
        source: AudioSource,
        *,
        vad: VadConfig | None = None,
        model: str | TranscribeConfig | Engine | AsrWorker = "tiny.en",
        partials: bool = False,
        live: bool = True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._lane = object()  # in the worker's hands, who must not hold the session itself
        self.worker = model if isinstance(model, AsrWorker) else _make_worker(model, clock)
        self.source = source
        self._partials = partials
        self._wanting: frozenset[object] = frozenset()  # who wants partials
        self._live = live
        self.error: SttlabError | None = None
        self.starts = 0
        self._config = vad or VadConfig()
        self._clock = clock
        self._callbacks: tuple[Callable[[Event], None], ...] = ()
        self._streams: tuple[EventStream, ...] = ()
        self._lifecycle = threading.RLock()
        self._state = threading.Condition()  # guards the counts and the history
        self._history: deque[Transcript] = deque(maxlen=HISTORY)
        self._failed: deque[Utterance] = deque()  # bounded by FAILED_S
        self._stopping = threading.Event()
        self._abandoned = threading.Event()
        self._dsp: threading.Thread | None = None
        me = weakref.proxy(self)  # lest a circle keep a forgotten session, and its microphone
        self._capture = Shared(
            self._lifecycle, lambda: me._start(), lambda timeout_s: me._stop(timeout_s), STOP_S
        )
        given = isinstance(model, AsrWorker)
        self._engine = Shared(
            self._lifecycle,
            partial(self.worker.start, wait=False),
            _leave if given else self.worker.stop,
            STOP_ENGINE_S,
        )
        self._own = self.lease()  # of the person who calls `start`
        if not given:
            weakref.finalize(self, self.worker.request_stop)
        self._reset()

    def _reset(self) -> None:
        self._core = StreamCore(self._config, levels=self._live)
        self._heard_at = self._clock()
        self._counts = dict.fromkeys(
            ("lost_samples", "utterances", "transcripts", "suppressed", "failed"), 0
        )
        self._decode_s = 0.0
        self._decoded_s = 0.0
        self._open: dict[int, _Open] = {}  # utterances without an answer, by id
        self._ended = False
        self._speculation = Speculation()

    # -- from any thread ----------------------------------------------------------------------

    def start(self) -> None:
        """Open the source, start the threads and wait for the model. Does nothing when running.

        Sound that comes while the model loads waits for it.

        Raises
        ------
        SourceError
            If there is no sound to be had.
        ModelError
            If the model can't be had.
        """
        try:
            self._own.capture()
        except BaseException:  # an interrupt of the kernel too
            self._own.close()
            raise

    def _start(self) -> None:
        if self._dsp is not None:
            if not self.error or self.kept:
                return
            self._stop(STOP_S)
        self.source.open()
        self.starts += 1
        self._reset()
        self.error = None
        self._stopping.clear()
        self._abandoned.clear()
        self._engine.hold(self._lane)  # before capture, which hands it utterances
        self._dsp = threading.Thread(
            target=_capture,
            args=(weakref.ref(self), self.source, self._stopping),
            name="sttlab-dsp",
            daemon=True,
        )
        self._dsp.start()
        try:
            self.worker.wait_ready()
        except BaseException:
            self._stop(timeout_s=1.0)
            raise

    def lease(self) -> Lease:
        """Make a claim on capture and engine for one more who needs them; see `Lease`."""
        return Lease(self._capture, self._engine, self.worker.wait_ready)

    @property
    def kept(self) -> bool:
        """Whether capture goes on until `stop`, since `start` was called, whoever else holds it."""
        return self._own.captures

    def change_source(self, source: AudioSource) -> None:
        """Stop, and start again from another source if anyone holds it.

        Raises
        ------
        SourceError, ModelError
            See `start`. The session is stopped, and has its old source.
        """
        with self._lifecycle:
            self._stop(STOP_S)
            before, self.source = self.source, source
            try:
                if self._capture.held:
                    self._start()
            except BaseException:
                self.source = before
                raise

    def stop(self, timeout_s: float = STOP_S) -> None:
        """Stop capture, transcribe what was said before, and end the threads, whoever holds it.

        Parameters
        ----------
        timeout_s : float
            How long the engine may take for what waits; what it doesn't manage is reported as
            `TranscriptionFailed`.
        """
        if threading.current_thread().name in ("sttlab-dsp", "sttlab-asr"):
            raise SessionError("stop was called from a callback of the session; use another thread")
        with self._lifecycle:
            self._stop(timeout_s)
            self._own.close()

    def _stop(self, timeout_s: float) -> None:
        if self._dsp is None:
            return
        deadline = self._clock() + timeout_s
        self._stopping.set()
        self._dsp.join(timeout_s)
        if self._dsp.is_alive():
            log.warning("%s did not let go within %.0f s", self.source.name, timeout_s)
        with self._state:
            self._state.wait_for(
                lambda: not self._open or not self.worker.ready or self._abandoned.is_set(),
                max(0, deadline - self._clock()),
            )
        self._abandoned.set()
        for job in self.worker.forget(self._lane):
            job.done(TranscribeError(f"stopped after {timeout_s:g} s, before its turn"), 0.0)
        self._engine.release(self._lane, max(1.0, deadline - self._clock()))
        self._dsp = None
        with self._state:
            streams, self._streams = self._streams, ()
        for stream in streams:
            stream.close()

    def abandon(self) -> None:
        """Have a stop that waits for the engine, on another thread, wait no longer."""
        self._abandoned.set()
        with self._state:
            self._state.notify_all()

    @property
    def running(self) -> bool:
        """Whether the session was started and not stopped; a source that ended doesn't stop it."""
        return self._dsp is not None

    @property
    def partials(self) -> bool:
        """Whether `Partial` are emitted."""
        return self._partials or bool(self._wanting)

    @partials.setter
    def partials(self, wanted: bool) -> None:
        self._partials = wanted

    def want_partials(self, holder: object, wanted: bool) -> None:
        """Have them emitted while anyone wants them."""
        with self._state:
            self._wanting = self._wanting | {holder} if wanted else self._wanting - {holder}

    @property
    def config(self) -> VadConfig:
        """The settings last submitted."""
        return self._config

    def update(self, config: VadConfig | None = None, **changes: Any) -> VadConfig:
        """Submit new settings, which apply from the next frame on and come back as an event.

        Parameters
        ----------
        config : VadConfig, optional
            All settings at once.
        **changes
            Single fields of VadConfig.

        Raises
        ------
        ConfigError
            If a value is out of bounds; the old settings stay.
        MissingExtra
            If the packages of the detector are not installed.
        """
        with self._state:
            try:
                config = replace(config or self._config, **changes)
            except TypeError:
                from sttlab.config import from_dict

                from_dict(VadConfig, changes)
                raise
            require_detector(config)
            self._config = config
            return config

    def subscribe(self, callback: Callable[[Event], None]) -> Callable[[], None]:
        """Have every event given to `callback`, on a pipeline thread, where it must not block.

        Returns
        -------
        callable
            Ends the subscription. A callback that raises is logged and ends it too.
        """
        with self._state:
            self._callbacks = (*self._callbacks, callback)
        return partial(self._unsubscribe, callback)

    def _unsubscribe(self, callback: Callable[[Event], None]) -> None:
        with self._state:
            self._callbacks = tuple(c for c in self._callbacks if c != callback)

    def events(self) -> EventStream:
        """Iterate over events from now until the session stops; blocks while there are none.

        Raises
        ------
        SessionError
            While iterating, if the reader fell too far behind.
        """
        stream = EventStream()
        with self._state:
            if self._dsp is None:
                stream.close()
            else:
                self._streams = (*self._streams, stream)
        return stream

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait until the source has ended and all is transcribed, or the session has failed.

        Returns
        -------
        bool
            Whether it has, or False when time is up.

        Raises
        ------
        SessionError
            If the session was never started.
        """
        if not self.starts:
            raise SessionError("the session was not started: there is nothing to wait for")
        with self._state:
            return self._state.wait_for(lambda: self._ended and not self._open, timeout_s)

    @property
    def late_s(self) -> float:
        """How long the utterance that has waited longest for its text does so by now; 0 if none."""
        with self._state:
            return (
                self._clock() - min(o.decided_at for o in self._open.values())
                if self._open
                else 0.0
            )

    @property
    def history(self) -> tuple[Transcript, ...]:
        """The transcripts so far, of earlier starts too, oldest first."""
        with self._state:
            return tuple(self._history)

    @property
    def failed(self) -> tuple[Utterance, ...]:
        """The last utterances that no text came of, with their sound, oldest first; ten minutes.

        Each was reported by a `TranscriptionFailed`.
        """
        with self._state:
            return tuple(self._failed)

    @property
    def stats(self) -> SessionStats:
        """The figures as they stand."""
        with self._state:
            return SessionStats(
                audio_s=self._core.position / SAMPLE_RATE,
                queued_utterances=len(self._open),
                decode_s=self._decode_s,
                rtf=self._decode_s / self._decoded_s if self._decoded_s else 0.0,
                **self._counts,
            )

    # -- on sttlab-dsp ------------------------------------------------------------------------

    def _take(self, block: Block) -> None:
        if self._core.config is not self._config:
            self._handle(self._core.update(self._config))
        for event in block.events:
            self._emit(event)
            if isinstance(event, DeviceLost):
                self._handle(self._core.flush("interrupted"))
        now = self._clock()
        if len(block.samples) or block.lost_samples:
            self._heard_at = now
        elif now - self._heard_at > STALL_S:
            self._handle(self._core.flush("interrupted"))
        self._handle(self._core.feed(block))

    def _finish(self, ended: bool) -> None:
        self._handle(self._core.flush())
        if ended:
            self._emit(SourceEnded(time_s=self._core.position / SAMPLE_RATE))

    def _fail(self, error: SttlabError) -> None:
        self.error = error
        self._emit(SessionFailed(message=str(error)))

    def _handle(self, events: list[StreamEvent]) -> None:
        for event in events:
            if not isinstance(event, Event):
                if self._live and isinstance(event, SpeechPaused):
                    job = self._speculation.pause(event.utterance, self._speculated)
                    if not self.worker.submit(self._lane, job, lambda: True):
                        self._speculation.drop()  # the lane is full: the end takes its own turn
                continue
            self._emit(event)
            if isinstance(event, Utterance):
                self._submit(event)
            elif isinstance(event, SamplesLost):
                with self._state:
                    self._counts["lost_samples"] += event.count
            elif isinstance(event, Level):
                self._speculation.follow(event)
        if self.partials and self._speculation.due(now := self._clock()):
            utterance = self._core.unfinished()
            if utterance:
                job = self._speculation.look(utterance, now, self._speculated)
                self.worker.submit(self._lane, job, lambda: True)

    def _submit(self, utterance: Utterance) -> None:
        late_s = (self._core.position - utterance.decided_sample) / SAMPLE_RATE
        opened = _Open(utterance, self._heard_at - late_s, self._clock())
        with self._state:
            self._open[utterance.utterance_id] = opened
            self._counts["utterances"] += 1
        adopted = self._speculation.adopt(utterance)
        if adopted:
            if adopted.result:
                self._answer(utterance.utterance_id, *adopted.result, guessed=True)
            return
        done = partial(self._answer, utterance.utterance_id)
        job = Job(utterance.samples, Priority.FINAL if self._live else Priority.LATER, done)
        if not self.worker.submit(self._lane, job, self._abandoned.is_set):
            why = self.worker.hangs or "the session stopped before the engine had time for it"
            done(TranscribeError(why), 0.0)

    # -- on sttlab-asr ------------------------------------------------------------------------

    def _speculated(self, attempt: Attempt, answer: Answer, engine_s: float) -> None:
        if self._speculation.settle(attempt, answer, engine_s):
            self._answer(attempt.utterance.utterance_id, answer, engine_s, guessed=True)
        elif self.partials and (event := self._speculation.grow(attempt, answer, engine_s)):
            self._emit(event)

    def _answer(
        self, utterance_id: int, answer: Answer, engine_s: float, guessed: bool = False
    ) -> None:
        """Say what became of an utterance."""
        with self._state:
            opened = self._open[utterance_id]
        utterance, arrived_at, decided_at = opened.utterance, opened.arrived_at, opened.decided_at
        events: list[Event] = []
        if isinstance(answer, TranscribeError):
            events.append(
                TranscriptionFailed(
                    utterance_id=utterance.utterance_id,
                    message=str(answer),
                    start_s=utterance.start_s,
                    end_s=utterance.end_s,
                )
            )
            self._keep(utterance)
        else:
            if answer.text:
                waited_s = self._clock() - decided_at
                transcript = _transcript(
                    utterance, answer, decided_at - arrived_at, waited_s, engine_s
                )
                events.append(replace(transcript, guessed=guessed))
            events += [
                Suppressed(
                    utterance_id=utterance.utterance_id,
                    text=s.text,
                    reason=s.reason,
                    start_s=s.start_s + utterance.start_s,
                    end_s=s.end_s + utterance.start_s,
                )
                for s in answer.suppressed
            ]
        for event in events:
            self._count(event)
            self._emit(event)
        with self._state:
            self._decode_s += engine_s
            self._decoded_s += utterance.duration_s
            self._open.pop(utterance.utterance_id, None)
            self._state.notify_all()

    def _keep(self, failed: Utterance) -> None:
        with self._state:
            self._failed.append(failed)
            while sum(u.duration_s for u in self._failed) > FAILED_S:
                self._failed.popleft()

    def _count(self, event: Event) -> None:
        with self._state:
            if isinstance(event, Transcript):
                self._history.append(event)
            self._counts[_COUNTED[type(event)]] += 1

    # -- on both ------------------------------------------------------------------------------

    def _emit(self, event: Event) -> None:
        for stream in self._streams:
            stream.put(event)
        for callback in self._callbacks:
            try:
                callback(event)
            except Exception:
                log.exception("a callback failed on %s and gets no more events", event.kind)
                self._unsubscribe(callback)

    def __enter__(self) -> Session:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def __repr__(self) -> str:
        state = "running" if self.running else "stopped"
        engine = self.worker.transcriber.name
        return f"<Session {state}: {self.source.name} -> {engine}, {len(self.history)} transcripts>"


def _transcript(
    utterance: Utterance, answer: Transcription, capture_s: float, waited_s: float, engine_s: float
) -> Transcript:
    start_s = utterance.start_s
    pause_s = (utterance.decided_sample - utterance.speech_end_sample) / SAMPLE_RATE
    decode_s = min(engine_s, waited_s)
    return Transcript(
        utterance_id=utterance.utterance_id,
        text=answer.text,
        start_s=start_s,
        end_s=utterance.end_s,
        language=answer.language,
        language_probability=answer.language_probability,
        confidence=answer.confidence,
        segments=tuple(s.later(start_s) for s in answer.segments),
        pause_s=pause_s,
        capture_s=capture_s,
        queue_s=waited_s - decode_s,
        decode_s=decode_s,
        delay_s=pause_s + capture_s + waited_s,
        engine_s=engine_s,
        guessed=False,
    )


def _make_worker(model: str | TranscribeConfig | Engine, clock: Callable[[], float]) -> AsrWorker:
    if isinstance(model, str):
        model = TranscribeConfig(model=model)
    if isinstance(model, TranscribeConfig):
        model = make_engine(model)
    return AsrWorker(model, clock=clock)


def _leave(timeout_s: float) -> None:
    """Leave a worker that was given to its owner."""


_COUNTED = {Transcript: "transcripts", Suppressed: "suppressed", TranscriptionFailed: "failed"}


def _capture(
    session_ref: weakref.ref[Session], source: AudioSource, stopping: threading.Event
) -> None:
    """Run `sttlab-dsp`: read the source until it ends, the session stops or nobody holds it."""
    ended = False
    try:
        left = round(LAST_S * SAMPLE_RATE)
        while left > 0 and not ended:
            stop = stopping.is_set()
            block = source.read(0 if stop else READ_S)
            session = session_ref()
            if session is None:
                return
            if block is None:
                ended = True
            else:
                session._take(block)
                if stop:
                    left = left - len(block.samples) if len(block.samples) else 0
            del session
        if (session := session_ref()) is not None:
            session._finish(ended)
    except Exception as error:
        if (session := session_ref()) is not None:
            known = isinstance(error, SttlabError)
            if not known:
                log.exception("capture from %s failed", source.name)
            session._finish(ended=False)
            session._fail(error if isinstance(error, SttlabError) else SessionError(str(error)))
    finally:
        source.close()
        if (session := session_ref()) is not None:
            with session._state:
                session._ended = True
                session._state.notify_all()
