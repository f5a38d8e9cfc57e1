"""Clients that send their own audio: real recordings, real Whisper, one session each."""

from __future__ import annotations

import contextlib
import json
import threading
from pathlib import Path

import numpy as np
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection

from sttlab.audio import SAMPLE_RATE, to_pcm16
from sttlab.config import TranscribeConfig
from sttlab.decoding import load
from sttlab.engines import make_engine
from sttlab.kept.session import open_session
from sttlab.live.session import Session
from sttlab.live.worker import AsrWorker
from sttlab.server import client_audio, microphones
from sttlab.server.launch import ServerHandle, launch_server
from tests.fakes import WAIT_S, Blocks, Counting, speech, wait_until
from tests.server.clients import (
    OWN,
    OWN_ALL,
    SPOKEN,
    VAD,
    Told,
    client,
    closed_with,
    receive,
    receive_state,
    send,
    wait_for_capture,
    wait_until_not,
)


def sessions() -> int:
    return sum(thread.name == "sttlab-dsp" for thread in threading.enumerate())


@pytest.mark.needs("whisper")
def test_each_microphone_gets_its_own_words_only(data: Path) -> None:
    said = {"austen-2": "young man", "austen-5": "amiable himself"}
    engine = make_engine(TranscribeConfig(model="tiny.en"))
    session = Session(Blocks(then_wait=True), model=engine)
    with launch_server(session, port=0) as server, contextlib.ExitStack() as stack:
        plain = stack.enter_context(client(server))
        speakers = {name: stack.enter_context(client(server, OWN)) for name in said}
        for name, speaker in speakers.items():
            sound = to_pcm16(load(data / f"{name}.flac").samples).tobytes()
            for start in range(0, len(sound), 32_000):
                speaker.send(sound[start : start + 32_000])
            send(speaker, end=True)
        for name, speaker in speakers.items():
            texts = []
            with pytest.raises(ConnectionClosed) as closed:  # noqa: PT012
                while True:
                    message = json.loads(speaker.recv(timeout=120))
                    assert set(message) == {"event", "text"}
                    texts.append(message["text"])
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 1000
            assert said[name] in " ".join(texts)
            assert not any(
                other in " ".join(texts) for other in said.values() if other != said[name]
            )
        with pytest.raises(TimeoutError):
            plain.recv(timeout=0)


def test_its_settings_are_its_own(server: ServerHandle, source: Told) -> None:
    with client(server, "?events=all") as shared, client(server, OWN_ALL) as own:
        wait_for_capture(source)
        assert receive(shared)["event"] == "hello"
        hello = receive(own)
        assert hello["config"]["threshold_dbfs"] == VAD.threshold_dbfs
        assert hello["may_use"] == ["partials"]
        send(own, set={"silence_timeout_s": 0.3})
        own.send(SPOKEN)
        assert receive(own, "config_changed")["config"]["silence_timeout_s"] == 0.3
        assert receive(own, "speech_started")["utterance_id"] == 0
        source.say()
        heard = receive(shared)
        while heard["event"] != "transcript":
            assert heard["event"] != "config_changed"
            heard = receive(shared)
    assert server.session.config == VAD


def test_sound_of_any_rate_is_taken(server: ServerHandle) -> None:
    sound = to_pcm16(np.repeat(speech(1), 3)).tobytes()
    with client(server, f"{OWN_ALL}&rate=48000") as own:
        for start in range(0, len(sound), 9_600):
            own.send(sound[start : start + 9_600])
        send(own, end=True)
        ended = receive(own, "utterance")
        assert ended["start_s"] == 0
        assert ended["end_s"] == pytest.approx(0.6, abs=0.1)
        assert receive(own, "transcript")["text"]
        assert closed_with(own) == (1000, "")


