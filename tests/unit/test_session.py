"""The live pipeline, with an engine whose text is the number of samples."""

import gc
import threading
import weakref
from collections import Counter

import numpy as np
import pytest

from sttlab.audio import SAMPLE_RATE
from sttlab.capture.base import Block
from sttlab.capture.replay import FileSource
from sttlab.config import VadConfig
from sttlab.engines.base import Cancelled, Transcription, never
from sttlab.engines.suppression import Suppression
from sttlab.errors import (
    ConfigError,
    DeviceUnavailable,
    ModelNotFound,
    SessionError,
    SourceError,
    TranscribeError,
)
from sttlab.events import (
    ConfigChanged,
    DeviceLost,
    Event,
    Level,
    Partial,
    Segment,
    SessionFailed,
    SourceEnded,
    SpeechStarted,
    Suppressed,
    Transcript,
    TranscriptionFailed,
    Utterance,
)
from sttlab.live.session import Session
from sttlab.live.stream import LISTENER_EVENTS, EventStream
from sttlab.live.worker import LANE_JOBS, AsrWorker, Job, Priority
from tests.fakes import WAIT_S, Blocks, Counting, speech, wait_until

VAD = VadConfig(threshold_dbfs=-40, silence_timeout_s=0.2, pre_roll_s=0.0)


def collect(session):
    events: list[Event] = []
    session.subscribe(events.append)
    return events


def kinds(events):
    return Counter(type(event) for event in events)


def test_wait_on_a_session_that_was_not_started_raises():
    session = Session(Blocks(), vad=VAD, model=Counting())
    with pytest.raises(SessionError, match="not started"):
        session.wait()
    with session:
        assert session.wait(WAIT_S)
    assert session.wait()


def test_speech_of_a_source_becomes_transcripts():
    session = Session(Blocks(speech(3)), vad=VAD, model=(engine := Counting()))
    events = collect(session)
    with session:
        assert session.wait(WAIT_S)
    found = kinds(events)
    assert found[Utterance] == found[Transcript] == found[SpeechStarted] == 3
    assert found[SourceEnded] == 1
    assert [t.start_s for t in session.history] == pytest.approx([0.0, 0.8, 1.6])
    assert session.history[0].pause_s == pytest.approx(0.2)
    assert engine.threads == {"sttlab-asr"}
    assert not session.history[0].guessed, "the pause was too short for speculation"
    assert session.stats.transcripts == 3
    assert session.stats.audio_s == pytest.approx(2.4)


def test_stop_transcribes_what_was_said_before():
    source = Blocks(speech(2), speech(1)[:4000], then_wait=True)
    session = Session(source, vad=VAD, model=Counting())
    session.start()
    assert source.drained.wait(WAIT_S)
    session.stop()
    assert [t.text for t in session.history][-1] == "4000"
    assert len(session.history) == 3
    assert source.closed == 1
    assert not session.running


def test_stop_transcribes_audio_not_yet_read():
    go_on = threading.Event()

    class Late(Blocks):
        def read(self, timeout_s):
            assert go_on.wait(WAIT_S)
            return super().read(timeout_s)

    pieces = speech(4).reshape(-1, 320)  # 3.2 s
    session = Session(Late(*pieces, then_wait=True), vad=VAD, model=Counting())
    session.start()
    stop = threading.Thread(target=session.stop)
    stop.start()
    wait_until(session._pipeline.stopping.is_set)
    go_on.set()
    stop.join(WAIT_S)
    assert session.stats.audio_s == pytest.approx(3.2)
    assert len(session.history) == 4


def test_interrupt_while_the_model_loads_leaves_no_thread():
    def interrupted():
        raise KeyboardInterrupt

    source = Blocks(speech(1), then_wait=True)
    with AsrWorker(Counting()) as worker:
        session = Session(source, vad=VAD, model=worker)
        worker.wait_ready = interrupted  # type: ignore[method-assign]
        with pytest.raises(KeyboardInterrupt):
            session.start()
    assert not session.running
    assert source.closed == 1


