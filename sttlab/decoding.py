"""Audio files of nearly any kind, decoded and resampled by FFmpeg."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sttlab.audio import SAMPLE_RATE, Downmix, Recording, check_rate
from sttlab.containers import HEAD_BYTES, OpenFile, Part, WavHeader, find_parts
from sttlab.errors import DecodeError, SourceError
from sttlab.opening import (
    BLOCK_SAMPLES,
    REMEDIES,
    AudioFile,
    as_audio_file,
    open_input,
    unreadable,
    why_of,
)
from sttlab.track_reader import Notice, TrackReader, Wanted

log = logging.getLogger(__name__)

LONGEST_LOAD_S = 6 * 3600  # a small file can hold days of audio; in memory, an hour is 230 MB
LEAST_BITS_PER_S = 100  # of audio in any format: a file that claims to be longer does not tell
PROBE_S = 600.0  # of a track, before it counts as silent
AUDIBLE = 1e-4  # of full scale, -80 dBFS
DEFAULT = 1  # FFmpeg's AV_DISPOSITION_DEFAULT

# What is decoded: containers that hold audio, and none that names other files to open (playlists).
FORMATS = (
    "wav,w64,rf64,aiff,au,caf,flac,mp3,ogg,mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,aac,ac3,eac3,amr,"
    "amrnb,amrwb,asf,avi,mpegts,mpeg,g722,gsm,nistsphere,tta,wv,ape,dsf,loas,flv,live_flv,voc,mpc,"
    "mpc8,rm,oma,qcp,tak,shn,dts,dtshd,truehd,mlp,iff,sox,ircam,avr,nut,mxf,adx,xwma,wtv,dss,pvf"
)


@contextmanager
def open_audio(
    file: AudioFile,
    *,
    track: int | None = None,
    channel: int | None = None,
    longest_s: float | None = None,
    notice: Notice = log.warning,
) -> Iterator[Iterator[NDArray[np.float32]]]:
    """Open a file and read its audio piece by piece.

    Parameters
    ----------
    file : str, Path or binary file
        Any container in FORMATS, any rate, any channels. One that is open must be seekable; its
        `name`, if it has one, tells the few formats that don't show in the content.
    track : int, optional
        Audio track, counted from 1. By default the one that the file marks as default, unless
        another can be decoded or heard and that one can't.
    channel : int, optional
        Channel of the track, counted from 1. By default all are mixed by `Downmix`.
    longest_s : float, optional
        Refuse a file that is longer.
    notice : callable
        Told, in a sentence, what of the file is left out, and what was chosen for it.

    Returns
    -------
    context manager of an iterator of ndarray, shape (n,), float32, in -1..1, mono at SAMPLE_RATE
        Where the file's time stamps leave a gap, there is silence. Floats above full scale are
        scaled down, as `Recording` does; what a lossy format overshoots is clipped.

    Raises
    ------
    DecodeError
        On entering, if there is no such file, it isn't audio, it has no such track or channel, it
        claims to be too long, or nothing of it can be decoded; later, if it is too long.
    """
    name = str(file) if isinstance(file, str | Path) else "this file"
    wanted = Wanted(track, channel, longest_s, notice, name)
    with (
        open_input(file, name) as (opened, path),
        contextlib.closing(_bounded(_all(opened, path, wanted), wanted)) as pieces,
    ):
        try:
            first = next(pieces)
        except StopIteration:
            raise DecodeError(f"{name} holds no audio that can be decoded") from None
        yield chain([first], pieces)


def said_duration_s(file: OpenFile) -> float | None:
    """Return the length in seconds that an open file claims, if it does; it is often wrong.

    Raises
    ------
    DecodeError
        If it isn't audio.
    """
    with _container(file, "this file") as container:
        return container.duration / 1e6 if container.duration else None


def said_channels(file: OpenFile) -> int:
    """Return how many channels an open file claims to have.

    Raises
    ------
    DecodeError
        If it isn't audio.
    """
    with _container(file, "this file") as container:
        streams = container.streams.audio
        stream = next((s for s in streams if s.disposition & DEFAULT), streams[0])
        return stream.codec_context.channels if stream.codec_context else 1


def load(
    path: str | Path | bytes | OpenFile, *, track: int | None = None, channel: int | None = None
) -> Recording:
    """Read a recording from a file of nearly any kind.

    Parameters
    ----------
    path : str, Path, bytes or binary file
        A path, "-" for stdin, the bytes of a file, or a file that is open:
        wav, flac, mp3, m4a, ogg, opus, webm, aiff, mp4 and others; any rate, any channels.
    track : int, optional
        Audio track of a video, counted from 1. By default the one that the file marks as default,
        unless another can be decoded or heard and that one can't.
    channel : int, optional
        Channel, counted from 1. By default all are mixed.

    Raises
    ------
    DecodeError
        If there is no such file, track or channel, it holds no audio, or more than six hours of it.
    """
    notices: list[str] = []

    def notice(message: str) -> None:
        log.warning("%s", message)
        notices.append(message)

    options = {"track": track, "channel": channel, "longest_s": LONGEST_LOAD_S}
    path = as_audio_file(path)
    origin = str(path) if isinstance(path, str | Path) else getattr(path, "name", "bytes")
    with open_audio(path, **options, notice=notice) as pieces:
        samples = np.concatenate(list(pieces))
    return Recording(samples, origin=str(origin), notices=tuple(notices))


def split_channels(path: str | Path | bytes | OpenFile) -> tuple[Recording, ...]:
    """Read each channel of a file as a recording, such as the two sides of a telephone call.

    Parameters
    ----------
    path : str, Path, bytes or binary file
        As `load` takes it.

    Returns
    -------
    tuple of Recording
        In the order of the channels; the origin of each names its channel.

    Raises
    ------
    DecodeError
        As `load` raises it.

    Examples
    --------
    >>> caller, agent = split_channels("call.wav")  # doctest: +SKIP
    """
    path = as_audio_file(path)
    origin = str(path) if isinstance(path, str | Path) else getattr(path, "name", "bytes")
    with open_input(path, origin) as (file, _):
        each = [load(file, channel=number + 1) for number in range(said_channels(file))]
    return tuple(
        Recording(one.samples, origin=f"{origin}, channel {number}", notices=one.notices)
        for number, one in enumerate(each, 1)
    )


def as_recording(audio: Any) -> Recording:
    """Return a recording as it is; load what holds one: a path, an open file, its bytes.

    Raises
    ------
    SourceError
        If it is anything else, such as an array, which doesn't say its sample rate.
    """
    if isinstance(getattr(audio, "samples", None), np.ndarray):
        recording: Recording = audio
        return recording
    return load(audio)


def _bounded(
    pieces: Iterator[NDArray[np.float32]], wanted: Wanted
) -> Generator[NDArray[np.float32], None, None]:
    length = 0
    for piece in pieces:
        length += len(piece)
        if wanted.longest_s is not None and length > wanted.longest_s * SAMPLE_RATE:
            raise wanted.too_long
        yield piece


def _all(file: OpenFile, path: Path | None, wanted: Wanted) -> Iterator[NDArray[np.float32]]:
    """Decode a file, and those that were joined to its end."""
    parts = find_parts(file)
    for start, end in parts:
        target = _opener(file, path, (start, end), alone=len(parts) == 1)
        file.seek(start)
        head = file.read(min(HEAD_BYTES, end - start)) or b""
        try:
            yield from _decode(target, head, end - start, wanted)
        except DecodeError as error:
            if start == 0:
                raise
            wanted.notice(
                f"{wanted.name}: {len(parts)} files were joined to make it, and one of them, "
                f"{end - start} bytes long, is left out: {error}"
            )


def _opener(
    file: OpenFile, path: Path | None, part: tuple[int, int], *, alone: bool
) -> Callable[[], Any]:
    """Return a factory of what FFmpeg reads: the file, or a part of it, from its beginning."""

    def opened() -> Any:
        if not alone:
            return Part(file, *part)
        if path is not None:
            return f"file:{path}"
        file.seek(0)
        return file

    return opened


# -- one file -----------------------------------------------------------------------------------


def _decode(
    target: Callable[[], Any], head: bytes, size: int, wanted: Wanted
) -> Iterator[NDArray[np.float32]]:
    """Decode one file, which `target` opens anew, to mono pieces in -1..1 at SAMPLE_RATE."""
    wav = WavHeader.read(head)
    if wav and (seconds := wav.seconds(size)):
        wanted.say_if_short(*seconds)
    if wav and wav.is_padded:
        yield from _by_libsndfile(target, wanted)
        return
    index = _choose_track(target, wanted)
    scale = 1.0
    with _container(target(), wanted.name) as container:
        stream = container.streams.audio[index]
        _refuse_if_too_long(container, size, wanted)
        codec = stream.codec_context.name if stream.codec_context else ""
        if codec.startswith(("pcm_f32", "pcm_f64")):
            quiet = Wanted(wanted.track, wanted.channel, None, lambda _: None, wanted.name)
            pieces = TrackReader(container, stream, quiet).pieces()
            peak = max((float(np.abs(piece).max(initial=0.0)) for piece in pieces), default=0.0)
            scale = 1 / max(peak, 1.0)
    with _container(target(), wanted.name) as container:
        reader = TrackReader(container, container.streams.audio[index], wanted)
        for piece in reader.pieces():
            yield np.clip(piece * np.float32(scale), -1, 1)


@contextmanager
def _container(target: Any, name: str) -> Iterator[Any]:
    import av

    try:
        container = av.open(
            target,
            options={"format_whitelist": FORMATS},
            metadata_errors="replace",  # a title in Latin-1 is no reason to refuse the audio
        )
    except (av.FFmpegError, ValueError) as error:
        why = why_of(error)
        if getattr(error, "errno", None) in REMEDIES:
            raise unreadable(name, error) from error
        raise DecodeError(f"{name} is not an audio file that can be decoded: {why}") from error
    with container:
        if not container.streams.audio:
            raise DecodeError(f"{name} has no audio track")
        yield container


def _refuse_if_too_long(container: Any, size: int, wanted: Wanted) -> None:
    """Refuse what claims to be too long, if a file of its size can hold so much."""
    if wanted.longest_s is None or not container.duration:
        return
    claimed_s = container.duration / 1e6
    if wanted.longest_s < claimed_s <= size * 8 / LEAST_BITS_PER_S:
        raise wanted.too_long


# -- tracks -------------------------------------------------------------------------------------


def _choose_track(target: Callable[[], Any], wanted: Wanted) -> int:
    """Choose the audio track to decode, as its index."""
    with _container(target(), wanted.name) as container:
        streams = container.streams.audio
        tracks = [_describe(number, stream) for number, stream in enumerate(streams, 1)]
        default = [i for i, stream in enumerate(streams) if stream.disposition & DEFAULT]
    if wanted.track is not None:
        if not 1 <= wanted.track <= len(tracks):
            raise DecodeError(
                f"{wanted.name} has no audio track {wanted.track}; it has {'; '.join(tracks)}"
            )
        return wanted.track - 1
    if len(tracks) == 1:
        return 0
    found: dict[str, int] = {}
    problems = []
    for index in dict.fromkeys([*default, *range(len(tracks))]):
        state = _probe(target, index, wanted)
        found.setdefault(state, index)
        if state == "audible":
            break
        problems.append(f"track {index + 1} is {state}")
    index = found.get("audible", found.get("silent", 0))
    because = f" because {' and '.join(problems)}" if problems and "audible" in found else ""
    wanted.notice(
        f"{wanted.name} has {len(tracks)} audio tracks: {'; '.join(tracks)}. "
        f"Track {index + 1} is used{because}"
    )
    return index


def _describe(number: int, stream: Any) -> str:
    codec = stream.codec_context
    words = [f"{codec.name}, {codec.channels} ch, {codec.sample_rate} Hz" if codec else "unknown"]
    words += [text for key in ("language", "title") if (text := stream.metadata.get(key))]
    return f"track {number} ({', '.join(words)})"


def _probe(target: Callable[[], Any], index: int, wanted: Wanted) -> str:
    """Say whether a track is audible, silent or undecodable."""
    quiet = Wanted(None, None, None, lambda _: None, wanted.name)
    length = 0
    try:
        with _container(target(), wanted.name) as container:
            for piece in TrackReader(container, container.streams.audio[index], quiet).pieces():
                length += len(piece)
                if np.abs(piece).max(initial=0.0) > AUDIBLE:
                    return "audible"
                if length > PROBE_S * SAMPLE_RATE:
                    break
    except DecodeError:
        length = 0
    return "silent" if length else "undecodable"


# -- WAV files that FFmpeg reads wrong -------------------------------------------------------------


def _by_libsndfile(target: Callable[[], Any], wanted: Wanted) -> Iterator[NDArray[np.float32]]:
    import soundfile
    import soxr

    opened = target()
    if isinstance(opened, str):
        opened = opened.removeprefix("file:")
    try:
        with soundfile.SoundFile(opened) as file:
            check_rate(file.samplerate)
            mixer = Downmix(file.channels, file.samplerate, wanted.channel)
            resampler = soxr.ResampleStream(file.samplerate, SAMPLE_RATE, 1, "float32")
            for block in file.blocks(BLOCK_SAMPLES, dtype="float32", always_2d=True):
                mono = mixer.mix(np.nan_to_num(block, posinf=0.0, neginf=0.0))
                yield np.clip(resampler.resample_chunk(mono), -1, 1)
            yield np.clip(resampler.resample_chunk(np.empty(0, np.float32), last=True), -1, 1)
    except (RuntimeError, SourceError) as error:
        raise DecodeError(f"{wanted.name} can't be decoded: {error}") from error
    for notice in mixer.notices():
        wanted.notice(f"{wanted.name}: {notice}")
