"""A results folder holds a sweep with all that it follows from, and is made again."""

from __future__ import annotations

import importlib
import json
import shutil
from pathlib import Path

import pytest

import sttlab as stt
from sttlab.cli import main
from sttlab.errors import ConfigError
from sttlab.evaluate.corpus import Corpus
from sttlab.evaluate.labels import Labels
from sttlab.evaluate.speaker_sweep import SpeakerSweep

pytestmark = pytest.mark.needs("evaluate")

GRID = {"margin_db": [4, 8], "silence_timeout_s": [0.3, 0.6]}
VALUES = ("--set", "margin_db=4,8", "--set", "silence_timeout_s=0.3,0.6")


@pytest.fixture
def folder(data: Path, tmp_path: Path) -> Path:
    """Two recordings with labels, and one without."""
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    for name in ("austen-1", "pause", "word"):
        for path in data.glob(f"{name}.*"):
            shutil.copy(path, corpus)
    return corpus


@pytest.fixture
def results(folder: Path, tmp_path: Path) -> Path:
    corpus = Corpus(folder)
    return stt.save_results(tmp_path / "results", stt.sweep(corpus, GRID), corpus)


def test_a_folder_says_all_that_the_figures_follow_from(results: Path, folder: Path) -> None:
    pandas = pytest.importorskip("pandas")
    about = json.loads((results / "results.json").read_text())
    assert about["grid"] == GRID
    assert about["vad"]["pre_roll_s"] == stt.VadConfig().pre_roll_s
    assert about["recordings"] == ["austen-1", "pause"]
    assert "word: it has no labels" in about["left_out"]
    assert len(about["checksums"]["pause"]["audio_sha256"]) == 64
    assert {"sttlab", "numpy", "python"} <= set(about["versions"])
    assert {"system", "processor", "cores"} == set(about["machine"])
    found = stt.sweep(Corpus(folder), GRID)
    tables = {
        "recordings.csv": found.to_frame(by="recording"),
        "settings.csv": found.to_frame(),
    }
    for name, expected in tables.items():
        read = pandas.read_csv(results / name)
        pandas.testing.assert_frame_equal(read, expected, check_exact=True, check_dtype=False)


def test_a_sweep_that_is_made_again_has_the_same_figures(results: Path, folder: Path) -> None:
    repeated = stt.repeat_results(results)
    assert repeated.same
    assert repeated.changes == ()
    assert stt.save_results(results, repeated.found, repeated.corpus) == results
    moved = folder.rename(folder.with_name("moved"))
    with pytest.raises(ConfigError, match="there is no corpus"):
        stt.repeat_results(results)
    assert stt.repeat_results(results, corpus=moved).same


def test_what_changed_since_is_said(results: Path, folder: Path) -> None:
    labels = stt.load_labels(folder / "pause.rttm")
    Labels(labels.turns[:-1]).save(folder / "pause.rttm")
    about = json.loads((results / "results.json").read_text())
    about["versions"]["numpy"] = "0.1"
    (results / "results.json").write_text(json.dumps(about))
    repeated = stt.repeat_results(results)
    assert not repeated.same
    first, second, *rest = repeated.changes
    assert first == "the labels of pause changed"
    assert second.startswith("numpy was 0.1 and is ")
    assert any(change.startswith("detection_error_rate differs in 4 of 8 rows") for change in rest)


def test_channels_are_found_again(folder: Path, tmp_path: Path) -> None:
    soundfile = pytest.importorskip("soundfile")
    sides = [stt.load(folder / name).samples for name in ("austen-1.flac", "austen-1.flac")]
    shutil.rmtree(folder)
    folder.mkdir()
    soundfile.write(folder / "call.wav", list(zip(*sides, strict=True)), 16000)
    lines = (f"SPEAKER call {n} 0.5 1 <NA> <NA> s{n} <NA> <NA>\n" for n in (1, 2))
    (folder / "call.rttm").write_text("".join(lines))
    split = Corpus(folder).split_channels().filter(lambda item: item.channel == 2)
    target = stt.save_results(tmp_path / "results", stt.sweep(split, GRID), split)
    repeated = stt.repeat_results(target)
    assert repeated.same
    assert [item.name for item in repeated.corpus] == ["call-channel2"]


def test_results_of_another_sweep_are_not_replaced(results: Path, folder: Path) -> None:
    corpus = Corpus(folder)
    other = stt.sweep(corpus, {"margin_db": [5]})
    with pytest.raises(ConfigError, match="another sweep"):
        stt.save_results(results, other, corpus)


def test_a_sweep_over_speakers_is_refused_with_the_remedy(folder: Path, tmp_path: Path) -> None:
    found = SpeakerSweep(grid={}, configs=(), scores=(), recordings=())
    with pytest.raises(ConfigError, match=r"not a SpeakerSweep.*to_frame\(by=\"recording\"\)"):
        stt.save_results(tmp_path / "results", found, Corpus(folder))  # type: ignore[arg-type]
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize("content", [None, "{}", "[1]", "not JSON", '{"vad": {"x": 1}}'])
def test_what_is_not_a_results_folder_is_refused_in_words(
    tmp_path: Path, content: str | None
) -> None:
    if content is not None:
        (tmp_path / "results.json").write_text(content)
    with pytest.raises(ConfigError, match=r"results\.json|unknown setting"):
        stt.repeat_results(tmp_path)


@pytest.mark.needs("jupyter")
def test_two_commands_make_tables_and_figures_and_make_them_again(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    assert main(["sweep", str(folder), *VALUES, "--output", str(first)]) == 0
    assert "--again" in capsys.readouterr().err
    assert {path.name for path in first.iterdir()} == {
        "results.json",
        "recordings.csv",
        "settings.csv",
        "error_rate.png",
        "delay_and_lost.png",
    }
    assert main(["sweep", "--again", str(first), "--output", str(second)]) == 0
    assert f"every figure is as in {first}" in capsys.readouterr().err
    for name in ("recordings.csv", "settings.csv", "error_rate.png"):
        assert (first / name).read_bytes() == (second / name).read_bytes()
    pandas = pytest.importorskip("pandas")
    table = pandas.read_csv(first / "recordings.csv")
    table.loc[0, "margin_db"] = 5.0
    table.to_csv(first / "recordings.csv", index=False)
    assert main(["sweep", "--again", str(first)]) == 1
    assert "margin_db differs in 1 of 8 rows" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("call", "words"),
    [
        ((), "give a corpus"),
        (("--again", "{results}", "--set", "margin_db=4"), "has its own settings"),
        (("{corpus}", "--output", "{results}"), "holds results already"),
        (("{corpus}", "--output", "scores.parquet"), "needs pyarrow"),
    ],
)
def test_a_wrong_call_is_refused_before_the_sweep(
    results: Path,
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    call: tuple[str, ...],
    words: str,
) -> None:
    module = importlib.import_module("sttlab.cli.sweep")
    monkeypatch.setattr(module, "find_spec", lambda name: name == "pandas")
    assert main(["sweep", *(word.format(results=results, corpus=folder) for word in call)]) == 2
    assert words in capsys.readouterr().err