class LoadingSlowly(Counting):
    """An engine that loads once a test lets it."""

    def __init__(self):
        super().__init__()
        self.may_load = threading.Event()
        self.loading = threading.Event()

    def load(self):
        self.loading.set()
        assert self.may_load.wait(WAIT_S)


def test_a_file_begins_to_play_once_the_model_is_loaded(data):
    engine = LoadingSlowly()
    source = FileSource(data / "demo.flac", speed=None)
    session = Session(source, vad=VAD, model=engine)
    starting = threading.Thread(target=session.start)
    starting.start()
    try:
        assert engine.loading.wait(WAIT_S)
        wait_until(lambda: session.running)
        session.wait(0.3)
        assert session.stats.audio_s == 0
        engine.may_load.set()
        starting.join(WAIT_S)
        assert session.wait(WAIT_S)
        assert session.history
        assert {t.load_s for t in session.history} == {0.0}
    finally:
        engine.may_load.set()
        session.stop()


def test_a_file_that_waits_for_the_model_can_be_stopped(data):
    engine = LoadingSlowly()
    session = Session(FileSource(data / "demo.flac", speed=None), vad=VAD, model=engine)
    pipeline = threading.Thread(target=session.start)
    pipeline.start()
    assert engine.loading.wait(WAIT_S)
    try:
        wait_until(lambda: session._dsp is not None and session._dsp.is_alive())
        capture = session._dsp
        assert capture is not None
        session._pipeline.stopping.set()
        capture.join(WAIT_S)
        assert not capture.is_alive()
    finally:
        engine.may_load.set()
        pipeline.join(WAIT_S)
        session.stop()


def test_what_is_said_while_the_model_loads_says_so():
    engine = LoadingSlowly()
    session = Session(Blocks(speech(1), then_wait=True), vad=VAD, model=engine)
    decided = threading.Event()
    session.subscribe(lambda event: decided.set() if isinstance(event, Utterance) else None)
    starting = threading.Thread(target=session.start)
    starting.start()
    try:
        assert decided.wait(WAIT_S), "a microphone is heard at once"
        session.wait(0.2)
        engine.may_load.set()
        starting.join(WAIT_S)
        wait_until(lambda: session.history)
        (transcript,) = session.history
        assert transcript.load_s > 0.15
        assert transcript.queue_s < transcript.load_s
    finally:
        engine.may_load.set()
        session.stop()


def test_session_starts_and_stops_repeatedly():
    session = Session(source := Blocks(speech(1), then_wait=True), vad=VAD, model=Counting())
    before = threading.active_count()
    for round_number in range(1, 51):
        session.start()
        session.start()
        assert source.drained.wait(WAIT_S)
        session.stop()
        session.stop()
        assert threading.active_count() == before
        assert source.opened == source.closed == len(session.history) == round_number


def test_capture_runs_until_the_last_lease_is_closed():
    session = Session(source := Blocks(then_wait=True), model=Counting())
    one, other = session.lease(), session.lease()
    for lease in (one, other):
        lease.capture()
    one.close()
    assert session.running
    other.close()
    other.close()
    assert not session.running
    one.capture()
    session.start()
    one.close()
    assert session.running, "it was started by hand"
    session.stop()
    assert source.opened == source.closed == 2


def test_new_source_is_opened_only_while_a_lease_holds_capture():
    one, other = Blocks(then_wait=True), Blocks(then_wait=True)
    session = Session(one, model=Counting())
    session.change_source(other)
    assert (session.running, session.source) == (False, other)
    with session.lease() as lease:
        lease.capture()
        session.change_source(one)
        assert session.running
    assert (one.opened, one.closed, other.opened, other.closed) == (1, 1, 1, 1)


