"""Segments as text, subtitles or JSON.

The subtitle libraries on PyPI write text as markup: they lose or refuse text that looks like a
tag, an entity or an arrow. So the formats are written here; the tests read them back with those
libraries.
"""

from __future__ import annotations

import html
import json
from collections.abc import Iterable, Iterator

from sttlab.events import Segment, Spoken, Word


def to_txt(segments: Iterable[Segment]) -> str:
    """Write one line for each segment, which begins with the speaker if it is known."""
    return "".join(f"{_said_by(speaker)}{text}\n" for _, _, text, speaker in _cues(segments))


def to_srt(segments: Iterable[Segment]) -> str:
    """Write SubRip subtitles; a text begins with the speaker if it is known.

    SubRip has no escapes: ``<b>`` stays as it is, and a player that knows tags obeys it. Only
    ``-->``, at which parsers split, becomes ``->``.
    """
    return "\n".join(
        f"{number}\n{_clock(start_ms, ',')} --> {_clock(end_ms, ',')}\n"
        f"{_without_arrow(_said_by(speaker) + text)}\n"
        for number, (start_ms, end_ms, text, speaker) in enumerate(_cues(segments), 1)
    )


def to_vtt(segments: Iterable[Segment]) -> str:
    """Write WebVTT subtitles, with ``&``, ``<`` and ``>`` escaped so that a player shows them.

    The speaker, if it is known, is the voice of the cue: ``<v Anna>``.
    """
    return "WEBVTT\n" + "".join(
        f"\n{_clock(start_ms, '.')} --> {_clock(end_ms, '.')}\n"
        f"{f'<v {_escaped(speaker)}>' if speaker else ''}{_escaped(text)}\n"
        for start_ms, end_ms, text, speaker in _cues(segments)
    )


def to_rttm(turns: Iterable[Spoken], name: str) -> str:
    """Write who speaks when as NIST's RTTM, to the millisecond.

    Parameters
    ----------
    turns : iterable of SpeakerTurn or Turn
    name : str
        Of the recording. In it and in the names of speakers, spaces become underscores.
    """
    word = "_".join(name.split()) or "recording"
    return "".join(
        f"SPEAKER {word} {getattr(turn, 'channel', 0) or 1} "
        f"{turn.start_s:.3f} {turn.end_s - turn.start_s:.3f} <NA> <NA> "
        f"{'_'.join(turn.speaker.split()) or 'speech'} <NA> <NA>\n"
        for turn in turns
    )


def to_json(segments: Iterable[Segment], **about: object) -> str:
    """Write one JSON object on one line: `about`, then ``segments`` with times in seconds.

    A segment without ``words`` or ``speaker`` has no such key.
    """
    parts = [
        _as_json(s)
        | ({"speaker": s.speaker} if s.speaker else {})
        | ({"words": [_as_json(w) for w in s.words]} if s.words else {})
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


def _cues(segments: Iterable[Segment]) -> Iterator[tuple[int, int, str, str]]:
    """Yield start and end in ms, text and speaker, each on one line: a blank line ends the cue."""
    for s in segments:
        text = " ".join(s.text.split())
        if text:
            start_ms = max(0, round(s.start_s * 1000))
            end_ms = max(round(s.end_s * 1000), start_ms + 1)
            yield start_ms, end_ms, text, " ".join((s.speaker or "").split())


def _said_by(speaker: str) -> str:
    return f"{speaker}: " if speaker else ""


def _escaped(text: str) -> str:
    return html.escape(text, quote=False)


def _without_arrow(text: str) -> str:
    while "-->" in text:
        text = text.replace("-->", "->")
    return text


def _clock(time_ms: int, point: str) -> str:
    seconds, ms = divmod(time_ms, 1000)
    minutes, s = divmod(seconds, 60)
    hours, m = divmod(minutes, 60)
    return f"{hours:02d}:{m:02d}:{s:02d}{point}{ms:03d}"
