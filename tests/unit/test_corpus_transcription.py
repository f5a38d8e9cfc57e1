"""Transcripts of a corpus: in order, kept, resumed, and what is left out."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sttlab.audio import SAMPLE_RATE
from sttlab.cli import main
from sttlab.config import TranscribeConfig
from sttlab.corpus_transcription import CorpusTranscripts, transcribe_corpus
from sttlab.engines import ENGINES
from sttlab.engines.base import Transcription
from sttlab.errors import ConfigError, TranscribeError
from sttlab.evaluate.corpus import Corpus
from sttlab.events import Segment, Word
from sttlab.transcription import transcribe

NAMES = ("austen-1", "austen-2", "pause")


class Lengths:
    """An engine that writes the length of what it is given, and counts how often it is loaded."""

    name = "lengths"
    loads = 0
    asked = 0

    def __init__(self, config: TranscribeConfig) -> None:
        self.config = config

    def load(self) -> None:
        type(self).loads += 1

    def transcribe(
        self,
        samples: np.ndarray[Any, Any],
        sample_rate: int = SAMPLE_RATE,
        *,
        cancelled: Callable[[], bool] = lambda: False,
    ) -> Transcription:
        type(self).asked += 1
        text = f"{len(samples) / SAMPLE_RATE:.2f}"
        word = Word(start_s=0.1, end_s=0.2, text=text, confidence=1 / 3)
        segment = Segment(start_s=0.1, end_s=0.2, text=text, confidence=1 / 3, words=(word,))
        about: dict[str, Any] = {"language": "en", "language_probability": 0.9, "confidence": 1 / 3}
        return Transcription(text=text, segments=(segment,), suppressed=(), **about)

    def close(self) -> None:
        pass


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> type[Lengths]:
    monkeypatch.setitem(ENGINES, "lengths", Lengths)
    monkeypatch.setattr(Lengths, "asked", 0)
    return Lengths


@pytest.fixture
def corpus(tmp_path: Path, data: Path) -> Corpus:
    folder = tmp_path / "talks"
    folder.mkdir()
    for name in NAMES:
        shutil.copy(data / f"{name}.flac", folder)
    (folder / "broken.flac").write_bytes(b"no audio")
    return Corpus(folder)


def each_alone(corpus: Corpus) -> dict[str, Any]:
    engine: Any = Lengths(TranscribeConfig())
    return {
        item.name: transcribe(item.audio, model=engine) for item in corpus if item.name in NAMES
    }


def test_a_corpus_is_transcribed_in_its_order_as_each_recording_alone(
    corpus: Corpus, engine: Any
) -> None:
    steps: list[tuple[float, float]] = []
    found = transcribe(
        corpus, model=engine(TranscribeConfig()), progress=lambda *step: steps.append(step)
    )
    assert dict(found) == each_alone(corpus)
    assert tuple(found) == NAMES
    assert [why.split(":")[0] for why in found.left_out] == ["broken"]
    assert steps == [(i + 1, 4) for i in range(4)]
    assert "left out: broken" in found._repr_html_()


@pytest.mark.needs("evaluate")
def test_transcripts_of_a_corpus_make_a_table(corpus: Corpus, engine: Any) -> None:
    found = transcribe(corpus, model=engine(TranscribeConfig()))
    table = found.to_frame()
    assert table["recording"].tolist() == list(NAMES)
    assert table["text"].tolist() == [one.text for one in found.values()]


def test_what_is_done_is_not_done_again(corpus: Corpus, engine: Any, tmp_path: Path) -> None:
    config = TranscribeConfig(engine="lengths", words=True)
    results = tmp_path / "done.jsonl"

    def go(**options: Any) -> CorpusTranscripts:
        return transcribe_corpus(corpus, config, results=results, **options)

    def interrupt(done: float, total: float) -> None:
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        go(progress=interrupt)
    lines = results.read_text().splitlines()
    assert len(lines) == 2, "broken has none"
    results.write_text("\n".join(lines)[:-20])  # the process was killed while it wrote
    before = engine.asked
    found = go()
    assert dict(found) == each_alone(corpus)
    assert engine.asked > before
    known = [json.loads(line)["key"] for line in results.read_text().splitlines()[:1]]
    assert len(known) == 1
    with ThreadPoolExecutor(2) as threads:
        again = go(executor=threads)
        before = engine.asked
        go(executor=threads)
        assert engine.asked == before
    assert dict(again) == dict(found)
    (corpus.path / "pause.flac").write_bytes((corpus.path / "austen-1.flac").read_bytes())
    assert go()["pause"].text == found["austen-1"].text
    before = engine.asked
    transcribe_corpus(corpus, TranscribeConfig(engine="lengths", language="en"), results=results)
    assert engine.asked > before, "other settings give other texts"


def test_an_utterance_on_which_the_engine_fails_leaves_its_recording_out(
    corpus: Corpus, engine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = engine.transcribe

    def fail(self: Any, samples: Any, *args: Any, **options: Any) -> Any:
        if self.asked == 1:
            self.__class__.asked += 1
            raise TranscribeError("out of memory")
        return whole(self, samples, *args, **options)

    monkeypatch.setattr(engine, "transcribe", fail)
    found = transcribe(corpus, model=engine(TranscribeConfig()))
    assert len(found) == 2
    assert any("out of memory" in why for why in found.left_out)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"results": "x.jsonl"}, "needs the name of a model"),
        ({"speakers": []}, "turns of speakers are those of one recording"),
    ],
)
def test_what_a_corpus_can_not_do_is_refused(
    corpus: Corpus, engine: Any, options: dict[str, Any], words: str
) -> None:
    with pytest.raises(ConfigError, match=words):
        transcribe(corpus, model=engine(TranscribeConfig()), **options)


def test_one_recording_needs_no_executor(corpus: Corpus, engine: Any) -> None:
    path: Any = corpus.path / "pause.flac"
    with pytest.raises(ConfigError, match="needs a Corpus"):
        transcribe(path, model=engine(TranscribeConfig()), results="x.jsonl")


def test_a_file_of_results_that_can_not_be_written_is_said(corpus: Corpus, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="results can't be kept in"):
        transcribe(corpus, results=tmp_path)


def test_sttlab_transcribe_takes_a_folder_and_goes_on_where_it_was(
    corpus: Corpus, engine: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings, out = tmp_path / "settings.toml", tmp_path / "out"
    settings.write_text('[transcribe]\nengine = "lengths"\n')
    args = ["transcribe", str(corpus.path), "--config", str(settings), "--output", str(out)]
    assert main(args) == 1, "broken is"
    expected = each_alone(corpus)
    for name in NAMES:
        assert (out / f"{name}.txt").read_text() == expected[name].to_txt()
    before = engine.asked
    (corpus.path / "broken.flac").unlink()
    assert main([*args, "--format", "srt"]) == 0
    assert engine.asked == before
    assert (out / "pause.srt").read_text() == expected["pause"].to_srt()
    assert main([*args, "--track", "1"]) == 2
    assert "a corpus is one folder" in capsys.readouterr().err
