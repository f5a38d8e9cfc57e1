"""Conversations with known speakers, made of clips of one speaker each."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sttlab.audio import SAMPLE_RATE, Recording, frame_levels, in_frames
from sttlab.decoding import load
from sttlab.evaluate.labels import Labels, Turn, union

CHOICE = ("ls_1688", "ls_1998", "ls_2033", "lj", "librivox_austen", "librivox_sonnets")
JUDGED = ("ls_2609", "ls_3080", "ls_2412", "ls_1995", "azure_katie", "azure_steve")
CLEAN = ("english_read", "longform")
TURNS = 24
TURN_S = (1.0, 10.0)
GAPS_S = (0.1, 1.5)  # the shorter ones are within an utterance
INTERRUPTING_S = (-2.0, 0.5)  # gaps of people who don't let each other finish
LEVEL_DBFS, LEVEL_SPREAD_DB = -26.0, 3.0
ROOM_DBFS = -62.0
FADE = 160  # samples
QUIET_DB = 30.0  # under the loudest tenth of a clip's frames, there is no speech
PAUSE_S = 0.3


@dataclass(frozen=True, eq=False)
class Conversation:
    """A recording with its speakers."""

    name: str
    recording: Recording
    labels: Labels


def read_speakers(folder: Path) -> dict[str, NDArray[np.float32]]:
    """Read the clips of each speaker of both sets, joined and at one level."""
    lines = (folder / "manifest.jsonl").read_text(encoding="utf-8").splitlines()
    clips = defaultdict(list)
    for line in lines:
        clip = json.loads(line)
        if clip.get("speaker") in CHOICE + JUDGED and clip["category"] in CLEAN:
            clips[clip["speaker"]].append(load(folder / clip["file"]).samples)
    return {name: np.concatenate(parts) for name, parts in clips.items()}


def conversation(
    voices: dict[str, NDArray[np.float32]],
    speakers: tuple[str, ...],
    seed: int,
    gaps_s: tuple[float, float] = GAPS_S,
) -> Conversation:
    """Have four to six of the speakers talk in turn; the same seed gives the same samples.

    Gaps below zero have the next one begin before the last one is done.
    """
    rng = np.random.default_rng(seed)
    count = int(rng.integers(4, min(6, len(speakers)) + 1))
    cast = [str(name) for name in rng.choice(speakers, count, replace=False)]
    at = {name: int(rng.integers(0, len(voices[name]))) for name in cast}
    gain = {name: _gain(voices[name], rng) for name in cast}
    parts: list[tuple[int, NDArray[np.float32]]] = []
    turns, position, before = [], SAMPLE_RATE, ""
    for number in range(TURNS):
        others = [name for name in cast if name != before]
        # Everybody speaks twice before the choice is free.
        name = cast[number % count] if number < 2 * count else str(rng.choice(others))
        if name == before:
            name = others[0]
        length = round(_length_s(rng) * SAMPLE_RATE)
        clip = np.take(voices[name], np.arange(at[name], at[name] + length), mode="wrap")
        at[name] = (at[name] + length) % len(voices[name])
        clip = gain[name] * clip
        clip[:FADE] *= np.linspace(0, 1, FADE, dtype=np.float32)
        clip[-FADE:] *= np.linspace(1, 0, FADE, dtype=np.float32)
        for start, stop in _speech(clip):
            turns.append(
                Turn(
                    start_s=(position + start) / SAMPLE_RATE,
                    end_s=(position + stop) / SAMPLE_RATE,
                    speaker=name,
                )
            )
        parts.append((position, clip))
        position += max(FADE, len(clip) + round(rng.uniform(*gaps_s) * SAMPLE_RATE))
        before = name
    length = max(position, *(start + len(clip) for start, clip in parts)) + SAMPLE_RATE
    samples = np.zeros(length, np.float32)
    for start, clip in parts:
        samples[start : start + len(clip)] += clip
    samples = samples + _room(len(samples), rng)
    return Conversation(f"session {seed}", Recording(samples, SAMPLE_RATE), Labels(turns))


def _length_s(rng: np.random.Generator) -> float:
    """Draw the length of a turn: a fourth of them are below 2 s."""
    low, high = TURN_S
    return float(rng.uniform(low, 2.0) if rng.random() < 0.25 else rng.uniform(2.0, high))


def _gain(samples: NDArray[np.float32], rng: np.random.Generator) -> np.float32:
    level = 10 * np.log10(float(np.mean(np.square(samples))))
    wanted = LEVEL_DBFS + rng.uniform(-LEVEL_SPREAD_DB, LEVEL_SPREAD_DB)
    return np.float32(10 ** ((wanted - level) / 20))


def _speech(clip: NDArray[np.float32]) -> list[tuple[int, int]]:
    """Find what is spoken in a clean clip, with short pauses closed, as samples."""
    frames = in_frames(clip, FADE)
    levels = frame_levels(frames)
    loud = np.flatnonzero(levels > np.percentile(levels, 90) - QUIET_DB)
    spans = union([(i * FADE / SAMPLE_RATE, (i + 1) * FADE / SAMPLE_RATE) for i in loud], PAUSE_S)
    return [(round(a * SAMPLE_RATE), round(b * SAMPLE_RATE)) for a, b in spans]


def _room(length: int, rng: np.random.Generator) -> NDArray[np.float32]:
    white = rng.standard_normal(length).astype(np.float32)
    return white * np.float32(10 ** (ROOM_DBFS / 20))
