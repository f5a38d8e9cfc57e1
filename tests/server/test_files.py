"""Recordings that clients send: real files, broken files, clients that leave."""

from __future__ import annotations

import errno
import http.client
import io
import json
import os
import select
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import av
import jsonschema
import numpy as np
import pytest

from sttlab.audio import SAMPLE_RATE, to_pcm16, wav_bytes
from sttlab.config import TranscribeConfig
from sttlab.engines import make_engine
from sttlab.live.session import Session
from sttlab.live.worker import AsrWorker, Job, Priority
from sttlab.server import contract, decode, files
from sttlab.server.decoder import BROKEN
from sttlab.server.launch import ServerHandle, launch_server
from sttlab.transcription import transcribe
from tests.fakes import WAIT_S, Blocks, Counting, speech, wait_until
from tests.server.clients import VAD, Told, client, decoders, health, receive, wait_until_not

LINE = jsonschema.Draft202012Validator({**contract.schema(), "$ref": "#/$defs/file"})


@contextmanager
def sending(
    server: ServerHandle, body: bytes | Iterable[bytes], query: str = "", **headers: str
) -> Iterator[http.client.HTTPResponse]:
    address = urlsplit(server.url)
    connection = http.client.HTTPConnection(str(address.hostname), address.port, timeout=60)
    connection.request("POST", f"/files{query}", body, headers)
    try:
        yield connection.getresponse()
    finally:
        connection.close()


def lines(answer: http.client.HTTPResponse) -> list[dict[str, Any]]:
    assert answer.status == 200
    found = [json.loads(line) for line in answer]
    for line in found:
        LINE.validate(line)
    return found


def refusal(
    server: ServerHandle, body: bytes | Iterable[bytes], query: str = "", **headers: str
) -> tuple[int, str]:
    with sending(server, body, query, **headers) as answer:
        return answer.status, json.load(answer)["detail"]


def raw(server: ServerHandle) -> socket.socket:
    """Connect without HTTP, to send a part of a request."""
    address = urlsplit(server.url)
    return socket.create_connection((address.hostname, address.port or 0))


def left_behind() -> object:
    return decoders(decode) or any(t.name == "sttlab-dsp" for t in threading.enumerate())


@pytest.fixture
def engine() -> Counting:
    return Counting()


@pytest.fixture
def server(source: Told, engine: Counting) -> Iterator[ServerHandle]:
    with launch_server(Session(source, vad=VAD, model=engine), port=0) as running:
        yield running


@pytest.fixture(autouse=True)
def no_file_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Fail a test after which a temporary file or a decoder is left."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    yield
    wait_until_not(left_behind)
    assert list(folder.iterdir()) == []


HALF = b"POST /files HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 9999999\r\n\r\n"
LONG = wav_bytes(speech(200))  # more utterances than may wait


@pytest.mark.needs("whisper")
@pytest.mark.parametrize("name", ["austen-5.flac", "word.mp3"])
def test_a_recording_becomes_the_same_text_as_anywhere(name: str, data: Path) -> None:
    engine = make_engine(TranscribeConfig(model="tiny.en"))
    with launch_server(Session(Blocks(then_wait=True), model=engine), port=0) as server:
        with sending(server, (data / name).read_bytes()) as answer:
            told = lines(answer)
        expected = transcribe(data / name, model=engine)
    texts = [line for line in told if line["event"] == "transcript"]
    segments = [part for line in texts for part in line["segments"]]
    assert segments == json.loads(json.dumps([asdict(part) for part in expected.segments]))
    assert told[0]["event"] == "opened"
    assert told[0]["duration_s"] == pytest.approx(expected.duration_s, abs=0.1)
    assert told[-1] == {"event": "done", "duration_s": expected.duration_s, "problem": None}
    done = [line["done_s"] for line in told if line["event"] == "progress"]
    assert done == sorted(done)
    assert done[-1] <= expected.duration_s


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"", "is empty"),
        (b"\0" * 100_000, "not an audio file"),
        (b"#EXTM3U\nhttp://127.0.0.1/secret\n", "not an audio file"),
        (LONG[:44], "holds no audio"),
        (b"RIFF\xff\xff\xff\xffWAVEfmt " + b"\xff" * 500, "not an audio file"),
    ],
)
def test_a_body_that_is_not_audio_is_refused_in_words(
    server: ServerHandle, body: bytes, says: str
) -> None:
    status, why = refusal(server, body)
    assert status == 422
    assert says in why


