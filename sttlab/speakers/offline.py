"""Who speaks in a recording: all of its pieces are grouped at once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from sttlab.config import SpeakerConfig
from sttlab.errors import ConfigError
from sttlab.events import SpeakerTurn, Utterance
from sttlab.speakers import EMBEDDERS, same_speaker
from sttlab.speakers.grouping import group
from sttlab.speakers.overlap import Together, add_those_meanwhile
from sttlab.speakers.pieces import Piece, VoiceFinder


def check_count(num_speakers: int | None) -> None:
    """Raise ConfigError if it is neither None nor a positive integer."""
    if num_speakers is not None and (type(num_speakers) is not int or num_speakers < 1):
        raise ConfigError(f"num_speakers must be 1 or more, not {num_speakers!r}")


def speaker_turns(
    utterances: Iterable[Utterance],
    config: SpeakerConfig | None = None,
    *,
    num_speakers: int | None = None,
) -> list[SpeakerTurn]:
    """Find who speaks in the utterances of a recording, one person at a time. Blocks.

    Parameters
    ----------
    utterances : iterable of Utterance
    config : SpeakerConfig, optional
    num_speakers : int, optional
        How many people speak, if it is known.

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
    check_count(num_speakers)
    config = config or SpeakerConfig()
    finder = VoiceFinder(EMBEDDERS[config.embedder](), config.change)
    pieces = [piece for utterance in utterances for piece in finder.find(utterance)]
    return turns_of(pieces, config, num_speakers)


def turns_of(
    pieces: Sequence[Piece],
    config: SpeakerConfig,
    num_speakers: int | None = None,
    together: Together | None = None,
) -> list[SpeakerTurn]:
    """Group pieces by speaker, and say who speaks when, in order.

    With `together`, voices of its windows are grouped along, and those who speak beside the pieces
    are added.
    """
    voices = together.voices if together else ()
    vectors = [piece.vector for piece in pieces] + [voice.vector for voice in voices]
    if not vectors:
        return []
    stacked = np.stack(vectors)
    weights = np.array([p.voiced_s for p in pieces] + [v.weight_s for v in voices])
    groups = group(
        stacked, weights, same=same_speaker(config), least=config.least_s, count=num_speakers
    )
    spans = [
        (start_s, end_s, int(number))
        for piece, number in zip(pieces, groups, strict=False)
        for start_s, end_s in piece.spans
    ]
    if together:
        spans = add_those_meanwhile(together, groups, stacked, weights, spans)
    if not pieces and sum(b - a for a, b, _ in spans) < config.least_s:
        return []  # music is taken for a voice for a moment
    spans.sort()
    order = {number: place for place, number in enumerate(dict.fromkeys(n for *_, n in spans))}
    return [
        SpeakerTurn(start_s=start_s, end_s=end_s, speaker=speaker_name(order[number]))
        for start_s, end_s, number in spans
    ]


def speaker_name(number: int) -> str:
    """Name a speaker whose name isn't known, counting from 0."""
    return f"Speaker {number + 1}"
