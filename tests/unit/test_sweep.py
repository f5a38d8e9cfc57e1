"""The sweep, compared with `segment` and `score` for each setting, one by one."""

import math
import re
import sys
from dataclasses import replace
from itertools import product
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sttlab.audio import FRAME_SAMPLES, SAMPLE_RATE, frame_levels
from sttlab.config import VadConfig
from sttlab.core import segment
from sttlab.decoding import load
from sttlab.endpoint import compiled_advance
from sttlab.errors import ConfigError
from sttlab.evaluate import sweep_material as module
from sttlab.evaluate.labels import Labels, Turn, load_labels
from sttlab.evaluate.score import Scores, pool, score
from sttlab.evaluate.sweep import METRICS, TRADE, sweep
from sttlab.vad import energy

NAMES = ("demo-noisy", "meeting-1", "pause", "austen-1")
GRID: dict[str, list[Any]] = {
    "margin_db": [3.0, 8.0, 14.0],
    "hysteresis_db": [0.0, 6.0],
    "silence_timeout_s": [0.1, 0.45, 1.2],
    "min_speech_s": [0.0, 0.1, 0.3],
    "max_utterance_s": [2.5, 28.0],
}


@pytest.fixture(scope="module")
def talks(data):
    labels = [load_labels(data / f"{name.replace('-noisy', '')}.rttm") for name in NAMES]
    return [load(data / f"{name}.flac") for name in NAMES], labels


def noise(*parts):
    rng = np.random.default_rng(0)
    white = [rng.standard_normal(round(s * SAMPLE_RATE)) * 10 ** (db / 20) for s, db in parts]
    return SimpleNamespace(samples=np.concatenate([[], *white]).astype(np.float32))


def turns(*spans):
    return Labels([Turn(start_s=a, end_s=b) for a, b in spans])


def brute_force(recordings, labels, config, **options):
    return pool(
        score(
            segment(recording, config), truth, duration_s=len(recording.samples) / 16000, **options
        )
        for recording, truth in zip(recordings, labels, strict=True)
    )


def assert_same(found: Scores, expected: Scores):
    for name, value in vars(expected).items():
        assert getattr(found, name) == pytest.approx(value, abs=0.002 if "_ms" in name else 1e-6)


def test_sweep_of_real_speech_equals_scoring_one_by_one(talks):
    recordings, labels = talks
    found = sweep(recordings, labels, GRID)
    assert len(found) == len(found.scores) == math.prod(found.shape) == 108
    tried = list(product(*GRID.values()))
    assert [tuple(found.values(i).values()) for i in range(len(found))] == tried
    seen = set()
    for config, scores in zip(found.configs, found.scores, strict=True):
        assert_same(scores, brute_force(recordings, labels, config))
        seen.add(scores.found)
    assert len(seen) > 20, "the settings differ"


def test_sweep_without_numba_gives_the_same_scores(talks, monkeypatch):
    grid = {name: GRID[name] for name in ("margin_db", "silence_timeout_s")}
    found = sweep(talks[0], talks[1], grid)
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "numba", None)
        for each in (module._compiled, compiled_advance):
            each.cache_clear()
        slow = sweep(talks[0], talks[1], grid)
        assert module._compiled()[1](np.zeros(1)) == [0.0], "plain Python wants lists"
    for each in (module._compiled, compiled_advance):
        each.cache_clear()
    assert slow.scores == found.scores


@pytest.mark.needs("silero")
def test_both_detectors_are_swept_at_once(talks):
    recordings, labels = (part[2:] for part in talks)
    grid: dict[str, Any] = {
        "detector": ["energy", "silero"],
        "probability": [0.3, 0.7],
        "min_speech_s": [0.1],
    }
    found = sweep(recordings, labels, grid)
    for config, scores in zip(found.configs, found.scores, strict=True):
        assert_same(scores, brute_force(recordings, labels, config))


parts = st.lists(
    st.tuples(st.floats(0.001, 1.2), st.sampled_from([-100.0, -70.0, -42.0, -30.0, -10.0])),
    max_size=8,
)
spans = st.lists(st.tuples(st.floats(0, 6), st.floats(0.05, 2)), max_size=5)


