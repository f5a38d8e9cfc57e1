"""The protocol of `/ws`: sent messages fit the schema, received ones are checked."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, fields
from typing import Any

import jsonschema
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sttlab import events
from sttlab.config import VadConfig
from sttlab.errors import ConfigError
from sttlab.events import (
    Event,
    Segment,
    SpeakerTurn,
    SpeechPaused,
    Transcript,
    Utterance,
    Word,
)
from sttlab.server import contract, protocol
from sttlab.server.protocol import End, Refused, Request, Set, Use
from sttlab.vad import DETECTORS
from tests.protocol_tables import DOCUMENT, with_tables

SCHEMA = contract.schema()
WORD = Word(start_s=0.1, end_s=0.4, text="a", confidence=0.5)
UTTERANCE = Utterance(
    utterance_id=3,
    start_sample=1600,
    samples=np.zeros(16000, np.float32),
    onset_sample=2000,
    speech_end_sample=9000,
    decided_sample=18000,
    reason="silence",
)


def validator(name: str) -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator({**SCHEMA, "$ref": f"#/$defs/{name}"})


SENT, TAKEN, PLAIN = (validator(name) for name in ("sent", "taken", "plain"))


def every_event() -> Iterator[Event]:
    """Yield an event of each kind, made from the types of its fields."""
    samples: dict[str, Any] = {  # a new type of field needs one
        "float": 1.5,
        "int": 7,
        "bool": True,
        "str": "Grüße, \ud800 <script>",
        "State": "pause",
        "NoticeAbout": "silence",
        "VadConfig": VadConfig(),
        "dict[str, str]": {"Speaker 1": "Anna"},
        "tuple[SpeakerTurn, ...]": (SpeakerTurn(start_s=0.0, end_s=1.0, speaker="Speaker 1"),),
        "tuple[Segment, ...]": (
            Segment(start_s=0.0, end_s=1.0, text="a", confidence=0.5, words=(WORD,)),
        ),
    }
    for kind in Event.__subclasses__():
        if kind.__module__ == events.__name__ and kind is not Utterance:
            yield kind(**{f.name: samples[str(f.type)] for f in fields(kind)})
    yield UTTERANCE
    yield Refused(message="no", request=None)


@pytest.mark.parametrize("event", list(every_event()), ids=lambda event: event.kind)
def test_every_event_fits_the_schema(event: Event) -> None:
    message = json.loads(protocol.full(event))
    SENT.validate(message)
    assert message["event"] == event.kind
    assert not SENT.is_valid({**message, "more": 1})


def test_plain_encodes_transcripts_only() -> None:
    for event in every_event():
        text = protocol.plain(event)
        assert (text is not None) == isinstance(event, Transcript)
        if text:
            PLAIN.validate(json.loads(text))
            assert set(json.loads(text)) == {"event", "text"}


def test_internal_events_are_never_sent() -> None:
    assert not issubclass(SpeechPaused, Event)
    assert not SENT.is_valid({"event": "speech_paused", "utterance": {}})


@pytest.mark.parametrize(
    ("text", "request_"),
    [
        ('{"set": {"silence_timeout_s": 0.8}}', Set({"silence_timeout_s": 0.8})),
        ('{"set": {"threshold_dbfs": null, "detector": "silero"}}', None),
        ('{"use": {"device": null, "model": "base", "partials": false}}', None),
        ('{"use": {}}', Use({})),
        ('{"end": true}', End()),
    ],
)
def test_valid_request_is_parsed(text: str, request_: object) -> None:
    TAKEN.validate(json.loads(text))
    parsed = understand(text)
    assert request_ in (None, parsed)
    if isinstance(parsed, Set):
        changed = protocol.change(VadConfig(), parsed.changes)
        assert asdict(changed).items() >= parsed.changes.items()


def understand(text: str) -> Request:
    request = protocol.parse(protocol.decode(text))
    if isinstance(request, Set):
        protocol.change(VadConfig(), request.changes)
    return request


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "not valid JSON"),
        ("[" * 50_000, "not valid JSON"),
        ("null", "send one of"),
        ('{"set": {}, "use": {}}', "send one of"),
        ('{"transcript": "?"}', "send one of"),
        ('{"set": 5}', "names and values"),
        ('{"set": {"silence_timeout_s": 99}}', "between 0.1 and 10 s"),
        ('{"set": {"silence_timeout_s": NaN}}', "between 0.1 and 10 s"),
        ('{"set": {"silence_timeout_s": 1e999}}', "between 0.1 and 10 s"),
        ('{"set": {"silence_timeout_s": 1' + "0" * 400 + "}}", "between 0.1 and 10 s"),
        ('{"set": {"silence_timeout": 1}}', "did you mean silence_timeout_s"),
        ('{"set": {"config": {}}}', "unknown setting 'config'"),
        ('{"set": {"detector": ["energy"]}}', "detector must be"),
        ('{"use": {"device": true}}', "device can't be True"),
        ('{"use": {"model": null}}', "model can't be None"),
        ('{"end": false}', "only be true"),
        ('{"use": {"speed": 2}}', "known are device, model, language, partials"),
    ],
)
def test_invalid_request_is_refused_with_the_reason(text: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says) as refused:
        understand(text)
    message = json.loads(protocol.refusal(refused.value, "set"))
    SENT.validate(message)
    assert len(message["message"]) <= protocol.LONGEST_MESSAGE


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["set", "use", "end", *protocol.USE, *asdict(VadConfig())]) | st.text(),
            inner,
            max_size=3,
        )
    ),
    max_leaves=8,
)


@given(JSON | st.fixed_dictionaries({"set": JSON}) | st.fixed_dictionaries({"use": JSON}))
def test_any_message_is_refused_or_fits_the_schema(message: object) -> None:
    text = json.dumps(message)
    try:
        understand(text)
    except ConfigError as error:
        SENT.validate(json.loads(protocol.refusal(error, None)))
    else:
        TAKEN.validate(json.loads(text))


@given(st.text() | st.binary().map(lambda b: b.decode("latin-1")))
def test_no_text_breaks_the_codec(text: str) -> None:
    with pytest.raises(ConfigError):
        understand(text + "}")


def test_settings_describe_every_field() -> None:
    settings = protocol.settings()
    assert list(settings) == [f.name for f in fields(VadConfig)]
    assert settings["detector"].choices == tuple(DETECTORS)
    assert settings["threshold_dbfs"].null
    assert settings["threshold_dbfs"].max == 0
    assert not settings["silence_timeout_s"].null


def test_protocol_document_has_the_tables_of_the_code() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    assert with_tables(text) == text, "make protocol"
