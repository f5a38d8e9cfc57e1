"""The monitor, operated as the front end operates it, over a real session."""

import gc
import re
import threading
import weakref
from typing import Any

import numpy as np
import pytest

from sttlab.audio import SAMPLE_RATE, from_pcm16
from sttlab.capture.base import Block
from sttlab.config import VadConfig
from sttlab.errors import DeviceUnavailable, ModelError, TranscribeError
from sttlab.events import DeviceLost, Level, Transcript, Utterance
from sttlab.live.session import Session
from tests.fakes import Blocks, Counting
from tests.widgets import WAIT_S, answer, display, find, noise, settled, until, walk, words

pytestmark = pytest.mark.needs("jupyter")

QUIET, LOUD = -70, -20
SAID = answer("What is <this>?", suppressed="Thanks.")


@pytest.fixture
def talk():
    """Two utterances."""
    return Block(noise((3, QUIET), (1, LOUD), (2, QUIET), (1, LOUD), (1, QUIET)))


@pytest.fixture
def quiet():
    return Block(noise((1, QUIET)))


@pytest.fixture
def watch():
    from sttlab.notebook.monitor import LiveMonitor

    made = []

    def make(*blocks, then_wait=True, engine=None):
        source = Blocks(*blocks, then_wait=then_wait)
        source.name = "mic <1>"
        session = Session(source, model=engine or Counting(answer=SAID))
        made.append((session, LiveMonitor(session)))
        return made[-1]

    yield make
    for session, monitor in made:
        session.stop()
        monitor.close()


def drawing():
    return [t for t in threading.enumerate() if t.name == "sttlab-ui"]


def wait_gone(threads):
    for thread in threads:
        thread.join(WAIT_S)
    assert not any(thread.is_alive() for thread in threads)


def kinds(monitor):
    return next(w for w in walk(monitor.widget) if type(w).__name__ == "ToggleButtons")


def test_monitor_shows_level_transcripts_and_suppressed_text(watch, talk):
    session, monitor = watch(talk)
    with session:
        until(monitor, "What is <this>?", "2 held back", "Thanks.", "no speech", "listening")
        assert monitor._ledger.value.count("<audio controls") == 2, "suppressed audio can be played"
        assert [u[2] for u in monitor._picture.utterances] == ["1", "2"]
        assert [t[2] for t in monitor._picture.texts] == ["What is <this>?"] * 2
    until(monitor, "stopped", "mic <1>")
    assert len(session.history) == 2
    for transcript in session.history:
        assert f"{transcript.delay_s:.2f} s" in words(monitor.widget)
        assert f"{transcript.pause_s:.2f} s silence timeout" in monitor._table.value
        assert f"{transcript.decode_s:.2f} s decode" in monitor._table.value


def test_monitor_shows_the_sessions_history(watch, talk):
    from sttlab.notebook.monitor import LiveMonitor

    session, monitor = watch(talk)
    with session:
        until(monitor, "What is <this>?", "2 held back")
    later = LiveMonitor(session)
    assert words(later._table) == words(monitor._table)
    later.close()


def test_monitor_buttons_start_and_stop_the_session(watch, talk):
    session, monitor = watch(talk)
    start, stop = (find(monitor.widget, "Button", name) for name in ("Start", "Stop"))
    assert (start.disabled, stop.disabled) == (False, True)
    start.click()
    until(monitor, "listening")
    stop.click()
    until(monitor, "stopped")
    assert not session.running
    assert len(session.history) == 2


def test_start_button_restarts_a_source_that_has_ended(watch, talk):
    session, monitor = watch(talk, then_wait=False)
    start = find(monitor.widget, "Button", "Start")
    with session:
        until(monitor, "the source ended after 8.0 s", "ended · mic <1>")
        assert session.wait(WAIT_S)
        settled_texts = len(session.history)
        enabled = threading.Event()
        start.observe(lambda change: enabled.set(), "disabled")
        assert enabled.is_set() or not start.disabled or enabled.wait(WAIT_S)
        start.click()
        monitor._control.join(WAIT_S)
        assert session.wait(WAIT_S)
    assert session.source.opened == 2
    assert len(session.history) == 2 * settled_texts == 4


def test_monitor_sliders_update_the_session_and_follow_it(watch, quiet):
    session, monitor = watch(quiet)
    slider = find(monitor.widget, "FloatSlider", "Silence timeout (s)")
    slider.value = 0.9
    assert session.config.silence_timeout_s == 0.9
    moved = threading.Event()
    slider.observe(lambda change: moved.set(), "value")
    with session:
        session.update(silence_timeout_s=1.5)
        assert moved.wait(WAIT_S)
        assert slider.value == 1.5
        assert session.config == VadConfig(silence_timeout_s=1.5)


