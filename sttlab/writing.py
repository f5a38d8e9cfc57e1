"""Files that appear whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Give the path of a new file beside `path`, which takes its place when the block ends.

    If the block fails, or the disk is full, `path` stays as it was. What a link points to is
    replaced, and not the link; a file keeps its permissions. What can't be replaced is written in
    place: a device or a pipe, a file in a folder that takes no new one, and one that is mounted by
    itself or, on Windows, open in another program.

    Raises
    ------
    OSError
        If the file is protected, or can't be written; it names `path`.
    """
    path = Path(path)
    target = Path(os.path.realpath(path))
    exists = path.exists()
    if exists and not os.access(path, os.W_OK):  # or it would be replaced all the same
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
    if exists and not (path.is_file() and os.access(target.parent, os.W_OK)):
        yield path
        return
    written = target.with_name(f".{target.name[:50]}-{uuid.uuid4().hex}.part")
    try:
        yield written
        with written.open("rb+") as file:
            os.fsync(file.fileno())  # or a power cut may leave an empty file in its place
        if exists:
            shutil.copymode(target, written)
        _replace(written, target)
    except OSError as error:
        if error.filename == str(written):
            error.filename, error.filename2 = str(path), None
        raise
    finally:
        with contextlib.suppress(OSError):
            written.unlink(missing_ok=True)


def _replace(written: Path, target: Path) -> None:
    try:
        os.replace(written, target)
    except OSError:
        if not target.is_file():
            raise
        shutil.copyfile(written, target)
