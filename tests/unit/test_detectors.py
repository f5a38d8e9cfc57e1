"""What every voice detector keeps to."""

import itertools

import numpy as np
import pytest

from sttlab.audio import SAMPLE_RATE
from sttlab.config import VadConfig
from sttlab.vad import make_detector

DETECTORS = ["energy", pytest.param("silero", marks=pytest.mark.needs("silero"))]


@pytest.fixture(params=DETECTORS)
def config(request):
    return VadConfig(detector=request.param)


def noise(seconds, dbfs=-30.0):
    white = np.random.default_rng(1).standard_normal(round(seconds * SAMPLE_RATE))
    return (white * 10 ** (dbfs / 20)).astype(np.float32)


def frames_of(samples, detector):
    count = len(samples) // detector.frame_samples
    return samples[: count * detector.frame_samples].reshape(count, -1)


def columns(activity):
    return [activity.level_dbfs, activity.score, activity.onset, activity.offset]


def test_one_value_a_frame(config):
    detector = make_detector(config)
    frames = frames_of(noise(2), detector)
    for column in columns(detector.process(frames)):
        assert column.shape == (len(frames),)
        assert column.dtype == np.float64
        assert np.isfinite(column).all()


def test_no_frames_give_no_values(config):
    detector = make_detector(config)
    empty = np.empty((0, detector.frame_samples), np.float32)
    assert [len(c) for c in columns(detector.process(empty))] == [0, 0, 0, 0]


@pytest.mark.parametrize("cuts", [[1], [1, 2, 3], [7, 50, 51], list(range(1, 120))])
def test_the_same_however_frames_come(config, cuts):
    whole, pieces = make_detector(config), make_detector(config)
    frames = frames_of(np.concatenate([noise(2, -60), noise(1), noise(2, -60)]), whole)
    split = [columns(pieces.process(frames[a:b])) for a, b in itertools.pairwise([0, *cuts, None])]
    for one, parts in zip(columns(whole.process(frames)), zip(*split, strict=True), strict=True):
        assert np.array_equal(one, np.concatenate(parts))


def test_level_is_that_of_the_frame(config):
    detector = make_detector(config)
    levels = detector.process(frames_of(noise(2, -40), detector)).level_dbfs
    assert levels == pytest.approx(-40, abs=3)


def test_new_settings_apply_to_the_next_frames(config):
    detector = make_detector(config)
    frames = frames_of(noise(1), detector)
    before = detector.process(frames)
    detector.config = VadConfig(
        detector=config.detector, threshold_dbfs=-5, probability=0.9, hysteresis_db=3
    )
    after = detector.process(frames)
    assert (after.onset > before.onset).all()
    assert (after.offset < after.onset).all()


def test_extremes_are_judged(config):
    detector = make_detector(config)
    for samples in (np.zeros(8000, np.float32), np.ones(8000, np.float32), noise(0.5, 40)):
        scores = detector.process(frames_of(samples, detector)).score
        assert np.isfinite(scores).all()
