"""The parts of a session alone: the ledger of utterances, and the broadcast of events."""

import threading

import numpy as np
import pytest

from sttlab.audio import SAMPLE_RATE
from sttlab.engines.base import Transcription
from sttlab.engines.suppression import Suppression
from sttlab.errors import TranscribeError
from sttlab.events import Event, SourceEnded, Suppressed, Transcript, TranscriptionFailed, Utterance
from sttlab.live.ledger import Ledger
from sttlab.live.stream import Broadcast
from tests.fakes import WAIT_S

ENDED = SourceEnded(time_s=1.0)


class Clock:
    """A clock that a test sets."""

    now = 0.0

    def __call__(self):
        return self.now


def utterance(number):
    return Utterance(
        utterance_id=number,
        start_sample=SAMPLE_RATE,
        samples=np.zeros(SAMPLE_RATE, np.float32),
        onset_sample=SAMPLE_RATE,
        speech_end_sample=2 * SAMPLE_RATE,
        decided_sample=round(2.5 * SAMPLE_RATE),
        reason="silence",
    )


def answer(text, *suppressed):
    return Transcription(
        text=text,
        segments=(),
        suppressed=tuple(
            Suppression(text=s, reason="hallucination", start_s=0.25, end_s=0.5) for s in suppressed
        ),
        language="en",
        language_probability=1.0,
        confidence=1.0,
    )


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def ledger(clock):
    return Ledger(clock)


def test_the_delay_of_a_transcript_is_the_sum_of_its_parts(ledger, clock):
    clock.now = 10.0
    ledger.open(utterance(0), arrived_at=9.5)
    clock.now = 13.0
    (event,) = ledger.answer(0, answer("well"), 2.0, speculative=True)
    assert isinstance(event, Transcript)
    assert (event.pause_s, event.capture_s, event.queue_s, event.decode_s) == (0.5, 0.5, 1.0, 2.0)
    assert event.delay_s == 4.0
    assert event.guessed
    assert ledger.history == (event,)


def test_a_delay_names_the_time_in_which_the_model_was_loaded(ledger, clock):
    ledger.begin()
    clock.now = 10.0
    ledger.open(utterance(0), arrived_at=9.5)
    clock.now = 20.0
    (event,) = ledger.answer(0, answer("well"), 2.0, speculative=False, ready_at=16.5)
    assert (event.load_s, event.queue_s, event.decode_s) == (6.5, 1.5, 2.0)
    assert event.delay_s == event.pause_s + event.capture_s + 10.0
    ledger.open(utterance(1), arrived_at=20.0)
    clock.now = 21.0
    (event,) = ledger.answer(1, answer("well"), 1.0, speculative=False, ready_at=16.5)
    assert (event.load_s, event.queue_s) == (0.0, 0.0)


def test_history_knows_its_run(ledger, clock):
    for _ in range(2):
        ledger.begin()
        ledger.open(utterance(0), arrived_at=0.0)
        ledger.answer(0, answer("well"), 0.1, speculative=False)
    assert [t.run for t in ledger.history] == [1, 2]


def test_ledger_counts_outcomes_of_utterances(ledger):
    for number, what in enumerate((answer("a", "b", "c"), answer(""), TranscribeError("hiccup"))):
        ledger.open(utterance(number), arrived_at=0.0)
        events = ledger.answer(number, what, 0.5, speculative=False)
        kinds = [type(event) for event in events]
        assert kinds == [[Transcript, Suppressed, Suppressed], [], [TranscriptionFailed]][number]
    ledger.lose(7)
    stats = ledger.stats(audio_s=9.0)
    assert (stats.transcripts, stats.suppressed, stats.failed) == (1, 2, 1)
    assert (stats.utterances, stats.queued_utterances, stats.lost_samples) == (3, 3, 7)
    assert (stats.audio_s, stats.decode_s, stats.rtf) == (9.0, 1.5, 0.5)
    assert [u.utterance_id for u in ledger.failed] == [2]


def test_suppressed_text_has_stream_time(ledger):
    ledger.open(utterance(0), arrived_at=0.0)
    (event,) = ledger.answer(0, answer("", "thank you"), 0.1, speculative=False)
    assert isinstance(event, Suppressed)
    assert (event.start_s, event.end_s) == (1.25, 1.5)


def test_wait_ends_after_capture_has_ended_and_the_last_utterance_is_answered(ledger, clock):
    ledger.open(utterance(0), arrived_at=0.0)
    clock.now = 3.0
    assert ledger.late_s == 3.0
    ledger.end()
    assert not ledger.wait(0)
    waiting = threading.Thread(target=ledger.wait, args=(WAIT_S,))
    waiting.start()
    ledger.answer(0, answer("so"), 0.1, speculative=False)
    assert not ledger.wait(0), "its events are not emitted yet"
    ledger.close(0)
    waiting.join(WAIT_S)
    assert not waiting.is_alive()
    assert ledger.wait(0)
    assert ledger.late_s == 0.0


@pytest.mark.parametrize("abandons", [True, False])
def test_wait_ends_when_no_answer_can_come(ledger, abandons):
    ledger.open(utterance(0), arrived_at=0.0)
    if abandons:
        ledger.abandon()
    ledger.wait_for_answers(lambda: not abandons, WAIT_S)
    assert ledger.is_abandoned() == abandons
    assert ledger.stats(0.0).queued_utterances == 1


def test_restart_keeps_history_and_failures_only(ledger):
    for number, what in enumerate((answer("one"), TranscribeError("hiccup"))):
        ledger.open(utterance(number), arrived_at=0.0)
        ledger.answer(number, what, 0.1, speculative=False)
    ledger.abandon()
    ledger.begin()
    assert not ledger.is_abandoned()
    stats = ledger.stats(0.0)
    assert (stats.utterances, stats.queued_utterances, stats.rtf) == (0, 0, 0.0)
    assert (len(ledger.history), len(ledger.failed)) == (1, 1)
    assert ledger.answer(0, answer("late"), 0.1, speculative=False) == [], "of an earlier start"


def test_events_reach_callbacks_until_they_unsubscribe_or_raise(caplog):
    broadcast = Broadcast()
    received: list[Event] = []
    failed: list[Event] = []

    def fail(event):
        failed.append(event)
        raise ValueError

    broadcast.subscribe(fail)
    unsubscribe = broadcast.subscribe(received.append)
    broadcast.emit(ENDED)
    broadcast.emit(ENDED)
    assert (len(received), len(failed)) == (2, 1)
    assert caplog.text.count("Traceback") == 1
    unsubscribe()
    broadcast.emit(ENDED)
    assert len(received) == 2


def test_a_stream_holds_the_events_between_a_start_and_its_stop():
    broadcast = Broadcast()
    assert list(broadcast.stream()) == []
    broadcast.begin()
    stream = broadcast.stream()
    broadcast.emit(ENDED)
    broadcast.end()
    broadcast.emit(ENDED)
    assert list(stream) == [ENDED]
    assert list(broadcast.stream()) == []
