"""The timeline in the kernel: the pieces that the browser asks for, and the audio."""

from __future__ import annotations

import json
import time

import numpy as np
import pytest

pytest.importorskip("anywidget")

import sttlab as stt
from sttlab.audio import SAMPLE_RATE, from_pcm16
from sttlab.evaluate.labels import Turn
from sttlab.notebook.pyramid import PIECE_BINS, Pyramid
from sttlab.notebook.timeline import STEPS, Timeline, segment, steps
from sttlab.trace import Trace

LENGTHS = [1, 7, 255, 256, 257, PIECE_BINS, PIECE_BINS + 1, 600_003]


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("is_wave", [True, False])
def test_every_level_of_a_pyramid_holds_extremes_and_means_of_all_values(length, is_wave):
    values = np.random.default_rng(length).standard_normal(length).astype(np.float32)
    pyramid = Pyramid(values, is_wave=is_wave)
    assert -(-length >> pyramid.top) <= PIECE_BINS
    for level in range(pyramid.top + 1):
        unit = 1 << level
        count = -(-length // unit)
        pieces = [pyramid.piece(level, i) for i in range(-(-count // PIECE_BINS))]
        low, high, mean = (np.concatenate(parts) for parts in zip(*pieces, strict=True))
        starts = np.arange(0, length, unit)
        powers = np.square(values, dtype=np.float64) if is_wave else values.astype(np.float64)
        means = np.add.reduceat(powers, starts) / np.diff([*starts, length])
        assert (low == np.minimum.reduceat(values, starts)).all()
        assert (high == np.maximum.reduceat(values, starts)).all()
        assert np.allclose(mean, np.sqrt(means) if is_wave else means, rtol=1e-3, atol=1e-5)


def test_a_pyramid_gives_nothing_beyond_the_end():
    pyramid = Pyramid(np.zeros(10, np.float32))
    assert [len(part) for part in pyramid.piece(0, 1)] == [0, 0, 0]
    assert [len(part) for part in Pyramid(np.zeros(0, np.float32)).piece(0, 0)] == [0, 0, 0]
    assert len(pyramid.piece(99, -1)[0]) == 10, "what is not there is the nearest that is"


def test_an_hour_is_reduced_in_half_a_second():
    hour = np.ones(3600 * SAMPLE_RATE, np.float32)
    began = time.perf_counter()
    pyramid = Pyramid(hour, is_wave=True)
    low, _, mean = pyramid.piece(pyramid.top, 0)
    assert time.perf_counter() - began < 2, "with room for a busy machine"
    assert len(low) <= PIECE_BINS
    assert np.allclose(mean, 1)


def test_steps_hold_a_curve_where_it_changes_and_never_too_many():
    times_s = np.arange(1000) * 0.02
    onset = np.repeat([-50.0, -45.0, -45.0, -30.0], 250)
    packed = np.frombuffer(steps(times_s, onset, onset - 6), "<f4").reshape(3, -1)
    assert packed[0] == pytest.approx([0, 5, 15])
    assert packed[1] == pytest.approx([-50, -45, -30])
    assert packed[2] == pytest.approx([-56, -51, -36])
    wild = np.random.default_rng(0).standard_normal(180_000)
    assert len(steps(np.arange(180_000) * 0.02, wild)) == 2 * 4 * STEPS
    assert steps(np.zeros(0), np.zeros(0)) == b""


class Asked(Timeline):
    """A timeline that stores what the browser would receive."""

    def __init__(self, trace: Trace) -> None:
        super().__init__(trace)
        self.sent: list[tuple[dict[str, object], list[bytes]]] = []

    def send(self, content, buffers=None):
        self.sent.append((content, buffers))

    def ask(self, **content):
        self._handle_custom_msg({"id": 7, **content}, [])
        answer, buffers = self.sent.pop()
        assert answer == {"id": 7}
        return buffers


@pytest.fixture
def recording(data):
    return stt.load(data / "demo.flac")


def test_the_browser_gets_exact_samples_and_levels(recording):
    trace = Trace(recording)
    timeline = Asked(trace)
    wave, energy = timeline.curves
    assert wave == {"name": "wave", "count": len(recording.samples), "step_s": 1 / SAMPLE_RATE}
    low, high, rms = (
        np.frombuffer(part, "<f4")
        for part in timeline.ask(ask="piece", curve="wave", level=0, index=3)
    )
    expected = recording.samples[3 * PIECE_BINS : 4 * PIECE_BINS]
    assert (low == expected).all()
    assert (high == expected).all()
    assert np.allclose(rms, np.abs(expected), atol=1e-6)
    scores = trace.heard("energy").score[3:]
    assert energy["count"] == len(scores)
    assert energy["unit"] == "dBFS"
    (low, _, mean) = timeline.ask(ask="piece", curve="energy", level=0, index=0)
    assert np.allclose(np.frombuffer(low, "<f4"), scores, atol=1e-4)
    assert low == mean


@pytest.mark.needs("silero")
def test_a_detector_adds_its_scores_once(recording):
    timeline = Asked(Trace(recording))
    timeline.add_scores("silero")
    timeline.add_scores("silero")
    assert [curve["name"] for curve in timeline.curves] == ["wave", "energy", "silero"]
    assert timeline.curves[-1]["step_s"] == 0.032
    (_, high, _) = timeline.ask(ask="piece", curve="silero", level=0, index=0)
    assert 0.9 < np.frombuffer(high, "<f4").max() <= 1


def test_audio_comes_in_pieces_and_none_of_it_is_state(recording):
    timeline = Asked(Trace(recording))
    (pcm,) = timeline.ask(ask="sound", start_s=1.5, end_s=2.0)
    assert np.allclose(from_pcm16(pcm), recording.samples[24000:32000], atol=2**-15)
    long = Asked(Trace(stt.Recording(np.zeros(100 * SAMPLE_RATE, np.float32))))
    (pcm,) = long.ask(ask="sound", start_s=0, end_s=100)
    assert len(pcm) == 2 * 30 * SAMPLE_RATE
    state = {k: v for k, v in long.get_state().items() if k[0] != "_"}
    assert len(json.dumps(state, default=str)) < 1000


def test_a_spectrogram_shows_a_tone_in_its_band_at_every_level():
    from sttlab.notebook.spectrogram import BANDS, Spectrogram

    times_s = np.arange(60 * SAMPLE_RATE) / SAMPLE_RATE
    tone = np.sin(2 * np.pi * 1000 * times_s).astype(np.float32)
    tone[: 30 * SAMPLE_RATE] = 0
    spectrogram = Spectrogram(tone)
    for level in range(3):
        columns = -(-6000 >> level)
        first = spectrogram.piece(level, 0)
        assert first.shape == (min(columns, PIECE_BINS), BANDS)
        pieces = [spectrogram.piece(level, i) for i in range(-(-columns // PIECE_BINS))]
        image = np.concatenate(pieces)
        assert len(image) == columns
        assert not image[: columns // 2 - 2].any()
        assert (image[columns // 2 + 2 : -2].argmax(axis=1) == 15).all(), "969 to 1000 Hz"
        assert image.max() > 250
    assert len(spectrogram.piece(0, 99)) == 0
    assert len(spectrogram.piece(99, 0)) == 1500, "what is not there is the nearest that is"
    assert Spectrogram(tone[:0]).piece(0, 0).shape == (0, BANDS)


def test_a_piece_of_the_spectrogram_of_an_hour_comes_at_once():
    from sttlab.notebook.spectrogram import Spectrogram

    noise = np.random.default_rng(0).standard_normal(SAMPLE_RATE * 60).astype(np.float32)
    spectrogram = Spectrogram(np.tile(noise, 60))
    began = time.perf_counter()
    spectrogram.piece(8, 0)
    assert time.perf_counter() - began < 2, "with room for a busy machine"


def test_segments_are_shown_in_rows_by_name(recording):
    timeline = Asked(Trace(recording))
    anna, ben = Turn(start_s=0, end_s=2, text="Yes."), Turn(start_s=1, end_s=3)
    rows = {"Anna": [segment(anna, anna.text)], "Ben": [segment(ben)]}
    timeline.show_segments("speakers", rows)
    timeline.show_segments("others", {"first": []})
    assert timeline.segments["speakers"] == {
        "rows": ["Anna", "Ben"],
        "segments": [[0, 2, "Yes.", 0], [1, 3, "", 1]],
    }
    timeline.show_segments("others", {})
    assert list(timeline.segments) == ["speakers"]
