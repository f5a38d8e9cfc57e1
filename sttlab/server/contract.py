"""The protocol of `/ws` as a JSON schema, and as the tables of docs/protocol.md."""

from __future__ import annotations

import typing
from dataclasses import Field, fields
from types import NoneType, UnionType
from typing import Any, Literal

from sttlab.config import VadConfig
from sttlab.events import Segment, SpeakerTurn, Word
from sttlab.server.protocol import (
    FILE_SENT,
    SENT,
    SPEAKER,
    USE,
    Detector,
    End,
    Hello,
    Set,
    Setting,
    Speaker,
    State,
    Use,
    Using,
    settings,
)
from sttlab.vad import DETECTORS
from sttlab.vad.base import Scale

_JSON_TYPES: dict[type, str] = {
    int: "integer",
    str: "string",
    bool: "boolean",
    NoneType: "null",
}

EVENTS = tuple(dict.fromkeys((*SENT, *FILE_SENT)))


def schema() -> dict[str, Any]:
    """Return the JSON schema of every message.

    ``sent`` holds what the server sends, ``taken`` what a client sends, and ``file`` the lines of
    an answer of `/files`.
    """
    from pydantic import TypeAdapter

    adapters: list[Any] = [
        (kind, "serialization", TypeAdapter(kind)) for kind in (*EVENTS, VadConfig)
    ]
    refs, shared = TypeAdapter.json_schemas(adapters, ref_template="#/$defs/{model}")
    definitions = shared["$defs"]
    for name, setting in settings().items():
        bounds = {"minimum": setting.min, "maximum": setting.max}
        _numbers(definitions["VadConfig"]["properties"][name], bounds)
    for kind in EVENTS:
        message = definitions[kind.__name__]
        message["properties"] = {"event": {"const": kind.kind}, **message["properties"]}
        message["required"] = list(message["properties"])
        message["additionalProperties"] = False
    config = definitions["VadConfig"]
    config["additionalProperties"] = False
    config["properties"]["detector"]["enum"] = list(DETECTORS)
    changes = {**config, "required": []}
    plain_text = {"event": {"const": "transcript"}, "text": {"type": "string"}}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$defs": {
            **definitions,
            "plain": _object(plain_text),
            "sent": {"oneOf": [refs[kind, "serialization"] for kind in SENT]},
            "file": {"oneOf": [refs[kind, "serialization"] for kind in FILE_SENT]},
            "taken": {
                "oneOf": [
                    _object({"set": changes}),
                    _object({"use": _object(_use_schema(), required=False)}),
                    _object({"speaker": {"oneOf": _speaker_schemas()}}),
                    _object({"end": {"const": True}}),
                ]
            },
        },
    }


def _numbers(schema: dict[str, Any], bounds: dict[str, float | None]) -> None:
    for part in (schema, *schema.get("anyOf", ())):
        if part.get("type") == "number":
            part.update(bounds)


def _object(properties: dict[str, Any], required: bool = True) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties) if required else [],
        "additionalProperties": False,
    }


def _use_schema() -> dict[str, Any]:
    return {key: {"type": [_JSON_TYPES[t] for t in types]} for key, types in USE.items()}


def _speaker_schemas() -> list[dict[str, Any]]:
    return [_object({key: {"type": _JSON_TYPES[t]} for key, t in each.items()}) for each in SPEAKER]


def markdown() -> str:
    """Write the tables of docs/protocol.md."""
    rows = ["| event | fields | meaning |", "| --- | --- | --- |"]
    for kind in SENT:
        known = fields(State) if kind is Hello else ()
        told = ["all of `state`"] * (kind is Hello) + [
            _field(kind, f) for f in fields(kind) if f not in known
        ]
        rows.append(f"| `{kind.kind}` | {', '.join(told)} | {_summary(kind)} |")
    rows += ["", "| line about a file | fields | meaning |", "| --- | --- | --- |"]
    for kind in FILE_SENT:
        told = ["as above"] if kind in SENT else [_field(kind, f) for f in fields(kind)]
        rows.append(f"| `{kind.kind}` | {', '.join(told)} | {_summary(kind)} |")
    rows += ["", "| a client sends | meaning |", "| --- | --- |"]
    sent = {
        '{"set": {"silence_timeout_s": 0.8}}': Set,
        '{"use": {"model": "base", "language": "de"}}': Use,
        '{"speaker": {"rename": "Speaker 1", "to": "Anna"}}': Speaker,
        '{"speaker": {"merge": "Speaker 2", "into": "Speaker 1"}}': Speaker,
        '{"speaker": {"split": 3}}': Speaker,
        '{"end": true}': End,
    }
    rows += [f"| `{text}` | {_summary(kind, whole=True)} |" for text, kind in sent.items()]
    rows += ["", "| part | fields |", "| --- | --- |"]
    for part in (VadConfig, Using, Setting, Detector, Scale, Segment, Word, SpeakerTurn):
        rows.append(f"| {part.__name__} | {', '.join(_field(part, f) for f in fields(part))} |")
    return "\n".join(rows) + "\n"


def _summary(kind: type, whole: bool = False) -> str:
    text = (kind.__doc__ or "").replace("``", "`")
    return " ".join((text if whole else text.split("\n\n")[0]).split())


def _field(owner: type, f: Field[Any]) -> str:
    hint = typing.get_type_hints(owner)[f.name]
    if (owner, f.name) == (VadConfig, "detector"):
        hint = Literal[tuple(DETECTORS)]
    doc = f" ({f.metadata['doc']})" if "doc" in f.metadata else ""
    return f"`{f.name}` {_type_name(hint)}{doc}"


def _type_name(hint: Any) -> str:
    names: dict[Any, str] = {
        float: "number",
        int: "integer",
        str: "text",
        bool: "true or false",
        NoneType: "null",
    }
    if hint in names:
        return names[hint]
    parts = [part for part in typing.get_args(hint) if part is not Ellipsis]
    kind = typing.get_origin(hint)
    if kind is typing.Literal:
        return " \\| ".join(f'"{part}"' for part in parts)
    if kind in (typing.Union, UnionType):
        return " or ".join(_type_name(part) for part in parts)
    if kind is tuple:
        return f"list of {_type_name(parts[0])}"
    if kind is dict:
        return f"{_type_name(parts[1])} by name"
    return str(hint.__name__)
