"""What results follow from: the machine at hand, versions of packages, and files by checksum."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Iterable
from functools import cache
from importlib import metadata
from pathlib import Path

BLOCK_BYTES = 1 << 20  # that are hashed at a time


@cache
def processor() -> str:
    """Name the processor, as the system does."""
    try:
        info = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:  # there is none but on Linux
        info = ""
    names = [line.partition(":")[2] for line in info.splitlines() if line.startswith("model name")]
    return names[0].strip() if names else platform.processor() or platform.machine()


def versions(packages: Iterable[str]) -> dict[str, str]:
    """Return the versions of Python and of those packages that are installed."""
    found = {"python": platform.python_version()}
    for name in packages:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file. Raises OSError if it can't be read."""
    made = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(BLOCK_BYTES):
            made.update(block)
    return made.hexdigest()
