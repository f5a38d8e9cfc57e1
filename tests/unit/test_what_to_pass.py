"""Whatever holds audio is taken, wherever a recording is; what can't be is told what to pass."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import sttlab
from sttlab.errors import SourceError, SttlabError
from sttlab.trace import Trace
from tests.fakes import Counting

DATA = Path(__file__).parents[2] / "data"
TAKERS: dict[str, Callable[[Any], Any]] = {
    "load": sttlab.load,
    "segment": sttlab.segment,
    "transcribe": lambda sound: sttlab.transcribe(sound, model=Counting()),
    "Trace": Trace,
    "sweep": lambda sound: sttlab.sweep(
        sound, sttlab.load_labels(DATA / "austen-2.rttm"), {"margin_db": [9.0]}
    ),
}
FORMS: dict[str, Callable[[Path], Any]] = {
    "str": str,
    "Path": Path,
    "bytes": Path.read_bytes,
    "memoryview": lambda path: memoryview(path.read_bytes()),
    "BytesIO": lambda path: io.BytesIO(path.read_bytes()),
    "open file": lambda path: path.open("rb"),
}


@pytest.mark.parametrize("taker", TAKERS)
@pytest.mark.parametrize("form", FORMS)
def test_a_file_is_taken_in_any_form(form: str, taker: str, data: Path) -> None:
    given = FORMS[form](data / "austen-2.flac")
    assert TAKERS[taker](given)
    if form == "open file":
        given.close()


@pytest.mark.parametrize("taker", TAKERS)
def test_an_array_is_told_that_it_needs_a_sample_rate(taker: str) -> None:
    with pytest.raises(SourceError, match=r"pass sttlab\.Recording\(samples, sample_rate\)"):
        TAKERS[taker](np.zeros(16_000, np.float32))


@pytest.mark.parametrize("taker", TAKERS)
@pytest.mark.parametrize("given", [None, 7, object()], ids=["None", "number", "object"])
def test_what_is_no_audio_is_told_what_to_pass(given: Any, taker: str) -> None:
    with pytest.raises(SourceError, match="pass a path, the bytes of an audio file, a file opened"):
        TAKERS[taker](given)


def test_a_folder_and_a_text_file_are_told_what_to_pass(data: Path) -> None:
    with pytest.raises(SourceError, match="is a folder; give the path of a recording"):
        sttlab.load(data)
    with (
        (data / "demo.txt").open(encoding="utf-8") as file,
        pytest.raises(SourceError, match="open it as open"),
    ):
        sttlab.load(file)  # type: ignore[arg-type]


def test_a_session_says_which_sources_there_are(data: Path) -> None:
    for given in (data / "demo.flac", str(data / "demo.flac"), np.zeros(9), sttlab.load):
        with pytest.raises(SttlabError, match=r"pass a source, such as FileSource\(path\)"):
            sttlab.Session(given, model=Counting())  # type: ignore[arg-type]


def test_a_tilde_is_the_home_folder(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(data / "austen-2.flac", tmp_path)
    for variable in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(variable, str(tmp_path))
    assert sttlab.load("~/austen-2.flac").duration_s > 2


@pytest.mark.parametrize("name", ["austen-2.flac", "word.mp3", "spanish.opus"])
def test_stdin_is_read_as_a_dash(name: str, data: Path) -> None:
    code = "import sttlab; r = sttlab.load('-'); print(r.origin, r.duration_s > 1)"
    with (data / name).open("rb") as file:
        piped = subprocess.run(
            [sys.executable, "-c", code],
            input=file.read(),
            capture_output=True,
            timeout=60,
            check=True,
        )
    assert piped.stdout.decode().split() == ["-", "True"]


def test_an_empty_stdin_says_so_in_one_line() -> None:
    code = "import sttlab; sttlab.load('-')"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=60)
    assert b"nothing came from the pipe: give a recording" in done.stderr


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the system has no named pipes")
def test_a_named_pipe_is_read_to_its_end(data: Path, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_bytes, args=((data / "demo.flac").read_bytes(),))
    writer.start()
    assert sttlab.load(pipe).duration_s == pytest.approx(31.13, abs=0.01)
    writer.join()
