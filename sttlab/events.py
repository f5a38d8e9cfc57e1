"""The events of a session: one frozen dataclass each. Times are in seconds of the stream."""

from __future__ import annotations

import html
from dataclasses import dataclass, field, replace
from typing import ClassVar, Literal, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from sttlab.audio import SAMPLE_RATE, speech_level_dbfs
from sttlab.config import VadConfig

EndReason = Literal["silence", "longest", "interrupted", "end"]
"""Why an utterance ended: silence timeout, longest utterance, lost audio, end of the stream."""

State = Literal["listening", "speech", "pause"]
"""State of the endpointer: no open utterance, speech, or silence shorter than the timeout."""


NoticeAbout = Literal["silence", "language", "model", "speakers"]
"""What a notice is about: nothing is heard, another language is spoken, the model changed, or
nobody is told apart any more."""


@dataclass(frozen=True, kw_only=True)
class Event:
    """Something that happened in a session, which broadcasts it to subscribers and clients."""

    kind: ClassVar[str]


@dataclass(frozen=True, kw_only=True, eq=False)
class InternalEvent:
    """Something that `StreamCore` reports to its session only; it is never broadcast."""


StreamEvent: TypeAlias = Event | InternalEvent
"""What a `StreamCore` emits."""


@dataclass(frozen=True, kw_only=True)
class Level(Event):
    """One frame's level, score and threshold, and the state of the endpointer after it.

    ``level_dbfs`` is the level in the speech band, 300 to 6000 Hz. ``score`` and ``threshold`` are
    on the detector's scale: `VoiceDetector.scale` has its unit.
    """

    kind: ClassVar[str] = "level"
    time_s: float
    level_dbfs: float
    score: float
    threshold: float
    state: State


@dataclass(frozen=True, kw_only=True)
class SpeechStarted(Event):
    """Speech has lasted the minimum. It began at ``start_s``, its onset, without the pre-roll."""

    kind: ClassVar[str] = "speech_started"
    utterance_id: int
    start_s: float


@dataclass(frozen=True, kw_only=True)
class SpeechDiscarded(Event):
    """A sound crossed the threshold for less than the minimum speech."""

    kind: ClassVar[str] = "speech_discarded"
    start_s: float
    end_s: float


@dataclass(frozen=True, kw_only=True, eq=False)
class Utterance(Event):
    """One endpointed stretch of speech.

    Attributes
    ----------
    utterance_id : int
        Counts from 0 in each stream.
    start_sample : int
        Where `samples` begin in the stream, pre-roll included.
    samples : ndarray, shape (n,), float32, read-only
        Mono at ``SAMPLE_RATE``.
    onset_sample, speech_end_sample : int
        Where speech itself begins and ends in the stream.
    decided_sample : int
        Where in the stream the endpointer decided that the utterance had ended.
    reason : EndReason
    """

    kind: ClassVar[str] = "utterance"
    utterance_id: int
    start_sample: int
    samples: NDArray[np.float32] = field(repr=False)
    onset_sample: int
    speech_end_sample: int
    decided_sample: int
    reason: EndReason

    @property
    def end_sample(self) -> int:
        """Where `samples` end in the stream."""
        return self.start_sample + len(self.samples)

    @property
    def start_s(self) -> float:
        """Where `samples` begin, in seconds."""
        return self.start_sample / SAMPLE_RATE

    @property
    def end_s(self) -> float:
        """Where `samples` end, in seconds."""
        return self.end_sample / SAMPLE_RATE

    @property
    def duration_s(self) -> float:
        """Length of `samples` in seconds."""
        return len(self.samples) / SAMPLE_RATE

    @property
    def level_dbfs(self) -> float:
        """RMS level of `samples` in the speech band, 300 to 6000 Hz, in dBFS."""
        return speech_level_dbfs(self.samples)

    def _repr_html_(self) -> str:
        from sttlab.audio import player_html

        caption = f"utterance {self.utterance_id}: {self.start_s:.2f} to {self.end_s:.2f} s, "
        return player_html(self.samples, caption + f"{self.level_dbfs:.0f} dBFS, {self.reason}")


