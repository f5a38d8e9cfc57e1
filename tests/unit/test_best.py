"""`model="auto"`: which model it takes, what it keeps of that, and when it takes a smaller one."""

from __future__ import annotations

import logging
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sttlab.audio import SAMPLE_RATE
from sttlab.config import TranscribeConfig, VadConfig
from sttlab.engines import best, make_engine
from sttlab.engines.base import Transcription
from sttlab.engines.best import IN_TIME_S, LATE, LATE_OF, BestModel
from sttlab.engines.weights import ModelInfo
from sttlab.events import Event, Notice, Transcript
from sttlab.live.session import Session
from tests.fakes import Blocks, speech

AUTO = TranscribeConfig(model="auto")
SAID = Transcription(
    text="well",
    segments=(),
    suppressed=(),
    language="en",
    language_probability=1.0,
    confidence=1.0,
)
SIZES = {"small": 300, "tiny.en": 70, "base": 140}


class Machine:
    """A machine on which a model takes so many seconds for an utterance, and its clock."""

    def __init__(self, **seconds: float) -> None:
        self.seconds = {name.replace("_", "."): took for name, took in seconds.items()}
        self.time = 0.0
        self.loaded: list[str] = []
        self.tried: list[str] = []

    def engine(self, config: TranscribeConfig) -> BestModel:
        return BestModel(config, lambda named: Engine(self, named), clock=lambda: self.time)


class Engine:
    def __init__(self, machine: Machine, config: TranscribeConfig) -> None:
        self.machine, self.config = machine, config
        self.name = f"fake {config.model}"

    def load(self) -> None:
        self.machine.loaded.append(self.config.model)

    def transcribe(self, *_: Any, **__: Any) -> Transcription:
        self.machine.tried.append(self.config.model)
        self.machine.time += self.machine.seconds[self.config.model]
        return SAID

    def close(self) -> None:
        self.machine.loaded.remove(self.config.model)


@pytest.fixture(autouse=True)
def installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, int]:
    """The models that are installed, and an empty cache."""
    here = dict(SIZES)

    def models() -> list[ModelInfo]:
        return [
            ModelInfo(name=name, origin="", path=Path(), size_bytes=size, ready=True)
            for name, size in here.items()
        ]

    monkeypatch.setattr(best, "list_models", models)
    monkeypatch.setattr(best, "cache_folder", lambda: tmp_path)
    return here


@pytest.mark.parametrize(
    ("seconds", "chosen", "tried"),
    [
        ((0.1, 0.2, 0.4), "small", ["tiny.en", "base", "small"]),
        ((0.1, 0.4, 0.9), "base", ["tiny.en", "base", "small"]),
        ((0.3, 0.7, 0.9), "tiny.en", ["tiny.en", "base"]),
        ((0.9, 1.7, 2.9), "tiny.en", ["tiny.en", "base"]),
    ],
)
def test_the_largest_model_in_time_is_taken_and_no_larger_one_tried_than_the_first_too_slow(
    seconds: tuple[float, float, float],
    chosen: str,
    tried: list[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    machine = Machine(**dict(zip(("tiny_en", "base", "small"), seconds, strict=True)))
    with caplog.at_level(logging.INFO):
        engine = machine.engine(AUTO)
        engine.load()
    assert machine.tried == tried
    assert machine.loaded == [chosen]
    assert engine.name == f"fake {chosen} (auto)"
    assert f"model auto: fake {chosen}, which takes" in caplog.text
    assert ("are in time" in caplog.text) == (chosen != "small")


def test_the_choice_is_kept_until_another_model_is_installed(installed: dict[str, int]) -> None:
    machine = Machine(tiny_en=0.1, base=0.2, small=0.9)
    machine.engine(AUTO).load()
    later = Machine(tiny_en=0.1, base=0.2, small=0.9)
    later.engine(AUTO).load()
    assert (later.loaded, later.tried) == (["base"], [])
    del installed["base"]
    later.engine(AUTO).load()
    assert later.loaded == ["base", "tiny.en"]


def test_a_choice_that_was_kept_too_long_is_made_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    Machine(tiny_en=0.1, base=0.2, small=0.9).engine(AUTO).load()
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + best.KEPT_S + 1)
    later = Machine(tiny_en=0.1, base=0.2, small=0.3)
    later.engine(AUTO).load()
    assert later.loaded == ["small"]


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"key": 1}'])
def test_a_broken_file_of_the_choice_is_ignored(tmp_path: Path, text: str) -> None:
    (tmp_path / "auto.json").write_text(text)
    machine = Machine(tiny_en=0.1, base=0.2, small=0.3)
    machine.engine(AUTO).load()
    assert machine.loaded == ["small"]


