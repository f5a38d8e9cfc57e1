"""Work on a cluster of Dask, and `sttlab cache`."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from typing import Annotated, Any

import typer

from sttlab.cli.terminal import print_table, say
from sttlab.errors import MissingExtra, WorkersFailed

CONNECT_S = 10.0

Scheduler = Annotated[
    str | None,
    typer.Option(
        metavar="ADDRESS",
        help="Scheduler of a Dask cluster that does the work: tcp://HOST:8786. Its workers must "
        "see the files under the same paths.",
        show_default=False,
    ),
]


@contextmanager
def connected(scheduler: str | None) -> Iterator[Executor | None]:
    """Connect to a scheduler, if one is given, and give an executor of its workers.

    Raises
    ------
    MissingExtra
        If the extra `cluster` is not installed.
    WorkersFailed
        If no scheduler answers.
    """
    if scheduler is None:
        yield None
        return
    try:
        distributed: Any = importlib.import_module("distributed")
    except ImportError as error:
        raise MissingExtra("distributed", "cluster") from error
    try:
        client = distributed.Client(scheduler, timeout=CONNECT_S)
    except (OSError, ValueError) as error:
        raise WorkersFailed(
            f"no scheduler answers at {scheduler} ({error}): start one by `dask scheduler`, and "
            f"workers by `dask worker {scheduler}`"
        ) from error
    with client:
        if not client.scheduler_info()["workers"]:
            say(f"waiting for workers: start them by `dask worker {scheduler}`")
        yield client.get_executor(pure=False)


def cache(
    clear: Annotated[bool, typer.Option("--clear", help="Remove all that is kept.")] = False,
) -> None:
    """Show what sweeps keep on disk, or remove it.

    Levels of recordings, so that another sweep decodes nothing, and scores, so that one that was
    interrupted goes on where it was. The oldest go first where all are larger than the bound.
    """
    from sttlab.evaluate.sweep_cache import shared_cache

    kept = shared_cache()
    if clear:
        kept.clear()
    sizes = [size for _, size in kept.entries()]
    print_table(
        [
            ("folder", "entries", "size", "at most"),
            (
                kept.folder or "there is no home folder, so nothing is kept",
                len(sizes),
                f"{sum(sizes) / 1e6:.0f} MB",
                f"{kept.limit_bytes / 1e6:.0f} MB",
            ),
        ]
    )