def test_engine_thread_stays_while_a_lease_holds_it():
    session = Session(Blocks(then_wait=True), model=(engine := Counting()))
    one, other = session.lease(), session.lease()
    one.engine()
    other.engine()
    with session:
        one.close()
    assert session.worker.ready
    assert engine.loads == 1
    other.close()
    assert session.worker._thread is None


def test_lease_whose_capture_failed_to_start_holds_it_and_may_retry():
    class Plugged(Blocks):
        missing = True

        def open(self):
            if self.missing:
                raise DeviceUnavailable("no microphone: plug one in")
            super().open()

    session = Session(source := Plugged(then_wait=True), model=Counting())
    lease, other = session.lease(), session.lease()
    with pytest.raises(DeviceUnavailable, match="plug one in"):
        lease.capture()
    assert lease.captures
    assert not session.running
    with pytest.raises(DeviceUnavailable, match="plug one in"):
        session.start()
    assert not session.kept, "a start that fails claims nothing"
    source.missing = False
    lease.capture()
    assert session.running
    other.close()
    assert session.running, "a lease that holds nothing has nothing to stop"
    lease.close()
    assert (session.running, lease.captures) == (False, False)


def test_capture_that_failed_starts_again_for_a_lease_unless_it_was_started_by_hand():
    source = Blocks(SourceError("cable cut"))
    session = Session(source, vad=VAD, model=Counting())
    with session.lease() as lease:
        for opened in (1, 2):
            lease.capture()
            assert session.wait(WAIT_S)
            assert (source.opened, str(session.error)) == (opened, "cable cut")
        session.start()
        lease.capture()
        assert source.opened == 2
        session.stop()
    assert not session.running


def test_a_lease_keeps_no_session_alive():
    session = Session(Blocks(then_wait=True), model=Counting())
    lease, gone = session.lease(), weakref.ref(session)
    gc.collect()
    gc.disable()
    try:
        lease.capture()
        del session
        assert gone() is None
    finally:
        gc.enable()
    lease.close()


def test_session_names_its_engine_and_its_problem(impatient):
    session = Session(Blocks(speech(1)), vad=VAD, model=(engine := Hanging(1, heeds=False)))
    assert (session.engine_name, session.engine_problem) == ("counting", None)
    with session:
        wait_until(lambda: session.stats.failed == 1)
        assert "restart sttlab" in str(session.engine_problem)
        engine.released.set()


def test_a_source_that_does_not_open_raises_in_the_caller():
    class Missing(Blocks):
        def open(self):
            raise DeviceUnavailable("no microphone: plug one in")

    session = Session(Missing(), vad=VAD, model=Counting())
    with pytest.raises(DeviceUnavailable, match="plug one in"):
        session.start()
    assert not session.running


def test_a_model_that_does_not_load_raises_in_the_caller():
    source = Blocks(*[speech(1)] * (LANE_JOBS + 5), then_wait=True)
    session = Session(source, vad=VAD, model=Counting(load_error=ModelNotFound("no weights")))
    with pytest.raises(ModelNotFound, match="no weights"):
        session.start()
    assert not session.running
    assert source.closed == 1


def test_a_source_that_breaks_stops_with_an_event_and_keeps_the_words():
    session = Session(Blocks(speech(1)[:6000], SourceError("cable cut")), vad=VAD, model=Counting())
    events = collect(session)
    with session:
        assert session.wait(WAIT_S)
    assert [t.text for t in session.history] == ["6000"]
    assert [e.message for e in events if isinstance(e, SessionFailed)] == ["cable cut"]
    assert str(session.error) == "cable cut"


@pytest.mark.parametrize("error", [TranscribeError("not audio"), ZeroDivisionError("oops")])
def test_failed_utterance_gives_an_event_and_the_next_is_transcribed(error):
    engine = Counting(answer=error)
    session = Session(Blocks(speech(2)), vad=VAD, model=engine)
    events = collect(session)
    with session:
        assert session.wait(WAIT_S)
    failed = [e for e in events if isinstance(e, TranscriptionFailed)]
    assert [e.utterance_id for e in failed] == [0, 1]
    assert str(error) in failed[0].message
    assert session.stats.failed == 2


