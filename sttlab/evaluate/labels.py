"""Labelled truth: when people speak, read and written in the formats of other tools."""

from __future__ import annotations

import html
import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sttlab.errors import LabelError
from sttlab.evaluate import annotation_tools
from sttlab.export import to_rttm
from sttlab.tables import frame
from sttlab.writing import replacing

Spans = NDArray[np.float64]
"""Shape (n, 2): start and end of n spans in seconds, sorted and disjoint."""


@dataclass(frozen=True, kw_only=True, order=True)
class Turn:
    """A span of time in which one person speaks.

    Attributes
    ----------
    start_s, end_s : float, seconds, 0 <= start_s < end_s
    speaker, text : str
        Empty if unknown.
    channel : int
        Counted from 1; 0 if unknown, or if all channels are meant.

    Raises
    ------
    LabelError
        If the times are not numbers in that order.
    """

    start_s: float
    end_s: float
    speaker: str = ""
    text: str = ""
    channel: int = 0

    def __post_init__(self) -> None:
        for name in ("start_s", "end_s"):
            object.__setattr__(self, name, _seconds(getattr(self, name)))
        if not 0 <= self.start_s < self.end_s:
            raise LabelError(
                f"speech must start at 0 s or later and end after that, not go from "
                f"{self.start_s:g} to {self.end_s:g} s"
            )


