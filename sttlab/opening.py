"""From what a caller passes to an open file that can be sought: paths, stdin, pipes, bytes."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from sttlab.containers import OpenFile
from sttlab.errors import DecodeError, SourceError

BLOCK_SAMPLES = 1 << 14
HOW_WITH_SAMPLES = (
    "samples don't say their sample rate: pass sttlab.Recording(samples, sample_rate)"
)
WHAT_TO_PASS = "pass a path, the bytes of an audio file, a file opened with 'rb', or a Recording"
# Errors of the system, which say nothing about the file.
REMEDIES = {
    errno.EMFILE: "close files, or raise the limit on them, ulimit -n",
    errno.ENFILE: "close other programs",
    errno.ENOSPC: "free some space, or set TMPDIR to a folder on another disk",
    errno.EACCES: "ask its owner for access",
    errno.ENOMEM: "close other programs, or cut the file",
}

AudioFile: TypeAlias = str | Path | OpenFile


def as_audio_file(given: Any) -> AudioFile:
    """Return what `open_input` takes.

    Raises
    ------
    SourceError
        If it is neither a path, nor the bytes of a file, nor a binary file.
    """
    if isinstance(given, bytes | bytearray | memoryview):
        given = io.BytesIO(given)
    if not (isinstance(given, str | Path) or hasattr(given, "seekable")):
        if isinstance(given, np.ndarray | list | tuple):
            raise SourceError(HOW_WITH_SAMPLES)
        raise SourceError(f"{WHAT_TO_PASS}, not {type(given).__name__}")
    if isinstance(given, io.TextIOBase):
        raise SourceError("this file is open as text; open it as open(path, 'rb')")
    file: AudioFile = given
    return file


@contextmanager
def open_input(file: AudioFile, name: str) -> Iterator[tuple[OpenFile, Path | None]]:
    """Open a file, and return its path too if it has one that can be opened again.

    Parameters
    ----------
    file : str, Path or binary file
        "-" is stdin. What can't be sought, such as a pipe, is kept in a temporary file.
    name : str
        For messages.

    Raises
    ------
    DecodeError
        If it isn't there or can't be read, or nothing is in it.
    """
    with contextlib.ExitStack() as stack:
        path = None
        if isinstance(file, str | Path):
            path = _as_path(file)
            if path is None or _is_piped(path):
                file, path = stack.enter_context(_piped(path)), None
            else:
                _require_file(path)
                try:
                    file = stack.enter_context(path.open("rb"))
                except OSError as error:
                    raise unreadable(name, error) from error
        elif not file.seekable():
            file = stack.enter_context(_kept(file, "the pipe"))
        yield file, path


def _as_path(file: str | Path) -> Path | None:
    """Return the path, with the home folder for a ~; None for stdin, whose name is -."""
    if str(file) == "-":
        return None
    return Path(file) if os.path.lexists(file) else Path(os.path.expanduser(file))


def _is_piped(path: Path) -> bool:
    """Whether a path names a pipe or a terminal, such as /dev/stdin does; it can't be seeked."""
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError):
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISCHR(mode) or stat.S_ISSOCK(mode)


@contextmanager
def _piped(path: Path | None) -> Iterator[OpenFile]:
    """Read a pipe, or stdin, to its end."""
    if path is None and (sys.stdin is None or sys.stdin.isatty()):
        raise DecodeError("nothing is piped to stdin: give the path of a recording")
    try:
        pipe = sys.stdin.buffer if path is None else path.open("rb", buffering=0)
        if pipe.isatty():
            raise DecodeError(f"{path} is a terminal: give the path of a recording")
        with pipe if path else contextlib.nullcontext(), _kept(pipe, path or "the pipe") as file:
            yield file
    except OSError as error:
        raise unreadable(str(path or "stdin"), error) from error


@contextmanager
def _kept(pipe: Any, name: str | Path) -> Iterator[OpenFile]:
    """Keep what comes from a pipe in a temporary file, which has a beginning to go back to."""
    with tempfile.TemporaryFile() as file:
        shutil.copyfileobj(pipe, file, BLOCK_SAMPLES)
        if not file.tell():
            raise DecodeError(f"nothing came from {name}: give a recording")
        file.seek(0)
        yield file


def _require_file(path: Path) -> None:
    if not path.is_file():
        what = "a folder" if path.is_dir() else "no file" if path.exists() else "not there"
        raise DecodeError(f"{path} is {what}; give the path of a recording")
    if path.stat().st_size == 0:
        raise DecodeError(f"{path} is empty")


def unreadable(name: str, error: Exception) -> DecodeError:
    """Return the error to raise for one of the system, with its remedy if there is one."""
    remedy = REMEDIES.get(getattr(error, "errno", None) or 0)
    return DecodeError(f"{name} can't be read: {why_of(error)}{f'; {remedy}' if remedy else ''}")


def why_of(error: Exception) -> str:
    """Say what FFmpeg said, without the numbers that it puts around it."""
    return getattr(error, "strerror", None) or str(error)
