"""The transcripts of utterances that a person has asked for, and the models that make them."""

from __future__ import annotations

import threading
import weakref
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future, wait
from functools import partial
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from sttlab.audio import SAMPLE_RATE
from sttlab.config import TranscribeConfig
from sttlab.engines import make_engine
from sttlab.engines.base import Cancelled, Transcription, never
from sttlab.errors import SttlabError, TranscribeError
from sttlab.live.worker import STOPPED, Answer, AsrWorker, Job, Priority

LOOK_S = 0.2  # between looks at whether one who waits for a text has given up


class _Lent:
    """The workers that several widgets use, by what their engines are made from.

    A model is loaded once, when the first widget needs it, and let go with the last one.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()  # a finalizer may run while it is held
        self._workers: dict[TranscribeConfig, tuple[AsrWorker, set[int]]] = {}

    def lend(self, config: TranscribeConfig, holder: int) -> AsrWorker:
        """Return the worker for an engine, which the holder gives back."""
        with self._lock:
            if config not in self._workers:
                self._workers[config] = (AsrWorker(make_engine(config)), set())
            worker, holders = self._workers[config]
            holders.add(holder)
            return worker

    def take_back(self, config: TranscribeConfig, holder: int) -> None:
        """Note that a holder needs it no more. Does not wait for the end of the engine's thread."""
        with self._lock:
            worker, holders = self._workers.get(config, (None, set()))
            holders.discard(holder)
            if worker is not None and not holders:
                del self._workers[config]
                worker.request_stop()


_lent = _Lent()


class Borrowed:
    """A model that widgets share, which is loaded by the first of them that needs it.

    It is also an `Engine`, whose every utterance waits for its turn.
    """

    def __init__(self, model: str | TranscribeConfig | AsrWorker) -> None:
        self._model = TranscribeConfig(model=model) if isinstance(model, str) else model
        self._worker = model if isinstance(model, AsrWorker) else None
        self._return: weakref.finalize[Any, Borrowed] | None = None

    @property
    def worker(self) -> AsrWorker:
        """Its worker, started; the model may be loading still.

        Raises
        ------
        SttlabError
            If there is no such model or engine.
        """
        if self._worker is None:
            assert isinstance(self._model, TranscribeConfig)
            self._worker = _lent.lend(self._model, id(self))
            self._return = weakref.finalize(self, _lent.take_back, self._model, id(self))
            self._return.atexit = False
        self._worker.start(wait=False)
        return self._worker

    @property
    def ready(self) -> bool:
        """Whether the model is loaded."""
        return self._worker is not None and self._worker.ready

    @property
    def name(self) -> str:
        """Engine and model, for people to read."""
        return self.worker.engine_name

    @property
    def config(self) -> TranscribeConfig | None:
        """What the engine is made from."""
        return self.worker.engine_config

    def load(self) -> None:
        """Wait until the model is loaded. Raises ModelError if it can't be had."""
        self.worker.wait_ready()

    def transcribe(
        self,
        samples: NDArray[np.generic],
        sample_rate: int = SAMPLE_RATE,
        *,
        cancelled: Callable[[], bool] = never,
    ) -> Transcription:
        """Transcribe one utterance when the engine has time for it; see `Engine.transcribe`."""
        self.load()
        worker, answered = self.worker, Future[Answer]()
        job = Job(samples.astype(np.float32), Priority.LATER, lambda a, _: answered.set_result(a))
        if not worker.submit(self, job, cancelled):
            raise Cancelled if cancelled() else TranscribeError(worker.hangs or STOPPED)
        while not wait([answered], LOOK_S).done:
            if cancelled():
                worker.forget(self)
                raise Cancelled
        answer = answered.result()
        if isinstance(answer, TranscribeError):
            raise answer
        return answer

    def forget(self, owner: object) -> None:
        """Take back what an owner has waiting in the worker."""
        if self._worker is not None:
            self._worker.forget(owner)

    def close(self) -> None:
        """Give the model back: the engine's thread ends if no other widget uses it."""
        if self._return is not None:
            self._return()


class HasAudio(Protocol):
    """A stretch of a recording, such as an `Utterance`."""

    @property
    def start_sample(self) -> int:
        """Its first sample in the recording."""

    @property
    def end_sample(self) -> int:
        """The sample after its last one."""

    @property
    def samples(self) -> NDArray[np.float32]:
        """Mono samples at SAMPLE_RATE."""


