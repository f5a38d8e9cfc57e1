"""The real server with real clients: messages, start and stop of capture, disconnects."""

from __future__ import annotations

import gc
import http.client
import os
import socket
import subprocess
import sys
import threading
import weakref
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import urlopen

import numpy as np
import pytest
from websockets.exceptions import InvalidStatus

from sttlab.capture import FileSource
from sttlab.errors import DeviceUnavailable, ModelNotFound, ServerError
from sttlab.events import SessionFailed, SpeechStarted, Transcript
from sttlab.live.session import Session
from sttlab.live.worker import AsrWorker
from sttlab.server.connection import WAITING_MESSAGES
from sttlab.server.launch import ServerHandle, launch_server
from tests.fakes import WAIT_S, Counting, speech
from tests.ports import free_port
from tests.server.clients import (
    VAD,
    Told,
    client,
    closed_with,
    health,
    receive,
    wait_for_capture,
    wait_until_not,
)


@pytest.mark.needs("whisper")
def test_plain_client_sends_nothing_and_receives_transcripts_only(data: Path) -> None:
    session = Session(FileSource(data / "austen-2.flac", speed=None))
    with launch_server(session, port=0) as server, client(server) as plain:
        message = receive(plain)
    assert set(message) == {"event", "text"}
    assert message["event"] == "transcript"
    assert "young man" in str(message["text"])


def test_each_transcript_is_broadcast_to_all_clients(server: ServerHandle, source: Told) -> None:
    with client(server) as one, client(server) as two:
        wait_for_capture(source)
        source.say(3)
        first = [receive(one) for _ in range(3)]
        assert [receive(two) for _ in range(3)] == first
        assert all(set(message) == {"event", "text"} for message in first)


def test_messages_of_a_plain_client_are_ignored(server: ServerHandle, source: Told) -> None:
    with client(server) as plain:
        wait_for_capture(source)
        for message in ("{", '{"event": "transcript"}', b"\0" * 60_000, "ü" * 1000):
            plain.send(message)
        source.say()
        assert receive(plain)["event"] == "transcript"


def test_too_large_a_frame_disconnects_only_its_client(server: ServerHandle, source: Told) -> None:
    with client(server) as well, client(server) as ill:
        wait_for_capture(source)
        ill.send(b"\0" * 1_000_000)
        assert closed_with(ill)[0] == 1009
        source.say()
        assert receive(well)["event"] == "transcript"


def test_first_client_starts_capture_and_the_last_stops_it(
    server: ServerHandle, source: Told
) -> None:
    assert source.opened == 0
    for _ in range(3):
        with client(server) as one:
            wait_for_capture(source)
            with client(server):
                pass
            source.say()
            receive(one)
            assert source.closed == source.opened - 1
        assert source.was_closed.acquire(timeout=WAIT_S)
    assert source.opened == 3


def test_client_that_disconnects_in_an_utterance_leaves_nothing_behind(source: Told) -> None:
    engine = Counting()
    session = Session(source, vad=VAD, model=engine)
    started = threading.Event()
    session.subscribe(lambda event: started.set() if isinstance(event, SpeechStarted) else None)
    with launch_server(session, port=0) as server:
        with client(server):
            wait_for_capture(source)
            source.left.append(speech(1)[:6400])
            assert started.wait(WAIT_S)
        assert source.was_closed.acquire(timeout=WAIT_S)
        assert session.wait(WAIT_S)
        with client(server) as again:
            wait_for_capture(source)
            source.say()
            assert receive(again)["text"]


def test_server_never_stops_a_session_that_was_started_before(source: Told) -> None:
    with Session(source, vad=VAD, model=Counting()) as session:
        with launch_server(session, port=0) as server:
            for _ in range(2):
                with client(server) as one:
                    source.say()
                    receive(one)
        assert session.running
        assert source.opened == 1


def test_client_of_events_all_receives_every_event(server: ServerHandle, source: Told) -> None:
    with client(server, "?events=all") as everything, client(server) as plain:
        wait_for_capture(source)
        source.say()
        events = [receive(everything)]
        while events[-1]["event"] != "transcript":
            events.append(receive(everything))
        assert receive(plain).keys() == {"event", "text"}
    assert events[0]["event"] == "hello"
    assert {"level", "speech_started", "utterance"} <= {str(e["event"]) for e in events}
    assert events[-1]["confidence"] == 1.0


def test_partials_end_with_the_last_client_that_wants_them(
    server: ServerHandle, source: Told
) -> None:
    with client(server) as plain:
        with client(server, "?events=all") as everything:
            assert receive(everything)["event"] == "hello"
            assert server.session.partials
        source.say()
        receive(plain)
        wait_until_not(lambda: server.session.partials)


