"""Clients of `/ws?events=all`: the state that they receive, and what they can change."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Callable
from typing import Any

import jsonschema
import pytest

from sttlab.capture import Microphone
from sttlab.capture.microphone import DeviceInfo
from sttlab.config import TranscribeConfig
from sttlab.errors import DeviceUnavailable, ModelNotFound, SessionError
from sttlab.live.session import Session
from sttlab.live.worker import AsrWorker
from sttlab.server import contract, control
from sttlab.server.connection import MESSAGES_AT_ONCE
from sttlab.server.hub import OPENING
from sttlab.server.launch import ServerHandle, launch_server
from tests.fakes import WAIT_S, Counting
from tests.server.clients import (
    ALL,
    VAD,
    Told,
    client,
    closed_with,
    get,
    receive,
    receive_state,
    send,
    wait_for_capture,
    wait_until_not,
)

SCHEMA = contract.schema()
SENT = jsonschema.Draft202012Validator({**SCHEMA, "$ref": "#/$defs/sent"})


def test_sent_messages_fit_the_schema(server: ServerHandle, source: Told) -> None:
    assert get(server, "protocol.json") == SCHEMA
    with client(server, ALL) as one:
        wait_for_capture(source)
        send(one, set={"silence_timeout_s": 0.3})
        send(one, nonsense=1)
        source.say()
        kinds: set[str] = set()
        while not {"hello", "level", "transcript", "refused", "config_changed"} <= kinds:
            message = receive(one)
            SENT.validate(message)
            kinds.add(message["event"])


def test_hello_holds_the_state_and_the_settings(server: ServerHandle, source: Told) -> None:
    with client(server, ALL) as one:
        hello = receive(one)
    assert hello["event"] == "hello"
    assert hello["capturing"]
    assert (hello["source"], hello["model"]) == ("blocks", "counting")
    assert hello["config"]["threshold_dbfs"] == -40
    assert hello["settings"]["silence_timeout_s"]["max"] == 10
    assert hello["may_use"] == ["partials"]
    assert (hello["problem"], hello["busy"], hello["locked"]) == (None, None, False)


def test_changed_settings_are_broadcast_to_pages_and_session(
    server: ServerHandle, source: Told
) -> None:
    with client(server, ALL) as one, client(server, ALL) as two:
        send(one, set={"silence_timeout_s": 0.9, "margin_db": 12})
        for page in (one, two):
            changed = receive(page, "config_changed")["config"]
            assert (changed["silence_timeout_s"], changed["margin_db"]) == (0.9, 12)
        assert server.session.config.silence_timeout_s == 0.9
        server.session.update(silence_timeout_s=0.4)
        for page in (one, two):
            assert receive(page, "config_changed")["config"]["silence_timeout_s"] == 0.4


def test_refusal_is_sent_only_to_the_client_that_asked(server: ServerHandle) -> None:
    with client(server, ALL) as one, client(server, ALL) as other:
        for request in ("set", "use", "end"):
            one.send(json.dumps({request: {"silence_timeout_s": 99}}))
            assert receive(one, "refused")["request"] == request
        for nonsense in ("{", b"\0\1", '{"event": "transcript"}'):
            one.send(nonsense)
            assert receive(one, "refused")["request"] is None
        send(other, set={"silence_timeout_s": 0.5})
        told = receive(other)
        while told["event"] != "config_changed":
            assert told["event"] != "refused"
            told = receive(other)
    assert server.session.config.silence_timeout_s == 0.5


def test_locked_server_refuses_set_and_use(source: Told) -> None:
    session = Session(source, vad=VAD, model=Counting())
    with launch_server(session, port=0, locked=True) as server, client(server, ALL) as one:
        hello = receive(one)
        assert hello["locked"]
        assert hello["may_use"] == []
        for request in ({"set": {"silence_timeout_s": 0.5}}, {"use": {"partials": False}}):
            send(one, **request)
            assert "locked" in receive(one, "refused")["message"]
    assert session.config == VAD


def test_client_that_floods_is_disconnected_by_the_rate_limit(
    server: ServerHandle, source: Told
) -> None:
    with client(server) as well:
        wait_for_capture(source)
        for query in ("", ALL):
            with client(server, query) as ill:
                with contextlib.suppress(Exception):
                    for _ in range(MESSAGES_AT_ONCE * 20):
                        ill.send("{}")
                assert closed_with(ill)[0] == 1008
        source.say()
        assert receive(well)["event"] == "transcript"


def test_partials_are_made_while_a_client_wants_them(server: ServerHandle) -> None:
    session = server.session
    with client(server, ALL) as one:
        assert receive(one)["partials"]
        send(one, use={"partials": False})
        state = receive_state(one, partials=False)
        assert not state["using"]["partials"]
        assert not session.partials
        send(one, use={"partials": True})
        receive_state(one, partials=True)
        assert session.partials
    wait_until_not(lambda: session.partials)


def test_reconnect_replays_missed_transcripts(server: ServerHandle, source: Told) -> None:
    with client(server):
        with client(server, ALL) as one:
            stream = receive(one)["stream"]
            source.say(3)
            texts = [receive(one, "transcript")["text"] for _ in range(3)]
        with client(server, f"{ALL}&stream={stream}&after=0") as again:
            assert receive(again)["event"] == "hello"
            assert [receive(again, "transcript")["text"] for _ in range(2)] == texts[1:]
        with client(server, f"{ALL}&stream=other&after=0") as stranger:
            assert receive(stranger)["event"] == "hello"
            source.say()
            assert receive(stranger, "transcript")["utterance_id"] == 3


def test_stream_id_is_new_with_each_start(server: ServerHandle, source: Told) -> None:
    streams = set()
    for _ in range(2):
        with client(server, ALL) as one:
            streams.add(receive(one)["stream"])
        assert source.was_closed.acquire(timeout=WAIT_S)
    assert len(streams) == 2
    assert None not in streams


def test_a_late_client_that_asks_receives_the_texts_so_far(
    server: ServerHandle, source: Told
) -> None:
    with client(server) as first:
        wait_for_capture(source)
        source.say(3)
        said = [receive(first) for _ in range(3)]
        with client(server, "?history=2") as plain, client(server, f"{ALL}&history=1000") as page:
            assert [receive(plain) for _ in range(2)] == said[1:]
            stream = receive(page)["stream"]
            assert [receive(page, "transcript")["utterance_id"] for _ in range(3)] == [0, 1, 2]
            with client(server, f"{ALL}&history=1000&stream={stream}&after=1") as again:
                assert receive(again, "transcript")["utterance_id"] == 2
                source.say()
                assert receive(again, "transcript")["utterance_id"] == 3
                assert receive(plain) == receive(first)
        with client(server, "?history=1001") as greedy:
            assert closed_with(greedy)[0] == 1008


class Unplugged(Told):
    plugged_in = False

    def open(self) -> None:
        if not self.plugged_in:
            raise DeviceUnavailable("there is no microphone: plug one in")
        super().open()


def test_page_without_microphone_stays_connected_and_is_told_when_capture_starts() -> None:
    source = Unplugged()
    session = Session(source, vad=VAD, model=Counting())
    with launch_server(session, port=0) as server, client(server, ALL) as one:
        hello = receive(one)
        assert (hello["capturing"], hello["stream"]) == (False, None)
        assert hello["problem"] == "there is no microphone: plug one in"
        send(one, set={"silence_timeout_s": 0.3})
        assert receive(one, "state")["config"]["silence_timeout_s"] == 0.3
        source.plugged_in = True
        assert receive_state(one, capturing=True)["problem"] is None
        source.say()
        assert receive(one, "transcript")["text"]


def test_empty_use_retries_capture_at_once() -> None:
    source = Unplugged()
    session = Session(source, vad=VAD, model=Counting())
    with launch_server(session, port=0) as server, client(server, ALL) as one:
        assert receive(one)["problem"]
        source.plugged_in = True
        send(one, use={})
        assert receive_state(one, capturing=True)["problem"] is None


def test_failed_capture_is_restarted(server: ServerHandle, source: Told) -> None:
    with client(server, ALL) as one, client(server) as plain:
        first = receive(one)["stream"]
        source.left.append(DeviceUnavailable("it fell into the tea"))
        assert "tea" in receive(one, "session_failed")["message"]
        assert "tea" in receive_state(one, capturing=False)["problem"]
        state = receive_state(one, capturing=True)
        assert state["problem"] is None
        assert state["stream"] != first
        source.say()
        assert receive(plain)["event"] == "transcript"


def device(index: int, name: str) -> DeviceInfo:
    return DeviceInfo(
        index=index,
        name=name,
        host_api="ALSA",
        channels=1,
        default_rate=16000,
        is_default=index == 0,
    )


class Desk(Told, Microphone):
    """Microphones without PortAudio; the one called broken doesn't open."""

    def __init__(self, device: int | str | None = None) -> None:
        Told.__init__(self)
        self.device = device

    @property
    def name(self) -> str:  # type: ignore[override]
        return str(self.device or "built-in")

    def open(self) -> None:
        if self.device == "broken":
            raise DeviceUnavailable("broken could not be opened")
        super().open()


