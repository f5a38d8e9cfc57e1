"""File descriptors: each connection needs one, and a process may have few (256 on macOS)."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

if sys.platform != "win32":
    import resource

log = logging.getLogger("uvicorn.error")  # shown by a plain `uvicorn sttlab.server:app`

WANTED = 1024  # enough for all connections; select() in other code can't take more
MOST_SPARE = 64  # kept from connections, for decoders and the microphone; a quarter of few
EVERY_S = 60.0  # between log lines
REMEDY = "raise the limit, ulimit -n, and restart it"

_logged_at = -EVERY_S


def limit() -> int | None:
    """Return how many descriptors this process may open; None if the system doesn't say."""
    if sys.platform == "win32":
        return None
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return None if soft == resource.RLIM_INFINITY else soft


def raise_limit() -> None:
    """Let this process have WANTED descriptors, or as many as the system allows."""
    if sys.platform == "win32":
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = WANTED if hard == resource.RLIM_INFINITY else min(WANTED, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def are_scarce(newest: int) -> bool:
    """Whether a connection with this descriptor, the lowest that was free, is one too many."""
    most = limit()
    return most is not None and newest >= most - min(MOST_SPARE, most // 4)


def log_lack(what: str) -> None:
    """Log what can't be done for want of a descriptor, once in EVERY_S."""
    global _logged_at  # descriptors are the process's, and so is its log
    if time.monotonic() - _logged_at >= EVERY_S:
        _logged_at = time.monotonic()
        log.error("%s: this server may open %s files and connections; %s", what, limit(), REMEDY)


@contextmanager
def managed() -> Iterator[None]:
    """Raise the limit, and have the running loop log a lack of descriptors in one line.

    It goes on to accept connections a second later. By itself, asyncio logs a traceback for each
    place in the backlog.
    """
    raise_limit()
    loop = asyncio.get_running_loop()
    before = loop.get_exception_handler()

    def handle(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE):
            log_lack("connections have to wait")
        elif before:
            before(loop, context)
        else:
            loop.default_exception_handler(context)

    loop.set_exception_handler(handle)
    try:
        yield
    finally:
        loop.set_exception_handler(before)
