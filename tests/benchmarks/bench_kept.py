"""How long opening and replaying a day of kept audio takes.

    python -m tests.benchmarks.bench_kept FOLDER [--hours 24] [--output bench-results]

Plays the recordings of FOLDER over and over for 20 minutes, with pauses of a faint room between
them, to a session that keeps them, with an engine that takes no time. A day is that over and over.
Measures opening, and a replay with the energy VAD without an engine under another silence timeout.
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sttlab import kept_files
from sttlab.audio import SAMPLE_RATE
from sttlab.bench.report import surroundings
from sttlab.capture.base import Block
from sttlab.capture.replay import FileSource
from sttlab.config import TranscribeConfig, VadConfig
from sttlab.decoding import load
from sttlab.engines.base import Transcription, never
from sttlab.evaluate.compare import compare
from sttlab.kept.replay import replay
from sttlab.kept.session import KeptSession, open_session
from sttlab.live.session import Session
from tests.benchmarks import study

SUFFIXES = (".flac", ".wav")
ROOM_DBFS = -65.0
PAUSE_S = 6.0
BLOCK_S = 1.0
MINUTES = 20


class Talk(FileSource):
    """The recordings of a folder, one after another, for so many minutes, as fast as possible."""

    def __init__(self, folder: Path, minutes: float) -> None:
        paths = sorted(path for path in folder.iterdir() if path.suffix in SUFFIXES)
        super().__init__(paths[0], speed=None)
        self._recordings = [load(path).samples for path in paths]
        self._left = round(minutes * 60 / BLOCK_S)

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
        self,
        samples: NDArray[np.generic],
        sample_rate: int = SAMPLE_RATE,
        *,
        cancelled: Callable[[], bool] = never,
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


def tile(kept: KeptSession, folder: Path, times: int) -> None:
    """Make a session of one that is repeated, whose pieces of audio are whole."""
    pieces = sorted((kept.folder / kept_files.AUDIO).iterdir())
    length = len(pieces) * kept_files.PIECE_SAMPLES
    (folder / kept_files.AUDIO).mkdir(parents=True)
    shutil.copy(kept.folder / kept_files.MANIFEST, folder)
    for i in range(times * len(pieces)):
        os.link(pieces[i % len(pieces)], kept_files.closed_piece(folder, i))
    number = len(kept.utterances)
    with (folder / kept_files.EVENTS).open("wb") as file:
        for time in range(times):
            for line in kept.lines:
                moved = dict(line)
                for name, value in line.items():
                    if name.endswith("_sample"):
                        moved[name] = value + time * length
                    elif name in ("start_s", "end_s"):
                        moved[name] = value + time * length / SAMPLE_RATE
                    elif name == "utterance_id":
                        moved[name] = value + time * number
                file.write(kept_files.to_line(moved))
    engine = (kept.folder / kept_files.INPUTS).read_bytes().splitlines(keepends=True)[0]
    (folder / kept_files.INPUTS).write_bytes(engine)


class Timer:
    """Measures wall time, and the processor's time of all threads."""

    def __init__(self) -> None:
        self.took: dict[str, tuple[float, float]] = {}

    @contextmanager
    def measure(self, what: str) -> Iterator[None]:
        """Measure what runs in it."""
        began, busy = time.perf_counter(), time.process_time()
        yield
        self.took[what] = time.perf_counter() - began, time.process_time() - busy


def main() -> None:
    """Measure, and write a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--hours", type=int, default=24)
    parser.add_argument("--output", type=Path, default=Path("bench-results"))
    options = parser.parse_args()
    before = surroundings()
    timer = Timer()
    with tempfile.TemporaryDirectory() as folder:
        with timer.measure(f"run and keep {MINUTES} min, read as fast as possible"):
            source = Talk(options.folder, MINUTES)
            with Session(source, vad=VadConfig(), model=Instant(), keep=folder) as session:
                session.wait()
                assert session.keep_problem is None
        talk = open_session(folder)
        assert replay(talk).utterances == talk.utterances
        times = round(options.hours * 60 / MINUTES)
        tile(talk, Path(folder, "day"), times)
        with timer.measure("open"):
            kept = open_session(Path(folder, "day"))
        size = times * sum(path.stat().st_size for path in talk.folder.rglob("*"))
        with timer.measure("replay with silence_timeout_s=0.4"):
            other = replay(kept, silence_timeout_s=0.4)
        with timer.measure("compare"):
            compared = compare(kept, other)
    rows = "\n".join(
        f"| {what} | {s:.1f} s | {cpu:.1f} s |" for what, (s, cpu) in timer.took.items()
    )
    text = (
        f"{options.hours} h, {len(kept.utterances)} utterances, {size / 1e6:.0f} MB\n\n"
        f"| what | takes | of a core |\n| --- | --- | --- |\n{rows}\n\n{compared.summary}"
    )
    result = {"hours": options.hours, "bytes": size, "took": timer.took, "before": before}
    study.write(options.output / "kept", result, text)


if __name__ == "__main__":
    main()