@pytest.fixture
def desk(monkeypatch: pytest.MonkeyPatch) -> Desk:
    found = [device(0, "built-in"), device(1, "headset"), device(2, "broken")]
    monkeypatch.setattr(control, "list_devices", lambda: found)
    return Desk()


def test_a_page_chooses_the_microphone(desk: Desk) -> None:
    session = Session(desk, vad=VAD, model=Counting())
    with launch_server(session, port=0) as server, client(server, ALL) as one:
        hello = receive(one)
        assert (hello["source"], hello["using"]["device"]) == ("built-in", None)
        assert "device" in hello["may_use"]
        send(one, use={"device": "headset"})
        state = receive_state(one, source="headset", busy=OPENING)
        assert state["using"]["device"] == "headset"
        assert state["stream"] != hello["stream"]
        assert not state["capturing"]
        assert isinstance(session.source, Desk)
        session.source.say()
        receive_state(one, capturing=True, busy=None)
        assert receive(one, "transcript")["text"]


@pytest.mark.parametrize("name", ["broken", "nowhere", 17])
def test_refused_microphone_leaves_the_old_one(desk: Desk, name: str | int) -> None:
    session = Session(desk, vad=VAD, model=Counting())
    with launch_server(session, port=0) as server, client(server, ALL) as one:
        send(one, use={"device": name})
        assert str(name) in receive(one, "refused")["message"]
        desk.say()
        assert receive(one, "transcript")["text"]
        assert session.source is desk


