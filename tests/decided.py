"""What a core decided, as values that can be compared bit for bit."""

from __future__ import annotations

from collections.abc import Iterable

from sttlab.events import (
    ConfigChanged,
    Level,
    Notice,
    SamplesLost,
    SpeechDiscarded,
    SpeechStarted,
    StreamEvent,
    Utterance,
)

DECIDED = (Level, SpeechStarted, SpeechDiscarded, Utterance, ConfigChanged, SamplesLost, Notice)


def facts(events: Iterable[StreamEvent]) -> list[tuple[object, ...]]:
    """Return what a core decided, with the samples of utterances."""
    found = []
    for event in events:
        if isinstance(event, DECIDED):
            values = {**vars(event)}
            if isinstance(event, Utterance):
                values["samples"] = event.samples.tobytes()
            found.append((event.kind, *values.values()))
    return found
