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
    itself.

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
    in_place = exists and not (path.is_file() and os.access(target.parent, os.W_OK))
    written = target.with_name(f".{target.name[:50]}-{uuid.uuid4().hex}.part")
    try:
        yield path if in_place else written
        if not in_place:
            _put(written, target, exists)
    except OSError as error:
        if error.errno and error.filename in (None, str(written), str(target)):
            error.filename, error.filename2 = str(path), None
        raise
    finally:
        with contextlib.suppress(OSError):
            written.unlink(missing_ok=True)


def _put(written: Path, target: Path, exists: bool) -> None:
    with written.open("rb+") as file:
        os.fsync(file.fileno())  # or a power cut may leave an empty file in its place
    if exists:
        shutil.copymode(target, written)
    try:
        os.replace(written, target)
    except OSError as error:
        if error.errno != errno.EBUSY:  # as where a container mounts the file by itself
            raise
        shutil.copyfile(written, target)