def test_session_started_by_hand_keeps_its_microphone(desk: Desk) -> None:
    with (
        Session(desk, vad=VAD, model=Counting()) as session,
        launch_server(session, port=0) as server,
        client(server, ALL) as one,
    ):
        assert "device" not in receive(one)["may_use"]
        send(one, use={"device": "headset"})
        assert "device can't be changed here" in receive(one, "refused")["message"]
        desk.say()
        receive_state(one, capturing=True)
        session.stop()
        receive_state(one, capturing=False, busy=None)
        session.start()
        desk.say()
        receive_state(one, capturing=True)


def made_from(config: TranscribeConfig) -> Counting:
    if config.language == "xx":
        raise AssertionError("never loaded")
    error = ModelNotFound("base is broken") if config.model == "base" else None
    engine = Counting(load_error=error, text=f"{config.model} {config.language}")
    engine.config = config
    return engine


@pytest.fixture
def choosable(monkeypatch: pytest.MonkeyPatch, source: Told) -> Session:
    monkeypatch.setattr("sttlab.server.engine.make_engine", made_from)
    return Session(source, vad=VAD, model=made_from(TranscribeConfig()))


def test_a_page_chooses_model_and_language_and_nothing_is_lost(
    choosable: Session, source: Told
) -> None:
    with launch_server(choosable, port=0) as server, client(server, ALL) as one:
        assert receive(one)["using"]["model"] == "tiny.en"
        first = choosable.worker.transcriber
        assert isinstance(first, Counting)
        first.go.clear()
        source.say(2)
        assert first.taken.acquire(timeout=WAIT_S)
        send(one, use={"language": "en"})
        assert receive_state(one, busy="loading tiny.en")
        first.go.set()
        assert receive_state(one, busy=None)["using"]["language"] == "en"
        source.say()
        while receive(one, "transcript")["text"] != "tiny.en en":
            pass
        assert choosable.stats.failed == 0


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"model": "/etc/passwd"}, "there is no model '/etc/passwd'"),
        ({"model": "large-v3-turbo"}, "there is no model"),
        ({"model": "base"}, "base is broken"),
        ({"language": 5}, "language can't be 5"),
    ],
)
def test_a_model_that_cannot_be_had_leaves_the_old_one(
    choosable: Session,
    source: Told,
    monkeypatch: pytest.MonkeyPatch,
    changes: dict[str, Any],
    says: str,
) -> None:
    here = [type("Found", (), {"name": name}) for name in ("tiny.en", "base")]
    monkeypatch.setattr("sttlab.server.engine.list_models", lambda: here)
    with launch_server(choosable, port=0) as server, client(server, ALL) as one:
        send(one, use=changes)
        assert says in receive(one, "refused")["message"]
        source.say()
        assert receive(one, "transcript")["text"] == "tiny.en None"


