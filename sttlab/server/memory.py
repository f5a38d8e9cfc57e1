"""Returns free memory to the system, which glibc would keep."""

from __future__ import annotations

import asyncio
import ctypes
import sys

EVERY_S = 60.0

_trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None


def give_back() -> None:
    """Return unused memory to the system; takes some milliseconds.

    glibc keeps freed memory that lies below a block still in use, in up to eight arenas a core. As
    many threads allocate audio, that grows by some ten megabytes an hour. Without glibc, this does
    nothing.
    """
    if _trim:
        _trim(0)


async def keep_giving_back() -> None:
    """Return memory every `EVERY_S` seconds, until cancelled."""
    while True:
        await asyncio.sleep(EVERY_S)
        await asyncio.to_thread(give_back)