NONSENSE = Transcription(
    text="?",
    segments=(Segment(start_s=0.0, end_s=float("nan"), text="?", confidence=0.5),),
    suppressed=(),
    language="en",
    language_probability=1.0,
    confidence=1.0,
)


@pytest.mark.parametrize(
    "wrong", [TranscribeError("hiccup"), MemoryError("full"), "text", 7, NONSENSE, b"\xff"]
)
def test_utterance_is_retried_once_after_an_engine_failure(wrong):
    engine = Counting()
    engine.answers = [wrong]
    session = Session(Blocks(speech(2)), vad=VAD, model=engine)
    events = collect(session)
    with session:
        assert session.wait(WAIT_S)
    assert kinds(events)[Transcript] == 2
    assert session.stats.failed == 0
    assert len(engine.lengths) == 3

    engine.answers = [wrong, wrong]
    with session:
        assert session.wait(WAIT_S)
    (failed,) = (e for e in events if isinstance(e, TranscriptionFailed))
    (kept,) = session.failed
    spoken = next(e for e in events if isinstance(e, Utterance))
    assert np.array_equal(kept.samples, spoken.samples)
    assert (failed.utterance_id, failed.start_s, failed.end_s) == (0, kept.start_s, kept.end_s)
    assert session.stats.transcripts == 1


class Hanging(Counting):
    """An engine that hangs several times, and that heeds a cancellation or not."""

    def __init__(self, times, *, heeds):
        super().__init__()
        self.times, self.heeds = times, heeds
        self.released = threading.Event()

    def transcribe(self, samples, sample_rate=SAMPLE_RATE, *, cancelled=never):
        if self.times:
            self.times -= 1
            self.taken.release()
            while not self.released.wait(0.01):
                if self.heeds and cancelled():
                    raise Cancelled
        return super().transcribe(samples, sample_rate, cancelled=cancelled)


@pytest.fixture
def impatient(monkeypatch):
    for name, value in (("HANG_S", 0.1), ("HANG_RTF", 0.0), ("CANCEL_S", 0.1)):
        monkeypatch.setattr(f"sttlab.live.worker.{name}", value)


def test_hanging_engine_is_cancelled_and_the_utterance_retried(impatient):
    session = Session(Blocks(speech(2)), vad=VAD, model=(engine := Hanging(1, heeds=True)))
    with session:
        assert session.wait(WAIT_S)
        assert len(session.history) == 2
    engine.times = 2
    events = collect(session)
    with session:
        assert session.wait(WAIT_S)
    (failed,) = (e for e in events if isinstance(e, TranscriptionFailed))
    assert "took longer than 0.1 s" in failed.message
    assert [u.utterance_id for u in session.failed] == [0]
    assert kinds(events)[Transcript] == 1


def test_engine_that_cannot_be_cancelled_fails_utterances_until_it_returns(impatient):
    source = Blocks(speech(3), then_wait=True)
    session = Session(source, vad=VAD, model=(engine := Hanging(1, heeds=False)))
    events = collect(session)
    with session:
        wait_until(lambda: session.stats.failed == 3)
        assert "restart sttlab" in str(session.worker.hangs)
        with pytest.raises(SessionError, match="restart sttlab"):
            session.worker.use(Counting())
        source.left.append(speech(1))
        wait_until(lambda: session.stats.failed == 4)
        engine.released.set()
        wait_until(lambda: session.worker.hangs is None)
        source.left.append(speech(1))
        wait_until(lambda: session.history)
    assert [u.utterance_id for u in session.failed] == [0, 1, 2, 3]
    assert kinds(events)[TranscriptionFailed] == 4
    assert kinds(events)[Transcript] == 1
    assert session.stats.queued_utterances == 0


