"""The study of detectors: its figures on audio whose answer is known."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sttlab.audio import SAMPLE_RATE, Recording
from sttlab.decoding import load
from sttlab.evaluate.labels import Labels, Turn
from tests.benchmarks import bench_vad


@pytest.fixture(scope="module")
def folder(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sentence, the same over hum and an offset, and a noise."""
    folder = tmp_path_factory.mktemp("labelled")
    (folder / "deep").mkdir()
    for name in ("austen-1.flac", "austen-1.rttm", "austen-1.txt"):
        shutil.copy(data / name, folder)
    spoken = load(data / "austen-1.flac").samples
    times_s = np.arange(len(spoken)) / SAMPLE_RATE
    hum = (0.1 + 0.14 * np.sin(2 * np.pi * 50 * times_s)).astype(np.float32)
    Recording(spoken + hum).save(folder / "deep" / "hum-1.flac")
    shutil.copy(data / "austen-1.rttm", folder / "deep" / "hum-1.rttm")
    shutil.copy(data / "keyboard.ogg", folder)
    entry = {"file": "keyboard.ogg", "lang": "-", "category": "nonspeech"}
    (folder / "manifest.jsonl").write_text(json.dumps(entry) + "\n", encoding="utf-8")
    return folder


@pytest.mark.needs("whisper", "bench", "silero")
def test_table_has_every_detector_on_every_kind(folder: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.benchmarks.bench_vad", str(folder)]
    command += ["--output", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads((tmp_path / "vad.json").read_text("utf-8"))
    assert list(result["kinds"]) == ["others", "noise"]
    spoken, noise = result["kinds"]["others"], result["kinds"]["noise"]
    assert list(spoken) == list(noise) == ["energy, 0.2.0", "energy", "Silero"]
    for figures in spoken.values():
        assert (figures["recordings"], figures["utterances"]) == (2, 2)
        low, high = figures["intervals"]["auc"]
        assert low <= figures["auc"] <= high
    assert spoken["energy"]["missed"] == spoken["Silero"]["missed"] == 0
    assert spoken["energy"]["auc"] > spoken["energy, 0.2.0"]["auc"]
    assert spoken["energy"]["wer"] < 0.4
    assert noise["energy"]["utterances"] == 0
    text = (tmp_path / "vad.md").read_text("utf-8")
    assert done.stdout == text
    assert text.count("\n| others (2) ") == text.count("\n| noise (1) ") == 3


def test_auc_is_how_often_speech_scores_above_the_rest() -> None:
    labels = Labels([Turn(start_s=1, end_s=2)])
    rng = np.random.default_rng(1)
    detector = bench_vad.LevelVad
    count = 3 * SAMPLE_RATE // detector.frame_samples
    scores = np.round(rng.normal(-40, 5, count))
    scores[50:100] += 4
    speech, other = scores[50:100], np.concatenate([scores[:50], scores[100:]])
    above = speech[:, np.newaxis] - other
    expected = ((above > 0) + (above == 0) / 2).mean()
    counted = bench_vad._histograms(scores, labels, detector)
    assert bench_vad.auc([counted]) == pytest.approx(expected)
    assert bench_vad.auc([counted, counted]) == pytest.approx(expected)


def test_interval_holds_the_figure_and_narrows_with_more_recordings() -> None:
    few = [(i % 2, 10) for i in range(4)]
    low, high = bench_vad.interval(few, bench_vad._rate)
    assert low < 0.05 < high
    closer = bench_vad.interval(few * 10, bench_vad._rate)
    assert low < closer[0] < 0.05 < closer[1] < high


def test_sentences_of_a_speaker_are_joined_with_known_gaps(data: Path) -> None:
    (one,) = (audio for audio in bench_vad.joined(data) if audio.name == "austen")
    gaps_s = one.labels.speech[1:, 0] - one.labels.speech[:-1, 1]
    assert len(one.labels) == 5
    assert one.kind == "joined sentences"
    assert (gaps_s > bench_vad.GAPS_S[0] - 0.1).all()
    assert one.text.count(" ") > 40
