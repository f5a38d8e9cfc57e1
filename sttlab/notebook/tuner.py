"""VadTuner: sliders over a recording that show the effect of its settings at once."""

from __future__ import annotations

import html
import threading
import weakref
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import ipywidgets as widgets
import numpy as np

from sttlab.audio import SAMPLE_RATE, Recording
from sttlab.config import TranscribeConfig, VadConfig, save_vad
from sttlab.core import Audio
from sttlab.engines.base import Cancelled
from sttlab.errors import SttlabError
from sttlab.evaluate.labels import AnyLabels, as_labels
from sttlab.events import Utterance
from sttlab.kept.run import Original
from sttlab.live.session import Session
from sttlab.live.worker import AsrWorker
from sttlab.notebook.estimate import Estimate
from sttlab.notebook.look import score_panels
from sttlab.notebook.painter import Displayed, Painter, make_button, on_change
from sttlab.notebook.picture import STYLE, legend
from sttlab.notebook.saving import SAVED_SCORES, about_now, replaced_words, saved_words
from sttlab.notebook.sliders import VadSliders
from sttlab.notebook.still import STILL_ROWS, image_html, table_html
from sttlab.notebook.texts import Texts
from sttlab.notebook.timeline import segment, steps
from sttlab.notebook.tuner_picture import (
    ENDS,
    TunerPicture,
    UtteranceList,
    counts_html,
    doubtful_cuts,
    edges_of,
    facts_of,
    handles_of,
    pauses,
    row_at,
    same_place,
)
from sttlab.notebook.tuner_scores import TunerScores, Wrong
from sttlab.notebook.undo import SettingsHistory
from sttlab.trace import Trace, frame_times
from sttlab.vad import DETECTORS, require_detector
from sttlab.vad.energy import calibrate

COMPILED_FROM_S = 120.0  # of a recording: less is decided at once
COMPILED_AFTER_S = 3.0  # so that the browser shows all first


