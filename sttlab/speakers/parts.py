"""Utterances and their text, split where the speaker changes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby, pairwise

import numpy as np
from numpy.typing import NDArray

from sttlab.audio import SAMPLE_RATE
from sttlab.events import Segment, SpeakerTurn, Spoken, Transcript, Utterance


@dataclass(frozen=True, kw_only=True, eq=False)
class SpokenPart:
    """A part of an utterance in which one person speaks, or all of it.

    Attributes
    ----------
    start_s : float
        In the stream.
    samples : ndarray, shape (n,), float32
    speaker : str or None
        None if that isn't known.
    """

    start_s: float
    samples: NDArray[np.float32]
    speaker: str | None

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return len(self.samples) / SAMPLE_RATE

    @property
    def end_s(self) -> float:
        """Where it ends in the stream."""
        return self.start_s + self.duration_s

    def place(self, segment: Segment) -> Segment:
        """Give a segment of this part's text its place in the stream, and its speaker."""
        return replace(segment.later(self.start_s), speaker=self.speaker)


def split_by_speaker(utterance: Utterance, turns: Iterable[Spoken]) -> list[SpokenPart]:
    """Split an utterance in the middle of the pause between two speakers.

    A turn within another one, which somebody says meanwhile, splits nothing.

    Parameters
    ----------
    utterance : Utterance
    turns : iterable of Spoken
        In order.
    """
    heard: list[Spoken] = []
    for turn in turns:
        if turn.start_s >= utterance.end_s or turn.end_s <= utterance.start_s:
            continue
        if not heard or turn.end_s > heard[-1].end_s:
            heard.append(turn)
    runs = [list(run) for _, run in groupby(heard, key=lambda turn: turn.speaker)]
    cuts = [
        (min(before[-1].end_s, after[0].start_s) + after[0].start_s) / 2
        for before, after in pairwise(runs)
    ]
    places = [round((cut - utterance.start_s) * SAMPLE_RATE) for cut in cuts]
    bounds = [0, *places, len(utterance.samples)]
    speakers = [run[0].speaker or None for run in runs] or [None]
    return [
        SpokenPart(
            start_s=utterance.start_s + first / SAMPLE_RATE,
            samples=utterance.samples[first:stop],
            speaker=speaker,
        )
        for (first, stop), speaker in zip(pairwise(bounds), speakers, strict=True)
        if stop > first
    ]


def with_speakers(segments: Sequence[Segment], turns: Sequence[Spoken]) -> tuple[Segment, ...]:
    """Give each segment the speaker who says most of it; split it by words, if it has some."""
    found: list[Segment] = []
    for segment in segments:
        runs = groupby(
            segment.words, key=lambda word: speaker_between(word.start_s, word.end_s, turns)
        )
        said = [(speaker, tuple(words)) for speaker, words in runs]
        if len(said) < 2:
            speaker = speaker_between(segment.start_s, segment.end_s, turns)
            found.append(replace(segment, speaker=speaker))
            continue
        for speaker, words in said:
            text = " ".join(word.text.strip() for word in words)
            start_s, end_s = words[0].start_s, words[-1].end_s
            found.append(
                replace(
                    segment, start_s=start_s, end_s=end_s, text=text, words=words, speaker=speaker
                )
            )
    return tuple(found)


def speaker_between(start_s: float, end_s: float, turns: Sequence[Spoken]) -> str | None:
    """Say who speaks most between two times, or else next to them."""
    shared: dict[str, float] = defaultdict(float)
    apart: dict[str, float] = {}
    for turn in turns:
        overlap_s = min(end_s, turn.end_s) - max(start_s, turn.start_s)
        if turn.speaker and overlap_s > 0:
            shared[turn.speaker] += overlap_s
        elif turn.speaker:
            apart[turn.speaker] = max(overlap_s, apart.get(turn.speaker, overlap_s))
    candidates = shared or apart
    return max(candidates, key=lambda speaker: candidates[speaker]) if candidates else None


def said_by(transcript: Transcript, turns: tuple[SpeakerTurn, ...]) -> Transcript:
    """Give a text its speakers: all of them, and that of each segment."""
    segments = with_speakers(transcript.segments, turns)
    return replace(transcript, speakers=turns, segments=segments)
