"""Files that appear whole or not at all."""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from sttlab.config import Config
from sttlab.errors import LabelError
from sttlab.evaluate.labels import Labels, Turn, load_labels


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
    path.chmod(0o664)
    link.symlink_to(path)
    Config().save(link)
    assert link.is_symlink()
    assert path.stat().st_mode & 0o777 == 0o664
    assert Config.load(path) == Config()


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
