"""The messages of `/ws`: encoding and decoding, without I/O.

A plain client receives ``{"event": "transcript", "text": "..."}`` and nothing else. A client of
``/ws?events=all`` receives a `Hello`, then every event with all of its fields, and may send `Set`,
`Use`, `Speaker` and `End`. docs/protocol.md has the tables.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from types import NoneType
from typing import Any, ClassVar, TypeAlias

from sttlab import events
from sttlab.audio import SAMPLE_RATE
from sttlab.config import VadConfig, from_dict
from sttlab.errors import ConfigError
from sttlab.events import (
    EndReason,
    Event,
    SessionFailed,
    SpeakersFound,
    Suppressed,
    Transcript,
    TranscriptionFailed,
    Utterance,
)
from sttlab.speakers.parts import speaker_between
from sttlab.vad import DETECTORS, detectors_using
from sttlab.vad.base import Scale

VERSION = 1
MAX_FILE_BYTES = 1 << 30
ABOUT = ("label", "doc", "unit", "min", "max", "unless")  # keys of a field's metadata
LONGEST_MESSAGE = 400  # most characters of a refusal, which may quote what was sent


@dataclass(frozen=True, kw_only=True)
class Using:
    """What `Use` sets; null where it is unknown, or the system or the model chooses."""

    device: int | str | None
    model: str | None
    language: str | None
    partials: bool


@dataclass(frozen=True, kw_only=True)
class State(Event):
    """The state of the session; sent when any field but ``time_s`` has changed."""

    kind: ClassVar[str] = "state"
    stream: str | None = field(metadata={"doc": "new for each start of capture; null before"})
    time_s: float = field(metadata={"doc": "length of the stream so far"})
    capturing: bool = field(metadata={"doc": "whether audio is being heard"})
    source: str
    model: str
    partials: bool
    problem: str | None = field(metadata={"doc": "what is wrong and what to do"})
    busy: str | None = field(
        metadata={
            "doc": "what takes a moment: a model that loads, or a microphone that was opened "
            "and has delivered nothing yet"
        }
    )
    over: bool = field(
        metadata={
            "doc": "whether a file has played to its end, or was stopped where the server runs; "
            "`use` plays it again"
        }
    )
    keeping: bool = field(metadata={"doc": "whether audio and texts are kept on the server"})
    kept_in: str | None = field(
        metadata={"doc": "the server's folder in which this stream is kept, while it is"}
    )
    keep_problem: str | None = field(
        metadata={"doc": "why they aren't, though they should be, and what to do"}
    )
    config: VadConfig
    using: Using
    may_use: tuple[str, ...] = field(metadata={"doc": "names that `use` takes here"})


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What a slider needs to know of a setting: its default, label, unit and bounds."""

    default: float | str | None
    label: str = ""
    doc: str = ""
    unit: str = ""
    min: float | None = None
    max: float | None = None
    choices: tuple[str, ...] = ()
    null: bool = False
    detectors: tuple[str, ...] = field(default=(), metadata={"doc": "with which it matters"})
    unless: str | None = field(
        default=None, metadata={"doc": "a field that is null while this one matters"}
    )


@dataclass(frozen=True, kw_only=True)
class Detector:
    """What a client shows of a detector, and the scale of its scores in `level` events."""

    label: str
    doc: str
    frame_s: float = field(metadata={"doc": "from one score to the next"})
    scale: Scale
    fields: tuple[str, ...] = field(
        metadata={"doc": "settings that it uses, those that move its threshold first"}
    )


@dataclass(frozen=True, kw_only=True)
class Hello(State):
    """The first message: the state, and what doesn't change."""

    kind: ClassVar[str] = "hello"
    version: int = VERSION
    locked: bool = field(metadata={"doc": "whether `set`, `use` and `speaker` are refused"})
    may_keep: bool = field(metadata={"doc": "whether `keep=yes` is taken with own audio"})
    speaker_names: dict[str, str] | None = field(
        metadata={"doc": "null if it is not asked who speaks; else as in `speaker_names`"}
    )
    speakers_merged: dict[str, str] = field(metadata={"doc": "as `merged` there"})
    settings: dict[str, Setting]
    detectors: dict[str, Detector]
    max_file_bytes: int = field(default=MAX_FILE_BYTES, metadata={"doc": "that `/files` takes"})


