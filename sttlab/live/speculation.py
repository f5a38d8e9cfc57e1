"""Text before an utterance is over: speculative transcription in its pauses, and partials."""

from __future__ import annotations

import math
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from sttlab.audio import SAMPLE_RATE
from sttlab.engines.base import Transcription
from sttlab.events import Level, Partial, Utterance
from sttlab.live.worker import Answer, Job, Priority

EARLIEST_S = 0.1  # of silence before an attempt: longer than a consonant keeps the voice
MARGIN_S = 0.05  # by which an attempt is to be done before the timeout
PARTIAL_FROM_S = 0.4  # of speech: the text of less is seldom a word that was said
PARTIAL_EVERY_S = 0.3  # at the least from one to the next
ENGINE_SHARE = 0.3  # of the engine's time that partials may take
NEED_OF, NEED_FROM, NEED_QUANTILE = 30, 3, 0.9  # answers that predict the next one, at the least

Result: TypeAlias = tuple[Answer, float]
"""What the engine answered, and the seconds that it took."""


@dataclass(eq=False)
class Attempt:
    """The transcription of an utterance as far as it has come.

    Attributes
    ----------
    utterance : Utterance
    adopted : bool
        Whether it has become the transcription of the whole utterance. Guarded by the lock of the
        `Speculation` that made it, as is `result`.
    result : Result or None
        None until the engine is done.
    dropped : bool
        Whether speech went on after it. Written by the thread of capture.
    """

    utterance: Utterance
    adopted: bool = False
    result: Result | None = None
    dropped: bool = False


@dataclass(frozen=True)
class Adopted:
    """An attempt that has become the transcription of its utterance.

    Attributes
    ----------
    utterance : Utterance
        As far as it had come: what the engine got.
    result : Result or None
        None while the engine is at it: `Speculation.settle` says when it is done.
    """

    utterance: Utterance
    result: Result | None


Done: TypeAlias = Callable[[Attempt, Answer, float], None]
"""What a job calls on the engine's thread; see `Job`."""