def test_dragged_slider_is_not_moved_back(watch, quiet):
    session, monitor = watch(quiet)
    slider = find(monitor.widget, "FloatSlider", "Silence timeout (s)")
    seen = []
    slider.observe(lambda change: seen.append(change["new"]), "value")
    wanted = [hundredths / 100 for hundredths in range(20, 201)]
    with session:
        for value in wanted:
            slider.value = value
    assert seen == wanted
    assert session.config.silence_timeout_s == slider.value == 2


def test_refused_setting_is_shown_and_the_slider_moves_back(watch, quiet, monkeypatch):
    import importlib.util

    session, monitor = watch(quiet)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    kinds(monitor).value = "Silero"
    settled(monitor)
    assert "pip install 'sttlab[silero]'" in words(monitor.widget)
    assert kinds(monitor).value == "level above the noise"
    assert session.config == VadConfig()
    find(monitor.widget, "FloatSlider", "Silence timeout (s)").value = 0.9
    settled(monitor)
    assert "pip install" not in words(monitor.widget)


def test_two_monitors_of_a_session_show_the_same(watch, talk):
    from sttlab.notebook.monitor import LiveMonitor

    session, one = watch(talk)
    other = LiveMonitor(session)
    sliders = [find(m.widget, "FloatSlider", "Silence timeout (s)") for m in (one, other)]
    moved = threading.Event()
    sliders[1].observe(lambda change: moved.set(), "value")
    with session:
        until(one, "What is <this>?")
        until(other, "What is <this>?")
        sliders[0].value = 0.9
        assert moved.wait(WAIT_S)
        assert sliders[1].value == session.config.silence_timeout_s == 0.9
        other.close()
        until(one, "listening")
    until(one, "stopped")


def test_monitor_draws_while_one_view_is_on_the_page(watch, quiet):
    session, monitor = watch(quiet)
    display(monitor)
    display(monitor)
    monitor.widget._view_count = 2
    with session:
        until(monitor, "listening")
        monitor.widget._view_count = 1
        assert not monitor.hidden
        threads = drawing()
        assert len(threads) == 1
        monitor.widget._view_count = 0
        wait_gone(threads)
        monitor.widget._view_count = 1
        slider = find(monitor.widget, "FloatSlider", "Silence timeout (s)")
        moved = threading.Event()
        slider.observe(lambda change: moved.set(), "value")
        session.update(silence_timeout_s=0.9)
        assert moved.wait(WAIT_S)


def test_closed_monitor_stops_drawing_and_the_session_goes_on(watch, talk):
    session, monitor = watch(talk)
    with session:
        until(monitor, "listening")
        assert len(drawing()) == 1
        monitor.close()
        assert drawing() == []
        assert session.running
        before = monitor._table.value
    assert monitor._table.value == before
    assert len(session.history) == 2


def test_deleted_monitor_leaves_no_thread_or_widget(talk):
    import ipywidgets

    from sttlab.notebook.monitor import LiveMonitor

    before = len(ipywidgets.widgets.widget._instances)
    session = Session(Blocks(talk, then_wait=True), model=Counting(answer=SAID))
    monitor = LiveMonitor(session)
    gone = threading.Event()
    weakref.finalize(monitor, gone.set).atexit = False
    with session:
        until(monitor, "What is <this>?")
        threads = drawing()
        del monitor
        gc.collect()
        assert gone.wait(WAIT_S)
        wait_gone(threads)
        assert session.running
        assert session._broadcast._callbacks == ()
    assert len(ipywidgets.widgets.widget._instances) == before


def test_monitor_shows_a_lost_microphone(watch):
    lost = DeviceLost(device="mic", message="mic was unplugged; plug it in again")
    session, monitor = watch(Block(np.zeros(3200, np.float32), events=(lost,)))
    with session:
        until(monitor, "plug it in again")


@pytest.mark.parametrize(
    ("engine", "open_error", "words"),
    [
        (None, DeviceUnavailable("no microphone: plug one in"), "no microphone: plug one in"),
        (None, OSError("no bus"), "that failed: no bus"),
        (Counting(load_error=ModelError("no weights: get some")), None, "no weights: get some"),
    ],
    ids=["source", "unforeseen", "model"],
)
def test_monitor_shows_why_start_failed(watch, monkeypatch, quiet, engine, open_error, words):
    session, monitor = watch(quiet, engine=engine)
    if open_error:
        monkeypatch.setattr(session.source, "open", lambda: raise_(open_error))
    find(monitor.widget, "Button", "Start").click()
    until(monitor, words, "stopped")


