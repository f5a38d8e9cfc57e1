"""The audio contract and its arithmetic: mono float32 at 16 kHz inside, anything outside."""

from __future__ import annotations

import base64
import functools
import html
import io
import wave
from dataclasses import InitVar, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sttlab.errors import SourceError

SAMPLE_RATE = 16_000  # Hz, what Whisper and the detectors hear
FLOOR_DBFS = -100.0  # the level of digital silence
FRAME_SAMPLES = 320  # 20 ms, in which levels are measured
BAND_HZ = (300, 6000)
"""The speech band: rumble, mains hum and offsets lie below it, and hiss above it."""
FAINTEST_DBFS = FLOOR_DBFS + 0.1  # of a frame that is not digital silence, such as an offset alone
CACHED_FRAMES = 256  # whose spectra stay in the cache
LOWEST_RATE, HIGHEST_RATE = 1_000, 768_000  # Hz, of audio that anybody records
WINDOW_S, MEMORY_S = 0.1, 10.0  # between looks at the channels, and how long they remember
DEAD = 1e-4  # of the power of the loudest channel, -40 dB
CANCELS, CANCELS_NO_MORE = 0.3, 0.6  # power of the sum of channels over the sum of their powers
ALIKE = 0.5  # correlation of channels that carry the same
CHOOSE = "choose one with channel=1 (--channel 1)"
LONGEST_PLAYER_S = 300  # a player holds its audio, 2.5 MB a minute, and the notebook the player


def to_dbfs(mean_square: NDArray[np.float64]) -> NDArray[np.float64]:
    """Turn mean squares of samples in -1..1 into levels: 20·log10(RMS), never under FLOOR_DBFS."""
    return 10 * np.log10(np.maximum(mean_square, 10 ** (FLOOR_DBFS / 10)))


def level_dbfs(samples: NDArray[np.float32]) -> float:
    """RMS level of `samples` in dBFS; FLOOR_DBFS when there are none."""
    if len(samples) == 0:
        return FLOOR_DBFS
    return float(to_dbfs(np.square(samples, dtype=np.float64).mean(keepdims=True))[0])


def frame_levels(frames: NDArray[np.float32]) -> NDArray[np.float64]:
    """RMS level of each frame within `BAND_HZ`, in dBFS, by its spectrum under a Hann window.

    A tone within the band has its own level. An offset leaves nothing in frames of 20 ms, and 60 Hz
    at 0 dBFS less than -50 dBFS.

    Parameters
    ----------
    frames : ndarray, shape (n, frame_samples), float32
        At SAMPLE_RATE.

    Returns
    -------
    ndarray, shape (n,), float64
    """
    length = frames.shape[1]
    window, scale = _hann(length)
    first, last = (round(hz * length / SAMPLE_RATE) for hz in BAND_HZ)
    means = np.empty(len(frames))
    for i in range(0, len(frames), CACHED_FRAMES):
        spectrum = np.fft.rfft(frames[i : i + CACHED_FRAMES] * window)[:, first : last + 1]
        means[i : i + CACHED_FRAMES] = (spectrum.real**2 + spectrum.imag**2).sum(axis=1)
    levels = to_dbfs(means * scale)
    return np.where(frames.any(axis=1), np.maximum(levels, FAINTEST_DBFS), FLOOR_DBFS)


@functools.cache
def _hann(length: int) -> tuple[NDArray[np.float32], float]:
    """Make the window, and what turns the power of half a spectrum under it into a mean square."""
    window = np.hanning(length + 1)[:-1].astype(np.float32)
    window.flags.writeable = False
    return window, 2 / (length * np.square(window, dtype=np.float64).sum())


def speech_level_dbfs(samples: NDArray[np.float32]) -> float:
    """RMS level of `samples` within `BAND_HZ`, in dBFS; FLOOR_DBFS when there are none."""
    powers = 10 ** (frame_levels(in_frames(samples, FRAME_SAMPLES)) / 10)
    return float(to_dbfs(powers.sum(keepdims=True) / max(len(powers), 1))[0])


def in_frames(samples: NDArray[np.float32], length: int) -> NDArray[np.float32]:
    """Cut into frames of `length` samples, shape (n, length), the last filled up with zeros."""
    missing = -len(samples) % length
    return (np.pad(samples, (0, missing)) if missing else samples).reshape(-1, length)


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
    """A caption over an HTML audio element that holds the audio itself."""
    data = base64.b64encode(wav_bytes(samples, sample_rate)).decode("ascii")
    return (
        f"<figure><figcaption>{html.escape(caption)}</figcaption>"
        f'<audio controls preload="metadata" src="data:audio/wav;base64,{data}"></audio></figure>'
    )