def test_full_queue_does_not_block_on_an_engine_that_cannot_be_cancelled(impatient):
    count = LANE_JOBS + 4
    source = Blocks(speech(count), then_wait=True)
    session = Session(source, vad=VAD, model=(engine := Hanging(1, heeds=False)))
    with session:
        wait_until(lambda: session.stats.failed == count)
        engine.released.set()


def test_audio_of_failed_utterances_is_bounded(monkeypatch):
    monkeypatch.setattr("sttlab.live.ledger.FAILED_S", 1.5)
    engine = Counting(answer=TranscribeError("not audio"))
    session = Session(Blocks(speech(4)), vad=VAD, model=engine)
    with session:
        assert session.wait(WAIT_S)
    assert session.stats.failed == 4
    assert [u.utterance_id for u in session.failed] == [2, 3]


def test_suppressed_text_is_an_event_in_stream_time():
    held_back = Suppression(text="Thank you.", reason="no speech", start_s=0.1, end_s=0.3)
    answer = Transcription(
        text="",
        segments=(),
        suppressed=(held_back,),
        language="en",
        language_probability=1.0,
        confidence=0.0,
    )
    session = Session(Blocks(speech(2)), vad=VAD, model=Counting(answer=answer))
    events = collect(session)
    with session:
        assert session.wait(WAIT_S)
    held = [e for e in events if isinstance(e, Suppressed)]
    assert [(e.text, e.reason) for e in held] == [("Thank you.", "no speech")] * 2
    assert held[1].start_s == pytest.approx(0.8 + 0.1)
    assert not session.history


def test_a_busy_engine_makes_a_file_wait_and_loses_nothing():
    engine = Counting()
    engine.go.clear()
    count = LANE_JOBS * 3
    session = Session(Blocks(*[speech(1)] * count), vad=VAD, model=engine)
    session.start()
    assert engine.taken.acquire(timeout=WAIT_S)
    engine.go.set()
    assert session.wait(WAIT_S)
    session.stop()
    assert len(session.history) == count


def test_an_engine_that_hangs_does_not_hang_stop():
    engine = Counting()
    engine.go.clear()
    session = Session(source := Blocks(speech(3), then_wait=True), vad=VAD, model=engine)
    events = collect(session)
    session.start()
    assert engine.taken.acquire(timeout=WAIT_S)
    assert source.drained.wait(WAIT_S)
    session.stop(timeout_s=0.1)
    assert kinds(events)[TranscriptionFailed] == 3
    engine.go.set()
    assert session.worker.stop(WAIT_S)
    assert not session.history
    assert kinds(events)[TranscriptionFailed] == 3


@pytest.mark.parametrize("in_time", [True, False])
def test_a_worker_that_outlasted_a_stop_starts_again(in_time, monkeypatch):
    monkeypatch.setattr("sttlab.live.worker.LAST_JOIN_S", 0.1)
    engine = Counting()
    engine.go.clear()
    worker = AsrWorker(engine)
    worker.start()
    worker.submit("me", Job(np.ones(1600, np.float32), Priority.FINAL, lambda *_: None), never)
    assert engine.taken.acquire(timeout=WAIT_S)
    assert not worker.stop(timeout_s=0.0)
    if in_time:
        worker.start()
        engine.go.set()
    else:
        engine.go.set()
        wait_until(lambda: worker._done)
        worker.start()
    answers = []
    job = Job(np.ones(3200, np.float32), Priority.FINAL, lambda answer, _: answers.append(answer))
    assert worker.submit("me", job, never)
    wait_until(lambda: answers)
    assert isinstance(answers[0], Transcription)
    assert answers[0].text == "3200"
    assert worker.stop(WAIT_S)


def test_a_model_that_did_not_load_is_tried_again_at_the_next_start():
    engine = Counting(load_error=ModelNotFound("no weights"))
    worker = AsrWorker(engine)
    with pytest.raises(ModelNotFound):
        worker.start()
    engine.load_error = None
    with worker:
        assert worker.ready