def raise_(error):
    raise error


def test_monitor_shows_a_failed_source_and_start_retries(watch, talk):
    session, monitor = watch(talk, DeviceUnavailable("the bus is gone"))
    with session:
        until(monitor, "the bus is gone", "failed · mic <1>", "What is <this>?")
        session.source.blocks = [talk]
        find(monitor.widget, "Button", "Start").click()
        monitor._control.join(WAIT_S)
        until(monitor, "listening")
        assert "the bus is gone" not in words(monitor.widget)


def test_monitor_shows_a_failed_engine(watch, talk):
    session, monitor = watch(talk, engine=Counting(answer=TranscribeError("out of memory")))
    with session:
        until(monitor, "out of memory", "no text yet")


@pytest.mark.needs("silero")
def test_monitor_follows_a_change_of_the_detector(watch, talk):
    session, monitor = watch(talk)
    with session:
        until(monitor, "What is <this>?")
        kinds(monitor).value = "Silero"
        assert session.config.detector == "silero"
    settled(monitor)
    assert [scale["label"] for scale in monitor._picture.scores] == ["level", "probability"]


class Browser:
    """What the browser's part of a monitor holds: the rows that it was sent, by run."""

    def __init__(self, monitor):
        self.monitor = monitor
        self.runs = {}
        self.audio = {}
        monitor._picture.send = self.receive

    def receive(self, content, buffers):
        if "levels" in content:
            about = content["levels"]
            rows = np.frombuffer(buffers[0], "<f4").reshape(-1, 5)
            held = self.runs.setdefault(about["run"], {})
            held.update({about["at"] + i: row for i, row in enumerate(rows)})
        else:
            self.audio[content["id"]] = from_pcm16(np.frombuffer(buffers[0], "<i2"))

    def ask(self, **content):
        self.monitor._picture._handle_custom_msg(content, [])
        settled(self.monitor)
        return self


def test_each_level_reaches_a_browser_once_and_all_reach_one_that_comes_late(watch, talk):
    session, monitor = watch(talk, then_wait=False)
    early = Browser(monitor).ask(ask="levels")
    with session:
        assert session.wait(WAIT_S)
        until(monitor, "the source ended")
    settled(monitor)
    (rows,) = early.runs.values()
    assert sorted(rows) == list(range(400)), "8 s of 20 ms"
    states = np.array([rows[i][4] for i in range(400)])
    assert set(states) == {0, 1, 2}
    assert (np.array([rows[i][2] - rows[i][3] for i in range(400)]) > 0).all(), "onset over offset"
    late = Browser(monitor).ask(ask="levels")
    assert [list(rows) for rows in late.runs.values()] == [list(range(400))]


def test_a_restarted_session_has_a_picture_of_its_own(watch, talk):
    session, monitor = watch(talk, then_wait=False)
    browser = Browser(monitor).ask(ask="levels")
    for _ in range(2):
        with session:
            assert session.wait(WAIT_S)
            until(monitor, "the source ended")
    settled(monitor)
    assert [len(rows) for rows in list(browser.runs.values())[-2:]] == [400, 400]
    assert len(monitor._picture.utterances) == len(monitor._picture.texts) == 2


def test_an_utterance_in_the_picture_is_heard_and_between_two_there_is_silence(watch, talk):
    session, monitor = watch(talk)
    with session:
        until(monitor, "2 held back")
    settled(monitor)
    start_s, end_s, *_ = monitor._picture.utterances[0]
    browser = Browser(monitor).ask(ask="sound", id=1, start_s=start_s, end_s=end_s)
    said = talk.samples[round(start_s * SAMPLE_RATE) : round(end_s * SAMPLE_RATE)]
    assert browser.audio[1] == pytest.approx(said, abs=1 / 32768)
    browser.ask(ask="sound", id=2, start_s=0, end_s=1)
    assert not browser.audio[2].any()


def test_the_levels_of_an_hour_are_kept_and_no_more():
    from sttlab.notebook.live_picture import LevelLog

    def level(row):
        return Level(
            time_s=row * 0.02, level_dbfs=-row, score=-row, threshold=-40, state="listening"
        )

    log = LevelLog("energy")
    for row in [*range(10), *range(20, 180_030)]:
        log.add(level(row), VadConfig())
    at, rows = log.since(0)
    assert (at, len(rows), log.end) == (30, 180_000, 180_030)
    assert rows[[0, -1], 0].tolist() == [-30, -180_029]
    log.add(level(180_040), VadConfig())
    assert np.isnan(log.since(180_030)[1][:-1]).all(), "frames that never came"
    assert not log.follows(level(0))


