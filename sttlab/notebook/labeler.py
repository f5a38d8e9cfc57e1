"""Labeler: label by hand when people speak, on the waveform of a recording."""

from __future__ import annotations

import weakref
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import anywidget
import numpy as np
import traitlets
from numpy.typing import NDArray

from sttlab.audio import SAMPLE_RATE, to_pcm16
from sttlab.config import VadConfig
from sttlab.core import Audio
from sttlab.errors import SttlabError
from sttlab.evaluate.labels import Labels, Turn, load_labels
from sttlab.notebook.esm import read_module
from sttlab.notebook.painter import Displayed
from sttlab.shipped import shipped
from sttlab.trace import Trace, extremes

COLUMNS = 8192  # most columns of a waveform that is sent at once
AUDIO_S = 30.0  # most audio that is sent at once
COARSE = 160  # samples of one coarse unit, used where a column holds more than two


class Canvas(anywidget.AnyWidget):
    """The part in the browser: labeler.js draws and edits, and requests pictures and audio."""

    _esm = read_module("labeler.js")
    _css = shipped("frontend/notebook/labeler.css")

    duration_s = traitlets.Float().tag(sync=True)
    name = traitlets.Unicode().tag(sync=True)
    # A turn is [start_s, end_s, speaker, text]; a scored part is [start_s, end_s].
    turns: traitlets.List[list[Any]] = traitlets.List().tag(sync=True)
    scored: traitlets.List[list[float]] = traitlets.List(None, allow_none=True).tag(sync=True)
    path = traitlets.Unicode().tag(sync=True)
    status = traitlets.Unicode().tag(sync=True)


