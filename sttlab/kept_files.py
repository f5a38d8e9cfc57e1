"""A kept session on disk: its files, the lines in them, and its audio in pieces.

docs/kept.md describes the format. `live.keeper` writes it, and `kept` reads it.
"""

from __future__ import annotations

import io
import json
import os
import struct
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sttlab import events
from sttlab.audio import SAMPLE_RATE
from sttlab.config import VadConfig, from_dict
from sttlab.errors import KeptError
from sttlab.events import Event, Segment, SpeakerTurn, Utterance, Word
from sttlab.writing import replacing

FORMAT = "sttlab session"
VERSION = 1
"""Of the format. A later version of sttlab reads this one too."""

MANIFEST, INPUTS, EVENTS, AUDIO = "manifest.json", "inputs.jsonl", "events.jsonl", "audio"
SETTINGS, LOST, INTERRUPTED, ENGINE, END = "settings", "lost", "interrupted", "engine", "end"
"""What a line of `INPUTS` tells."""
ANSWER = "answer"
"""A line of `EVENTS` that no client gets: what the engine took for an utterance."""

BITS = 24
PIECE_SAMPLES = 60 * SAMPLE_RATE
SAMPLE_BYTES = BITS // 8
COMPRESSION = 0.0  # FLAC's fastest: 4 % larger than its default, and decoded in 70 % of the time
FULL_SCALE = np.float32(2 ** (BITS - 1))
WAV_HEAD_BYTES = 44
POSITIONS = (  # of an utterance, in samples, and why it ended
    *("utterance_id", "start_sample", "end_sample", "onset_sample"),
    *("speech_end_sample", "decided_sample", "reason"),
)
_EVENTS = {
    event.kind: event
    for event in Event.__subclasses__()
    if event.__module__ == events.__name__ and event is not Utterance
}

# -- samples --------------------------------------------------------------------------------------


def to_ints(samples: NDArray[np.float32]) -> NDArray[np.int32]:
    """Turn samples in -1..1 into 24-bit integers, clipping what is louder; NaN becomes silence."""
    finite = np.nan_to_num(samples, posinf=0.0, neginf=0.0)
    scaled = np.rint(finite.astype(np.float32, copy=False) * FULL_SCALE)
    ints: NDArray[np.int32] = np.clip(scaled, -FULL_SCALE, FULL_SCALE - 1).astype(np.int32)
    return ints


def to_floats(ints: NDArray[np.int32]) -> NDArray[np.float32]:
    """Turn 24-bit integers into samples in -1..1, exactly: `to_ints` gives them back."""
    samples: NDArray[np.float32] = ints.astype(np.float32) / FULL_SCALE
    return samples


def to_bytes(ints: NDArray[np.int32]) -> bytes:
    """Pack 24-bit integers, little-endian."""
    return ints.astype("<i4").view(np.uint8).reshape(-1, 4)[:, :SAMPLE_BYTES].tobytes()


def from_bytes(data: bytes) -> NDArray[np.int32]:
    """Unpack 24-bit integers, little-endian; an unfinished one at the end is dropped."""
    count = len(data) // SAMPLE_BYTES
    packed = np.frombuffer(data, np.uint8, count * SAMPLE_BYTES).reshape(count, SAMPLE_BYTES)
    wide = np.zeros((count, 4), np.uint8)
    wide[:, 1:] = packed
    return wide.reshape(-1).view("<i4") >> 8


# -- pieces of audio ------------------------------------------------------------------------------


def closed_piece(folder: Path, number: int) -> Path:
    """Where a piece of audio is once it is whole."""
    return folder / AUDIO / f"{number:06d}.flac"


def open_piece(folder: Path, number: int) -> Path:
    """Where a piece of audio is while it is written."""
    return folder / AUDIO / f"{number:06d}.wav"


