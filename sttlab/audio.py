"""The audio contract and its arithmetic: mono float32 at 16 kHz inside, anything outside."""

from __future__ import annotations

import base64
import html
import io
import logging
import wave
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import FileIO
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from sttlab.errors import DecodeError, SourceError

log = logging.getLogger(__name__)

SAMPLE_RATE = 16_000  # Hz, what Whisper and the detectors hear
FLOOR_DBFS = -100.0  # the level of digital silence
LOWEST_RATE, HIGHEST_RATE = 1_000, 768_000  # Hz, of sound that anybody records
LONGEST_LOAD_S = 6 * 3600  # a small file can hold days of sound; in memory, an hour is 230 MB
LONGEST_PLAYER_S = 300  # a player holds its sound, 2.5 MB a minute, and the notebook the player

# What is decoded: containers that hold sound, and none that names other files to open (playlists).
FORMATS = (
    "wav,w64,rf64,aiff,au,caf,flac,mp3,ogg,mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,aac,ac3,eac3,amr,"
    "amrnb,amrwb,asf,avi,mpegts,mpeg,g722,gsm,nistsphere,tta,wv,ape,dsf,loas"
)


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


def normalise(samples: NDArray[Any], sample_rate: int) -> NDArray[np.float32]:
    """Turn whatever holds sound into the one form used inside.

    Integers are scaled by their type's range, with silence in the middle of it; what is not a
    number becomes silence; channels are averaged; and what is louder than full scale is scaled
    down. A DC offset stays: those who mind it take it away.

    Parameters
    ----------
    samples : ndarray, shape (n,), (n, channels) or (channels, n), any real dtype
        Of a two-dimensional array, the shorter side is the channels.
    sample_rate : int, Hz, 1,000 to 768,000

    Returns
    -------
    ndarray, shape (m,), float32, in -1..1, mono at SAMPLE_RATE
        Never the array that was given.

    Raises
    ------
    SourceError
        If the array has another shape or dtype, or the rate is not one of sound.
    """
    samples = np.asarray(samples)
    if samples.dtype.kind not in "iufb" or samples.ndim not in (1, 2):
        raise SourceError(
            f"samples must be real numbers, mono or by channel, not {samples.dtype} of shape "
            f"{samples.shape}"
        )
    check_rate(sample_rate)
    sound = _as_floats(samples)
    if sound.ndim == 2 and sound.size:
        sound = sound.mean(axis=int(sound.shape[0] > sound.shape[1]))
    sound = sound.ravel()
    peak = max(float(sound.max(initial=0.0)), -float(sound.min(initial=0.0)))
    mono: NDArray[np.float32] = (sound / peak if peak > 1 else sound).astype(np.float32, copy=False)
    if sample_rate != SAMPLE_RATE and len(mono):
        import soxr

        mono = soxr.resample(mono, sample_rate, SAMPLE_RATE)
        np.clip(mono, -1, 1, out=mono)  # a resampler overshoots
    return mono


def _as_floats(samples: NDArray[Any]) -> NDArray[np.floating[Any]]:
    """Copy to floats that are all finite; integers and logical values to -1..1."""
    kind = samples.dtype.kind
    if kind in "iu":
        limits = np.iinfo(samples.dtype)
        half = (int(limits.max) - int(limits.min) + 1) / 2
        middle = half if kind == "u" else 0.0
        return (samples.astype(np.float64) - middle) / half
    floats = samples.astype(np.float64 if samples.dtype.itemsize > 4 else np.float32)
    return np.nan_to_num(floats, copy=False, posinf=0.0, neginf=0.0)


def check_rate(sample_rate: int) -> None:
    """Raise SourceError unless `sample_rate`, in Hz, is one of sound."""
    if not LOWEST_RATE <= sample_rate <= HIGHEST_RATE:
        raise SourceError(
            f"sample_rate must be between {LOWEST_RATE} and {HIGHEST_RATE} Hz, not {sample_rate}"
        )


