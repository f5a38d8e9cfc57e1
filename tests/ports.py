"""Free ports for servers that start later, or restart at the same address."""

from __future__ import annotations

import random
import socket

# These are outside the ephemeral ports, so the system gives none of them to another program.
FIRST, LAST = 20_000, 30_000
_random = random.SystemRandom()  # tests in other processes choose ports at the same time


def free_port() -> int:
    """Return a port that is free on all interfaces."""
    for _ in range(100):
        port = _random.randint(FIRST, LAST)
        with socket.socket() as probe:
            try:
                probe.bind(("", port))
            except OSError:
                continue
            return port
    raise AssertionError(f"no free port found from {FIRST} to {LAST}")
