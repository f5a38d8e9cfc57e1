"""Ports for servers that start later, or again, where they were."""

from __future__ import annotations

import random
import socket

# No system gives one of these to who asks for any port, so nobody takes it meanwhile by chance.
FIRST, LAST = 20_000, 30_000
_random = random.SystemRandom()  # tests in other processes choose too


def free_port() -> int:
    """Give a port that is free on all interfaces."""
    for _ in range(100):
        port = _random.randint(FIRST, LAST)
        with socket.socket() as probe:
            try:
                probe.bind(("", port))
            except OSError:
                continue
            return port
    raise AssertionError(f"no free port found from {FIRST} to {LAST}")