@dataclass(frozen=True, kw_only=True, eq=False)
class SpeechPaused(InternalEvent):
    """Silence in an utterance, and the utterance so far.

    If the silence lasts until the timeout, the speech in it is that of the final utterance.
    """

    utterance: Utterance


@dataclass(frozen=True, kw_only=True)
class Word:
    """A word with its punctuation, in seconds from the stream's start; `confidence` in 0..1."""

    start_s: float
    end_s: float
    text: str
    confidence: float


class Spoken(Protocol):
    """Anything with times in seconds and a speaker, such as a `SpeakerTurn` or a label."""

    @property
    def start_s(self) -> float:
        """Where the speech begins."""

    @property
    def end_s(self) -> float:
        """Where it ends."""

    @property
    def speaker(self) -> str:
        """Who speaks; empty if that is not known."""


@dataclass(frozen=True, kw_only=True)
class SpeakerTurn:
    """A stretch of speech of one speaker, in seconds from the stream's start."""

    start_s: float
    end_s: float
    speaker: str


@dataclass(frozen=True, kw_only=True)
class Segment:
    """A part of a transcript, in seconds from the stream's start; `confidence` in 0..1.

    ``words`` is empty unless `TranscribeConfig.words` is set, and ``speaker`` is None unless it is
    asked who speaks.
    """

    start_s: float
    end_s: float
    text: str
    confidence: float
    words: tuple[Word, ...] = ()
    speaker: str | None = None

    def later(self, seconds: float) -> Segment:
        """Return the segment, with its words, moved in time."""
        words = tuple(
            replace(w, start_s=w.start_s + seconds, end_s=w.end_s + seconds) for w in self.words
        )
        start_s, end_s = self.start_s + seconds, self.end_s + seconds
        return replace(self, start_s=start_s, end_s=end_s, words=words)


def _shaded(segment: Segment) -> str:
    """Write the words as HTML: the lower the confidence, the more orange."""
    if not segment.words:
        return html.escape(segment.text)
    return " ".join(
        f'<span style="background:rgba(230,159,0,{0.8 * (1 - w.confidence):.2f})" '
        f'title="{w.start_s:.2f} to {w.end_s:.2f} s, confidence {w.confidence:.2f}">'
        f"{html.escape(w.text)}</span>"
        for w in segment.words
    )


@dataclass(frozen=True, kw_only=True)
class Partial(Event):
    """The text so far of an utterance that has not ended.

    Attributes
    ----------
    text : str
        All of the text so far, which may change.
    stable : str
        The beginning of `text` that two partial hypotheses in a row share. Later partials keep it.
    """

    kind: ClassVar[str] = "partial"
    utterance_id: int
    text: str
    stable: str


@dataclass(frozen=True, kw_only=True)
class Transcript(Event):
    """The final text of one utterance.

    Attributes
    ----------
    confidence : float in 0..1
        Mean confidence of the segments; see `sttlab.engines.words.confidence`.
    pause_s : float
        Stream time from the end of speech to the decision that the utterance had ended.
    capture_s : float
        Wall time by which the decision came later than that, since audio arrives in blocks.
    load_s : float
        Wall time after the decision in which the model was still being loaded.
    queue_s, decode_s : float
        Wall time from then until the engine took the utterance, and from then to the text. Both are
        0 if speculation had finished by the decision.
    delay_s : float
        Wall time from the end of speech to this event: the sum of the five.
    engine_s : float
        Wall time that the engine took, including what it did before the decision.
    guessed : bool
        Whether the text comes from speculation: the engine began in the pause, before the
        utterance was known to have ended.
    run : int
        Counts the starts of the session, from 1; times and ids begin anew in each.
    speakers : tuple of SpeakerTurn
        Who speaks when, if that is asked for and known by now; `SpeakersFound` says it later.
    """

    kind: ClassVar[str] = "transcript"
    utterance_id: int
    text: str
    start_s: float
    end_s: float
    language: str
    language_probability: float
    confidence: float
    segments: tuple[Segment, ...]
    pause_s: float
    capture_s: float
    load_s: float = 0.0
    queue_s: float
    decode_s: float
    delay_s: float
    engine_s: float
    guessed: bool
    run: int = 1
    speakers: tuple[SpeakerTurn, ...] = ()

    def _repr_html_(self) -> str:
        about = f"{self.delay_s:.2f} s after the last word, confidence {self.confidence:.2f}"
        words = " ".join(map(_shaded, self.segments)) or html.escape(self.text)
        return f"<p><small>{self.start_s:.1f} s, {about}</small><br>{words}</p>"