def test_client_that_does_not_read_is_disconnected_without_effect_on_others(
    source: Told,
) -> None:
    session = Session(source, vad=VAD, model=Counting(text="word " * 40_000))
    with launch_server(session, port=0) as server, client(server) as well:
        wait_for_capture(source)
        address = urlsplit(server.url)
        # This socket connects, and then never reads.
        with socket.create_connection((address.hostname, address.port or 0)) as deaf:
            deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            deaf.sendall(
                b"GET /ws HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\n"
                b"Connection: Upgrade\r\nSec-WebSocket-Key: c3R0bGFiIHN0dGxhYiBzdA==\r\n"
                b"Sec-WebSocket-Version: 13\r\n\r\n"
            )
            assert deaf.recv(12) == b"HTTP/1.1 101"
            assert health(server)["clients"] == 2
            for _ in range(WAITING_MESSAGES * 3):
                source.say()
                assert receive(well)["event"] == "transcript"
            wait_until_not(lambda: health(server)["clients"] == 2)
            source.say()
            assert receive(well)["event"] == "transcript"


def test_failed_start_of_capture_closes_the_socket_with_the_reason() -> None:
    class Gone(Told):
        def open(self) -> None:
            raise DeviceUnavailable("there is no microphone: plug one in")

    session = Session(Gone(), vad=VAD, model=Counting())
    with launch_server(session, port=0) as server:
        with client(server) as one:
            assert closed_with(one) == (1011, "there is no microphone: plug one in")
        assert health(server)["clients"] == 0


def test_health_is_degraded_with_the_reason_after_a_failure(source: Told) -> None:
    session = Session(source, vad=VAD, model=Counting())
    failed = threading.Event()
    session.subscribe(lambda event: failed.set() if isinstance(event, SessionFailed) else None)
    with launch_server(session, port=0) as server:
        assert health(server)["status"] == "ready"
        with client(server):
            wait_for_capture(source)
            assert health(server)["capturing"]
            source.left.append(DeviceUnavailable("it fell into the tea"))
            assert failed.wait(WAIT_S)
            assert health(server)["status"] == "degraded"
            assert "tea" in str(health(server)["why"])


def test_stop_closes_open_sockets(source: Told) -> None:
    session = Session(source, vad=VAD, model=Counting())
    server = launch_server(session, port=0)
    with client(server) as one, client(server, "?events=all") as two:
        wait_for_capture(source)
        server.stop()
        assert closed_with(one)[0] in (1001, 1012)
        assert closed_with(two)[0] in (1001, 1012)
    assert not server.running
    assert not session.running


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("?events=ALL", "events: Input should be '' or 'all'"),
        ("?events=all&after=x", "after: Input should be a valid integer"),
        ("?source=microphone", "source: Input should be '' or 'client'"),
        ("?source=client&rate=1e4", "rate: Input should be a valid integer"),
    ],
)
def test_invalid_query_closes_the_socket_with_the_reason(
    server: ServerHandle, source: Told, query: str, says: str
) -> None:
    with client(server, query) as one:
        code, why = closed_with(one)
    assert (code, why[: len(says)]) == (1008, says)
    assert not source.opened


def test_launch_at_a_port_in_use_raises_with_the_remedy(source: Told) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ServerError, match=f"port {port} is taken.*another port"):
            launch_server(Session(source, model=Counting()), port=port)


def test_interrupted_launch_leaves_the_port_free(source: Told) -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    port = free_port()
    session = Session(source, model=Counting())
    session.worker.start = interrupted  # type: ignore[assignment,method-assign]
    with pytest.raises(KeyboardInterrupt) as kept:  # as a kernel keeps the last error
        launch_server(session, port=port)
    launch_server(Session(source, model=Counting()), port=port).stop()
    del kept


def test_launch_with_a_missing_model_raises_in_the_caller(source: Told) -> None:
    engine = Counting(load_error=ModelNotFound("there is no such model"))
    with pytest.raises(ModelNotFound):
        launch_server(Session(source, model=engine), port=0)


