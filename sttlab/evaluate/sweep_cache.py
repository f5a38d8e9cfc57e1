"""What sweeps have found out already: levels and scores, kept on disk within a bound.

An entry is a file of NumPy's, `KIND-KEY.npz`. Its key has everything that its content follows from,
so that nothing in it is ever out of date. It appears whole or not at all, whoever else writes
meanwhile; a damaged one is made anew.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import io
import logging
import os
import zipfile
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import sttlab
from sttlab.engines.weights import cache_root
from sttlab.machine import versions
from sttlab.vad import DETECTORS
from sttlab.writing import replacing

log = logging.getLogger(__name__)

LIMIT_BYTES = 2_000_000_000  # the levels of some 450 hours
PACKAGES = (
    "av",
    "numpy",
    "onnxruntime",
    "silero-vad",
    "soundfile",
    "soxr",
)  # on which levels depend


class SweepCache:
    """Arrays on disk, by kind and key; the oldest go first.

    Any thread may use it; all calls block for as long as the disk takes. Nothing is raised: where
    nothing can be kept, nothing is found either, and the log says so once.

    Parameters
    ----------
    folder : Path or None
        None keeps nothing.
    limit_bytes : int
    """

    def __init__(self, folder: Path | None, limit_bytes: int = LIMIT_BYTES) -> None:
        self.folder = folder
        self.limit_bytes = limit_bytes
        self._unchecked_bytes = limit_bytes  # so that the first entry is checked

    def get(self, kind: str, key: str) -> dict[str, NDArray[Any]] | None:
        """Return the arrays of an entry; None if there is none that is whole."""
        if self.folder is None:
            return None
        path = self.folder / f"{kind}-{key}.npz"
        try:
            data = path.read_bytes()
            with np.load(io.BytesIO(data), allow_pickle=False) as file:
                found = {name: file[name] for name in file.files}
        except FileNotFoundError:
            return None
        except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error) as error:
            log.warning("%s is damaged, and is made anew: %s", path, error)
            return None
        with contextlib.suppress(OSError):
            os.utime(path)  # the oldest is the one that is longest unused
        return found

    def put(self, kind: str, key: str, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Keep an entry, and remove the oldest where all together are too large."""
        if self.folder is None:
            return
        buffer = io.BytesIO()
        np.savez(buffer, allow_pickle=False, **arrays)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with replacing(self.folder / f"{kind}-{key}.npz") as file:
                file.write_bytes(buffer.getvalue())
        except OSError as error:
            log.warning("levels and scores are not kept for the next sweep: %s", error)
            self.folder = None
            return
        self._unchecked_bytes += buffer.tell()
        if self._unchecked_bytes >= self.limit_bytes // 50:  # to look at all takes its time
            self._unchecked_bytes = 0
            self._remove_oldest()

    def entries(self) -> list[tuple[Path, int]]:
        """Return the files and their sizes in bytes, the oldest first."""
        found = []
        with contextlib.suppress(OSError):
            for path in self.folder.iterdir() if self.folder else ():
                with contextlib.suppress(OSError):  # another process removed it
                    stat = path.stat()
                    found.append((stat.st_mtime_ns, path, stat.st_size))
        return [(path, size) for _, path, size in sorted(found)]

    def clear(self) -> None:
        """Remove all entries."""
        for path, _ in self.entries():
            with contextlib.suppress(OSError):
                path.unlink()

    def _remove_oldest(self) -> None:
        entries = self.entries()
        total = sum(size for _, size in entries)
        for path, size in entries:
            if total <= self.limit_bytes:
                break
            with contextlib.suppress(OSError):
                path.unlink()
            total -= size


@functools.cache
def shared_cache() -> SweepCache:
    """Return the cache of this user."""
    root = cache_root()
    return SweepCache(root and root / "sweeps")


@functools.cache
def code_version() -> str:
    """Return a hash of the sources of sttlab and of the versions of what they compute with."""
    home = Path(sttlab.__file__).parent
    found = versions(PACKAGES)
    del found["python"]
    made = hashlib.sha256(repr(sorted(found.items())).encode())
    for path in sorted(home.rglob("*.py")):
        made.update(path.read_bytes())
    return made.hexdigest()[:16]


def keep_what_is_heard_by(detectors: Iterable[str]) -> bool:
    """Whether the code of all detectors is in `code_version`: that of others may change unseen."""
    return all(DETECTORS[name].__module__.startswith("sttlab.") for name in detectors)


def key_of(*parts: object) -> str:
    """Make a key of everything that an entry follows from; `repr` must tell it apart."""
    return hashlib.sha256(repr((code_version(), *parts)).encode(errors="replace")).hexdigest()[:32]
