"""The sweeper, operated as the front end operates it: by its widgets' traits."""

import gc
import io
import threading
import weakref
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from sttlab.audio import Recording
from sttlab.config import Config, VadConfig
from sttlab.errors import ConfigError, SttlabError
from sttlab.evaluate.labels import Labels, Turn
from sttlab.evaluate.sweep import METRICS, TRADE, sweep
from tests.fakes import Counting, wait_until
from tests.widgets import (
    WAIT_S,
    answer,
    display,
    find,
    noise,
    settled,
    shown,
    until,
    walk,
    words,
)

pytestmark = pytest.mark.needs("jupyter")

QUIET, LOUD = -70, -20
GRID: dict[str, list[Any]] = {
    "silence_timeout_s": [0.2, 0.4, 0.7],
    "margin_db": [8.0, 30.0, 55.0],
    "min_speech_s": [0.1, 0.3],
}


@pytest.fixture
def talks():
    """Two recordings; in the second a short word and a pause within a sentence."""
    parts: tuple[list[tuple[float, float]], ...] = (
        [(3, QUIET), (1, LOUD), (2, QUIET), (1, LOUD), (1, QUIET)],
        [(3, QUIET), (1, LOUD), (0.3, QUIET), (1, LOUD), (2, QUIET), (0.2, LOUD), (1, QUIET)],
    )
    spoken = ([(3, 4), (6, 7)], [(3, 5.3), (7.3, 7.5)])
    recordings = [Recording(noise(*p), origin=f"/talks/{i}.wav") for i, p in enumerate(parts)]
    return recordings, [Labels(Turn(start_s=a, end_s=b) for a, b in turns) for turns in spoken]


@pytest.fixture
def make_sweeper(talks, tmp_path):
    from sttlab.notebook.sweeper import Sweeper

    made = []

    def make(grid=GRID, **options):
        made.append(Sweeper(talks[0], talks[1], grid, path=tmp_path / "vad.toml", **options))
        return made[-1]

    yield make
    for sweeper in made:
        sweeper.close()


@pytest.fixture
def ready(make_sweeper):
    sweeper = make_sweeper()
    sweeper.wait(WAIT_S)
    return settled(sweeper)


@pytest.fixture
def held(monkeypatch):
    """A sweep that waits for `go` after its first step."""
    from sttlab.notebook import sweeper as module

    gate = SimpleNamespace(begun=threading.Event(), go=threading.Event(), stopped=False)

    def slow(*args, progress=None, **options):
        if progress:
            progress(1, 20)
            gate.begun.set()
            assert gate.go.wait(WAIT_S)
            gate.stopped = True
            progress(2, 20)
            gate.stopped = False
        return sweep(*args, progress=progress, **options)

    monkeypatch.setattr(module, "sweep", slow)
    return gate


def working():
    return [t for t in threading.enumerate() if t.name.startswith("sttlab-")]


def rows(sweeper):
    """Return the cells of the tables by the headings of their rows."""
    from xml.etree import ElementTree

    table = ElementTree.fromstring(sweeper._summary.value)
    return {row[0].text: [cell.text for cell in row[1:]] for row in table.iter("tr")}


def test_sweeper_shows_the_sweep_and_begins_with_the_best(talks, ready):
    expected = sweep(talks[0], talks[1], GRID)
    assert ready.sweep.scores == expected.scores
    best = expected.best()
    assert ready.config == expected.configs[best]
    assert ready.tuner.config == ready.config
    assert "18 settings tried" in words(ready.widget)
    assert not shown(ready._bar)
    first = sweep(talks[0], talks[1], {"pre_roll_s": [VadConfig().pre_roll_s]})
    for metric in ("detection_error_rate", "cut_off_rate"):
        figures = (expected.metric(metric)[best], first.metric(metric)[0])
        assert rows(ready)[METRICS[metric]] == [
            *(f"{value:.1%}" for value in figures),
            f"{expected.metric(metric).min():.1%}",
        ]


def test_sweeper_shows_progress_and_chooses_nothing_meanwhile(held, make_sweeper):
    sweeper = make_sweeper()
    assert held.begun.wait(WAIT_S)
    settled(sweeper)
    assert "trying 18 settings on 2 recordings" in words(sweeper.widget)
    assert shown(sweeper._bar)
    assert sweeper._bar.value == 1 / 20
    assert not shown(sweeper._results)
    with pytest.raises(SttlabError, match="no setting 0 to choose: trying 18 settings"):
        sweeper.choose(0)
    with pytest.raises(SttlabError, match=r"not done within 0\.01 s: trying 18 settings"):
        sweeper.wait(0.01)
    held.go.set()
    sweeper.wait(WAIT_S)
    settled(sweeper)
    assert shown(sweeper._results)
    for number in (-1, 18):
        with pytest.raises(SttlabError, match=f"no setting {number} to choose"):
            sweeper.choose(number)


