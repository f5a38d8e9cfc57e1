"""Limits on what one client sends."""

from __future__ import annotations

import time
from collections.abc import Callable

MAX_MESSAGE_BYTES = 65536


class Allowance:
    """A rate limit with bursts: a token bucket.

    Parameters
    ----------
    per_s : float
    burst : float
        What may be taken at once at first.
    most : float, optional
        The bucket's size: what may be taken at once after a rest; by default `burst`.
    clock : callable
        Wall time in seconds.

    Examples
    --------
    >>> bytes_allowed = Allowance(1000, burst=5000)
    >>> bytes_allowed.take(5000), bytes_allowed.take(5000)
    (True, False)
    """

    def __init__(
        self,
        per_s: float,
        burst: float,
        most: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._per_s = per_s
        self._most = burst if most is None else most
        self._clock = clock
        self._left = burst
        self._at = clock()

    def take(self, amount: float = 1) -> bool:
        """Take an amount if the limit allows it; say whether it did."""
        now = self._clock()
        self._left = min(self._most, self._left + (now - self._at) * self._per_s)
        self._at = now
        if amount > self._left:
            return False
        self._left -= amount
        return True
