"""The benchmarks as a user runs them: real processes, weights, server and client."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from sttlab.bench import live, material
from sttlab.bench.engines import ENGINES
from sttlab.bench.process import Child
from sttlab.config import Config
from sttlab.errors import ConfigError, ServerError
from sttlab.server.microphones import MAX_MICROPHONES
from tests.benchmarks import load, load_server

needs_all = pytest.mark.needs("whisper", "faster-whisper", "bench")


def bench(folder: Path, *arguments: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "sttlab", "bench", *arguments, "--output", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads((folder / f"{arguments[0]}.json").read_text("utf-8"))
    assert done.stdout.startswith("| ")
    assert (folder / f"{arguments[0]}.png").read_bytes().startswith(b"\x89PNG")
    return result


@needs_all
def test_live_measures_sttlab_and_a_weekend_project(tmp_path: Path) -> None:
    result = bench(
        tmp_path,
        *("live", "--system", "sttlab+partials", "--system", "naive"),
        *("--utterances", "2", "--noise-s", "9"),
    )
    assert result["settings"]["seed"] == 1
    assert {"python", "torch", "openai-whisper"} <= set(result["before"]["versions"])
    ours, naive = result["systems"]
    for system in (ours, naive):
        assert (system["missed"], system["merged"], system["cut"]) == (0, 0, 0)
        assert system["wer_live"]["words"] >= 6
        assert system["wer_live"]["wer"] < 0.5
        assert system["wer_offline"]["wer"] < 0.5
        assert system["cpu_s_per_audio_s"] > 0
        assert system["peak_mb"] > 100
    for outcome in ours["outcomes"]:
        assert sum(outcome["stages_s"].values()) == pytest.approx(outcome["delay_s"], abs=1e-6)
        assert outcome["partials"]
    assert naive["stages_s"] is None


@needs_all
def test_file_measures_engines_on_the_same_audio(data: Path, tmp_path: Path) -> None:
    few = tmp_path / "few"
    few.mkdir()
    for path in (*data.glob("austen-[1-3].*"), *data.glob("monologue.*")):
        shutil.copy(path, few)
    result = bench(
        tmp_path,
        *("file", "--engine", "sttlab", "--engine", "faster-whisper int8", "--joined-s", "30"),
        *("--recordings", str(few)),
    )
    kinds = {(f["engine"], f["material"]): f for f in result["engines"]}
    assert len(kinds) == 4
    for figures in kinds.values():
        assert figures["rtf"] > 0
        assert figures["wer"]["wer"] < 0.5
        assert len(figures["texts"]) == len(figures["recordings"])
    joined = [f for f in result["engines"] if f["material"] == "joined sentences"]
    assert joined[0]["audio_s"] == joined[1]["audio_s"] == pytest.approx(30, abs=10)


@pytest.mark.needs("bench")
def test_server_counts_clients_and_microphones(data: Path) -> None:
    clips, _ = material.read_clips(data, "en", 1.0, 4.0)
    options = {"plain": (1, 3), "microphones": (1,), "model": load_server.CLOCK}
    found = load.run(clips, **options, seconds=2.5, threads=1)  # type: ignore[arg-type]
    assert [step.clients for step in found.plain] == [1, 3]
    for step in (*found.plain, *found.microphones):
        assert step.missing == 0
        assert step.texts >= step.clients
        assert 0 <= step.median_ms <= step.worst_ms
    assert found.plain_refusal == ""
    assert found.late_refusal == ""
    assert found.microphone_refusal.startswith(f"1013 {MAX_MICROPHONES} microphones")
    assert "While 1 speak, one more is admitted." in found.table()
    assert "| 3 plain |" in found.table()


def test_child_that_fails_raises_with_its_stderr() -> None:
    with (
        Child(["-c", "import sys; sys.exit('no model, no text')"], threads=1) as child,
        pytest.raises(ServerError, match=r"exit code 1.*no model, no text"),
    ):
        child.line(30)


def test_silent_child_raises_after_the_timeout() -> None:
    with (
        Child(["-c", "input()"], threads=1) as child,
        pytest.raises(ServerError, match="said nothing for 1 s"),
    ):
        child.line(1)


def test_child_gives_its_json_lines_then_none() -> None:
    code = "print('loading'); print('{\"a\": 1}')"
    with Child(["-c", code], threads=1) as child:
        first = child.line(30)
        assert first is not None
        assert first[1] == {"a": 1}
        assert child.line(30) is None


def test_meter_measures_memory_and_cpu_of_the_child() -> None:
    code = (
        "import sys; x = bytearray(2 * 10**8); sum(range(10**7)); print('{}', flush=True); input()"
    )
    with Child(["-c", code], threads=1) as child:
        line = child.line(60)
        assert line is not None
        child.meter.sample()
        assert 200 < child.meter.peak_bytes / 1e6 < 400
        assert child.meter.cpu_between_s(0, line[0] + 1e6) >= 0


def test_an_unknown_system_is_refused() -> None:
    with pytest.raises(ConfigError, match="known are sttlab"):
        live.find("skynet")
    assert live.find("naive").timeout_s == 0.8
    assert {system.engine for system in live.SYSTEMS.values()} <= set(ENGINES)
    assert Config().vad.silence_timeout_s == 0.6