@pytest.mark.parametrize("chart", ["_map", "_trade"])
def test_click_chooses_a_setting_and_all_controls_follow(ready, chart):
    setting = next(i for i in range(18) if i != ready._chosen)
    getattr(ready, chart).chosen = setting
    settled(ready)
    settled(ready.tuner)
    config = ready.sweep.configs[setting]
    assert ready.config == ready.tuner.config == config
    assert ready._map.chosen == ready._trade.chosen == setting
    values = ready.sweep.values(setting)
    assert [s.value for s in ready._sliders.values()] == list(values.values())
    said = "silence timeout {silence_timeout_s:g} s, above the noise {margin_db:g} dB"
    assert said.format(**values) in words(ready.widget)
    error = ready.sweep.metric("detection_error_rate")[setting]
    assert rows(ready)["error rate (of speech)"][0] == f"{error:.1%}"
    found = len(ready.tuner.utterances)
    assert f"{found} utterances" in words(ready.tuner.widget)


def test_slider_chooses_the_next_setting(ready):
    ready.choose(0)
    find(ready.widget, "SelectionSlider", "Above the noise (dB)").value = 55.0
    assert ready.config == VadConfig(silence_timeout_s=0.2, margin_db=55)
    assert ready.sweep.configs[ready._map.chosen] == ready.config


def test_concurrent_choices_end_in_one_consistent_setting(ready):
    def choose(settings):
        for setting in settings:
            ready._map.chosen = setting

    threads = [
        threading.Thread(target=choose, args=(np.random.default_rng(i).integers(0, 18, 60),))
        for i in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WAIT_S)
    config = ready.sweep.configs[ready._chosen]
    assert ready.config == config
    values = ready.sweep.values(ready._chosen)
    assert [s.value for s in ready._sliders.values()] == list(values.values())


def test_points_of_the_heat_map_are_in_its_cells(ready):
    from PIL import Image

    ready.choose(0)
    settled(ready)
    points = {int(i): (x, y) for i, x, y in ready._map.points}
    assert sorted(points) == [0, 2, 4, 6, 8, 10, 12, 14, 16], "the plane of the chosen one"
    xs, ys = ([points[i][k] for i in sorted(points)] for k in (0, 1))
    assert np.allclose(np.reshape(xs, (3, 3)), np.reshape(xs, (3, 3))[0])
    assert (np.diff(np.reshape(xs, (3, 3)), axis=1) > 0.1).all(), "margins from the left"
    assert (np.diff(np.reshape(ys, (3, 3)), axis=0) < -0.1).all(), "timeouts from below"
    assert sorted(ready._map.stops) == sorted(points)
    picture = Image.open(io.BytesIO(ready._map.png)).convert("RGB")
    error = ready.sweep.metric("detection_error_rate")
    colors: dict[float, set[Any]] = {}
    for i, (x, y) in points.items():
        at = round(x * picture.width) - 40, round(y * picture.height) - 25  # beside the figure
        colors.setdefault(round(error[i], 9), set()).add(picture.getpixel(at))
    assert all(len(seen) == 1 for seen in colors.values()), "one colour for one value"
    assert len(set.union(*colors.values())) == len(colors) > 2


def test_dots_are_at_the_values_of_their_metrics(ready):
    x, y = (ready.sweep.metric(name) for name in TRADE)
    points = {int(i): (px, py) for i, px, py in ready._trade.points}
    assert sorted(points) == np.flatnonzero(~np.isnan(x + y)).tolist()
    known = sorted(points)
    px, py = np.array([points[i] for i in known]).T
    assert np.corrcoef(px, x[known])[0, 1] == pytest.approx(1, abs=1e-4)
    assert np.corrcoef(py, -y[known])[0, 1] == pytest.approx(1, abs=1e-4)
    assert ready._trade.stops == ready.sweep.front(*TRADE)


