"""Scores of who was said to speak while people talked: at first, in the end, and how soon."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

from sttlab.evaluate.labels import Labels, Turn
from sttlab.evaluate.speaker_score import SpeakerScores, score_speakers
from sttlab.events import Event, SpeakerNames, SpeakersFound, SpeakerTurn, Transcript

WITHIN_S = 1.0  # of a text, after which a reader has gone on

Told = tuple[float, tuple[SpeakerTurn, ...]]
"""How long after the text it was told who speaks, and who does."""


@dataclass(frozen=True, kw_only=True)
class LiveSpeakerScores:
    """How well the speakers are told apart while people talk. `score_live_speakers` makes it.

    Attributes
    ----------
    at_first : SpeakerScores
        Of what was said of each utterance first: with its text, or as soon as it was known.
    in_the_end : SpeakerScores
        Of what stood after the last correction.
    after_s : tuple of float or None
        For each labelled turn, how long after its text the speaker was right for good, in seconds;
        0 if it came with the text, infinity if only two names that became one made it right, and
        None if it was wrong in the end.
    """

    at_first: SpeakerScores
    in_the_end: SpeakerScores
    after_s: tuple[float | None, ...]

    def right_within(self, seconds: float) -> float:
        """Return the share of turns whose speaker is right so soon after the text; 1 of none."""
        right = [after_s is not None and after_s <= seconds for after_s in self.after_s]
        return sum(right) / len(right) if right else 1.0

    def _repr_html_(self) -> str:
        scores = (self.at_first, self.in_the_end)
        rows = [
            ("", "at first", "in the end"),
            ("error rate", *(f"{one.diarization_error_rate:.1%}" for one in scores)),
            ("confusion of speakers", *(f"{one.confusion_s:.1f} s" for one in scores)),
            ("turns with the right speaker", *map(self._share, (0.0, math.inf))),
            (f"… {WITHIN_S:g} s after the text", self._share(WITHIN_S), ""),
        ]
        cells = "".join(
            f'<tr><th style="text-align:left">{name}</th><td>{first}</td><td>{last}</td></tr>'
            for name, first, last in rows
        )
        return f"<table><tbody>{cells}</tbody></table>"

    def _share(self, seconds: float) -> str:
        return f"{self.right_within(seconds):.1%}"


def score_live_speakers(
    events: Iterable[Event], truth: Labels, *, collar_s: float = 0.25, overlap: bool = True
) -> LiveSpeakerScores:
    """Compare who was said to speak while people talked with labelled truth.

    Parameters
    ----------
    events : iterable of Event
        Of one start of a session with speakers, in order, such as `Session.subscribe` gives them;
        others than `Transcript`, `SpeakersFound` and `SpeakerNames` are ignored.
    truth : Labels
    collar_s, overlap
        See `score_speakers`.

    Raises
    ------
    ConfigError
        If the collar is negative.
    MissingExtra
        If the extra `speakers` is not installed.

    Examples
    --------
    >>> heard = []  # doctest: +SKIP
    >>> session.subscribe(heard.append)  # doctest: +SKIP
    >>> score_live_speakers(heard, labels)  # doctest: +SKIP
    """
    told: dict[int, list[Told]] = {}
    merged: dict[str, str] = {}
    for event in events:
        if isinstance(event, Transcript) and event.speakers:
            told[event.utterance_id] = [(0.0, event.speakers)]
        elif isinstance(event, SpeakersFound):
            told.setdefault(event.utterance_id, []).append((event.late_s, event.turns))
        elif isinstance(event, SpeakerNames):
            merged = event.merged
    for known in told.values():
        _, turns = known[-1]
        one = [replace(turn, speaker=merged.get(turn.speaker, turn.speaker)) for turn in turns]
        if tuple(one) != turns:
            known.append((math.inf, tuple(one)))
    first, last = (
        score_speakers(
            [turn for known in told.values() for turn in known[at][1]],
            truth,
            collar_s=collar_s,
            overlap=overlap,
        )
        for at in (0, -1)
    )
    called = {one.speaker: one.found_as for one in last.each}
    after_s = tuple(
        _right_after(turn, called.get(turn.speaker), list(told.values()))
        for turn in truth
        if turn.speaker
    )
    return LiveSpeakerScores(at_first=first, in_the_end=last, after_s=after_s)


def _right_after(turn: Turn, name: str | None, told: list[list[Told]]) -> float | None:
    """Say how long after the text a turn is said to be of a speaker for good."""
    shares = [max(sum(_shares(turn, turns).values()) for _, turns in known) for known in told]
    if name is None or not any(shares):
        return None
    after_s = None
    for late_s, turns in told[shares.index(max(shares))]:
        shared = _shares(turn, turns)
        if not shared or max(shared, key=lambda speaker: shared[speaker]) != name:
            after_s = None
        elif after_s is None:
            after_s = late_s
    return after_s


def _shares(turn: Turn, found: Iterable[SpeakerTurn]) -> dict[str, float]:
    """Return how much of a turn is found as each speaker, in seconds."""
    shared: dict[str, float] = {}
    for one in found:
        overlap_s = min(turn.end_s, one.end_s) - max(turn.start_s, one.start_s)
        if overlap_s > 0:
            shared[one.speaker] = shared.get(one.speaker, 0.0) + overlap_s
    return shared
