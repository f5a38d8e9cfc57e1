"""The interface of an audio source."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from sttlab.events import Event


@dataclass(frozen=True, eq=False)
class Block:
    """A block of audio as a source delivers it.

    Attributes
    ----------
    samples : ndarray, shape (n,), float32
        Mono at ``audio.SAMPLE_RATE``, of any length, including 0.
    lost_samples : int
        Samples lost just before this block. Stream time counts them.
    events : tuple of Event
        Events of the source (device lost, restored, silent) from before this block's samples.
    """

    samples: NDArray[np.float32]
    lost_samples: int = 0
    events: tuple[Event, ...] = ()


class AudioSource(Protocol):
    """A source of audio. It may be opened again after `close`.

    One thread at a time calls its methods, except that any thread may call `close`, which ends a
    `read` that waits.
    """

    @property
    def name(self) -> str:
        """Name of the source, for people to read."""

    def open(self) -> None:
        """Open the source at its beginning.

        Raises
        ------
        SourceError
            If the source can't deliver audio; the message says the remedy.
        """

    def read(self, timeout_s: float) -> Block | None:
        """Wait for the next block, for at most ``timeout_s`` seconds.

        Returns
        -------
        Block or None
            An empty block if no audio came in time; None if the source has ended or isn't open.
        """

    def close(self) -> None:
        """Release the device or file. Idempotent."""
