"""How long opening and replaying a day of kept audio takes.

    python -m tests.benchmarks.bench_kept FOLDER [--hours 24] [--output bench-results]

Plays the recordings of FOLDER over and over, with pauses of a faint room between them, to a session
that keeps them, with an engine that takes no time. Then measures opening, and the replay under
another silence timeout with the energy VAD, without an engine.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sttlab.audio import SAMPLE_RATE
from sttlab.bench.report import surroundings
from sttlab.capture.base import Block
from sttlab.capture.replay import FileSource
from sttlab.config import TranscribeConfig, VadConfig
from sttlab.decoding import load
from sttlab.engines.base import Transcription, never
from sttlab.evaluate.compare import compare
from sttlab.kept.replay import replay
from sttlab.kept.session import open_session
from sttlab.live.session import Session
from tests.benchmarks import study

SUFFIXES = (".flac", ".wav")
ROOM_DBFS = -65.0
PAUSE_S = 6.0
BLOCK_S = 1.0


class Day(FileSource):
    """The recordings of a folder, one after another, for so many hours, as fast as possible."""

    def __init__(self, folder: Path, hours: float) -> None:
        paths = sorted(path for path in folder.iterdir() if path.suffix in SUFFIXES)
        super().__init__(paths[0], speed=None)
        self._recordings = [load(path).samples for path in paths]
        self._left = round(hours * 3600 / BLOCK_S)

    def open(self) -> None:
        """Begin."""
        self._day = _day(self._recordings)

    def read(self, timeout_s: float) -> Block | None:
        """Give the next second."""
        self._left -= 1
        return Block(next(self._day)) if self._left >= 0 else None


def _day(recordings: list[NDArray[np.float32]]) -> Iterator[NDArray[np.float32]]:
    random = np.random.default_rng(0)
    size, rest = round(BLOCK_S * SAMPLE_RATE), np.empty(0, np.float32)
    while True:
        for index in random.permutation(len(recordings)):
            room = random.standard_normal(round(PAUSE_S * SAMPLE_RATE)) * 10 ** (ROOM_DBFS / 20)
            rest = np.concatenate([rest, recordings[index], room.astype(np.float32)])
            while len(rest) >= size:
                yield rest[:size]
                rest = rest[size:]


class Instant:
    """An engine that takes no time."""

    name = "instant"
    config: TranscribeConfig | None = None

    def load(self) -> None:
        """Do nothing."""

    def transcribe(
        self, samples: NDArray[np.generic], sample_rate: int = SAMPLE_RATE, *, cancelled=never
    ) -> Transcription:
        """Give the number of samples as the text."""
        return Transcription(
            text=str(len(samples)),
            segments=(),
            suppressed=(),
            language="en",
            language_probability=1.0,
            confidence=1.0,
        )

    def close(self) -> None:
        """Do nothing."""


def main() -> None:
    """Measure, and write a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--hours", type=float, default=24.0)
    parser.add_argument("--output", type=Path, default=Path("bench-results"))
    options = parser.parse_args()
    before = surroundings()
    with tempfile.TemporaryDirectory() as folder:
        took: dict[str, float] = {}
        began = time.perf_counter()
        day = Day(options.folder, options.hours)
        with Session(day, vad=VadConfig(), model=Instant(), keep=folder) as session:
            session.wait()
            assert session.keep_problem is None
        took["keep"] = time.perf_counter() - began
        began = time.perf_counter()
        kept = open_session(folder)
        took["open"] = time.perf_counter() - began
        size = sum(path.stat().st_size for path in kept.folder.rglob("*"))
        began = time.perf_counter()
        same = replay(kept)
        took["replay"] = time.perf_counter() - began
        assert same.utterances == kept.utterances
        began = time.perf_counter()
        other = replay(kept, silence_timeout_s=0.4)
        took["replay with silence_timeout_s=0.4"] = time.perf_counter() - began
        began = time.perf_counter()
        compared = compare(same, other)
        took["compare"] = time.perf_counter() - began
    rows = "\n".join(f"| {what} | {seconds:.1f} s |" for what, seconds in took.items())
    text = (
        f"{options.hours:g} h, {len(kept.utterances)} utterances, {size / 1e6:.0f} MB\n\n"
        f"| what | takes |\n| --- | --- |\n{rows}\n\n{compared.summary}"
    )
    result = {"hours": options.hours, "bytes": size, "before": before, **took}
    study.write(options.output / "kept", result, text)


if __name__ == "__main__":
    main()
