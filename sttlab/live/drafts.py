"""Text that grows while someone speaks."""

from __future__ import annotations

from sttlab.events import Partial

SHORTEST_PAUSE_S = 0.3  # between two drafts
ENGINE_SHARE = 0.5  # of the engine's time that drafts may take


class Drafts:
    """The hypotheses of the utterance that is going on, and when the next is due.

    Words that two hypotheses in a row begin with are stable (LocalAgreement-2: Liu, Spanakis and
    Niehues, "Low-latency sequence-to-sequence speech recognition and translation by partial
    hypothesis selection", Interspeech 2020).

    `due`, `asked` and `hurry` belong to one thread, `add` to another.
    """

    def __init__(self) -> None:
        self._utterance_id = -1
        self._last: list[str] = []
        self._stable: list[str] = []
        self._next_at = 0.0
        self._pace_s = SHORTEST_PAUSE_S

    def due(self, now: float) -> bool:
        """Whether it is time for the next draft."""
        return now >= self._next_at

    def asked(self, now: float) -> None:
        """Note that a draft was asked for."""
        self._next_at = now + self._pace_s

    def hurry(self) -> None:
        """Have the next draft at once, whatever the pace."""
        self._next_at = 0.0

    def add(self, utterance_id: int, text: str, engine_s: float) -> Partial | None:
        """Take a hypothesis of everything said so far; None if it adds nothing.

        Parameters
        ----------
        utterance_id : int
        text : str
        engine_s : float
            What it cost, which sets the pace of the next ones.
        """
        self._pace_s = max(SHORTEST_PAUSE_S, engine_s / ENGINE_SHARE)
        if utterance_id != self._utterance_id:
            self._utterance_id, self._last, self._stable = utterance_id, [], []
        words = text.split()
        if not words:
            return None
        agreed = _agreed(self._last, words)
        if len(agreed) > len(self._stable) and _begins(agreed, self._stable):
            self._stable = agreed
        self._last = words
        shown = self._stable + words[len(self._stable) :]
        return Partial(
            utterance_id=utterance_id, text=" ".join(shown), stable=" ".join(self._stable)
        )


def _agreed(one: list[str], other: list[str]) -> list[str]:
    count = 0
    for a, b in zip(one, other, strict=False):
        if a != b:
            break
        count += 1
    return other[:count]


def _begins(words: list[str], start: list[str]) -> bool:
    return words[: len(start)] == start
