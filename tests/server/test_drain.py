"""A server that is stopped first says what it has heard: real signals, real Whisper."""

from __future__ import annotations

import http.client
import json
import signal
import sys
import threading
import time
from pathlib import Path

import pytest
from websockets.sync.client import ClientConnection, connect

from sttlab.audio import SAMPLE_RATE, to_pcm16, wav_bytes
from sttlab.decoding import load
from sttlab.live.session import Session
from sttlab.server import drain
from sttlab.server.launch import launch_server
from tests.fakes import WAIT_S, Counting, speech, wait_until
from tests.server.clients import (
    UVICORN,
    VAD,
    Told,
    all_of,
    client,
    closed_with,
    receive,
    running,
    serve,
    wait_for_capture,
)

posix = pytest.mark.skipif(sys.platform == "win32", reason="sends POSIX signals")
WHISPER_S = 120
LAST_S = 4.0  # of a sentence that nobody has ended


def speak(microphone: ClientConnection, data: Path) -> None:
    """Say half a sentence."""
    assert json.loads(microphone.recv(timeout=WHISPER_S))["event"] == "hello"
    said = to_pcm16(load(data / "austen-2.flac").samples[: round(LAST_S * SAMPLE_RATE)]).tobytes()
    for start in range(0, len(said), 3200):
        microphone.send(said[start : start + 3200])
    while json.loads(microphone.recv(timeout=WHISPER_S))["event"] != "speech_started":
        pass


def rest_of(microphone: ClientConnection) -> tuple[str, int | None]:
    """Give the text that comes before the socket is closed, and its close code."""
    received, code = all_of(microphone)
    assert all(message["event"] != "transcription_failed" for message in received)
    return " ".join(m["text"] for m in received if m["event"] == "transcript"), code


@posix
@pytest.mark.needs("whisper")
@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("plainly", [False, True], ids=["sttlab serve", "uvicorn"])
def test_a_signal_delivers_the_last_utterance(
    data: Path, sent: signal.Signals, plainly: bool
) -> None:
    with running(*(UVICORN if plainly else serve(data))) as (process, url):
        with connect(f"{url}?source=client&events=all") as microphone:
            speak(microphone, data)
            process.send_signal(sent)
            text, code = rest_of(microphone)
        _, err = process.communicate(timeout=WHISPER_S)
    assert len(text.split()) > 3
    assert code == 1012
    assert "Traceback" not in err
    expected = {signal.SIGTERM: -15, signal.SIGINT: 0 if plainly else 130}
    assert process.returncode == expected[sent]


@posix
@pytest.mark.needs("whisper")
def test_sigterm_delivers_the_open_utterance_of_the_servers_own_source(data: Path) -> None:
    """Speech goes on when the signal comes: nobody has ended the utterance, or paused in it."""
    with running(*serve(data)) as (process, url), connect(f"{url}?events=all") as page:
        speaking = 0
        while speaking < 30:  # levels, some two seconds of one utterance
            message = json.loads(page.recv(timeout=WHISPER_S))
            if message["event"] == "utterance":
                speaking = 0
            speaking += message.get("state") == "speech"
        process.send_signal(signal.SIGTERM)
        received, code = all_of(page)
    ended = [m for m in received if m["event"] == "utterance"]
    texts = {m["utterance_id"]: m["text"] for m in received if m["event"] == "transcript"}
    assert not [m for m in received if m["event"] == "transcription_failed"]
    assert [m["reason"] for m in ended] == ["end"]
    assert len(texts[ended[0]["utterance_id"]].split()) > 3
    assert code == 1012


@posix
@pytest.mark.needs("whisper")
@pytest.mark.parametrize("plainly", [False, True], ids=["sttlab serve", "uvicorn"])
def test_a_second_signal_does_not_wait_for_the_engine(data: Path, plainly: bool) -> None:
    """The engine has half an hour of a recording before it, which is cut off and says so."""
    command = UVICORN if plainly else serve(data)
    with running(*command) as (process, url):
        address = url.split("/")[2]
        upload = http.client.HTTPConnection(address, timeout=WHISPER_S)
        upload.request("POST", "/files", wav_bytes(speech(90, seconds=20.0)))
        answer = upload.getresponse()
        assert json.loads(answer.readline())["event"] == "opened"
        process.send_signal(signal.SIGINT)
        assert process.stderr
        assert any("Ctrl-C again" in line for line in process.stderr)
        begun = time.monotonic()
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=WHISPER_S)
        assert time.monotonic() - begun < drain.DRAIN_S
        lines = [json.loads(line) for line in answer]
        upload.close()
    assert lines[-1]["event"] in ("session_failed", "done")
    assert "Traceback" not in err


def test_a_server_that_stops_says_what_was_said_and_takes_nobody_more(source: Told) -> None:
    engine = Counting()
    session = Session(source, vad=VAD, model=engine)
    with launch_server(session, port=0) as server, client(server) as plain:
        wait_for_capture(source)
        engine.go.clear()
        source.say()
        assert engine.taken.acquire(timeout=WAIT_S)
        assert server._server
        hub = server._server._drain._shared
        stopping = threading.Thread(target=server.stop)
        stopping.start()
        wait_until(lambda: hub.stopping)
        for query in ("", "?source=client"):
            with client(server, query) as late:
                assert closed_with(late) == (1012, "the server stops")
        engine.go.set()
        assert receive(plain)["text"]
        assert closed_with(plain) == (1012, "the server stops")
        stopping.join(WAIT_S)
        assert not server.running


def test_what_the_engine_has_no_time_for_is_said_to_have_failed(
    source: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drain, "DRAIN_S", 0.1)
    engine = Counting()
    session = Session(source, vad=VAD, model=engine)
    with launch_server(session, port=0) as server, client(server, "?events=all") as page:
        wait_for_capture(source)
        engine.go.clear()
        source.say()
        assert engine.taken.acquire(timeout=WAIT_S)
        stopping = threading.Thread(target=server.stop)
        stopping.start()
        assert "stopped" in receive(page, "transcription_failed")["message"]
        assert closed_with(page)[0] == 1012
        engine.go.set()
        stopping.join(WAIT_S)
