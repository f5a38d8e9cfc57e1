"""Recordings and minutes in which nothing was heard say why, and what to do."""

from __future__ import annotations

import logging
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from sttlab.audio import SAMPLE_RATE, Recording
from sttlab.capture.base import Block
from sttlab.capture.replay import FileSource
from sttlab.config import TranscribeConfig, VadConfig
from sttlab.core import StreamCore, find_utterances, segment
from sttlab.decoding import load
from sttlab.engines import make_engine
from sttlab.engines.base import Engine
from sttlab.events import Event, Notice, SourceEnded
from sttlab.live.session import Session
from sttlab.transcription import transcribe
from tests.fakes import WAIT_S, Counting

MINUTE = np.random.default_rng(0).standard_normal(70 * SAMPLE_RATE).astype(np.float32) * 1e-4


@pytest.fixture
def quiet(data: Path) -> Recording:
    """The demo as a microphone gives it that hardly hears anything."""
    return Recording(load(data / "demo.flac").samples * 10 ** (-65 / 20), origin="quiet.flac")


def explained(sound: Recording, config: VadConfig | None = None) -> str:
    _, why = find_utterances(sound, config)
    assert why
    return why


def test_a_quiet_recording_names_level_threshold_and_a_remedy_that_works(quiet: Recording) -> None:
    why = explained(quiet)
    loudest = float(why.split("the loudest is ")[1].split(" dBFS")[0])
    assert loudest < -80
    assert "speech begins at -80 dBFS" in why
    remedy = float(why.rsplit("set threshold_dbfs to ", 1)[1])
    assert len(segment(quiet)) == 0
    assert len(segment(quiet, VadConfig(threshold_dbfs=remedy))) >= 4


@pytest.mark.needs("silero")
def test_a_detector_of_probabilities_names_its_own_threshold() -> None:
    why = explained(Recording(MINUTE), VadConfig(detector="silero"))
    assert "the highest probability 0." in why
    assert "speech begins at 0.50. If somebody speaks, raise the gain, or set probability to" in why


def test_zeros_are_called_digital_silence() -> None:
    assert "digital silence, every sample is 0" in explained(
        Recording(np.zeros(30_000, np.float32))
    )
    assert "digital silence" in explained(Recording(np.zeros(0, np.float32)))


def test_sounds_that_are_too_short_name_the_shortest_speech() -> None:
    clicks = np.zeros(3 * SAMPLE_RATE, np.float32)
    clicks[SAMPLE_RATE + 160 :: SAMPLE_RATE // 2] = 0.9
    why = explained(Recording(clicks), VadConfig(threshold_dbfs=-40.0))
    assert "what is loud enough is shorter than 0.1 s" in why
    assert "set min_speech_s lower" in why


@pytest.mark.parametrize("cut", [777, 16_000, 10_000_000])
def test_a_minute_without_speech_says_it_once_until_somebody_speaks(cut: int, data: Path) -> None:
    speech = load(data / "austen-2.flac").samples
    samples = np.concatenate([MINUTE, MINUTE, speech, MINUTE])
    core = StreamCore(VadConfig())
    events = [
        event
        for start in range(0, len(samples), cut)
        for event in core.feed(Block(samples[start : start + cut]))
    ]
    first, second = (event for event in events if isinstance(event, Notice))
    assert first.time_s == 60.0
    assert first.message.startswith("no speech found in 60 s: the loudest is -")
    assert 143 + 60 < second.time_s < 143 + 63
    times = [event.time_s for event in events if hasattr(event, "time_s")]
    assert times == sorted(times)
    assert core.nothing_heard() is None


def test_new_settings_are_tried_for_a_minute_of_their_own() -> None:
    core = StreamCore(VadConfig())
    core.feed(Block(MINUTE[: 50 * SAMPLE_RATE]))
    core.update(VadConfig(threshold_dbfs=-30.0))
    events = core.feed(Block(MINUTE))
    (notice,) = (event for event in events if isinstance(event, Notice))
    assert notice.time_s == 110.0
    assert "speech begins at -30 dBFS" in notice.message


def test_a_session_whose_source_ends_unheard_says_so(
    quiet: Recording, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    quiet.save(tmp_path / "quiet.flac")
    session = Session(FileSource(tmp_path / "quiet.flac", speed=None), model=Counting())
    events: list[Event] = []
    session.subscribe(events.append)
    with session:
        assert session.wait(WAIT_S)
    kinds = [type(event) for event in events]
    assert kinds.count(Notice) == 1
    assert kinds.index(Notice) < kinds.index(SourceEnded)
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert "no speech found: the loudest is" in record.getMessage()


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    """Real tiny.en."""
    engine = make_engine(TranscribeConfig(device="cpu"))
    yield engine
    engine.close()


@pytest.mark.needs("whisper")
@pytest.mark.filterwarnings("ignore:unclosed file .*tiktoken:ResourceWarning")
class TestTranscripts:
    """What a transcript of a file says."""

    def test_a_quiet_recording_has_no_text_and_a_notice(
        self, quiet: Recording, engine: Engine
    ) -> None:
        result = transcribe(quiet, model=engine)
        assert result.text == ""
        (notice,) = result.notices
        assert "raise the gain" in notice
        assert "raise the gain" in result._repr_html_()

    def test_noise_that_the_model_finds_no_words_in_has_a_notice(
        self, data: Path, engine: Engine
    ) -> None:
        result = transcribe(data / "keyboard.ogg", model=engine)
        assert result.text == ""
        assert any("no words found: speech was found" in notice for notice in result.notices)

    @pytest.mark.parametrize("name", ["spanish.opus", "swedish.flac"])
    def test_another_language_is_noticed_by_a_model_of_english(
        self, name: str, data: Path, engine: Engine, caplog: pytest.LogCaptureFixture
    ) -> None:
        result = transcribe(data / name, model=engine)
        (notice,) = result.notices
        assert "this model knows only English, and is" in notice
        assert "take a multilingual model" in notice
        assert notice in caplog.text

    @pytest.mark.parametrize("name", ["demo-far.flac", "demo-noisy.flac", "pause.flac"])
    def test_english_is_not_called_another_language(
        self, name: str, data: Path, engine: Engine
    ) -> None:
        assert transcribe(data / name, model=engine).notices == ()

    def test_the_command_line_says_it_on_stderr_in_one_line(
        self, quiet: Recording, tmp_path: Path
    ) -> None:
        path = tmp_path / "quiet.flac"
        quiet.save(path)
        command = [sys.executable, "-m", "sttlab", "transcribe", str(path)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
        assert done.stdout == ""
        (said,) = [line for line in done.stderr.splitlines() if "no speech found" in line]
        assert said.startswith(f"sttlab: {path}: ")