@dataclass(frozen=True, kw_only=True)
class Refused(Event):
    """A message that this client sent was not obeyed. No other client is told."""

    kind: ClassVar[str] = "refused"
    message: str
    request: str | None = field(
        metadata={"doc": "set, use, speaker or end; null if it was not one of them"}
    )


@dataclass(frozen=True, kw_only=True)
class UtteranceEnded(Event):
    """An utterance has ended, and waits for the engine."""

    kind: ClassVar[str] = "utterance"
    utterance_id: int
    start_s: float
    end_s: float
    level_dbfs: float
    reason: EndReason


@dataclass(frozen=True, kw_only=True)
class FileOpened(Event):
    """The whole file has arrived, and is valid audio."""

    kind: ClassVar[str] = "opened"
    duration_s: float | None = field(metadata={"doc": "as the file declares, maybe wrongly"})


@dataclass(frozen=True, kw_only=True)
class FileProgress(Event):
    """How much of the file is transcribed."""

    kind: ClassVar[str] = "progress"
    done_s: float
    waits_for: str | None = field(
        default=None, metadata={"doc": "what the engine is at for seconds: live speech"}
    )
    left_s: float | None = field(
        default=None,
        metadata={"doc": "estimate of the time that the rest takes, at the speed so far"},
    )


@dataclass(frozen=True, kw_only=True)
class FileDone(Event):
    """All is transcribed. Without this line or `session_failed`, the answer was cut short."""

    kind: ClassVar[str] = "done"
    duration_s: float
    problem: str | None = field(
        metadata={"doc": "what could not be decoded, why no text came, or what is doubtful"}
    )


@dataclass(frozen=True)
class Set:
    """Change any fields of the config. The change is broadcast as config_changed."""

    changes: Mapping[str, Any]


@dataclass(frozen=True)
class Use:
    """Change device, model, language or partials. The change is broadcast as state.

    Without a field, it retries to start capture, or plays a file that is over again.
    """

    changes: Mapping[str, Any]


@dataclass(frozen=True)
class Speaker:
    """Rename a speaker, take two for one, or say that an utterance is of a speaker of its own.

    The change is broadcast as speaker_names, and as speakers for each utterance that it concerns.
    """

    changes: Mapping[str, Any]


@dataclass(frozen=True)
class End:
    """No more audio comes from this client: once all is transcribed, the socket is closed."""


Request: TypeAlias = Set | Use | Speaker | End
REQUESTS = ("set", "use", "speaker", "end")

SPEAKER: tuple[dict[str, type], ...] = (
    {"rename": str, "to": str},
    {"merge": str, "into": str},
    {"split": int},
)
"""What a `Speaker` may hold: names and types of values."""

USE: dict[str, tuple[type, ...]] = {
    "device": (int, str, NoneType),
    "model": (str,),
    "language": (str, NoneType),
    "partials": (bool,),
}
SENT: tuple[type[Event], ...] = (
    Hello,
    State,
    Refused,
    *(
        UtteranceEnded if event is Utterance else event
        for event in Event.__subclasses__()
        if event.__module__ == events.__name__
    ),
)
FILE_SENT: tuple[type[Event], ...] = (
    FileOpened,
    FileProgress,
    Transcript,
    Suppressed,
    TranscriptionFailed,
    SessionFailed,
    FileDone,
)


def plain(event: Event) -> str | None:
    """Encode an event for a plain client; None if such a client doesn't receive it."""
    if isinstance(event, Transcript):
        return _json({"event": "transcript", "text": event.text})
    return None