@settings(max_examples=60)
@given(
    several=st.lists(st.tuples(parts, spans), min_size=1, max_size=3),
    threshold=st.sampled_from([None, -40.0, -55.5]),
    gap_s=st.sampled_from([0.0, 0.5, 3.3]),
    collar_s=st.sampled_from([0.0, 0.2, 1.0]),
)
def test_sweep_of_any_audio_equals_scoring_one_by_one(several, threshold, gap_s, collar_s):
    recordings = [noise(*part) for part, _ in several]
    labels = [turns(*((a, a + length) for a, length in truth)) for _, truth in several]
    options = {"gap_s": gap_s, "collar_s": collar_s}
    grid: dict[str, Any] = {
        "silence_timeout_s": [0.1, 0.7],
        "min_speech_s": [0.0, 0.2],
        "max_utterance_s": [2, 9],
    }
    base = VadConfig(threshold_dbfs=threshold, pre_roll_s=0.1)
    found = sweep(recordings, labels, grid, config=base, **options)
    for config, scores in zip(found.configs, found.scores, strict=True):
        assert_same(scores, brute_force(recordings, labels, config, **options))


def test_sweep_scores_only_labelled_parts():
    talk = noise((1, -70), (1, -10), (1, -70), (1, -10), (1, -70))
    half = Labels([Turn(start_s=1, end_s=2)], scored=[(0, 2.5)])
    config = VadConfig(threshold_dbfs=-30, pre_roll_s=0)
    found = sweep([talk, talk], [half, half], {"pre_roll_s": [0.0]}, config=config)
    assert_same(found.scores[0], brute_force([talk, talk], [half, half], config))
    assert (found.scores[0].found, found.scores[0].false) == (2, 0)


def test_sweep_accepts_a_single_recording():
    talk, truth = noise((1, -70), (1, -10), (1, -70)), turns((1, 2))
    grid: dict[str, Any] = {
        "threshold_dbfs": np.arange(-40, -20, 5),
        "min_speech_s": np.array([0.5, 1.5], np.float32),
    }
    found = sweep(talk, truth, grid)
    assert found.grid == {"threshold_dbfs": (-40, -35, -30, -25), "min_speech_s": (0.5, 1.5)}
    assert found.shape == (4, 2)
    missed = found.metric("missed_rate").reshape(found.shape)
    assert np.array_equal(missed, [[0, 1]] * 4)