class Texts:
    """The transcripts of utterances, kept while the sliders move."""

    def __init__(self, model: str | TranscribeConfig | AsrWorker) -> None:
        self._borrowed = Borrowed(model)
        self._texts: dict[tuple[int, int], str] = {}
        self._said: dict[tuple[int, int], str] = {}
        self._lock = threading.Lock()  # guards what follows
        self._rest: deque[HasAudio] = deque()  # those of `request_all` that wait
        self._going = False  # whether one of them is in the engine's hands
        self._done = 0  # of them
        self.problem = ""  # why no more of them are transcribed

    def on_text(self, callback: Any) -> None:
        """Call `callback`, held weakly, on the engine's thread when a text has arrived."""
        self._callback = weakref.WeakMethod(callback)

    def get(self, utterance: HasAudio) -> str:
        """Return the text, the state of its request, or "" if it was not requested."""
        return self._texts.get(_key(utterance), "")

    def said(self, utterance: HasAudio) -> str:
        """Return the transcript; "" if there is none."""
        return self._said.get(_key(utterance), "")

    def know(self, start_sample: int, end_sample: int, text: str) -> None:
        """Take the text of an utterance that is transcribed already."""
        self._texts[start_sample, end_sample] = text

    def request(self, utterance: HasAudio) -> None:
        """Queue an utterance for the engine. Never blocks."""
        if problem := self._submit(utterance, Priority.FINAL, self.answer):
            self._texts[_key(utterance)] = problem

    def request_all(self, utterances: Iterable[HasAudio]) -> None:
        """Transcribe those that have no text yet, one by one; they replace those that wait."""
        with self._lock:
            self._rest = deque(u for u in utterances if _key(u) not in self._texts)
            if not self._going:
                self._done, self.problem = 0, ""
                if self._rest:
                    self._go_on()

    def cancel_all(self) -> None:
        """Transcribe no more of them than the one that the engine is at."""
        with self._lock:
            self._rest.clear()

    @property
    def progress(self) -> tuple[int, int] | None:
        """How many of those are done, and of how many; None if none waits."""
        with self._lock:
            left = len(self._rest) + self._going
            return (self._done, self._done + left) if left else None

    def _go_on(self) -> None:
        utterance = self._rest.popleft()
        self.problem = self._submit(utterance, Priority.LATER, self._answer_next)
        self._going = not self.problem
        if self.problem:  # which the rest would have too
            del self._texts[_key(utterance)]
            self._rest.clear()

    def _submit(
        self, utterance: HasAudio, priority: Priority, done: Callable[[Any, Answer], None]
    ) -> str:
        """Have the engine transcribe an utterance; return why it can't, or ""."""
        key = _key(utterance)
        self._texts[key] = "…"
        try:
            worker = self._borrowed.worker
            deliver = partial(_deliver, weakref.WeakMethod(done), key)
            if worker.submit(self, Job(utterance.samples, priority, deliver), lambda: True):
                return ""
            if worker.settles(0):
                worker.wait_ready()
        except SttlabError as error:
            return str(error)
        return "the engine is busy; try again"

    def answer(self, key: tuple[int, int], answer: Answer) -> None:
        """Store the engine's answer."""
        if isinstance(answer, TranscribeError):
            self._texts[key] = str(answer)
        else:
            self._said[key] = answer.text
            held = ", ".join(f"[{s.text} – held back: {s.reason}]" for s in answer.suppressed)
            self._texts[key] = " ".join(filter(None, [answer.text, held])) or "(nothing)"
        if (callback := self._callback()) is not None:
            callback()

    def _answer_next(self, key: tuple[int, int], answer: Answer) -> None:
        with self._lock:
            self._done += 1
            if isinstance(answer, TranscribeError) and not self._borrowed.ready:
                self.problem = str(answer)  # which the rest would have too
                self._rest.clear()
            self._going = bool(self._rest)
            if self._going:
                self._go_on()
        self.answer(key, answer)

    def close(self) -> None:
        """Cancel requests that wait; the engine's thread ends if no other widget uses it."""
        self.cancel_all()
        self._borrowed.forget(self)
        self._borrowed.close()


def _key(utterance: HasAudio) -> tuple[int, int]:
    return utterance.start_sample, utterance.end_sample


def _deliver(
    done: weakref.WeakMethod[Callable[[Any, Answer], None]],
    key: tuple[int, int],
    answer: Answer,
    engine_s: float,
) -> None:
    if (alive := done()) is not None:
        alive(key, answer)
