"""The audio of the benchmarks: real recordings, joined so that every end of speech is known."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sttlab.audio import SAMPLE_RATE, level_dbfs, to_dbfs
from sttlab.decoding import load
from sttlab.errors import ConfigError, SourceError

Samples = NDArray[np.float32]

AUDIO_SUFFIXES = {".wav", ".flac", ".mp3", ".m4a", ".ogg", ".opus", ".webm", ".aiff", ".mp4"}
FRAME_S = 0.01  # resolution of the ends of speech
# A frame is speech if its level is within SPEECH_RANGE_DB of the loud frames, and above the noise
# by NOISE_SHARE of the distance between noise and loud frames.
SPEECH_RANGE_DB = 30.0
NOISE_SHARE = 0.3
CLEAN_DB = 25.0  # least distance of noise and speech in a clip whose end can be known
EDGE_S = 0.02  # length of the fade before and after speech, which avoids clicks
LEAD_S = 2.0  # room noise before the first word
GAPS_S = (2.0, 3.5)  # silence between utterances, longer than any silence timeout compared
JOINED_GAPS_S = (0.3, 1.0)  # silence between the sentences of one file
ROOM_DBFS = -60.0
LOWEST_HZ = 60.0  # lower cut-off of a microphone
NOISE_LEVELS_DBFS = (-50.0, -40.0, -30.0)
MIN_WORDS = 3  # shorter texts say little about accuracy


@dataclass(frozen=True, kw_only=True, eq=False)
class Clip:
    """A recording with its text.

    Attributes
    ----------
    samples : ndarray, shape (n,), float32
        Mono at ``SAMPLE_RATE``.
    text : str
        Reference text; "" for a noise.
    """

    name: str
    samples: Samples
    text: str

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return len(self.samples) / SAMPLE_RATE


@dataclass(frozen=True, kw_only=True)
class Truth:
    """One utterance of the stimulus; times are seconds from its start.

    ``longest_pause_s`` is the longest pause within it. An end in a pause longer than the silence
    timeout is no mistake.
    """

    name: str
    start_s: float
    end_s: float
    text: str
    longest_pause_s: float


@dataclass(frozen=True, kw_only=True)
class NoiseSpan:
    """A span of noise without speech."""

    name: str
    level_dbfs: float
    start_s: float
    end_s: float


@dataclass(frozen=True, kw_only=True, eq=False)
class Stimulus:
    """The audio that is played: speech until ``speech_s``, then noise."""

    samples: Samples
    truths: tuple[Truth, ...]
    speech_s: float
    noises: tuple[NoiseSpan, ...]

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return len(self.samples) / SAMPLE_RATE


def read_clips(
    folder: Path, language: str, shortest_s: float, longest_s: float
) -> tuple[list[Clip], list[Clip]]:
    """Read the recordings of a folder that have a reference text, and its noises.

    The text is in a text file of the same name. A ``manifest.jsonl`` in the folder may hold for
    each ``file`` its ``lang``, ``category`` ("nonspeech" for noise), ``text`` and ``text_origin``.
    Without it, every recording with a text file counts as speech in `language`. Recordings whose
    text comes from a speech recogniser are left out, since they favour it; so are those of the
    category "hard".

    Raises
    ------
    ConfigError
        If the folder doesn't exist, or its manifest can't be read.
    DecodeError
        If a recording can't be decoded.
    """
    if not folder.is_dir():
        raise ConfigError(
            f"there is no folder {folder}: give one with audio and .txt files to --recordings"
        )
    speech, noise = [], []
    for path, entry in _entries(folder):
        is_noise = entry.get("category") == "nonspeech" and entry.get("lang") in (None, "-", "")
        if not is_noise and not _is_reference(entry, language):
            continue
        samples = load(path).samples
        clip = Clip(name=path.stem, samples=samples, text=entry.get("text") or "")
        if is_noise:
            noise.append(clip)
        elif shortest_s <= clip.duration_s <= longest_s:
            speech.append(clip)
    return speech, noise


def _entries(folder: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    manifest = folder / "manifest.jsonl"
    if manifest.exists():
        for number, line in enumerate(manifest.read_text(encoding="utf-8").splitlines(), 1):
            try:
                entry = json.loads(line)
                path = folder / entry["file"]
            except (ValueError, KeyError, TypeError) as error:
                raise ConfigError(
                    f"{manifest}, line {number}: needs an object with a file, not {line[:60]!r}"
                ) from error
            yield path, {"text": _words(path)} | entry
        return
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() in AUDIO_SUFFIXES and (text := _words(path)):
            yield path, {"text": text}


def _words(path: Path) -> str:
    words = path.with_suffix(".txt")
    return words.read_text(encoding="utf-8").strip() if words.exists() else ""


def _is_reference(entry: dict[str, Any], language: str) -> bool:
    return (
        len((entry.get("text") or "").split()) >= MIN_WORDS
        and entry.get("lang", language) == language
        and entry.get("category") not in ("hard", "nonspeech")
        and not entry.get("selected_by_asr")
        and not str(entry.get("text_origin", "")).startswith("asr")
    )


def trim(samples: Samples) -> tuple[int, int, float] | None:
    """Find the start and end of speech in a clean clip, by level.

    Returns
    -------
    (begin, end, longest_pause_s) or None
        Positions in samples, to 10 ms; None if the clip is too noisy to tell.
    """
    frame = int(FRAME_S * SAMPLE_RATE)
    frames = samples[: len(samples) // frame * frame].reshape(-1, frame)
    if len(frames) < 10:
        return None
    levels = to_dbfs(np.square(frames, dtype=np.float64).mean(axis=1))
    floor, loud = np.percentile(levels, [5, 95])
    if loud - floor < CLEAN_DB:
        return None
    above = levels > max(loud - SPEECH_RANGE_DB, floor + NOISE_SHARE * (loud - floor))
    steady = np.convolve(above, np.ones(5), mode="same") >= 3  # leaves clicks out
    (speech,) = np.nonzero(steady)
    if len(speech) == 0:
        return None
    pauses = np.diff(speech) - 1
    longest_s = float(pauses.max(initial=0)) * FRAME_S
    return int(speech[0]) * frame, int(speech[-1] + 1) * frame, longest_s


def room_noise(n: int, rng: np.random.Generator, level: float = ROOM_DBFS) -> Samples:
    """Make pink noise from 60 Hz, as a microphone records in a quiet room."""
    spectrum = np.fft.rfft(rng.standard_normal(n))
    frequency_hz = np.fft.rfftfreq(n, 1 / SAMPLE_RATE)
    spectrum[frequency_hz < LOWEST_HZ] = 0
    spectrum /= np.sqrt(np.maximum(frequency_hz, LOWEST_HZ))
    noise: Samples = np.fft.irfft(spectrum, n).astype(np.float32)
    return at_level(noise, level)


def hum(n: int) -> Samples:
    """Make mains hum: 50 Hz and its harmonics."""
    t = np.arange(n) / SAMPLE_RATE
    wave = sum(np.sin(2 * np.pi * 50 * k * t) / k for k in (1, 2, 3, 4, 6, 8))
    return np.asarray(wave, dtype=np.float32)


def at_level(samples: Samples, level: float) -> Samples:
    """Scale `samples` to an RMS level in dBFS."""
    gain = 10 ** ((level - level_dbfs(samples)) / 20)
    return np.asarray(samples * gain, dtype=np.float32)


def conversation(
    clips: Iterable[Clip], count: int, seed: int, gaps_s: tuple[float, float] = GAPS_S
) -> tuple[Samples, tuple[Truth, ...]]:
    """Place `count` utterances at known times in the noise of a quiet room.

    Clips come in random order; if there are fewer than `count`, they come again in another order.
    `gaps_s` are the bounds of the silence between them.

    Raises
    ------
    SourceError
        If no clip is clean enough for its ends to be known.
    """
    rng = np.random.default_rng(seed)
    clean = [(clip, ends) for clip in clips if (ends := trim(clip.samples))]
    if not clean:
        raise SourceError("no clean recording with a text of three words or more was found")
    order: list[int] = []
    while len(order) < count:
        order += rng.permutation(len(clean)).tolist()
    placed, truths, at = [], [], int(LEAD_S * SAMPLE_RATE)
    for i in order[:count]:
        clip, (begin, end, pause_s) = clean[i]
        placed.append((at, _faded(clip.samples, begin, end)))
        at_end = at + end - begin
        truths.append(
            Truth(
                name=clip.name,
                start_s=at / SAMPLE_RATE,
                end_s=at_end / SAMPLE_RATE,
                text=clip.text,
                longest_pause_s=pause_s,
            )
        )
        at = at_end + int(rng.uniform(*gaps_s) * SAMPLE_RATE)
    samples = room_noise(at, rng)
    edge = int(EDGE_S * SAMPLE_RATE)
    for position, piece in placed:
        samples[position - edge : position - edge + len(piece)] += piece
    return np.asarray(np.clip(samples, -1, 1), dtype=np.float32), tuple(truths)


def _faded(samples: Samples, begin: int, end: int) -> Samples:
    """Cut out begin..end, with a fade before and after it."""
    edge = int(EDGE_S * SAMPLE_RATE)
    padded = np.pad(samples, edge)
    piece: Samples = padded[begin : end + 2 * edge].copy()
    ramp = np.linspace(0, 1, edge, dtype=np.float32)
    piece[:edge] *= ramp
    piece[-edge:] *= ramp[::-1]
    return piece


def joined(clips: list[Clip], length_s: float, seed: int) -> Clip:
    """Join sentences into one recording of about `length_s` seconds."""
    mean_s = sum(clip.duration_s for clip in clips) / max(1, len(clips))
    count = max(1, round(length_s / (mean_s + sum(JOINED_GAPS_S) / 2)))
    samples, truths = conversation(clips, count, seed, JOINED_GAPS_S)
    return Clip(name="joined", samples=samples, text=" ".join(t.text for t in truths))


def noises(
    recorded: Iterable[Clip], length_s: float, seed: int, after_s: float
) -> tuple[Samples, tuple[NoiseSpan, ...]]:
    """Join all noises, each at every level of NOISE_LEVELS_DBFS; the first begins at `after_s`."""
    rng = np.random.default_rng(seed)
    recorded = [clip for clip in recorded if level_dbfs(clip.samples) > ROOM_DBFS]
    each = int(length_s * SAMPLE_RATE / ((len(recorded) + 2) * len(NOISE_LEVELS_DBFS)))
    kinds = {"fan": room_noise(max(each, 1), rng), "hum": hum(max(each, 1))}
    kinds |= {clip.name: np.resize(clip.samples, each) for clip in recorded}
    pieces, spans, at_s = [], [], after_s
    for kind, noise in kinds.items() if each else ():
        for level in NOISE_LEVELS_DBFS:
            pieces.append(np.clip(at_level(noise, level), -1, 1))
            end_s = at_s + each / SAMPLE_RATE
            spans.append(NoiseSpan(name=kind, level_dbfs=level, start_s=at_s, end_s=end_s))
            at_s = end_s
    return np.concatenate([np.zeros(0, np.float32), *pieces]), tuple(spans)


def stimulus(
    clips: list[Clip], recorded_noises: list[Clip], *, count: int, noise_s: float, seed: int
) -> Stimulus:
    """Make a conversation of `count` utterances, followed by `noise_s` seconds of noise."""
    speech, truths = conversation(clips, count, seed)
    speech_s = len(speech) / SAMPLE_RATE
    noise, spans = noises(recorded_noises, noise_s, seed, speech_s)
    tail = room_noise(int(GAPS_S[1] * SAMPLE_RATE), np.random.default_rng(seed))
    samples = np.concatenate([speech, noise, tail])
    return Stimulus(samples=samples, truths=truths, speech_s=speech_s, noises=spans)