def test_settings_apply_while_running_and_come_back():
    source = Blocks(speech(1), then_wait=True)
    session = Session(source, vad=VAD, model=Counting())
    changed = threading.Event()
    got = []

    def note(event):
        if isinstance(event, ConfigChanged):
            got.append(event.config)
            changed.set()

    session.subscribe(note)
    with session:
        new = session.update(silence_timeout_s=0.9)
        assert changed.wait(WAIT_S)
    assert got[-1] == new == session.config
    assert new == VadConfig(threshold_dbfs=-40, silence_timeout_s=0.9, pre_roll_s=0.0)


@pytest.mark.parametrize("bad", [{"silence_timeout_s": 99}, {"silence_timout_s": 1}])
def test_invalid_settings_are_refused_and_the_old_ones_stay(bad):
    session = Session(Blocks(), vad=VAD, model=Counting())
    with pytest.raises(ConfigError, match="silence_timeout_s"):
        session.update(**bad)
    assert session.config == VAD


def test_events_end_when_the_session_stops():
    engine = Counting()
    engine.go.clear()
    session = Session(Blocks(speech(2)), vad=VAD, model=engine)
    session.start()
    stream = session.events()
    engine.go.set()
    assert session.wait(WAIT_S)
    session.stop()
    assert kinds(stream)[Transcript] == 2
    assert list(session.events()) == []


def test_slow_subscriber_drops_levels_first_and_then_gets_an_error():
    stream = EventStream()
    level = Level(time_s=0, level_dbfs=-50, score=-50, threshold=-40, state="listening")
    for _ in range(LISTENER_EVENTS):
        stream.put(level)
    ended = SourceEnded(time_s=1)
    for _ in range(LISTENER_EVENTS):
        stream.put(ended)
    with pytest.raises(SessionError, match="behind"):
        for _ in stream:
            pass


def test_a_callback_that_raises_is_dropped_and_the_others_go_on(caplog):
    session = Session(Blocks(speech(2)), vad=VAD, model=Counting())

    def fail(event: Event) -> None:
        raise ValueError

    session.subscribe(fail)
    events = collect(session)
    with session:
        assert session.wait(WAIT_S)
    assert kinds(events)[Transcript] == 2
    assert caplog.text.count("Traceback") == 1


def test_stop_from_a_callback_is_refused():
    session = Session(Blocks(speech(1)), vad=VAD, model=Counting())
    errors = []

    def stop(event):
        try:
            session.stop()
        except SessionError as error:
            errors.append(error)

    session.subscribe(stop)
    with session:
        assert session.wait(WAIT_S)
    assert "another thread" in str(errors[0])


def test_a_lost_device_ends_the_utterance():
    lost = DeviceLost(device="mic", message="unplugged")
    blocks = [speech(1)[:6000], Block(np.zeros(0, np.float32), events=(lost,))]
    session = Session(Blocks(*blocks), vad=VAD, model=Counting())
    events = collect(session)
    with session:
        assert session.wait(WAIT_S)
    assert [e.reason for e in events if isinstance(e, Utterance)] == ["interrupted"]
    assert kinds(events)[DeviceLost] == 1


def test_a_source_that_stalls_ends_the_utterance():
    class Clock:
        now = 0.0

        def __call__(self):
            Clock.now += 1.0
            return Clock.now

    session = Session(
        Blocks(speech(1)[:6000], then_wait=True), vad=VAD, model=Counting(), clock=Clock()
    )
    got = threading.Event()
    session.subscribe(lambda e: got.set() if isinstance(e, Transcript) else None)
    with session:
        assert got.wait(WAIT_S)
    assert session.history[0].text == "6000"


PAUSING = VadConfig(threshold_dbfs=-40, silence_timeout_s=0.6, pre_roll_s=0.0)