@pytest.mark.needs("whisper")
def test_english_only_weights_refuse_german(source: Told) -> None:
    server = launch_server(Session(source, vad=VAD), port=0)
    with server, client(server, ALL) as one:
        models = get(server, "models")
        assert "tiny.en" in [model["name"] for model in models["models"]]
        assert models["languages"]["de"] == "german"
        send(one, use={"language": "de"})
        assert "only English" in receive(one, "refused")["message"]
        with client(server, ALL) as later:
            assert receive(later)["using"]["language"] is None


def test_devices_are_listed_or_the_problem_is_given(
    server: ServerHandle, monkeypatch: pytest.MonkeyPatch
) -> None:
    listing: Callable[[], Any] = lambda: [device(0, "built-in")]  # noqa: E731
    monkeypatch.setattr("sttlab.server.choices.list_devices", listing)
    assert get(server, "devices")["devices"][0]["name"] == "built-in"

    def missing() -> None:
        raise DeviceUnavailable("PortAudio is missing: install it")

    monkeypatch.setattr("sttlab.server.choices.list_devices", missing)
    assert get(server, "devices") == {"devices": [], "problem": "PortAudio is missing: install it"}


def test_a_worker_changes_engines_between_utterances() -> None:
    old, new = Counting(), Counting()
    with AsrWorker(old) as worker:
        worker.use(new)
        assert worker.transcriber is new
        with pytest.raises(ModelNotFound):
            worker.use(Counting(load_error=ModelNotFound("gone")))
        assert worker.transcriber is new
    worker.use(old)
    assert worker.transcriber is old


def test_a_worker_that_stops_says_so_to_who_changes_it() -> None:
    engine = Counting()
    refused: list[Exception] = []

    def change() -> None:
        try:
            worker.use(Counting())
        except SessionError as error:
            refused.append(error)

    worker = AsrWorker(engine)
    worker.start()
    engine.go.clear()
    source = Told()
    with Session(source, vad=VAD, model=worker):
        source.say()
        assert engine.taken.acquire(timeout=WAIT_S)
        changing = threading.Thread(target=change)
        changing.start()
        wait_until_not(lambda: worker._change is None)
        worker.request_stop()
        engine.go.set()
        changing.join(WAIT_S)
    assert worker.stop()
    assert len(refused) == 1