@pytest.mark.parametrize("changes", [{"language": "de"}, {"task": "translate"}])
def test_models_that_know_only_english_are_left_out_for_other_languages(
    changes: dict[str, Any],
) -> None:
    machine = Machine(base=0.9, small=1.9)
    machine.engine(replace(AUTO, **changes)).load()
    assert machine.loaded == ["base"]


def test_without_a_model_the_default_says_how_to_get_one(installed: dict[str, int]) -> None:
    installed.clear()
    machine = Machine(tiny_en=0.1)
    machine.engine(AUTO).load()
    assert machine.loaded == ["tiny.en"]


def test_a_model_that_is_late_for_good_gives_way_to_a_smaller_one(
    caplog: pytest.LogCaptureFixture,
) -> None:
    machine = Machine(tiny_en=0.1, base=0.2, small=0.9)
    engine = machine.engine(AUTO)
    engine.load()
    utterance = np.zeros(SAMPLE_RATE, np.float32)
    for took_s in [IN_TIME_S * 2, IN_TIME_S / 2] * LATE_OF:  # now and then late is not for good
        machine.seconds["base"] = took_s
        engine.transcribe(utterance)
    assert machine.loaded == ["base"]
    machine.seconds["base"] = IN_TIME_S * 2
    for _ in range(LATE + 1):
        engine.transcribe(utterance)
    assert machine.loaded == ["tiny.en"]
    assert "fake base no longer keeps up on this machine: fake tiny.en goes on" in caplog.text
    machine.seconds["tiny.en"] = IN_TIME_S * 2
    for _ in range(LATE_OF + 1):
        engine.transcribe(utterance)
    assert machine.loaded == ["tiny.en"]  # there is none smaller


def test_a_long_utterance_may_take_longer() -> None:
    machine = Machine(tiny_en=0.1, base=0.2, small=0.9)
    engine = machine.engine(AUTO)
    engine.load()
    machine.seconds["base"] = IN_TIME_S * 3
    for _ in range(LATE_OF + 1):
        engine.transcribe(np.zeros(20 * SAMPLE_RATE, np.float32))
    assert machine.loaded == ["base"]


def test_a_session_says_that_a_smaller_model_goes_on() -> None:
    machine = Machine(tiny_en=0.1, base=0.2, small=0.9)
    engine = machine.engine(AUTO)
    engine.load()
    machine.seconds["base"] = IN_TIME_S * 2
    told: list[Event] = []
    vad = VadConfig(threshold_dbfs=-40, silence_timeout_s=0.2)
    session = Session(Blocks(speech(LATE + 3)), vad=vad, model=engine)
    session.subscribe(told.append)
    with session:
        assert session.wait(60)
    (notice,) = [event for event in told if isinstance(event, Notice)]
    assert notice.about == "model"
    assert notice.message.endswith("keeps up on this machine: fake tiny.en (auto) goes on")
    assert sum(isinstance(event, Transcript) for event in told) == LATE + 3


@pytest.mark.needs("whisper", "faster-whisper")
def test_real_models_are_measured_and_one_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    monkeypatch.setattr(best, "_read_kept", lambda key: None)
    monkeypatch.setattr(best, "_keep", lambda key, model: None)
    engine = make_engine(AUTO)
    engine.load()
    assert engine.name in ("faster-whisper tiny.en (auto)", "faster-whisper base (auto)")
    engine.close()
