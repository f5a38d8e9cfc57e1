"""Who speaks in a recording: all of its pieces are grouped at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np

from sttlab.config import SpeakerConfig
from sttlab.errors import ConfigError
from sttlab.events import SpeakerTurn, Utterance
from sttlab.speakers import EMBEDDERS, same_speaker
from sttlab.speakers.grouping import group
from sttlab.speakers.pieces import Piece, VoiceFinder


def speaker_turns(
    utterances: Iterable[Utterance],
    config: SpeakerConfig | None = None,
    *,
    num_speakers: int | None = None,
    progress: Callable[[float], None] | None = None,
) -> list[SpeakerTurn]:
    """Find who speaks in the utterances of a recording. Blocks.

    Parameters
    ----------
    utterances : iterable of Utterance
    config : SpeakerConfig, optional
    num_speakers : int, optional
        How many people speak, if it is known.
    progress : callable, optional
        Called after each utterance with its end in seconds.

    Returns
    -------
    list of SpeakerTurn
        In order. A sound without a voice, such as a cough or music, has none.

    Raises
    ------
    ConfigError
        If `num_speakers` is not a positive integer.
    MissingExtra
        If the extra `speakers` is not installed.
    ModelError
        If the weights are not what they should be.
    """
    if num_speakers is not None and (type(num_speakers) is not int or num_speakers < 1):
        raise ConfigError(f"num_speakers must be 1 or more, not {num_speakers!r}")
    config = config or SpeakerConfig()
    finder = VoiceFinder(EMBEDDERS[config.embedder](), config.change)
    pieces: list[Piece] = []
    for utterance in utterances:
        pieces += finder.find(utterance)
        if progress:
            progress(utterance.end_s)
    return turns_of(pieces, config, num_speakers)


def turns_of(
    pieces: Sequence[Piece], config: SpeakerConfig, num_speakers: int | None = None
) -> list[SpeakerTurn]:
    """Group pieces by speaker, and say who speaks when, in order."""
    if not pieces:
        return []
    groups = group(
        np.stack([piece.vector for piece in pieces]),
        np.array([piece.voiced_s for piece in pieces]),
        same=same_speaker(config),
        least=config.least_s,
        count=num_speakers,
    )
    turns = [
        SpeakerTurn(start_s=start_s, end_s=end_s, speaker=speaker_name(number))
        for piece, number in zip(pieces, groups, strict=True)
        for start_s, end_s in piece.spans
    ]
    return sorted(turns, key=lambda turn: turn.start_s)


def speaker_name(number: int) -> str:
    """Name a speaker whose name isn't known, counting from 0."""
    return f"Speaker {number + 1}"
