"""Faults of clients and of the system, which must not affect other clients."""

from __future__ import annotations

import ast
import contextlib
import gc
import json
import platform
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import psutil
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from sttlab import kept_files
from sttlab.live.pipeline import STALL_S
from sttlab.live.session import Session
from sttlab.server import hub, memory, uvicorn_server
from sttlab.server.launch import ServerHandle, launch_server
from tests.benchmarks.visitors import HANDSHAKE
from tests.fakes import WAIT_S, Counting
from tests.server.clients import (
    ALL,
    VAD,
    Told,
    client,
    closed_with,
    health,
    receive,
    running,
    serve,
    wait_for_capture,
    wait_until_not,
)


@contextmanager
def handshaken(server: ServerHandle) -> Iterator[socket.socket]:
    """Connect to `/ws` by a raw socket, which then does nothing by itself."""
    url = urlsplit(server.url)
    with socket.create_connection((url.hostname, url.port or 0), WAIT_S) as raw:
        raw.sendall(HANDSHAKE.format(query="", host=url.netloc).encode())
        assert raw.recv(12) == b"HTTP/1.1 101"
        yield raw


def test_client_that_answers_no_ping_is_disconnected(
    source: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uvicorn_server, "PING_S", 0.2)
    session = Session(source, vad=VAD, model=Counting())
    with launch_server(session, port=0) as server, client(server) as well, handshaken(server):
        wait_for_capture(source)
        wait_until_not(lambda: health(server)["clients"] != 1)
        source.say()
        assert receive(well)["event"] == "transcript"


def test_slow_client_receives_all_and_delays_no_other(server: ServerHandle, source: Told) -> None:
    with client(server, max_queue=1) as slow, client(server) as well:
        wait_for_capture(source)
        source.say(50)
        quick = [receive(well) for _ in range(50)]
        assert [receive(slow) for _ in range(50)] == quick