class Downmix:
    """Mixes the channels of a stream to one, and follows the level of each.

    All channels are averaged, but for those that are dead, and but for channels of opposite phase,
    whose mean would be silence: then the loudest is taken. The level of each channel is judged
    every WINDOW_S from the audio before, and forgotten over MEMORY_S, so that the result does not
    depend on how the stream is cut into blocks.

    Parameters
    ----------
    channels : int
    sample_rate : int, Hz
    channel : int, optional
        Take this one alone, counted from 1.

    Raises
    ------
    SourceError
        If there is no such channel.

    Attributes
    ----------
    cancels : bool
        Whether channels of opposite phase were found.
    """

    def __init__(self, channels: int, sample_rate: int, channel: int | None = None) -> None:
        if channel is not None and not 1 <= channel <= channels:
            raise SourceError(f"there is no channel {channel}; there are 1 to {channels}")
        self.channels = channels
        self._chosen = channel
        self._window = max(1, round(WINDOW_S * sample_rate))
        self._pending = np.empty((0, channels), np.float32)  # of the window that is not yet whole
        self._recent = np.zeros((channels, channels))  # the channels' products, forgotten slowly
        self._all = np.zeros((channels, channels))
        self.cancels = False
        self._taken: int | None = None
        self._weights = np.full(channels, 1 / channels)
        if channel is not None:
            self._weights = np.eye(channels)[channel - 1]

    def mix(self, samples: NDArray[np.floating[Any]]) -> NDArray[np.floating[Any]]:
        """Mix the next samples.

        Parameters
        ----------
        samples : ndarray, shape (n, channels), finite

        Returns
        -------
        ndarray, shape (n,), of the same dtype
        """
        if self.channels == 1:
            return samples[:, 0]
        if self._chosen is not None:
            return np.ascontiguousarray(samples[:, self._chosen - 1])
        mono = np.empty(len(samples), samples.dtype)
        at = 0
        while at < len(samples):
            stop = at + self._window - len(self._pending)
            part = samples[at:stop]
            mono[at:stop] = (part * self._weights.astype(samples.dtype)).sum(axis=1)
            self._pending = np.concatenate([self._pending, part])
            if len(self._pending) == self._window:
                self._judge(self._pending.astype(np.float64))
                self._pending = self._pending[:0]
            at = stop
        return mono

    def _judge(self, window: NDArray[np.float64]) -> None:
        """Choose the weights of the next window from the levels up to the end of this one."""
        products = np.einsum("ij,ik->jk", window, window)  # whose time no other thread decides
        self._all += products
        self._recent = self._recent * (1 - WINDOW_S / MEMORY_S) + products
        powers = self._recent.diagonal()
        loudest = int(powers.argmax())
        live = powers > powers[loudest] * DEAD
        if not powers[loudest]:
            return
        # Powers of channels that have nothing in common add up; those of opposite phase vanish.
        left = self._recent[np.ix_(live, live)].sum() / powers[live].sum()
        if left < (CANCELS if self._taken is None else CANCELS_NO_MORE):
            if self._taken is None or powers[loudest] > 4 * powers[self._taken]:
                self._taken = loudest
            self._weights = np.eye(self.channels)[self._taken]
            self.cancels = True
        else:
            self._taken = None
            self._weights = live / live.sum()

    def notices(self) -> list[str]:
        """Say, once all is mixed, what a person would want to know of the channels."""
        if self.channels == 1 or self._chosen is not None or not self._all.any():
            return []
        powers = self._all.diagonal()
        dead = [str(i + 1) for i in np.flatnonzero(powers <= powers.max() * DEAD)]
        if self.cancels:
            return [
                f"its {self.channels} channels cancel each other out, so one of them was taken; "
                f"{CHOOSE}"
            ]
        if dead:
            return [f"of its {self.channels} channels, {', '.join(dead)} is silent and left out"]
        scale = np.sqrt(np.outer(powers, powers))
        if (self._all / scale).min() < ALIKE:
            return [f"its {self.channels} channels differ, and were mixed; {CHOOSE}"]
        return []


