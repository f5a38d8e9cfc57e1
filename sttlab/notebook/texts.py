"""The transcripts of utterances that a person has asked for."""

from __future__ import annotations

import threading
import weakref
from functools import partial
from typing import Any

from sttlab.config import TranscribeConfig
from sttlab.engines import make_engine
from sttlab.errors import SttlabError, TranscribeError
from sttlab.events import Utterance
from sttlab.live.worker import Answer, AsrWorker, Job, Priority


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


class Texts:
    """The transcripts of utterances, kept while the sliders move."""

    def __init__(self, model: str | TranscribeConfig | AsrWorker) -> None:
        self._model = model
        self._worker = model if isinstance(model, AsrWorker) else None
        self._return: weakref.finalize[Any, Texts] | None = None
        self._texts: dict[tuple[int, int], str] = {}
        self._waiting = 0

    def on_text(self, callback: Any) -> None:
        """Call `callback`, held weakly, on the engine's thread when a text has arrived."""
        self._callback = weakref.WeakMethod(callback)

    def get(self, utterance: Utterance) -> str:
        """Return the text, the state of its request, or "" if it was not requested."""
        return self._texts.get((utterance.start_sample, utterance.end_sample), "")

    def know(self, start_sample: int, end_sample: int, text: str) -> None:
        """Take the text of an utterance that is transcribed already."""
        self._texts[start_sample, end_sample] = text

    def request(self, utterance: Utterance) -> None:
        """Queue an utterance for the engine. Never blocks."""
        key = (utterance.start_sample, utterance.end_sample)
        self._texts[key] = "…"
        try:
            if self._worker is None:
                config = self._model
                if isinstance(config, str):
                    config = TranscribeConfig(model=config)
                assert isinstance(config, TranscribeConfig)
                self._worker = _lent.lend(config, id(self))
                self._return = weakref.finalize(self, _lent.take_back, config, id(self))
                self._return.atexit = False
            self._worker.start(wait=False)
        except SttlabError as error:
            self._texts[key] = str(error)
            return
        job = Job(utterance.samples, Priority.FINAL, partial(_deliver, weakref.ref(self), key))
        if not self._worker.submit(self, job, lambda: True):
            self._texts[key] = "the engine is busy; try again"

    def answer(self, key: tuple[int, int], answer: Answer) -> None:
        """Store the engine's answer."""
        if isinstance(answer, TranscribeError):
            self._texts[key] = str(answer)
        else:
            held = ", ".join(f"[{s.text} – held back: {s.reason}]" for s in answer.suppressed)
            self._texts[key] = " ".join(filter(None, [answer.text, held])) or "(nothing)"
        if (callback := self._callback()) is not None:
            callback()

    def close(self) -> None:
        """Cancel requests that wait; the engine's thread ends if no other widget uses it."""
        if self._worker is not None:
            self._worker.forget(self)
            if self._return is not None:
                self._return()


def _deliver(
    texts: weakref.ref[Texts], key: tuple[int, int], answer: Answer, engine_s: float
) -> None:
    if (alive := texts()) is not None:
        alive.answer(key, answer)
