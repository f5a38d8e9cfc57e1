"""Segments as text, subtitles or JSON.

The subtitle libraries on PyPI write text as markup: they lose or refuse text that looks like a
tag, an entity or an arrow. So the formats are written here; the tests read them back with those
libraries.
"""

from __future__ import annotations

import html
import json
from collections.abc import Iterable, Iterator

from sttlab.events import Segment, Word


def to_txt(segments: Iterable[Segment]) -> str:
    """Write one line for each segment."""
    return "".join(f"{text}\n" for _, _, text in _cues(segments))


def to_srt(segments: Iterable[Segment]) -> str:
    """Write SubRip subtitles.

    SubRip has no escapes: ``<b>`` stays as it is, and a player that knows tags obeys it. Only
    ``-->``, at which parsers split, becomes ``->``.
    """
    return "\n".join(
        f"{number}\n{_clock(start_ms, ',')} --> {_clock(end_ms, ',')}\n{_without_arrow(text)}\n"
        for number, (start_ms, end_ms, text) in enumerate(_cues(segments), 1)
    )


def to_vtt(segments: Iterable[Segment]) -> str:
    """Write WebVTT subtitles, with ``&``, ``<`` and ``>`` escaped so that a player shows them."""
    return "WEBVTT\n" + "".join(
        f"\n{_clock(start_ms, '.')} --> {_clock(end_ms, '.')}\n{html.escape(text, quote=False)}\n"
        for start_ms, end_ms, text in _cues(segments)
    )


def to_json(segments: Iterable[Segment], **about: object) -> str:
    """Write one JSON object on one line: `about`, then ``segments`` with times in seconds.

    A segment without ``words`` has no such key.
    """
    parts = [
        _as_json(s) | ({"words": [_as_json(w) for w in s.words]} if s.words else {})
        for s in segments
    ]
    return json.dumps({**about, "segments": parts}, ensure_ascii=False) + "\n"


def _as_json(part: Segment | Word) -> dict[str, object]:
    return {
        "start": round(part.start_s, 3),
        "end": round(part.end_s, 3),
        "text": part.text.strip(),
        "confidence": round(part.confidence, 3),
    }


def _cues(segments: Iterable[Segment]) -> Iterator[tuple[int, int, str]]:
    """Yield start and end in ms, and the text on one line: a blank line would end the cue."""
    for s in segments:
        text = " ".join(s.text.split())
        if text:
            start_ms = max(0, round(s.start_s * 1000))
            yield start_ms, max(round(s.end_s * 1000), start_ms + 1), text


def _without_arrow(text: str) -> str:
    while "-->" in text:
        text = text.replace("-->", "->")
    return text


def _clock(time_ms: int, point: str) -> str:
    seconds, ms = divmod(time_ms, 1000)
    minutes, s = divmod(seconds, 60)
    hours, m = divmod(minutes, 60)
    return f"{hours:02d}:{m:02d}:{s:02d}{point}{ms:03d}"