def test_its_session_goes_with_it_even_while_the_engine_works(source: Told) -> None:
    engine = Counting()
    with launch_server(Session(source, vad=VAD, model=engine), port=0) as server:
        engine.go.clear()
        with client(server, OWN) as own:
            for _ in range(4):
                own.send(SPOKEN)
            assert engine.taken.acquire(timeout=WAIT_S)
            assert sessions() == 1
        wait_until_not(sessions)
        engine.go.set()
        with client(server, OWN) as again:
            again.send(SPOKEN)
            send(again, end=True)
            assert receive(again)["text"]


def test_one_too_many_is_told_so(server: ServerHandle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(microphones, "MAX_MICROPHONES", 1)
    with client(server, OWN_ALL) as first:
        assert receive(first)["event"] == "hello"
        with client(server, OWN_ALL) as second:
            code, why = closed_with(second)
            assert (code, why[:15]) == (1013, "1 microphones o")
        first.send(SPOKEN)
        assert receive(first, "transcript")["text"]
    wait_until_not(sessions)
    with client(server, OWN_ALL) as third:
        assert receive(third)["event"] == "hello"


def test_a_slow_engine_serves_fewer_microphones(
    server: ServerHandle, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = property(lambda worker: microphones.KEEPS_UP / 1.5)
    monkeypatch.setattr(AsrWorker, "speed", slow)
    with client(server, OWN_ALL) as first:
        assert receive(first)["event"] == "hello"
        with client(server, OWN_ALL) as second:
            assert closed_with(second)[1].startswith("1 microphones of browsers")


def test_while_the_engine_is_late_for_one_no_speaker_more_is_heard(
    source: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(microphones, "LATE_S", 0.0)
    engine = Counting()
    session = Session(source, vad=VAD, model=engine)

    def heard() -> bool:
        with client(server, OWN_ALL) as newcomer, contextlib.suppress(ConnectionClosed):
            return receive(newcomer)["event"] == "hello"
        return False

    with launch_server(session, port=0) as server, client(server):
        wait_for_capture(source)
        engine.go.clear()
        source.say(9)
        wait_until(lambda: session.late_s > 0)
        with client(server, OWN_ALL) as first:
            assert receive(first)["event"] == "hello"  # what the shared session waits for is fair
            first.send(SPOKEN)
            receive(first, "utterance")
            with client(server, OWN_ALL) as second:
                code, why = closed_with(second)
                assert (code, "s late with the microphones" in why) == (1013, True)
            engine.go.set()
            receive(first, "transcript")
            wait_until(heard)


@pytest.mark.parametrize(
    ("query", "sound", "says"),
    [
        ("&rate=16000", [b"odd"], "pairs of bytes"),
        ("&rate=5", [], "sample_rate must be between"),
    ],
)
def test_what_cannot_be_heard_ends_its_client(
    server: ServerHandle, query: str, sound: list[bytes], says: str
) -> None:
    with client(server, OWN) as well, client(server, OWN + query) as ill:
        with contextlib.suppress(ConnectionClosed):
            for piece in sound:
                ill.send(piece)
        code, why = closed_with(ill)
        assert code == 1008
        assert says in why
        well.send(SPOKEN)
        send(well, end=True)
        assert receive(well)["text"]


def test_who_sends_nothing_holds_no_place(
    server: ServerHandle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(microphones, "IDLE_S", 0.2)
    with client(server, OWN) as own:
        assert closed_with(own) == (1008, "no audio came for 0 s")
    wait_until_not(sessions)


def test_only_audio_holds_a_place(server: ServerHandle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(microphones, "IDLE_S", 0.5)

    def keep_saying(socket: ClientConnection, message: str | bytes) -> None:
        with contextlib.suppress(ConnectionClosed):
            while True:
                socket.send(message)
                threading.Event().wait(0.05)

    for message in ("hello", '{"set": {}}', b""):
        with client(server, OWN) as own:
            saying = threading.Thread(target=keep_saying, args=(own, message))
            saying.start()
            assert closed_with(own) == (1008, "no audio came for 0 s")
            saying.join(WAIT_S)
    with client(server, OWN) as silent:
        for _ in range(25):
            silent.send(bytes(320))
            threading.Event().wait(0.04)
        send(silent, end=True)
        assert closed_with(silent) == (1000, "")


def test_what_the_engine_has_no_time_for_is_said(
    source: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_audio, "BUFFER_S", 100.0)  # what may be sent at once
    engine = Counting()
    with launch_server(Session(source, vad=VAD, model=engine), port=0) as server:
        engine.go.clear()
        with client(server, OWN_ALL) as own:
            for _ in range(50):
                own.send(SPOKEN)
            for _ in range(2):
                send(own, end=True)
            heard = [receive(own)]
            while heard[-1]["event"] != "refused":  # the second end: all that is sent has come
                heard.append(receive(own))
            engine.go.set()
            while heard[-1]["event"] != "source_ended":
                heard.append(receive(own))
    lost = sum(event["count"] for event in heard if event["event"] == "samples_lost")
    assert lost > 10 * SAMPLE_RATE
    assert heard[-1]["time_s"] == pytest.approx(50 * 0.8)


def test_a_locked_server_hears_a_microphone_and_changes_nothing(source: Told) -> None:
    session = Session(source, vad=VAD, model=Counting())
    with launch_server(session, port=0, locked=True) as server, client(server, OWN_ALL) as own:
        assert receive(own)["locked"]
        send(own, set={"silence_timeout_s": 0.5})
        assert "locked" in receive(own, "refused")["message"]
        own.send(SPOKEN)
        assert receive(own, "transcript")["text"]


def test_the_engine_that_one_chooses_is_the_one_of_all(
    source: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    def made_from(config: TranscribeConfig) -> Counting:
        engine = Counting(text=f"{config.model} {config.language}")
        engine.config = config
        return engine

    monkeypatch.setattr("sttlab.server.engine.make_engine", made_from)
    session = Session(source, vad=VAD, model=made_from(TranscribeConfig()))
    with (
        launch_server(session, port=0) as server,
        client(server, "?events=all") as shared,
        client(server, OWN_ALL) as own,
    ):
        assert receive(own)["may_use"] == ["model", "language", "partials"]
        assert receive(shared)["using"]["language"] is None
        send(shared, use={"language": "en"})
        using = receive_state(shared, busy=None)["using"]
        while using["language"] != "en":
            using = receive(own, "state")["using"]
        own.send(SPOKEN)
        assert receive(own, "transcript")["text"] == "tiny.en en"


def test_own_audio_is_kept_only_where_server_and_client_ask_for_it(
    source: Told, tmp_path: Path
) -> None:
    session = Session(source, vad=VAD, model=Counting(), keep=tmp_path)
    with launch_server(session, port=0) as server:
        for query, keeping in ((OWN_ALL, False), (f"{OWN_ALL}&keep=yes", True)):
            with client(server, query) as own:
                hello = receive(own, "hello")
                assert (hello["may_keep"], hello["keeping"]) == (True, keeping)
                assert bool(hello["kept_in"]) == keeping
                own.send(SPOKEN)
                send(own, end=True)
                text = receive(own, "transcript")["text"]
                with pytest.raises(ConnectionClosed):
                    receive(own, "hello")
            wait_until(lambda: not sessions())
            assert bool(list(tmp_path.iterdir())) == keeping
    kept = open_session(hello["kept_in"])
    assert [t.text for t in kept.history] == [text]
    assert kept.manifest["source"] == "a client's own audio"


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        (f"{OWN}&keep=yes", "this server keeps no audio: start it with --keep"),
        ("?keep=yes", "keep is of audio that a client sends: add source=client"),
        (f"{OWN}&keep=maybe", "keep: Input should be '' or 'yes'"),
    ],
)
def test_a_wish_to_keep_that_cant_be_met_is_refused(
    server: ServerHandle, query: str, reason: str
) -> None:
    with client(server, query) as own:
        code, said = closed_with(own)
    assert code == 1008
    assert said.startswith(reason)