def test_jump_of_the_system_clock_changes_no_delay(
    server: ServerHandle, source: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = time.time
    with client(server, ALL) as heard:
        wait_for_capture(source)
        for jump_s in (0, -3600, 3600):
            monkeypatch.setattr(time, "time", lambda jump_s=jump_s: now() + jump_s)
            source.say()
            assert 0 <= receive(heard, "transcript")["delay_s"] < 600


@pytest.mark.parametrize(
    "frames",
    [
        pytest.param(b"\x81\x02hi", id="not masked"),
        pytest.param(b"\x8b\x80\0\0\0\0", id="no such opcode"),
        pytest.param(b"\xf1\x80\0\0\0\0", id="reserved bits"),
        pytest.param(b"\x81\x82\0\0\0\0\xff\xfe", id="no UTF-8"),
        pytest.param(b"\x80\x80\0\0\0\0", id="goes on with nothing"),
        pytest.param(b"\x09\x80\0\0\0\0", id="a ping in parts"),
        pytest.param(b"\x82\xff\x40" + bytes(11), id="promises 4 EiB"),
        pytest.param(
            b"\x02\xfe\xea\x60" + bytes(60_004) + b"\x80\xfe\xea\x60", id="too big in parts"
        ),
        pytest.param(b"GET / HTTP/1.1\r\n\r\n", id="another protocol"),
    ],
)
def test_invalid_frames_disconnect_only_their_client(
    server: ServerHandle, source: Told, frames: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    with client(server) as well, handshaken(server) as ill:
        wait_for_capture(source)
        ill.sendall(frames)
        ill.shutdown(socket.SHUT_WR)
        with contextlib.suppress(ConnectionResetError):  # the server had not read everything
            while ill.recv(4096):
                pass
        source.say()
        assert receive(well)["event"] == "transcript"
        wait_until_not(lambda: health(server)["clients"] != 1)
    assert "Traceback" not in caplog.text


@pytest.mark.parametrize("kind", [b"\x89", b"\x8a", b"\x00"], ids=["pings", "pongs", "parts"])
def test_flood_of_pings_pongs_or_fragments_disconnects_its_client(
    server: ServerHandle, source: Told, kind: bytes
) -> None:
    with client(server) as well, handshaken(server) as ill:
        wait_for_capture(source)
        wait_until_not(lambda: health(server)["clients"] != 2)
        begun = b"\x02\x80\0\0\0\0" if kind == b"\x00" else b""
        ill.sendall(begun + (kind + b"\x80\0\0\0\0") * uvicorn_server.FRAMES_AT_ONCE * 2)
        wait_until_not(lambda: health(server)["clients"] != 1)
        source.say()
        assert receive(well)["event"] == "transcript"


def test_connection_without_a_whole_request_is_closed(
    source: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uvicorn_server, "REQUEST_S", 0.2)
    session = Session(source, vad=VAD, model=Counting())
    with launch_server(session, port=0) as server, client(server) as well:
        url = urlsplit(server.url)
        for begun in (b"", b"GET /ws HTTP/1.1\r\nHost: "):
            with socket.create_connection((url.hostname, url.port or 0), WAIT_S) as raw:
                raw.sendall(begun)
                assert raw.recv(1) == b""
        whole = f"GET /health HTTP/1.1\r\nHost: {url.netloc}\r\n\r\n".encode()
        for begun in (whole[:-2], whole + whole[:-2]):
            with socket.create_connection((url.hostname, url.port or 0), WAIT_S) as raw:
                raw.sendall(whole)
                assert raw.recv(12) == b"HTTP/1.1 200"
                raw.sendall(begun)
                while raw.recv(4096):
                    pass
        wait_for_capture(source)
        source.say()
        assert receive(well)["event"] == "transcript"


def test_client_above_the_limit_is_refused_with_the_reason(
    server: ServerHandle, source: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub, "MAX_CLIENTS", 2)
    with client(server) as one, client(server):
        wait_for_capture(source)
        for _ in range(3):
            with client(server) as extra:
                assert closed_with(extra) == (1013, "2 clients are connected already")
        source.say()
        assert receive(one)["event"] == "transcript"


def test_message_limit_holds_with_any_server_settings(
    source: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The limit holds even if uvicorn accepts 16 MiB."""
    monkeypatch.setattr(uvicorn_server, "MAX_MESSAGE_BYTES", 1 << 24)
    session = Session(source, vad=VAD, model=Counting())
    with launch_server(session, port=0) as server, client(server, "?events=all") as one:
        one.send("x" * 65537)
        assert closed_with(one) == (1009, "at most 65536 bytes a message")


def test_connections_leave_no_objects_in_memory(server: ServerHandle, source: Told) -> None:
    def visit(times: int) -> None:
        for number in range(times):
            with client(server, "?events=all" if number % 2 else "") as one:
                one.send("{")
        wait_until_not(lambda: health(server)["clients"] != 1)
        gc.collect()

    with client(server):
        wait_for_capture(source)
        visit(100)
        before = len(gc.get_objects())
        visit(300)
        assert len(gc.get_objects()) - before < 300
    assert source.opened == 1


# They date what they keep on a disk.
DATING = ("best.py", "keeper.py", "results.py", "save.py", "saving.py")


def test_only_what_is_kept_on_a_disk_has_the_time_of_day(root: Path) -> None:
    """Otherwise a changed clock, or summer time, would change delays."""
    told = [
        f"{path.name}:{node.lineno}"
        for path in (root / "sttlab").rglob("*.py")
        if path.name not in DATING
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute)
        and ast.unparse(node)
        in ("time.time", "time.time_ns", "datetime.now", "datetime.utcnow", "datetime.today")
    ]
    assert told == []


posix = pytest.mark.skipif(sys.platform == "win32", reason="sends POSIX signals")


PING_S = 0.3
TALKING = f"""
import sys
from sttlab.live.session import Session
from sttlab.server import uvicorn_server
from sttlab.server.launch import launch_server
from tests.fakes import Blocks, Counting, speech
from tests.server.clients import VAD

class Talking(Blocks):
    def open(self):
        super().open()
        print("opened", flush=True)

    def read(self, timeout_s):
        pieces = [speech(1)[at : at + 800] for at in range(0, 12800, 800)]
        self.left = (self.left or pieces) if timeout_s else []  # a stop takes what is there
        self.drained.wait(0.05)
        return super().read(timeout_s)

    def close(self):
        super().close()
        print("closed", flush=True)

uvicorn_server.PING_S = {PING_S}
session = Session(Talking(then_wait=True), vad=VAD, model=Counting())
with launch_server(session, port=0) as server:
    print(server.ws_url, flush=True)
    sys.stdin.read()
"""


@posix
def test_server_survives_a_sleep_longer_than_a_ping_timeout() -> None:
    """A client may be disconnected; it reconnects, receives text, and no microphone stays open."""
    process = subprocess.Popen(
        [sys.executable, "-c", TALKING], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout
        url = process.stdout.readline().strip()
        for _ in range(2):
            with connect(url, ping_interval=None) as one:
                one.recv(timeout=WAIT_S)
                process.send_signal(signal.SIGSTOP)
                time.sleep(4 * PING_S)
                process.send_signal(signal.SIGCONT)
                with contextlib.suppress(ConnectionClosed):
                    one.recv(timeout=WAIT_S)
                with connect(url, ping_interval=None) as again:
                    again.recv(timeout=WAIT_S)
            while process.stdout.readline() != "closed\n":
                pass
        out, _ = process.communicate("", timeout=WAIT_S)
        assert out.count("opened") == out.count("closed")
        assert process.returncode == 0
    finally:
        process.kill()
        process.communicate()


WRITING_NOTHING = """
import resource, signal, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
from sttlab.cli import main
sys.exit(main(sys.argv[1:]))
"""


@posix
@pytest.mark.needs("whisper")
def test_serve_writes_no_file_and_survives_a_sleep(data: Path) -> None:
    """No file may grow by a byte, and the process is suspended between two texts.

    That lasts longer than a source may deliver no audio, by clocks that a test can't set.
    """
    with running("-c", WRITING_NOTHING, *serve(data)[2:]) as (process, url):
        with connect(url) as one:
            assert json.loads(one.recv(timeout=60))["event"] == "transcript"
            process.send_signal(signal.SIGSTOP)
            time.sleep(STALL_S + 0.5)
            process.send_signal(signal.SIGCONT)
            assert json.loads(one.recv(timeout=60))["event"] == "transcript"
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
    assert "Traceback" not in err


def test_server_returns_free_memory_at_intervals(
    source: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    again = threading.Semaphore(0)
    monkeypatch.setattr(memory, "EVERY_S", 0.01)
    monkeypatch.setattr(memory, "give_back", again.release)
    with launch_server(Session(source, vad=VAD, model=Counting()), port=0):
        assert again.acquire(timeout=WAIT_S)
        assert again.acquire(timeout=WAIT_S)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc keeps so much")
def test_give_back_returns_fragmented_memory() -> None:
    blocks = [np.ones(8192) for _ in range(4000)]  # 64 KiB each: too small for pages of their own
    used = blocks[::100]
    del blocks
    before = psutil.Process().memory_info().rss
    memory.give_back()
    assert before - psutil.Process().memory_info().rss > 100e6
    assert len(used) == 40


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="/dev/full is Linux's")
def test_full_disk_of_a_kept_session_is_said_while_text_goes_on(
    source: Told, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept_files, "open_piece", lambda *_: Path("/dev/full"))
    session = Session(source, vad=VAD, model=Counting(), keep=tmp_path)
    with launch_server(session, port=0) as server, client(server, ALL) as page:
        assert receive(page, "hello")["keeping"]
        source.say()
        while not (state := receive(page, "state"))["keep_problem"]:
            pass
        assert "No space left on device" in state["keep_problem"]
        assert (state["keeping"], state["problem"]) == (False, None)
        assert health(server)["status"] == "degraded"
        assert health(server)["why"] == state["keep_problem"]
        source.say()
        receive(page, "transcript")
