"""One audio track of a file: its packets become samples, in step with its time stamps."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from sttlab.audio import SAMPLE_RATE, Downmix, check_rate
from sttlab.errors import DecodeError, SourceError
from sttlab.opening import BLOCK_SAMPLES, why_of

GAP_S = 0.1  # time stamps that differ by less are rounded
DRIFT_S = 0.25  # by which many small gaps may add up
LONGEST_GAP_S = 3600.0  # where the file does not say how long it is
SHORT_S = 1.0  # by which the lengths that headers claim may err

MP4, WEBM = "mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm"  # as FFmpeg calls what it finds
# Those with time stamps of their own; with others FFmpeg makes them up.
TIMED = {MP4, WEBM, "ogg", "asf", "avi", "flv", "live_flv", "mpegts", "mpeg", "nut", "mxf", "wtv"}
# With these the length in the header is exact, and not guessed from the bit rate.
EXACT_LENGTHS = {MP4, WEBM, "flac", "aiff", "caf", "w64", "asf", "avi"}

Notice: TypeAlias = Callable[[str], None]


@dataclass(frozen=True)
class Wanted:
    """What the caller of `open_audio` asked for; `name` is the file's, for messages."""

    track: int | None
    channel: int | None
    longest_s: float | None
    notice: Notice
    name: str

    @property
    def too_long(self) -> DecodeError:
        """What to raise where the audio is longer than `longest_s`."""
        hours = (self.longest_s or 0) / 3600
        return DecodeError(
            f"{self.name} is longer than {hours:.0f} hours: cut it, or use FileSource"
        )

    def say_if_short(self, claimed_s: float, there_s: float) -> None:
        """Notice that less audio is there than the header claims."""
        if 0 < there_s < claimed_s - SHORT_S / 2:
            self.notice(
                f"{self.name} ends early: its header claims {claimed_s:.1f} s, and "
                f"{there_s:.1f} s are there"
            )


class TrackReader:
    """One audio track, decoded in step with its time stamps.

    Parameters
    ----------
    container, stream
        Of PyAV; read from the beginning.
    wanted : Wanted
    """

    def __init__(self, container: Any, stream: Any, wanted: Wanted) -> None:
        self._container = container
        self._stream = stream
        self._wanted = wanted
        self._origin_s = (container.start_time or 0) / 1e6
        self._said_s = container.duration / 1e6 if container.duration else None
        self._produced = 0  # samples at SAMPLE_RATE
        self._end_s = 0.0  # of the last frame, by its time stamp
        self._shift_s = 0.0  # by which time stamps that jump are put right
        self._resampler: Any = None
        self._kind: Any = None
        self._mixer: Downmix | None = None

    def pieces(self) -> Iterator[NDArray[np.float32]]:
        """Yield the audio, mono at SAMPLE_RATE; floats may exceed 1."""
        import av

        name, broken = self._wanted.name, 0
        if self._stream.codec_context is None:
            raise DecodeError(f"{name} holds audio that can't be decoded: its codec is unknown")
        try:
            for packet in self._container.demux(self._stream):
                try:
                    frames = packet.decode()
                except av.InvalidDataError:
                    broken += 1
                    continue
                for frame in frames:
                    yield from self._take(frame)
            yield from self._flush()
        except (av.FFmpegError, ValueError) as error:
            self._wanted.notice(f"{name} is broken and ends early: {why_of(error)}")
        if broken:
            self._wanted.notice(f"{name} is broken; pieces that were left out: {broken}")
        self._wanted.say_if_short(self._claimed_s(), self._produced / SAMPLE_RATE)
        if self._mixer:
            for notice in self._mixer.notices():
                self._wanted.notice(f"{name}: {notice}")

    def _take(self, frame: Any) -> Iterator[NDArray[np.float32]]:
        kind = frame.format.name, frame.layout.name, frame.sample_rate
        if kind != self._kind:
            yield from self._flush()
            self._kind = kind
            self._begin(frame)
        if silence := self._missing_before(frame):
            yield from self._flush()
            self._begin(frame)
            self._produced += silence
            for start in range(0, silence, BLOCK_SAMPLES):
                yield np.zeros(min(BLOCK_SAMPLES, silence - start), np.float32)
        frame.pts = None  # broken times must not make the resampler fill or drop
        yield from self._mono(self._resampler.resample(frame))

    def _begin(self, frame: Any) -> None:
        import av

        try:
            check_rate(frame.sample_rate)
            count = frame.layout.nb_channels
            if self._mixer is None or self._mixer.channels != count:
                self._mixer = Downmix(count, SAMPLE_RATE, self._wanted.channel)
        except SourceError as error:
            raise DecodeError(f"{self._wanted.name} can't be decoded: {error}") from error
        # Planes crash PyAV if there are 8.
        self._resampler = av.AudioResampler(format="flt", rate=SAMPLE_RATE)

    def _flush(self) -> Iterator[NDArray[np.float32]]:
        if self._resampler is not None:
            yield from self._mono(self._resampler.resample(None))

    def _mono(self, frames: list[Any]) -> Iterator[NDArray[np.float32]]:
        assert self._mixer is not None
        for frame in frames:
            samples = np.nan_to_num(frame.to_ndarray(), posinf=0.0, neginf=0.0)
            self._produced += samples.size // self._mixer.channels
            yield self._mixer.mix(samples.reshape(-1, self._mixer.channels))

    def _missing_before(self, frame: Any) -> int:
        """Count the samples of silence that the time stamps leave before this frame."""
        at_s = self._end_s
        if frame.pts is not None and self._container.format.name in TIMED:
            at_s = float(frame.pts * frame.time_base) - self._origin_s + self._shift_s
        gap_s = at_s - self._end_s
        late_s = at_s - self._produced / SAMPLE_RATE
        if gap_s < -GAP_S or (gap_s > GAP_S and not self._is_plausible(gap_s, at_s)):
            if gap_s > 0:
                self._wanted.notice(
                    f"{self._wanted.name}: its time stamps jump by {gap_s:.0f} s at "
                    f"{self._end_s:.1f} s, which is left out"
                )
            self._shift_s -= gap_s
            at_s, late_s = self._end_s, 0.0
        self._end_s = at_s + frame.samples / frame.sample_rate
        is_gap = gap_s > GAP_S or (late_s > DRIFT_S and gap_s > 0)
        return max(0, round(late_s * SAMPLE_RATE)) if is_gap else 0

    def _is_plausible(self, gap_s: float, at_s: float) -> bool:
        return at_s <= self._said_s + SHORT_S if self._said_s else gap_s <= LONGEST_GAP_S

    def _claimed_s(self) -> float:
        """Return the track's length by its header; 0 if it has none, or one that may be wrong."""
        if self._container.format.name not in EXACT_LENGTHS:
            return 0.0
        if self._stream.duration:
            return float(self._stream.duration * self._stream.time_base)
        return self._said_s or 0.0 if len(self._container.streams) == 1 else 0.0
