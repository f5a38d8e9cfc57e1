"""The monitor, operated as the front end operates it, over a real session."""

import gc
import threading
import weakref

import numpy as np
import pytest

from sttlab.capture.base import Block
from sttlab.config import VadConfig
from sttlab.errors import DeviceUnavailable, ModelError, TranscribeError
from sttlab.events import DeviceLost
from sttlab.live.session import Session
from tests.fakes import Blocks, Counting
from tests.widgets import WAIT_S, answer, find, noise, settled, until, walk, words

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
        drawn = monitor._picture._moving.value
        assert drawn.count("<polyline") == 3
        assert drawn.count("<rect") >= 3
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
        until(monitor, "What is <this>?")
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
    monitor._repr_mimebundle_()
    monitor._repr_mimebundle_()
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
    assert [panel.label for panel in monitor._picture.panels] == ["level (dBFS)", "probability"]


def test_monitor_draws_only_the_last_ten_seconds(watch):
    session, monitor = watch(Block(noise((25, QUIET))), then_wait=False)
    with session:
        assert session.wait(WAIT_S)
    levels = list(monitor._levels)
    assert levels[-1].time_s - levels[0].time_s == pytest.approx(10, abs=0.03)


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
