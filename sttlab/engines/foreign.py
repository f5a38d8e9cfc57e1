"""Whether what a model that knows only English makes of speech shows that it is not English."""

from __future__ import annotations

import math
from collections import deque

from sttlab.engines.base import Transcription

# See docs/measurements.md.
DOUBT_LOG_PROB = -0.85
WINDOW_S = 15.0  # of speech that is judged at once
LEAST_S = 5.0  # of speech, before it is judged


class EnglishOnly:
    """Watches the answers of an English-only model for speech in another language.

    Such a model writes English, whatever it hears. It is far less sure of what it invents for
    another language than of English, even over a telephone or in a noisy room; only speech that
    is far from the microphone makes it as unsure.
    """

    def __init__(self) -> None:
        self._recent: deque[tuple[float, float]] = deque()
        self._said = False

    def add(self, answer: Transcription, duration_s: float) -> str | None:
        """Take the answer to an utterance; say, once, if the speech is likely not English."""
        if answer.english_log_prob is None:
            return None
        self._recent.append((duration_s, answer.english_log_prob))
        speech_s = sum(seconds for seconds, _ in self._recent)
        while speech_s - self._recent[0][0] >= WINDOW_S:
            speech_s -= self._recent.popleft()[0]
        if speech_s < LEAST_S:
            return None
        mean = sum(seconds * log_prob for seconds, log_prob in self._recent) / speech_s
        doubts, said = mean < DOUBT_LOG_PROB, self._said
        self._said = doubts
        if not doubts or said:
            return None
        return (
            f"this model knows only English, and is {math.exp(mean):.0%} confident of this speech. "
            "If it is in another language, the text is invented: take a multilingual model, such "
            "as base"
        )