@contextmanager
def open_audio(file: str | Path | BinaryIO | FileIO) -> Iterator[Iterator[NDArray[np.float32]]]:
    """Open a file and give its sound piece by piece, decoded and resampled by FFmpeg.

    Parameters
    ----------
    file : str, Path or binary file
        Any container in FORMATS, any rate, any channels. One that is open must be seekable; its
        `name`, if it has one, tells the few formats that don't show in the content.

    Returns
    -------
    context manager of an iterator of ndarray, shape (n,), float32, in -1..1, mono at SAMPLE_RATE
        Channels are averaged, and what is louder than full scale is clipped.

    Raises
    ------
    DecodeError
        On entering, if there is no such file, it isn't sound, or nothing of it can be decoded.
        What is broken further on is left out, with a warning in the log.
    """
    with _opened(file) as (container, name):
        pieces = _decoded(container, name)
        try:
            first = next(pieces)
        except StopIteration:
            raise DecodeError(f"{name} holds no sound that can be decoded") from None
        yield chain([first], pieces)


def said_duration_s(file: BinaryIO | FileIO) -> float | None:
    """Give the length in seconds that an open file says it has, if it says; often it errs.

    Raises
    ------
    DecodeError
        If it isn't sound.
    """
    with _opened(file) as (container, _):
        return container.duration / 1e6 if container.duration else None


@contextmanager
def _opened(file: str | Path | BinaryIO | FileIO) -> Iterator[tuple[Any, str]]:
    import av

    target: Any = file
    name = "this file"
    if isinstance(file, str | Path):
        _require_file(Path(file))
        target, name = f"file:{file}", str(file)
    try:
        container = av.open(
            target,
            options={"format_whitelist": FORMATS},
            metadata_errors="replace",  # a title in Latin-1 is no reason to refuse the sound
        )
    except (av.FFmpegError, ValueError) as error:
        raise DecodeError(f"{name} is no sound file that can be decoded: {_why(error)}") from error
    with container:
        if not container.streams.audio:
            raise DecodeError(f"{name} has no audio track")
        yield container, name


def _require_file(path: Path) -> None:
    if not path.is_file():
        what = "a folder" if path.is_dir() else "no file" if path.exists() else "not there"
        raise DecodeError(f"{path} is {what}; give the path of a recording")
    if path.stat().st_size == 0:
        raise DecodeError(f"{path} is empty")


def _decoded(container: Any, name: str) -> Iterator[NDArray[np.float32]]:
    import av

    broken = 0
    resampler: Any = None
    kind = None
    try:
        for packet in container.demux(audio=0):
            try:
                frames = packet.decode()
            except av.InvalidDataError:
                broken += 1
                continue
            for frame in frames:
                if kind != (kind := (frame.format.name, frame.layout.name, frame.sample_rate)):
                    if resampler is not None:
                        yield from _mono(resampler.resample(None))
                    resampler = _resampler(frame.sample_rate, name)
                frame.pts = None  # broken times must not make the resampler fill or drop
                yield from _mono(resampler.resample(frame))
        if resampler is not None:
            yield from _mono(resampler.resample(None))
    except (av.FFmpegError, ValueError) as error:
        log.warning("%s is broken and ends early: %s", name, _why(error))
    if broken:
        log.warning("%s is broken; pieces that were left out: %d", name, broken)


def _why(error: Exception) -> str:
    """Say what FFmpeg said, without the numbers that it puts around it."""
    return getattr(error, "strerror", None) or str(error)


def _resampler(sample_rate: int, name: str) -> Any:
    import av

    try:
        check_rate(sample_rate)
    except SourceError as error:
        raise DecodeError(f"{name} holds no sound that can be decoded: {error}") from error
    return av.AudioResampler(format="flt", rate=SAMPLE_RATE)  # planes crash PyAV if there are 8


def _mono(frames: list[Any]) -> Iterator[NDArray[np.float32]]:
    for frame in frames:
        samples = np.nan_to_num(frame.to_ndarray(), posinf=0.0, neginf=0.0)
        yield np.clip(samples.reshape(-1, frame.layout.nb_channels).mean(axis=1), -1, 1)


