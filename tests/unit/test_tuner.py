"""The tuner and the monitor, moved as the front end moves them: by their widgets' traits."""

import gc
import re
import threading
import weakref
from dataclasses import fields, replace
from types import SimpleNamespace

import numpy as np
import pytest

from sttlab.audio import SAMPLE_RATE
from sttlab.capture.base import Block
from sttlab.config import Config, TranscribeConfig, VadConfig
from sttlab.core import segment
from sttlab.errors import ConfigError, DeviceUnavailable
from sttlab.events import DeviceLost
from sttlab.session import AsrWorker, Session
from sttlab.transcribe.base import Suppression, Transcription

pytestmark = pytest.mark.needs("jupyter")

WAIT_S = 10
QUIET, LOUD = -70, -20


def noise(*parts):
    rng = np.random.default_rng(0)
    white = [rng.standard_normal(round(s * SAMPLE_RATE)) * 10 ** (db / 20) for s, db in parts]
    return np.concatenate(white).astype(np.float32)


@pytest.fixture
def talk():
    """Three utterances, two of them half a second apart."""
    parts = [(3, QUIET), (1, LOUD), (0.5, QUIET), (1, LOUD), (2, QUIET), (1, LOUD), (1, QUIET)]
    return SimpleNamespace(samples=noise(*parts))


@pytest.fixture
def make_tuner(tmp_path):
    from sttlab.notebook.tuner import VadTuner

    made = []

    def make(recording, **options):
        made.append(VadTuner(recording, path=tmp_path / "data" / "vad.toml", **options))
        return made[-1]

    yield make
    for tuner in made:
        tuner.close()


def settled(shown):
    assert shown._painter.settle(WAIT_S)
    return shown


def find(widget, kind, description):
    """The control that a person sees under that name."""
    found = [w for w in walk(widget) if type(w).__name__ == kind and w.description == description]
    assert len(found) == 1, f"{len(found)} of {description}"
    return found[0]


def walk(widget):
    yield widget
    for child in getattr(widget, "children", ()):
        yield from walk(child)


def words(widget):
    html = " ".join(w.value for w in walk(widget) if type(w).__name__ == "HTML" and shown(w))
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", html))


def shown(widget):
    return widget.layout.display != "none"


def rows(tuner):
    return [row for row in tuner._rows if shown(row.widget)]


class Engine:
    """An engine that knows how long it heard; real ones are in the tests of the notebooks."""

    name = "engine"

    def load(self):
        pass

    def transcribe(self, samples, sample_rate=SAMPLE_RATE, *, cancelled=lambda: False):
        invented = Suppression(text="Thanks.", reason="no speech", start_s=0, end_s=1)
        return Transcription(
            text=f"{len(samples)} <samples>",
            segments=(),
            suppressed=(invented,),
            language="en",
            language_probability=1.0,
            confidence=0.9,
        )

    def close(self):
        pass


def test_it_begins_with_what_the_settings_find(talk, make_tuner):
    config = VadConfig(silence_timeout_s=0.7)
    tuner = make_tuner(talk, config=config)
    assert tuner.config == config
    expected = segment(talk, config)
    assert [(u.start_sample, u.end_sample) for u in tuner.utterances] == [
        (u.start_sample, u.end_sample) for u in expected
    ]
    assert f"{len(expected)} utterances" in words(tuner.widget)
    assert len(rows(tuner)) == len(expected) == 2


def test_a_moved_slider_moves_everything(talk, make_tuner):
    tuner = make_tuner(talk)
    before = tuner._picture._moving.value
    find(tuner.widget, "FloatSlider", "Silence timeout (s)").value = 0.3
    settled(tuner)
    assert tuner.config == VadConfig(silence_timeout_s=0.3)
    assert "3 utterances" in words(tuner.widget)
    assert len(rows(tuner)) == 3
    drawn = tuner._picture._moving.value
    assert drawn != before
    assert drawn.count("<rect") == 2 * 3
    facts = words(rows(tuner)[0].widget)
    first = tuner.utterances[0]
    assert f"{first.start_s:.2f} s" in facts
    assert "silence timeout" in facts


