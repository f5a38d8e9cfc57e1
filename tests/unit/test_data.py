"""The recordings match their labels and their README, and can be reproduced."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from data.make_variants import add_noise, make_demo, move_away, rms, spoken
from sttlab.decoding import load
from sttlab.evaluate.labels import load_labels

AUDIO = {".flac", ".wav", ".mp3", ".ogg", ".opus"}


def recordings(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.suffix in AUDIO)


def test_every_recording_has_its_origin_in_the_readme(data: Path) -> None:
    text = (data / "README.md").read_text(encoding="utf-8")
    named = re.findall(r"`([a-z-]+)(\d)?(?:` … `\1(\d))?(\.\w+)`", text)
    expected = {
        f"{stem}{number}{suffix}"
        for stem, first, last, suffix in named
        for number in (range(int(first), int(last or first) + 1) if first else [""])
        if suffix in AUDIO
    }
    assert {path.name for path in recordings(data)} == expected


def test_labels_and_texts_belong_to_recordings(data: Path) -> None:
    stems = {path.stem for path in recordings(data)}
    beside = {path.stem for path in data.iterdir() if path.suffix in {".txt", ".rttm"}}
    assert beside <= stems


@pytest.mark.parametrize(
    "name",
    [path.stem for path in sorted((Path(__file__).parents[2] / "data").glob("*.rttm"))],
)
def test_labels_lie_within_the_recording_and_where_it_is_louder(data: Path, name: str) -> None:
    samples = load(data / f"{name}.flac").samples
    speech = load_labels(data / f"{name}.rttm").speech
    assert speech[-1, 1] <= len(samples) / 16_000 + 0.001
    treble = np.diff(samples, prepend=0)  # in some recordings rumble is louder than speech
    tenths = treble[: len(treble) // 1600 * 1600].reshape(-1, 1600)
    middle_s = np.arange(len(tenths)) / 10 + 0.05
    inside = np.any([(start <= middle_s) & (middle_s < end) for start, end in speech], axis=0)
    levels = np.sqrt(np.square(tenths).mean(axis=1))
    assert np.median(levels[inside]) > 1.4 * np.median(levels[~inside])


def test_make_variants_reproduces_the_demo_files(data: Path, tmp_path: Path) -> None:
    make_demo(tmp_path)
    for name in ("demo.flac", "demo-noisy.flac", "demo-far.flac", "demo-phone.wav"):
        made, kept = load(tmp_path / name).samples, load(data / name).samples
        assert np.abs(made - kept).max() <= 1.5 / 32768, name  # platforms round differently
    for name in ("demo.txt", "demo.rttm"):
        assert (tmp_path / name).read_bytes() == (data / name).read_bytes()


@pytest.mark.parametrize("snr_db", [-5, 0, 20])
def test_noise_has_the_snr_asked_for(data: Path, snr_db: float) -> None:
    samples, labels = load(data / "meeting-2.flac").samples, load_labels(data / "meeting-2.rttm")
    noise = add_noise(samples, labels, snr_db, np.random.default_rng(3)) - samples
    measured = 20 * np.log10(rms(spoken(samples, labels)) / rms(noise))
    assert measured == pytest.approx(snr_db, abs=0.01)


def test_room_variant_is_softer_and_reverberates(data: Path) -> None:
    click = np.zeros(16_000, np.float32)
    click[1000] = 1
    heard = move_away(click, 0.5, np.random.default_rng(0))
    assert np.abs(heard[:1000]).max() < 1e-9
    assert heard[1000] == pytest.approx(10 ** (-12 / 20), rel=0.01)
    early, late = rms(heard[1080:3000]), rms(heard[1080 + 4000 : 3000 + 4000])  # 0.25 s apart
    assert 20 * np.log10(early / late) == pytest.approx(30, abs=2)


def test_make_variants_gives_the_same_file_for_the_same_seed(data: Path, tmp_path: Path) -> None:
    def make(name: str, seed: int) -> bytes:
        options = ["--snr-db", "5", "--rt60-s", "0.4", "--seed", str(seed)]
        script, source = str(data / "make_variants.py"), str(data / "austen-2.flac")
        command = [sys.executable, script, source, str(tmp_path / name), *options]
        subprocess.run(command, check=True, timeout=120)
        return (tmp_path / name).read_bytes()

    assert make("a.flac", 1) == make("b.flac", 1) != make("c.flac", 2)