def trace_svg(samples: NDArray[np.float32], width: int = 600, height: int = 80) -> str:
    """Draw the level from -80 to 0 dBFS over time: one bar for each px, at its loudest 20 ms."""
    frames = samples[: len(samples) // 320 * 320].reshape(-1, 320)
    levels = to_dbfs(np.einsum("ij,ij->i", frames, frames, dtype=np.float64) / 320)
    bars = np.array_split(levels, min(width, max(len(levels), 1)))
    depths = [max(0.0, min(1.0, -bar.max(initial=FLOOR_DBFS) / 80)) * height for bar in bars]
    points = "L".join(f"{i * width / len(bars):g},{y:.1f}" for i, y in enumerate(depths))
    return (
        f'<svg viewBox="-50 -6 {width + 50} {height + 26}" style="max-width:{width + 50}px"'
        ' role="img" aria-label="level over time" font-size="10" fill="#858585">'
        f'<path d="M0,{height}L{points}L{width},{height}Z" fill="#2f8fd0"/>'
        f'<text x="-46" y="4">0 dBFS</text><text x="-46" y="{height}">−80</text>'
        f'<text y="{height + 14}">0 s</text>'
        f'<text x="{width}" y="{height + 14}" text-anchor="end">'
        f"{len(samples) / SAMPLE_RATE:.1f} s</text></svg>"
    )


@dataclass(frozen=True, eq=False)
class Recording:
    """A stretch of sound.

    Parameters
    ----------
    samples : ndarray
        As `normalise` takes them; kept as mono float32 at SAMPLE_RATE, read-only.
    sample_rate : int, Hz
        Of the samples given; afterwards always SAMPLE_RATE.
    origin : str
        Where it comes from: a file's path, a microphone's name.

    Raises
    ------
    SourceError
        If the samples are not something that can be heard.

    Examples
    --------
    >>> recording = Recording(np.zeros(32000))
    >>> recording[0.5:1.5].duration_s
    1.0
    """

    samples: NDArray[np.float32]
    sample_rate: int = SAMPLE_RATE
    origin: str = ""

    def __post_init__(self) -> None:
        samples = normalise(self.samples, self.sample_rate)
        samples.flags.writeable = False
        object.__setattr__(self, "samples", samples)
        object.__setattr__(self, "sample_rate", SAMPLE_RATE)

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return len(self.samples) / SAMPLE_RATE

    def __getitem__(self, seconds: slice) -> Recording:
        """Cut out a stretch, in seconds: ``recording[1.0:2.5]``."""
        if not isinstance(seconds, slice) or seconds.step is not None:
            raise TypeError("cut a recording in seconds, such as recording[1.0:2.5]")
        bounds = [
            None if edge is None else round(edge * SAMPLE_RATE)
            for edge in (seconds.start, seconds.stop)
        ]
        return Recording(self.samples[slice(*bounds)], origin=self.origin)

    def save(self, path: str | Path) -> None:
        """Write a 16-bit .wav or .flac file.

        Raises
        ------
        SourceError
            If the name ends otherwise, or the file can't be written.
        """
        path = Path(path)
        try:
            if path.suffix.lower() == ".wav":
                path.write_bytes(wav_bytes(self.samples))
            elif path.suffix.lower() == ".flac":
                _write_flac(path, self.samples)
            else:
                raise SourceError(f"{path}: a recording is saved as .wav or .flac")
        except OSError as error:
            raise SourceError(f"cannot write {path}: {error.strerror}") from error

    def _repr_html_(self) -> str:
        name = self.origin or "recording"
        caption = f"{name}: {self.duration_s:.2f} s"
        if self.duration_s > LONGEST_PLAYER_S:
            caption += f", of which the player has the first {LONGEST_PLAYER_S // 60} minutes"
        player = player_html(self.samples[: LONGEST_PLAYER_S * SAMPLE_RATE], caption)
        return f"{trace_svg(self.samples)}{player}"


def _write_flac(path: Path, samples: NDArray[np.float32]) -> None:
    import av

    with av.open(f"file:{path}", "w", format="flac") as container:
        stream = container.add_stream("flac", rate=SAMPLE_RATE, layout="mono", format="s16")
        for start in range(0, len(samples), 4096):
            pcm = to_pcm16(samples[start : start + 4096])
            frame = av.AudioFrame.from_ndarray(pcm[np.newaxis], format="s16", layout="mono")
            frame.sample_rate = SAMPLE_RATE
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def load(path: str | Path) -> Recording:
    """Read a recording from a file of nearly any kind.

    Parameters
    ----------
    path : str or Path
        wav, flac, mp3, m4a, ogg, opus, webm, aiff, mp4 and others; any rate, any channels.

    Raises
    ------
    DecodeError
        If there is no such file, it holds no sound, or more than six hours of it.
    """
    pieces = []
    length = 0
    with open_audio(path) as sound:
        for piece in sound:
            pieces.append(piece)
            length += len(piece)
            if length > LONGEST_LOAD_S * SAMPLE_RATE:
                raise DecodeError(f"{path} is longer than six hours: cut it, or use FileSource")
    return Recording(np.concatenate(pieces), origin=str(path))
