"""`uvicorn sttlab.server:app`, in a process of its own."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

pytestmark = pytest.mark.needs("whisper")

WAIT_S = 60


@contextmanager
def uvicorn(
    settings: Path | None = None, host: str = "127.0.0.1", **variables: str
) -> Iterator[subprocess.Popen[str]]:
    environment = {k: v for k, v in os.environ.items() if k != "KMP_DUPLICATE_LIB_OK"} | variables
    if settings:
        environment["STTLAB_CONFIG"] = str(settings)
    process = subprocess.Popen(
        [sys.executable, "-m", "uvicorn", "sttlab.server:app", "--port", "0", "--host", host],
        stdout=subprocess.PIPE,  # the access log
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        env={**environment, "PYTHONIOENCODING": "utf-8"},
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def read_until(process: subprocess.Popen[str], pattern: str) -> str:
    """Read the log up to a line that matches."""
    assert process.stderr
    log = ""
    for line in process.stderr:
        log += line
        if re.search(pattern, line):
            return log
    raise AssertionError(f"no {pattern!r} in:\n{log}")


@pytest.mark.skipif(sys.platform == "win32", reason="sends a POSIX signal")
def test_uvicorn_logs_its_start_and_exits_cleanly() -> None:
    with uvicorn() as process:
        log = read_until(process, "Uvicorn running on")
        assert log.index("🎙️ Audio worker started") < log.index("🚀 Backend fully started")
        assert "Only this machine is answered; STTLAB_TOKEN lets others in" in log
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=WAIT_S)
    assert "Traceback" not in log + err


def test_client_receives_hello_or_the_reason_without_a_microphone() -> None:
    """With a microphone the client receives hello; without one, the close frame has the reason."""
    with uvicorn() as process:
        url = re.search(r"http://([\d.:]+)", read_until(process, "Uvicorn running on"))
        assert url
        with connect(f"ws://{url[1]}/ws?events=all") as client:
            said = first_message(client)
    assert re.search('"event": "hello"|PortAudio|microphone', said)


@pytest.mark.skipif(sys.platform == "win32", reason="sends a POSIX signal")
def test_token_admits_other_machines_and_is_never_logged() -> None:
    token = "only-for-those-who-know"
    with uvicorn(host="0.0.0.0", STTLAB_TOKEN=token) as process:
        log = read_until(process, "Uvicorn running on")
        port = re.findall(r":(\d+) ", log)[-1]
        with pytest.raises(HTTPError, match="403"):
            urlopen(f"http://127.0.0.1:{port}/health")
        for method in ("GET", "HEAD"):
            asked = Request(f"http://127.0.0.1:{port}/health?token={token}", method=method)
            with urlopen(asked) as answer:
                assert answer.status == 200
        with connect(f"ws://127.0.0.1:{port}/ws?events=all&token={token}") as client:
            assert first_message(client)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=WAIT_S)
    assert '"GET /health HTTP/1.1" 200' in out
    assert '"HEAD /health HTTP/1.1" 200' in out
    assert "/ws?events=all" in log + out + err
    assert token not in log + out + err


def first_message(client: ClientConnection) -> str:
    try:
        return str(client.recv(timeout=WAIT_S))
    except ConnectionClosed as closed:
        return str(closed)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ("[transcribe]\nmodel = 'nowhere.pt'\n", "there is no model file nowhere.pt"),
        ("[vad]\nsilence_timeout_s = 99\n", "silence_timeout_s must be between 0.1 and 10 s"),
    ],
)
def test_failed_start_prints_the_reason_on_one_line(
    tmp_path: Path, settings: str, says: str
) -> None:
    path = tmp_path / "settings.toml"
    path.write_text(settings)
    with uvicorn(path) as process:
        _, err = process.communicate(timeout=WAIT_S)
    assert process.returncode != 0
    assert sum(says in line for line in err.splitlines()) == 1
    assert "Traceback" not in err
