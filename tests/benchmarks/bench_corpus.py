"""Time and memory of a thousand settings on many hours, and of transcripts by several workers.

    python -m tests.benchmarks.bench_corpus [--hours 10] [--workers 1 2] [--minutes 10]

The corpus is the labelled speech of data/, repeated, in recordings of ten minutes, which are all
decoded: nothing is taken from disk. First it is swept in threads of this process, then by so many
processes, and the scores are compared. Then `--minutes` of it are transcribed by so many workers
of a cluster of Dask on this machine; the time is without the start of the workers and the load of
the model. Peak memory is that of this process, and that of the largest worker.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import resource
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from sttlab.evaluate.corpus import Corpus
from sttlab.evaluate.score_table import arrays
from sttlab.evaluate.sweep import Sweep, sweep
from sttlab.machine import processor
from sttlab.transcription import transcribe
from tests.benchmarks.bench_sweep import GRID, make_hour

PIECE_S = 600


def make_corpus(folder: Path, hours: float) -> Corpus:
    """Write six recordings of ten minutes, with labels, under as many names as are needed."""
    hour, labels = make_hour()
    pieces = range(0, 3600, PIECE_S)
    for number in range(round(hours * len(pieces))):
        start_s = pieces[number % len(pieces)]
        piece = folder / f"{start_s}"
        if number < len(pieces):
            hour[start_s : start_s + PIECE_S].save(piece.with_suffix(".flac"))
            labels.between(start_s, start_s + PIECE_S).save(piece.with_suffix(".json"))
        for suffix in (".flac", ".json"):
            target = folder / "corpus" / f"{number:04d}{suffix}"
            target.parent.mkdir(exist_ok=True)
            os.link(piece.with_suffix(suffix), target)
    return Corpus(folder / "corpus")


def peak_gb(who: int) -> float:
    """Return the peak memory of this process or of the largest of its children."""
    return resource.getrusage(who).ru_maxrss / 1e6


@contextmanager
def processes(count: int) -> Iterator[Executor]:
    """Start processes, and let them import and compile what they need."""
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(count, mp_context=spawn) as executor:
        yield executor


def cpu_s() -> float:
    """Return the processor's time of this process and of those that it has waited for."""
    whom = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return sum(sum(resource.getrusage(who)[:2]) for who in whom)


def timed(corpus: Corpus, executor: Executor | None) -> tuple[Sweep, float]:
    """Sweep a corpus, and return the seconds that it took."""
    started = time.perf_counter()
    found = sweep(corpus, GRID, executor=executor, cached=False)
    return found, time.perf_counter() - started


def same(a: Sweep, b: Sweep) -> bool:
    """Whether all figures are the same bit for bit."""
    mine, other = arrays(a.table), arrays(b.table)
    return all(np.array_equal(mine[name], other[name]) for name in mine)


def bench_sweep(corpus: Corpus, workers: list[int]) -> None:
    """Print the times and the memory of sweeps."""
    first = corpus.filter(lambda item: item.name < "0002")
    timed(first, None)  # compiles
    before = cpu_s()
    here, took_s = timed(corpus, None)
    hours = here.duration_s / 3600
    size = sum(array.nbytes for array in arrays(here.table).values())
    print(
        f"{len(here)} settings on {hours:g} h in {len(corpus)} recordings: {took_s:.0f} s in "
        f"threads, {(cpu_s() - before) / hours:.1f} s of a core for an hour, "
        f"{peak_gb(resource.RUSAGE_SELF):.2f} GB at most, of which scores {size / 1e6:.0f} MB",
        flush=True,
    )
    for count in workers:
        with processes(count) as executor:
            timed(first, executor)
            found, took_s = timed(corpus, executor)
        print(
            f"  {count} processes: {took_s:.0f} s, "
            f"{'the same figures' if same(found, here) else 'OTHER FIGURES'}; at most "
            f"{peak_gb(resource.RUSAGE_CHILDREN):.2f} GB in one",
            flush=True,
        )


def bench_transcripts(corpus: Corpus, workers: list[int]) -> None:
    """Print the real-time factor of transcription by workers of Dask."""
    from distributed import Client, LocalCluster

    texts: list[list[str]] = []
    for count in workers:
        cluster = LocalCluster(n_workers=count, threads_per_worker=1, dashboard_address=None)
        with cluster, Client(cluster) as client:
            executor = client.get_executor(pure=False)
            transcribe(corpus, executor=executor)  # loads the model
            before = sum(client.run(time.process_time).values())
            started = time.perf_counter()
            found = transcribe(corpus, executor=executor)
            took_s = time.perf_counter() - started
            used_s = sum(client.run(time.process_time).values()) - before
        audio_s = sum(one.duration_s for one in found.values())
        texts.append([one.text for one in found.values()])
        print(
            f"tiny.en on {audio_s:.0f} s, {count} workers: RTF {took_s / audio_s:.3f}, "
            f"{used_s / audio_s:.3f} of a core; "
            f"{'the same texts' if texts[0] == texts[-1] else 'OTHER TEXTS'}",
            flush=True,
        )


def main() -> None:
    """Print all figures."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--hours", type=float, default=10)
    parser.add_argument("--workers", type=int, nargs="*", default=[1, 2])
    parser.add_argument("--minutes", type=int, default=10, help="of audio to transcribe")
    options = parser.parse_args()
    print(f"{processor()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    with tempfile.TemporaryDirectory() as folder:
        corpus = make_corpus(Path(folder), options.hours)
        bench_sweep(corpus, options.workers)
    with tempfile.TemporaryDirectory() as folder:
        hour, _ = make_hour()
        for minute in range(options.minutes):
            hour[60 * minute : 60 * minute + 60].save(Path(folder) / f"{minute:02d}.flac")
        bench_transcripts(Corpus(folder), options.workers)


if __name__ == "__main__":
    main()
