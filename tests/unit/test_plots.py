"""Plots: curves, thresholds and spans are drawn in the right places."""

import io
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sttlab.audio import SAMPLE_RATE
from sttlab.config import VadConfig
from sttlab.core import segment
from sttlab.trace import Trace, extremes

pytestmark = pytest.mark.needs("jupyter")

QUIET, LOUD = -70, -20
FIXED = VadConfig(threshold_dbfs=-40, hysteresis_db=6)


def sound(*parts: tuple[float, float], seed=0):
    rng = np.random.default_rng(seed)
    white = [rng.standard_normal(round(s * SAMPLE_RATE)) * 10 ** (db / 20) for s, db in parts]
    return SimpleNamespace(samples=np.concatenate(white).astype(np.float32))


@pytest.fixture
def talk():
    return sound((1, QUIET), (1, LOUD), (1.5, QUIET), (0.7, LOUD), (1, QUIET))


def lines(ax):
    return {line.get_label(): line for line in ax.lines}


def spans(ax, color):
    from matplotlib.colors import to_rgb

    (drawn,) = (c for c in ax.collections if to_rgb(c.get_facecolor()[0]) == to_rgb(color))
    return boxes(drawn)


def boxes(drawn):
    found = [path.get_extents() for path in drawn.get_paths()]
    return [(round(box.x0, 6), round(box.x1, 6)) for box in found]


def bounds(utterances):
    return [(round(u.start_s, 6), round(u.end_s, 6)) for u in utterances]


def test_plot_trace_draws_level_threshold_and_utterances(talk):
    from sttlab.notebook.look import FOUND
    from sttlab.notebook.plots import plot_trace

    ax = plot_trace(talk, FIXED)
    assert set(lines(ax)["onset threshold"].get_ydata()) == {-40}
    assert set(lines(ax)["offset threshold"].get_ydata()) == {-46}
    (band,) = (c for c in ax.collections if c.get_label() == "level, 300–6000 Hz")
    edge = np.array(band.get_paths()[0].vertices)
    assert edge[:, 1].max() == pytest.approx(LOUD, abs=1)
    found = segment(talk, FIXED)
    assert len(found) == 2
    assert spans(ax, FOUND) == bounds(found)
    wave = ax.figure.axes[0]
    assert spans(wave, FOUND) == spans(ax, FOUND)
    assert wave.get_xlim() == ax.get_xlim() == (0, 5.2)


def test_plot_trace_labels_every_axis_with_its_unit(talk):
    from sttlab.notebook.plots import plot_trace

    ax = plot_trace(talk)
    assert ax.get_ylabel() == "level (dBFS)"
    assert ax.get_xlabel() == "time (s)"
    assert ax.figure.axes[0].get_ylabel() == "amplitude"


def test_plot_trace_draws_the_threshold_above_the_noise_floor(talk):
    from sttlab.notebook.plots import plot_trace

    drawn = lines(plot_trace(talk, VadConfig(margin_db=22)))
    floor, onset = (drawn[k].get_ydata() for k in ("noise floor", "onset threshold"))
    assert np.array_equal(onset, np.maximum(floor + 22, -55))


def test_plot_trace_draws_labels(talk):
    from sttlab.notebook.look import TRUTH
    from sttlab.notebook.plots import plot_trace

    truth = [SimpleNamespace(start_s=1.0, end_s=2.0)]
    assert spans(plot_trace(talk, labels=truth), TRUTH) == [(1.0, 2.0)]


def spoken(start_s, end_s, speaker):
    return SimpleNamespace(start_s=start_s, end_s=end_s, speaker=speaker)


