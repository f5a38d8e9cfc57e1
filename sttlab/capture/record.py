"""Recording from a microphone for a given time."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable

import numpy as np

from sttlab.audio import SAMPLE_RATE, Recording
from sttlab.capture.microphone import Microphone
from sttlab.errors import ConfigError, DeviceUnavailable
from sttlab.events import DeviceLost, DeviceSilent

log = logging.getLogger(__name__)

LONGEST_S = 3600


def record(
    seconds: float,
    device: int | str | None = None,
    *,
    progress: Callable[[float], None] | None = None,
) -> Recording:
    """Record from a microphone. Blocks for that time; Ctrl-C or a kernel's interrupt ends it.

    Parameters
    ----------
    seconds : float in (0, 3600]
    device : int, str or None
        As for `Microphone`.
    progress : callable, optional
        Called with the seconds recorded so far.

    Raises
    ------
    ConfigError
        If `seconds` is out of bounds.
    DeviceUnavailable
        If the microphone can't be opened, or disappears while it records.
    """
    if not (math.isfinite(seconds) and 0 < seconds <= LONGEST_S):
        raise ConfigError(f"seconds must be above 0 and at most {LONGEST_S}, not {seconds!r}")
    wanted = round(seconds * SAMPLE_RATE)
    pieces: list[np.ndarray] = []
    length = 0
    source = Microphone(device)
    source.open()
    try:
        while length < wanted:
            block = source.read(0.1)
            assert block is not None  # a microphone ends only when it is closed
            for event in block.events:
                if isinstance(event, DeviceLost):
                    raise DeviceUnavailable(
                        f"{source.name} vanished after {length / SAMPLE_RATE:.1f} s: plug it in "
                        "again, and record again"
                    )
                if isinstance(event, DeviceSilent):
                    log.warning(event.message)
            pieces += [np.zeros(block.lost_samples, np.float32), block.samples]
            length += block.lost_samples + len(block.samples)
            if progress:
                progress(min(length, wanted) / SAMPLE_RATE)
    finally:
        source.close()
    return Recording(np.concatenate(pieces)[:wanted], origin=source.name)
