"""The engine's thread, and the queue of jobs before it.

`sttlab-asr` owns the engine; `sttlab-watchdog` owns nothing and notices an engine that hangs;
`sttlab-load` loads another engine while the old one goes on.
"""

from __future__ import annotations

import atexit
import logging
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from enum import IntEnum
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from sttlab.audio import SAMPLE_RATE
from sttlab.config import TranscribeConfig
from sttlab.engines.base import Cancelled, Engine, Transcription, checked
from sttlab.errors import ModelError, SessionError, SttlabError, TranscribeError

log = logging.getLogger(__name__)

Answer: TypeAlias = Transcription | TranscribeError

LANE_JOBS = 8  # utterances of one session that may wait for the engine
HANG_S, HANG_RTF = 30.0, 10.0  # an engine may take so long, and so many times as long as the audio
CANCEL_S = 10.0  # for an engine that took too long to notice that it is to leave off
LAST_JOIN_S = 3.0  # for the engine to notice that its work is dropped
STOPPED = "the engine was stopped meanwhile"
SPEED_OF, SPEED_FROM = 30, 3  # answers that tell how fast the engine is, and the least of them
FULL_S = 0.1  # between looks at whether one who waits for a place has given up


class Priority(IntEnum):
    """What the engine does first."""

    FINAL = 0
    SPECULATION = 1  # speech has paused; if it doesn't go on, this is the final text
    PARTIAL = 2  # dropped as soon as anything else comes
    LATER = 3  # a recording, for whose text nobody waits as they wait for an answer


class Job:
    """Audio on its way through the engine.

    Parameters
    ----------
    samples : ndarray, shape (n,), float32
    priority : Priority
        May be raised while it waits.
    done : callable
        Called on the worker's thread with the answer, or the error, and the seconds that the
        engine took; not called for a job that was cancelled.
    """

    def __init__(
        self,
        samples: NDArray[np.float32],
        priority: Priority,
        done: Callable[[Answer, float], None],
    ) -> None:
        self.samples = samples
        self.priority = priority
        self.done = done
        self.cancelled = threading.Event()


@dataclass
class _Attempt:
    """One try of the engine at a job."""

    job: Job
    limit_s: float
    overdue: threading.Event

    def __post_init__(self) -> None:
        self.deadline = time.monotonic() + self.limit_s