def test_plot_trace_has_a_colour_for_each_speaker(talk):
    from matplotlib.colors import to_rgb

    from sttlab.notebook.look import SPEAKERS
    from sttlab.notebook.plots import plot_trace

    truth = [spoken(1.0, 2.0, "Anna"), spoken(3.5, 4.2, "Ben"), spoken(4.5, 5.0, "Anna")]
    level = plot_trace(talk, labels=truth)
    bands = {c.get_label(): c for c in level.collections}
    assert boxes(bands["Anna"]) == [(1.0, 2.0), (4.5, 5.0)]
    assert boxes(bands["Ben"]) == [(3.5, 4.2)]
    legend = level.get_legend()
    assert legend
    assert {"Anna", "Ben"} <= {text.get_text() for text in legend.get_texts()}
    wave = level.figure.axes[0]
    colors = [np.asarray(c.get_facecolor())[0][:3].tolist() for c in wave.collections]
    color = list(to_rgb(SPEAKERS[0]))
    of_anna = [c for c, its in zip(wave.collections, colors, strict=True) if its == color]
    drawn = [path.get_extents() for c in of_anna for path in c.get_paths()]
    assert min(box.x0 for box in drawn) == pytest.approx(1.0, abs=0.01)
    assert max(box.x1 for box in drawn) == pytest.approx(5.0, abs=0.01)
    assert not any(box.x0 < 3.8 < box.x1 for box in drawn), "Ben speaks there"


def test_plot_trace_with_one_speaker_has_the_colour_of_labels(talk):
    from sttlab.notebook.look import TRUTH
    from sttlab.notebook.plots import plot_trace

    assert spans(plot_trace(talk, labels=[spoken(1.0, 2.0, "Anna")]), TRUTH) == [(1.0, 2.0)]


@pytest.mark.needs("silero")
def test_plot_trace_has_axes_for_sileros_score(talk):
    from sttlab.notebook.plots import plot_trace

    figure = plot_trace(talk, VadConfig(detector="silero", probability=0.6)).figure
    assert [ax.get_ylabel() for ax in figure.axes][-1] == "probability"
    assert set(lines(figure.axes[-1])["onset threshold"].get_ydata()) == {0.6}


def test_plot_is_shown_by_a_cell(talk):
    from PIL import Image

    from sttlab.notebook.plots import ShownAxes, plot_trace

    ax = plot_trace(talk)
    assert isinstance(ax, ShownAxes)
    png, size = ax._repr_png_()
    image = Image.open(io.BytesIO(png))
    assert image.size == (2 * size["width"], 2 * size["height"])
    assert image.mode == "RGBA"
    assert image.getchannel("A").getextrema() == (0, 255)


@pytest.mark.parametrize("samples", [[], [0.1], [0.0] * 5000, [np.nan] * 400])
def test_plot_trace_draws_empty_silent_and_short_recordings(samples):
    from sttlab.notebook.plots import plot_trace, png_bytes

    odd = SimpleNamespace(samples=np.array(samples, np.float32))
    assert png_bytes(plot_trace(odd).figure).startswith(b"\x89PNG")


def test_plot_trace_draws_into_given_axes(talk):
    from matplotlib.figure import Figure

    from sttlab.notebook.look import FOUND
    from sttlab.notebook.plots import plot_trace

    ax = Figure().add_subplot()
    assert plot_trace(talk, FIXED, ax=ax) is ax
    assert len(spans(ax, FOUND)) == 2
    assert set(lines(ax)["onset threshold"].get_ydata()) == {-40}


def test_plot_utterances_draws_a_row_for_each_name(talk):
    from sttlab.notebook.plots import plot_utterances

    found = segment(talk, FIXED)
    ax = plot_utterances({"mine": found, "none": []}, duration_s=9)
    assert [t.get_text() for t in ax.get_yticklabels()] == ["mine", "none"]
    assert boxes(ax.collections[0]) == bounds(found)
    assert ax.get_xlim() == (0, 9)


def said(text: str, pause_s: float, decode_s: float):
    from sttlab.events import Transcript

    return Transcript(
        utterance_id=0,
        text=text,
        start_s=2.0,
        end_s=4.0,
        language="en",
        language_probability=1.0,
        confidence=0.9,
        segments=(),
        pause_s=pause_s,
        capture_s=0.02,
        load_s=0.2,
        queue_s=0.01,
        decode_s=decode_s,
        delay_s=pause_s + 0.23 + decode_s,
        engine_s=0.2,
        guessed=decode_s == 0,
    )


