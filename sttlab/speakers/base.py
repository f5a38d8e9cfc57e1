"""What a voice embedder is: it turns speech into vectors that are close for the same voice."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float32]
"""Shape (n, size): n embeddings, each of length 1."""


class VoiceEmbedder(ABC):
    """Turns speech into embeddings, whose dot product says how alike two voices are.

    An embedder is a subclass in a file of its own that describes itself by the attributes below.
    `sttlab.speakers.register` makes it known; tests/unit/test_embedders.py holds what all keep to.
    Making one is cheap; `load` loads its network. Only one thread at a time calls its methods.

    Attributes
    ----------
    name : str
        As `SpeakerConfig.embedder` holds it.
    label : str
        What people call it, within a sentence.
    size : int
        Numbers of an embedding.
    same : float
        Mean dot product of two groups of embeddings from which they are taken for one speaker.
    extra : str
        The extra of sttlab that brings the packages it needs.
    """

    name: ClassVar[str]
    label: ClassVar[str]
    size: ClassVar[int]
    same: ClassVar[float]
    extra: ClassVar[str]

    @classmethod
    @abstractmethod
    def require(cls) -> None:
        """Raise MissingExtra if its packages are not installed. Loads nothing."""

    @abstractmethod
    def load(self) -> None:
        """Load the network; does nothing if it is loaded. May convert weights, for seconds.

        Raises
        ------
        MissingExtra
            If a package is not installed.
        ModelError
            If the weights are not what they should be.
        """

    @abstractmethod
    def hear(self, samples: NDArray[np.float32]) -> Any:
        """Run the network over a stretch of speech. Blocks; loads it first if need be.

        Parameters
        ----------
        samples : ndarray, shape (n,), float32, n > 0
            Mono at SAMPLE_RATE.

        Returns
        -------
        Any
            What `pool` takes.
        """

    @abstractmethod
    def pool(self, heard: Any, weights: NDArray[np.float32]) -> Vectors:
        """Embed parts of what was heard.

        Parameters
        ----------
        heard : Any
            What `hear` returned.
        weights : ndarray, shape (parts, frames), float32
            For each part, how much each frame counts; `frame_count` says how many there are. A part
            has a frame that counts.

        Returns
        -------
        ndarray, shape (parts, size), float32
        """


FRAME_SAMPLES = 320  # 20 ms: the grid on which parts of speech are told apart


def frame_count(samples: int) -> int:
    """How many frames cover so many samples."""
    return -(-samples // FRAME_SAMPLES)