def test_script_exits_cleanly_while_its_server_runs() -> None:
    script = (
        "import sttlab as stt; from tests.fakes import *\n"
        "from websockets.sync.client import connect\n"
        "session = stt.Session(Blocks(speech(2), then_wait=True), model=Counting(), vad=VAD)\n"
        "server = stt.launch_server(session, port=0)\n"
        "with connect(server.ws_url) as one: one.recv(timeout=WAIT_S); raise SystemExit"
    ).replace("VAD", repr(VAD).replace("VadConfig", "stt.VadConfig"))
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_stopped_handle_keeps_no_session_alive(source: Told) -> None:
    session = Session(source, model=Counting())
    session.start()
    server = launch_server(session, port=0)
    dsp, gone = session._dsp, weakref.ref(session)
    assert server.session is session
    assert dsp is not None
    server.stop()
    server.stop()
    assert server.session is session
    assert session.running
    del session
    gc.collect()
    dsp.join(WAIT_S)
    assert not dsp.is_alive()
    assert gone() is None
    with pytest.raises(ServerError, match="its session is gone"):
        _ = server.session


def test_repeated_launch_replaces_the_server(source: Told) -> None:
    port = free_port()
    servers = []
    for _ in range(3):
        servers.append(launch_server(Session(source, vad=VAD, model=Counting()), port=port))
        assert health(servers[-1])["status"] == "ready"
    assert [server.running for server in servers] == [False, False, True]
    servers[-1].stop()


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="counts open files by /proc")
def test_fifty_servers_leave_no_thread_or_file(source: Told) -> None:
    def once() -> None:
        session = Session(source, vad=VAD, model=Counting())
        with launch_server(session, port=0) as server, client(server) as one:
            wait_for_capture(source)
            source.say()
            receive(one)

    once()
    gc.collect()
    before = descriptors(), threading.active_count()
    for _ in range(50):
        once()
    gc.collect()
    assert (descriptors(), threading.active_count()) == before


def test_thousand_connections_leave_no_client(server: ServerHandle, source: Told) -> None:
    with client(server) as stays:
        wait_for_capture(source)
        for _ in range(1000):
            with client(server):
                pass
        source.say()
        assert receive(stays)["event"] == "transcript"
        wait_until_not(lambda: health(server)["clients"] != 1)
    assert source.opened == 1


@pytest.mark.parametrize("origin", ["https://evil.example", "http://127.0.0.1:1", "null"])
def test_page_of_another_website_is_refused(
    server: ServerHandle, source: Told, origin: str
) -> None:
    with (
        pytest.raises(InvalidStatus, match="403"),
        client(server, additional_headers={"Origin": origin}),
    ):
        pass
    assert source.opened == 0


def test_own_origin_and_allowed_origins_are_admitted(source: Told) -> None:
    session = Session(source, vad=VAD, model=Counting())
    allowed: Any = {"allowed_origins": ["https://hub.example"], "allowed_hosts": ["hub.example"]}
    with launch_server(session, port=0, **allowed) as server:
        for origin in (server.url.rstrip("/"), "https://hub.example"):
            with client(server, additional_headers={"Origin": origin}):
                wait_for_capture(source)
            assert source.was_closed.acquire(timeout=WAIT_S)


def test_unknown_host_name_is_refused(server: ServerHandle) -> None:
    address = urlsplit(server.url)
    for host, status in (("evil.example", 403), ("localhost", 200), ("[::1]:80", 200), ("", 403)):
        asked = http.client.HTTPConnection(address.netloc, timeout=WAIT_S)
        asked.putrequest("GET", "/health", skip_host=True)
        asked.putheader("Host", host)
        asked.endheaders()
        answer = asked.getresponse()
        answer.read()
        asked.close()
        assert (host, answer.status) == (host, status)


def test_content_security_policy_allows_only_own_scripts(server: ServerHandle) -> None:
    with urlopen(server.url, timeout=WAIT_S) as page:
        policy = page.headers["Content-Security-Policy"]
        assert b"<script" in page.read()
    assert "script-src 'self'" in policy
    assert "unsafe" not in policy


def test_two_servers_share_one_model() -> None:
    with AsrWorker(Counting()) as worker:
        sources = Told(), Told()
        sessions = [Session(source, vad=VAD, model=worker) for source in sources]
        with (
            launch_server(sessions[0], port=0) as a,
            launch_server(sessions[1], port=0) as b,
            client(a) as at_a,
            client(b) as at_b,
        ):
            for source in sources:
                wait_for_capture(source)
            sources[0].say(2)
            sources[1].say()
            assert len([receive(at_a) for _ in range(2)]) == 2
            assert receive(at_b)["event"] == "transcript"
        assert worker.ready


def test_history_equals_the_transcripts_that_were_sent(server: ServerHandle, source: Told) -> None:
    with client(server) as one:
        wait_for_capture(source)
        source.say(2)
        texts = [receive(one)["text"] for _ in range(2)]
    history = server.session.history
    assert [t.text for t in history] == texts
    assert all(isinstance(t, Transcript) for t in history)
    assert np.all([t.delay_s >= 0.2 for t in history])