def test_speculation_begins_in_the_pause_and_its_answer_is_used():
    """The audio of the pause is that of the final utterance, so the answer is the same."""
    engine = Counting()
    source = Blocks(speech(1), np.zeros(8000, np.float32), then_wait=True)
    session = Session(source, vad=PAUSING, model=engine)
    events = collect(session)
    with session:
        assert engine.taken.acquire(timeout=WAIT_S)
        assert source.drained.wait(WAIT_S)
    assert all(isinstance(event, Event) for event in events), "an internal event was emitted"
    (utterance,) = (e for e in events if isinstance(e, Utterance))
    assert engine.lengths == [len(utterance.samples)]
    assert [t.text for t in session.history] == [str(len(utterance.samples))]
    assert session.history[0].guessed
    assert session.history[0].engine_s >= session.history[0].decode_s


def test_resumed_speech_sends_no_final_too_early():
    """Pauses just short of the timeout: each starts speculation, and none of its texts is sent."""
    loud = speech(1, seconds=0.3)[:4800]
    pause = np.zeros(round(0.58 * SAMPLE_RATE), np.float32)
    parts = [part for _ in range(6) for part in (loud, pause)]
    engine = Counting()

    class OneByOne(Blocks):
        def read(self, timeout_s):
            if len(self.left) < len(self.blocks) and len(self.left) % 2 == 0 and self.left:
                assert engine.taken.acquire(timeout=WAIT_S)  # speculation has begun in this pause
            return super().read(timeout_s)

    session = Session(OneByOne(*parts), vad=PAUSING, model=engine)
    events = collect(session)
    with session:
        assert session.wait(WAIT_S)
    (utterance,) = (e for e in events if isinstance(e, Utterance))
    assert [t.text for t in session.history] == [str(len(utterance.samples))]
    assert len(engine.lengths) == 6
    assert session.stats.queued_utterances == 0


def test_audio_of_an_utterance_is_freed_with_its_transcript():
    pieces = [piece for _ in range(3) for piece in (speech(1), np.zeros(8000, np.float32))]
    session = Session(Blocks(*pieces), vad=PAUSING, model=Counting())
    events: list[weakref.ref[Event]] = []
    session.subscribe(lambda event: events.append(weakref.ref(event)))
    gc.collect()
    gc.disable()
    try:
        with session:
            assert session.wait(WAIT_S)
        assert not [e for ref in events if isinstance(e := ref(), Utterance)]
    finally:
        gc.enable()
    assert all(text.guessed for text in session.history)


def test_unfinished_speculation_becomes_the_final_when_it_is_done():
    engine = Counting()
    engine.go.clear()
    source = Blocks(speech(1), np.zeros(8000, np.float32), then_wait=True)
    session = Session(source, vad=PAUSING, model=engine)
    session.start()
    assert source.drained.wait(WAIT_S)
    assert engine.taken.acquire(timeout=WAIT_S)
    engine.go.set()
    session.stop()
    assert len(session.history) == len(engine.lengths) == 1


def test_an_utterance_of_many_pauses_is_not_lost_while_the_engine_is_busy():
    """With more speculation than the lane holds, the last has no place in it."""
    loud = speech(1, seconds=0.3)[:4800]
    parts = [loud, np.zeros(4800, np.float32)] * (LANE_JOBS + 4)
    engine = Counting()
    engine.go.clear()

    class Held(Blocks):
        def read(self, timeout_s):
            if not self.left:
                engine.go.set()
            return super().read(timeout_s)

    session = Session(Held(*parts), vad=PAUSING, model=engine)
    with session:
        assert session.wait(WAIT_S)
    assert len(session.history) == 1


def test_partials_are_made_only_on_request():
    def run(partials):
        session = Session(
            Blocks(*[speech(1, seconds=2)[i : i + 1600] for i in range(0, 38400, 1600)]),
            vad=VAD,
            model=Counting(),
            partials=partials,
        )
        events = collect(session)
        with session:
            assert session.wait(WAIT_S)
        return kinds(events)

    assert run(False)[Partial] == 0
    with_partials = run(True)
    assert with_partials[Partial] >= 1
    assert with_partials[Transcript] == 1


