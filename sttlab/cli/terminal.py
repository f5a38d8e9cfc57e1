"""Messages of commands, and waiting that Ctrl-C can interrupt."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import typer

from sttlab.config import Config

if TYPE_CHECKING:
    from sttlab.live.worker import AsrWorker

T = TypeVar("T")

FAILED, WRONG_CALL, INTERRUPTED = 1, 2, 130  # exit codes; shells use 130 for Ctrl-C


def say(message: str) -> None:
    """Print a message to stderr; stdout is for results only."""
    text = message.replace("\n", " ")
    print(f"sttlab: {text}", file=sys.stderr, flush=True)


def say_of(path: Path | str | None, error: Exception) -> None:
    """Print an error, with its file unless the error names it already."""
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    say(reason if path is None or str(path) in reason else f"{path}: {reason}")


def failed(message: str, code: int = FAILED) -> int:
    """Print why a command failed, and return the exit code."""
    say(message)
    return code


def print_table(rows: list[tuple[object, ...]]) -> None:
    """Print rows with aligned columns."""
    widths = [max(len(str(cell)) for cell in column) for column in zip(*rows, strict=True)]
    for row in rows:
        print("  ".join(str(c).ljust(w) for c, w in zip(row, widths, strict=True)).rstrip())


def wait_for(future: Future[T], tick: Callable[[], None] = lambda: None) -> T:
    """Wait for work on another thread, in short waits, so that Ctrl-C works on Windows too."""
    while not wait([future], timeout=0.1).done:
        tick()
    return future.result()


@contextlib.contextmanager
def side_thread() -> Iterator[ThreadPoolExecutor]:
    """Run a thread for work that blocks. It is not joined: after Ctrl-C it may still be busy."""
    thread = ThreadPoolExecutor(1, "sttlab-command")
    try:
        yield thread
    finally:
        thread.shutdown(wait=False)


def with_bar(
    thread: ThreadPoolExecutor,
    label: str,
    work: Callable[[Callable[[float, float], None]], T],
) -> T:
    """Run work on a thread with a progress bar on stderr.

    Parameters
    ----------
    thread : ThreadPoolExecutor
    label : str
    work : callable
        Takes a callable, which it calls with what is done and what there is in all.
    """
    share = 0.0

    def progress(done: float, total: float) -> None:
        nonlocal share
        share = done / max(total, done)

    with typer.progressbar(length=1000, label=label, file=sys.stderr) as bar:
        made = wait_for(
            thread.submit(work, progress), lambda: bar.update(int(share * 1000) - bar.pos)
        )
        bar.update(1000 - bar.pos)
    return made


def load_worker(settings: Config) -> AsrWorker:
    """Make the engine that the settings name, and load its model."""
    from sttlab.engines import make_engine
    from sttlab.live.worker import AsrWorker

    worker = AsrWorker(make_engine(settings.transcribe))
    start_worker(worker)
    return worker


def start_worker(worker: AsrWorker) -> None:
    """Load the model of a worker, and say so. Ctrl-C can interrupt it."""
    say(f"loading {worker.engine_name}")
    with side_thread() as thread:
        wait_for(thread.submit(worker.start))