def test_the_audio_of_ten_minutes_of_speech_is_kept():
    from sttlab.notebook.live_picture import LastSpeech

    heard = LastSpeech()
    for i in range(30):
        heard.add(
            Utterance(
                utterance_id=i,
                start_sample=i * 40 * SAMPLE_RATE,
                samples=np.full(30 * SAMPLE_RATE, 0.5, np.float32),
                onset_sample=0,
                speech_end_sample=0,
                decided_sample=0,
                reason="silence",
            )
        )
    assert heard.find(9) is None
    assert [i for i in range(30) if heard.find(i)] == list(range(10, 30))
    assert (
        heard.samples(29 * 40 + 29, 29 * 40 + 31).tolist()
        == [0.5] * SAMPLE_RATE + [0.0] * SAMPLE_RATE
    )


def test_a_delay_beyond_five_seconds_is_marked_and_the_scale_is_said(watch, quiet):
    from sttlab.notebook.monitor_texts import table_of

    def text(delay_s):
        parts: dict[str, Any] = {"pause_s": 0.6, "capture_s": 0, "decode_s": 0.4, "engine_s": 0.4}
        parts |= {"queue_s": delay_s - 1, "delay_s": delay_s, "guessed": False}
        about: dict[str, Any] = {"language": "en", "language_probability": 1, "confidence": 0.9}
        about |= {"utterance_id": 0, "segments": (), "start_s": 0.0, "end_s": 1.0}
        return Transcript(text="so", **parts, **about)

    short, long = table_of([text(1.5)], ""), table_of([text(1.5), text(7.9)], "")
    assert "bars end at 1.5 s" in short
    assert "▸" not in short
    assert "bars end at 5.0 s; ▸ is longer" in long
    assert long.count("</span>▸</span>") == 1
    widths = [float(w) for w in re.findall(r"width:([\d.]+)%", long)]
    assert sum(widths[:4]) == pytest.approx(100, abs=0.5), "the longest fills its bar"
    assert sum(widths[4:]) == pytest.approx(30, abs=0.5)


def test_a_saved_notebook_keeps_the_last_seconds_of_a_running_session(watch, talk):
    session, monitor = watch(talk)
    with session:
        until(monitor, "What is <this>?")
        _, bundle = display(monitor)
    assert bundle["image/png"].startswith("iVBOR")
    assert "What is <this>?" in bundle["text/plain"]


def test_monitor_of_a_new_session_shows_its_settings():
    from sttlab.notebook.monitor import LiveMonitor

    config = VadConfig(threshold_dbfs=-33, pre_roll_s=0.5)
    monitor = LiveMonitor(Session(Blocks(), vad=config, model=Counting()))
    assert monitor._sliders.config == config
    assert "stopped" in words(monitor.widget)
    monitor.close()


def test_monitor_says_that_a_session_is_kept_and_where(tmp_path, talk):
    from sttlab.notebook.monitor import LiveMonitor

    source = Blocks(talk, then_wait=True)
    session = Session(source, model=Counting(answer=SAID), keep=tmp_path)
    monitor = LiveMonitor(session)
    with session:
        until(monitor, f"kept in {session.kept_folder}")
    monitor.close()


def test_a_button_has_the_next_start_kept_or_not(watch, talk, tmp_path):
    from sttlab.notebook.monitor import LiveMonitor

    session, _ = watch(talk)
    monitor = LiveMonitor(session, keep=tmp_path / "kept")
    button = find(monitor.widget, "ToggleButton", "Keep")
    assert not button.value
    with session:
        button.value = True
        until(monitor, f"from the next start on, it is kept in {tmp_path / 'kept'}")
        assert not session.keeps
    with session:
        until(monitor, f"kept in {session.kept_folder}")
        button.value = False
        until(monitor, "from the next start on, nothing is kept")
        assert session.keeps
    with session:
        assert not session.keeps
    monitor.close()


def test_a_folder_in_which_nothing_can_be_kept_is_said_by_the_button(watch, tmp_path):
    from sttlab.notebook.monitor import LiveMonitor

    session, _ = watch()
    (tmp_path / "file").write_text("")
    monitor = LiveMonitor(session, keep=tmp_path / "file")
    button = find(monitor.widget, "ToggleButton", "Keep")
    button.value = True
    until(monitor, "name a folder that can be written")
    assert not button.value
    assert session.keep is None
    monitor.close()
