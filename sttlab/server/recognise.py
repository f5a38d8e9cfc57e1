"""Recognises audio that is sent in another form than 16-bit little-endian mono samples."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sttlab.server.forms import from_mulaw

CHUNK_S = 0.5  # of audio that is judged at a time
ALARMS = 3  # chunks that must agree before a client is refused
RIGHT = 2  # chunks that must be as they should before all is well
WINDOWS = 10  # of a chunk
HEAD_BYTES = 64
MOST = 20  # chunks that are judged; later ones would add chances of a false alarm
LOUD, VERY_LOUD = 1600.0, 9800.0  # in 16-bit steps: bytes that are read as what they aren't
AUDIBLE = 3.0  # in 16-bit steps
ASYMMETRIC = 0.3

SEND = "send 16-bit little-endian mono samples"
# How a file begins, and what to do.
HEADS = (
    (rb"\x1aE\xdf\xa3", "this is WebM: add format=webm to the address"),
    (rb"OggS\x00", "this is Ogg: add format=ogg to the address"),
    (
        rb"(?:RIFF|RF64)....WAVE",
        "this is WAV: send its samples without the header, with rate= and channels=",
    ),
    (rb"fLaC\x00\x00\x00", f"this is FLAC: {SEND}"),
    (rb"\x00\x00..ftyp", "this is MP4: record WebM, and add format=webm to the address"),
    (rb"ID3[\x02-\x04]\x00", f"this is MP3: {SEND}"),
)
PRINTABLE = re.compile(rb"(?=.*\d)(?=.*[A-Za-z\"\[])[\t\n\r -~]{64}", re.DOTALL)
UPPER_BYTES = 6  # values that upper bytes of samples beside a large offset have at most
TEXT = re.compile(
    r"[A-Za-z0-9+/_-]{100}"  # base64
    r"|(?:(?:\"\d+\":\s*)?-?\d[\d.eE+-]{0,30}\s*,\s*){30}"  # numbers
)
MESSAGES = {
    "float32": "this is 32-bit float, called 16-bit: add format=f32le to the address",
    "stereo": "these are two channels, called mono: add channels=2 to the address",
    "mulaw": "this is mu-law, called 16-bit: add format=mulaw&rate=8000 to the address",
    "big-endian": f"this is big-endian: {SEND}",
    "8-bit": f"this is 8-bit: {SEND}",
}


def audio_in_text(text: str) -> str | None:
    """Say what to send instead of audio that is written as text; None if it isn't that."""
    if TEXT.search(text, 0, 2000):
        return f"audio may not be text, such as base64: {SEND} in binary messages"
    return None


class Recogniser:
    """Judges the first seconds of what should be 16-bit mono samples."""

    def __init__(self, sample_rate: int) -> None:
        step = 4 * WINDOWS
        self._chunk_bytes = step * max(1, round(CHUNK_S * sample_rate * 2 / step))
        self._waiting = bytearray()
        self._taken = self._audible = 0  # chunks
        self._seen: list[str] = []
        self._done = False

    def hear(self, data: bytes) -> str | None:
        """Take the next bytes; say what to send instead if they are in another form."""
        if self._done:
            return None
        self._waiting += data
        if not self._taken:
            head = bytes(self._waiting[:HEAD_BYTES])
            for pattern, message in HEADS:
                if re.match(pattern, head, re.DOTALL):
                    return message
            if PRINTABLE.match(head) and len(set(head[1::2])) > UPPER_BYTES:
                return f"this is text: {SEND}"
        while len(self._waiting) >= self._chunk_bytes and not self._done:
            chunk = bytes(self._waiting[: self._chunk_bytes])
            del self._waiting[: self._chunk_bytes]
            self._taken += 1
            if not np.frombuffer(chunk, np.uint8).any():
                continue
            form = judge(chunk)
            self._audible += 1
            if form:
                self._seen.append(form)
            self._done = self._seen.count("right") >= RIGHT or self._audible >= MOST
            if form and form != "right" and self._seen.count(form) >= ALARMS:
                return MESSAGES[form]
        if self._done:
            self._waiting.clear()
        return None


def judge(chunk: bytes) -> str | None:
    """Say in which form a chunk is; None if it doesn't tell, such as noise."""
    samples = np.frombuffer(chunk, "<i2").astype(np.float64)
    if _is_float(chunk):
        return "float32"
    rms = float(samples.std())
    if rms < AUDIBLE:
        return None
    own = _smoothness(samples)
    if rms > LOUD:
        others: dict[str, NDArray[Any]] = {
            "mulaw": from_mulaw(chunk),
            "big-endian": np.frombuffer(chunk, ">i2").astype(np.float64),
            "8-bit": np.frombuffer(chunk, "u1").astype(np.float64),
        }
        best = max(others, key=lambda name: _smoothness(others[name]))
        found = _smoothness(others[best])
        if found > 0.5 and (own < 0.3 or (rms > VERY_LOUD and found > own + 0.1)):
            return best
    if _is_stereo(samples):
        return "stereo"
    return "right" if own > 0.5 and rms < VERY_LOUD else None


def _smoothness(samples: NDArray[np.float64]) -> float:
    """Return the correlation of neighbours: the lesser of those within pairs and across pairs.

    It is the median of those of the windows that are not flat. A step from one window to the next,
    such as from digital silence to a noise, doesn't count.
    """
    windows = samples.reshape(WINDOWS, -1)
    windows = windows - windows.mean(axis=1, keepdims=True)
    power = np.mean(np.square(windows), axis=1)
    within = np.mean(windows[:, :-1:2] * windows[:, 1::2], axis=1)
    across = np.mean(windows[:, 1:-1:2] * windows[:, 2::2], axis=1)
    heard = power > 0
    if not heard.any():
        return 0.0
    return float(np.median(np.minimum(within, across)[heard] / power[heard]))


def _is_float(chunk: bytes) -> bool:
    """Whether exponents are where 32-bit floats have them, and only there."""
    words = np.frombuffer(chunk, "<u2").reshape(-1, 2)
    low, high = words[words.any(axis=1)].T
    if len(high) < len(words) // 20:
        return False

    def in_band(part: NDArray[np.uint16]) -> float:
        exponents = (part >> 7) & 0xFF
        return float(np.mean((exponents >= 90) & (exponents <= 143)))

    return in_band(high) > 0.95 and in_band(low) < 0.6


def _is_stereo(samples: NDArray[np.float64]) -> bool:
    """Whether even and odd samples differ in power, or pairs differ from the pairs between them."""
    pairs = samples.reshape(WINDOWS, -1, 2)
    pairs = pairs - pairs.mean(axis=(1, 2), keepdims=True)
    even, odd = np.mean(np.square(pairs), axis=1).T
    within = np.mean(np.square(pairs[:, :, 1] - pairs[:, :, 0]), axis=1)
    across = np.mean(np.square(pairs[:, 1:, 0] - pairs[:, :-1, 1]), axis=1)
    loud = even + odd > 2 * AUDIBLE**2
    powers = np.abs(even - odd) > ASYMMETRIC * (even + odd)
    steps = np.abs(within - across) > ASYMMETRIC * (within + across)
    # Neighbours within a channel are alike.
    lag = np.mean(pairs[:, 1:] * pairs[:, :-1], axis=(1, 2)) > 0.5 * (even + odd) / 2
    return bool(
        loud.sum() >= WINDOWS // 2
        and np.mean((powers | steps)[loud]) >= 0.9
        and np.mean(lag[loud]) >= 0.5
    )