class Labeler(Displayed):
    """A recording on which speech is labelled with the mouse or the keyboard.

    Drag to label speech, drag an edge to move it. All keys are listed below the waveform.

    Parameters
    ----------
    recording : Recording
        Mono samples at SAMPLE_RATE.
    labels : Labels, optional
        Labels to begin with.
    config : VadConfig, optional
        Settings with which "From VAD" finds speech. Without `labels`, the labeler begins with the
        speech that they find.
    path : str or Path
        File that "Save" writes. Its suffix decides the format; see `Labels.save`.

    Raises
    ------
    MissingExtra
        If the packages of the detector are not installed.

    Notes
    -----
    The browser holds the waveform that is in view and the audio that plays, not the whole
    recording. The labeler has no thread. The kernel answers the browser's requests; where it can't
    do so while a cell runs (see `RemoteMicrophone`), the waveform appears after the cell.

    Examples
    --------
    >>> labeler = Labeler(load("talk.flac"), config=VadConfig()); labeler  # doctest: +SKIP
    >>> labeler.save("talk.rttm")  # doctest: +SKIP
    """

    def __init__(
        self,
        recording: Audio,
        labels: Labels | None = None,
        config: VadConfig | None = None,
        path: str | Path = "labels.rttm",
    ) -> None:
        self.config = config or VadConfig()
        self._trace = Trace(recording)
        if labels is None:
            labels = self._detect() if config else Labels()
        canvas = Canvas(
            duration_s=self._trace.duration_s,
            name=getattr(recording, "origin", ""),
            path=str(path),
            turns=_turns(labels),
            scored=_parts(labels),
        )
        canvas.on_msg(partial(_receive, weakref.ref(self)))
        self._show(canvas)

    @property
    def labels(self) -> Labels:
        """The labels as they are now. A person can undo in the widget that they were set.

        Raises
        ------
        LabelError
            If a label is not valid.
        """
        turns = [
            Turn(start_s=start_s, end_s=end_s, speaker=speaker, text=text)
            for start_s, end_s, speaker, text in self.widget.turns
        ]
        return Labels(turns, self.widget.scored)

    @labels.setter
    def labels(self, labels: Labels) -> None:
        with self.widget.hold_sync():
            self.widget.scored = _parts(labels)
            self.widget.turns = _turns(labels)

    def find(self, config: VadConfig | None = None) -> Labels:
        """Replace the labels by the speech that voice activity detection finds.

        Parameters
        ----------
        config : VadConfig, optional
            Settings for the detection, which "From VAD" uses from then on.

        Raises
        ------
        MissingExtra
            If the packages of the detector are not installed.
        """
        self.config = config or self.config
        self.labels = found = self._detect()
        return found

    def _detect(self) -> Labels:
        """Label the speech of each utterance, without its pre-roll and its last pause."""
        found = self._trace.utterances(self.config)
        edges = [(u.onset_sample, u.speech_end_sample) for u in found]
        spans = [[round(edge / SAMPLE_RATE, 3) for edge in pair] for pair in edges]
        return Labels(Turn(start_s=start_s, end_s=end_s) for start_s, end_s in spans)

    def save(self, path: str | Path | None = None) -> Path:
        """Write the labels as RTTM, Audacity label track or JSON; see `Labels.save`.

        Parameters
        ----------
        path : str or Path, optional
            The file, which "Save" writes from then on.

        Raises
        ------
        LabelError
            If the suffix is unknown, or the file can't be written.
        """
        target = Path(path or self.widget.path)
        self.labels.save(target)
        self.widget.path = str(target)
        return target

    def load(self, path: str | Path | None = None) -> Labels:
        """Replace the labels by those of a file; see `load_labels`.

        Raises
        ------
        LabelError
            If they can't be read.
        """
        source = Path(path or self.widget.path)
        self.labels = load_labels(source)
        self.widget.path = str(source)
        return self.labels

    # -- requests of the browser, on the thread on which ipykernel delivers them ---------------

    def _answer(self, content: dict[str, Any]) -> None:
        if content["ask"] == "picture":
            self._send_picture(content)
        elif content["ask"] == "sound":
            start, stop = self._range(content, AUDIO_S)
            pcm = to_pcm16(self._trace.samples[start:stop]).astype("<i2").tobytes()
            self.widget.send({"id": content["id"]}, [pcm])
        elif content["ask"] in ("find", "save", "load"):
            try:
                self.widget.status = self._act(content)
            except SttlabError as error:
                self.widget.status = str(error)
            self.widget.send({"id": content["id"]})

    def _act(self, content: dict[str, Any]) -> str:
        if content["ask"] == "find":
            return f"{len(self.find())} stretches of speech found by the {self.config.detector} VAD"
        if content["ask"] == "save":
            return f"saved to {self.save(content['path'])}"
        self.load(content["path"])
        return f"opened {content['path']}"

    def _range(self, content: dict[str, Any], longest_s: float = np.inf) -> tuple[int, int]:
        start_s, end_s = float(content["start_s"]), float(content["end_s"])
        start_s = max(0.0, start_s)
        end_s = min(end_s, start_s + longest_s, self._trace.duration_s)
        return round(start_s * SAMPLE_RATE), round(max(start_s, end_s) * SAMPLE_RATE)

    @cached_property
    def _coarse(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        samples = self._trace.samples
        rows = np.pad(samples, (0, -len(samples) % COARSE), mode="edge").reshape(-1, COARSE)
        return rows.min(axis=1), rows.max(axis=1)

    def _send_picture(self, content: dict[str, Any]) -> None:
        """Send the least sample, the greatest sample and the level of each column."""
        columns = min(COLUMNS, max(1, int(content["columns"])))
        start, stop = self._range(content)
        unit = COARSE if stop - start > 2 * COARSE * columns else 1
        lows, highs = self._coarse if unit > 1 else (self._trace.samples,) * 2
        first, last = start // unit, -(-stop // unit)
        edges = extremes(lows[first:last], columns)[1], extremes(highs[first:last], columns)[2]
        step = self._trace.step_samples
        frame, past = start // step, -(-stop // step)
        levels = extremes(self._trace.levels[frame:past], columns)[2]
        length = len(self._trace.samples)
        about = {
            "id": content["id"],
            "wave_s": [unit * first / SAMPLE_RATE, min(unit * last, length) / SAMPLE_RATE],
            "level_s": [frame * step / SAMPLE_RATE, past * step / SAMPLE_RATE],
        }
        pcm = [to_pcm16(np.asarray(edge, np.float32)).astype("<i2").tobytes() for edge in edges]
        self.widget.send(about, [*pcm, np.asarray(levels, "<f4").tobytes()])


def _turns(labels: Labels) -> list[list[Any]]:
    return [[turn.start_s, turn.end_s, turn.speaker, turn.text] for turn in labels]


def _parts(labels: Labels) -> list[list[float]] | None:
    return None if labels.scored is None else [list(part) for part in labels.scored]


def _receive(
    labeler: weakref.ref[Labeler], canvas: object, content: dict[str, Any], buffers: object
) -> None:
    if (alive := labeler()) is not None:
        alive._answer(content)
