"""The timeline of a recording in a notebook: what its part in the browser asks for."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from typing import Any

import anywidget
import numpy as np
import traitlets
from numpy.typing import NDArray

from sttlab.audio import SAMPLE_RATE, to_pcm16
from sttlab.notebook.look import Span
from sttlab.notebook.pyramid import Pyramid
from sttlab.notebook.spectrogram import Spectrogram
from sttlab.trace import Trace
from sttlab.vad import DETECTORS
from sttlab.vad.base import LEVEL
from sttlab.vad.energy import EnergyVad

AUDIO_S = 30.0  # most audio that is sent at once
WAVE = "wave"
SPECTROGRAM = "spectrogram"
ASKING_S, BEGIN_S = 0.2, 1.0  # after which a browser asks for no more, and no more is waited
STEPS = 8192  # most steps of a threshold; the noise floor of an hour has 7200


class Tracks(anywidget.AnyWidget):
    """The tracks of a timeline that are not a widget's own, and what a person does to all of them.

    Attributes
    ----------
    arrangement : dict
        By names of tracks, what a person has changed: "order", "shown", "height" and "chosen"; see
        arrangement.js.
    """

    arrangement: traitlets.Dict[str, Any] = traitlets.Dict().tag(sync=True)
    # By the name of a track: the names of its rows, and its segments, each
    # [start_s, end_s, label, row].
    segments: traitlets.Dict[str, dict[str, Any]] = traitlets.Dict().tag(sync=True)

    def is_shown(self, name: str) -> bool:
        """Whether a person has asked for a track that is hidden at first."""
        return bool(self.arrangement.get("shown", {}).get(name))

    def show_segments(self, name: str, rows: Mapping[str, Iterable[Any]]) -> None:
        """Show spans in a track of that name, such as those of several speakers or settings.

        Parameters
        ----------
        name : str
            A track of the same name is replaced.
        rows : mapping of str to iterable of spans
            By the name of each row, from above, its segments in the order of time; see `segment`.
            Without a row, there is no such track any more.
        """
        rest = {other: track for other, track in self.segments.items() if other != name}
        placed = [[*s[:3], row] for row, spans in enumerate(rows.values()) for s in spans]
        if rows:
            rest[name] = {"rows": list(rows), "segments": sorted(placed)}
        self.segments = rest


def segment(span: Span, label: str = "", row: int = 0) -> list[Any]:
    """Write a span as a segment of a track: start and end in seconds, label, row from above."""
    return [round(span.start_s, 3), round(span.end_s, 3), label, row]


class Timeline(Tracks):
    """The part in the browser that shows a recording over time; a subclass has its module.

    The browser holds what is in view and the audio that plays, not the whole recording. The kernel
    answers its requests on the thread on which ipykernel delivers them. Where it can't do so while
    a cell runs (see `RemoteMicrophone`), the waveform appears after the cell.

    Parameters
    ----------
    trace : Trace
    """

    duration_s = traitlets.Float().tag(sync=True)
    name = traitlets.Unicode().tag(sync=True)
    # What the browser may ask pieces of: name, count and step_s, and for a detector's scores the
    # label, unit, low and high of their scale.
    curves: traitlets.List[dict[str, Any]] = traitlets.List().tag(sync=True)

    def __init__(self, trace: Trace, **traits: Any) -> None:
        super().__init__(duration_s=trace.duration_s, **traits)
        self._trace = trace
        self._asked = threading.Event()
        self._pyramids: dict[str, Pyramid] = {}
        self._spectrogram = Spectrogram(trace.samples)
        self._add(WAVE, Pyramid(trace.samples, is_wave=True), len(trace.samples), 1)
        self.add_scores(EnergyVad.name)
        self.on_msg(_receive)

    def add_scores(self, detector: str, progress: Callable[[int, int], None] | None = None) -> None:
        """Offer the scores of a detector as a curve of its name. It hears the recording first.

        `progress` is as for `Trace.heard`.

        Raises
        ------
        MissingExtra
            If the detector's packages are not installed.
        """
        if detector in self._pyramids:
            return
        about = DETECTORS[detector]
        scores = self._trace.heard(detector, progress).score[about.delay_frames :]
        scale = asdict(about.scale)
        if about.scale == LEVEL:
            scale |= _reach(scores)
        self._add(detector, Pyramid(scores), len(scores), about.frame_samples, **scale)

    def _add(self, name: str, pyramid: Pyramid, count: int, samples: int, **about: Any) -> None:
        self._pyramids[name] = pyramid
        curve = {"name": name, "count": count, "step_s": samples / SAMPLE_RATE, **about}
        self.curves = [*self.curves, curve]

    def let_begin(self) -> None:
        """Wait until the browser has what it shows first, if there is one that asks.

        Other work of the kernel, such as the picture that a notebook saves, would hold up the
        answers.
        """
        ends = time.monotonic() + BEGIN_S
        while self._asked.wait(ASKING_S) and time.monotonic() < ends:
            self._asked.clear()

    def answer(self, content: dict[str, Any]) -> bool:
        """Answer a request for a piece of a curve or of the audio; say whether it was one."""
        self._asked.set()
        if content["ask"] == "piece":
            place = int(content["level"]), int(content["index"])
            if content["curve"] == SPECTROGRAM:
                parts = [self._spectrogram.piece(*place).tobytes()]
            else:
                parts = [
                    _bytes(values) for values in self._pyramids[content["curve"]].piece(*place)
                ]
            self.send({"id": content["id"]}, parts)
            return True
        if content["ask"] == "sound":
            start_s, end_s = float(content["start_s"]), float(content["end_s"])
            end_s = min(end_s, start_s + AUDIO_S)
            edges = [max(0, round(at_s * SAMPLE_RATE)) for at_s in (start_s, end_s)]
            pcm = to_pcm16(self._trace.samples[slice(*edges)]).astype("<i2").tobytes()
            self.send({"id": content["id"]}, [pcm])
            return True
        return False


def _receive(timeline: Timeline, content: dict[str, Any], buffers: object) -> None:
    timeline.answer(content)


def _bytes(values: NDArray[np.float32]) -> bytes:
    return values.astype("<f4").tobytes()


def _reach(levels: NDArray[np.float64]) -> dict[str, float]:
    """Return the ends of an axis for levels, in whole tens of dBFS."""
    quiet = float(np.quantile(levels, 0.02)) if len(levels) else -80.0
    return {"low": max(-100.0, 10.0 * math.floor(quiet / 10 - 1)), "high": 0.0}


def steps(times_s: NDArray[np.floating], *curves: NDArray[np.floating]) -> bytes:
    """Return the times at which one of the curves changes, and the curves there, as float32."""
    if not len(times_s):
        return b""
    changes = np.any([np.diff(curve) != 0 for curve in curves], axis=0)
    at = np.concatenate([[0], np.flatnonzero(changes) + 1])
    if len(at) > STEPS:
        at = np.linspace(0, len(times_s) - 1, STEPS).astype(np.int64)
    return np.array([times_s[at], *(curve[at] for curve in curves)], "<f4").tobytes()
