"""Files that appear whole or not at all."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sttlab.config import Config
from sttlab.errors import LabelError
from sttlab.evaluate.labels import Labels, Turn, load_labels

# Imported, and all that it needs, before the rights of an administrator are given up: to an
# administrator no file is protected.
AS_ANYBODY = """
import os, sys
from pathlib import Path
from sttlab.config import Config

folder = Path(sys.argv[1])
Config().save(folder / "imports.toml")
if os.getuid() == 0:
    os.setuid(65534)
try:
    Config().save(folder / sys.argv[2])
except OSError as error:
    print(error)
"""


def on_full_disk(path: Path, text: str, **_: Any) -> int:
    """Write a file on a disk that has room for ten bytes."""
    path.write_bytes(text.encode()[:10])
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_labels_stay_as_they_were_where_the_disk_is_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "talk.json"
    labels = Labels([Turn(start_s=0.5, end_s=1.0, speaker="ann")])
    labels.save(path)
    monkeypatch.setattr(Path, "write_text", on_full_disk)
    with pytest.raises(LabelError, match=r"cannot write labels .*: No space left"):
        Labels([]).save(path)
    assert list(load_labels(path)) == list(labels)
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.skipif(sys.platform == "win32", reason="links and modes of POSIX")
def test_a_link_and_permissions_stay(tmp_path: Path) -> None:
    path, link = tmp_path / "shared.toml", tmp_path / "sttlab.toml"
    path.write_text("", encoding="utf-8")
    path.chmod(0o626)  # which no new file has
    link.symlink_to(path)
    Config().save(link)
    assert link.is_symlink()
    assert path.stat().st_mode & 0o777 == 0o626
    assert Config.load(path) == Config()


def test_an_error_names_the_file_that_was_to_be_written(tmp_path: Path) -> None:
    path = tmp_path / "none" / "sttlab.toml"
    with pytest.raises(FileNotFoundError) as caught:
        Config().save(path)
    assert caught.value.filename == str(path)


@pytest.fixture
def anybodys() -> Iterator[Path]:
    """A folder that every user may enter, unlike those of pytest."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


def save_as_anybody(folder: Path, name: str) -> str:
    script = [sys.executable, "-c", AS_ANYBODY, str(folder), name]
    return subprocess.run(script, check=True, capture_output=True, text=True, timeout=60).stdout


@pytest.mark.skipif(sys.platform == "win32", reason="modes of POSIX")
def test_a_protected_file_is_not_replaced(anybodys: Path) -> None:
    anybodys.chmod(0o777)
    path = anybodys / "sttlab.toml"
    path.write_text("gold", encoding="utf-8")
    path.chmod(0o444)
    assert save_as_anybody(anybodys, path.name) == f"[Errno 13] Permission denied: '{path}'\n"
    assert path.read_text(encoding="utf-8") == "gold"


@pytest.mark.skipif(sys.platform == "win32", reason="modes of POSIX")
def test_a_file_in_a_protected_folder_is_written_in_place(anybodys: Path) -> None:
    path = anybodys / "sttlab.toml"
    path.write_text("", encoding="utf-8")
    path.chmod(0o666)
    anybodys.chmod(0o555)
    try:
        assert save_as_anybody(anybodys, path.name) == ""
    finally:
        anybodys.chmod(0o755)
    assert Config.load(path) == Config()


@pytest.mark.skipif(sys.platform == "win32", reason="/dev/stdout")
def test_what_is_no_file_is_written_to(tmp_path: Path) -> None:
    script = "from sttlab.config import Config; Config().save('/dev/stdout')"
    said = subprocess.run(
        [sys.executable, "-c", script], check=True, capture_output=True, timeout=60
    ).stdout
    path = tmp_path / "said.toml"
    path.write_bytes(said)
    assert Config.load(path) == Config()


def test_a_file_that_takes_no_other_in_its_place_is_written_in_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def busy(source: Path, target: Path) -> None:
        raise OSError(errno.EBUSY, os.strerror(errno.EBUSY), str(source), None, str(target))

    path = tmp_path / "sttlab.toml"
    path.write_text("", encoding="utf-8")
    monkeypatch.setattr(os, "replace", busy)
    Config().save(path)
    assert Config.load(path) == Config()
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_that_another_process_reads_is_not_written_in_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def in_use(source: Path, target: Path) -> None:  # as on Windows
        raise PermissionError(errno.EACCES, "Access is denied", str(source), None, str(target))

    path = tmp_path / "sttlab.toml"
    path.write_text("gold", encoding="utf-8")
    monkeypatch.setattr(os, "replace", in_use)
    with pytest.raises(PermissionError, match="Access is denied") as caught:
        Config().save(path)
    assert (caught.value.filename, caught.value.filename2) == (str(path), None)
    assert path.read_text(encoding="utf-8") == "gold"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_an_error_of_a_full_disk_names_the_file() -> None:
    with pytest.raises(OSError, match=r"No space left on device: '/dev/full'"):
        Config().save("/dev/full")


@pytest.mark.parametrize("suffix", [".json", ".rttm", ".txt", ".TextGrid", ".eaf"])
def test_labels_that_are_saved_again_leave_nothing_beside_them(tmp_path: Path, suffix: str) -> None:
    if package := {".TextGrid": "praatio", ".eaf": "pympi"}.get(suffix):
        reason = f"{package} not installed (`make test` installs it)"
        pytest.importorskip(package, reason=reason)
    path = tmp_path / f"talk{suffix}"
    for end_s in (1.0, 2.0):
        Labels([Turn(start_s=0.5, end_s=end_s, speaker="ann")]).save(path)
        assert [turn.end_s for turn in load_labels(path)] == [end_s]
    assert list(tmp_path.iterdir()) == [path]
