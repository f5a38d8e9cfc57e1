"""A program under measurement: its process, and what it costs."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import psutil

from sttlab.errors import ServerError

SAMPLE_EVERY_S = 0.5
LINES = 10_000  # most lines of a child's output that wait to be read


class Meter:
    """CPU time and memory of a process and its children, sampled on a thread `bench-meter`."""

    def __init__(self, pid: int) -> None:
        self._process = psutil.Process(pid)
        self._samples: list[tuple[float, float]] = []
        self.peak_bytes = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="bench-meter", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._stop.wait(SAMPLE_EVERY_S):
            self.sample()

    def sample(self) -> None:
        """Sample the CPU time and the memory now."""
        cpu_s, resident = 0.0, 0
        try:
            for process in (self._process, *self._process.children(recursive=True)):
                times = process.cpu_times()
                cpu_s += times.user + times.system
                resident += process.memory_info().rss
        except psutil.Error:
            return  # the process has just ended
        self._samples.append((time.monotonic(), cpu_s))
        self.peak_bytes = max(self.peak_bytes, resident)

    def cpu_between_s(self, begin: float, end: float) -> float:
        """Return the CPU seconds used between two times of `time.monotonic`, to 0.5 s."""
        inside = [cpu for at, cpu in self._samples if begin <= at <= end]
        return inside[-1] - inside[0] if inside else 0.0

    def close(self) -> None:
        """Stop sampling."""
        self._stop.set()
        self._thread.join(5)


class Child:
    """A Python process that prints lines of JSON, with a meter of its cost.

    Parameters
    ----------
    arguments : list of str
        Arguments of `python`.
    threads : int
        Threads with which its libraries may compute.
    python : str
        The interpreter.
    """

    def __init__(self, arguments: list[str], threads: int, python: str = sys.executable) -> None:
        names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
        environment = os.environ | {name: str(threads) for name in names}
        self._name = " ".join(arguments[:3])
        # A file, since a pipe that is read only after a failure could fill up.
        self._stderr: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115
        self._process = subprocess.Popen(
            [python, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            env=environment,
            cwd=Path.cwd(),
        )
        assert self._process.stdin
        self.stdin = self._process.stdin
        self._lines: queue.Queue[tuple[float, bytes] | None] = queue.Queue(LINES)
        self._reader = threading.Thread(target=self._read, name="bench-reader", daemon=True)
        self._reader.start()
        self.meter = Meter(self._process.pid)

    def _read(self) -> None:
        assert self._process.stdout
        for line in self._process.stdout:
            self._lines.put((time.monotonic(), line))
        self._lines.put(None)

    def line(self, timeout_s: float) -> tuple[float, dict[str, Any]] | None:
        """Wait for the next line of JSON.

        Returns
        -------
        (float, dict) or None
            The time of its arrival (`time.monotonic`) and its content; None once the process has
            exited with code 0.

        Raises
        ------
        ServerError
            If the process prints nothing in time or exits with another code. The message has the
            end of its stderr.
        """
        deadline = time.monotonic() + timeout_s
        while True:
            try:
                line = self._lines.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                raise self._failed(f"said nothing for {timeout_s:.0f} s") from None
            if line is None:
                if code := self._process.wait(30):
                    raise self._failed(f"ended with exit code {code}")
                return None
            if line[1].startswith(b"{"):  # other lines are those of libraries
                return line[0], json.loads(line[1])

    def _failed(self, what: str) -> ServerError:
        self._stderr.seek(0)
        tail = self._stderr.read()[-2000:].decode(errors="replace").strip()
        return ServerError(f"{self._name} {what}. {tail or 'It gave no reason.'}")

    def __enter__(self) -> Child:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait(30)
        self._reader.join(5)
        self.meter.close()
        self._stderr.close()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()
