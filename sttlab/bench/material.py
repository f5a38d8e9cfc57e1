"""What the benchmarks play: real recordings, joined so that every end of speech is known."""

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
FRAME_S = 0.01  # how finely the ends of speech are known
SPEECH_RANGE_DB = 30.0  # speech is what comes within this of its loud parts,
NOISE_SHARE = 0.3  # and rises above the noise by this share of the way to them
CLEAN_DB = 25.0  # a clip's noise must lie this far under its speech, or its end is anyone's guess
EDGE_S = 0.02  # kept around the speech, fading, so that nothing clicks
LEAD_S = 2.0  # room noise before the first word
GAPS_S = (2.0, 3.5)  # between utterances: longer than any silence timeout compared
JOINED_GAPS_S = (0.3, 1.0)  # between the sentences of one file
ROOM_DBFS = -60.0
LOWEST_HZ = 60.0  # that a microphone lets through
NOISE_LEVELS_DBFS = (-50.0, -40.0, -30.0)
MIN_WORDS = 3  # a word or two says little about accuracy


@dataclass(frozen=True, kw_only=True, eq=False)
class Clip:
    """A recording with what is known about it.

    Attributes
    ----------
    samples : ndarray, shape (n,), float32
        Mono at ``SAMPLE_RATE``.
    text : str
        What is said in it; "" for a noise.
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

    ``longest_pause_s`` is the longest stretch within it that is as quiet as its outside: a pause
    longer than the silence timeout is rightly taken for an end.
    """

    name: str
    start_s: float
    end_s: float
    text: str
    longest_pause_s: float


@dataclass(frozen=True, kw_only=True)
class NoiseSpan:
    """A stretch of noise in which nobody speaks."""

    name: str
    level_dbfs: float
    start_s: float
    end_s: float


@dataclass(frozen=True, kw_only=True, eq=False)
class Stimulus:
    """What is played: speech until ``speech_s``, then noise."""

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
    """Read a folder's recordings whose words are known, and its noises.

    The words are in a text file of the same name. A ``manifest.jsonl`` in the folder may say of
    each ``file`` its ``lang``, ``category`` ("nonspeech" for noise), ``text`` and
    ``text_origin``; without one, every recording with a text file counts as speech in
    `language`. Texts that came from a recogniser are left out, since they favour it, and so are
    recordings made to be hard.

    Raises
    ------
    ConfigError
        If there is no such folder, or its manifest can't be read.
    DecodeError
        If a recording can't be decoded.
    """
    if not folder.is_dir():
        raise ConfigError(f"no folder {folder}; --recordings names one with audio and .txt files")
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
    """Find where speech begins and ends in a clean clip, by level.

    Returns
    -------
    (begin, end, longest_pause_s) or None
        Positions in samples, good to 10 ms; None if speech doesn't stand out from the clip's
        noise clearly enough to say.
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
    steady = np.convolve(above, np.ones(5), mode="same") >= 3  # a click is no speech
    (heard,) = np.nonzero(steady)
    if len(heard) == 0:
        return None
    pauses = np.diff(heard) - 1
    longest_s = float(pauses.max(initial=0)) * FRAME_S
    return int(heard[0]) * frame, int(heard[-1] + 1) * frame, longest_s


def room_noise(n: int, rng: np.random.Generator, level: float = ROOM_DBFS) -> Samples:
    """Noise like a quiet room's at a microphone: power falls with frequency (pink), from 60 Hz."""
    spectrum = np.fft.rfft(rng.standard_normal(n))
    frequency_hz = np.fft.rfftfreq(n, 1 / SAMPLE_RATE)
    spectrum[frequency_hz < LOWEST_HZ] = 0
    spectrum /= np.sqrt(np.maximum(frequency_hz, LOWEST_HZ))
    noise: Samples = np.fft.irfft(spectrum, n).astype(np.float32)
    return at_level(noise, level)


def hum(n: int) -> Samples:
    """Mains hum: 50 Hz and its harmonics."""
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

    Clips are taken in random order, and again in another order if there are fewer than `count`.
    `gaps_s` says how short and how long the silence between them may be.

    Raises
    ------
    SourceError
        If no clip is clean enough to know its ends.
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
    """Cut out begin..end with an edge on either side that fades to nothing."""
    edge = int(EDGE_S * SAMPLE_RATE)
    padded = np.pad(samples, edge)
    piece: Samples = padded[begin : end + 2 * edge].copy()
    ramp = np.linspace(0, 1, edge, dtype=np.float32)
    piece[:edge] *= ramp
    piece[-edge:] *= ramp[::-1]
    return piece


def joined(clips: list[Clip], length_s: float, seed: int) -> Clip:
    """Join sentences to one recording of about `length_s` seconds."""
    mean_s = sum(clip.duration_s for clip in clips) / max(1, len(clips))
    count = max(1, round(length_s / (mean_s + sum(JOINED_GAPS_S) / 2)))
    samples, truths = conversation(clips, count, seed, JOINED_GAPS_S)
    return Clip(name="joined", samples=samples, text=" ".join(t.text for t in truths))


def noises(
    recorded: Iterable[Clip], length_s: float, seed: int, after_s: float
) -> tuple[Samples, tuple[NoiseSpan, ...]]:
    """Make a stretch of noises, each at each of NOISE_LEVELS_DBFS, that begins at `after_s`."""
    rng = np.random.default_rng(seed)
    recorded = [clip for clip in recorded if level_dbfs(clip.samples) > ROOM_DBFS]
    each = int(length_s * SAMPLE_RATE / ((len(recorded) + 2) * len(NOISE_LEVELS_DBFS)))
    sounds = {"fan": room_noise(max(each, 1), rng), "hum": hum(max(each, 1))}
    sounds |= {clip.name: np.resize(clip.samples, each) for clip in recorded}
    pieces, spans, at_s = [], [], after_s
    for kind, sound in sounds.items() if each else ():
        for level in NOISE_LEVELS_DBFS:
            pieces.append(np.clip(at_level(sound, level), -1, 1))
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
