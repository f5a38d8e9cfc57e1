"""The audio contract and its arithmetic: mono float32 at 16 kHz inside, anything outside."""

from __future__ import annotations

import base64
import html
import io
import wave

import numpy as np
from numpy.typing import NDArray

SAMPLE_RATE = 16_000  # Hz, what Whisper and the detectors hear
FLOOR_DBFS = -100.0  # the level of digital silence


def to_dbfs(mean_square: NDArray[np.float64]) -> NDArray[np.float64]:
    """Turn mean squares of samples in -1..1 into levels: 20·log10(RMS), never under FLOOR_DBFS."""
    return 10 * np.log10(np.maximum(mean_square, 10 ** (FLOOR_DBFS / 10)))


def level_dbfs(samples: NDArray[np.float32]) -> float:
    """RMS level of `samples` in dBFS; FLOOR_DBFS when there are none."""
    if len(samples) == 0:
        return FLOOR_DBFS
    return float(to_dbfs(np.square(samples, dtype=np.float64).mean(keepdims=True))[0])


def to_pcm16(samples: NDArray[np.float32]) -> NDArray[np.int16]:
    """Turn samples in -1..1 into 16-bit integers, clipping what is louder."""
    scaled = np.rint(samples * np.float32(32768.0))
    pcm: NDArray[np.int16] = np.clip(scaled, -32768, 32767).astype(np.int16)
    return pcm


def from_pcm16(data: bytes | NDArray[np.int16]) -> NDArray[np.float32]:
    """Turn little-endian 16-bit samples into float32 in -1..1."""
    ints = np.frombuffer(data, "<i2") if isinstance(data, bytes) else data
    samples: NDArray[np.float32] = ints.astype(np.float32) * np.float32(2**-15)
    return samples


def wav_bytes(samples: NDArray[np.float32], sample_rate: int = SAMPLE_RATE) -> bytes:
    """Encode mono samples as a 16-bit WAV file."""
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(sample_rate)
        file.writeframes(to_pcm16(samples).astype("<i2").tobytes())
    return buffer.getvalue()


def player_html(samples: NDArray[np.float32], caption: str, sample_rate: int = SAMPLE_RATE) -> str:
    """A caption over an HTML audio element that holds the sound itself."""
    data = base64.b64encode(wav_bytes(samples, sample_rate)).decode("ascii")
    return (
        f"<figure><figcaption>{html.escape(caption)}</figcaption>"
        f'<audio controls preload="none" src="data:audio/wav;base64,{data}"></audio></figure>'
    )
