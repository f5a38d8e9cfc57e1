"""Who speaks while somebody else does, and where the VAD heard nobody, in a whole recording.

The pieces of utterances have one speaker each. Here each window of `Segmentation` has up to three,
who go to the speakers whose voices are closest, no two of them to the same one. Where more people
speak than pieces have, those of the windows are added.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from sttlab.audio import SAMPLE_RATE
from sttlab.speakers import base
from sttlab.speakers.base import VoiceEmbedder
from sttlab.speakers.grouping import centres
from sttlab.speakers.segmentation import (
    FRAME_SAMPLES,
    SETS,
    STEP_SAMPLES,
    WINDOW_SAMPLES,
    Segmentation,
)

FRAME_S = FRAME_SAMPLES / SAMPLE_RATE
HEARD_SAMPLES = 3 * WINDOW_SAMPLES  # that the embedder hears at once
ALONE_S = 0.3  # of a voice by itself, to be embedded by that alone
LEAST_S = 0.1  # of a voice, to be embedded
SHORTEST_S = 0.2  # of what is added
MOST = int(SETS.sum(axis=1).max())  # who speak at once
FOUNDING = WINDOW_SAMPLES // STEP_SAMPLES  # one window in so many: they don't overlap


@dataclass(frozen=True, kw_only=True, eq=False)
class WindowVoice:
    """A voice within a window.

    Attributes
    ----------
    first : int
        Frame of the recording with which the window begins.
    active : ndarray of bool, shape (frames,)
    vector : ndarray, shape (size,), float32
        Embedding of length 1.
    weight_s : float
        Speech by which it may found a speaker: while nobody else speaks, in windows that don't
        overlap.
    """

    first: int
    active: NDArray[np.bool_]
    vector: NDArray[np.float32]
    weight_s: float


@dataclass(frozen=True, kw_only=True, eq=False)
class Together:
    """How many people speak in a recording, and the voices of its windows.

    Attributes
    ----------
    counts : ndarray of int, shape (frames,)
    voices : tuple of WindowVoice
        In order.
    """

    counts: NDArray[np.intp]
    voices: tuple[WindowVoice, ...]


def hear_together(
    samples: NDArray[np.float32],
    embedder: VoiceEmbedder,
    progress: Callable[[float], None] | None = None,
) -> Together:
    """Find the voices of all windows of a recording. Blocks.

    Parameters
    ----------
    samples : ndarray, shape (n,), float32, n > 0
        Mono at SAMPLE_RATE.
    embedder : VoiceEmbedder
    progress : callable, optional
        Called after each window with its end in seconds.
    """
    frames = len(samples) // FRAME_SAMPLES + 1
    said, seen = np.zeros((2, frames), np.intp)
    voices: list[WindowVoice] = []
    heard, heard_from, heard_to = None, 0, 0
    for number, (start, active) in enumerate(Segmentation().windows(samples)):
        first = round(start / FRAME_SAMPLES)
        active = active[: frames - first]
        said[first : first + len(active)] += active.sum(axis=1)
        seen[first : first + len(active)] += 1
        end = min(start + WINDOW_SAMPLES, len(samples))
        if active.any():
            if end > heard_to:
                heard_from, heard_to = start, min(start + HEARD_SAMPLES, len(samples))
                heard = embedder.hear(samples[heard_from:heard_to])
            places = (start - heard_from, end - heard_from, heard_to - heard_from)
            voices += _voices_of(embedder, heard, places, first, active, number % FOUNDING == 0)
        if progress:
            progress(end / SAMPLE_RATE)
    counts = np.rint(said / np.maximum(seen, 1)).astype(np.intp)
    return Together(counts=counts, voices=tuple(voices))


def _voices_of(
    embedder: VoiceEmbedder,
    heard: object,
    places: tuple[int, int, int],
    first: int,
    active: NDArray[np.bool_],
    founding: bool,
) -> list[WindowVoice]:
    """Embed the voices of a window, which lies between samples of what the embedder heard."""
    start, end, count = places
    middles = np.arange(base.frame_count(count)) * base.FRAME_SAMPLES + base.FRAME_SAMPLES // 2
    inside = (middles >= start) & (middles < end)
    nearest = np.clip((middles - start) // FRAME_SAMPLES, 0, len(active) - 1)
    speaks = active[nearest] & inside[:, np.newaxis]
    alone = speaks & (speaks.sum(axis=1) == 1)[:, np.newaxis]
    each_s = base.FRAME_SAMPLES / SAMPLE_RATE
    chosen, rows = [], []
    for voice in range(active.shape[1]):
        mask = alone if alone[:, voice].sum() * each_s >= ALONE_S else speaks
        if mask[:, voice].sum() * each_s >= LEAST_S:
            chosen.append(voice)
            rows.append(mask[:, voice].astype(np.float32))
    if not rows:
        return []
    return [
        WindowVoice(
            first=first,
            active=active[:, voice],
            vector=vector,
            weight_s=float(alone[:, voice].sum() * each_s) if founding else 0.0,
        )
        for voice, vector in zip(chosen, embedder.pool(heard, np.stack(rows)), strict=True)
    ]


def add_those_meanwhile(
    together: Together,
    groups: NDArray[np.intp],
    vectors: NDArray[np.float32],
    weights: NDArray[np.float64],
    spans: Sequence[tuple[float, float, int]],
) -> list[tuple[float, float, int]]:
    """Add who speaks beside the speakers of pieces.

    Parameters
    ----------
    together : Together
    groups, vectors, weights : ndarray, shapes (n,), (n, size), (n,)
        By which speakers are known: number, embedding and seconds of each piece and voice.
    spans : sequence of (start_s, end_s, group)
        When the speakers of pieces speak.

    Returns
    -------
    list of (start_s, end_s, group)
        In order; spans of one speaker neither overlap nor touch.
    """
    votes = _votes(together, centres(vectors, weights, groups))
    speaks = np.zeros(votes.shape, np.bool_)
    for start_s, end_s, number in spans:
        speaks[round(start_s / FRAME_S) : round(end_s / FRAME_S), number] = True
    added = np.zeros(votes.shape, np.bool_)
    for _ in range(MOST):
        places = np.flatnonzero(together.counts > (speaks | added).sum(axis=1))
        left = np.where((speaks | added)[places], 0, votes[places])
        best = left.argmax(axis=1)
        some = left[np.arange(len(places)), best] > 0
        added[places[some], best[some]] = True
    more = [
        (a * FRAME_S, b * FRAME_S, number)
        for number in range(votes.shape[1])
        for a, b in _runs(added[:, number])
        if (b - a) * FRAME_S >= SHORTEST_S
    ]
    return _joined([*spans, *more])


def _votes(together: Together, means: NDArray[np.float32]) -> NDArray[np.intp]:
    """Count, for each frame and speaker, the windows in which that speaker speaks."""
    from scipy.optimize import linear_sum_assignment

    votes = np.zeros((len(together.counts), len(means)), np.intp)
    for first, some in groupby(together.voices, key=lambda voice: voice.first):
        voices = list(some)
        alike = np.stack([voice.vector for voice in voices]) @ means.T
        for i, number in zip(*linear_sum_assignment(-alike), strict=True):
            active = voices[i].active
            votes[first : first + len(active), number] += active
    return votes


def _runs(flags: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Return where flags are set, as pairs of a beginning and an end."""
    edges = np.flatnonzero(np.diff(flags, prepend=False, append=False))
    return [(int(a), int(b)) for a, b in zip(edges[::2], edges[1::2], strict=True)]


def _joined(spans: Sequence[tuple[float, float, int]]) -> list[tuple[float, float, int]]:
    joined: list[tuple[float, float, int]] = []
    for start_s, end_s, number in sorted(spans, key=lambda span: (span[2], *span)):
        if joined and joined[-1][2] == number and start_s - joined[-1][1] <= FRAME_S:
            start_s, before_s, _ = joined.pop()
            end_s = max(end_s, before_s)
        joined.append((start_s, end_s, number))
    return sorted(joined)