def test_levels_are_computed_once_for_each_recording(talks, monkeypatch):
    heard = []

    def listen(frames):
        heard.append(frames)
        return frame_levels(frames)

    monkeypatch.setattr(energy, "frame_levels", listen)
    sweep(talks[0], talks[1], {"margin_db": [4, 8, 12], "silence_timeout_s": [0.3, 0.6]})
    frames = [-(-len(talk.samples) // FRAME_SAMPLES) for talk in talks[0]]
    assert sum(map(len, heard)) == sum(frames)


def test_sweep_reports_its_progress(talks):
    steps = []
    sweep(talks[0], talks[1], GRID, progress=lambda done, total: steps.append((done, total)))
    assert {total for _, total in steps} == {len(NAMES) + 108}
    assert [done for done, _ in steps][:4] == [1, 2, 3, 4]
    assert [done for done, _ in steps] == sorted({done for done, _ in steps})
    assert steps[-1][0] == steps[-1][1]


def test_exception_of_progress_ends_the_sweep(talks):
    class Enough(Exception):
        pass

    def stop(done, total):
        raise Enough

    with pytest.raises(Enough):
        sweep(talks[0], talks[1], GRID, progress=stop)


@pytest.mark.parametrize(
    ("grid", "base", "words"),
    [
        ({}, {}, "the grid is empty: name a setting"),
        ({"margin_db": []}, {}, "no value for margin_db"),
        ({"margin_db": 8}, {}, "a list of values for margin_db, not 8"),
        ({"detector": "energy"}, {}, "a list of values for detector, not 'energy'"),
        ({"margin": [8]}, {}, "unknown setting 'margin'; did you mean margin_db?"),
        ({"margin_db": [8, 99]}, {}, "margin_db must be between 1 and 60 dB, not 99 dB"),
        ({"probability": [0.5]}, {}, "probability has no effect with the detector 'energy'"),
        ({"margin_db": [3, 9]}, {"threshold_dbfs": -40.0}, "threshold_dbfs -40: take it out"),
    ],
)
def test_invalid_grid_is_refused(grid, base, words):
    with pytest.raises(ConfigError, match=re.escape(words)):
        sweep(noise((1, -20)), turns((0, 1)), grid, config=VadConfig(**base))


def test_sweep_refuses_another_number_of_labels():
    with pytest.raises(ConfigError, match="not 2 recordings and 1 labels"):
        sweep([noise((1, -20))] * 2, [turns((0, 1))], {"margin_db": [8]})


@pytest.fixture(scope="module")
def swept(talks):
    grid: dict[str, Any] = {
        "margin_db": range(4, 20, 3),
        "silence_timeout_s": [0.2, 0.4, 0.6, 0.9, 1.3],
    }
    return sweep(talks[0], talks[1], grid)


def test_best_setting_has_the_least_value(swept):
    for name in set(METRICS) - {"word_error_rate"}:
        values = swept.metric(name)
        assert values[swept.best(name)] == np.nanmin(values)
    missed = swept.metric("missed_rate")
    tied = np.flatnonzero(missed == missed.min())
    best = swept.best("missed_rate")
    errors = swept.metric("detection_error_rate")
    assert errors[best] == errors[tied].min()


def test_metrics_of_a_sweep_equal_its_scores(swept):
    for i, scores in enumerate(swept.scores):
        assert swept.metric("cut_off_rate")[i] == scores.cut_off / scores.utterances
        assert swept.metric("lost_rate")[i] * scores.utterances == pytest.approx(
            scores.cut_off + scores.missed
        )
        assert swept.metric("missed_speech_rate")[i] == scores.missed_speech_rate


@pytest.mark.parametrize(
    ("x", "y"),
    [("endpoint_delay_median_ms", "lost_rate"), ("missed_speech_rate", "false_alarm_rate")],
)
def test_no_setting_beats_the_pareto_front(swept, x, y):
    a, b = swept.metric(x), swept.metric(y)
    front = swept.front(x, y)
    beaten = {
        i
        for i in range(len(swept))
        for j in range(len(swept))
        if a[j] <= a[i] and b[j] <= b[i] and (a[j] < a[i] or b[j] < b[i])
    }
    assert set(front) <= set(range(len(swept))) - beaten
    assert {(a[i], b[i]) for i in front} == {
        (a[i], b[i]) for i in range(len(swept)) if i not in beaten
    }
    assert sorted(a[front]) == a[front].tolist()
    assert len(front) > 1


def test_metric_without_values_has_no_best():
    found = sweep(noise((1, -90)), turns(), {"margin_db": [8]})
    assert np.isnan(found.metric("endpoint_delay_median_ms")).all()
    assert np.isnan(found.metric("missed_rate")).all()
    assert found.front("endpoint_delay_median_ms", "missed_rate") == []
    with pytest.raises(ConfigError, match="no setting has a value of endpoint delay"):
        found.best("endpoint_delay_median_ms")
    with pytest.raises(ConfigError, match="unknown metric 'speed'; known are"):
        found.metric("speed")
    assert "endpoint delay" not in found._repr_html_()


def test_html_of_a_sweep_shows_the_best_of_each_metric(swept):
    shown = swept._repr_html_()
    i = swept.best("detection_error_rate")
    row = re.search(r"<tr><th[^>]*>error rate.*?</tr>", shown)
    assert row
    rate = f"{swept.scores[i].detection_error_rate:.1%}"
    margin, timeout = swept.values(i).values()
    cells = f"<td>{rate}</td><td>{margin:g}</td><td>{timeout:g}</td>"
    assert cells in row[0]
    assert "30 settings on 4 recordings" in shown


def test_configs_of_a_sweep_keep_the_other_fields():
    base = VadConfig(pre_roll_s=0.7)
    found = sweep(noise((1, -20)), turns((0, 1)), {"margin_db": [5]}, config=base)
    assert found.configs == (replace(base, margin_db=5),)


@pytest.fixture(scope="module")
def cube(talks):
    grid: dict[str, Any] = {"silence_timeout_s": [0.3, 0.7], "min_speech_s": [0.1]}
    grid |= {"margin_db": [4, 8, 14], "hysteresis_db": [2, 6]}
    return sweep(talks[0], talks[1], grid)


@pytest.mark.needs("jupyter")
def test_plot_sweep_draws_a_heat_map_through_the_chosen_setting(cube):
    from sttlab.notebook.sweep_plots import map_settings, plot_sweep

    ax: Any = plot_sweep(cube, "missed_speech_rate", chosen=7)  # 0.7 s, 4 dB, hysteresis 6 dB
    assert cube.values(7) == {
        "silence_timeout_s": 0.7,
        "min_speech_s": 0.1,
        "margin_db": 4,
        "hysteresis_db": 6,
    }
    expected = cube.metric("missed_speech_rate").reshape(cube.shape)[:, 0, :, 1]
    (image,) = ax.images
    assert np.array_equal(image.get_array(), expected)
    assert map_settings(cube, 7).tolist() == [[1, 3, 5], [7, 9, 11]]
    assert (ax.get_ylabel(), ax.get_xlabel()) == ("silence timeout (s)", "above the noise (dB)")
    assert ax.get_title("left") == "minimum speech 0.1 s, hysteresis 6 dB"
    ticks = [ax.xaxis.get_major_formatter()(i, None) for i in range(-1, 4)]
    assert ticks == ["", "4", "8", "14", ""]
    assert {p.get_xy() for p in ax.patches} == {(-0.5, 0.5)}
    written = [f"{100 * value:.0f}" for value in expected.flat]
    assert [text.get_text() for text in ax.texts] == written
    assert METRICS["missed_speech_rate"] in [a.get_ylabel() for a in ax.figure.axes]


@pytest.mark.needs("jupyter")
def test_plot_sweep_draws_every_setting_and_the_pareto_front(cube):
    from sttlab.notebook.sweep_plots import plot_sweep

    ax: Any = plot_sweep(cube, *TRADE, chosen=3)
    x, y = (cube.metric(name) for name in TRADE)
    drawn = {line.get_label(): line.get_xydata().tolist() for line in ax.lines}
    assert drawn["a setting"] == np.column_stack([x, y]).tolist()
    assert drawn["none beats it"] == [[x[i], y[i]] for i in cube.front(*TRADE)]
    assert drawn["chosen"] == [[x[3], y[3]]]
    assert (ax.get_xlabel(), ax.get_ylabel()) == tuple(METRICS[name] for name in TRADE)


@pytest.mark.needs("jupyter")
def test_plot_sweep_draws_sweeps_of_any_shape(talks):
    from matplotlib.figure import Figure

    from sttlab.notebook.plots import png_bytes
    from sttlab.notebook.sweep_plots import plot_sweep

    grids: list[dict[str, Any]] = [
        {"margin_db": [8]},
        {"min_speech_s": [0, 0.1, 0.2]},
        {"pre_roll_s": [0.1], "margin_db": [3, 9]},
        {"threshold_dbfs": [None, -60.0, 0.0], "silence_timeout_s": [0.3, 0.6]},
        {"max_utterance_s": np.linspace(2, 20, 40), "min_speech_s": [0.1, 0.3]},
    ]
    for grid in grids:
        found = sweep(talks[0][2:3], talks[1][2:3], grid)
        ax = Figure().add_subplot()
        assert plot_sweep(found, "endpoint_delay_median_ms", ax=ax) is ax
        assert png_bytes(ax.figure).startswith(b"\x89PNG")
        assert png_bytes(plot_sweep(found, *TRADE).figure).startswith(b"\x89PNG")


@pytest.mark.needs("jupyter")
def test_plot_sweep_refuses_a_metric_without_values(cube):
    from sttlab.notebook.sweep_plots import plot_sweep

    with pytest.raises(ConfigError, match="unknown metric 'delay'"):
        plot_sweep(cube, "delay")
    with pytest.raises(ConfigError, match="no setting has a value of word error rate"):
        plot_sweep(cube, "word_error_rate", chosen=0)


class Engine:
    """Writes a word for each second of audio, and records the lengths of what it was given."""

    config = None
    name = "engine"

    def __init__(self):
        self.asked: list[int] = []

    def load(self):
        pass

    def transcribe(self, samples, sample_rate=SAMPLE_RATE, *, cancelled=lambda: False):
        self.asked.append(len(samples))
        return SimpleNamespace(text="word " * (len(samples) // SAMPLE_RATE))

    def close(self):
        raise AssertionError("not the sweep's to close")


@pytest.mark.needs("whisper", "bench")
def test_each_utterance_is_transcribed_once_for_all_chosen_settings(talks):
    found = sweep(
        talks[0], talks[1], {"silence_timeout_s": [0.2, 0.4, 0.8], "margin_db": [8.0, 12.0]}
    )
    texts = ["word " * 20, None, "word " * 10, "word " * 5]
    engine, steps = Engine(), []
    known = found.transcribe(
        texts, model=engine, settings=[0, 2, 4], progress=lambda *step: steps.append(step)
    )
    assert set(known) == {0, 2, 4}
    pieces = {
        (r, u.start_sample, u.end_sample)
        for i in known
        for r in (0, 2, 3)
        for u in segment(talks[0][r], found.configs[i])
    }
    assert len(engine.asked) == len(pieces)
    assert steps == [(i + 1, len(pieces)) for i in range(len(pieces))]
    for i in known:
        written = [
            sum(len(u.samples) // SAMPLE_RATE for u in segment(talks[0][r], found.configs[i]))
            for r in (0, 2, 3)
        ]
        wrong = sum(abs(n - m) for n, m in zip(written, (20, 10, 5), strict=True))
        assert known[i].wer == wrong / 35
    rates = found.metric("word_error_rate")
    assert np.flatnonzero(~np.isnan(rates)).tolist() == [0, 2, 4]
    assert found.best("word_error_rate") == min(known, key=lambda i: known[i].wer)

    before = len(engine.asked)
    found.transcribe(texts, model=engine, settings=[0, 2, 4])
    assert len(engine.asked) == before
    found.transcribe(texts, model=engine)
    assert set(found.front(*TRADE)) <= set(found.word_errors)


class Together(Engine):
    """The same, of several utterances together, whose answers come in another order."""

    def transcribe_batch(self, batch):
        for number in reversed(range(len(batch))):
            yield number, self.transcribe(batch[number])


@pytest.mark.needs("whisper", "bench")
def test_utterances_that_are_transcribed_together_have_the_same_texts(talks):
    found, again = (sweep(talks[0], talks[1], {"silence_timeout_s": [0.2, 0.8]}) for _ in range(2))
    texts = ["word " * 20, None, "word " * 10, "word " * 5]
    alone, together = Engine(), Together()
    one = found.transcribe(texts, model=alone, settings=[0, 1])
    assert again.transcribe(texts, model=together, settings=[0, 1]) == one
    assert sorted(together.asked) == sorted(alone.asked)
    assert together.asked != alone.asked


@pytest.mark.parametrize("texts", ["one text", ["one", "two"], [None] * 4])
def test_transcribe_refuses_another_number_of_texts(talks, texts):
    found = sweep(talks[0], talks[1], {"margin_db": [8]})
    with pytest.raises(ConfigError, match="4 recordings need as many texts"):
        found.transcribe(texts, model=Engine())


@pytest.mark.needs("whisper", "bench")
def test_too_short_a_timeout_raises_word_errors(data):
    recording, labels = load(data / "pause.flac"), load_labels(data / "pause.rttm")
    found = sweep(recording, labels, {"silence_timeout_s": [0.14, 0.8]}, config=VadConfig())
    known = found.transcribe((data / "pause.txt").read_text(), settings=[0, 1])
    assert known[0].wer > known[1].wer
    assert known[1].wer < 0.3
    assert known[0].words == known[1].words
