"""Pieces of speech with one voice each: an utterance is split where the voice changes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sttlab.audio import SAMPLE_RATE
from sttlab.config import VadConfig
from sttlab.events import Utterance
from sttlab.speakers.base import FRAME_SAMPLES, Vectors, VoiceEmbedder, frame_count
from sttlab.vad.silero import FRAME_SAMPLES as SPEECH_SAMPLES
from sttlab.vad.silero import SileroVad

FRAME_S = FRAME_SAMPLES / SAMPLE_RATE
SPEECH = 0.3  # probability from which a frame is a voice, and not a cough or music
LEAST_S = 0.3  # of voice, below which nobody is said to have spoken
SIDE_S = 1.5  # of voice that is compared on each side of a change
SHORTEST_S = 0.6  # of voice between two changes
STEP_S = 0.1  # between places at which a change is looked for
PAUSE_S = 0.1  # of silence to which a change moves, and between two spans
REACH_S = 0.5  # of voice, over which it moves
GAP_S = 0.3  # without a voice within a turn
EDGE_S = 0.2  # without a voice before and after it
GAP_FRAMES = round(GAP_S / FRAME_S)


@dataclass(frozen=True, kw_only=True, eq=False)
class Piece:
    """Speech of one voice.

    Attributes
    ----------
    spans : tuple of (start_s, end_s)
        Without pauses of GAP_S and more.
    voiced_s : float
        Of voice, without pauses.
    vector : ndarray, shape (size,), float32
        Embedding of length 1.
    """

    spans: tuple[tuple[float, float], ...]
    voiced_s: float
    vector: NDArray[np.float32]

    def wider(self, low_s: float, high_s: float, later_s: float) -> Piece:
        """Return the piece with EDGE_S more at each edge, within bounds, and moved in time.

        A consonant at an edge is no voice, and yet a part of what is said.
        """
        spans: list[tuple[float, float]] = []
        for a, b in self.spans:
            start_s = min(max(low_s, a - EDGE_S), a)
            end_s = max(min(high_s, b + EDGE_S), b)
            if spans and start_s + later_s - spans[-1][1] < PAUSE_S:
                start_s = spans.pop()[0] - later_s
            spans.append((start_s + later_s, end_s + later_s))
        return replace(self, spans=tuple(spans))

    @property
    def start_s(self) -> float:
        """Where the voice is heard first."""
        return self.spans[0][0]

    @property
    def end_s(self) -> float:
        """Where it is heard last."""
        return self.spans[-1][1]


class VoiceFinder:
    """Finds the pieces of utterances. Only one thread at a time calls it.

    Parameters
    ----------
    embedder : VoiceEmbedder
    change : float
        Dot product of what is left and right of a place, below which the voice changes there.
    """

    def __init__(self, embedder: VoiceEmbedder, change: float) -> None:
        self._embedder = embedder
        self._change = change

    def find(self, utterance: Utterance) -> list[Piece]:
        """Find the pieces of an utterance, in order; none if nobody's voice is in it. Blocks."""
        return self.find_each(utterance, [self._change])[0]

    def find_each(self, utterance: Utterance, changes: Sequence[float]) -> list[list[Piece]]:
        """Find the pieces by each of several thresholds; the network hears the utterance once."""
        voiced = np.flatnonzero(speech_frames(utterance.samples))
        found = self._split(utterance.samples, voiced, changes)
        return [_in_stream(parts, utterance) for parts in found]

    def split(self, samples: NDArray[np.float32], voiced: NDArray[np.intp]) -> list[Piece]:
        """Find the pieces of what holds a voice in the given frames; times are from its start."""
        return self._split(samples, voiced, [self._change])[0]

    def _split(
        self, samples: NDArray[np.float32], voiced: NDArray[np.intp], changes: Sequence[float]
    ) -> list[list[Piece]]:
        if len(voiced) * FRAME_S < LEAST_S:
            return [[] for _ in changes]
        heard = self._embedder.hear(samples)
        count = frame_count(len(samples))

        def embed(parts: list[tuple[int, int]]) -> Vectors:
            weights = np.zeros((len(parts), count), np.float32)
            for row, (first, stop) in zip(weights, parts, strict=True):
                row[voiced[first:stop]] = 1.0
            return self._embedder.pool(heard, weights)

        def pieces(change: float) -> list[Piece]:
            parts = list(pairwise([0, *_changes(voiced, embed, change), len(voiced)]))
            return [
                Piece(
                    spans=_spans(voiced[first:stop]),
                    voiced_s=(stop - first) * FRAME_S,
                    vector=vector,
                )
                for (first, stop), vector in zip(parts, embed(parts), strict=True)
            ]

        return [pieces(change) for change in changes]


