"""What goes over `/ws`: events to text. No I/O.

A plain client gets ``{"event": "transcript", "text": "..."}`` and nothing else. One that asks, by
``/ws?events=all``, gets every event with all that it holds, after a `hello` with the state.
"""

from __future__ import annotations

import json
from dataclasses import asdict, fields, is_dataclass
from typing import Any

from sttlab.config import VadConfig
from sttlab.events import Event, SpeechPaused, Transcript, Utterance

VERSION = 1
ALL = "all"


def plain(event: Event) -> str | None:
    """Encode an event for a plain client; None if it isn't told."""
    if isinstance(event, Transcript):
        return _json({"event": "transcript", "text": event.text})
    return None


def full(event: Event) -> str | None:
    """Encode an event for a client that asked for all; None if it is internal."""
    if isinstance(event, SpeechPaused):
        return None
    if isinstance(event, Utterance):
        return _json(
            {
                "event": event.kind,
                "utterance_id": event.utterance_id,
                "start_s": event.start_s,
                "end_s": event.end_s,
                "level_dbfs": event.level_dbfs,
                "reason": event.reason,
            }
        )
    return _json({"event": event.kind, **{f.name: _value(event, f.name) for f in fields(event)}})


def hello(config: VadConfig, model: str, source: str, partials: bool) -> str:
    """Encode what a client that asked for all is told first."""
    return _json(
        {
            "event": "hello",
            "version": VERSION,
            "source": source,
            "model": model,
            "partials": partials,
            "config": asdict(config),
        }
    )


def _value(event: Event, name: str) -> Any:
    value = getattr(event, name)
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    if isinstance(value, tuple):
        return [asdict(part) for part in value]
    return value


def _json(message: dict[str, Any]) -> str:
    return json.dumps(message, ensure_ascii=False, allow_nan=False)
