"""Who speaks, on the wire: beside the text, named and corrected by clients."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest

from sttlab.live.session import Session
from sttlab.server import contract
from sttlab.server.launch import ServerHandle, launch_server
from tests.fakes import Counting, OneVoiceFinder
from tests.server.clients import ALL, VAD, Told, client, receive, send, wait_for_capture

pytestmark = pytest.mark.needs("speakers")

SCHEMA = contract.schema()
TAKEN = jsonschema.Draft202012Validator({**SCHEMA, "$ref": "#/$defs/taken"})


@pytest.fixture
def finder() -> OneVoiceFinder:
    return OneVoiceFinder([1, 2])


@pytest.fixture
def talk(source: Told, finder: OneVoiceFinder) -> Iterator[ServerHandle]:
    """A server that tells speakers apart: two, who speak in turn."""
    session = Session(source, vad=VAD, model=Counting(), speakers=True)
    assert session.speakers
    session.speakers._finder = finder  # type: ignore[assignment]
    with launch_server(session, port=0) as server:
        yield server


def speakers_of(one: Any) -> dict[int, str]:
    """Receive until two utterances have a text and a speaker; return the speakers."""
    texts: set[int] = set()
    found: dict[int, str] = {}
    while len(texts) < 2 or len(found) < 2:
        message = receive(one)
        turns = message.get("speakers") or message.get("turns") or ()
        if message["event"] == "transcript":
            texts.add(message["utterance_id"])
        if message["event"] in ("transcript", "speakers") and turns:
            found[message["utterance_id"]] = turns[0]["speaker"]
    return found


def test_speakers_come_with_the_text_or_after_it(talk: ServerHandle, source: Told) -> None:
    with client(talk, ALL) as one:
        hello = receive(one, "hello")
        assert (hello["speaker_names"], hello["speakers_merged"]) == ({}, {})
        wait_for_capture(source)
        source.say(2)
        assert speakers_of(one) == {0: "Speaker 1", 1: "Speaker 2"}


def test_a_plain_client_receives_the_text_and_nothing_else(
    talk: ServerHandle, source: Told
) -> None:
    with client(talk) as plain, client(talk, ALL) as one:
        wait_for_capture(source)
        source.say(2)
        speakers_of(one)
        for _ in range(2):
            text = plain.recv(timeout=10)
            assert isinstance(text, str)
            assert text.startswith('{"event": "transcript", "text": "')
            assert text.count(":") == 2


def test_a_client_names_merges_and_splits(talk: ServerHandle, source: Told) -> None:
    with client(talk, ALL) as one, client(talk, ALL) as other:
        wait_for_capture(source)
        source.say(2)
        speakers_of(one)
        requests: list[dict[str, Any]] = [
            {"rename": "Speaker 1", "to": "Anna"},
            {"merge": "Speaker 2", "into": "Anna"},
            {"split": 1},
        ]
        for request in requests:
            TAKEN.validate({"speaker": request})
        send(one, speaker=requests[0])
        assert receive(other, "speaker_names")["names"] == {"Speaker 1": "Anna"}
        send(one, speaker=requests[1])
        assert receive(other, "speaker_names")["merged"] == {"Speaker 2": "Speaker 1"}
        found = receive(other, "speakers")
        assert (found["utterance_id"], found["revised"]) == (1, True)
        send(one, speaker=requests[2])
        assert receive(other, "speakers")["turns"][0]["speaker"] == "Speaker 3"


def test_who_joins_late_receives_speakers_and_names(talk: ServerHandle, source: Told) -> None:
    with client(talk, ALL) as one:
        wait_for_capture(source)
        source.say(2)
        speakers_of(one)
        send(one, speaker={"rename": "Speaker 2", "to": "Ben"})
        receive(one, "speaker_names")
        with client(talk, f"{ALL}&history=10") as late:
            assert receive(late, "hello")["speaker_names"] == {"Speaker 2": "Ben"}
            texts = [receive(late, "transcript") for _ in range(2)]
    speakers = [text["speakers"][0]["speaker"] for text in texts]
    assert speakers == ["Speaker 1", "Speaker 2"]
    assert [text["segments"][0]["speaker"] for text in texts if text["segments"]] == [
        speaker for text, speaker in zip(texts, speakers, strict=True) if text["segments"]
    ]


@pytest.mark.parametrize(
    "request_",
    [
        {"rename": "Speaker 9", "to": "Anna"},
        {"rename": "Speaker 1"},
        {"split": True},
        {"merge": "Speaker 1", "into": 2},
        {},
    ],
)
def test_a_request_that_can_not_be_obeyed_is_refused(
    talk: ServerHandle, source: Told, request_: dict[str, Any]
) -> None:
    with client(talk, ALL) as one:
        send(one, speaker=request_)
        assert receive(one, "refused")["request"] == "speaker"


def test_without_speakers_the_request_says_how_to_get_them(server: ServerHandle) -> None:
    with client(server, ALL) as one:
        assert receive(one, "hello")["speaker_names"] is None
        send(one, speaker={"split": 0})
        assert "--speakers" in receive(one, "refused")["message"]
