"""A kept session, read back."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sttlab import kept_files
from sttlab.audio import SAMPLE_RATE
from sttlab.config import TranscribeConfig, VadConfig, from_dict
from sttlab.errors import ConfigError, KeptError
from sttlab.events import (
    Event,
    Suppressed,
    Transcript,
    TranscriptionFailed,
    Utterance,
)
from sttlab.kept.run import KeptUtterance, Original
from sttlab.kept_files import EVENTS, INPUTS, MANIFEST, PIECE_SAMPLES

READERS = 2  # threads that decode pieces of audio, each a minute
AHEAD = 3  # pieces that are decoded before they are needed


class KeptSession(Original):
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
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.manifest = _read_manifest(folder / MANIFEST)
        self.live = bool(self.manifest["live"])
        self.processor = self.manifest["processor"]
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
    def duration_s(self) -> float:
        """Length of the stream that was kept, lost samples included."""
        return self._samples / SAMPLE_RATE

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

    def read(self, start: int, stop: int) -> NDArray[np.float32]:
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
