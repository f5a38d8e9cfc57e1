"""Time of a sweep of a thousand settings over an hour of audio, compared with auditok.

    python -m tests.benchmarks.bench_sweep

The hour is the labelled speech of data/, repeated. The time is from samples to scores, with the
levels and without numba's compilation, the best of three. auditok runs some of the thousand, with
settings under which it cuts as the energy VAD of 0.2.0 does (the level of all that is heard, no
hysteresis, no minimum, no longest utterance), which is checked. It doesn't score. It is timed
twice: as users call it, and with known levels.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import auditok
import numpy as np

from sttlab.audio import FRAME_SAMPLES, SAMPLE_RATE, Recording, to_pcm16
from sttlab.config import VadConfig
from sttlab.decoding import load
from sttlab.evaluate.labels import Labels, Turn, load_labels
from sttlab.evaluate.sweep import sweep
from sttlab.trace import Trace
from sttlab.vad import DETECTORS
from tests.benchmarks.bench_vad import LevelVad

DATA = Path(__file__).parents[2] / "data"
HOUR_S = 3600
TARGET_S = 2.0
FULL_SCALE_DB = 20 * np.log10(32768)  # auditok's levels are those of 16-bit integers
FRAME_S = FRAME_SAMPLES / SAMPLE_RATE
SAMPLED = 10  # settings that auditok's tokenizer runs
CALLED = 3  # settings that auditok.split runs, which takes seconds for each
GRID = {
    "margin_db": np.linspace(3, 20, 10),
    "silence_timeout_s": np.linspace(0.2, 1.5, 20),
    "min_speech_s": [0.0, 0.06, 0.1, 0.2, 0.3],
}
PLAIN_GRID = {
    "threshold_dbfs": np.linspace(-34, -18, 25),
    "silence_timeout_s": np.linspace(0.12, 0.9, 40),
}
DETECTORS[LevelVad.name] = LevelVad
PLAIN = VadConfig(
    detector=LevelVad.name, hysteresis_db=0, min_speech_s=0, pre_roll_s=0, max_utterance_s=30
)


def make_hour() -> tuple[Recording, Labels]:
    """Join the labelled recordings until they last an hour."""
    files = [path for path in sorted(DATA.glob("*.flac")) if path.with_suffix(".rttm").exists()]
    known = [(load(path).samples, load_labels(path.with_suffix(".rttm"))) for path in files]
    pieces: list[Any] = []
    turns: list[Turn] = []
    at_s = 0.0
    while at_s < HOUR_S:
        samples, labels = known[len(pieces) % len(known)]
        pieces.append(samples)
        turns += [Turn(start_s=at_s + t.start_s, end_s=at_s + t.end_s) for t in labels]
        at_s += len(samples) / SAMPLE_RATE
    whole = Recording(np.concatenate(pieces)[: HOUR_S * SAMPLE_RATE])
    return whole, Labels(t for t in turns if t.end_s < HOUR_S)


def seconds(do: Callable[..., Any], *arguments: Any, times: int = 1) -> float:
    """Return the shortest time of several calls."""
    taken = []
    for _ in range(times):
        started = time.perf_counter()
        do(*arguments)
        taken.append(time.perf_counter() - started)
    return min(taken)


def by_split(pcm: bytes, config: VadConfig) -> list[tuple[int, int]]:
    """Cut by `auditok.split`."""
    assert config.threshold_dbfs is not None
    regions: Any = auditok.split(
        pcm,
        sampling_rate=SAMPLE_RATE,
        sample_width=2,
        channels=1,
        analysis_window=FRAME_S,
        energy_threshold=config.threshold_dbfs + FULL_SCALE_DB,
        min_dur=FRAME_S,
        max_dur=None,
        max_silence=(frames(config) - 1) * FRAME_S,
        max_trailing_silence=0,
    )
    return [(round(r.start / FRAME_S), round(r.end / FRAME_S)) for r in regions]


class Known(auditok.util.DataSource):
    """A data source of known levels."""

    def __init__(self, levels: list[float]) -> None:
        self._levels: Iterator[float] = iter(levels)

    def read(self) -> float | None:
        """Return the next level."""
        return next(self._levels, None)


def by_tokenizer(levels: list[float], config: VadConfig) -> list[tuple[int, int]]:
    """Cut by auditok's tokenizer, with known levels."""
    threshold = config.threshold_dbfs
    assert threshold is not None
    tokenizer = auditok.core.StreamTokenizer(
        lambda level: level >= threshold, 1, float("inf"), frames(config) - 1, 0, 0, 0, 0, 0
    )
    tokens: Any = tokenizer.tokenize(Known(levels))
    return [(start, end + 1) for _, start, end in tokens]


def frames(config: VadConfig) -> int:
    """Return the silence timeout in frames."""
    return round(config.silence_timeout_s / FRAME_S)


def main() -> None:
    """Print the time of a sweep, and auditok's relative to it."""
    recording, labels = make_hour()
    compiling = seconds(sweep, recording[:10], labels, {"margin_db": [8]})
    print(f"{os.cpu_count()} cores; the first sweep of all, compiling included: {compiling:.1f} s")
    for name, grid, base in (("three fields", GRID, None), ("as auditok", PLAIN_GRID, PLAIN)):
        ours = seconds(partial(sweep, config=base), recording, labels, grid, times=3)
        print(f"{name}: 1,000 settings on an hour in {ours:.2f} s (target {TARGET_S:g} s)")

    configs = sweep(recording[:10], labels, PLAIN_GRID, config=PLAIN).configs
    pcm, trace = to_pcm16(recording.samples).tobytes(), Trace(recording)
    levels = trace.heard(LevelVad.name).score.tolist()
    for name, cut, count in (
        ("auditok.split", partial(by_split, pcm), CALLED),
        ("its StreamTokenizer, levels known", partial(by_tokenizer, levels), SAMPLED),
    ):
        sampled = configs[len(configs) // count // 2 :: len(configs) // count]
        theirs = sum(check(cut, trace, config) for config in sampled) / len(sampled)
        print(
            f"{name}: the same cuts in {len(sampled)} settings of 1,000; {theirs:.3f} s for one, "
            f"{1000 * theirs / ours:.0f} times the sweep's time"
        )


def check(cut: Callable[[VadConfig], Any], trace: Trace, config: VadConfig) -> float:
    """Check that auditok cuts as sttlab does; return its time."""
    cuts = [
        (u.onset_sample // FRAME_SAMPLES, u.speech_end_sample // FRAME_SAMPLES)
        for u in trace.utterances(config)
    ]
    started = time.perf_counter()
    found = cut(config)
    taken = time.perf_counter() - started
    if found != cuts or len(cuts) < 100:
        raise SystemExit(f"auditok cuts otherwise with {config}: compare nothing")
    return taken


if __name__ == "__main__":
    main()