def test_every_setting_has_a_slider_with_its_bounds(talk, make_tuner):
    tuner = make_tuner(talk)
    numbers = {f.name: f.metadata for f in fields(VadConfig) if "min" in f.metadata}
    sliders = tuner._sliders.sliders
    assert set(sliders) == set(numbers)
    for name, bounds in numbers.items():
        assert (sliders[name].min, sliders[name].max) == (bounds["min"], bounds["max"])
        assert sliders[name].description
        assert sliders[name].tooltip == bounds["doc"]


@pytest.mark.parametrize(
    "config",
    [
        VadConfig(),
        VadConfig(threshold_dbfs=-33.3, hysteresis_db=7),
        VadConfig(detector="silero", probability=0.3, threshold_dbfs=-20),
        VadConfig(margin_db=3, min_speech_s=0.4, pre_roll_s=0, max_utterance_s=7),
    ],
)
def test_settings_survive_the_sliders(talk, make_tuner, config):
    tuner = make_tuner(talk)
    tuner.config = config
    assert tuner.config == config


def test_the_threshold_is_fixed_or_above_the_noise(talk, make_tuner):
    tuner = make_tuner(talk)
    kind = next(w for w in walk(tuner.widget) if type(w).__name__ == "ToggleButtons")
    fixed = find(tuner.widget, "FloatSlider", "Threshold (dBFS)")
    relative = find(tuner.widget, "FloatSlider", "Above the noise (dB)")
    assert (shown(fixed), shown(relative)) == (False, True)
    kind.value = "level, fixed"
    fixed.value = -5
    settled(tuner)
    assert (shown(fixed), shown(relative)) == (True, False)
    assert tuner.config.threshold_dbfs == -5
    assert tuner.utterances == []
    assert "0 utterances" in words(tuner.widget)
    assert rows(tuner) == []


def test_calibrate_reset_save(talk, make_tuner):
    tuner = make_tuner(talk, config=VadConfig(margin_db=12))
    find(tuner.widget, "Button", "Calibrate").click()
    assert tuner.config.threshold_dbfs == pytest.approx(-55, abs=3)
    find(tuner.widget, "Button", "Save").click()
    saved = tuner.path
    assert Config.load(saved).vad == tuner.config
    assert str(saved) in words(tuner.widget)
    find(tuner.widget, "Button", "Reset").click()
    assert tuner.config == VadConfig(margin_db=12)


def test_save_keeps_what_the_file_says_of_transcription(talk, make_tuner):
    tuner = make_tuner(talk)
    tuner.path.parent.mkdir()
    Config(transcribe=TranscribeConfig(language="de")).save(tuner.path)
    tuner.config = VadConfig(pre_roll_s=0.5)
    tuner.save()
    saved = Config.load(tuner.path)
    assert (saved.vad.pre_roll_s, saved.transcribe.language) == (0.5, "de")


def test_errors_are_shown_in_words(make_tuner):
    tuner = make_tuner(SimpleNamespace(samples=np.zeros(3 * SAMPLE_RATE, np.float32)))
    find(tuner.widget, "Button", "Calibrate").click()
    assert "digital silence" in words(tuner.widget)
    tuner.path.parent.mkdir()
    tuner.path.write_text("not = [toml")
    find(tuner.widget, "Button", "Save").click()
    assert "not valid TOML" in words(tuner.widget)
    with pytest.raises(ConfigError, match="not valid TOML"):
        tuner.save()


def test_missing_silero_is_shown_in_words(talk, make_tuner, monkeypatch):
    import importlib.util

    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    tuner = make_tuner(talk)
    tuner.config = VadConfig(detector="silero")
    settled(tuner)
    assert "pip install &#x27;sttlab[silero]&#x27;" in words(tuner.widget)


