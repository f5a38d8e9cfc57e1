"""The contract suite of detectors."""

import importlib.util
import itertools
from dataclasses import fields, replace

import numpy as np
import pytest

from sttlab.audio import SAMPLE_RATE
from sttlab.config import Config, VadConfig
from sttlab.errors import MissingExtra
from sttlab.trace import Trace
from sttlab.vad import DETECTORS, make_detector, require_detector

KNOWN = [
    pytest.param(name, marks=[pytest.mark.needs(detector.extra)] if detector.extra else [])
    for name, detector in DETECTORS.items()
]


@pytest.fixture(params=KNOWN)
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


def test_detector_gives_one_value_for_each_frame(config):
    detector = make_detector(config)
    frames = frames_of(noise(2), detector)
    for column in columns(detector.process(frames)):
        assert column.shape == (len(frames),)
        assert column.dtype == np.float64
        assert np.isfinite(column).all()


def test_detector_gives_no_values_for_no_frames(config):
    detector = make_detector(config)
    empty = np.empty((0, detector.frame_samples), np.float32)
    assert [len(c) for c in columns(detector.process(empty))] == [0, 0, 0, 0]


@pytest.mark.parametrize("cuts", [[1], [1, 2, 3], [7, 50, 51], list(range(1, 120))])
def test_scores_do_not_depend_on_how_frames_are_batched(config, cuts):
    whole, pieces = make_detector(config), make_detector(config)
    frames = frames_of(np.concatenate([noise(2, -60), noise(1), noise(2, -60)]), whole)
    split = [columns(pieces.process(frames[a:b])) for a, b in itertools.pairwise([0, *cuts, None])]
    for one, parts in zip(columns(whole.process(frames)), zip(*split, strict=True), strict=True):
        assert np.array_equal(one, np.concatenate(parts))


def test_level_is_the_rms_of_each_frame(config):
    detector = make_detector(config)
    levels = detector.process(frames_of(noise(2, -40), detector)).level_dbfs
    # Of white noise, 1.5 dB lie outside the speech band.
    assert levels == pytest.approx(-41.5, abs=3)


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


def test_extreme_levels_give_finite_scores(config):
    detector = make_detector(config)
    for samples in (np.zeros(8000, np.float32), np.ones(8000, np.float32), noise(0.5, 40)):
        scores = detector.process(frames_of(samples, detector)).score
        assert np.isfinite(scores).all()


def test_detector_has_every_attribute_that_describes_it(config):
    detector = DETECTORS[config.detector]
    assert detector.name == config.detector
    assert detector.label
    assert detector.doc
    assert detector.frame_samples > 0
    assert detector.scale.low < detector.scale.high
    about = {f.name: f.metadata for f in fields(VadConfig)}
    assert all("min" in about[name] for name in detector.fields)
    labels = [other.label for other in DETECTORS.values()]
    assert labels.count(detector.label) == 1


def other_value(name):
    """Return a value of a field that is not its default."""
    (f,) = (f for f in fields(VadConfig) if f.name == name)
    least, most = f.metadata["min"], f.metadata["max"]
    return (least + most) / 2 if f.default != (least + most) / 2 else least


@pytest.mark.parametrize("name", [f.name for f in fields(VadConfig) if f.name != "detector"])
def test_only_the_fields_that_a_detector_names_move_its_thresholds(config, name):
    detector = DETECTORS[config.detector]
    heard = make_detector(config).hear(frames_of(noise(1), detector))
    before = detector.judge(heard, config)
    after = detector.judge(heard, replace(config, **{name: other_value(name)}))
    moved = not (
        np.array_equal(before.onset, after.onset) and np.array_equal(before.offset, after.offset)
    )
    assert moved == (name in detector.fields)
    assert np.array_equal(before.score, after.score)


def test_trace_gives_the_activity_of_the_live_path(config):
    detector = make_detector(config)
    frames = frames_of(noise(2), detector)
    trace = Trace(Samples(frames.ravel()))
    for one, other in zip(
        columns(detector.process(frames)), columns(trace.activity(config)), strict=True
    ):
        assert np.array_equal(one, other)


class Samples:
    def __init__(self, samples):
        self.samples = samples


def test_offset_follows_from_the_onset_alone(config):
    detector = make_detector(config)
    activity = detector.process(frames_of(noise(1), detector))
    assert np.array_equal(activity.offset, detector.offset(activity.onset, config))


def test_missing_package_of_a_detector_names_its_extra(config, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, package=None: None)
    if DETECTORS[config.detector].extra is None:
        require_detector(config)
    else:
        with pytest.raises(MissingExtra, match=f"sttlab.{DETECTORS[config.detector].extra}"):
            require_detector(config)


def test_settings_file_may_name_a_detector(config, tmp_path):
    path = tmp_path / "settings.toml"
    Config(vad=config).save(path)
    assert Config.load(path).vad == config
