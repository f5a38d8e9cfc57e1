"""The tuner's parts in the browser: its picture and its list."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from itertools import pairwise
from typing import Any

import anywidget
import numpy as np
import traitlets

from sttlab.audio import SAMPLE_RATE
from sttlab.config import VadConfig
from sttlab.events import EndReason, Utterance
from sttlab.notebook.esm import read_module, read_style
from sttlab.notebook.score_table import threshold_field
from sttlab.notebook.sliders import STEPS
from sttlab.notebook.timeline import Timeline
from sttlab.trace import Trace, frame_times
from sttlab.vad import DETECTORS

ENDS: dict[EndReason, str] = {
    "silence": "silence timeout",
    "longest": "longest utterance",
    "interrupted": "lost audio",
    "end": "end of recording",
}
PAUSE_S = 0.1  # the shortest pause that is shown
CUT_S = 0.5  # length of the mark of a cut in speech
NEAR = 1.5  # by which a pause that ended an utterance may be longer than the timeout, to be doubted


class TunerPicture(Timeline):
    """The tuner's timeline in the browser: tuner.js. Times are float64, curves float32."""

    _esm = read_module("tuner.js")
    _css = read_style("timeline.css")

    detector = traitlets.Unicode().tag(sync=True)  # the curve that decides
    found = traitlets.Bytes().tag(sync=True)  # start and end of each utterance, in seconds
    beside = traitlets.Bytes().tag(sync=True)  # the same by the detector that is compared
    beside_label = traitlets.Unicode().tag(sync=True)
    labels: traitlets.List[list[Any]] = traitlets.List().tag(sync=True)  # segments
    speakers = traitlets.List([""]).tag(sync=True)  # of the rows of labels
    texts: traitlets.List[list[Any]] = traitlets.List().tag(sync=True)  # segments
    # Segments: what is wrong by the labels; without labels, where speech may be cut.
    faults: traitlets.List[list[Any]] = traitlets.List().tag(sync=True)
    pauses = traitlets.Bytes().tag(sync=True)  # start and end of each, in seconds
    # By the name of a curve: times, onset and offset thresholds; times and noise floor.
    thresholds: traitlets.Dict[str, bytes] = traitlets.Dict().tag(sync=True)
    floors: traitlets.Dict[str, bytes] = traitlets.Dict().tag(sync=True)
    # By "onset" and "offset": the setting that is moved where the threshold is dragged.
    handles: traitlets.Dict[str, dict[str, Any]] = traitlets.Dict().tag(sync=True)
    chosen = traitlets.Int(-1).tag(sync=True)  # row of the chosen utterance
    shown = traitlets.Int(0).tag(sync=True)  # counts requests to show it
    plays = traitlets.Int(0).tag(sync=True)  # counts requests to play it
    at_s = traitlets.Float(None, allow_none=True).tag(sync=True)  # what is in view at first


class UtteranceList(anywidget.AnyWidget):
    """The tuner's list in the browser: utterances.js, linked with the picture there."""

    _esm = read_module("utterances.js")
    _css = read_style("timeline.css")

    # Start and length in seconds, level in dBFS and index in `ends` of each utterance, float64.
    found = traitlets.Bytes().tag(sync=True)
    ends = traitlets.List(list(ENDS.values())).tag(sync=True)
    texts: traitlets.Dict[str, str] = traitlets.Dict().tag(sync=True)  # by row
    key = traitlets.Unicode().tag(sync=True)
    chosen = traitlets.Int(-1).tag(sync=True)
    shown = traitlets.Int(0).tag(sync=True)
    plays = traitlets.Int(0).tag(sync=True)


def handles_of(
    trace: Trace, config: VadConfig, sliders: Mapping[str, Any]
) -> dict[str, dict[str, Any]]:
    """Say which settings move with the thresholds on the picture, and how far."""
    detector = DETECTORS[config.detector]
    about = {f.name: f.metadata for f in fields(VadConfig)}
    names = {
        "onset": threshold_field(config),
        "offset": next((f for f in detector.fields if "hysteresis" in f), None),
    }
    handles = {}
    for which, name in names.items():
        slope = _slope(trace, config, which, name, sliders[name]) if name else 0.0
        if name and slope:
            handles[which] = {
                "field": name,
                "slider": sliders[name].model_id,
                "value": getattr(config, name),
                "slope": slope,
                "step": sliders[name].step,
                "min": about[name]["min"],
                "max": about[name]["max"],
            }
    return handles