def normalise(
    samples: NDArray[Any], sample_rate: int, channel: int | None = None
) -> NDArray[np.float32]:
    """Turn whatever holds audio into the one form used inside.

    Integers are scaled by their type's range, with silence in the middle of it; what is not a
    number becomes silence; channels are mixed by `Downmix`; and what is louder than full scale is
    scaled down. A DC offset stays: those who mind it take it away.

    Parameters
    ----------
    samples : ndarray, shape (n,), (n, channels) or (channels, n), any real dtype
        Of a two-dimensional array, the shorter side is the channels.
    sample_rate : int, Hz, 1,000 to 768,000
    channel : int, optional
        Take this channel alone, counted from 1.

    Returns
    -------
    ndarray, shape (m,), float32, in -1..1, mono at SAMPLE_RATE
        Never the array that was given.

    Raises
    ------
    SourceError
        If the array has another shape or dtype, or no such channel, or the rate is not one of
        audio.
    """
    samples = np.asarray(samples)
    if samples.dtype.kind not in "iufb" or samples.ndim not in (1, 2):
        raise SourceError(
            f"samples must be real numbers, mono or by channel, not {samples.dtype} of shape "
            f"{samples.shape}"
        )
    check_rate(sample_rate)
    floats = _as_floats(samples)
    if floats.ndim == 1 or not floats.size:
        floats = floats.reshape(floats.size, 1)
    elif floats.shape[0] < floats.shape[1]:
        floats = floats.T
    audio = Downmix(floats.shape[1], sample_rate, channel).mix(floats)
    peak = max(float(audio.max(initial=0.0)), -float(audio.min(initial=0.0)))
    mono: NDArray[np.float32] = (audio / peak if peak > 1 else audio).astype(np.float32, copy=False)
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
    """Raise SourceError unless `sample_rate`, in Hz, is one of audio."""
    if not LOWEST_RATE <= sample_rate <= HIGHEST_RATE:
        raise SourceError(
            f"sample_rate must be between {LOWEST_RATE} and {HIGHEST_RATE} Hz, not {sample_rate}"
        )


def trace_svg(samples: NDArray[np.float32], width: int = 600, height: int = 80) -> str:
    """Draw the level within `BAND_HZ`, from -80 to 0 dBFS: one bar for each px, at its loudest."""
    levels = frame_levels(in_frames(samples, FRAME_SAMPLES))
    bars = np.array_split(levels, min(width, max(len(levels), 1)))
    depths = [max(0.0, min(1.0, -bar.max(initial=FLOOR_DBFS) / 80)) * height for bar in bars]
    points = "L".join(f"{i * width / len(bars):g},{y:.1f}" for i, y in enumerate(depths))
    return (
        f'<svg viewBox="-50 -6 {width + 50} {height + 26}" style="max-width:{width + 50}px"'
        ' role="img" aria-label="level of speech over time" font-size="10" fill="#858585">'
        f'<path d="M0,{height}L{points}L{width},{height}Z" fill="#2f8fd0"/>'
        f'<text x="-46" y="4">0 dBFS</text><text x="-46" y="{height}">−80</text>'
        f'<text y="{height + 14}">0 s</text>'
        f'<text x="{width}" y="{height + 14}" text-anchor="end">'
        f"{len(samples) / SAMPLE_RATE:.1f} s</text></svg>"
    )


@dataclass(frozen=True, eq=False)
class Recording:
    """A stretch of audio.

    Parameters
    ----------
    samples : ndarray
        As `normalise` takes them; kept as mono float32 at SAMPLE_RATE, read-only.
    sample_rate : int, Hz
        Of the samples given; afterwards always SAMPLE_RATE.
    origin : str
        Where it comes from: a file's path, a microphone's name.
    notices : tuple of str
        What a person should know of it, such as what of a file could not be decoded.
    channel : int, optional
        Of the samples given, take this channel alone, counted from 1. By default all are mixed.

    Raises
    ------
    SourceError
        If the samples are not audio.

    Examples
    --------
    >>> recording = Recording(np.zeros(32000))
    >>> recording[0.5:1.5].duration_s
    1.0
    """

    samples: NDArray[np.float32]
    sample_rate: int = SAMPLE_RATE
    origin: str = ""
    notices: tuple[str, ...] = ()
    channel: InitVar[int | None] = None

    def __post_init__(self, channel: int | None) -> None:
        samples = normalise(self.samples, self.sample_rate, channel)
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
        notices = "".join(f"<p>⚠ {html.escape(notice)}</p>" for notice in self.notices)
        return f"{trace_svg(self.samples)}{player}{notices}"


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
