"""How far slow work is, in words."""

from __future__ import annotations

import time

FIRST_S = 0.5  # of work, before which no estimate is worth its words


class Estimate:
    """Of the time that is left of work which begins when this is made."""

    def __init__(self) -> None:
        self._began = time.monotonic()

    def words(self, share: float) -> str:
        """Say which share is done, and how long the rest takes at the speed so far."""
        took_s = time.monotonic() - self._began
        if not share or took_s < FIRST_S:
            return f"{share:.0%}"
        return f"{share:.0%}, about {max(1, round(took_s * (1 / share - 1)))} s left"
