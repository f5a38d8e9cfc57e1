"""A kept session, read back."""

from __future__ import annotations

import importlib
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sttlab import kept_files
from sttlab.audio import SAMPLE_RATE, Recording
from sttlab.config import TranscribeConfig, VadConfig, from_dict
from sttlab.errors import ConfigError, KeptError
from sttlab.events import (
    EndReason,
    Event,
    Suppressed,
    Transcript,
    TranscriptionFailed,
    Utterance,
)
from sttlab.kept_files import EVENTS, INPUTS, MANIFEST, PIECE_SAMPLES

READERS = 2  # threads that decode pieces of audio, each a minute
AHEAD = 3  # pieces that are decoded before they are needed


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
    def source(self) -> KeptSession:
        """The session whose audio it is."""
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
        KeptError
            If pandas is not installed.
        """
        try:
            pandas = importlib.import_module("pandas")
        except ImportError as error:
            raise KeptError("pandas is not installed: pip install pandas") from error
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
        columns = list(rows[0]) if rows else ["utterance_id"]
        return pandas.DataFrame(rows, columns=columns).set_index("utterance_id")

    def _repr_html_(self) -> str:
        from sttlab.kept.face import face

        return face(self)


class KeptSession(KeptRun):
    """A session that was kept; `open_session` makes it. Its files are read, and never written.

    Parameters
    ----------
    folder : Path

    Raises
    ------
    KeptError
        If it is not a kept session, is of a later version, or can't be read.

    Attributes
    ----------
    manifest : dict
        See docs/kept.md.
    inputs : tuple of dict
        What the core was told besides its audio, in order.
    duration_s : float
        Length of the stream that was kept, lost samples included.
    engine_line : dict or None
        What is known of the last engine.
    notices : tuple of str
        What a person should know of it: that its end is missing, say.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.manifest = _read_manifest(folder / MANIFEST)
        self._pieces, self._samples = kept_files.count_pieces(folder)
        lines = list(kept_files.read_lines(folder / INPUTS))
        engines = [line for line in lines if line["input"] == kept_files.ENGINE]
        told = [line for line in lines if "sample" in line]
        # After a power failure, what was said of audio may be there without it.
        self.inputs = tuple(line for line in told if line["sample"] <= self._samples)
        self._lines = list(kept_files.read_lines(folder / EVENTS))
        self.title = self.manifest.get(
            "title", f"{self.manifest['source']}, {self.manifest['started'][:19]}"
        )
        self.notices = tuple(self._find_notices())
        try:
            first: VadConfig = from_dict(VadConfig, self.manifest["settings"])
            changes = [
                (line["sample"] / SAMPLE_RATE, from_dict(VadConfig, line["config"]))
                for line in self.inputs
                if line["input"] == kept_files.SETTINGS
            ]
        except ConfigError as error:
            raise KeptError(f"{folder}: {error}") from error
        self.settings = ((0.0, first), *changes)
        self.engine_line = engines[-1] if engines else None
        self.engine = self.engine_line["name"] if self.engine_line else None
        self.simulated = bool(self.manifest.get("simulated"))
        self.utterances = tuple(self._find_utterances())

    def _find_notices(self) -> Iterator[str]:
        ended = self.manifest["ended"]
        if not ended:
            yield (
                "this session was not closed: it runs still, was killed, or its disk was full; "
                f"{self.duration_s:.1f} s of it are here"
            )
        lost = sum(x["count"] for x in self.inputs if x["input"] == kept_files.LOST)
        if lost:
            yield f"{lost / SAMPLE_RATE:.1f} s of audio were lost while it ran"

    def _find_utterances(self) -> Iterator[KeptUtterance]:
        found: dict[int, dict[str, Any]] = {}
        for line in self._lines:
            if line["event"] == Utterance.kind:
                values = {name: line[name] for name in kept_files.POSITIONS}
                found[line["utterance_id"]] = {**values, "suppressed": ()}
        for line in self._lines:
            mine = found.get(line.get("utterance_id", -1))
            if mine is None:
                continue
            if line["event"] == kept_files.ANSWER:
                mine.update(heard_samples=line["heard_samples"], engine_s=line["engine_s"])
            event = kept_files.event_from(line)
            if isinstance(event, Transcript):
                mine.update(transcript=event, delay_s=event.delay_s)
            elif isinstance(event, Suppressed):
                mine["suppressed"] += (event,)
            elif isinstance(event, TranscriptionFailed):
                mine["failed"] = event.message
        for values in found.values():
            yield KeptUtterance(**values)

    @property
    def source(self) -> KeptSession:
        """Itself."""
        return self

    @property
    def duration_s(self) -> float:
        """Length of the stream that was kept, lost samples included."""
        return self._samples / SAMPLE_RATE

    @property
    def live(self) -> bool:
        """Whether it was live, and not the transcription of a file; see `Session`."""
        return bool(self.manifest["live"])

    @property
    def transcribe(self) -> TranscribeConfig | None:
        """What the last engine was made from; None if it was made by hand, or there was none.

        Raises
        ------
        KeptError
            If this version of sttlab doesn't know such an engine.
        """
        values = self.engine_line["config"] if self.engine_line else None
        if not values:
            return None
        try:
            config: TranscribeConfig = from_dict(TranscribeConfig, values)
        except ConfigError as error:
            raise KeptError(f"{self.folder}: {error}") from error
        return config

    @property
    def weights_sha256(self) -> str | None:
        """Checksum of the weights of the last engine; None if it is not known."""
        return self.engine_line["sha256"] if self.engine_line else None

    @cached_property
    def events(self) -> tuple[Event, ...]:
        """All events but levels and utterances, in the order in which they happened."""
        return tuple(e for line in self._lines if (e := kept_files.event_from(line)))

    @property
    def lines(self) -> tuple[dict[str, Any], ...]:
        """The lines of the events as they are in the file."""
        return tuple(self._lines)

    @cached_property
    def recording(self) -> Recording:
        """All of its audio, as the core heard it; lost samples are zeros. 230 MB for an hour."""
        return self.audio()

    def audio(self, start_s: float = 0.0, end_s: float | None = None) -> Recording:
        """Give the audio between two times of the stream, in seconds."""
        start = max(0, round(start_s * SAMPLE_RATE))
        end = self._samples if end_s is None else min(self._samples, round(end_s * SAMPLE_RATE))
        return Recording(self.samples(start, end), origin=f"{self.title}, from {start_s:g} s")

    def samples(self, start: int, stop: int) -> NDArray[np.float32]:
        """Give the samples between two positions, float32."""
        parts = [np.empty(0, np.float32)]
        for number in range(start // PIECE_SAMPLES, -(-stop // PIECE_SAMPLES)):
            base = number * PIECE_SAMPLES
            begin, end = max(start - base, 0), min(stop - base, PIECE_SAMPLES)
            parts.append(kept_files.read_piece(self.folder, number, begin, end))
        return np.concatenate(parts)

    def pieces(self) -> Iterator[tuple[int, NDArray[np.float32]]]:
        """Give all audio in pieces, each with its position; the next one is read meanwhile."""
        with ThreadPoolExecutor(READERS, "sttlab-read") as reading:
            coming = [
                reading.submit(kept_files.read_piece, self.folder, number)
                for number in range(min(AHEAD, self._pieces))
            ]
            for number in range(self._pieces):
                samples = coming.pop(0).result()
                if number + AHEAD < self._pieces:
                    ahead = number + AHEAD
                    coming.append(reading.submit(kept_files.read_piece, self.folder, ahead))
                if number + 1 < self._pieces and len(samples) != PIECE_SAMPLES:
                    raise KeptError(f"{self.folder}: piece {number} of its audio is too short")
                yield number * PIECE_SAMPLES, samples

    def __repr__(self) -> str:
        what = f"{self.duration_s:.1f} s, {len(self.utterances)} utterances"
        return f"<KeptSession {self.title}: {what}>"


def open_session(folder: str | Path) -> KeptSession:
    """Open a kept session, or the newest of those in a folder.

    Parameters
    ----------
    folder : str or Path
        As given to `Session`'s `keep`, or one of the folders in it.

    Raises
    ------
    KeptError
        If there is none, it is of a later version, or it can't be read.

    Examples
    --------
    >>> kept = open_session("kept")  # doctest: +SKIP
    >>> kept.to_frame()  # doctest: +SKIP
    """
    path = Path(folder).expanduser()
    if not (path / MANIFEST).is_file():
        inside = kept_files.sessions_in(path)
        if not inside:
            what = "holds no kept session" if path.is_dir() else "is not there"
            raise KeptError(f"{path} {what}: keep one with Session(source, keep={str(path)!r})")
        path = inside[-1]
    return KeptSession(path)


def _read_manifest(path: Path) -> dict[str, Any]:
    try:
        manifest = json.loads(path.read_bytes())
    except OSError as error:
        raise KeptError(f"{path} can't be read: {error.strerror}") from error
    except ValueError as error:
        raise KeptError(f"{path} is not valid JSON: {error}") from error
    if not isinstance(manifest, dict) or manifest.get("format") != kept_files.FORMAT:
        raise KeptError(f"{path} is not of a session that sttlab kept")
    if not 1 <= manifest.get("version", 0) <= kept_files.VERSION:
        raise KeptError(
            f"{path} is of version {manifest.get('version')}, and this sttlab reads versions up to "
            f"{kept_files.VERSION}: a later sttlab may read it"
        )
    return manifest