@dataclass(frozen=True, init=False)
class Labels:
    """When people speak in a recording.

    Parameters
    ----------
    turns : iterable of Turn
        Turns in any order; those of several people may overlap.
    scored : iterable of (start_s, end_s), optional
        Parts of the recording that were labelled; None stands for all of it.

    Raises
    ------
    LabelError
        If a scored part does not end after its start.

    Examples
    --------
    >>> labels = Labels([Turn(start_s=2, end_s=3), Turn(start_s=0, end_s=1.5)])
    >>> [turn.start_s for turn in labels]
    [0.0, 2.0]
    >>> labels.utterances(gap_s=0.6)
    array([[0., 3.]])
    """

    turns: tuple[Turn, ...] = ()
    scored: tuple[tuple[float, float], ...] | None = None

    def __init__(
        self, turns: Iterable[Turn] = (), scored: Iterable[tuple[float, float]] | None = None
    ) -> None:
        object.__setattr__(self, "turns", tuple(sorted(turns)))
        if scored is not None:
            parts = [Turn(start_s=start_s, end_s=end_s) for start_s, end_s in scored]
            merged = union([(part.start_s, part.end_s) for part in parts]).tolist()
            scored = tuple((start_s, end_s) for start_s, end_s in merged)
        object.__setattr__(self, "scored", scored)

    def __iter__(self) -> Iterator[Turn]:
        return iter(self.turns)

    def __len__(self) -> int:
        return len(self.turns)

    @property
    def speech(self) -> Spans:
        """Spans in which anybody speaks: the union of all turns."""
        return union([(turn.start_s, turn.end_s) for turn in self.turns])

    @property
    def speakers(self) -> tuple[str, ...]:
        """Names of the speakers, sorted."""
        return tuple(sorted({turn.speaker for turn in self.turns if turn.speaker}))

    def utterances(self, gap_s: float) -> Spans:
        """Return the spans of speech, with pauses shorter than `gap_s` closed."""
        return union(self.speech, gap_s)

    def renamed(self, names: Mapping[str, str]) -> Labels:
        """Return the labels with other names of speakers, by the names that they have now."""
        turns = (replace(turn, speaker=names.get(turn.speaker, turn.speaker)) for turn in self)
        return Labels(turns, self.scored)

    def between(self, start_s: float, end_s: float) -> Labels:
        """Return what lies between two times, in seconds from the first; it is cut off there."""
        return Labels(
            (
                replace(
                    turn,
                    start_s=max(turn.start_s, start_s) - start_s,
                    end_s=min(turn.end_s, end_s) - start_s,
                )
                for turn in self.turns
                if turn.start_s < end_s and turn.end_s > start_s
            ),
            None
            if self.scored is None
            else [
                (max(a, start_s) - start_s, min(b, end_s) - start_s)
                for a, b in self.scored
                if a < end_s and b > start_s
            ],
        )

    def of_channel(self, channel: int) -> Labels:
        """Return the turns of a channel, counted from 1, and those whose channel is not known."""
        return Labels((t for t in self if t.channel in (0, channel)), self.scored)

    def to_frame(self) -> Any:
        """Return a pandas.DataFrame with a row for each turn.

        Raises
        ------
        MissingExtra
            If pandas is not installed.
        """
        return frame(self, columns=("start_s", "end_s", "speaker", "text"))

    def save(self, path: str | Path) -> None:
        """Write the labels in the format that the suffix names.

        ``.json`` keeps everything; ``.rttm`` keeps times to the millisecond, speakers and channels;
        ``.txt`` is an Audacity label track, with the text or else the speaker; ``.TextGrid`` and
        ``.eaf`` (ELAN, to the millisecond) have a tier for each speaker, in which turns of the same
        person that overlap become one; ``.labelstudio.json`` is a task of Label Studio. No format
        but ``.json`` keeps the parts that were labelled.

        Raises
        ------
        LabelError
            If the suffix is another one, or the file can't be written.
        MissingExtra
            If the extra ``evaluate``, for ``.TextGrid`` and ``.eaf``, is not installed.
        """
        path = Path(path)
        libraries = {
            ".textgrid": annotation_tools.write_textgrid,
            ".eaf": annotation_tools.write_elan,
        }
        texts: dict[str, Callable[[Labels, str], str]] = {
            ".rttm": to_rttm,
            ".txt": _to_audacity,
            ".labelstudio.json": annotation_tools.to_label_studio,
            ".json": _to_json,
        }
        suffix = next((s for s in (*libraries, *texts) if path.name.lower().endswith(s)), None)
        if suffix is None:
            known = ", ".join((*texts, ".TextGrid", ".eaf"))
            raise LabelError(f"labels can be saved as {known}, not as {path.name}")
        try:
            with replacing(path) as file:
                if suffix in libraries:
                    libraries[suffix](self, file)
                else:
                    written = texts[suffix](self, path.name[: -len(suffix)])
                    file.write_text(written, encoding="utf-8", newline="\n")
        except OSError as error:
            raise LabelError(f"cannot write labels {path}: {error.strerror}") from error

    def _repr_html_(self) -> str:
        speech_s = float(np.diff(self.speech).sum())
        caption = f"{len(self)} turns, {speech_s:.1f} s of speech"
        if len(self.speakers) > 1:
            caption += f", {len(self.speakers)} speakers"
        return f"<figure><figcaption>{html.escape(caption)}</figcaption>{_strip(self)}</figure>"


def union(spans: Iterable[Any] | Spans, gap_s: float = 0.0) -> Spans:
    """Merge spans that overlap, touch, or lie less than `gap_s` apart."""
    array = np.array(sorted(map(tuple, spans)), np.float64).reshape(-1, 2)
    ends = np.maximum.accumulate(array[:, 1])
    gaps = array[1:, 0] - ends[:-1]
    first = np.flatnonzero(np.append(True, (gaps > 0) & (gaps >= gap_s))[: len(array)])
    last = np.append(first[1:], len(array)) - 1
    return np.column_stack([array[first, 0], ends[last[: len(first)]]])


AnyLabels = Labels | str | Path
"""Labels, or the path of their file."""