def _slope(trace: Trace, config: VadConfig, which: str, name: str, slider: Any) -> float:
    """Return how far a threshold moves with a setting, by both their scales."""
    value, step = getattr(config, name), slider.step
    other = value + step if value + step <= slider.max else value - step
    moved = trace.activity(replace(config, **{name: other}))
    by = getattr(moved, which) - getattr(trace.activity(config), which)
    return float(by[np.abs(by).argmax()] / (other - value)) if len(by) else 0.0


def edges_of(found: Sequence[Utterance]) -> bytes:
    """Return start and end of each utterance in seconds, as float64."""
    return np.array([(u.start_s, u.end_s) for u in found], "<f8").tobytes()


def facts_of(trace: Trace, found: Sequence[Utterance]) -> bytes:
    """Return start and length in seconds, level in dBFS and reason of each, as float64."""
    levels, ends = trace.levels_of(found), list(ENDS)
    facts = [
        (u.start_s, u.duration_s, level, ends.index(u.reason))
        for u, level in zip(found, levels, strict=True)
    ]
    return np.array(facts, "<f8").tobytes()


def pauses(trace: Trace, config: VadConfig) -> bytes:
    """Find where scores stay below the offset threshold; return start and end in seconds, float64.

    The silence timeout decides which of these pauses end an utterance.
    """
    activity = trace.activity(config)
    silent = np.concatenate([[False], activity.score < activity.offset, [False]])
    edges = frame_times(config, np.flatnonzero(np.diff(silent.astype(np.int8)))).reshape(-1, 2)
    kept: bytes = edges[edges[:, 1] - edges[:, 0] >= PAUSE_S - 1e-9].astype("<f8").tobytes()
    return kept


def doubtful_cuts(found: Sequence[Utterance], config: VadConfig) -> list[list[Any]]:
    """Find where speech may be cut: the pauses, as segments of a track that say why.

    These are utterances that were cut as too long, and those that the silence timeout ended though
    speech went on soon after it, within `NEAR` times the timeout.
    """
    cuts, timeout_s = [], config.silence_timeout_s
    for before, after in pairwise(found):
        start_s, end_s = before.speech_end_sample / SAMPLE_RATE, after.onset_sample / SAMPLE_RATE
        if before.reason == "longest":
            longest = f"longest utterance {config.max_utterance_s:g} s"
            words = f"cut after {before.duration_s:.1f} s: {longest}"
            cuts.append([before.end_s - CUT_S / 2, before.end_s + CUT_S / 2, words, 0])
        elif before.reason == "silence" and end_s - start_s < NEAR * timeout_s:
            enough_s = enough_timeout_s(before, after, config)
            words = f"silence timeout {enough_s:.2f} s would not cut: pause {end_s - start_s:.2f} s"
            cuts.append([start_s, end_s, words, 0])
    return cuts


def enough_timeout_s(before: Utterance, after: Utterance, config: VadConfig) -> float:
    """Return a silence timeout, a step of its slider, that would not end one before the other."""
    detector, step_s = DETECTORS[config.detector], STEPS["s"]
    pause = (after.onset_sample - before.speech_end_sample) / detector.frame_samples
    # The timeout is over at a frame that is not speech; of speech, a score that smooths tells late.
    frames = math.ceil(pause) + detector.delay_frames + 1
    enough_s = frames * detector.frame_samples / SAMPLE_RATE
    return math.ceil(enough_s / step_s - 1e-9) * step_s


def counts_html(found: Sequence[Utterance], duration_s: float) -> str:
    """Say how many utterances there are, how long they are and why they ended."""
    spoken_s = sum(u.duration_s for u in found)
    ends = [f"{sum(u.reason == r for u in found)} by {words}" for r, words in ENDS.items()]
    ended = ", ".join(e for e in ends if not e.startswith("0 "))
    return (
        f'<b class="sttlab-count">{len(found)} utterances</b>, {spoken_s:.1f} s of '
        f"{duration_s:.1f} s" + (f"; ended {ended}" if ended else "")
    )


def same_place(before: list[Utterance], chosen: int, found: list[Utterance]) -> int:
    """Return the row of the utterance that is where the chosen one was, or -1."""
    if not 0 <= chosen < len(before):
        return -1
    return row_at(found, (before[chosen].start_s + before[chosen].end_s) / 2)


def row_at(found: list[Utterance], time_s: float) -> int:
    """Return the row of the utterance at a time, or -1."""
    i = bisect_right([u.start_s for u in found], time_s) - 1
    return i if i >= 0 and found[i].end_s >= time_s else -1
