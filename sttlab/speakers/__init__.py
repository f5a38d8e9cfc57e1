"""Whose voice it is: the embedders that there are, and what makes speakers of their embeddings.

A new embedder needs one file and one line at the end of this one. tests/unit/test_embedders.py is
the contract of all embedders.
"""

from __future__ import annotations

from sttlab.config import SpeakerConfig
from sttlab.errors import ConfigError
from sttlab.speakers.base import VoiceEmbedder
from sttlab.speakers.campplus import CamPlusPlus

EMBEDDERS: dict[str, type[VoiceEmbedder]] = {}
"""Every registered embedder by its name."""


def register(embedder: type[VoiceEmbedder]) -> None:
    """Make an embedder known, so that `SpeakerConfig.embedder` may name it.

    Raises
    ------
    ConfigError
        If its name is taken.
    """
    if EMBEDDERS.get(embedder.name, embedder) is not embedder:
        raise ConfigError(f"there is an embedder {embedder.name!r} already: choose another name")
    EMBEDDERS[embedder.name] = embedder


def same_speaker(config: SpeakerConfig) -> float:
    """Return the mean dot product from which two groups are one speaker."""
    return EMBEDDERS[config.embedder].same if config.same is None else config.same


register(CamPlusPlus)