def _in_stream(parts: list[Piece], utterance: Utterance) -> list[Piece]:
    """Move pieces to the place of their utterance in the stream; widen them within its speech."""
    if not parts:
        return []
    begin_s, end_s = (
        (sample - utterance.start_sample) / SAMPLE_RATE
        for sample in (utterance.onset_sample, utterance.speech_end_sample)
    )
    edges_s = [begin_s, *((a.end_s + b.start_s) / 2 for a, b in pairwise(parts)), end_s]
    return [
        part.wider(low_s, high_s, utterance.start_s)
        for part, (low_s, high_s) in zip(parts, pairwise(edges_s), strict=True)
    ]


def _spans(voiced: NDArray[np.intp]) -> tuple[tuple[float, float], ...]:
    """Turn frames into spans of time, with pauses up to GAP_S closed."""
    ends = np.flatnonzero(np.diff(voiced, append=voiced[-1] + 2 * GAP_FRAMES) > GAP_FRAMES)
    starts = np.append(0, ends[:-1] + 1)
    return tuple(
        (float(voiced[a]) * FRAME_S, (float(voiced[b]) + 1) * FRAME_S)
        for a, b in zip(starts, ends, strict=True)
    )


def speech_frames(samples: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Say for each frame whether it holds a voice, by Silero VAD."""
    missing = -len(samples) % SPEECH_SAMPLES
    frames = np.pad(samples, (0, missing)).reshape(-1, SPEECH_SAMPLES)
    speech = SileroVad(VadConfig()).hear(frames).score
    middles = np.arange(frame_count(len(samples))) * FRAME_SAMPLES + FRAME_SAMPLES // 2
    nearest = np.minimum(middles // SPEECH_SAMPLES, len(speech) - 1)
    found: NDArray[np.bool_] = speech[nearest] >= SPEECH
    return found


def _changes(voiced: NDArray[np.intp], embed: Any, change: float) -> list[int]:
    """Find where the voice changes, as positions in `voiced`."""
    side, least, step = (round(s / FRAME_S) for s in (SIDE_S, SHORTEST_S, STEP_S))
    places = list(range(least, len(voiced) - least + 1, step))
    if not places:
        return []
    sides = [(max(0, at - side), at) for at in places]
    sides += [(at, min(at + side, len(voiced))) for at in places]
    before, after = np.split(embed(sides), 2)
    alike = np.einsum("ij,ij->i", before, after)
    found: list[int] = []
    for i in np.argsort(alike):  # the clearest change first
        if alike[i] >= change:
            break
        if all(abs(places[i] - other) >= least for other in found):
            found.append(places[i])
    return sorted({_into_pause(voiced, at) for at in found})


def _into_pause(voiced: NDArray[np.intp], at: int) -> int:
    """Move a change into the longest pause near it."""
    reach = round(REACH_S / FRAME_S)
    low, high = max(1, at - reach), min(len(voiced) - 1, at + reach)
    gaps = np.diff(voiced[low - 1 : high + 1])
    best = int(np.argmax(gaps))
    return low + best if gaps[best] * FRAME_S > PAUSE_S else at
