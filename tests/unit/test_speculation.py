"""Speculation and partials: the rules alone, and with real speech and a real engine.

The text of a pause is sent only if its audio is that of the final utterance.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sttlab.audio import SAMPLE_RATE
from sttlab.config import TranscribeConfig, VadConfig
from sttlab.decoding import load
from sttlab.engines import make_engine
from sttlab.engines.base import Engine, Transcription
from sttlab.errors import TranscribeError
from sttlab.events import Event, Level, State, Transcript, Utterance
from sttlab.live.session import Session
from sttlab.live.speculation import (
    EARLIEST_S,
    ENGINE_SHARE,
    MARGIN_S,
    NEED_FROM,
    PARTIAL_EVERY_S,
    PARTIAL_FROM_S,
    Attempt,
    Need,
    Speculation,
)
from sttlab.live.worker import Answer, Priority
from tests.fakes import Blocks

VAD = VadConfig(threshold_dbfs=-45, silence_timeout_s=0.6)
SHORT_S, LONG_S = 0.56, 0.8  # lengths of pauses: just below the timeout, and above it
WAIT_S = 60


def utterance(number: int = 0, length: int = 1600) -> Utterance:
    return Utterance(
        utterance_id=number,
        start_sample=0,
        samples=np.zeros(length, np.float32),
        onset_sample=0,
        speech_end_sample=length,
        decided_sample=length,
        reason="silence",
    )


def heard(text: str) -> Transcription:
    return Transcription(
        text=text,
        segments=(),
        suppressed=(),
        language="en",
        language_probability=1.0,
        confidence=1.0,
    )


def level(state: State, time_s: float = 0.0) -> Level:
    return Level(time_s=time_s, level_dbfs=-50, score=-50, threshold=-40, state=state)


class Answers:
    """Collects the answers of jobs, with their attempts."""

    def __init__(self) -> None:
        self.told: list[tuple[Attempt, Answer, float]] = []

    def __call__(self, attempt: Attempt, answer: Answer, engine_s: float) -> None:
        self.told.append((attempt, answer, engine_s))


def add(speculation: Speculation, number: int, text: str, engine_s: float = 0.1) -> Any:
    return speculation.grow(Attempt(utterance(number)), heard(text), engine_s)


def grow(*texts: str) -> list[tuple[str, str] | None]:
    speculation = Speculation()
    return [(p.text, p.stable) if (p := add(speculation, 0, text)) else None for text in texts]


def test_words_that_two_partials_begin_with_are_stable() -> None:
    assert grow("he was", "he was not", "he was not an", "He was not an ill") == [
        ("he was", ""),
        ("he was not", "he was"),
        ("he was not an", "he was not"),
        ("he was not an ill", "he was not"),
    ]


def test_stable_words_stay_in_later_partials() -> None:
    shown = grow("a b c", "a b c", "x y z w", "x y z w v", "")
    assert shown[1] == ("a b c", "a b c")
    assert shown[2] == ("a b c w", "a b c")
    assert shown[3] == ("a b c w v", "a b c")
    assert shown[4] is None


def test_each_utterance_has_its_own_partials() -> None:
    speculation = Speculation()
    add(speculation, 0, "one two")
    add(speculation, 0, "one two")
    grown = add(speculation, 1, "one three")
    assert grown is not None
    assert grown.stable == ""


def test_partials_take_their_share_of_the_engine_and_no_more() -> None:
    speculation = Speculation()
    done = Answers()
    assert speculation.due(0.0)
    job = speculation.look(utterance(length=SAMPLE_RATE), 0.0, done)
    assert job
    assert job.priority == Priority.PARTIAL
    assert not speculation.due(PARTIAL_EVERY_S - 0.01)
    assert speculation.due(PARTIAL_EVERY_S)
    add(speculation, 0, "word", 2.0)
    speculation.look(utterance(length=SAMPLE_RATE), 10.0, done)
    assert not speculation.due(10.0 + 2.0 / ENGINE_SHARE - 0.01)
    assert speculation.due(10.0 + 2.0 / ENGINE_SHARE)


def test_first_partial_waits_until_there_is_speech_for_a_word() -> None:
    speculation, shortest = Speculation(), round(PARTIAL_FROM_S * SAMPLE_RATE)
    assert speculation.look(utterance(length=shortest - 1), 0.0, Answers()) is None
    assert speculation.due(0.0)
    assert speculation.look(utterance(length=shortest), 0.0, Answers())


def test_need_is_predicted_from_what_the_engine_took_and_grows_with_the_length() -> None:
    need = Need()
    assert need.predict(1.0) == math.inf
    for audio_s in (2.0, 4.0, 8.0, 12.0):
        need.add(audio_s, 0.1 + 0.02 * audio_s)
    for audio_s in (3.0, 20.0):
        assert need.predict(audio_s) == pytest.approx(0.1 + 0.02 * audio_s)
    for _ in range(60):
        need.add(3.0, 0.5)  # the machine got slower, and all utterances are of one length
    assert need.predict(3.0) == need.predict(30.0) == pytest.approx(0.5)


def test_an_attempt_begins_as_late_as_it_can_be_done_in_time() -> None:
    speculation = Speculation()
    begin = partial(speculation.pause_s, 2.0, partials=False)
    assert begin(0.6) == EARLIEST_S, "nothing is known yet"
    for _ in range(NEED_FROM):
        speculation.note(utterance(length=2 * SAMPLE_RATE), 0.2)
    assert begin(0.6) == pytest.approx(0.6 - 0.2 - MARGIN_S)
    assert begin(0.3) == EARLIEST_S
    assert speculation.pause_s(2.0, 0.6, partials=True) == EARLIEST_S, "it is a partial as well"


def test_finished_speculation_is_adopted_when_the_timeout_is_over() -> None:
    speculation, done = Speculation(), Answers()
    job = speculation.pause(utterance(), done)
    assert job.priority == Priority.SPECULATION
    assert not speculation.due(100.0), "a partial would say the same"
    job.done(heard("so be it"), 0.2)
    ((attempt, answer, engine_s),) = done.told
    assert not speculation.settle(attempt, answer, engine_s)
    adopted = speculation.adopt(utterance())
    assert adopted is not None
    assert adopted.result == (answer, 0.2)
    assert speculation.due(100.0)
    assert speculation.adopt(utterance()) is None, "it was adopted already"


def test_unfinished_speculation_gets_priority_when_the_timeout_is_over() -> None:
    speculation, done = Speculation(), Answers()
    job = speculation.pause(utterance(), done)
    adopted = speculation.adopt(utterance())
    assert adopted is not None
    assert adopted.result is None
    assert job.priority == Priority.FINAL
    speculation.follow(level("speech"))
    assert not job.cancelled.is_set(), "the next utterance drops nothing of this one"
    job.done(TranscribeError("hiccup"), 0.2)
    ((attempt, answer, engine_s),) = done.told
    assert speculation.settle(attempt, answer, engine_s)


def test_resumed_speech_drops_the_speculation() -> None:
    speculation, done = Speculation(), Answers()
    job = speculation.pause(utterance(), done)
    speculation.follow(level("pause"))
    assert not job.cancelled.is_set()
    speculation.follow(level("speech"))
    assert job.cancelled.is_set()
    job.done(heard("too late"), 0.2)
    ((attempt, answer, engine_s),) = done.told
    assert not speculation.settle(attempt, answer, engine_s)
    assert speculation.grow(attempt, answer, engine_s) is None
    assert speculation.adopt(utterance()) is None


@pytest.mark.parametrize("final", [utterance(length=3200), utterance(length=800)])
def test_speculation_on_other_audio_is_not_adopted(final: Utterance) -> None:
    speculation = Speculation()
    job = speculation.pause(utterance(), Answers())
    assert speculation.adopt(final) is None
    assert job.cancelled.is_set()


def test_speculation_in_a_pause_makes_a_partial() -> None:
    speculation, done = Speculation(), Answers()
    speculation.pause(utterance(3), done).done(heard("well now"), 0.1)
    ((attempt, answer, engine_s),) = done.told
    assert not speculation.settle(attempt, answer, engine_s)
    grown = speculation.grow(attempt, answer, engine_s)
    assert grown is not None
    assert (grown.utterance_id, grown.text, grown.stable) == (3, "well now", "")
    assert speculation.grow(attempt, TranscribeError("hiccup"), 0.1) is None


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    engine = make_engine(TranscribeConfig(device="cpu"))
    engine.load()
    yield engine
    engine.close()


class Watched:
    """An engine that signals when it is done with a job."""

    config = None
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
    """Audio that continues after a pause once the engine is done with that pause."""

    def __init__(self, engine: Watched, *blocks: np.ndarray) -> None:
        super().__init__(*blocks)
        self._engine = engine

    def read(self, timeout_s: float) -> Any:
        if (len(self.blocks) - len(self.left)) % 2 == 0 and len(self.left) < len(self.blocks):
            assert self._engine.done.acquire(timeout=WAIT_S)
        return super().read(timeout_s)


def spoken(data: Path, count: int) -> list[np.ndarray]:
    """Cut a sentence into pieces at arbitrary places, so that each has another text alone."""
    samples = load(data / "austen-4.flac").samples
    loud = np.flatnonzero(np.abs(samples) > 0.02)
    return np.array_split(samples[loud[0] : loud[-1]], count)


@pytest.mark.needs("whisper")
def test_speech_with_many_pauses_gives_its_whole_text(engine: Engine, data: Path) -> None:
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
    assert [final.text for final in finals] == [watched.texts[2], watched.texts[5]]
    assert len(watched.texts) == 6, "the engine transcribes once in each pause, and never else"
    assert len(set(watched.texts)) == 6
    assert all(final.guessed for final in finals)