def test_sweeper_draws_other_metrics_and_trade_offs(ready):
    before = ready._map.png, ready._trade.png
    find(ready.widget, "Dropdown", "Colours show").label = METRICS["missed_speech_rate"]
    find(ready.widget, "Dropdown", "Dots show").label = "missed speech against false alarms"
    settled(ready)
    assert METRICS["missed_speech_rate"] in ready._map.alt
    assert METRICS["false_alarm_rate"] in ready._trade.alt
    assert ready._map.png != before[0]
    assert ready._trade.png != before[1]


def test_sweeper_says_that_a_metric_has_no_values(make_sweeper):
    sweeper = make_sweeper({"threshold_dbfs": [-1.0, -2.0]})
    sweeper.wait(WAIT_S)
    find(sweeper.widget, "Dropdown", "Colours show").label = METRICS["endpoint_delay_median_ms"]
    settled(sweeper)
    assert "no setting has a value of endpoint delay, median (ms)" in words(sweeper.widget)


def test_use_this_saves_the_settings_of_the_tuner(ready, tmp_path):
    ready.choose(3)
    find(ready.tuner.widget, "FloatSlider", "Pre-roll (s)").value = 0.5
    find(ready.widget, "Button", "Use this").click()
    assert f"saved to {tmp_path / 'vad.toml'}" in words(ready.widget)
    assert Config.load(tmp_path / "vad.toml").vad == ready.config
    assert ready.config.pre_roll_s == 0.5
    ready.choose(4)
    assert "saved to" not in words(ready.widget), "another one is not"
    (tmp_path / "vad.toml").write_text("not = [toml")
    find(ready.widget, "Button", "Use this").click()
    assert "not valid TOML" in words(ready.widget)


def test_use_this_saves_the_scores_on_all_recordings(ready, tmp_path):
    ready.choose(4)
    find(ready.widget, "Button", "Use this").click()
    about = Config.load(tmp_path / "vad.toml").about
    assert about.recordings == ("0.wav", "1.wav")
    expected = float(ready.sweep.metric("detection_error_rate")[4])
    assert about.scores["detection_error_rate"] == pytest.approx(expected, abs=1e-4)
    ready.choose(5)
    find(ready.widget, "Button", "Use this").click()
    assert "→" in words(ready.widget)
    assert Config.history(tmp_path / "vad.toml")[0].vad == ready.sweep.configs[4]


def test_sweeper_shows_another_recording_with_the_same_settings(ready, talks):
    import ipywidgets

    ready.choose(5)
    count = len(ipywidgets.widgets.widget._instances)
    before = weakref.ref(ready.tuner)
    recordings = find(ready.widget, "Dropdown", "Recording")
    assert [label for label, _ in recordings.options] == ["1: 0.wav", "2: 1.wav"]
    recordings.value = 1
    settled(ready.tuner)
    assert ready.config == ready.sweep.configs[5]
    assert ready.tuner.trace.duration_s == pytest.approx(talks[0][1].duration_s)
    assert ready._slot.children == (ready.tuner.widget,)
    gc.collect()
    assert before() is None
    assert len(ipywidgets.widgets.widget._instances) == count


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ConfigError("the disk is full: empty it"), "the disk is full: empty it"),
        (ZeroDivisionError("by zero"), "the sweep failed by a bug in sttlab: ZeroDivisionError"),
    ],
)
def test_sweeper_shows_the_error_of_a_failed_sweep(make_sweeper, monkeypatch, error, said):
    from sttlab.notebook import sweeper as module

    def fail(*args, **options):
        raise error

    monkeypatch.setattr(module, "sweep", fail)
    sweeper = make_sweeper()
    until(sweeper, said)
    assert not shown(sweeper._bar)
    with pytest.raises(SttlabError, match=said[:20]):
        sweeper.wait(WAIT_S)


def test_sweeper_refuses_an_invalid_grid_at_once(make_sweeper):
    with pytest.raises(ConfigError, match="did you mean margin_db"):
        make_sweeper({"margin": [8]})
    assert working() == []


