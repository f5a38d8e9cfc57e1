"""`bench file`: speed, accuracy and memory of each engine on whole recordings."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from sttlab.bench.engines import ENGINES
from sttlab.bench.material import Clip
from sttlab.bench.process import Child
from sttlab.config import Config
from sttlab.errors import ConfigError, ServerError

READY_S = 300.0  # longest start of an engine, whose first one converts weights
SLOWEST_RTF = 5.0  # RTF above which an engine counts as hung


@dataclass(frozen=True, kw_only=True)
class FileRun:
    """The transcripts of an engine, and what they cost.

    Attributes
    ----------
    texts : tuple of str
        One for each recording.
    wall_s, cpu_s : float
        Wall time and CPU time for all recordings, without the decoding of the audio files.
    ready_s : float
        Wall time from the engine's start until it was loaded and warm.
    peak_mb : float
        Peak of resident memory in 10^6 bytes.
    """

    engine: str
    texts: tuple[str, ...]
    wall_s: float
    cpu_s: float
    ready_s: float
    peak_mb: float


def run(engine: str, recordings: Sequence[Clip], config: Config, threads: int) -> FileRun:
    """Transcribe `recordings` with an engine in a process of its own. Blocks until done.

    Raises
    ------
    ConfigError
        If the engine is unknown.
    ServerError
        If it fails.
    """
    if engine not in ENGINES:
        raise ConfigError(f"unknown engine {engine!r}; known are {'; '.join(ENGINES)}")
    with tempfile.TemporaryDirectory() as folder:
        paths = [str(Path(folder) / f"{i}.npy") for i in range(len(recordings))]
        for path, clip in zip(paths, recordings, strict=True):
            np.save(path, clip.samples)
        options = asdict(config) | {"recordings": paths, "threads": threads}
        started = time.monotonic()
        arguments = ["-m", "sttlab.bench.engines", engine, json.dumps(options)]
        with Child(arguments, threads) as child:
            if child.line(READY_S) is None:
                raise ServerError(f"{engine} ended before it was ready")
            ready_s = time.monotonic() - started
            answers = []
            for clip in recordings:
                line = child.line(60 + SLOWEST_RTF * clip.duration_s)
                if line is None:
                    raise ServerError(f"{engine} ended before it was done")
                answers.append(line[1])
            return FileRun(
                engine=engine,
                texts=tuple(a["text"] for a in answers),
                wall_s=sum(a["wall_s"] for a in answers),
                cpu_s=sum(a["cpu_s"] for a in answers),
                ready_s=ready_s,
                peak_mb=child.meter.peak_bytes / 1e6,
            )