def as_labels(given: object) -> Labels:
    """Return labels as they are, those of turns, or those of a file by its path.

    Raises
    ------
    LabelError
        If it is none of these, or the file can't be read.
    """
    if isinstance(given, Labels):
        return given
    if isinstance(given, str | Path):
        return load_labels(given)
    turns: list[Any] = list(given) if isinstance(given, Iterable) else [given]
    wrong = [turn for turn in turns if not isinstance(turn, Turn)]
    if wrong:
        raise LabelError(
            f"labels must be Labels or the path of a file of labels, not {type(wrong[0]).__name__}"
        )
    return Labels(turns)


def load_labels(path: str | Path, *, recording: str | None = None) -> Labels:
    """Read labels: RTTM, UEM, Audacity's, JSON, Label Studio's, Praat's TextGrid or ELAN's.

    Parameters
    ----------
    path : str or Path
        The suffix names the format:

        - ``.rttm``: the SPEAKER lines of NIST's Rich Transcription Time Marked format (RT-09
          evaluation plan, appendix A). A ``.uem`` file of the same name beside it says which parts
          were labelled. Channels are kept unless all lines have channel 1, which most files have
          for all channels.
        - ``.uem``: the parts that were labelled; no speech.
        - ``.txt``: a label track exported from Audacity; every label is speech.
        - ``.json``: a file of `Labels.save`, an export of Label Studio (of several tasks,
          `recording` chooses one by the name of its audio), or a transcript saved by sttlab. Of
          one that the page saved, `recording` chooses a kept session by the name of its folder:
          then times are those of the session, and what lies from the first line that a person
          corrected to the last counts as labelled.
        - ``.TextGrid``: intervals with text, in all interval tiers; a tier is a speaker. A text
          that marks silence, such as "sil", does not count. Needs the extra ``evaluate``.
        - ``.eaf``: ELAN's; the annotations of tiers that don't depend on another; a tier is a
          speaker. Needs the extra ``evaluate``.

        Labels without length are ignored.
    recording : str, optional
        The recording whose lines are read, if an RTTM or UEM file holds several; the kept session
        of a transcript.

    Returns
    -------
    Labels

    Raises
    ------
    LabelError
        If the file can't be read, a line is not valid, it holds several recordings and `recording`
        doesn't choose one, or it holds only labels without length. The message names the line.
    MissingExtra
        If the file is a TextGrid or ELAN's, and the extra ``evaluate`` is not installed.
    """
    path = Path(path)
    if path.suffix.lower() == ".textgrid":
        return _labels(annotation_tools.read_textgrid(path), "interval")
    if path.suffix.lower() == ".eaf":
        return _labels(annotation_tools.read_elan(path), "annotation")
    readers: dict[str, Callable[[str], Labels]] = {
        ".rttm": lambda text: _from_rttm(text, recording),
        ".uem": lambda text: Labels((), _from_uem(text, recording)),
        ".txt": _from_audacity,
        ".json": lambda text: _from_json(text, recording),
    }
    reader = readers.get(path.suffix.lower())
    if reader is None:
        known = ", ".join([*readers, ".TextGrid", ".eaf"])
        raise LabelError(f"{path.name} is not a label file: its name must end in one of {known}")
    labels = _read(path, reader)
    uem = path.with_suffix(".uem")
    if path.suffix.lower() == ".rttm" and uem.exists():
        return Labels(labels.turns, load_labels(uem, recording=recording).scored)
    return labels