@pytest.mark.needs("whisper", "bench")
def test_sweeper_counts_and_shows_word_errors(make_sweeper, monkeypatch):
    from sttlab.notebook import texts as module

    engine = Counting(answer=answer("word"))
    monkeypatch.setattr(module, "make_engine", lambda config: engine)
    sweeper = make_sweeper(texts=["word word word", None])
    sweeper.wait(WAIT_S)
    metric, pair = (find(sweeper.widget, "Dropdown", n) for n in ("Colours show", "Dots show"))
    assert METRICS["word_error_rate"] not in dict(metric.options)
    find(sweeper.widget, "Button", "Count word errors").click()
    chosen = {*sweeper.sweep.front(*TRADE), sweeper._chosen}
    until(sweeper, f"word errors of {len(chosen)} settings counted")
    settled(sweeper)
    assert set(sweeper.sweep.word_errors) == chosen
    assert METRICS["word_error_rate"] in dict(metric.options)
    assert metric.value == "detection_error_rate"
    assert pair.label == "endpoint delay against word errors"
    assert {int(point[0]) for point in sweeper._trade.points} == chosen
    worst = sweeper.sweep.word_errors[sweeper._chosen].wer
    assert rows(sweeper)[METRICS["word_error_rate"]][0] == f"{worst:.1%}"
    sweeper.tuner._list._handle_custom_msg({"ask": "transcribe", "row": 0}, [])
    wait_until(lambda: "word" in sweeper.tuner._texts.get(sweeper.tuner.utterances[0]))
    assert engine.loads == 1, "tuner and count have one model"


@pytest.mark.needs("whisper", "bench")
def test_sweeper_shows_why_word_errors_cannot_be_counted(make_sweeper):
    sweeper = make_sweeper(texts=["one", "two"], model="no/such/model.pt")
    sweeper.wait(WAIT_S)
    find(sweeper.widget, "Button", "Count word errors").click()
    until(sweeper, "no/such/model.pt")
    assert "trying" not in words(sweeper.widget)
    assert shown(sweeper._results)


def test_sweeper_without_texts_offers_no_word_errors(ready):
    assert [w.description for w in walk(ready.widget) if type(w).__name__ == "Button"][0:3] == [
        "Cancel",
        "Use this",
        "Calibrate",
    ]


def test_sweeper_closed_while_it_works_leaves_no_thread_or_widget(held, make_sweeper):
    import ipywidgets

    before = len(ipywidgets.widgets.widget._instances)
    sweeper = make_sweeper()
    assert held.begun.wait(WAIT_S)
    closing = threading.Thread(target=sweeper.close)
    closing.start()
    held.go.set()
    closing.join(WAIT_S)
    assert working() == []
    assert held.stopped
    assert sweeper.sweep is None
    assert len(ipywidgets.widgets.widget._instances) == before


def test_sweeper_deleted_while_it_works_leaves_no_thread_or_widget(held, talks):
    import ipywidgets

    from sttlab.notebook.sweeper import Sweeper

    before = len(ipywidgets.widgets.widget._instances)
    sweeper = Sweeper(talks[0], talks[1], GRID)
    assert held.begun.wait(WAIT_S)
    settled(sweeper)
    worker, gone = sweeper._worker, weakref.ref(sweeper)
    del sweeper
    gc.collect()
    assert gone() is None
    held.go.set()
    worker.join(WAIT_S)
    assert held.stopped
    assert working() == []
    assert len(ipywidgets.widgets.widget._instances) == before


def test_shown_sweeper_lives_until_it_leaves_the_page(talks):
    from sttlab.notebook.sweeper import Sweeper

    sweeper = Sweeper(talks[0], talks[1], GRID)
    sweeper.wait(WAIT_S)
    display(sweeper)
    display(sweeper)
    widget, alive = sweeper.widget, weakref.ref(sweeper)
    del sweeper
    gc.collect()
    widget._view_count = 2
    assert alive() is not None
    widget._view_count = 0
    gc.collect()
    assert alive() is None


def test_the_settings_chosen_before_are_compared_with_the_chosen_ones(ready):
    for setting in (1, 2, 5):
        ready.choose(setting)
    settled(ready.tuner)
    track = ready.tuner._picture.segments["other settings"]
    assert track["rows"][:3] == ["at first", "0.2 s, 30 dB, 0.1 s", "0.2 s, 8 dB, 0.3 s"]
    found = [s[:2] for s in track["segments"] if s[3] == 1]
    expected = ready.tuner.trace.utterances(ready.sweep.configs[2])
    assert np.allclose(found, [[u.start_s, u.end_s] for u in expected], atol=0.001)


def test_a_sweep_is_cancelled_and_says_so(held, make_sweeper):
    sweeper = make_sweeper(GRID)
    assert held.begun.wait(WAIT_S)
    find(sweeper.widget, "Button", "Cancel").click()
    held.go.set()
    until(sweeper, "cancelled")
    assert sweeper.sweep is None
    assert not shown(sweeper._bar)
