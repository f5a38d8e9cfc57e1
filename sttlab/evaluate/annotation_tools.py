"""Labels of annotation tools: Praat's TextGrid, ELAN and Label Studio."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from sttlab.errors import LabelError, MissingExtra

if TYPE_CHECKING:
    from sttlab.evaluate.labels import Labels

Row = tuple[int, Any, Any, str, str, int]
"""Number, start, end, speaker, text, channel (counted from 1; 0 if unknown)."""

SILENT_TEXTS = {"", "sil", "sp", "silence", "silent", "<sil>", "<p:>"}
"""Texts that mark an interval of a TextGrid as silence."""

TIER = "speech"  # of turns without a speaker


def read_textgrid(path: Path) -> list[Row]:
    """Read the intervals with text of all interval tiers. Raises LabelError or MissingExtra."""
    textgrid, failure = _praatio()
    try:
        grid = textgrid.openTextgrid(
            str(path), includeEmptyIntervals=False, duplicateNamesMode="rename"
        )
    except OSError as error:
        raise LabelError(f"cannot read labels {path}: {error.strerror}") from error
    except (failure, ValueError, LookupError) as error:
        raise LabelError(f"labels {path} are not a TextGrid that can be read: {error}") from error
    return [
        (number, *interval[:2], _speaker(tier.name), " ".join(interval[2].split()), 0)
        for tier in grid.tiers
        if isinstance(tier, textgrid.IntervalTier)
        for number, interval in enumerate(tier.entries, 1)
        if interval[2].strip().lower() not in SILENT_TEXTS
    ]


def write_textgrid(labels: Labels, path: Path) -> None:
    """Write a tier for each speaker; turns of one that overlap become one."""
    textgrid, _ = _praatio()
    grid = textgrid.Textgrid()
    end_s = max([turn.end_s for turn in labels], default=1.0)
    for name, turns in _tiers(labels):
        entries = [(start_s, stop_s, text or "speech") for start_s, stop_s, text in turns]
        grid.addTier(textgrid.IntervalTier(name, entries, 0, end_s))
    grid.save(str(path), format="long_textgrid", includeBlankSpaces=True)


def _praatio() -> tuple[Any, type[Exception]]:
    try:
        from praatio import textgrid
        from praatio.utilities.errors import PraatioException
    except ImportError as error:
        raise MissingExtra("praatio", "evaluate") from error
    return textgrid, PraatioException


def read_elan(path: Path) -> list[Row]:
    """Read the annotations of all tiers that stand alone. Raises LabelError or MissingExtra."""
    elan = _pympi()
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # it prints what it doesn't know
            eaf = elan.Eaf(str(path))
        return [
            (number, start_ms / 1000, end_ms / 1000, _speaker(tier), " ".join(text.split()), 0)
            for tier in eaf.get_tier_names()
            if not eaf.get_parameters_for_tier(tier).get("PARENT_REF")
            for number, (start_ms, end_ms, text, *_) in enumerate(
                eaf.get_annotation_data_for_tier(tier), 1
            )
        ]
    except OSError as error:
        raise LabelError(f"cannot read labels {path}: {error.strerror}") from error
    except Exception as error:  # the library raises Exception itself
        raise LabelError(f"labels {path} are not an ELAN file that can be read: {error}") from error


def write_elan(labels: Labels, path: Path) -> None:
    """Write a tier for each speaker, to the millisecond; turns of one that overlap become one."""
    eaf = _pympi().Eaf()
    eaf.remove_tier("default")
    for name, turns in _tiers(labels):
        eaf.add_tier(name)
        for start_s, end_s, text in turns:
            eaf.add_annotation(name, round(1000 * start_s), round(1000 * end_s), text)
    eaf.to_file(str(path))


def _pympi() -> Any:
    try:
        from pympi import Elan  # type: ignore[import-untyped]
    except ImportError as error:
        raise MissingExtra("pympi", "evaluate") from error
    return Elan


def _tiers(labels: Labels) -> Iterator[tuple[str, list[tuple[float, float, str]]]]:
    """Yield each speaker's turns, which a tier can't hold where they overlap."""
    for speaker in sorted({turn.speaker for turn in labels}):
        joined: list[tuple[float, float, str]] = []
        for turn in labels:
            if turn.speaker != speaker:
                continue
            start_s, end_s, text = turn.start_s, turn.end_s, turn.text
            if joined and start_s < joined[-1][1]:
                before_s, until_s, said = joined.pop()
                start_s, end_s, text = before_s, max(until_s, end_s), f"{said} {text}".strip()
            joined.append((start_s, end_s, text))
        yield speaker or TIER, joined


def from_label_studio(tasks: list[Any], recording: str | None) -> list[Row]:
    """Read one recording of Label Studio's JSON export; the first annotation of a task counts.

    Raises
    ------
    LabelError
        If it is not such an export, or `recording` doesn't choose a task.
    """
    named = {_audio_of(task): task for task in tasks}
    if recording is None and len(named) == 1:
        (recording,) = named
    if recording not in named:
        known = ", ".join(sorted(named)[:5])
        raise LabelError(f"which has tasks for {known}: choose one of them, recording=")
    task = named[recording]
    results = (task.get("annotations") or [{}])[0].get("result") or []
    regions: dict[str, dict[str, Any]] = {}
    for result in results:
        value = result.get("value") if isinstance(result, dict) else None
        if not isinstance(value, dict) or "start" not in value:
            continue
        region = regions.setdefault(str(result.get("id")), {"start": 0, "end": 0, "channel": 0})
        region |= {key: value[key] for key in (*region, "labels", "text") if key in value}
    return [
        (
            number,
            region["start"],
            region["end"],
            _speaker(_first(region.get("labels"))),
            " ".join(_first(region.get("text")).split()),
            region["channel"] + 1 if isinstance(region["channel"], int) else 0,
        )
        for number, region in enumerate(regions.values(), 1)
    ]


def _speaker(name: str) -> str:
    return "" if name.lower() == TIER else name


def _first(value: Any) -> str:
    return str(value[0]) if isinstance(value, list) and value else str(value or "")


def _audio_of(task: Any) -> str:
    data = task.get("data") if isinstance(task, dict) else None
    places = [v for v in data.values() if isinstance(v, str)] if isinstance(data, dict) else []
    if not places:
        raise LabelError('which need a list of tasks, each with an audio in its "data"')
    stem = PurePosixPath(unquote(urlsplit(places[0]).path)).stem
    return stem.split("-", 1)[1] if _is_upload(stem) else stem


def _is_upload(stem: str) -> bool:
    """Whether Label Studio put eight hexadecimal digits before the name of an uploaded file."""
    digits, dash, _ = stem.partition("-")
    return bool(dash) and len(digits) == 8 and all(c in "0123456789abcdef" for c in digits)


def to_label_studio(labels: Labels, name: str) -> str:
    """Write one task with its annotation, to import into a project of audio."""
    results: list[dict[str, Any]] = []
    for number, turn in enumerate(labels):
        where = {"start": turn.start_s, "end": turn.end_s}
        where["channel"] = max(turn.channel - 1, 0)
        about = {"id": f"turn{number}", "to_name": "audio"}
        label = {"type": "labels", "from_name": "labels"}
        results.append(about | label | {"value": where | {"labels": [turn.speaker or TIER]}})
        if turn.text:
            said = {"type": "textarea", "from_name": "transcription"}
            results.append(about | said | {"value": where | {"text": [turn.text]}})
    task = {"data": {"audio": f"{name}.flac"}, "annotations": [{"result": results}]}
    return json.dumps([task], ensure_ascii=False, indent=1) + "\n"
