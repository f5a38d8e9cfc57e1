"""Levels, the noise floor and calibration, against known levels."""

import itertools

import numpy as np
import pytest

from sttlab.audio import SAMPLE_RATE, level_dbfs
from sttlab.config import VadConfig
from sttlab.errors import ConfigError
from sttlab.vad.energy import EnergyVad, NoiseFloor, calibrate, frame_levels


def noise(seconds: float, dbfs: float, seed: int = 0) -> np.ndarray:
    white = np.random.default_rng(seed).standard_normal(round(seconds * SAMPLE_RATE))
    return (white * 10 ** (dbfs / 20)).astype(np.float32)


def tone(seconds: float, dbfs: float) -> np.ndarray:
    t = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    return (np.sqrt(2) * 10 ** (dbfs / 20) * np.sin(2 * np.pi * 200 * t)).astype(np.float32)


def speech_like(seconds: float, dbfs: float, room_dbfs: float) -> np.ndarray:
    """Make syllables of 200 ms with gaps of 100 ms, over room noise."""
    syllable = np.concatenate([tone(0.2, dbfs), np.zeros(round(0.1 * SAMPLE_RATE), np.float32)])
    speech = np.tile(syllable, round(seconds / 0.3))
    return speech + noise(len(speech) / SAMPLE_RATE, room_dbfs)


def frames(*sounds: np.ndarray) -> np.ndarray:
    sound = np.concatenate(sounds)
    return sound[: len(sound) // 320 * 320].reshape(-1, 320)


def floor_of(*sounds: np.ndarray) -> float:
    floor = NoiseFloor()
    floor.follow(frame_levels(frames(*sounds)))
    return floor.dbfs


def test_levels_are_rms_in_dbfs():
    assert level_dbfs(tone(1, -20)) == pytest.approx(-20, abs=0.01)
    assert frame_levels(frames(tone(1, -37))) == pytest.approx(-37, abs=0.01)
    assert level_dbfs(np.zeros(100, np.float32)) == -100
    assert level_dbfs(np.zeros(0, np.float32)) == -100
    assert frame_levels(np.ones((1, 320), np.float32))[0] == pytest.approx(0)


def test_noise_floor_follows_the_room_up_and_down():
    assert floor_of(noise(10, -50)) == pytest.approx(-50, abs=1.5)
    assert floor_of(noise(10, -50), noise(10, -30)) == pytest.approx(-30, abs=1.5)
    assert floor_of(noise(10, -30), noise(1, -55)) == pytest.approx(-55, abs=1.5)


def test_noise_floor_ignores_speech():
    room = noise(5, -55)
    assert floor_of(room, speech_like(60, -25, -55)) == pytest.approx(-55, abs=1.5)
    assert floor_of(speech_like(1, -25, -55)) <= -55


def test_noise_floor_ignores_a_single_dip():
    dip = noise(10, -45), noise(0.3, -80), noise(2, -45)
    assert floor_of(*dip) == pytest.approx(-45, abs=1.5)


def test_noise_floor_ignores_digital_silence():
    zeros = np.zeros(30 * SAMPLE_RATE, np.float32)
    assert floor_of(noise(10, -40), zeros) == pytest.approx(-40, abs=1.5)
    assert floor_of(noise(10, -40), *([noise(0.1, -40), zeros[:6400]] * 20)) == pytest.approx(
        -40, abs=1.5
    )
    assert floor_of(zeros) == -60


def test_noise_floor_does_not_depend_on_how_frames_are_batched():
    levels = frame_levels(frames(speech_like(20, -30, -50)))
    whole, pieces = NoiseFloor(), NoiseFloor()
    cuts = [0, 1, 7, 32, 33, 400, len(levels)]
    split = [pieces.follow(levels[a:b]) for a, b in itertools.pairwise(cuts)]
    assert np.array_equal(whole.follow(levels), np.concatenate(split))


def test_thresholds_are_fixed_or_above_the_noise_floor():
    room = frames(noise(10, -45))
    absolute = EnergyVad(VadConfig(threshold_dbfs=-33, hysteresis_db=5)).process(room)
    assert set(absolute.onset) == {-33}
    assert set(absolute.offset) == {-38}
    relative = EnergyVad(VadConfig(margin_db=12)).process(room)
    assert relative.onset[-1] == pytest.approx(-33, abs=1.5)


def test_calibration_proposes_a_threshold_above_the_room():
    config = calibrate(noise(2, -50), VadConfig(margin_db=10, silence_timeout_s=0.9))
    assert config.threshold_dbfs == pytest.approx(-40, abs=1.5)
    assert config.silence_timeout_s == 0.9


@pytest.mark.parametrize(
    ("sound", "says"),
    [
        (speech_like(2, -25, -55), "speech"),
        (np.zeros(2 * SAMPLE_RATE, np.float32), "muted"),
        (noise(0.2, -50), "half a second"),
    ],
)
def test_calibration_refuses_audio_that_is_not_room_noise(sound, says):
    with pytest.raises(ConfigError, match=says):
        calibrate(sound)
