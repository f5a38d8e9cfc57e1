"""What became of a session's utterances: which wait for text, the texts, the failures, figures."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

from sttlab.audio import SAMPLE_RATE
from sttlab.engines.base import Transcription
from sttlab.engines.foreign import EnglishOnly
from sttlab.errors import TranscribeError
from sttlab.events import (
    Event,
    Notice,
    SpeakerTurn,
    Suppressed,
    Transcript,
    TranscriptionFailed,
    Utterance,
)
from sttlab.live.worker import Answer
from sttlab.speakers.parts import said_by
from sttlab.tables import frame, scalars

HISTORY = 10_000  # transcripts kept by a session
FAILED_S = 600.0  # of audio of the utterances that the engine failed on; the oldest are let go

_COUNTED = {Transcript: "transcripts", Suppressed: "suppressed", TranscriptionFailed: "failed"}


@dataclass(frozen=True, kw_only=True)
class SessionStats:
    """A session's figures since its start.

    Attributes
    ----------
    audio_s : float
        Stream time, lost samples included.
    lost_samples : int
    utterances, queued_utterances, transcripts, suppressed, failed : int
    decode_s : float
        Wall time that the engine took.
    rtf : float
        `decode_s` over the length of the utterances decoded; 0 before the first.
    """

    audio_s: float
    lost_samples: int
    utterances: int
    queued_utterances: int
    transcripts: int
    suppressed: int
    failed: int
    decode_s: float
    rtf: float


@dataclass(frozen=True)
class _Open:
    """An utterance that waits for its answer; wall times in seconds."""

    utterance: Utterance
    arrived_at: float  # when its last audio did
    decided_at: float


def history_frame(history: Iterable[Transcript]) -> Any:
    """Make a pandas.DataFrame with a row for each transcript."""
    columns = ("run", "utterance_id", "start_s", "end_s", "speakers", "text")
    return frame(
        (scalars(t) | {"speakers": ", ".join({s.speaker: 0 for s in t.speakers})} for t in history),
        columns=columns,
    )


class Ledger:
    """The utterances of a session, from their end to their text. Any thread may call it.

    Parameters
    ----------
    clock : callable
        Wall time in seconds, for latency figures.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._changed = threading.Condition()  # guards everything below
        self._history: deque[Transcript] = deque(maxlen=HISTORY)
        self._failed: deque[Utterance] = deque()  # bounded by FAILED_S
        self._run = -1  # 0 before the first start
        self.begin()

    def begin(self) -> None:
        """Begin anew at the start of a session, but for the texts and the failed audio."""
        with self._changed:
            self._run += 1
            self._counts = dict.fromkeys(
                ("lost_samples", "utterances", "transcripts", "suppressed", "failed"), 0
            )
            self._decode_s = 0.0
            self._decoded_s = 0.0
            self._english = EnglishOnly()
            self._open: dict[int, _Open] = {}  # by the utterance's id
            self._ended = False
            self._abandoned = False

    # -- what happens -------------------------------------------------------------------------

    def lose(self, samples: int) -> None:
        """Count lost samples."""
        with self._changed:
            self._counts["lost_samples"] += samples

    def open(self, utterance: Utterance, arrived_at: float) -> None:
        """Enter an utterance that is over now, whose last audio arrived at this wall time."""
        with self._changed:
            self._open[utterance.utterance_id] = _Open(utterance, arrived_at, self._clock())
            self._counts["utterances"] += 1

    def answer(
        self,
        utterance_id: int,
        answer: Answer,
        engine_s: float,
        *,
        speculative: bool,
        ready_at: float = 0.0,
    ) -> list[Event]:
        """Enter the answer to an open utterance, and return the events that say so.

        Once they are emitted, call `close`.

        Parameters
        ----------
        utterance_id : int
        answer : Answer
        engine_s : float
            Wall time that the engine took.
        speculative : bool
            Whether the engine had begun before the utterance was over.
        ready_at : float
            Wall time at which the model was loaded.
        """
        with self._changed:
            if utterance_id not in self._open:  # of a run that outlasted its stop
                return []
            opened = self._open[utterance_id]
            self._decode_s += engine_s
            self._decoded_s += opened.utterance.duration_s
            if isinstance(answer, TranscribeError):
                events: list[Event] = [_failure(opened.utterance, answer)]
                self._keep(opened.utterance)
            else:
                events = []
                if answer.text:
                    transcript = transcript_of(
                        opened.utterance,
                        answer,
                        capture_s=opened.decided_at - opened.arrived_at,
                        waited_s=self._clock() - opened.decided_at,
                        loaded_s=ready_at - opened.decided_at,
                        engine_s=engine_s,
                        speculative=speculative,
                    )
                    transcript = replace(transcript, run=self._run)
                    self._history.append(transcript)
                    events.append(transcript)
                events += suppressed_in(opened.utterance, answer)
                foreign = self._english.add(answer, opened.utterance.duration_s)
                if foreign:
                    time_s = opened.utterance.end_s
                    events.append(Notice(time_s=time_s, about="language", message=foreign))
            for event in events:
                if type(event) in _COUNTED:
                    self._counts[_COUNTED[type(event)]] += 1
        return events

    def _keep(self, failed: Utterance) -> None:
        self._failed.append(failed)
        while sum(u.duration_s for u in self._failed) > FAILED_S:
            self._failed.popleft()

    def say_who(self, utterance_id: int, turns: tuple[SpeakerTurn, ...]) -> None:
        """Give the text of an utterance of this start its speakers."""
        with self._changed:
            for i in range(len(self._history) - 1, -1, -1):
                if self._history[i].run != self._run:
                    return
                if self._history[i].utterance_id == utterance_id:
                    self._history[i] = said_by(self._history[i], turns)
                    return

    def close(self, utterance_id: int) -> None:
        """Note that all has been said about an utterance."""
        with self._changed:
            self._open.pop(utterance_id, None)
            self._changed.notify_all()

    def end(self) -> None:
        """Note that no more utterances will be opened."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def abandon(self) -> None:
        """Note that nobody waits for answers any more."""
        with self._changed:
            self._abandoned = True
            self._changed.notify_all()

    # -- how things stand ---------------------------------------------------------------------

    def is_abandoned(self) -> bool:
        """Say whether nobody waits for answers any more."""
        return self._abandoned

    def wait(self, timeout_s: float | None) -> bool:
        """Wait until all that will come is answered; say whether it is."""
        with self._changed:
            return self._changed.wait_for(lambda: self._ended and not self._open, timeout_s)

    def wait_for_answers(self, hopeless: Callable[[], bool], timeout_s: float) -> None:
        """Wait until what is open is answered, is `hopeless`, or is abandoned."""
        with self._changed:
            self._changed.wait_for(
                lambda: not self._open or self._abandoned or hopeless(), timeout_s
            )

    @property
    def late_s(self) -> float:
        """How long the utterance that has waited longest for its text does so by now; 0 if none."""
        with self._changed:
            if not self._open:
                return 0.0
            return self._clock() - min(opened.decided_at for opened in self._open.values())

    @property
    def history(self) -> tuple[Transcript, ...]:
        """The transcripts so far, of earlier starts too, oldest first."""
        with self._changed:
            return tuple(self._history)

    @property
    def failed(self) -> tuple[Utterance, ...]:
        """The last utterances that no text came of, oldest first; FAILED_S of audio."""
        with self._changed:
            return tuple(self._failed)

    def stats(self, audio_s: float) -> SessionStats:
        """Return the figures after so many seconds of the stream."""
        with self._changed:
            return SessionStats(
                audio_s=audio_s,
                queued_utterances=len(self._open),
                decode_s=self._decode_s,
                rtf=self._decode_s / self._decoded_s if self._decoded_s else 0.0,
                **self._counts,
            )


def _failure(utterance: Utterance, error: TranscribeError) -> TranscriptionFailed:
    return TranscriptionFailed(
        utterance_id=utterance.utterance_id,
        message=str(error),
        start_s=utterance.start_s,
        end_s=utterance.end_s,
    )


def suppressed_in(utterance: Utterance, answer: Transcription) -> list[Suppressed]:
    """Say what an answer holds back of an utterance."""
    return [
        Suppressed(
            utterance_id=utterance.utterance_id,
            text=s.text,
            reason=s.reason,
            start_s=s.start_s + utterance.start_s,
            end_s=s.end_s + utterance.start_s,
        )
        for s in answer.suppressed
    ]


def transcript_of(
    utterance: Utterance,
    answer: Transcription,
    *,
    capture_s: float,
    waited_s: float,
    engine_s: float,
    speculative: bool,
    loaded_s: float = 0.0,
) -> Transcript:
    """Make the transcript of an utterance whose text was there `waited_s` after the decision.

    Parameters
    ----------
    capture_s, engine_s : float
        See `Transcript`.
    speculative : bool
        Whether the engine had begun before the decision.
    loaded_s : float
        How long after the decision the model was loaded; negative if before.
    """
    pause_s = (utterance.decided_sample - utterance.speech_end_sample) / SAMPLE_RATE
    decode_s = min(engine_s, waited_s)
    load_s = min(max(0.0, loaded_s), waited_s - decode_s)
    return Transcript(
        utterance_id=utterance.utterance_id,
        text=answer.text,
        start_s=utterance.start_s,
        end_s=utterance.end_s,
        language=answer.language,
        language_probability=answer.language_probability,
        confidence=answer.confidence,
        segments=tuple(s.later(utterance.start_s) for s in answer.segments),
        pause_s=pause_s,
        capture_s=capture_s,
        load_s=load_s,
        queue_s=waited_s - decode_s - load_s,
        decode_s=decode_s,
        delay_s=pause_s + capture_s + waited_s,
        engine_s=engine_s,
        guessed=speculative,
    )
