"""What the energy VAD finds, with default settings, of speech among noises, hum and offsets."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from sttlab.audio import SAMPLE_RATE, Recording
from sttlab.config import VadConfig
from sttlab.core import segment
from sttlab.decoding import load
from sttlab.evaluate.labels import Labels, load_labels
from sttlab.evaluate.score import Scores, score

Samples = NDArray[np.float32]


@pytest.fixture(scope="module")
def demo(data: Path) -> Samples:
    return load(data / "demo.flac").samples


@pytest.fixture(scope="module")
def labels(data: Path) -> Labels:
    return load_labels(data / "demo.rttm")


def seconds(samples: Samples) -> NDArray[np.float64]:
    return np.arange(len(samples)) / SAMPLE_RATE


def coloured(count: int, tilt: float, dbfs: float, band_hz: tuple[float, float]) -> Samples:
    """Noise whose power falls with frequency to the power of `tilt`, within a band."""
    spectrum = np.fft.rfft(np.random.default_rng(1).standard_normal(count))
    hz = np.fft.rfftfreq(count, 1 / SAMPLE_RATE)
    spectrum *= np.maximum(hz, 20.0) ** (-tilt / 2) * ((hz >= band_hz[0]) & (hz <= band_hz[1]))
    noise = np.fft.irfft(spectrum, count)
    return (noise * 10 ** (dbfs / 20) / np.sqrt(np.mean(noise**2))).astype(np.float32)


def fan(count: int, dbfs: float) -> Samples:
    return coloured(count, 1.0, dbfs, (20, 8000))


def place(sound: Samples, *at_s: float, length_s: float) -> Samples:
    """Put a sound at several times into silence."""
    placed = np.zeros(round(length_s * SAMPLE_RATE), np.float32)
    for start_s in at_s:
        start = round(start_s * SAMPLE_RATE)
        placed[start : start + len(sound)] += sound
    return placed


def scores(samples: Samples, labels: Labels) -> Scores:
    found = segment(Recording(samples.astype(np.float32)), VadConfig())
    return score(found, labels, duration_s=len(samples) / SAMPLE_RATE)


def mistakes(s: Scores) -> tuple[int, int, int, int]:
    return s.missed, s.false, s.fragmented, s.merged


def test_clean_speech_is_found_whole(demo: Samples, labels: Labels) -> None:
    clean = scores(demo, labels)
    assert mistakes(clean) == (0, 0, 0, 0)
    assert max(clean.onset_clipped_ms) == 0
    assert clean.detection_error_rate < 0.05
    assert np.median(clean.endpoint_delay_ms) == pytest.approx(600, abs=80)


@pytest.mark.parametrize("gain_db", [-20, 15])
def test_the_gain_changes_nothing(gain_db: int, demo: Samples, labels: Labels) -> None:
    heard = scores(demo * 10 ** (gain_db / 20), labels)
    assert mistakes(heard) == (0, 0, 0, 0)
    assert heard.detection_error_rate < 0.05


def test_speech_at_a_very_low_gain_is_found(demo: Samples, labels: Labels) -> None:
    heard = scores(demo * 10 ** (-45 / 20), labels)
    assert (heard.missed, heard.false, heard.merged) == (0, 0, 0)
    assert heard.recall > 0.8


@pytest.mark.parametrize("offset", [0.02, 0.1, -0.4])
def test_an_offset_changes_nothing(offset: float, demo: Samples, labels: Labels) -> None:
    shifted = scores(demo + np.float32(offset), labels)
    assert mistakes(shifted) == (0, 0, 0, 0)
    assert shifted.detection_error_rate < 0.05


@pytest.mark.parametrize("hz", [50, 60])
@pytest.mark.parametrize("dbfs", [-30, -20, -10])
def test_mains_hum_changes_nothing(hz: int, dbfs: float, demo: Samples, labels: Labels) -> None:
    hum = np.sqrt(2) * 10 ** (dbfs / 20) * np.sin(2 * np.pi * hz * seconds(demo) + 0.3)
    heard = scores(demo + hum, labels)
    assert mistakes(heard) == (0, 0, 0, 0)
    assert heard.detection_error_rate < 0.06


@pytest.mark.parametrize("hz", [50, 60])
def test_speech_is_found_in_hum_with_harmonics(hz: int, demo: Samples, labels: Labels) -> None:
    """Such as a ground loop has, up to those within the speech band."""
    times_s = seconds(demo)
    parts = {1: 0.14, 2: 0.05, 3: 0.03, 5: 0.01, 7: 0.005}
    hum = sum(peak * np.sin(2 * np.pi * hz * n * times_s + n) for n, peak in parts.items())
    assert mistakes(scores(demo + hum, labels)) == (0, 0, 0, 0)


def test_hum_alone_is_not_speech() -> None:
    times_s = np.arange(10 * SAMPLE_RATE) / SAMPLE_RATE
    hum = 0.14 * np.sin(2 * np.pi * 50 * times_s) + 0.1
    assert not segment(Recording((hum + fan(len(hum), -75)).astype(np.float32)))


def test_a_fan_that_is_switched_on_is_learnt(demo: Samples, labels: Labels) -> None:
    noise = fan(len(demo), -35)
    noise[: round(18.5 * SAMPLE_RATE)] = 0  # in a pause
    heard = scores(demo + noise, labels)
    assert heard.missed == 0
    assert heard.recall > 0.85
    still = np.concatenate([fan(5 * SAMPLE_RATE, -70), fan(20 * SAMPLE_RATE, -35)])
    (only,) = segment(Recording(still))
    assert only.speech_end_sample < 8 * SAMPLE_RATE


def test_a_fan_that_runs_from_the_start_is_not_speech(demo: Samples, labels: Labels) -> None:
    assert not segment(Recording(fan(20 * SAMPLE_RATE, -35)))
    assert mistakes(scores(demo + fan(len(demo), -40), labels))[:2] == (0, 0)


def test_handling_noise_is_not_speech(demo: Samples, labels: Labels) -> None:
    """A table or a microphone that is touched: thumps below the voice, louder than it."""
    thump = coloured(round(0.3 * SAMPLE_RATE), 2.0, -12, (20, 120)) * np.hanning(4800)
    thumps = place(thump.astype(np.float32), 0.3, 8.3, 18.7, 26.0, length_s=len(demo) / SAMPLE_RATE)
    assert mistakes(scores(demo + thumps, labels)) == (0, 0, 0, 0)


def test_a_plosive_does_not_begin_speech(demo: Samples, labels: Labels) -> None:
    """Breath that hits the microphone: a decaying wave of some tens of Hz, nearly full scale."""
    times_s = np.arange(round(0.12 * SAMPLE_RATE)) / SAMPLE_RATE
    rise = 1 - np.exp(-times_s / 0.01)
    pop = 0.8 * rise * np.exp(-times_s / 0.03) * np.sin(2 * np.pi * 40 * times_s)
    pops = place(pop.astype(np.float32), 0.5, 8.4, 12.6, 26.2, length_s=len(demo) / SAMPLE_RATE)
    heard = scores(demo + pops, labels)
    assert mistakes(heard) == (0, 0, 0, 0)
    assert heard.detection_error_rate < 0.06


def test_breath_in_a_quiet_room_is_not_speech(demo: Samples, labels: Labels) -> None:
    breath = coloured(round(0.5 * SAMPLE_RATE), 0.5, -58, (300, 5000)) * np.hanning(8000)
    breaths = place(breath.astype(np.float32), 0.4, 8.2, 18.6, length_s=len(demo) / SAMPLE_RATE)
    assert mistakes(scores(demo + breaths, labels)) == (0, 0, 0, 0)


def test_speech_over_soft_music_is_found(demo: Samples, labels: Labels) -> None:
    """Chords of half a second, 25 dB under the speech."""
    times_s = seconds(demo)
    beat = np.floor(times_s * 2)
    music = np.zeros(len(demo))
    for ratio in (1, 1.25, 1.5, 2, 4):
        music += np.sin(2 * np.pi * 220 * ratio * 2 ** ((beat % 5) / 12) * times_s) / ratio
    music *= np.exp(-3 * (times_s * 2 - beat)) * 10 ** (-47 / 20) / np.sqrt(np.mean(music**2))
    heard = scores((demo + music).astype(np.float32), labels)
    assert (heard.missed, heard.merged) == (0, 0)
    assert heard.recall > 0.9
