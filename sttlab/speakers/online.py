"""Who speaks, while people talk: each utterance has speakers at once, and later ones correct them.

All that is remembered is grouped anew with each utterance, which takes milliseconds. What is older
than the last pieces is remembered as one mean for each speaker, so that memory is bounded.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sttlab.config import SpeakerConfig
from sttlab.errors import ConfigError
from sttlab.events import SpeakerTurn
from sttlab.speakers import same_speaker
from sttlab.speakers.grouping import group
from sttlab.speakers.offline import speaker_name
from sttlab.speakers.pieces import Piece

PIECES = 250  # remembered one by one; older ones can't be corrected any more
SPEAKERS = 50  # told apart at most
LEARNT = 100  # voices that a person has named, merged or split off
LONGEST_NAME = 60
NOBODY = -1


@dataclass(eq=False)
class _Voice:
    """A piece, or several of one speaker that are older."""

    vector: NDArray[np.float32]  # its length is `weight_s`
    weight_s: float
    speaker: int
    utterance_id: int | None = None
    spans: tuple[tuple[float, float], ...] = ()


class OnlineSpeakers:
    """Gives each utterance its speakers, and corrects them. Not thread-safe.

    Parameters
    ----------
    config : SpeakerConfig
    voices : iterable of (str, ndarray)
        Names and embeddings of those whose voices are known.

    Attributes
    ----------
    names : dict of str to str
        What people call a speaker, by the speaker that turns have.
    merged : dict of str to str
        Speakers that turned out to be another one, and which one.
    """

    def __init__(
        self, config: SpeakerConfig, voices: Iterable[tuple[str, NDArray[np.float32]]] = ()
    ) -> None:
        self.names: dict[str, str] = {}
        self.merged: dict[str, str] = {}
        self._config = config
        self._pieces: deque[_Voice] = deque()  # bounded by PIECES
        self._older: dict[int, _Voice] = {}  # by speaker, bounded by SPEAKERS
        self._learnt: deque[_Voice] = deque(maxlen=LEARNT)  # whose speaker a person has said
        self._next = 0
        for name, vector in voices:
            self._learn(vector * config.least_s, config.least_s, self._next)
            self.names[speaker_name(self._next)] = name
            self._next += 1

    def begin(self) -> None:
        """Begin a stream, whose utterances are counted anew: who is known stays known."""
        while self._pieces:
            self._condense(self._pieces.popleft())

    # -- what is heard ------------------------------------------------------------------------

    def add(self, utterance_id: int, pieces: Sequence[Piece]) -> dict[int, tuple[SpeakerTurn, ...]]:
        """Take the next utterance; return the speakers of those in which they have changed.

        The new one is among them, unless nobody speaks in it.
        """
        before = self._told()
        self._pieces += [
            _Voice(p.vector * np.float32(p.voiced_s), p.voiced_s, NOBODY, utterance_id, p.spans)
            for p in pieces
        ]
        self._regroup()
        changed = self._changed_since(before)
        while len(self._pieces) > PIECES:
            self._condense(self._pieces.popleft())
        return changed

    def _regroup(self) -> None:
        voices = [*self._learnt, *self._older.values(), *self._pieces]
        if not voices:
            return
        sums = np.stack([voice.vector for voice in voices])
        vectors = sums / np.linalg.norm(sums, axis=1, keepdims=True)
        weights = np.array([voice.weight_s for voice in voices])
        said = [voice.speaker for voice in self._learnt]
        known = np.array(said + [NOBODY] * (len(voices) - len(said)))
        options: Any = {
            "same": same_speaker(self._config),
            "least": self._config.least_s,
            "fixed": known,
        }
        groups = group(vectors, weights, **options)
        if groups.max() >= SPEAKERS:
            groups = group(vectors, weights, **options, count=SPEAKERS)
        if not len(said) and weights.max() < self._config.least_s:
            return  # too little to know anybody by
        self._name_groups(voices, weights, groups, len(said))

    def _name_groups(
        self,
        voices: list[_Voice],
        weights: NDArray[np.float64],
        groups: NDArray[np.intp],
        learnt: int,
    ) -> None:
        """Give each group the speaker that most of it had before, or a new one."""
        from scipy.optimize import linear_sum_assignment

        before = np.array([voice.speaker for voice in voices])
        speakers = np.unique(before[before != NOBODY])
        shared = np.zeros((groups.max() + 1, len(speakers)))
        for column, speaker in enumerate(speakers):
            mine = before == speaker
            np.add.at(shared[:, column], groups[mine], weights[mine])
        for voice, number in zip(voices[:learnt], groups[:learnt], strict=True):
            shared[number, speakers == voice.speaker] += 1e6
        rows, columns = linear_sum_assignment(-shared)
        found = {r: int(speakers[c]) for r, c in zip(rows, columns, strict=True) if shared[r, c]}
        for number in range(len(shared)):
            if number not in found:
                found[number] = self._next
                self._next += 1
        older = set(self._older)
        for voice, number in zip(voices[learnt:], groups[learnt:], strict=True):
            voice.speaker = found[int(number)]
        self._rejoin(older)

    def _rejoin(self, older: set[int]) -> None:
        """Have what is older follow its group, and say which speakers turned out to be others."""
        voices = [(speaker, self._older.pop(speaker)) for speaker in older]
        for speaker, voice in voices:
            if voice.speaker != speaker:
                self._alias(speaker, voice.speaker)
            self._condense(voice)

    def _condense(self, voice: _Voice) -> None:
        if voice.speaker == NOBODY:
            return
        mine = self._older.setdefault(
            voice.speaker, _Voice(np.zeros_like(voice.vector), 0.0, voice.speaker)
        )
        mine.vector = mine.vector + voice.vector
        mine.weight_s += voice.weight_s

    def _alias(self, speaker: int, other: int) -> None:
        names = speaker_name(speaker), speaker_name(other)
        self.merged = {a: names[1] if b == names[0] else b for a, b in self.merged.items()}
        self.merged[names[0]] = names[1]
        self.merged.pop(names[1], None)

    # -- what a person says -------------------------------------------------------------------

    def rename(self, speaker: str, name: str) -> None:
        """Call a speaker by a name, in what was said and in what will be said.

        Raises
        ------
        ConfigError
            If there is no such speaker, or the name is empty or too long.
        """
        number = self._number(speaker)
        name = " ".join(name.split())
        if not 0 < len(name) <= LONGEST_NAME:
            raise ConfigError(f"a name has 1 to {LONGEST_NAME} characters, not {len(name)}")
        if not any(voice.speaker == number for voice in self._learnt):
            self._learn(*self._mean(number), number)
        self.names[speaker_name(number)] = name

    def merge(self, speaker: str, into: str) -> dict[int, tuple[SpeakerTurn, ...]]:
        """Take two speakers for one; return the speakers of the utterances that this changes.

        Raises
        ------
        ConfigError
            If there are no such two speakers.
        """
        number, other = self._number(speaker), self._number(into)
        if number == other:
            raise ConfigError(f"{speaker} and {into} are one speaker already")
        before = self._told()
        for one in (number, other):
            self._learn(*self._mean(one), other)
        for voice in (*self._learnt, *self._pieces):
            if voice.speaker == number:
                voice.speaker = other
        if old := self._older.pop(number, None):
            old.speaker = other
            self._condense(old)
        self._alias(number, other)
        self.names.pop(speaker_name(number), None)
        return self._changed_since(before)

    def split(self, utterance_id: int) -> dict[int, tuple[SpeakerTurn, ...]]:
        """Say that an utterance is of a speaker of its own; return what this changes.

        Raises
        ------
        ConfigError
            If nobody speaks in it, or it is too long ago.
        """
        mine = [voice for voice in self._pieces if voice.utterance_id == utterance_id]
        if not mine or mine[0].speaker == NOBODY:
            raise ConfigError(f"utterance {utterance_id} has no speaker, or is too long ago")
        before = self._told()
        old = {voice.speaker for voice in mine}
        for voice in mine:
            voice.speaker = self._next
        split, weight_s = self._mean(self._next)
        for speaker in old:
            if any(voice.speaker == speaker for voice in self._voices()):
                rest = self._mean(speaker)
                self._unlearn(speaker, split, rest[0])
                self._learn(*rest, speaker)
        self._learn(split, weight_s, self._next)
        self._next += 1
        self._regroup()
        return self._changed_since(before)

    # -- how things stand ---------------------------------------------------------------------

    def vector(self, speaker: str) -> NDArray[np.float32]:
        """Return the mean embedding of a speaker, to know the voice by later.

        Raises
        ------
        ConfigError
            If there is no such speaker.
        """
        total, _ = self._mean(self._number(speaker))
        found: NDArray[np.float32] = total / np.linalg.norm(total)
        return found

    def _voices(self) -> list[_Voice]:
        return [*self._older.values(), *self._pieces]

    def _mean(self, speaker: int) -> tuple[NDArray[np.float32], float]:
        mine = [v for v in self._voices() if v.speaker == speaker]
        mine = mine or [v for v in self._learnt if v.speaker == speaker]
        total: NDArray[np.float32] = np.sum([v.vector for v in mine], axis=0)
        return total, sum(v.weight_s for v in mine)

    def _number(self, speaker: str) -> int:
        speaker = self.merged.get(speaker, speaker)
        voices = (*self._learnt, *self._voices())
        numbers = {v.speaker for v in voices if v.speaker != NOBODY}
        found = [
            n for n in numbers if speaker in (speaker_name(n), self.names.get(speaker_name(n)))
        ]
        if not found:
            raise ConfigError(f"there is no speaker {speaker!r}")
        return found[0]

    def _learn(self, vector: NDArray[np.float32], weight_s: float, speaker: int) -> None:
        self._learnt.append(_Voice(vector, weight_s, speaker))

    def _unlearn(self, speaker: int, split: NDArray[np.float32], rest: NDArray[np.float32]) -> None:
        """Forget voices learnt for a speaker that are rather the one that is split off."""
        direction = split / np.linalg.norm(split) - rest / np.linalg.norm(rest)
        kept = [v for v in self._learnt if v.speaker != speaker or v.vector @ direction <= 0]
        self._learnt = deque(kept, maxlen=LEARNT)

    def _told(self) -> dict[int, tuple[SpeakerTurn, ...]]:
        told: dict[int, list[SpeakerTurn]] = {}
        for voice in self._pieces:
            if voice.utterance_id is not None and voice.speaker != NOBODY:
                told.setdefault(voice.utterance_id, []).extend(
                    SpeakerTurn(start_s=a, end_s=b, speaker=speaker_name(voice.speaker))
                    for a, b in voice.spans
                )
        return {
            utterance_id: tuple(sorted(turns, key=lambda turn: turn.start_s))
            for utterance_id, turns in told.items()
        }

    def _changed_since(
        self, before: dict[int, tuple[SpeakerTurn, ...]]
    ) -> dict[int, tuple[SpeakerTurn, ...]]:
        return {i: turns for i, turns in self._told().items() if before.get(i) != turns}
