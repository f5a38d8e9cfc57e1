"""The forms in which a client may send its audio."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def _mulaw_table() -> NDArray[np.float32]:
    codes = ~np.arange(256)
    magnitude = (((codes & 0x0F) << 3) + 0x84 << ((codes & 0x70) >> 4)) - 0x84
    signed = np.where(codes & 0x80, -magnitude, magnitude)
    return (signed / 32768).astype(np.float32)


MULAW = _mulaw_table()  # G.711: a byte's sample in -1..1


def from_mulaw(data: bytes) -> NDArray[np.float32]:
    """Decode mu-law samples to -1..1."""
    samples: NDArray[np.float32] = MULAW[np.frombuffer(data, "u1")]
    return samples
