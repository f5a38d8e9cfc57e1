"""Work that is spread among threads, processes or machines, by an executor."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from concurrent.futures import BrokenExecutor, CancelledError, Executor, Future, as_completed
from typing import TypeVar

from sttlab.errors import SttlabError, WorkersFailed

Job = TypeVar("Job")
Result = TypeVar("Result")


def spread(
    executor: Executor, task: Callable[[Job], Result], jobs: Iterable[tuple[int, Job]]
) -> Generator[tuple[int, Result], None, None]:
    """Do jobs by an executor; yield the number and the result of each, as they are done.

    Blocks. When the caller stops early, what has not begun is cancelled.

    Parameters
    ----------
    executor : concurrent.futures.Executor
        One of processes or of a cluster needs a `task` that is a function of a module.
    task : callable
    jobs : iterable of (int, job)

    Raises
    ------
    SttlabError
        What `task` raises.
    WorkersFailed
        If the workers are gone.
    """
    futures: dict[Future[Result], int] = {}
    try:
        for number, job in jobs:
            futures[executor.submit(task, job)] = number
        for future in as_completed(futures):
            number = futures.pop(future)  # a result is kept by nobody but the caller
            yield number, future.result()
    except SttlabError:
        raise
    except Exception as error:
        if isinstance(error, BrokenExecutor | CancelledError) or _is_of_dask(error):
            raise WorkersFailed(
                f"the workers failed, for want of memory perhaps ({type(error).__name__}: {error})"
            ) from error
        raise
    finally:
        for future in futures:
            future.cancel()


def _is_of_dask(error: Exception) -> bool:
    return type(error).__module__.partition(".")[0] == "distributed"
