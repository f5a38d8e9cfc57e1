"""Memory that is free, and that the system hasn't got back."""

from __future__ import annotations

import asyncio
import ctypes
import sys

EVERY_S = 60.0

_trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None


def give_back() -> None:
    """Give memory that nothing uses back to the system; takes some milliseconds.

    glibc keeps what is freed below something still in use, in up to eight arenas a core: of sound,
    which many threads allocate, some ten megabytes an hour. Elsewhere nothing happens.
    """
    if _trim:
        _trim(0)


async def keep_giving_back() -> None:
    """Do so now and then, until cancelled."""
    while True:
        await asyncio.sleep(EVERY_S)
        await asyncio.to_thread(give_back)
