"""Levels, the noise floor and calibration, against known levels."""

import itertools

import numpy as np
import pytest

from sttlab.audio import BAND_HZ, SAMPLE_RATE, Recording, frame_levels, level_dbfs
from sttlab.config import VadConfig
from sttlab.core import segment
from sttlab.errors import ConfigError
from sttlab.vad.energy import EnergyVad, NoiseFloor, calibrate


def noise(seconds: float, dbfs: float, seed: int = 0) -> np.ndarray:
    """White noise that has a level of `dbfs` in the speech band."""
    white = np.random.default_rng(seed).standard_normal(round(seconds * SAMPLE_RATE))
    share = (BAND_HZ[1] - BAND_HZ[0]) / (SAMPLE_RATE / 2)
    return (white * 10 ** (dbfs / 20) / np.sqrt(share)).astype(np.float32)


def tone(seconds: float, dbfs: float, hz: float = 500) -> np.ndarray:
    t = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    return (np.sqrt(2) * 10 ** (dbfs / 20) * np.sin(2 * np.pi * hz * t)).astype(np.float32)


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
    floor.follow(EnergyVad(VadConfig()).hear(frames(*sounds)).score)
    return floor.dbfs


def test_levels_are_rms_in_dbfs():
    assert level_dbfs(tone(1, -20)) == pytest.approx(-20, abs=0.01)
    assert frame_levels(frames(tone(1, -37))) == pytest.approx(-37, abs=0.01)
    assert level_dbfs(np.zeros(100, np.float32)) == -100
    assert level_dbfs(np.zeros(0, np.float32)) == -100


def test_noise_floor_follows_the_room_up_and_down():
    assert floor_of(noise(10, -50)) == pytest.approx(-50, abs=1.5)
    assert floor_of(noise(10, -50), noise(10, -30)) == pytest.approx(-30, abs=1.5)
    assert floor_of(noise(10, -30), noise(1, -55)) == pytest.approx(-55, abs=1.5)


def test_noise_floor_ignores_speech():
    room = noise(5, -55)
    # Not one of its gaps is as long as the mean, and yet the floor stays far under it.
    assert floor_of(room, speech_like(60, -25, -55)) < -45
    paused = [speech_like(3, -25, -55), noise(0.6, -55)] * 20
    assert floor_of(room, *paused) == pytest.approx(-55, abs=1.5)


def test_noise_floor_ignores_a_single_dip():
    dip = noise(10, -45), noise(0.1, -80), noise(2, -45)
    assert floor_of(*dip) == pytest.approx(-45, abs=1.5)


def test_noise_floor_ignores_digital_silence():
    zeros = np.zeros(30 * SAMPLE_RATE, np.float32)
    assert floor_of(noise(10, -40), zeros) == pytest.approx(-40, abs=1.5)
    lost = zeros[:640]
    assert floor_of(noise(10, -40), *([noise(0.6, -40), lost] * 20)) == pytest.approx(-40, abs=1.5)
    assert floor_of(zeros) == -60


def test_noise_floor_of_gated_speech_is_that_of_a_quiet_room():
    """A noise gate puts zeros into the pauses, so that nothing but speech is heard."""
    gate = np.zeros(SAMPLE_RATE, np.float32)
    assert floor_of(*([tone(2, -25), gate] * 5)) == -60


def test_noise_floor_of_the_first_moments_is_the_least_level_so_far():
    levels = np.array([-40.0, -50.0, -30.0])
    assert NoiseFloor().follow(levels).tolist() == [-40, -50, -50]


def test_noise_floor_learns_a_fan_in_two_seconds_and_speech_never():
    fan = noise(2.6, -30)
    assert floor_of(noise(10, -55), fan) == pytest.approx(-30, abs=1.5)
    assert floor_of(noise(10, -55), noise(1.5, -30)) == pytest.approx(-55, abs=1.5)


def test_noise_floor_forgets_after_half_a_minute_what_is_never_steady():
    """Babble varies too much for a fan."""
    babble = [noise(0.2, level) for _ in range(38) for level in (-40, -30, -35, -25)]
    assert floor_of(noise(10, -55), *babble[:70]) == pytest.approx(-55, abs=1.5)
    assert floor_of(noise(10, -55), *babble) > -42


@pytest.mark.parametrize("hz", [50, 60])
def test_offset_and_mains_hum_are_outside_the_band(hz):
    quiet = noise(1, -70)
    hum = tone(1, -20, hz) + tone(1, -35, 2 * hz)
    assert frame_levels(frames(quiet + hum + np.float32(0.1))) == pytest.approx(-70, abs=5)


def test_only_digital_silence_has_the_level_of_digital_silence():
    offset = np.full((1, 320), 0.1, np.float32)
    assert frame_levels(np.concatenate([offset, 0 * offset])).tolist() == [-99.9, -100]


@pytest.mark.parametrize("hz", [400, 1000, 5000])
def test_tones_in_the_band_have_their_level(hz):
    assert frame_levels(frames(tone(1, -37, hz))) == pytest.approx(-37, abs=0.1)


def test_score_is_the_mean_level_and_late_by_half_its_length():
    heard = EnergyVad(VadConfig()).hear(frames(noise(0.4, -60), noise(0.4, -30), noise(0.4, -60)))
    above = np.flatnonzero(heard.score > -45) - EnergyVad.delay_frames
    assert (above[0], above[-1]) == (20, 39)


def test_end_is_where_the_level_falls_though_its_mean_falls_later() -> None:
    room, voice = noise(1, -70), noise(1, -15)
    audio = Recording(np.concatenate([room, voice, room]), SAMPLE_RATE)
    (found,) = segment(audio, VadConfig(threshold_dbfs=-40))
    assert found.speech_end_sample == 2 * SAMPLE_RATE
    assert found.onset_sample >= SAMPLE_RATE - 4 * 320  # the mean rises before the level
    assert found.decided_sample == found.speech_end_sample + 0.6 * SAMPLE_RATE


def test_digital_silence_is_not_smoothed():
    zeros = np.zeros(3200, np.float32)
    heard = EnergyVad(VadConfig()).hear(frames(zeros, tone(0.2, -20), zeros))
    late = EnergyVad.delay_frames
    assert heard.score[9 + late] == -100
    assert heard.score[10 + late : 20 + late] == pytest.approx(-20, abs=0.1)
    assert heard.score[20 + late :] == pytest.approx(-100)


def test_noise_floor_does_not_depend_on_how_frames_are_batched():
    speech = speech_like(20, -30, -50)
    speech[5 * SAMPLE_RATE : 7 * SAMPLE_RATE] = 0
    levels = frame_levels(frames(speech, noise(5, -40)))
    whole, pieces = NoiseFloor(), NoiseFloor()
    cuts = [0, 1, 7, 32, 33, 260, 270, 400, 900, len(levels)]
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
