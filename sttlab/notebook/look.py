"""Colours, sizes and words that widgets and plots share.

They are apart from the plots because importing matplotlib takes half a second, for which a widget
need not wait.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Protocol

from sttlab.audio import BAND_HZ
from sttlab.config import SpeakerConfig, VadConfig
from sttlab.events import Transcript
from sttlab.vad import DETECTORS
from sttlab.vad.base import LEVEL as LEVEL_SCALE

INK = "#7a7a7a"
WAVEFORM = "#7d93a6"
LEVEL = "#2f8fd0"
ONSET = "#d55e00"
FLOOR = "#8a8a8a"
FOUND = "#e69f00"
TRUTH = "#009e73"
OTHER = "#cc79a7"
LOADING = "#f0e442"
CURVES = (LEVEL, ONSET, TRUTH, OTHER, FOUND)
SPEAKERS = ("#56b4e9", OTHER, TRUTH, FOUND, "#8080a0")  # as the rows of timeline.css
# The parts of the delay from the last word to the text, with their colours.
DELAYS = {
    "silence timeout": FLOOR,
    "capture": OTHER,
    "model loading": LOADING,
    "queue": ONSET,
    "decode": LEVEL,
}

WIDTH, LEFT, RIGHT = 960, 62, 10  # width of a figure and of its left and right margins, in px


class Span(Protocol):
    """Anything with a start and an end in time, such as an utterance or a label."""

    @property
    def start_s(self) -> float:
        """Start in seconds."""

    @property
    def end_s(self) -> float:
        """End in seconds."""


@dataclass(frozen=True, kw_only=True)
class PlotPanel:
    """One of several axes above each other; `height` is in px."""

    label: str
    height: int
    low: float
    high: float


WAVE = PlotPanel(label="amplitude", height=80, low=-1, high=1)
LEVELS = PlotPanel(label="level (dBFS)", height=190, low=-83, high=0)
LEVEL_NAME = "level, {}–{} Hz".format(*BAND_HZ)
SCORE_HEIGHT = 90  # px


def score_panels(detector: str) -> list[PlotPanel]:
    """Return the panel for a detector's scores, or none if they are levels, as LEVELS shows."""
    scale = DETECTORS[detector].scale
    if scale == LEVEL_SCALE:
        return []
    label = f"{scale.label} ({scale.unit})" if scale.unit else scale.label
    edge = 0.03 * (scale.high - scale.low)
    low, high = scale.low - edge, scale.high + edge
    return [PlotPanel(label=label, height=SCORE_HEIGHT, low=low, high=high)]


def delay_parts(transcript: Transcript) -> dict[str, float]:
    """Return the parts of a transcript's delay in seconds, by their names in DELAYS."""
    t = transcript
    return dict(zip(DELAYS, (t.pause_s, t.capture_s, t.load_s, t.queue_s, t.decode_s), strict=True))


def field_words(name: str) -> str:
    """Return the label of a setting with its unit."""
    unit = unit_words(name)
    return f"{field_label(name)} ({unit})" if unit else field_label(name)


def setting_words(values: Mapping[str, Any]) -> str:
    """Write settings with their values, for use within a sentence."""
    each = [f"{field_label(n)} {value_words(v)} {unit_words(n)}".strip() for n, v in values.items()]
    return ", ".join(map(lower, each))


def value_words(value: Any) -> str:
    """Write the value of a setting."""
    if value is None:
        return "unset"
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def field_label(name: str) -> str:
    """Return the label of a setting."""
    return str(_about(name).get("label", name))


def lower(words: str) -> str:
    """Write words as they stand within a sentence."""
    return words[0].lower() + words[1:]


def unit_words(name: str) -> str:
    """Return the unit of a setting."""
    return str(_about(name).get("unit", ""))


def _about(name: str) -> Mapping[str, Any]:
    known = (*fields(VadConfig), *fields(SpeakerConfig))
    return next(f.metadata for f in known if f.name == name)