def _read(path: Path, reader: Callable[[str], Labels]) -> Labels:
    try:
        return reader(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise LabelError(f"cannot read labels {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise LabelError(f"labels {path} are not UTF-8 text: {error}") from error
    except LabelError as error:
        raise LabelError(f"labels {path}, {error}") from error


def _from_rttm(text: str, recording: str | None) -> Labels:
    rows = list(_rows(text, recording, of=1, at_least=5, only="SPEAKER"))
    turns = []
    for number, row in rows:
        start_s, length_s = _number(row[3], number), _number(row[4], number)
        speaker = row[7] if len(row) > 7 and row[7] != "<NA>" else ""
        channel = int(row[2]) if row[2].isdecimal() else 0
        turns.append((number, start_s, start_s + length_s, speaker, "", channel))
    return Labels(named_channels(_labels(turns)))


def named_channels(turns: Iterable[Turn]) -> list[Turn]:
    """Return turns without channels if all are of the first, which tools write for any audio."""
    given = list(turns)
    if any(turn.channel > 1 for turn in given):
        return given
    return [replace(turn, channel=0) for turn in given]


def _from_uem(text: str, recording: str | None) -> list[tuple[float, float]]:
    rows = _rows(text, recording, of=0, at_least=4)
    parts = [(n, _number(row[2], n), _number(row[3], n), "", "", 0) for n, row in rows]
    return [(turn.start_s, turn.end_s) for turn in _labels(parts)]


def _rows(
    text: str, recording: str | None, *, of: int, at_least: int, only: str | None = None
) -> Iterator[tuple[int, list[str]]]:
    """Yield the lines of one recording as lists of fields; field `of` names the recording."""
    seen = {}
    for number, line in enumerate(text.splitlines(), 1):
        row = line.split()
        if not row or row[0].startswith(";;"):
            continue
        if len(row) < at_least:
            raise LabelError(f"line {number}: {at_least} fields are needed, not {line.strip()!r}")
        if only is None or row[0] == only:
            seen[number] = row
    names = sorted({row[of] for row in seen.values()})
    if recording is None and len(names) > 1:
        shown = ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
        raise LabelError(f"which holds {len(names)} recordings ({shown}): choose one, recording=")
    if recording is not None and recording not in names:
        raise LabelError(f"which has no {recording!r}, but {', '.join(names) or 'nothing'}")
    yield from ((n, row) for n, row in seen.items() if recording in (None, row[of]))


def _from_audacity(text: str) -> Labels:
    turns = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.startswith("\\"):  # a backslash begins a label's frequencies
            continue
        fields = line.split("\t", 2)
        if len(fields) < 2:
            raise LabelError(
                f"line {number}: start, end and text with tabs between are needed, not {line!r}"
            )
        start_s, end_s = _number(fields[0], number), _number(fields[1], number)
        text_of = fields[2].strip() if len(fields) > 2 else ""
        turns.append((number, start_s, end_s, "", text_of, 0))
    return _labels(turns)


def _from_json(text: str, session: str | None) -> Labels:
    try:
        content = json.loads(text)
    except ValueError as error:
        raise LabelError(f"which are not JSON: {error}") from error
    if content and isinstance(content, list):
        rows = annotation_tools.from_label_studio(content, session)
        return Labels(named_channels(_labels(rows, "region")))
    if not isinstance(content, dict) or not isinstance(content.get("segments"), list):
        raise LabelError('which need an object with a list "segments"')
    if session is not None:
        return _corrected(content["segments"], session)
    turns, parts = [], []
    for number, item in enumerate(content["segments"], 1):
        if not isinstance(item, dict) or not {"start", "end"} <= item.keys():
            raise LabelError(f"segment {number}: start and end are needed, not {item!r}")
        texts = (str(item.get("speaker") or ""), str(item.get("text") or ""))
        channel = item.get("channel", 0)
        if not isinstance(channel, int) or channel < 0:
            raise LabelError(f"segment {number}: {channel!r} is not the number of a channel")
        turns.append((number, item["start"], item["end"], *texts, channel))
    for number, part in enumerate(content.get("scored") or (), 1):
        if not isinstance(part, list) or len(part) != 2:
            raise LabelError(f"scored part {number}: [start, end] is needed, not {part!r}")
        parts.append((number, *part, "", "", 0))
    scored = [(turn.start_s, turn.end_s) for turn in _labels(parts, "scored part")]
    return Labels(_labels(turns, "segment"), None if content.get("scored") is None else scored)


def _corrected(segments: list[Any], session: str) -> Labels:
    """Read what a person made of a kept session on the page, in the session's time."""
    lines = [item for item in segments if isinstance(item, dict)]
    kept = [
        (item["kept"], item.get("text")) for item in lines if isinstance(item.get("kept"), dict)
    ]
    names = sorted({str(place.get("session")) for place, _ in kept})
    if session not in names:
        raise LabelError(f"which has no {session!r}, but {', '.join(names) or 'no kept session'}")
    mine = [(place, text) for place, text in kept if place.get("session") == session]
    turns = [
        (number, place.get("start"), place.get("end"), "", str(text or ""), 0)
        for number, (place, text) in enumerate(mine, 1)
    ]
    edited = [turn for turn, (place, _) in zip(turns, mine, strict=True) if place.get("edited")]
    if not edited:
        raise LabelError(f"which has no line of {session!r} that a person has corrected")
    scored = _labels(edited, "segment")
    span = (scored.turns[0].start_s, max(turn.end_s for turn in scored))
    return Labels(_labels(turns, "segment"), [span])


def _labels(found: Iterable[annotation_tools.Row], unit: str = "line") -> Labels:
    """Make labels of the rows of a file; errors name the `unit` and the number of a row."""
    turns, points = [], 0
    for number, start_s, end_s, speaker, text, channel in found:
        if start_s == end_s:
            points += 1
            continue
        try:
            turns.append(
                Turn(start_s=start_s, end_s=end_s, speaker=speaker, text=text, channel=channel)
            )
        except LabelError as error:
            raise LabelError(f"{unit} {number}: {error}") from error
    if points and not turns:
        raise LabelError(f"which hold {points} labels without length, and no other label")
    return Labels(turns)


def _number(text: str, line: int) -> float:
    try:
        return _seconds(float(text))
    except ValueError as error:
        raise LabelError(f"line {line}: {text!r} is not a time in seconds") from error


def _seconds(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise LabelError(f"{value!r} is not a time in seconds")
    return float(value)


def _to_audacity(labels: Labels, name: str) -> str:
    return "".join(
        f"{turn.start_s:.6f}\t{turn.end_s:.6f}\t{' '.join((turn.text or turn.speaker).split())}\n"
        for turn in labels
    )


def _to_json(labels: Labels, name: str) -> str:
    segments = []
    for turn in labels:
        segment: dict[str, object] = {"start": turn.start_s, "end": turn.end_s}
        about = {"speaker": turn.speaker, "text": turn.text, "channel": turn.channel}
        segments.append(segment | {key: value for key, value in about.items() if value})
    content: dict[str, object] = {"segments": segments}
    if labels.scored is not None:
        content["scored"] = labels.scored
    return json.dumps(content, ensure_ascii=False, indent=1) + "\n"


def _strip(labels: Labels) -> str:
    """Draw the turns over time as SVG, in a row for each speaker and the colour of the text."""
    ends = [turn.end_s for turn in labels] + [end_s for _, end_s in labels.scored or ()]
    whole_s = max(ends, default=1.0)
    rows = {speaker: row for row, speaker in enumerate(sorted({t.speaker for t in labels}))}
    bars = "".join(
        f'<rect x="{100 * turn.start_s / whole_s:.3f}%" y="{14 * rows[turn.speaker] + 2}"'
        f' width="{100 * (turn.end_s - turn.start_s) / whole_s:.3f}%" height="10"'
        f' fill="currentColor" fill-opacity="0.6"><title>{html.escape(_words(turn))}</title></rect>'
        for turn in labels
    )
    height = 14 * max(1, len(rows))
    return (
        f'<svg width="100%" height="{height}" role="img" aria-label="when people speak">'
        f"{bars}</svg><small>0 to {whole_s:.1f} s</small>"
    )


def _words(turn: Turn) -> str:
    about = " ".join(part for part in (turn.speaker, turn.text) if part)
    return f"{turn.start_s:.2f} to {turn.end_s:.2f} s {about}".strip()