def full(event: Event) -> str:
    """Encode an event for a client of ``/ws?events=all``."""
    if isinstance(event, Utterance):
        event = UtteranceEnded(
            utterance_id=event.utterance_id,
            start_s=event.start_s,
            end_s=event.end_s,
            level_dbfs=event.level_dbfs,
            reason=event.reason,
        )
    return _json({"event": event.kind, **asdict(event)})


def with_turns(message: str, found: SpeakersFound) -> str:
    """Put who speaks into an encoded transcript."""
    told = json.loads(message)
    for segment in told["segments"]:
        segment["speaker"] = speaker_between(segment["start_s"], segment["end_s"], found.turns)
    return _json({**told, "speakers": [asdict(turn) for turn in found.turns]})


def refusal(error: Exception, request: str | None) -> str:
    """Encode why a client's message was not obeyed."""
    text = str(error)
    if len(text) > LONGEST_MESSAGE:
        text = text[: LONGEST_MESSAGE - 1] + "…"
    return full(Refused(message=text, request=request))


def decode(text: str) -> Any:
    """Decode what a client sent. Raises ConfigError if it is not valid JSON."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise ConfigError("this is not valid JSON") from None


def request_name(message: object) -> str | None:
    """Return the kind of request of a decoded message; None if it is not a valid request."""
    if isinstance(message, dict) and len(message) == 1:
        (name,) = message
        return name if name in REQUESTS else None
    return None


def parse(message: Any) -> Request:
    """Make a request of a decoded message.

    Raises
    ------
    ConfigError
        If it is not a valid request. `change` checks the values of a `Set`.
    """
    name = request_name(message)
    if name is None:
        raise ConfigError(
            'send one of {"set": {...}}, {"use": {...}}, {"speaker": {...}}, {"end": true}'
        )
    value = message[name]
    if name == "end":
        if value is not True:
            raise ConfigError("end can only be true")
        return End()
    if not isinstance(value, dict):
        raise ConfigError(f"{name} needs names and values, not {value!r}")
    if name == "set":
        return Set(value)
    if name == "speaker":
        types = {key: type(each) for key, each in value.items()}
        if types not in SPEAKER:
            raise ConfigError(
                'speaker needs {"rename": "Speaker 1", "to": "Anna"}, {"merge": "Speaker 2", '
                '"into": "Speaker 1"}, or {"split": 3}, the id of an utterance'
            )
        return Speaker(value)
    for key, allowed in USE.items():
        if key in value and type(value[key]) not in allowed:
            raise ConfigError(f"{key} can't be {value[key]!r}")
    unknown = [key for key in value if key not in USE]
    if unknown:
        raise ConfigError(f"unknown {unknown[0]!r}; known are {', '.join(USE)}")
    return Use(value)


def change(config: VadConfig, changes: Mapping[str, Any]) -> VadConfig:
    """Apply a `Set`. Raises ConfigError if a name is unknown or a value is not valid."""
    from_dict(VadConfig, changes)  # checked alone, so that an error names only what was sent
    changed: VadConfig = from_dict(VadConfig, {**asdict(config), **changes})
    return changed


def settings() -> dict[str, Setting]:
    """Describe each field of VadConfig, by its name."""
    found = {}
    for f in fields(VadConfig):
        about = {key: f.metadata[key] for key in ABOUT if key in f.metadata}
        found[f.name] = Setting(
            default=f.default,  # type: ignore[arg-type]
            null=f.default is None,
            choices=tuple(DETECTORS) if f.name == "detector" else (),
            detectors=detectors_using(f.name),
            **about,
        )
    return found


def detectors() -> dict[str, Detector]:
    """Describe each detector, by its name."""
    return {
        name: Detector(
            label=d.label,
            doc=d.doc,
            frame_s=d.frame_samples / SAMPLE_RATE,
            scale=d.scale,
            fields=d.fields,
        )
        for name, d in DETECTORS.items()
    }


def _json(message: dict[str, Any]) -> str:
    text = json.dumps(message, ensure_ascii=False, allow_nan=False)
    return text.encode(errors="replace").decode()  # a file's name may hold lone surrogates