def test_plot_latency_stacks_the_parts_of_each_delay():
    from sttlab.events import SourceEnded
    from sttlab.notebook.look import DELAYS
    from sttlab.notebook.plots import plot_latency

    events = [said("one two", 0.6, 0.0), SourceEnded(time_s=9), said("three " * 20, 0.6, 1.4)]
    ax = plot_latency(events)
    widths = [[bar.get_width() for bar in stack] for stack in ax.containers]
    assert np.allclose(widths, [[0.6] * 2, [0.02] * 2, [0.2] * 2, [0.01] * 2, [0.0, 1.4]])
    assert [stack.get_label() for stack in ax.containers] == list(DELAYS)
    assert len({stack[0].get_facecolor() for stack in ax.containers}) == len(DELAYS)
    ends = [bar.get_x() + bar.get_width() for bar in ax.containers[-1]]
    assert ends == pytest.approx([0.83, 2.23])
    names = [t.get_text() for t in ax.get_yticklabels()]
    assert names[0] == "one two  2.0 s"
    assert len(names[1]) < 45
    assert ax.get_xlim()[1] > 2.23


def test_html_of_a_transcript_shades_words_by_confidence():
    from dataclasses import replace

    from sttlab.events import Segment, Word

    words = (
        Word(start_s=2.0, end_s=2.5, text="one", confidence=1.0),
        Word(start_s=2.5, end_s=4.0, text="<two>", confidence=0.25),
    )
    segment = Segment(start_s=2.0, end_s=4.0, text="one <two>", confidence=0.5, words=words)
    shown = replace(said("one <two>", 0.6, 0.0), segments=(segment,))._repr_html_()
    assert "0.83 s after the last word" in shown
    assert "rgba(230,159,0,0.00)" in shown
    assert 'rgba(230,159,0,0.60)" title="2.50 to 4.00 s, confidence 0.25">&lt;two&gt;<' in shown
    assert "one &lt;two&gt;" in said("one <two>", 0.6, 0.0)._repr_html_()


def test_plot_latency_without_transcripts_is_empty():
    from matplotlib.figure import Figure

    from sttlab.notebook.plots import plot_latency, png_bytes

    assert png_bytes(plot_latency([]).figure).startswith(b"\x89PNG")
    ax = Figure().add_subplot()
    assert plot_latency([said("one", 0.6, 0.1)], ax=ax) is ax


parts = st.lists(
    st.tuples(st.floats(0.001, 1.5), st.sampled_from([-100.0, -70.0, -42.0, -30.0, -10.0])),
    min_size=1,
    max_size=10,
)


@settings(max_examples=60)
@given(parts=parts, relative=st.booleans(), timeout=st.sampled_from([0.1, 0.6]))
def test_trace_finds_what_segment_finds(parts, relative, timeout):
    config = VadConfig(
        threshold_dbfs=None if relative else -40, silence_timeout_s=timeout, max_utterance_s=2
    )
    recording = sound(*parts)
    trace, compiled = Trace(recording), Trace(recording)
    compiled.compile()  # where numba is installed
    found, sooner, expected = (
        [vars(u) | {"samples": u.samples.tobytes()} for u in each]
        for each in (
            trace.utterances(config),
            compiled.utterances(config),
            segment(recording, config),
        )
    )
    assert found == sooner == expected


def test_quietest_two_seconds_are_found():
    recording = sound((1, -30), (2, -60), (1, -20))
    quiet = Trace(recording).quietest(1.5)
    assert len(quiet) == 1.5 * SAMPLE_RATE
    assert 20 * np.log10(quiet.std()) == pytest.approx(-60, abs=0.5)


@given(count=st.integers(1, 300), columns=st.integers(1, 50))
def test_extremes_keep_every_peak(count, columns):
    values = np.random.default_rng(count).standard_normal(count)
    at, low, high = extremes(values, columns)
    assert len(at) == len(low) == len(high) == min(count, columns)
    assert (low.min(), high.max()) == (values.min(), values.max())


def test_no_plot_imports_pyplot():
    """In a process of its own: packages that other tests use import it."""
    code = """
import sys
import numpy as np
import sttlab as stt
talk = stt.Recording(np.zeros(16000, np.float32))
stt.plot_trace(talk)._repr_png_()
stt.plot_utterances({"none": []}, duration_s=1)
stt.plot_latency([])
print("matplotlib.pyplot" in sys.modules)
"""
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.strip() == "False"