def test_play_puts_the_sound_on_the_page(talk, make_tuner):
    tuner = make_tuner(talk)
    next(w for w in walk(rows(tuner)[1].widget) if getattr(w, "icon", "") == "play").click()
    assert "data:audio/wav;base64," in tuner._player.value
    assert 'aria-label="utterance 2"' in tuner._player.value


def test_transcribe_shows_text_and_what_was_held_back(talk, make_tuner):
    with AsrWorker(Engine()) as worker:
        tuner = make_tuner(talk, model=worker)
        find(rows(tuner)[0].widget, "Button", "transcribe").click()
    settled(tuner)
    text = words(rows(tuner)[0].widget)
    assert f"{len(tuner.utterances[0].samples)} &lt;samples&gt;" in text
    assert "Thanks. – held back: no speech" in text


def test_more_utterances_than_rows_are_on_pages(make_tuner):
    tuner = make_tuner(SimpleNamespace(samples=noise(*[(0.4, LOUD), (1, QUIET)] * 20)))
    assert len(tuner.utterances) == 20
    pages = find(tuner.widget, "BoundedIntText", "Page")
    assert (pages.max, len(rows(tuner))) == (3, 8)
    pages.value = 3
    settled(tuner)
    assert len(rows(tuner)) == 4
    assert "20" in words(rows(tuner)[-1].widget)


def test_many_moves_at_once_end_at_the_last(talk, make_tuner):
    tuner = make_tuner(talk)
    slider = find(tuner.widget, "FloatSlider", "Silence timeout (s)")

    def drag():
        for value in np.linspace(0.1, 0.9, 100):
            slider.value = float(value)

    dragging = [threading.Thread(target=drag) for _ in range(2)]
    for thread in dragging:
        thread.start()
    for thread in dragging:
        thread.join(WAIT_S)
    slider.value = 0.3
    settled(tuner)
    assert f"{len(segment(talk, tuner.config))} utterances" in words(tuner.widget)


@pytest.mark.parametrize("samples", [[], [0.5], [0.0] * 700])
def test_recordings_with_nothing_in_them(make_tuner, samples):
    tuner = make_tuner(SimpleNamespace(samples=np.array(samples, np.float32)))
    assert tuner.utterances == segment(tuner.trace)
    find(tuner.widget, "Button", "Calibrate").click()
    assert "calibration" in words(tuner.widget)


def test_a_deleted_tuner_leaves_nothing(talk):
    import ipywidgets

    from sttlab.notebook.tuner import VadTuner

    before = len(ipywidgets.widgets.widget._instances)
    tuner = VadTuner(talk)
    gone = weakref.ref(tuner)
    del tuner
    gc.collect()
    assert gone() is None
    assert len(ipywidgets.widgets.widget._instances) == before


def test_a_shown_tuner_lives_until_it_leaves_the_page(talk):
    from sttlab.notebook.tuner import VadTuner

    tuner = VadTuner(talk)
    tuner._repr_mimebundle_()
    widget, alive = tuner.widget, weakref.ref(tuner)
    del tuner
    gc.collect()
    widget._view_count = 2
    assert alive() is not None
    widget._view_count = 0
    gc.collect()
    assert alive() is None


class Microphone:
    """A source that gives its blocks, then silence without end."""

    name = "mic <1>"

    def __init__(self, *blocks, error=None):
        self.blocks, self.error = blocks, error

    def open(self):
        if self.error:
            raise self.error
        self.left = list(self.blocks)

    def read(self, timeout_s):
        if self.left:
            return self.left.pop(0)
        threading.Event().wait(min(timeout_s, 0.01))
        return Block(np.zeros(0, np.float32))

    def close(self):
        pass


@pytest.fixture
def watch():
    from sttlab.notebook.monitor import LiveMonitor

    made = []

    def make(*blocks, **options):
        session = Session(Microphone(*blocks, **options), model=Engine())
        made.append((session, LiveMonitor(session)))
        return made[-1]

    yield make
    for session, monitor in made:
        session.stop()
        monitor.close()