@dataclass(frozen=True, kw_only=True)
class SpeakersFound(Event):
    """Who speaks in an utterance, where its text was broadcast before that was known, or changes.

    Attributes
    ----------
    turns : tuple of SpeakerTurn
        In order; they replace what was said before.
    revised : bool
        Whether later speech, or a person, corrects what was said before.
    late_s : float
        Wall time from the text to this event.
    """

    kind: ClassVar[str] = "speakers"
    utterance_id: int
    turns: tuple[SpeakerTurn, ...]
    revised: bool
    late_s: float = 0.0


@dataclass(frozen=True, kw_only=True)
class SpeakerNames(Event):
    """How speakers are called from now on, in all that was said before as well.

    Attributes
    ----------
    names : dict of str to str
        Names that people gave, by the speaker that turns have.
    merged : dict of str to str
        Speakers that are another one, and which one.
    """

    kind: ClassVar[str] = "speaker_names"
    names: dict[str, str]
    merged: dict[str, str]


@dataclass(frozen=True, kw_only=True)
class Suppressed(Event):
    """Text that was held back as a hallucination, and why."""

    kind: ClassVar[str] = "suppressed"
    utterance_id: int
    text: str
    reason: str
    start_s: float
    end_s: float


@dataclass(frozen=True, kw_only=True)
class TranscriptionFailed(Event):
    """The engine failed twice on one utterance, whose audio `Session.failed` keeps."""

    kind: ClassVar[str] = "transcription_failed"
    utterance_id: int
    message: str
    start_s: float
    end_s: float


@dataclass(frozen=True, kw_only=True)
class ConfigChanged(Event):
    """New settings apply from ``time_s`` on."""

    kind: ClassVar[str] = "config_changed"
    time_s: float
    config: VadConfig


@dataclass(frozen=True, kw_only=True)
class SamplesLost(Event):
    """Samples were lost just before ``time_s``; stream time has moved on by as much."""

    kind: ClassVar[str] = "samples_lost"
    time_s: float
    count: int


@dataclass(frozen=True, kw_only=True)
class DeviceLost(Event):
    """The microphone disappeared; sttlab keeps trying to reopen it."""

    kind: ClassVar[str] = "device_lost"
    device: str
    message: str


@dataclass(frozen=True, kw_only=True)
class DeviceRestored(Event):
    """The microphone is back."""

    kind: ClassVar[str] = "device_restored"
    device: str


@dataclass(frozen=True, kw_only=True)
class DeviceSilent(Event):
    """The microphone delivers nothing but zeros, most often because the system denies access."""

    kind: ClassVar[str] = "device_silent"
    device: str
    message: str


@dataclass(frozen=True, kw_only=True)
class Notice(Event):
    """What a person should know, in a sentence.

    Attributes
    ----------
    about : str
        "silence": no speech was found for a minute, or in all that the source had; it is said once,
        until speech is found. "language": the model knows only English, and what is said most
        likely isn't; it is said once, until the model is sure again. "model": a smaller one
        than "auto" had chosen goes on, since that no longer keeps up.
    """

    kind: ClassVar[str] = "notice"
    time_s: float
    about: NoticeAbout
    message: str


@dataclass(frozen=True, kw_only=True)
class SourceEnded(Event):
    """The source has no more audio; an utterance that was open has been emitted."""

    kind: ClassVar[str] = "source_ended"
    time_s: float


@dataclass(frozen=True, kw_only=True)
class SessionFailed(Event):
    """A thread of the session failed; the session has stopped."""

    kind: ClassVar[str] = "session_failed"
    message: str
