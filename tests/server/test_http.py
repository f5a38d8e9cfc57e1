"""The HTTP side: its description, health and metrics."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from prometheus_client.parser import text_string_to_metric_families

from sttlab.capture.base import Block
from sttlab.errors import DeviceUnavailable
from sttlab.live.session import Session
from sttlab.live.worker import AsrWorker
from sttlab.server import routes, uvicorn_server
from sttlab.server.files import STOPPED
from sttlab.server.launch import ServerHandle, launch_server
from tests.fakes import WAIT_S, Counting, speech
from tests.server.clients import (
    VAD,
    Told,
    client,
    get,
    health,
    receive,
    wait_for_capture,
    wait_until_not,
)

SCHEMATHESIS = [sys.executable, "-m", "schemathesis.cli"]


def figures(server: ServerHandle) -> dict[str, float]:
    """Give what /metrics says, by name and labels."""
    with urlopen(f"{server.url}metrics", timeout=WAIT_S) as answer:
        assert answer.headers["Content-Type"].startswith("text/plain")
        text = answer.read().decode()
    return {
        " ".join([sample.name, *sample.labels.values()]): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_request_cut_off_by_a_stop_gets_503(
    source: Told, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    asked, go = threading.Event(), threading.Event()

    def find_slowly() -> None:
        asked.set()
        assert go.wait(WAIT_S)

    monkeypatch.setattr(routes, "find_models", find_slowly)
    with (
        launch_server(Session(source, vad=VAD, model=Counting()), port=0) as server,
        ThreadPoolExecutor() as threads,
    ):
        answer = threads.submit(get, server, "models")
        assert asked.wait(WAIT_S)
        stopped = threads.submit(server.stop)
        told = answer.exception(WAIT_S)
        go.set()
        assert isinstance(told, HTTPError)
        with told:
            assert (told.code, json.load(told)) == (503, {"detail": STOPPED})
        stopped.result(WAIT_S)
    assert "Traceback" not in caplog.text


@pytest.mark.parametrize(
    "path",
    ["", "health", "metrics", "devices", "models", "protocol.json", "openapi.json", "app.js"],
)
def test_head_is_answered_as_get_without_the_body(server: ServerHandle, path: str) -> None:
    answers = []
    for method in ("GET", "HEAD"):
        with urlopen(Request(f"{server.url}{path}", method=method), timeout=WAIT_S) as answer:
            kept = {n: v for n, v in answer.headers.items() if n not in ("date", "content-length")}
            answers.append((answer.status, kept, len(answer.read()) > 0))
    (status, headers, has_body), without = answers
    assert has_body
    assert without == (status, headers, False)


def test_metrics_count_clients_utterances_and_losses(server: ServerHandle, source: Told) -> None:
    before = figures(server)
    assert before["sttlab_clients"] == before["sttlab_utterances_total transcripts"] == 0
    assert before["sttlab_ready"] == 1
    with client(server) as one, client(server, "?source=client"):
        wait_for_capture(source)
        source.say(2)
        source.left.append(Block(speech(1), lost_samples=400))
        for _ in range(3):
            receive(one)
        wait_until_not(lambda: figures(server)["sttlab_microphones"] != 1)
        now = figures(server)
    assert now["sttlab_clients"] == 1
    assert now["sttlab_utterances_total utterances"] == 3
    assert now["sttlab_utterances_total transcripts"] == 3
    assert now["sttlab_utterances_total failed"] == 0
    assert now["sttlab_lost_samples_total"] == 400
    assert now["sttlab_speech_seconds_total"] > 1
    assert now["sttlab_latency_seconds_count delay"] == 3
    assert now["sttlab_latency_seconds_sum delay"] >= 3 * VAD.silence_timeout_s
    assert now["sttlab_engine_queue"] == 0


def test_metrics_and_health_need_the_token(source: Told) -> None:
    session = Session(source, vad=VAD, model=Counting())
    with launch_server(session, port=0, token="a-token-that-is-long") as server:
        for path in ("metrics", "health", "openapi.json", "protocol.json"):
            with pytest.raises(Exception, match="403"):
                get(server, path)


def test_health_is_degraded_while_there_is_no_microphone() -> None:
    class Gone(Told):
        def open(self) -> None:
            raise DeviceUnavailable("plug one in")

    with launch_server(Session(Gone(), vad=VAD, model=Counting()), port=0) as server:
        assert health(server)["status"] == "ready"
        with client(server, "?events=all") as one:
            assert receive(one)["problem"] == "plug one in"
            said = health(server)
            assert (said["status"], said["why"]) == ("degraded", "plug one in")
            assert figures(server)["sttlab_ready"] == 0


def test_hanging_engine_is_reported_by_event_health_and_state(source: Told) -> None:
    engine = Counting()
    with AsrWorker(engine, patience=0.003) as worker:
        session = Session(source, vad=VAD, model=worker)
        with launch_server(session, port=0) as server, client(server, "?events=all") as one:
            wait_for_capture(source)
            engine.go.clear()
            source.say()
            assert "restart sttlab" in receive(one, "transcription_failed")["message"]
            assert "restart sttlab" in health(server)["why"]
            while "restart sttlab" not in str(receive(one, "state")["problem"]):
                pass
            engine.go.set()
            wait_until_not(lambda: health(server)["why"])
            source.say()
            assert receive(one, "transcript")["text"]


@pytest.mark.needs("schemathesis")
def test_answers_fit_openapi_json(server: ServerHandle, tmp_path: Path) -> None:
    options = ["--max-examples", "5", "--seed", "1", "--generation-database", "none"]
    # No schema can say which bytes are a recording, so /files may refuse what fits its own.
    options += ["--exclude-checks", "positive_data_acceptance"]
    found = subprocess.run(
        [*SCHEMATHESIS, "run", f"{server.url}openapi.json", *options],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=tmp_path,
    )
    assert found.returncode == 0, found.stdout
    assert " passed" in found.stdout


def test_connection_beyond_the_limit_learns_why(
    server: ServerHandle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uvicorn_server, "MAX_CONNECTIONS", 1)
    with client(server), pytest.raises(HTTPError, match="503") as refused:
        urlopen(f"{server.url}health")
    assert b"1 connections are open already: try again later" in refused.value.read()
