"""Runs: what a session, or a replay of one, decided and wrote; and what a run is of."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sttlab import kept_files
from sttlab.audio import SAMPLE_RATE, Recording
from sttlab.config import TranscribeConfig, VadConfig
from sttlab.events import EndReason, Suppressed, Transcript, Utterance
from sttlab.tables import frame

SHOWN_S = 7200.0  # of a longer session, that a notebook shows at once


@dataclass(frozen=True, kw_only=True)
class KeptUtterance:
    """An utterance and what came of it. Positions are in samples of the stream.

    Attributes
    ----------
    utterance_id, start_sample, onset_sample, speech_end_sample, decided_sample : int
        See `Utterance`.
    end_sample : int
        Where its audio ends.
    reason : EndReason
    heard_samples : int or None
        Samples from the start that the engine got: where it began in the pause, the silence at the
        end may be shorter. None if no engine heard it.
    engine_s : float or None
        What the engine took.
    transcript : Transcript or None
        None if there is no text.
    suppressed : tuple of Suppressed
    failed : str or None
        Why the engine failed.
    delay_s : float or None
        From the end of speech to its text, or to where its text would have been; None if that is
        not known.
    """

    utterance_id: int
    start_sample: int
    end_sample: int
    onset_sample: int
    speech_end_sample: int
    decided_sample: int
    reason: EndReason
    heard_samples: int | None = None
    engine_s: float | None = None
    transcript: Transcript | None = None
    suppressed: tuple[Suppressed, ...] = ()
    failed: str | None = None
    delay_s: float | None = None

    @classmethod
    def of(cls, utterance: Utterance) -> KeptUtterance:
        """Take the positions of an utterance, of which nothing has come yet."""
        values = kept_files.event_values(utterance)
        del values["event"]
        return cls(**values)

    @property
    def positions(self) -> tuple[int, int, int]:
        """Where its audio begins, where speech ends, where its audio ends."""
        return self.start_sample, self.speech_end_sample, self.end_sample

    @property
    def start_s(self) -> float:
        """Where its audio begins, in seconds."""
        return self.start_sample / SAMPLE_RATE

    @property
    def end_s(self) -> float:
        """Where its audio ends, in seconds."""
        return self.end_sample / SAMPLE_RATE

    @property
    def text(self) -> str | None:
        """Its text, empty if the engine found no words; None if no engine heard it."""
        if self.transcript:
            return self.transcript.text
        return None if self.heard_samples is None else ""


class KeptRun:
    """What a session, or a replay of one, decided and wrote.

    Attributes
    ----------
    title : str
    utterances : tuple of KeptUtterance
    settings : tuple of (float, VadConfig)
        Each from its time on, in seconds.
    engine : str or None
        The last engine, for people to read.
    simulated : bool
        Whether the delays are simulated, and not measured.
    """

    title: str
    utterances: tuple[KeptUtterance, ...]
    settings: tuple[tuple[float, VadConfig], ...]
    engine: str | None
    simulated: bool

    @property
    def source(self) -> Original:
        """What the run is of: a session, or a recording."""
        raise NotImplementedError

    @property
    def history(self) -> tuple[Transcript, ...]:
        """The transcripts, oldest first."""
        return tuple(u.transcript for u in self.utterances if u.transcript)

    @property
    def text(self) -> str:
        """All texts, joined by spaces."""
        return " ".join(t.text for t in self.history)

    def listen(self, utterance_id: int) -> Recording:
        """Give the audio of an utterance."""
        (wanted,) = (u for u in self.utterances if u.utterance_id == utterance_id)
        return self.source.audio(wanted.start_s, wanted.end_s)

    def to_frame(self) -> Any:
        """Give a pandas.DataFrame with a row for each utterance.

        Raises
        ------
        MissingExtra
            If pandas is not installed.
        """
        rows = [
            {
                "utterance_id": u.utterance_id,
                "start_s": u.start_s,
                "end_s": u.end_s,
                "speech_end_s": u.speech_end_sample / SAMPLE_RATE,
                "reason": u.reason,
                "text": u.text,
                "delay_s": u.delay_s,
                "engine_s": u.engine_s,
                "suppressed": "; ".join(f"{s.text} ({s.reason})" for s in u.suppressed),
                "failed": u.failed,
            }
            for u in self.utterances
        ]
        return frame(rows, index="utterance_id")

    def _repr_html_(self) -> str:
        from sttlab.kept.face import face

        return face(self)


class Original(KeptRun, ABC):
    """What a replay runs on: a kept session, or a recording in place of one.

    Attributes
    ----------
    inputs : tuple of dict
        What the core is told besides the audio, in order; see docs/kept.md.
    live : bool
        Whether it was live, and not the transcription of a file; see `Session`.
    engine_line : dict or None
        What is known of the last engine, as `kept_files` keeps it.
    processor : str
        Of the machine on which it ran.
    notices : tuple of str
        What a person should know of it: that its end is missing, say.
    """

    inputs: tuple[dict[str, Any], ...]
    live: bool
    engine_line: dict[str, Any] | None
    processor: str
    notices: tuple[str, ...]

    @property
    def source(self) -> Original:
        """Itself."""
        return self

    @property
    @abstractmethod
    def duration_s(self) -> float:
        """Length of the stream, lost samples included."""

    @property
    @abstractmethod
    def transcribe(self) -> TranscribeConfig | None:
        """What the last engine was made from; None if it was made by hand, or there was none."""

    @abstractmethod
    def read(self, start: int, stop: int) -> NDArray[np.float32]:
        """Give the samples between two positions, float32."""

    @abstractmethod
    def pieces(self) -> Iterator[tuple[int, NDArray[np.float32]]]:
        """Give all audio in pieces, each with its position."""

    @property
    def samples(self) -> NDArray[np.float32]:
        """All of its audio, as `recording` has it, so that whatever takes a recording takes it."""
        return self.recording.samples

    @property
    def origin(self) -> str:
        """Its title, as a recording has an origin."""
        return self.title

    @cached_property
    def recording(self) -> Recording:
        """All of its audio, as the core heard it; lost samples are zeros. 230 MB for an hour."""
        return self.audio()

    def audio(self, start_s: float = 0.0, end_s: float | None = None) -> Recording:
        """Give the audio between two times of the stream, in seconds."""
        length = round(self.duration_s * SAMPLE_RATE)
        start = max(0, round(start_s * SAMPLE_RATE))
        end = length if end_s is None else min(length, round(end_s * SAMPLE_RATE))
        return Recording(self.read(start, end), origin=f"{self.title}, from {start_s:g} s")

    def around(self, at_s: float) -> tuple[Recording, float]:
        """Give the audio around a time, as much as a notebook shows, and where that begins."""
        if self.duration_s <= SHOWN_S:
            return self.recording, 0.0
        start_s = min(max(0.0, at_s - SHOWN_S / 2), self.duration_s - SHOWN_S)
        start_s = float(int(start_s))
        return self.audio(start_s, start_s + SHOWN_S), start_s

    def config_at(self, at_s: float) -> VadConfig:
        """Return the settings at a time, in seconds."""
        return next(config for since_s, config in reversed(self.settings) if since_s <= at_s)

    def differs_from_s(self, other: Original) -> float | None:
        """Return from which second on the audio of another is not the same; None if it is all."""
        for (at, mine), (_, theirs) in zip(self.pieces(), other.pieces(), strict=False):
            length = min(len(mine), len(theirs))
            if not np.array_equal(mine[:length], theirs[:length]):
                return (at + int(np.argmax(mine[:length] != theirs[:length]))) / SAMPLE_RATE
        same = self.duration_s == other.duration_s
        return None if same else min(self.duration_s, other.duration_s)