class Need:
    """What the engine is predicted to take for an utterance, from what it took for the last ones.

    A line over the length of the audio: the encoder's window and the number of tokens both grow
    with it. Any thread may call it.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._took: deque[tuple[float, float]] = deque(maxlen=NEED_OF)
        self._line: tuple[float, float] | None = None  # slope, and seconds at no audio

    def add(self, audio_s: float, engine_s: float) -> None:
        """Note what the engine took, both in seconds."""
        with self._lock:
            self._took.append((audio_s, engine_s))
            if len(self._took) >= NEED_FROM:
                self._line = fit_line(np.array(self._took), NEED_QUANTILE)

    def predict(self, audio_s: float) -> float:
        """Return the seconds that are enough nine times in ten; infinity before it is known.

        It is asked for each block of audio, and so only reads the line.
        """
        line = self._line
        return math.inf if line is None else line[0] * audio_s + line[1]

    def pause_s(self, audio_s: float, timeout_s: float) -> float:
        """Return the silence after which an attempt is just done before the timeout."""
        return max(EARLIEST_S, timeout_s - self.predict(audio_s) - MARGIN_S)


class Speculation:
    """What the engine is to transcribe of an utterance that is not over, and what comes of it.

    In a pause the engine transcribes the speech so far. If the pause lasts, the text is there at
    once; if speech goes on, the attempt is dropped. So that few are, it begins as late as it can
    be done in time, by what the engine took before. With partials it begins at once, and its text
    is the partial of the last words. Besides, an utterance is
    transcribed again and again for `Partial` events. Words that two transcriptions in a row begin
    with are stable (LocalAgreement-2: Liu, Spanakis and Niehues, "Low-latency sequence-to-sequence
    speech recognition and translation by partial hypothesis selection", Interspeech 2020).

    `settle`, `note` and `grow` belong to the thread of the engine, everything else to the thread of
    capture. Nothing here blocks.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        # The thread of capture owns these:
        self._attempt: Attempt | None = None  # of the pause that lasts
        self._job: Job | None = None  # of that; apart, lest a circle keep the audio
        self._next_at = 0.0
        # The thread of the engine owns these; the other one reads the interval:
        self._interval_s = PARTIAL_EVERY_S
        self._utterance_id = -1
        self._last: list[str] = []
        self._stable: list[str] = []
        # Of both:
        self._need = Need()

    # -- on the thread of capture -------------------------------------------------------------

    def pause(self, utterance: Utterance, done: Done) -> Job:
        """Begin an attempt at an utterance that has paused, and return the job to submit."""
        self.drop()
        self._attempt = Attempt(utterance)
        done_with_it = partial(done, self._attempt)
        self._job = Job(utterance.samples, Priority.SPECULATION, done_with_it)
        return self._job

    def follow(self, level: Level) -> None:
        """Drop the attempt if speech goes on."""
        if level.state == "speech":
            self.drop()

    def pause_s(self, audio_s: float, timeout_s: float, *, partials: bool) -> float:
        """Return the silence after which to begin an attempt at an utterance of `audio_s`."""
        if partials:
            return EARLIEST_S
        return self._need.pause_s(audio_s, timeout_s)

    def drop(self) -> None:
        """Cancel the attempt, if there is one."""
        if self._attempt and self._job:
            self._attempt.dropped = True
            self._job.cancelled.set()
        self._attempt = self._job = None

    def adopt(self, utterance: Utterance) -> Adopted | None:
        """Take the attempt for the transcription of an utterance that is over.

        Returns
        -------
        Adopted or None
            None if there is no attempt at exactly this speech: it is dropped, and the utterance
            takes its own turn.
        """
        attempt, job = self._attempt, self._job
        if not (attempt and job and _same_speech(attempt.utterance, utterance)):
            self.drop()
            return None
        self._attempt = self._job = None
        job.priority = Priority.FINAL
        with self._lock:
            attempt.adopted = True
            return Adopted(attempt.utterance, attempt.result)

    def due(self, now: float) -> bool:
        """Whether it is time for the next partial. An attempt in a pause serves for one."""
        return self._attempt is None and now >= self._next_at

    def look(self, utterance: Utterance, now: float, done: Done) -> Job | None:
        """Return the job that makes the next partial of an open utterance.

        None while too little was said.
        """
        if utterance.speech_end_sample - utterance.onset_sample < PARTIAL_FROM_S * SAMPLE_RATE:
            return None
        self._next_at = now + self._interval_s
        return Job(utterance.samples, Priority.PARTIAL, partial(done, Attempt(utterance)))

    # -- on the thread of the engine ----------------------------------------------------------

    def settle(self, attempt: Attempt, answer: Answer, engine_s: float) -> bool:
        """Take the answer to an attempt; say whether it is the answer to its whole utterance."""
        self.note(attempt.utterance, engine_s)
        with self._lock:
            attempt.result = answer, engine_s
            return attempt.adopted

    def note(self, utterance: Utterance, engine_s: float) -> None:
        """Note what the engine took for an utterance."""
        if engine_s:  # else the engine didn't get to it
            self._need.add(len(utterance.samples) / SAMPLE_RATE, engine_s)

    def grow(self, attempt: Attempt, answer: Answer, engine_s: float) -> Partial | None:
        """Make a partial of the answer to an attempt; None if it has no words or was dropped.

        Parameters
        ----------
        attempt : Attempt
        answer : Answer
        engine_s : float
            What it cost, which sets how soon the next ones come.
        """
        if attempt.dropped or not isinstance(answer, Transcription):
            return None
        self._interval_s = max(PARTIAL_EVERY_S, engine_s / ENGINE_SHARE)
        utterance_id = attempt.utterance.utterance_id
        if utterance_id != self._utterance_id:
            self._utterance_id, self._last, self._stable = utterance_id, [], []
        words = answer.text.split()
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


def fit_line(took: NDArray[np.float64], quantile: float) -> tuple[float, float]:
    """Fit a line that does not fall, and lies above so many of the answers.

    Parameters
    ----------
    took : ndarray, shape (n, 2)
        Seconds of audio, and those that the engine took for it.
    quantile : float
        0..1

    Returns
    -------
    slope, at_none : float
        Seconds of the engine for each of audio, and for none.
    """
    # np.cov and np.quantile take ten times as long for so few; a replay of a day asks thousands of
    # times.
    lengths_s, engine_s = took.T
    off_s = lengths_s - lengths_s.mean()
    spread = float((off_s * off_s).sum())
    slope = max(0.0, float((off_s * engine_s).sum()) / (spread or math.inf))
    rest_s = np.sort(engine_s - slope * lengths_s)
    place = quantile * (len(rest_s) - 1)
    low = rest_s[int(place)]
    high = rest_s[min(int(place) + 1, len(rest_s) - 1)]
    return slope, float(low + (place % 1) * (high - low))


def _same_speech(one: Utterance, other: Utterance) -> bool:
    """Whether two utterances differ at most in the silence behind them."""
    return (one.start_sample, one.speech_end_sample) == (
        other.start_sample,
        other.speech_end_sample,
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