def test_what_only_a_name_tells_needs_one(server: ServerHandle) -> None:
    raw = io.BytesIO()
    with av.open(raw, "w", format="g722") as container:
        stream = container.add_stream("g722", rate=SAMPLE_RATE, layout="mono")
        frame = av.AudioFrame.from_ndarray(to_pcm16(speech(3))[None], "s16", "mono")
        frame.sample_rate = SAMPLE_RATE
        container.mux([*stream.encode(frame), *stream.encode(None)])
    status, why = refusal(server, raw.getvalue())
    assert status == 422
    assert "/files?name=talk.g722" in why
    for name in ("talk.g722", ".G722", "odd%00%ff/../.g722"):
        with sending(server, raw.getvalue(), f"?name={name}") as answer:
            assert sum(line["event"] == "transcript" for line in lines(answer)) == 3
    for name in ("talk.raw", "talk.g722%00", ".", "%ff"):
        assert refusal(server, raw.getvalue(), f"?name={name}")[0] == 422


def two_tracks() -> bytes:
    """A film with speech in its second track only, and there in the right channel."""
    film = io.BytesIO()
    silence = np.zeros_like(speech(3))
    with av.open(film, "w", format="matroska") as container:
        streams = [
            container.add_stream("pcm_s16le", rate=SAMPLE_RATE, layout="stereo") for _ in range(2)
        ]
        for stream, right in zip(streams, (silence, speech(3)), strict=True):
            pcm = to_pcm16(np.stack([silence, right], axis=1).reshape(-1))
            frame = av.AudioFrame.from_ndarray(pcm[None], "s16", "stereo")
            frame.sample_rate = SAMPLE_RATE
            container.mux([*stream.encode(frame), *stream.encode(None)])
    return film.getvalue()


def test_track_and_channel_are_those_of_the_query(server: ServerHandle) -> None:
    film = two_tracks()
    for query, texts in {
        "": 3,
        "?track=2&channel=2": 3,
        "?track=2&channel=1": 0,
        "?track=1": 0,
    }.items():
        with sending(server, film, query) as answer:
            found = sum(line["event"] == "transcript" for line in lines(answer))
        assert found == texts, query


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("?track=3", "it has track 1 (pcm_s16le, 2 ch, 16000 Hz); track 2 (pcm_s16le"),
        ("?track=2&channel=5", "channel"),
        ("?track=0", "track: Input should be greater than or equal to 1"),
        ("?channel=left", "channel: Input should be a valid integer"),
        ("?trak=2", "unknown 'trak'; known are name, track, channel"),
    ],
)
def test_track_or_query_that_is_not_there_is_refused_in_words(
    server: ServerHandle, query: str, says: str
) -> None:
    status, why = refusal(server, two_tracks(), query)
    assert status == 422
    assert says in why


def test_a_form_is_told_what_to_send(server: ServerHandle) -> None:
    form = {"Content-Type": "multipart/form-data; boundary=x"}
    status, why = refusal(server, b"--x\r\n\r\n" + LONG[:1000] + b"\r\n--x--\r\n", **form)
    assert status == 415
    assert "--data-binary" in why


@contextmanager
def small_disk(folder: Path, options: str) -> Iterator[None]:
    """Mount a file system of its own on a folder."""
    if sys.platform != "linux":
        pytest.skip("mounts a tmpfs, which Linux has")
    mount = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("may not mount a tmpfs")
    try:
        yield
    finally:
        wait_until_not(left_behind)
        subprocess.run(["umount", str(folder)], check=True)