class PieceWriter:
    """Writes a stream's audio: the last minute as WAV, what is older as FLAC.

    What `write` has returned from is read back even if the process is killed then.

    Parameters
    ----------
    folder : Path
        Of the session.

    Attributes
    ----------
    number : int
        Pieces that are whole.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.number = 0
        self._length = 0  # of the open piece
        self._file: io.FileIO | None = None

    def write(self, ints: NDArray[np.int32]) -> None:
        """Append samples. Raises OSError."""
        while len(ints):
            now = ints[: PIECE_SAMPLES - self._length]
            ints = ints[len(now) :]
            if self._file is None:
                self._file = open_piece(self._folder, self.number).open("wb", buffering=0)
                write_all(self._file, _wav_head())
            write_all(self._file, to_bytes(now))
            self._length += len(now)
            if self._length == PIECE_SAMPLES:
                self._close_piece()

    def sync(self) -> None:
        """Have the disk hold what was written. Raises OSError."""
        if self._file:
            os.fsync(self._file.fileno())

    def close(self) -> None:
        """Write the last piece. Raises OSError; what was written stays."""
        if self._length:
            self._close_piece()
        self.abandon()

    def abandon(self) -> None:
        """Close the open piece as it is."""
        if self._file:
            self._file.close()
            self._file = None

    def _close_piece(self) -> None:
        import soundfile

        assert self._file is not None
        self._file.close()
        self._file = None
        opened, closed = (f(self._folder, self.number) for f in (open_piece, closed_piece))
        ints = _read_wav(opened, 0, PIECE_SAMPLES)
        try:
            with replacing(closed) as written, written.open("wb") as file:
                soundfile.write(
                    file,
                    ints << 8,
                    SAMPLE_RATE,
                    f"PCM_{BITS}",
                    format="FLAC",
                    compression_level=COMPRESSION,
                )
        except soundfile.LibsndfileError as error:  # such as a disk that is full
            raise OSError(None, f"{closed.name} could not be written: {error}") from error
        opened.unlink()
        self.number, self._length = self.number + 1, 0


def count_pieces(folder: Path) -> tuple[int, int]:
    """Give the number of pieces that follow each other from the first, and their samples in all.

    Raises
    ------
    KeptError
        If the last of them can't be read.
    """
    names = {path.name for path in (folder / AUDIO).glob("*")}
    count = 0
    while {closed_piece(folder, count).name, open_piece(folder, count).name} & names:
        count += 1
    if not count:
        return 0, 0
    last = closed_piece(folder, count - 1)
    size = None
    if last.name not in names:
        with suppress(FileNotFoundError):  # closed since the folder was listed
            size = open_piece(folder, count - 1).stat().st_size
    if size is None:
        import soundfile

        try:
            length = soundfile.info(str(last)).frames
        except soundfile.LibsndfileError as error:
            raise KeptError(f"{last} can't be read: {error}") from error
    else:
        length = max(0, size - WAV_HEAD_BYTES) // SAMPLE_BYTES
    return count, (count - 1) * PIECE_SAMPLES + length


def read_piece(folder: Path, number: int, start: int = 0, stop: int = PIECE_SAMPLES) -> Any:
    """Read the samples `start` to `stop` of a piece, float32; fewer where it is shorter.

    Raises
    ------
    KeptError
        If it can't be read, or is shorter than a piece in the middle is.
    """
    closed = closed_piece(folder, number)
    try:
        if not closed.exists():
            with suppress(FileNotFoundError):  # closed since
                return to_floats(_read_wav(open_piece(folder, number), start, stop))
        import soundfile

        with soundfile.SoundFile(str(closed)) as file:
            file.seek(min(start, file.frames))
            return file.read(stop - start, dtype="float32")  # exact: divided by a power of two
    except (OSError, RuntimeError) as error:  # libsndfile's errors are RuntimeErrors
        raise KeptError(f"{closed} can't be read: {error}") from error


def _read_wav(path: Path, start: int, stop: int) -> NDArray[np.int32]:
    with path.open("rb") as file:
        file.seek(WAV_HEAD_BYTES + start * SAMPLE_BYTES)
        return from_bytes(file.read((stop - start) * SAMPLE_BYTES))


def _wav_head() -> bytes:
    """Head of a WAV file whose length is not known yet, so that players take all that is there."""
    size = PIECE_SAMPLES * SAMPLE_BYTES
    form = struct.pack("<HHIIHH", 1, 1, SAMPLE_RATE, SAMPLE_RATE * SAMPLE_BYTES, SAMPLE_BYTES, BITS)
    data = struct.pack("<I", size)
    return b"".join(
        (b"RIFF", struct.pack("<I", size + 36), b"WAVEfmt ", b"\x10\0\0\0", form, b"data", data)
    )


# -- lines ----------------------------------------------------------------------------------------


def write_all(file: io.FileIO, data: bytes) -> None:
    """Write all of it: a raw file may take a part. Raises OSError."""
    view = memoryview(data)
    while view:
        view = view[file.write(view) or 0 :]


def to_line(values: Mapping[str, Any]) -> bytes:
    """Write one JSON object as a line. Floats are read back bit for bit."""
    text = json.dumps(values, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.encode(errors="replace") + b"\n"


def read_lines(path: Path) -> Iterator[dict[str, Any]]:
    """Read JSON lines up to one that a crash has cut short.

    Raises
    ------
    KeptError
        If the file can't be read.
    """
    try:
        lines = path.read_bytes().split(b"\n")
    except OSError as error:
        raise KeptError(f"{path} can't be read: {error.strerror}") from error
    for line in lines[:-1]:  # the last one is empty, or not finished
        try:
            yield json.loads(line)
        except ValueError:
            return


def event_values(event: Event) -> dict[str, Any]:
    """Give an event as JSON. An utterance has positions in place of its samples."""
    if isinstance(event, Utterance):
        return {"event": event.kind, **{name: getattr(event, name) for name in POSITIONS}}
    return {"event": event.kind, **asdict(event)}


def event_from(values: Mapping[str, Any]) -> Event | None:
    """Make the event of such JSON; None for an utterance, and for what is not an event."""
    kind = _EVENTS.get(values.get("event", ""))
    if kind is None:
        return None
    told = _known(kind, values)
    if "segments" in told:
        told["segments"] = tuple(map(_segment, told["segments"]))
    for name in ("turns", "speakers"):
        if name in told:
            turns = told[name]
            told[name] = tuple(SpeakerTurn(**_known(SpeakerTurn, turn)) for turn in turns)
    if "config" in told:
        told["config"] = config_from(told["config"])
    return kind(**told)


def config_from(values: Mapping[str, Any]) -> VadConfig:
    """Make the settings of a line. Raises ConfigError if they are not valid."""
    config: VadConfig = from_dict(VadConfig, values)
    return config


def _segment(values: Mapping[str, Any]) -> Segment:
    words = tuple(Word(**_known(Word, word)) for word in values["words"])
    return Segment(**{**_known(Segment, values), "words": words})


def _known(kind: Any, values: Mapping[str, Any]) -> dict[str, Any]:
    return {f.name: values[f.name] for f in fields(kind) if f.name in values}


def sessions_in(folder: Path) -> list[Path]:
    """Give the kept sessions in a folder, the oldest first."""
    return sorted(path.parent for path in _manifests(folder))


def _manifests(folder: Path) -> Iterable[Path]:
    return folder.glob(f"*/{MANIFEST}")