def until(shown, *expected):
    """Wait until the monitor says all of it."""
    seen, whole = threading.Event(), shown.widget

    def look(_):
        if all(text in words(whole) for text in expected):
            seen.set()

    for widget in walk(whole):
        if type(widget).__name__ == "HTML":
            widget.observe(look, "value")
    look(None)
    assert seen.wait(WAIT_S), words(whole)


def test_the_monitor_shows_level_text_and_what_was_held_back(watch, talk):
    session, monitor = watch(Block(talk.samples))
    with session:
        until(monitor, "&lt;samples&gt;", "held back", "no speech", "listening")
        drawn = monitor._picture._moving.value
        assert drawn.count("<polyline") == 3
        assert drawn.count("<rect") >= 3
    until(monitor, "stopped", "mic &lt;1&gt;")
    assert len(session.history) == 2
    for transcript in session.history:
        assert f"{transcript.delay_s:.2f} s" in words(monitor.widget)


def test_its_buttons_start_and_stop_the_session(watch, talk):
    session, monitor = watch(Block(talk.samples))
    start, stop = (find(monitor.widget, "Button", name) for name in ("Start", "Stop"))
    assert (start.disabled, stop.disabled) == (False, True)
    start.click()
    until(monitor, "listening")
    stop.click()
    until(monitor, "stopped")
    assert not session.running
    assert len(session.history) == 2


def test_its_sliders_move_the_session_and_follow_it(watch):
    session, monitor = watch(Block(noise((1, QUIET))))
    slider = find(monitor.widget, "FloatSlider", "Silence timeout (s)")
    slider.value = 0.9
    assert session.config.silence_timeout_s == 0.9
    moved = threading.Event()
    slider.observe(lambda change: moved.set(), "value")
    with session:
        session.update(silence_timeout_s=1.5)
        assert moved.wait(WAIT_S)
        assert slider.value == 1.5


def test_it_says_what_went_wrong(watch):
    lost = DeviceLost(device="mic", message="mic was unplugged; plug it in again")
    session, monitor = watch(Block(np.zeros(3200, np.float32), events=(lost,)))
    with session:
        until(monitor, "plug it in again")
    session, monitor = watch(error=DeviceUnavailable("no microphone: plug one in"))
    find(monitor.widget, "Button", "Start").click()
    until(monitor, "no microphone: plug one in", "stopped")


@pytest.mark.needs("silero")
def test_the_detector_changes_while_it_runs(watch, talk):
    session, monitor = watch(Block(talk.samples))
    with session:
        until(monitor, "&lt;samples&gt;")
        kind = next(w for w in walk(monitor.widget) if type(w).__name__ == "ToggleButtons")
        kind.value = "Silero"
        assert session.config.detector == "silero"
    settled(monitor)
    assert [panel.label for panel in monitor._picture.panels] == ["level (dBFS)", "probability"]


def test_a_deleted_monitor_lets_the_session_be(talk):
    from sttlab.notebook.monitor import LiveMonitor

    session = Session(Microphone(Block(talk.samples)), model=Engine())
    with session:
        monitor = LiveMonitor(session)
        gone = weakref.ref(monitor)
        until(monitor, "listening")
        del monitor
        settled_threads()
        gc.collect()
        assert gone() is None
        assert session.running
        assert session._callbacks == ()


def settled_threads():
    for thread in threading.enumerate():
        if thread.name == "sttlab-ui":
            thread.join(0.5)


def test_the_tuner_gives_its_settings_to_a_session(talk, make_tuner, watch):
    session, _ = watch()
    tuner = make_tuner(talk, session=session)
    tuner.config = replace(tuner.config, silence_timeout_s=1.1)
    find(tuner.widget, "Button", "Use live").click()
    assert session.config == tuner.config