def test_full_disk_is_507_and_logged_and_leaves_room(
    server: ServerHandle, tmp_path: Path, data: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with small_disk(tmp_path / "temporary", "size=1m"):
        status, why = refusal(server, LONG)
        assert status == 507
        assert os.strerror(errno.ENOSPC) in why
        assert "TMPDIR" in why
        assert "not an audio file" not in why
        (logged,) = [record.getMessage() for record in caplog.records]
        assert "a recording was refused: it can't be kept: No space left" in logged
        with sending(server, (data / "word.mp3").read_bytes()) as answer:
            assert lines(answer)[-1]["event"] == "done"
        assert "Traceback" not in caplog.text


def test_disk_without_a_place_for_the_decoders_log_is_507(
    server: ServerHandle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with small_disk(tmp_path / "temporary", "nr_inodes=1"):
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
        status, why = refusal(server, LONG)
    assert status == 507
    assert os.strerror(errno.ENOSPC) in why


def test_of_a_broken_file_what_is_whole_is_transcribed(server: ServerHandle, data: Path) -> None:
    whole = (data / "word.mp3").read_bytes()
    half = len(whole) // 2
    with sending(server, whole[:half] + b"\0" * 3000 + whole[half + 3000 :]) as answer:
        told = lines(answer)
    assert any(line["event"] == "transcript" for line in told)
    assert told[-1]["event"] == "done"
    assert told[-1]["problem"] == "this file is broken; pieces that were left out: 1"


def test_too_large_a_file_is_refused(server: ServerHandle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "MAX_FILE_BYTES", 200_000)
    assert refusal(server, LONG)[0] == 413
    pieces = (LONG[start : start + 50_000] for start in range(0, 250_000, 50_000))
    assert refusal(server, pieces)[0] == 413  # without saying beforehand how much it is


def test_a_file_that_stops_coming_is_given_up(
    server: ServerHandle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "SLOW_S", 0.1)
    with raw(server) as lazy:
        lazy.sendall(HALF + b"RIFF")
        lazy.settimeout(WAIT_S)
        assert lazy.recv(12) == b"HTTP/1.1 408"


def test_a_file_that_trickles_holds_no_place(
    server: ServerHandle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "SLOW_S", 0.5)
    with raw(server) as slow:
        slow.sendall(HALF)
        for _ in range(int(WAIT_S / 0.02)):
            slow.sendall(b"R")
            if select.select([slow], [], [], 0.02)[0]:
                break
        assert slow.recv(12) == b"HTTP/1.1 408"
    wait_until_not(left_behind)
    pieces = (LONG[start : start + 500_000] for start in range(0, len(LONG), 500_000))
    with sending(server, pieces) as answer:
        assert lines(answer)[-1]["event"] == "done"


def test_one_too_many_is_told_so(
    server: ServerHandle, engine: Counting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "MAX_FILES", 1)
    engine.go.clear()
    with sending(server, LONG) as first:
        assert json.loads(first.readline())["event"] == "opened"
        status, why = refusal(server, LONG)
        assert status == 503
        assert "1 files are being transcribed" in why
        engine.go.set()
        assert lines(first)[-1]["event"] == "done"
    assert len(engine.lengths) == 200


def test_a_client_that_leaves_leaves_nothing(server: ServerHandle, engine: Counting) -> None:
    with raw(server) as leaving:
        leaving.sendall(HALF + LONG[:100_000])
        wait_until_not(lambda: not decoders(decode))
    wait_until_not(left_behind)
    engine.go.clear()
    with sending(server, LONG) as answer:
        assert json.loads(answer.readline())["event"] == "opened"
        assert engine.taken.acquire(timeout=WAIT_S)
        assert left_behind()
    wait_until_not(left_behind)
    engine.go.set()


def test_who_speaks_comes_before_a_recording(
    server: ServerHandle, source: Told, engine: Counting
) -> None:
    engine.go.clear()
    with client(server) as plain, sending(server, LONG) as answer:
        assert engine.taken.acquire(timeout=WAIT_S)
        source.left.append(speech(1, seconds=0.9))
        wait_until_not(lambda: not server.session.stats.utterances)
        engine.go.set()
        spoken = receive(plain)["text"]
        answer.read()
    assert engine.lengths.index(int(spoken)) == 1


def test_partials_leave_a_recording_half_of_the_engine(engine: Counting) -> None:
    """One partial always waits, as with an engine that is slow and a person who goes on."""
    ended: list[str] = []
    all_ended = threading.Event()
    samples = speech(1)
    page, file = object(), object()

    def look(*_: object) -> None:
        ended.append("partial")
        if ended.count("partial") >= 50 or ended.count("file") == 3:
            all_ended.set()
        else:
            worker.submit(page, Job(samples, Priority.PARTIAL, look), lambda: True)

    with AsrWorker(engine) as worker:
        engine.go.clear()
        worker.submit(page, Job(samples, Priority.PARTIAL, look), lambda: True)
        assert engine.taken.acquire(timeout=WAIT_S)
        for _ in range(3):
            job = Job(samples, Priority.LATER, lambda *_: ended.append("file"))
            worker.submit(file, job, lambda: True)
        assert worker.waits_for_live(file)
        engine.go.set()
        assert all_ended.wait(WAIT_S)
    assert ended.count("file") == 3
    assert ended[:2] == ["partial", "file"]


class Stepping(Counting):
    """An engine that answers as often as it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.steps = threading.Semaphore(0)

    def transcribe(self, samples: Any, *args: Any, **options: Any) -> Any:
        self.taken.release()
        assert self.steps.acquire(timeout=WAIT_S)
        return super().transcribe(samples, *args, **options)


def test_a_recording_says_that_it_waits_for_live_speech(
    source: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "WAITS_S", 0.0)
    engine = Stepping()
    session = Session(source, vad=VAD, model=engine)
    with (
        launch_server(session, port=0) as server,
        client(server),
        sending(server, LONG) as answer,
    ):
        assert engine.taken.acquire(timeout=WAIT_S)
        source.say()
        wait_until(lambda: session.stats.utterances)
        engine.steps.release()  # for the recording's first utterance: live speech is next
        while not (told := json.loads(answer.readline())).get("waits_for"):
            LINE.validate(told)
        assert told["waits_for"] == "live speech"
        engine.steps.release(1000)
        answer.read()


def test_progress_estimates_the_rest_by_the_speed_so_far(
    server: ServerHandle, engine: Counting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "MEASURED_S", 0.0)
    began = time.monotonic()
    with sending(server, LONG) as answer:
        duration_s = json.loads(answer.readline())["duration_s"]
        told = []
        for line in map(json.loads, answer):
            if line["event"] == "progress" and line["done_s"]:
                part = line["done_s"] / duration_s
                told.append((line["left_s"], (time.monotonic() - began) * (1 - part) / part))
    assert told
    assert all(0 <= left_s <= longest_s + 0.1 for left_s, longest_s in told)
    assert told[0][0] > 0


def test_a_decoder_that_dies_takes_nobody_along(server: ServerHandle, engine: Counting) -> None:
    engine.go.clear()
    with sending(server, LONG) as answer:
        assert engine.taken.acquire(timeout=WAIT_S)
        for decoder in decoders(decode):
            decoder.kill()
        engine.go.set()
        assert lines(answer)[-1] == {"event": "session_failed", "message": BROKEN}
    assert health(server)["status"] == "ready"


def test_a_server_that_stops_ends_what_it_is_at(
    source: Told, engine: Counting, caplog: pytest.LogCaptureFixture
) -> None:
    with AsrWorker(engine) as worker:
        with launch_server(Session(source, vad=VAD, model=worker), port=0) as server:
            engine.go.clear()
            address = urlsplit(server.url)
            with (
                sending(server, LONG) as answer,
                socket.create_connection((address.hostname, address.port or 0)) as half,
            ):
                assert engine.taken.acquire(timeout=WAIT_S)
                half.sendall(HALF + LONG[:100_000])
                wait_until(lambda: len(decoders(decode)) == 2)
                server.stop()
                last = {"event": "session_failed", "message": files.STOPPED}
                assert lines(answer)[-1] == last
                half.settimeout(WAIT_S)
                assert half.recv(12) == b"HTTP/1.1 503"
                wait_until_not(left_behind)
        engine.go.set()
    assert "Traceback" not in caplog.text


def test_another_websites_page_may_send_nothing(server: ServerHandle) -> None:
    with sending(server, LONG, Origin="https://evil.example") as answer:
        assert answer.status == 403
