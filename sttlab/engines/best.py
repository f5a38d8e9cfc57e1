"""The largest model whose answers come in time on this machine: `model = "auto"`."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import time
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sttlab.audio import SAMPLE_RATE
from sttlab.config import TranscribeConfig
from sttlab.decoding import load
from sttlab.engines.base import Engine, Transcription, never
from sttlab.engines.local import ENGLISH_ONLY
from sttlab.engines.weights import cache_folder, list_models
from sttlab.machine import processor
from sttlab.shipped import shipped

log = logging.getLogger(__name__)

AUTO = "auto"
SPEECH_S = 5.0  # of the demo, which an engine transcribes to show how fast it is
IN_TIME_S = 0.45  # for so much speech: a pause of the default silence timeout leaves no more
LATE, LATE_OF = 8, 10  # so many of the last answers are late where a machine is busy for good
KEPT_S = 7 * 24 * 3600.0


class BestModel:
    """The largest installed model whose answers come in time; see `Engine`.

    `load` transcribes a few seconds of speech with each model, the smallest first, until one is too
    slow; the choice is kept for a week. A model that has become too slow is replaced by the next
    smaller one, between two utterances.

    Parameters
    ----------
    config : TranscribeConfig
        Its model is "auto".
    make : callable
        Makes the engine of a named model.
    clock : callable
        Seconds, to tell how long the engine takes.
    """

    def __init__(
        self,
        config: TranscribeConfig,
        make: Callable[[TranscribeConfig], Engine],
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.config = config
        self._make = make
        self._clock = clock
        self._engine: Engine | None = None
        self._smaller: list[str] = []
        self._late: deque[bool] = deque(maxlen=LATE_OF)

    @property
    def name(self) -> str:
        """Engine and model, for people to read."""
        return f"{self._engine.name} (auto)" if self._engine else AUTO

    @property
    def weights(self) -> Path | None:
        """The file or folder of the weights, once they are loaded."""
        return getattr(self._engine, "weights", None)

    def load(self) -> None:
        """Choose a model and load it; see `Engine.load`."""
        if self._engine is not None:
            return
        candidates = _candidates(self.config)
        kept = _read_kept(self._key(candidates))
        if kept in candidates:
            self._engine = self._loaded(kept)
            self._smaller = candidates[: candidates.index(kept)]
            log.info("model auto: %s, as chosen before", self._engine.name)
            return
        self._choose(candidates)

    def _choose(self, candidates: list[str]) -> None:
        speech = load(shipped("data/demo.flac")).samples[: round(SPEECH_S * SAMPLE_RATE)]
        chosen = too_slow = ""
        for i, candidate in enumerate(candidates):
            engine = self._loaded(candidate)
            began = self._clock()
            engine.transcribe(speech)
            took_s = self._clock() - began
            if self._engine and took_s > IN_TIME_S:
                too_slow = f"; {candidate} takes {took_s:.2f} s, and {IN_TIME_S} s are in time"
                engine.close()
                break
            if self._engine:
                self._engine.close()
            self._engine, self._smaller = engine, candidates[:i]
            chosen = f"{engine.name}, which takes {took_s:.2f} s for {SPEECH_S:.0f} s of speech"
        log.info("model auto: %s%s", chosen, too_slow)
        _keep(self._key(candidates), candidates[len(self._smaller)])

    def _loaded(self, model: str) -> Engine:
        engine = self._make(replace(self.config, model=model))
        engine.load()
        return engine

    def _key(self, candidates: list[str]) -> str:
        """Name all on which the choice depends."""
        names = ",".join(candidates)
        machine = f"{processor()} {os.cpu_count()}"
        return f"{machine} {self.config.engine} {self.config.device} {names}"

    def transcribe(
        self,
        samples: NDArray[np.generic],
        sample_rate: int = SAMPLE_RATE,
        *,
        cancelled: Callable[[], bool] = never,
    ) -> Transcription:
        """Turn one utterance into text; see `Engine.transcribe`."""
        self.load()
        assert self._engine
        if sum(self._late) >= LATE and self._smaller:
            self._step_down()
        began = self._clock()
        answer = self._engine.transcribe(samples, sample_rate, cancelled=cancelled)
        allowed_s = IN_TIME_S * max(1.0, max(np.shape(samples)) / sample_rate / SPEECH_S)
        self._late.append(self._clock() - began > allowed_s)
        return answer

    def transcribe_partial(self, *given: Any, **options: Any) -> Transcription:
        """Turn the beginning of an utterance into text; see `LocalEngine.transcribe_partial`."""
        self.load()
        partial = getattr(self._engine, "transcribe_partial", self.transcribe)
        answer: Transcription = partial(*given, **options)
        return answer

    def _step_down(self) -> None:
        assert self._engine
        old, smaller = self._engine, self._smaller.pop()
        self._engine = self._loaded(smaller)
        old.close()
        self._late.clear()
        log.warning(
            "%s no longer keeps up on this machine: %s goes on", old.name, self._engine.name
        )

    def close(self) -> None:
        """Free the model's memory. `load` chooses anew."""
        if self._engine:
            self._engine.close()
        self._engine = None
        self._late.clear()


def _candidates(config: TranscribeConfig) -> list[str]:
    """List the installed models that know the language, the smallest first."""
    english = config.language in (None, "en") and config.task == "transcribe"
    sizes = {
        model.name: model.size_bytes
        for model in list_models()
        if english or not model.name.endswith(ENGLISH_ONLY)
    }
    # Where there is none, the default's error says how to get one.
    return sorted(sizes, key=lambda name: sizes[name]) or [TranscribeConfig.model]


def _read_kept(key: str) -> str | None:
    with contextlib.suppress(OSError, ValueError, TypeError, KeyError):
        kept = json.loads(_kept_path().read_text(encoding="utf-8"))
        if kept["key"] == key and 0 <= time.time() - kept["at"] < KEPT_S:
            return str(kept["model"])
    return None


def _keep(key: str, model: str) -> None:
    with contextlib.suppress(OSError):  # it is measured anew then
        path = _kept_path()
        path.parent.mkdir(parents=True, exist_ok=True)
        made = {"key": key, "model": model, "at": time.time()}
        path.write_text(json.dumps(made), encoding="utf-8")


def _kept_path() -> Path:
    return cache_folder() / "auto.json"
