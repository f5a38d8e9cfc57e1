"""A server with few file descriptors, as on macOS, and more clients than it has places."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from sttlab.server import descriptors
from tests.fakes import wait_until
from tests.server.clients import UVICORN, serve

if sys.platform == "win32":
    pytest.skip("Windows has no such limit", allow_module_level=True)

import resource

FEW = 64
CROWD = 100
WAIT_S = 60


class Running:
    """A server in a process of its own."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self.process = process
        self._log = log
        for _ in range(10 * WAIT_S):
            if self._address() or process.poll() is not None:
                break
            with suppress(subprocess.TimeoutExpired):
                process.wait(0.1)
        found = self._address()
        assert found, self.log
        self.address = found[1], int(found[2])
        self.url = f"{found[1]}:{found[2]}"

    @property
    def log(self) -> str:
        """What it has logged."""
        return self._log.read_text(encoding="utf-8")

    def _address(self) -> re.Match[str] | None:
        return re.search(r"http://([\d.]+):(\d+)", self.log)

    def status(self, path: str = "/health") -> int:
        """Ask for something that needs no audio."""
        try:
            with urllib.request.urlopen(f"http://{self.url}{path}", timeout=WAIT_S) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code
        except OSError:
            return 0


@contextmanager
def running(tmp_path: Path, *command: str, soft: int, hard: int) -> Iterator[Running]:
    path = tmp_path / "log"
    with path.open("w", encoding="utf-8") as log:
        process = subprocess.Popen(
            [sys.executable, *command],
            stdout=log,
            stderr=log,
            env={**os.environ, "PYTHONIOENCODING": "utf-8"},
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard)),
        )
    try:
        yield Running(process, path)
    finally:
        process.kill()
        process.wait()


@pytest.mark.needs("whisper")
@pytest.mark.parametrize("plainly", [False, True])
def test_crowd_of_connections_is_one_log_line_and_no_end(
    tmp_path: Path, data: Path, plainly: bool
) -> None:
    command = UVICORN if plainly else serve(data)
    with running(tmp_path, *command, soft=FEW, hard=FEW) as server:
        assert server.status() == 200
        with ExitStack() as crowd:
            for _ in range(CROWD):
                crowd.enter_context(socket.create_connection(server.address))
            wait_until(lambda: "ulimit -n" in server.log)
        wait_until(lambda: server.status() == 200)
        assert server.log.count("ulimit -n") == 1
        assert "Traceback" not in server.log
        assert "out of system resource" not in server.log
        body = (data / "word.mp3").read_bytes()
        with urllib.request.urlopen(f"http://{server.url}/files", body, timeout=WAIT_S) as answer:
            assert b'"event": "done"' in answer.read().splitlines()[-1]


@pytest.mark.needs("whisper")
def test_client_without_a_place_learns_why_and_others_are_served(
    tmp_path: Path, data: Path
) -> None:
    with running(tmp_path, *serve(data), soft=FEW, hard=FEW) as server:
        with ExitStack() as clients:
            first = clients.enter_context(connect(f"ws://{server.url}/ws"))
            with pytest.raises(InvalidStatus) as refused:  # noqa: PT012 - one of them is
                for _ in range(CROWD):
                    clients.enter_context(connect(f"ws://{server.url}/ws"))
            assert refused.value.response.status_code == 503
            assert b"as many connections are open as the system" in refused.value.response.body
            assert first.recv(timeout=WAIT_S)
        wait_until(lambda: server.status() == 200)
        assert server.log.count("ulimit -n") == 1


@pytest.mark.needs("whisper")
def test_soft_limit_is_raised_so_that_a_crowd_is_served(tmp_path: Path, data: Path) -> None:
    with running(tmp_path, *serve(data), soft=FEW, hard=descriptors.WANTED) as server:
        with ExitStack() as clients:
            for _ in range(CROWD):
                clients.enter_context(connect(f"ws://{server.url}/ws"))
            assert server.status() == 200
        assert "ulimit" not in server.log
