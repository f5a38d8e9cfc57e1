"""The forms in which a client may send its audio: `format=`, `rate=` and `channels=` of `/ws`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from sttlab.audio import SAMPLE_RATE, Downmix, check_rate, from_pcm16
from sttlab.errors import SourceError

Format: TypeAlias = Literal["s16le", "f32le", "mulaw", "webm", "ogg"]

SAMPLE_BYTES = {"s16le": 2, "f32le": 4, "mulaw": 1}
MULAW_RATE = 8000  # of telephones, which nearly all mu-law comes from
MOST_CHANNELS = 8
LARGEST = 4.0  # of a float sample: some systems exceed 1, but none by much


@dataclass(frozen=True)
class Form:
    """How a client sends its audio.

    Parameters
    ----------
    format : str
    rate : int, Hz, optional
        By default SAMPLE_RATE, and MULAW_RATE for mu-law. Containers say it themselves.
    channels : int
        Interleaved. Containers say it themselves.

    Raises
    ------
    SourceError
        If there are too many channels, or none, or the rate is not a valid sample rate of audio.
    """

    format: Format = "s16le"
    rate: int | None = None
    channels: int = 1

    def __post_init__(self) -> None:
        if not 1 <= self.channels <= MOST_CHANNELS:
            raise SourceError(f"channels must be between 1 and {MOST_CHANNELS}")
        check_rate(self.sample_rate)

    @property
    def is_container(self) -> bool:
        """Whether it must be decoded by FFmpeg, which says rate and channels."""
        return self.format not in SAMPLE_BYTES

    @property
    def sample_rate(self) -> int:
        """Of the mono samples that are made of it, in Hz."""
        if self.is_container:
            return SAMPLE_RATE
        return self.rate or (MULAW_RATE if self.format == "mulaw" else SAMPLE_RATE)

    @property
    def frame_bytes(self) -> int:
        """Of one sample of all channels; 1 for a container."""
        return SAMPLE_BYTES.get(self.format, 1) * self.channels


class Unpacker:
    """Turns raw samples of any form into mono ones.

    Parameters
    ----------
    form : Form
        No container.
    """

    def __init__(self, form: Form) -> None:
        self._form = form
        self._mixer = Downmix(form.channels, form.sample_rate)

    def unpack(self, data: bytes) -> NDArray[np.float32]:
        """Decode to mono samples in -1..1.

        Raises
        ------
        SourceError
            If the data end within a sample, or can't be of that form.
        """
        form = self._form
        if len(data) % form.frame_bytes:
            if form.format == "s16le" and form.channels == 1:
                raise SourceError("16-bit samples come in pairs of bytes")
            what = f"{form.format} with channels={form.channels}"
            raise SourceError(f"{what} comes {form.frame_bytes} bytes at a time")
        if form.format == "s16le":
            samples = from_pcm16(data)
        elif form.format == "mulaw":
            samples = from_mulaw(data)
        else:
            samples = np.frombuffer(data, "<f4").astype(np.float32)
            if len(samples) and not np.mean(np.abs(samples) <= LARGEST) > 0.9:
                raise SourceError("these are not 32-bit little-endian floats in -1..1")
            samples = np.nan_to_num(np.clip(samples, -1, 1))
        mono: NDArray[np.float32] = self._mixer.mix(samples.reshape(-1, form.channels))
        return mono


def _mulaw_table() -> NDArray[np.float32]:
    codes = ~np.arange(256)
    magnitude = (((codes & 0x0F) << 3) + 0x84 << ((codes & 0x70) >> 4)) - 0x84
    signed = np.where(codes & 0x80, -magnitude, magnitude)
    return (signed / 32768).astype(np.float32)


MULAW = _mulaw_table()  # G.711: a byte's sample in -1..1


def from_mulaw(data: bytes) -> NDArray[np.float32]:
    """Decode mu-law samples to -1..1."""
    samples: NDArray[np.float32] = MULAW[np.frombuffer(data, "u1")]
    return samples
