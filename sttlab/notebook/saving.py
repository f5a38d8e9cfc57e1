"""What a widget says and writes when it saves settings."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from datetime import datetime
from pathlib import Path

from sttlab import __version__
from sttlab.config import Config, SettingsAbout, VadConfig, history_folder
from sttlab.errors import SttlabError
from sttlab.notebook.look import field_label, lower, unit_words, value_words

# The scores on one recording that are saved with settings, of `Scores.figures`.
SAVED_SCORES = (
    "detection_error_rate",
    "missed",
    "false",
    "cut_off",
    "fragmented",
    "merged",
    "endpoint_delay_median_ms",
)


def about_now(name: str, recordings: Iterable[str], scores: Mapping[str, float]) -> SettingsAbout:
    """Describe settings that are saved now."""
    return SettingsAbout(
        name=name.strip(),
        saved=datetime.now().astimezone().isoformat(timespec="seconds"),
        version=__version__,
        recordings=tuple(Path(each).name for each in recordings if each),
        scores={key: round(s, 4) for key, s in scores.items() if not math.isnan(s)},
    )


def saved_words(path: Path, config: VadConfig, save: Callable[[], Path]) -> str:
    """Save settings; say where they are and what they replaced, or why they could not be saved."""
    try:
        replaced = _what_is_replaced(path, config)
        return f"saved to {save()}{replaced}"
    except (SttlabError, OSError) as error:
        return str(error)


def _what_is_replaced(path: Path, config: VadConfig) -> str:
    """Say what settings in a file are about to replace, and where that stays; call it before.

    Raises
    ------
    ConfigError
        If the file is not a valid settings file.
    """
    if not path.exists():
        return ""
    before = Config.load(path)
    words = replaced_words(before.vad, config)
    if before.vad == config:
        return words
    named = f" (“{before.about.name}”)" if before.about.name else ""
    return f"{words}; what was there{named} is in {history_folder(path)}"


def replaced_words(before: VadConfig, after: VadConfig) -> str:
    """Say what changes from some settings to others."""
    old, new = asdict(before), asdict(after)
    changed = [
        f"{lower(field_label(name))} {value_words(old[name])} → {value_words(value)} "
        f"{unit_words(name)}".strip()
        for name, value in new.items()
        if value != old[name]
    ]
    return f": {', '.join(changed)}" if changed else ": as they were"
