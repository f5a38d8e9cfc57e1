"""Files that appear whole or not at all."""

from __future__ import annotations

import contextlib
import os
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Give the path of a new file beside `path`, which takes its place when the block ends.

    If the block fails, or the disk is full, `path` stays as it was. What a link points to is
    replaced, and not the link; a file keeps its permissions.

    Raises
    ------
    OSError
        If the file can't be written or replaced.
    """
    target = Path(path).resolve()
    written = target.with_name(f".{uuid.uuid4().hex}.part")
    try:
        yield written
        if target.exists():
            shutil.copymode(target, written)
        os.replace(written, target)
    finally:
        written.unlink(missing_ok=True)