class AsrWorker:
    """One thread that owns one engine and serves any number of sessions, in turn.

    An utterance on which the engine fails, or takes too long, is tried once more. While an engine
    hangs and can't be stopped, every utterance fails at once.

    Parameters
    ----------
    transcriber : Engine
    patience : float
        Multiplies the time that the engine may take, which is HANG_S and HANG_RTF times the audio.
    clock : callable
        Wall time in seconds, for figures only.
    """

    def __init__(
        self,
        transcriber: Engine,
        *,
        patience: float = 1.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._patience = patience
        self._clock = clock
        # Written by sttlab-asr, and by `start` and `use` while it does not run:
        self.transcriber = transcriber
        self._error: ModelError | None = None
        self._ready = threading.Event()
        self.ready_at = 0.0  # wall time at which the model was loaded
        # Of whoever starts and stops the worker:
        self._thread: threading.Thread | None = None
        self._watchdog: threading.Thread | None = None
        self._using = threading.Lock()  # held while the engine changes
        # Guarded by `_changed`:
        self._changed = threading.Condition()
        self._lanes: dict[object, deque[Job]] = {}  # each bounded by LANE_JOBS; `submit` waits
        self._current: tuple[object, Job] | None = None  # with its owner
        self._owed_s = 0.0  # of the engine's time, to recordings that wait, by partials
        self._attempt: _Attempt | None = None
        self._took: deque[tuple[float, float]] = deque(maxlen=SPEED_OF)  # s of audio, of engine
        self._change: tuple[Engine, Future[None]] | None = None
        self._hangs: str | None = None
        self._stopping = False
        self._done = False

    def start(self, wait: bool = True) -> None:
        """Start the thread, which loads and warms up the model. Does nothing when running.

        Parameters
        ----------
        wait : bool
            Return when the model is ready; otherwise at once, for `wait_ready` later.

        Raises
        ------
        ModelError
            If the model can't be had.
        """
        with self._changed:
            if self._thread is not None and not self._done:
                self._stopping = False  # the engine may have outlasted a stop
        if self._done:
            self.stop()
        if self._thread is None:
            self._stopping = False
            self._error = None
            self._done = False
            self._ready.clear()
            self._thread = threading.Thread(target=self._run, name="sttlab-asr", daemon=True)
            self._thread.start()
            self._watchdog = threading.Thread(
                target=self._watch, name="sttlab-watchdog", daemon=True
            )
            self._watchdog.start()
            _workers.add(self)
        if wait:
            self.wait_ready()

    def wait_ready(self) -> None:
        """Wait until the model is loaded. Raises ModelError if it can't be had."""
        self._ready.wait()
        if self._error:
            raise self._error

    def settles(self, timeout_s: float) -> bool:
        """Wait until the model is loaded or can't be had; say whether that was in time."""
        return self._ready.wait(timeout_s)

    @property
    def ready(self) -> bool:
        """Whether the model is loaded and the thread takes utterances."""
        return self._ready.is_set() and self._error is None

    @property
    def engine_name(self) -> str:
        """The engine and its model, for people."""
        return self.transcriber.name

    @property
    def engine_config(self) -> TranscribeConfig | None:
        """What the engine was made from; None for one made by hand."""
        return self.transcriber.config

    @property
    def hangs(self) -> str | None:
        """What is wrong and what to do, while the engine hangs and can't be stopped."""
        return self._hangs

    @property
    def speed(self) -> float | None:
        """Seconds that the engine takes for one of audio, lately; None while that isn't known."""
        with self._changed:
            audio_s, engine_s = map(sum, zip(*self._took, strict=True)) if self._took else (0, 0)
            return engine_s / audio_s if len(self._took) >= SPEED_FROM and audio_s else None

    @property
    def waiting(self) -> int:
        """Jobs that wait for the engine, of all sessions."""
        with self._changed:
            return sum(len(lane) for lane in self._lanes.values())

    def use(self, transcriber: Engine) -> None:
        """Change to another engine, from the next utterance on. Blocks until it is used.

        It loads on a thread `sttlab-load` beside the old one, which goes on meanwhile.

        Raises
        ------
        SttlabError
            If the new engine can't be loaded; the old one goes on.
        """
        with self._using:
            changed: Future[None] = Future()
            with self._changed:
                if self._hangs:
                    raise SessionError(self._hangs)
                running = self._thread is not None and not (self._stopping or self._error)
            if not running:
                self.stop()
                self.transcriber = transcriber
                return
            # A thread of its own, with which the threads end that PyTorch starts for each.
            with ThreadPoolExecutor(1, "sttlab-load") as loading:
                loading.submit(_load, transcriber).result()
            with self._changed:
                if self._hangs or self._stopping or self._error:
                    transcriber.close()
                    raise SessionError(self._hangs or STOPPED)
                self._change = transcriber, changed
                self._changed.notify_all()
            changed.result()

    def submit(self, owner: object, job: Job, give_up: Callable[[], bool]) -> bool:
        """Queue a job in its owner's lane. Waits while the lane is full, until `give_up()`."""
        with self._changed:
            if self._hangs:
                return False
            lane = self._lanes.setdefault(owner, deque())
            while len(lane) >= LANE_JOBS and not (self._stopping or self._error):
                if give_up():
                    return False
                self._changed.wait(FULL_S)
            if self._stopping or self._error or self._hangs:
                return False
            lane.append(job)
            if self._current and self._current[1].priority == Priority.PARTIAL > job.priority:
                self._current[1].cancelled.set()
            self._changed.notify_all()
            return True

    def waits_for_live(self, owner: object) -> bool:
        """Whether an owner's jobs wait while the engine is at another's live speech."""
        with self._changed:
            if not (self._lanes.get(owner) and self._current):
                return False
            other, job = self._current
            return other is not owner and job.priority != Priority.LATER

    def _share(self, job: Job, took_s: float) -> None:
        """Note the engine's time, of which partials and recordings that wait get equal parts."""
        waiting = any(j.priority == Priority.LATER for lane in self._lanes.values() for j in lane)
        if job.priority == Priority.LATER:
            self._owed_s -= took_s
        elif job.priority == Priority.PARTIAL and waiting:
            self._owed_s += took_s
        if not waiting:
            self._owed_s = min(0.0, self._owed_s)

    def _rank(self, job: Job) -> float:
        """Say when a job has its turn: the least first."""
        if job.priority == Priority.LATER and self._owed_s > 0:
            return Priority.PARTIAL - 0.5
        return job.priority

    def forget(self, owner: object) -> list[Job]:
        """Take back what an owner still has waiting, and what the engine is at; it stops soon."""
        with self._changed:
            jobs = list(self._lanes.pop(owner, ()))
            if self._current and self._current[0] is owner:
                job = self._current[1]
                job.cancelled.set()
                self._current = None
                jobs.insert(0, job)
            return jobs

    def stop(self, timeout_s: float = 10.0) -> bool:
        """Finish what is queued, end the thread, and say whether it ended in time.

        What the engine is at when time is up is dropped.
        """
        self.request_stop()
        thread = self._thread
        if thread is None:
            return True
        thread.join(timeout_s)
        if thread.is_alive():
            self._drop_all()
            thread.join(LAST_JOIN_S)
        if thread.is_alive():
            log.warning("the engine is still busy after %.0f s; its thread is left", timeout_s)
            return False
        assert self._watchdog is not None
        self._watchdog.join(LAST_JOIN_S)
        self._thread = self._watchdog = None
        return True

    def request_stop(self) -> None:
        """Have the thread end once it has finished what is queued; does not wait for that."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()

    def _drop_all(self) -> None:
        with self._changed:
            self._lanes.clear()
            if self._current:
                self._current[1].cancelled.set()

    def _run(self) -> None:
        try:
            _load(self.transcriber)
        except ModelError as error:
            self._error = error
        except SttlabError as error:
            self._error = ModelError(f"{self.transcriber.name} could not be loaded: {error}")
        self.ready_at = self._clock()
        self._ready.set()
        while (job := self._next()) is not None:
            if isinstance(job, tuple):
                self._swap(*job)
                continue
            # Turns go by real time, figures by the clock.
            started, begun = self._clock(), time.monotonic()
            answer = self._ask(job)
            if isinstance(answer, TranscribeError) and job.priority != Priority.PARTIAL:
                log.warning("%s; once more", answer)
                answer = self._ask(job)
            with self._changed:
                wanted = self._current is not None  # its owner has not taken it back
                self._current = None
                took_s = time.monotonic() - begun
                self._share(job, took_s)
                if answer is not None and job.priority != Priority.PARTIAL:
                    self._took.append((len(job.samples) / SAMPLE_RATE, took_s))
                if self._hangs:
                    log.warning("%s answers again", self.transcriber.name)
                self._hangs = None
            if wanted and answer is not None:
                job.done(answer, self._clock() - started)
            del job, answer  # lest an idle worker keeps a session alive
        with self._changed:
            change, self._change = self._change, None
        if change:
            change[1].set_exception(SessionError(STOPPED))

    def _ask(self, job: Job) -> Answer | None:
        """Have the engine transcribe, and judge its answer; None if the job was cancelled."""
        limit_s = self._patience * (HANG_S + HANG_RTF * len(job.samples) / SAMPLE_RATE)
        attempt = _Attempt(job, limit_s, overdue=threading.Event())
        with self._changed:
            if self._hangs or job.cancelled.is_set():
                return None
            self._attempt = attempt
            self._changed.notify_all()
        name = self.transcriber.name
        transcribe = self.transcriber.transcribe
        if job.priority == Priority.PARTIAL:
            transcribe = getattr(self.transcriber, "transcribe_partial", transcribe)
        try:
            return checked(
                transcribe(
                    job.samples,
                    cancelled=lambda: job.cancelled.is_set() or attempt.overdue.is_set(),
                )
            )
        except Cancelled:
            if job.cancelled.is_set():
                return None
            return TranscribeError(f"{name} took longer than {limit_s:g} s, and was stopped")
        except TranscribeError as error:
            return error
        except Exception as error:
            log.exception("%s failed on an utterance", name)
            return TranscribeError(f"{name} failed: {error}")
        finally:
            with self._changed:
                self._attempt = None
                self._changed.notify_all()

    def _watch(self) -> None:
        """Run `sttlab-watchdog`: stop an engine that takes too long; failing that, abandon it."""
        while True:
            with self._changed:
                if self._done:
                    return
                if not self._wait_until_stuck():
                    continue
                jobs = self._give_up()
                why = TranscribeError(self._hangs)
            while jobs:
                jobs.pop(0).done(why, 0.0)

    def _wait_until_stuck(self) -> bool:
        """Wait for something to happen; say whether the engine doesn't even leave off."""
        attempt = self._attempt
        left_s = attempt.deadline - time.monotonic() if attempt else None
        if attempt is None or (left_s is not None and left_s > 0):
            self._changed.wait(left_s)
            return False
        if attempt.overdue.is_set():
            return True
        attempt.overdue.set()
        attempt.deadline += self._patience * CANCEL_S
        return False

    def _give_up(self) -> list[Job]:
        """Take back all jobs from an engine that hangs."""
        assert self._attempt is not None
        hung_s = self._attempt.limit_s + self._patience * CANCEL_S
        self._hangs = (
            f"{self.transcriber.name} has hung for {hung_s:g} s and can't be stopped: "
            "restart sttlab"
        )
        log.error("%s", self._hangs)
        if self._change:
            self._change[1].set_exception(SessionError(self._hangs))
            self._change = None
        jobs = [self._attempt.job] if self._current else []
        for lane in self._lanes.values():
            jobs += lane
            lane.clear()  # and stays: someone may wait for a place in it
        self._attempt = self._current = None
        self._changed.notify_all()
        return jobs

    def _swap(self, transcriber: Engine, changed: Future[None]) -> None:
        old, self.transcriber = self.transcriber, transcriber
        old.close()
        with self._changed:
            self._took.clear()
        changed.set_result(None)

    def _next(self) -> Job | tuple[Engine, Future[None]] | None:
        """Wait for a job, or an engine to change to; None when all is done and it is to stop."""
        with self._changed:
            while True:
                if self._change and not (self._stopping or self._error):
                    change, self._change = self._change, None
                    return change
                first: tuple[object, Job] | None = None
                for owner, lane in self._lanes.items():
                    for job in lane:
                        if first is None or self._rank(job) < self._rank(first[1]):
                            first = owner, job
                if first is not None:
                    owner, job = first
                    self._lanes[owner].remove(job)
                    self._lanes[owner] = self._lanes.pop(owner)  # to the end: fair
                    self._changed.notify_all()
                    if not job.cancelled.is_set():
                        self._current = owner, job
                        return job
                elif self._stopping or self._error:
                    self._done = True
                    self._changed.notify_all()
                    return None
                else:
                    self._changed.wait()

    def __enter__(self) -> AsrWorker:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def _load(engine: Engine) -> None:
    """Load an engine. Raises SttlabError."""
    try:
        engine.load()
    except SttlabError:
        raise
    except Exception as error:
        log.exception("loading %s failed", engine.name)
        raise ModelError(f"{engine.name} could not be loaded: {error}") from error


_workers: weakref.WeakSet[AsrWorker] = weakref.WeakSet()  # whose threads may be running


@atexit.register
def _end_workers() -> None:
    """End them before the interpreter goes: a thread killed inside torch takes the process down."""
    for worker in list(_workers):
        worker._drop_all()
        worker.stop(LAST_JOIN_S)
