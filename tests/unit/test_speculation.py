"""What is transcribed in a pause is sent only if it is what the final sound gives: real speech."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sttlab.audio import SAMPLE_RATE, load
from sttlab.config import TranscribeConfig, VadConfig
from sttlab.engines import make_engine
from sttlab.engines.base import Engine
from sttlab.events import Event, Transcript, Utterance
from sttlab.live.session import Session
from tests.fakes import Blocks

pytestmark = pytest.mark.needs("whisper")

VAD = VadConfig(threshold_dbfs=-45, silence_timeout_s=0.6)
SHORT_S, LONG_S = 0.56, 0.8  # of pauses: just not the timeout, and more than it
WAIT_S = 60


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    engine = make_engine(TranscribeConfig(device="cpu"))
    engine.load()
    yield engine
    engine.close()


class Watched:
    """An engine that says when it is done with a guess."""

    name = "watched"

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.texts: list[str] = []
        self.done = threading.Semaphore(0)

    def load(self) -> None:
        self._engine.load()

    def transcribe(self, *arguments: Any, **options: Any) -> Any:
        try:
            answer = self._engine.transcribe(*arguments, **options)
            self.texts.append(answer.text)
            return answer
        finally:
            self.done.release()

    def close(self) -> None:
        pass


class Halting(Blocks):
    """Sound that goes on when the engine is done with the pause that it has just heard."""

    def __init__(self, engine: Watched, *blocks: np.ndarray) -> None:
        super().__init__(*blocks)
        self._engine = engine

    def read(self, timeout_s: float) -> Any:
        if (len(self.blocks) - len(self.left)) % 2 == 0 and len(self.left) < len(self.blocks):
            assert self._engine.done.acquire(timeout=WAIT_S)
        return super().read(timeout_s)


def spoken(data: Path, count: int) -> list[np.ndarray]:
    """Cut a sentence in pieces, somewhere, so that each one alone says something else."""
    samples = load(data / "austen-4.flac").samples
    heard = np.flatnonzero(np.abs(samples) > 0.02)
    return np.array_split(samples[heard[0] : heard[-1]], count)


def test_speech_that_pauses_again_and_again_gives_the_text_of_all_of_it(
    engine: Engine, data: Path
) -> None:
    parts = []
    for i, piece in enumerate(spoken(data, 6), 1):
        pause_s = LONG_S if i % 3 == 0 else SHORT_S
        parts += [piece, np.zeros(round(pause_s * SAMPLE_RATE), np.float32)]
    watched = Watched(engine)
    session = Session(Halting(watched, *parts), vad=VAD, model=watched)
    events: list[Event] = []
    session.subscribe(events.append)
    with session:
        assert session.wait(WAIT_S)
    utterances = {e.utterance_id: e for e in events if isinstance(e, Utterance)}
    finals = [e for e in events if isinstance(e, Transcript)]
    assert len(finals) == len(utterances) == 2
    for final in finals:
        samples = utterances[final.utterance_id].samples
        assert final.text == engine.transcribe(samples).text
        behind = np.zeros(SAMPLE_RATE // 4, np.float32)
        assert final.text == engine.transcribe(np.concatenate([samples, behind])).text
    assert len(watched.texts) == 6, "one guess in each pause, and none besides"
    assert len(set(watched.texts)) == 6
    assert all(final.guessed for final in finals)