class VadTuner(Displayed):
    """Sliders over a recording, with its utterances and their scores.

    Parameters
    ----------
    recording : Recording or KeptSession
        Mono samples at SAMPLE_RATE. Of a kept session of more than two hours, those around `at_s`.
    config : VadConfig, optional
        Settings to begin with, to which "reset" returns; by default those that a kept session had.
    labels : Labels, str or Path, optional
        When people speak, or the file that says so. With labels, the settings are scored.
    session : Session, optional
        Session to whose settings "use live" writes.
    model : str, TranscribeConfig or AsrWorker
        Model that "transcribe" uses, which loads it on first use.
    path : str or Path
        File that "save" writes.
    at_s : float, optional
        The moment that is in view at first, in seconds.

    Attributes
    ----------
    trace : Trace

    Notes
    -----
    Callbacks of its controls only request a drawing, which the thread `sttlab-ui` does. The thread
    ends when nothing is left to draw.

    Examples
    --------
    >>> tuner = VadTuner(load("talk.flac")); tuner  # doctest: +SKIP
    """

    def __init__(
        self,
        recording: Audio,
        config: VadConfig | None = None,
        labels: AnyLabels | None = None,
        session: Session | None = None,
        model: str | TranscribeConfig | AsrWorker = "tiny.en",
        path: str | Path = "data/vad.toml",
        at_s: float | None = None,
    ) -> None:
        self._texts = Texts(model)
        self._at_s = at_s
        self._labels = None if labels is None else as_labels(labels)
        if isinstance(recording, Original):
            config = config or recording.config_at(at_s or 0.0)
            recording = self._part_of(recording)
        self.trace = Trace(recording)
        self._name = str(getattr(recording, "origin", ""))
        self.session = session
        self.path = Path(path)
        self._scores = None if self._labels is None else TunerScores(self.trace, self._labels)
        self._first = config or VadConfig()
        self._history = SettingsHistory(self._first)
        self._transcribing = False  # whether all utterances are to have a text
        self._estimate = Estimate()
        self._painter = Painter(self._paint, interval_s=0.0)  # `let_show` waits
        self._texts.on_text(self._painter.request)
        self._others: dict[str, VadConfig] = {}
        self._others_shown: dict[str, VadConfig] = {}
        self._found: list[Utterance] = []  # the utterances that the browser has
        # The two detectors that are compared: the last one chosen whose score is the level, and
        # the last one chosen whose score has a panel of its own (None before the first).
        self._by_level = VadConfig().detector
        self._by_score: str | None = None
        self._utterances = lru_cache(maxsize=8)(self.trace.utterances)
        self._build()
        self._paint()
        if self._at_s is not None:
            self._picture.chosen = self._list.chosen = row_at(self._found, self._at_s)

    def _part_of(self, kept: Original) -> Recording:
        """Return the part of a session that is shown; from here on times are those of the part."""
        recording, start_s = kept.around(self._at_s or 0.0)
        if self._at_s is not None:
            self._at_s -= start_s
        if self._labels is not None:
            self._labels = self._labels.between(start_s, start_s + recording.duration_s)
        start = round(start_s * SAMPLE_RATE)
        for u in kept.utterances:
            self._texts.know(u.start_sample - start, u.end_sample - start, u.text or "")
        return recording

    @property
    def config(self) -> VadConfig:
        """The settings of the sliders. Setting it moves them."""
        return self._sliders.config

    @config.setter
    def config(self, config: VadConfig) -> None:
        self._sliders.config = config
        self._painter.request()

    @property
    def name(self) -> str:
        """What the settings are called when they are saved."""
        return str(self._called.value)

    @property
    def utterances(self) -> list[Utterance]:
        """The utterances that the current settings find."""
        return list(self._utterances(self.config))

    def save(self, path: str | Path | None = None, name: str = "") -> Path:
        """Write the settings to a file that `Config.load` and ``sttlab serve --config`` read.

        Its table ``[transcribe]`` stays as it is. With it stand the name, the date, the recording
        and, with labels, the scores. What the file was before is found by `Config.history`.

        Parameters
        ----------
        path : str or Path, optional
        name : str
            What the settings are called; by default as in the field "Name".

        Raises
        ------
        ConfigError
            If the file exists and is not a valid settings file.
        """
        found = self._utterances(self.config)
        scores = self._scores.score(found).figures() if self._scores else {}
        scores = {key: scores[key] for key in SAVED_SCORES if key in scores}
        about = about_now(name or self.name, [self._name], scores)
        return save_vad(self.config, path or self.path, about)

    def calibrate(self) -> VadConfig:
        """Set a fixed threshold by the quietest two seconds of the recording.

        Raises
        ------
        ConfigError
            If even those hold more than room noise.
        """
        self.config = calibrate(self.trace.quietest(), self.config)
        return self.config

    def compare(self, settings: Mapping[str, VadConfig]) -> None:
        """Show the utterances of other settings in a track of their own, a row for each.

        Parameters
        ----------
        settings : mapping of str to VadConfig
            By the names of their rows; with none, there is no such track.
        """
        self._others = dict(settings)
        self._painter.request()

    def use_live(self) -> None:
        """Apply the settings to the session."""
        if self.session is not None:
            self.session.update(self.config)

    def close(self) -> None:
        """Take the widget off the page, and end its threads."""
        self._unlink()
        self._painter.close()
        self._texts.close()
        super().close()

    def _ipython_display_(self) -> None:
        super()._ipython_display_()
        if self.trace.duration_s > COMPILED_FROM_S:
            timer = threading.Timer(COMPILED_AFTER_S, self.trace.compile)
            timer.daemon = True
            timer.start()

    def _still(self) -> Iterator[str]:
        from sttlab.notebook.plots import plot_trace  # imports matplotlib, see look.py

        try:
            require_detector(self.config)
            figure = plot_trace(self.trace, self.config, labels=self._labels).figure
            yield image_html(figure, f"{self._name}: level, thresholds and utterances")
        except SttlabError as error:
            yield f"<div>{html.escape(str(error))}</div>"
        yield STYLE + self._summary.value
        heads = ("", "start", "length", "level", "ended by", "text")
        rows = [
            (
                f"{i}",
                f"{u.start_s:.2f} s",
                f"{u.duration_s:.2f} s",
                f"{u.level_dbfs:.0f} dBFS",
                ENDS[u.reason],
                self._texts.get(u),
            )
            for i, u in enumerate(self._found[:STILL_ROWS], 1)
        ]
        yield table_html(heads, rows)
        if len(self._found) > STILL_ROWS:
            yield f"<div>… and {len(self._found) - STILL_ROWS} more</div>"

    # -- building -----------------------------------------------------------------------------

    def _build(self) -> None:
        self._sliders = VadSliders(self._first, self._moved)
        speakers = list(dict.fromkeys(turn.speaker for turn in self._labels or ())) or [""]
        spans = [segment(t, t.text, speakers.index(t.speaker)) for t in self._labels or ()]
        self._picture = TunerPicture(
            self.trace,
            name=self._name,
            labels=sorted(spans),
            speakers=speakers,
            at_s=self._at_s,
        )
        on_change(self._picture, self._painter.request, "arrangement")
        self._list = UtteranceList(key=self._picture.comm.comm_id)
        links = [
            widgets.jslink((self._picture, trait), (self._list, trait))
            for trait in ("chosen", "shown", "plays")
        ]
        self._unlink = weakref.finalize(self, _close_all, links)
        self._unlink.atexit = False
        for part in (self._picture, self._list):
            part.on_msg(partial(_receive, weakref.ref(self)))
        self._summary, self._message, self._progress = (widgets.HTML() for _ in range(3))
        self._undo_buttons = [
            make_button("Undo", "the last change of the settings (Ctrl Z)", self._undo),
            make_button("Redo", "what was undone (Ctrl Y)", self._redo),
        ]
        self._all = make_button("Transcribe all", "again: cancel", self._transcribe_all)
        buttons = [
            make_button("Calibrate", "a threshold from the quietest two seconds", self._calibrate),
            make_button("Reset", "the settings it began with", self._reset),
            *self._undo_buttons,
            make_button("Save", f"to {self.path}", self._save),
        ]
        if self.session is not None:
            buttons.append(make_button("Use live", "in the running session", self._use_live))
        self._called = widgets.Text(
            description="Name",
            placeholder="of the settings",
            style={"description_width": "auto"},
            layout=widgets.Layout(width="16em", flex="none"),
        )
        buttons.insert(4, self._called)
        wrap = widgets.Layout(flex_flow="row wrap")
        signs = ["level", "onset", "offset", "floor", "utterance"]
        signs += ["labels"] if self._labels is not None else []
        self._show(
            widgets.VBox(
                [
                    self._picture,
                    widgets.HTML(STYLE + legend(*signs)),
                    self._sliders.widget,
                    widgets.HBox([*buttons, self._message], layout=wrap),
                    self._summary,
                    widgets.HBox([self._all, self._progress], layout=wrap),
                    self._list,
                ]
            )
        )
        self.widget.add_class("sttlab-tuner")

    # -- controls, on the thread on which ipykernel calls them ---------------------------------

    def _moved(self) -> None:
        self._message.value = ""
        self._painter.request()

    def _calibrate(self) -> None:
        try:
            self.calibrate()
            self._say(f"threshold {self.config.threshold_dbfs:g} dBFS")
        except SttlabError as error:
            self._say(str(error))

    def _reset(self) -> None:
        self.config = self._first
        self._say("")

    def _undo(self) -> None:
        self._travel(self._history.undo, "undone")

    def _redo(self) -> None:
        self._travel(self._history.redo, "done again")

    def _travel(self, way: Callable[[VadConfig], VadConfig | None], words: str) -> None:
        before = self.config
        config = way(before)
        if config is not None:
            self.config = config
            self._say(f"{words}{replaced_words(before, config)}")

    def _transcribe_all(self) -> None:
        if self._transcribing:
            self._texts.cancel_all()
        else:
            self._texts.request_all(self._found)
        self._transcribing = not self._transcribing
        self._estimate = Estimate()
        self._painter.request()

    def _save(self) -> None:
        self._say(saved_words(self.path, self.config, self.save))

    def _use_live(self) -> None:
        try:
            before = self.session.config if self.session is not None else self.config
            self.use_live()
            self._say(f"in use{replaced_words(before, self.config)}")
        except SttlabError as error:
            self._say(str(error))

    def _say(self, text: str) -> None:
        self._message.value = f'<span role="status">{html.escape(text)}</span>'

    def _asked(self, content: dict[str, Any]) -> None:
        """Do what the picture or the list asks for: a text, a setting, or to undo one."""
        if content["ask"] in ("undo", "redo"):
            (self._undo if content["ask"] == "undo" else self._redo)()
        elif content["ask"] == "transcribe":
            row = int(content["row"])
            if 0 <= row < len(self._found):
                self._texts.request(self._found[row])
                self._painter.request()
        elif content["ask"] == "set":
            try:
                self._sliders.config = replace(self.config, **{content["field"]: content["value"]})
                self._moved()
            except SttlabError as error:
                self._say(str(error))
            self._picture.send({"id": content["id"]})

    # -- drawing, on sttlab-ui ----------------------------------------------------------------

    def _paint(self) -> None:
        config = self.config
        self._history.take(config)
        for button, can in zip(self._undo_buttons, self._history.can, strict=True):
            button.disabled = not can
        try:
            require_detector(config)
            self._hear(config)
            beside = self._beside(config)
            found = self._utterances(config)
            self._show_decision(config, found, beside)
            self._painter.let_show()
            wrong = self._scores.wrong(found, config) if self._scores else []
            self._show_found(config, found, wrong)
            self._show_progress(found)
            self._show_others()
            if self._picture.is_shown("pauses"):
                self._picture.pauses = pauses(self.trace, config)
        except SttlabError as error:
            self._say(str(error))
            return
        except Cancelled:
            return
        said = counts_html(found, self.trace.duration_s)
        if self._scores:
            label = f"by {DETECTORS[beside.detector].label}" if beside else ""
            others = {label: self._utterances(beside)} if beside else {}
            said += self._scores.html(config, found, wrong, others)
        self._summary.value = said
        self._changed()

    def _hear(self, config: VadConfig) -> None:
        """Let another detector hear the recording, when it is first chosen."""
        if not score_panels(config.detector):
            self._by_level = config.detector
        elif config.detector != self._by_score:
            for part in (self._summary, self._list):
                part.add_class("sttlab-old")
            try:
                self._picture.add_scores(config.detector, self._listening(config))
                self._by_score = config.detector
            finally:
                for part in (self._summary, self._list):
                    part.remove_class("sttlab-old")
                self._say("")

    def _listening(self, config: VadConfig) -> Callable[[int, int], None]:
        """Return what says how far a detector is, and cancels it once another is chosen."""
        estimate, label = Estimate(), DETECTORS[config.detector].label

        def progress(done: int, total: int) -> None:
            if self._painter.closed or self.config.detector != config.detector:
                raise Cancelled
            words = estimate.words(done / max(total, 1))
            self._say(f"{label} is listening: {words}; choose another one to cancel")

        return progress

    def _beside(self, config: VadConfig) -> VadConfig | None:
        """Return the settings with the detector that is compared with the chosen one, if any."""
        if self._by_score is None:
            return None
        chosen = config.detector == self._by_score
        return replace(config, detector=self._by_level if chosen else self._by_score)

    def _show_decision(
        self, config: VadConfig, found: list[Utterance], beside: VadConfig | None
    ) -> None:
        """Send thresholds, noise floors and utterances to the picture, in one message.

        It comes before all else that the settings change, since a person who moves a slider looks
        there, and each message takes the browser's time.
        """
        thresholds, floors = {}, {}
        for each in filter(None, (config, beside)):
            heard, activity = self.trace.heard(each.detector), self.trace.activity(each)
            times_s = frame_times(each, np.arange(len(activity.onset)))
            thresholds[each.detector] = steps(times_s, activity.onset, activity.offset)
            if heard.floor is not None:
                floors[each.detector] = steps(times_s, heard.floor)
        picture = self._picture
        with picture.hold_sync():
            if found is not self._found:
                picture.chosen = same_place(self._found, picture.chosen, found)
            picture.found = edges_of(found)
            picture.beside = edges_of(self._utterances(beside) if beside else [])
            picture.detector = config.detector
            picture.beside_label = DETECTORS[beside.detector].label if beside else ""
            picture.floors = floors
            picture.handles = handles_of(self.trace, config, self._sliders.sliders)
            picture.thresholds = thresholds

    def _show_found(self, config: VadConfig, found: list[Utterance], wrong: list[Wrong]) -> None:
        """Send the utterances to the list, their texts, and what is wrong or may be."""
        texts = {str(i): text for i, u in enumerate(found) if (text := self._texts.get(u))}
        with self._list.hold_sync():
            self._list.chosen = self._picture.chosen
            if found is not self._found:
                self._found = found
                self._list.found = facts_of(self.trace, found)
            self._list.texts = texts
        with self._picture.hold_sync():
            self._picture.texts = [segment(found[int(i)], text) for i, text in texts.items()]
            if self._scores:
                self._picture.faults = [each.segment for each in wrong]
            else:
                self._picture.faults = doubtful_cuts(found, config)

    def _show_progress(self, found: list[Utterance]) -> None:
        """Say how far the transcription of all is; it goes on with what other settings find."""
        said = ""
        if self._transcribing:
            if not self._texts.problem:
                self._texts.request_all(found)
            progress = self._texts.progress
            self._transcribing = progress is not None
            if progress:
                done, total = progress
                said = f"{done} of {total} transcribed: {self._estimate.words(done / total)}"
            else:
                said = self._texts.problem or f"all {len(found)} transcribed"
        self._all.description = "Cancel" if self._transcribing else "Transcribe all"
        self._all.disabled = not found
        self._progress.value = f'<span role="status">{html.escape(said)}</span>'

    def _show_others(self) -> None:
        """Send the utterances of the settings with which `compare` compares."""
        if self._others != self._others_shown:
            self._others_shown = dict(self._others)
            rows = {
                name: [segment(u) for u in self._utterances(config)]
                for name, config in self._others_shown.items()
            }
            self._picture.show_segments("other settings", rows)


def _close_all(links: list[Any]) -> None:
    for link in links:
        link.close()


def _receive(
    tuner: weakref.ref[VadTuner], part: object, content: dict[str, Any], buffers: object
) -> None:
    if (alive := tuner()) is not None:
        alive._asked(content)
