"""What a source of sound is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from sttlab.events import Event


@dataclass(frozen=True, eq=False)
class Block:
    """A stretch of sound as a source delivers it.

    Attributes
    ----------
    samples : ndarray, shape (n,), float32
        Mono at ``audio.SAMPLE_RATE``; any length, also 0.
    lost_samples : int
        Samples lost just before this block, so that stream time stays true.
    events : tuple of Event
        What the source has to say (device lost, restored, silent), before this block's samples.
    """

    samples: NDArray[np.float32]
    lost_samples: int = 0
    events: tuple[Event, ...] = ()


class AudioSource(Protocol):
    """Where sound comes from. After `close` it may open again.

    One thread at a time calls it, except that any may close it: a `read` that waits then ends.
    """

    @property
    def name(self) -> str:
        """What a person calls it."""

    def open(self) -> None:
        """Get ready to deliver, from the start.

        Raises
        ------
        SourceError
            If there is no sound to be had, with the remedy.
        """

    def read(self, timeout_s: float) -> Block | None:
        """Wait for the next block, for at most ``timeout_s`` seconds.

        Returns
        -------
        Block or None
            An empty block if nothing came in time; None when the source has ended or isn't open.
        """

    def close(self) -> None:
        """Let go of everything. Does nothing when closed already."""
