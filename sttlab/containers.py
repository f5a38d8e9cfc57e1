"""What is told from the bytes of an audio file: where joined files begin, and what a WAV claims."""

from __future__ import annotations

import io
import re
import struct
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, BinaryIO, TypeAlias

OpenFile: TypeAlias = BinaryIO | io.FileIO

HEAD_BYTES = 1 << 16  # that hold the header of a WAV file
SCAN_BYTES = 1 << 22  # read at a time to look for a file joined to another
SEEN_BYTES = 128  # more than a beginning has
PCM, FLOAT, EXTENSIBLE = 1, 3, 0xFFFE  # formats of a WAV file
UNKNOWN_BYTES = 0x7FFF_F000  # and more: a recorder that streams claims so, or twice as much, or 0

# How a whole file of each kind begins, and what never stands inside one.
OGG = rb"OggS\x00\x02\x00{8}"
BEGINNINGS = (
    rb"RIFF....WAVE",
    rb"riff\x2e\x91\xcf\x11\xa5\xd6\x28\xdb",  # Wave64
    rb"fLaC\x00\x00\x00\x22",
    rb"\x00\x00\x00.ftyp[ -~]{4}",
    rb"\x1aE\xdf\xa3.{1,64}?\x42\x82.(?:webm|matroska)",
    rb"FORM....AIF[FC]",
    rb"caff\x00\x01\x00\x00",
    rb"\x30\x26\xb2\x75\x8e\x66\xcf\x11",  # ASF, such as WMA
    rb"TTA1\x01\x00",
    OGG,
)


class Part(io.RawIOBase):
    """The bytes from `start` to `end` of a file that is open, as a file of their own."""

    def __init__(self, file: OpenFile, start: int, end: int) -> None:
        self._file = file
        self._start, self._end = start, end
        self._at = start

    def readable(self) -> bool:
        """Say that it can be read."""
        return True

    def seekable(self) -> bool:
        """Say that it can be read from any place."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a place, which is never outside of the part."""
        origin = {io.SEEK_SET: self._start, io.SEEK_CUR: self._at, io.SEEK_END: self._end}[whence]
        self._at = min(max(origin + offset, self._start), self._end)
        return self._at - self._start

    def readinto(self, buffer: Any) -> int:
        """Read into a buffer, and return the number of bytes."""
        self._file.seek(self._at)
        data = self._file.read(min(len(buffer), self._end - self._at)) or b""
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)


def find_parts(file: OpenFile) -> list[tuple[int, int]]:
    """Find the files that `file` was joined of, as (start, end) in bytes; nearly always one."""
    size = file.seek(0, io.SEEK_END)
    file.seek(0)
    head = file.read(SEEN_BYTES) or b""
    kind = next((kind for kind in BEGINNINGS if re.match(kind, head, re.DOTALL)), None)
    starts = [0]
    if kind is not None:
        starts = sorted(_find(re.compile(kind, re.DOTALL), file, size))
    if kind == OGG:  # streams that are multiplexed begin one right after the other
        joined = [not _is_right_after(file, *pair) for pair in pairwise(starts)]
        starts = [0, *(start for start, new in zip(starts[1:], joined, strict=True) if new)]
    return list(zip(starts, [*starts[1:], size], strict=True))


def _find(kind: re.Pattern[bytes], file: OpenFile, size: int) -> set[int]:
    found = set()
    for start in range(0, size, SCAN_BYTES):
        file.seek(start)
        window = file.read(SCAN_BYTES + SEEN_BYTES) or b""
        found |= {start + match.start() for match in kind.finditer(window)}
    return found


def _is_right_after(file: OpenFile, page: int, other: int) -> bool:
    """Whether the page of Ogg at `page` ends where the one at `other` begins."""
    file.seek(page)
    header = file.read(27 + 255) or b""
    lengths = header[27 : 27 + header[26]]
    return page + 27 + len(lengths) + sum(lengths) == other


@dataclass(frozen=True)
class WavHeader:
    """What a WAV file claims; the audio is `data_bytes` from `data_start` on."""

    format: int
    channels: int
    sample_rate: int
    block_bytes: int
    valid_bits: int
    data_start: int
    data_bytes: int

    @classmethod
    def read(cls, head: bytes) -> WavHeader | None:
        """Read the header at the beginning of a file; None if it isn't one, or has no audio."""
        if head[:4] != b"RIFF" or head[8:12] != b"WAVE":
            return None
        at, form = 12, b""
        while at + 8 <= len(head):
            name, size = head[at : at + 4], struct.unpack_from("<I", head, at + 4)[0]
            if name == b"fmt ":
                form = head[at + 8 : at + 8 + size]
            if name == b"data" and len(form) >= 16:
                kind, channels, rate, _, block, bits = struct.unpack_from("<HHIIHH", form)
                if kind == EXTENSIBLE and len(form) >= 26:
                    valid, _, kind = struct.unpack_from("<HIH", form, 18)
                    bits = min(bits, valid or bits)
                return cls(kind, channels, rate, block, bits, at + 8, size)
            at += 8 + size + size % 2
        return None

    @property
    def is_padded(self) -> bool:
        """Whether a sample takes more bytes than its bits need, where FFmpeg guesses wrong."""
        needed = self.channels * -(-self.valid_bits // 8)
        return self.format in (PCM, FLOAT) and 0 < needed < self.block_bytes

    def seconds(self, size: int) -> tuple[float, float] | None:
        """Return the seconds it claims, and those that a file of `size` bytes has, if known."""
        per_s = self.block_bytes * self.sample_rate
        if not per_s or not self.data_bytes or self.data_bytes % (1 << 31) >= UNKNOWN_BYTES:
            return None
        there = min(self.data_bytes, max(0, size - self.data_start))
        return self.data_bytes / per_s, there / per_s
