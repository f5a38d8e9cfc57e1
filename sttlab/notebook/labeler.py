"""Labeler: label by hand when people speak, on the waveform of a recording."""

from __future__ import annotations

import logging
import weakref
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import traitlets
from numpy.typing import NDArray

from sttlab.audio import SAMPLE_RATE
from sttlab.config import TranscribeConfig, VadConfig
from sttlab.core import Audio
from sttlab.errors import SttlabError
from sttlab.evaluate.doubt import doubt
from sttlab.evaluate.labels import AnyLabels, Labels, Turn, as_labels, load_labels
from sttlab.live.worker import AsrWorker
from sttlab.notebook.esm import read_module, read_style
from sttlab.notebook.estimate import Estimate
from sttlab.notebook.look import TRUTH, Span
from sttlab.notebook.painter import Displayed, on_change
from sttlab.notebook.still import STILL_ROWS, image_html, table_html
from sttlab.notebook.texts import Texts
from sttlab.notebook.timeline import Timeline
from sttlab.trace import Trace
from sttlab.vad.energy import EnergyVad

log = logging.getLogger(__name__)


class Canvas(Timeline):
    """The labeler's timeline in the browser: labeler.js draws and edits."""

    _esm = read_module("labeler.js")
    _css = read_style("timeline.css", "labeler.css")

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
    labels : Labels, str or Path, optional
        Labels to begin with, or their file.
    config : VadConfig, optional
        Settings with which "From VAD" finds speech. Without `labels`, the labeler begins with the
        speech that they find.
    path : str or Path
        File that "Save" writes. Its suffix decides the format; see `Labels.save`.
    model : str, TranscribeConfig or AsrWorker
        Model with which "Transcribe" writes a draft of the texts, and which it loads on first use.

    Raises
    ------
    MissingExtra
        If the packages of the detector are not installed.

    Notes
    -----
    The labeler has no thread. The browser asks the kernel for what is in view and for the audio
    that plays; see `sttlab.notebook.timeline.Timeline`.

    Examples
    --------
    >>> labeler = Labeler(load("talk.flac"), config=VadConfig()); labeler  # doctest: +SKIP
    >>> labeler.save("talk.rttm")  # doctest: +SKIP
    """

    def __init__(
        self,
        recording: Audio,
        labels: AnyLabels | None = None,
        config: VadConfig | None = None,
        path: str | Path = "labels.rttm",
        model: str | TranscribeConfig | AsrWorker = "tiny.en",
    ) -> None:
        self._texts = Texts(model)
        self._texts.on_text(self._text_came)
        self._asked: list[_Stretch] = []  # what is to have a text
        self._estimate = Estimate()
        self.config = config or VadConfig()
        self._trace = Trace(recording)
        if labels is None:
            labels = self._detect() if config else Labels()
        labels = as_labels(labels)
        canvas = Canvas(
            self._trace,
            name=getattr(recording, "origin", ""),
            path=str(path),
            turns=_turns(labels),
            scored=_parts(labels),
        )
        canvas.on_msg(partial(_receive, weakref.ref(self)))
        self._show(canvas)
        on_change(canvas, self._changed, "turns", "scored")

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

    def close(self) -> None:
        """Take the widget off the page, and give the model back."""
        self._texts.close()
        super().close()

    def _still(self) -> Iterator[str]:
        from sttlab.notebook import plots  # imports matplotlib, see look.py

        panels = plots.trace_panels(self._trace, EnergyVad.name)
        axes = plots.make_axes(panels, 0, self._trace.duration_s)
        plots.draw_audio(axes, self._trace, EnergyVad.name)
        turns = self.widget.turns
        spans: list[Span] = [_Labelled(turn) for turn in turns]
        speakers = plots.spans_by_speaker(spans)
        for name, color, part in speakers or [("speech", TRUTH, spans)]:
            for ax in axes:
                plots.draw_spans(ax, part, name, color=color, alpha=0.3)
        if speakers:
            plots.add_legend(axes, axes[1])
        yield image_html(axes[0].figure, f"{self.widget.name}: speech, as labelled")
        rows = [(f"{turn[0]:.2f} s", f"{turn[1]:.2f} s", *turn[2:]) for turn in turns[:STILL_ROWS]]
        yield table_html(("from", "to", "speaker", "text"), rows)
        if len(turns) > STILL_ROWS:
            yield f"<div>… and {len(turns) - STILL_ROWS} more</div>"

    # -- requests of the browser, on the thread on which ipykernel delivers them ---------------

    def _answer(self, content: dict[str, Any]) -> None:
        if content["ask"] in ("find", "save", "load", "transcribe"):
            try:
                self.widget.status = self._act(content)
            except SttlabError as error:
                self.widget.status = str(error)
            self.widget.send({"id": content["id"]})

    def _act(self, content: dict[str, Any]) -> str:
        if content["ask"] == "find":
            before, found = len(self.widget.turns), len(self.find())
            words = f"{found} stretches of speech found by the {self.config.detector} VAD"
            return f"{words}{_instead(before)}"
        if content["ask"] == "transcribe":
            return self._transcribe()
        if content["ask"] == "save":
            return f"saved to {self.save(content['path'])}"
        before = len(self.widget.turns)
        labels = self.load(content["path"])
        return f"opened {content['path']}{_instead(before)}. {doubt(labels, self._trace)}".strip()

    def _transcribe(self) -> str:
        """Ask for the texts of all turns that have none; asked again, for no more of them."""
        if self._texts.progress:
            self._texts.cancel_all()
            return "cancelled: what was transcribed comes with the last text"
        missing = [(start_s, end_s) for start_s, end_s, _, text in self.widget.turns if not text]
        self._asked = [_Stretch.of(self._trace.samples, *span) for span in missing]
        self._estimate = Estimate()
        self._texts.request_all(self._asked)
        return self._said()

    def _said(self) -> str:
        """Say how far the texts are; once there are no more to come, put them to their turns."""
        if progress := self._texts.progress:
            done, total = progress
            far = self._estimate.words(done / total)
            return f"{done} of {total} transcribed: {far}; Transcribe again cancels"
        said = {stretch.span_s: self._texts.said(stretch) for stretch in self._asked}
        turns = [
            [*turn[:3], turn[3] or said.get((turn[0], turn[1]), "")] for turn in self.widget.turns
        ]
        added = sum(turn != before for turn, before in zip(turns, self.widget.turns, strict=True))
        words = "no text came" if self._asked else "no speech without a text"
        if added:
            self.widget.turns = turns
            words = f"{added} texts written: Undo takes them away"
        return f"{words}. {self._texts.problem}".strip(". ")

    # -- on sttlab-asr ------------------------------------------------------------------------

    def _text_came(self) -> None:
        self.widget.status = self._said()


class _Stretch(NamedTuple):
    """The audio of a turn."""

    span_s: tuple[float, float]
    start_sample: int
    end_sample: int
    samples: NDArray[np.float32]

    @classmethod
    def of(cls, samples: NDArray[np.float32], start_s: float, end_s: float) -> _Stretch:
        start, end = round(start_s * SAMPLE_RATE), round(end_s * SAMPLE_RATE)
        return cls((start_s, end_s), start, end, samples[start:end])


class _Labelled:
    """A turn of the browser, which may not be valid, as a span."""

    def __init__(self, turn: list[Any]) -> None:
        self.start_s, self.end_s = float(turn[0]), float(turn[1])
        self.speaker = str(turn[2])


def _instead(count: int) -> str:
    """Say what was replaced, and how it comes back."""
    return f", in place of {count}: Undo brings them back" if count else ""


def _turns(labels: Labels) -> list[list[Any]]:
    if any(turn.channel for turn in labels):
        log.warning("the labeler doesn't keep the channels of turns: label each channel by itself")
    return [[turn.start_s, turn.end_s, turn.speaker, turn.text] for turn in labels]


def _parts(labels: Labels) -> list[list[float]] | None:
    return None if labels.scored is None else [list(part) for part in labels.scored]


def _receive(
    labeler: weakref.ref[Labeler], canvas: object, content: dict[str, Any], buffers: object
) -> None:
    if (alive := labeler()) is not None:
        alive._answer(content)