def test_partial_of_the_last_words_is_made_at_once_in_a_pause():
    """The clock stands still, so that only the first partial is due by time."""
    loud = speech(1, seconds=0.8)[:12800]
    silence = np.zeros(4000, np.float32)
    audio = np.concatenate([loud, silence])
    blocks = [audio[i : i + 320] for i in range(0, len(audio), 320)]
    engine = Counting()

    class Pausing(Blocks):
        """Falls silent once the engine has the first partial, which a later one would replace."""

        def read(self, timeout_s):
            if len(blocks) - len(self.left) == len(loud) // 320:
                assert engine.taken.acquire(timeout=WAIT_S)
            return super().read(timeout_s)

    source = Pausing(*blocks, then_wait=True)
    session = Session(source, vad=PAUSING, model=engine, partials=True, clock=lambda: 0.0)
    events = collect(session)
    with session:
        assert source.drained.wait(WAIT_S)
        assert engine.taken.acquire(timeout=WAIT_S)
    assert any(len(loud) + 1600 <= length <= len(loud) + 2400 for length in engine.lengths)
    assert kinds(events)[Transcript] == 1


def test_partial_never_delays_a_final():
    done = []
    with AsrWorker(engine := Counting()) as worker:
        engine.go.clear()
        partial = Job(np.zeros(1, np.float32), Priority.PARTIAL, lambda *_: done.append("partial"))
        final = Job(np.zeros(2, np.float32), Priority.FINAL, lambda *_: done.append("final"))
        worker.submit("a", partial, lambda: True)
        assert engine.taken.acquire(timeout=WAIT_S)
        worker.submit("b", final, lambda: True)
        assert partial.cancelled.is_set()
        engine.go.set()
    assert done == ["final"]


def test_speed_of_the_engine_is_known_after_some_answers_and_unknown_for_another_engine():
    answered = threading.Semaphore(0)
    with AsrWorker(Counting()) as worker:
        for speed_is_known in (False, False, True):
            job = Job(speech(1), Priority.FINAL, lambda *_: answered.release())
            worker.submit("a", job, lambda: True)
            assert answered.acquire(timeout=WAIT_S)
            assert (worker.speed is not None) == speed_is_known
        assert worker.speed
        worker.use(Counting())
        assert worker.speed is None


def test_sessions_share_one_worker():
    with AsrWorker(engine := Counting()) as worker:
        sessions = [Session(Blocks(speech(3)), vad=VAD, model=worker) for _ in range(4)]
        for session in sessions:
            session.start()
        for session in sessions:
            assert session.wait(WAIT_S)
            session.stop()
            assert len(session.history) == 3
        assert worker.ready
        assert engine.loads == 1


def test_the_worker_takes_sessions_in_turn():
    order = []
    with AsrWorker(engine := Counting()) as worker:
        engine.go.clear()

        def job(name):
            done = lambda answer, seconds: order.append(name)  # noqa: E731
            return Job(np.zeros(1, np.float32), Priority.FINAL, done)

        worker.submit("first", job("first"), lambda: True)
        assert engine.taken.acquire(timeout=WAIT_S)
        for name in "aaabb":
            worker.submit(name, job(name), lambda: True)
        engine.go.set()
    assert "".join(order[1:]) == "ababa"


def test_session_without_references_stops():
    source = Blocks(speech(1), then_wait=True)
    session = Session(source, vad=VAD, model=Counting())
    session.start()
    assert source.drained.wait(WAIT_S)
    threads = [t for t in threading.enumerate() if t.name.startswith("sttlab-")]
    assert {t.name for t in threads} == {"sttlab-dsp", "sttlab-asr", "sttlab-watchdog"}
    gone = weakref.ref(session)
    del session
    gc.collect()
    for thread in threads:
        thread.join(WAIT_S)
        assert not thread.is_alive()
    assert gone() is None
    assert source.closed == 1
