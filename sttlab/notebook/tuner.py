"""VadTuner: sliders over a recording that show the effect of its settings at once."""

from __future__ import annotations

import base64
import html
import math
import weakref
from dataclasses import replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import ipywidgets as widgets
import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from sttlab.audio import SAMPLE_RATE, wav_bytes
from sttlab.config import Config, TranscribeConfig, VadConfig
from sttlab.core import Audio
from sttlab.engines import make_engine
from sttlab.errors import SttlabError, TranscribeError
from sttlab.evaluate.labels import Labels
from sttlab.evaluate.score import Scores, score
from sttlab.events import EndReason, Utterance
from sttlab.live.session import Session
from sttlab.live.worker import Answer, AsrWorker, Job, Priority
from sttlab.notebook.painter import Displayed, Painter, make_button, on_change
from sttlab.notebook.picture import STYLE, Picture, legend
from sttlab.notebook.plots import (
    FLOOR,
    ONSET,
    TRUTH,
    draw_audio,
    field_label,
    score_panels,
    trace_panels,
)
from sttlab.notebook.sliders import VadSliders
from sttlab.trace import Trace, extremes, frame_length, frame_times
from sttlab.vad import DETECTORS, deciding_fields, require_detector
from sttlab.vad.energy import calibrate

ROWS = 8  # on a page
ENDS: dict[EndReason, str] = {
    "silence": "silence timeout",
    "longest": "longest utterance",
    "interrupted": "lost audio",
    "end": "end of recording",
}
SCORES = {  # by the name of a figure, its heading and its meaning
    "utterances": ("spoken", "utterances that the labels hold"),
    "found": ("found", "utterances that the settings find"),
    "missed": ("missed", "spoken, and no part of it found"),
    "false": ("false", "found, and none of it spoken"),
    "fragmented": ("torn", "spoken as one, found as several"),
    "merged": ("merged", "spoken, and found together with another"),
    "cut_off": ("cut off", "ended while it still went on"),
    "onset_clipped_p90_ms": ("clipped", "of the beginning; nine of ten are better"),
    "endpoint_delay_median_ms": ("delay", "from the last word to the decision, median"),
    "precision": ("precision", "part of the found time that is speech"),
    "recall": ("recall", "part of the speech that is found"),
    "detection_error_rate": ("error", "missed speech and false alarms, as a part of all speech"),
}
MORE_IS_BETTER = ("precision", "recall")
NOT_JUDGED = ("utterances", "found")
TOO_MUCH = 0.03  # share of missed speech above which the tuner advises a lower threshold
NOISY = 0.1  # share of the time without speech in which noise may exceed the threshold
GAP_S = 0.2  # margin around labels, whose edges are not exact, that counts as neither
CLIPPED_MS = 50  # longest clipping that needs no advice; a syllable is longer
LINES = 480  # points of the curve of an adaptive threshold


class VadTuner(Displayed):
    """Sliders over a recording, with its utterances and their scores.

    Parameters
    ----------
    recording : Recording
        Mono samples at SAMPLE_RATE.
    config : VadConfig, optional
        Settings to begin with, to which "reset" returns.
    labels : Labels, optional
        When people speak. With labels, the settings are scored.
    session : Session, optional
        Session to whose settings "use live" writes.
    model : str, TranscribeConfig or AsrWorker
        Model that "transcribe" uses, which loads it on first use.
    path : str or Path
        File that "save" writes.

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
        labels: Labels | None = None,
        session: Session | None = None,
        model: str | TranscribeConfig | AsrWorker = "tiny.en",
        path: str | Path = "data/vad.toml",
    ) -> None:
        self.trace = Trace(recording)
        self.session = session
        self.path = Path(path)
        self._labels = labels
        self._first = config or VadConfig()
        self._texts = _Texts(model)
        self._painter = Painter(self._paint)
        self._texts.on_text(self._painter.request)
        self._first_scores: Scores | None = None
        # The two detectors that are compared: the last one chosen whose score is the level, and
        # the last one chosen whose score has a panel of its own (None before the first).
        self._by_level = VadConfig().detector
        self._by_score: str | None = None
        self._utterances = lru_cache(maxsize=8)(self.trace.utterances)
        self._silence = lru_cache(maxsize=2)(partial(VadTuner._find_silence, weakref.proxy(self)))
        self._build()
        self._paint()

    @property
    def config(self) -> VadConfig:
        """The settings of the sliders. Setting it moves them."""
        return self._sliders.config

    @config.setter
    def config(self, config: VadConfig) -> None:
        self._sliders.config = config
        self._painter.request()

    @property
    def utterances(self) -> list[Utterance]:
        """The utterances that the current settings find."""
        return list(self._utterances(self.config))

    def save(self, path: str | Path | None = None) -> Path:
        """Write the settings to a file that `Config.load` and ``sttlab serve --config`` read.

        Its table ``[transcribe]`` stays as it is.

        Raises
        ------
        ConfigError
            If the file exists and is not a valid settings file.
        """
        target = Path(path or self.path)
        config = Config.load(target) if target.exists() else Config()
        target.parent.mkdir(parents=True, exist_ok=True)
        Config(vad=self.config, transcribe=config.transcribe).save(target)
        return target

    def calibrate(self) -> VadConfig:
        """Set a fixed threshold by the quietest two seconds of the recording.

        Raises
        ------
        ConfigError
            If even those hold more than room noise.
        """
        self.config = calibrate(self.trace.quietest(), self.config)
        return self.config

    def use_live(self) -> None:
        """Apply the settings to the session."""
        if self.session is not None:
            self.session.update(self.config)

    def close(self) -> None:
        """Take the widget off the page, and end its threads."""
        self._painter.close()
        self._texts.close()
        super().close()

    # -- building -----------------------------------------------------------------------------

    def _build(self) -> None:
        self._sliders = VadSliders(self._first, self._moved)
        self._picture = Picture("level, thresholds and utterances of the recording")
        self._summary, self._message = widgets.HTML(), widgets.HTML()
        self._player = widgets.HTML()
        buttons = [
            make_button("Calibrate", "a threshold from the quietest two seconds", self._calibrate),
            make_button("Reset", "the settings it began with", self._reset),
            make_button("Save", f"to {self.path}", self._save),
        ]
        if self.session is not None:
            buttons.append(make_button("Use live", "in the running session", self._use_live))
        self._pages = widgets.BoundedIntText(
            value=1, min=1, max=1, description="Page", layout=widgets.Layout(width="140px")
        )
        on_change(self._pages, self._moved, "value")
        self._rows = [_Row(self, i) for i in range(ROWS)]
        self._heads = widgets.HTML(_facts("", "start", "length", "level", "ended by"))
        signs = ["level", "onset", "offset", "floor", "utterance"]
        signs += ["labels"] if self._labels is not None else []
        self._show(
            widgets.VBox(
                [
                    self._picture.widget,
                    widgets.HTML(STYLE + legend(*signs)),
                    self._sliders.widget,
                    widgets.HBox([*buttons, self._message]),
                    self._summary,
                    widgets.VBox([self._heads, *(row.widget for row in self._rows)]),
                    widgets.HBox([self._pages, self._player]),
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

    def _save(self) -> None:
        try:
            self._say(f"saved to {self.save()}")
        except (SttlabError, OSError) as error:
            self._say(str(error))

    def _use_live(self) -> None:
        try:
            self.use_live()
            self._say("in use")
        except SttlabError as error:
            self._say(str(error))

    def _say(self, text: str) -> None:
        self._message.value = f'<span role="status">{html.escape(text)}</span>'

    def _play(self, row: int) -> None:
        utterance = self._on_page(row)
        if utterance is not None:
            self._player.value = _autoplay(utterance)

    def _transcribe(self, row: int) -> None:
        utterance = self._on_page(row)
        if utterance is not None:
            self._texts.request(utterance)
            self._painter.request()

    def _on_page(self, row: int) -> Utterance | None:
        found = self.utterances
        i = (self._pages.value - 1) * ROWS + row
        return found[i] if i < len(found) else None

    # -- drawing, on sttlab-ui ----------------------------------------------------------------

    def _paint(self) -> None:
        config = self.config
        try:
            require_detector(config)
            self._set_panels(config)
            found = self._utterances(config)
        except SttlabError as error:
            self._say(str(error))
            return
        self._picture.set_over(self._shapes(config, found))
        self._summary.value = self._counts(found) + self._scores(config, found)
        self._heads.layout.display = None if found else "none"
        self._pages.max = max(1, math.ceil(len(found) / ROWS))
        self._pages.layout.display = None if self._pages.max > 1 else "none"
        first = (self._pages.value - 1) * ROWS
        for i, row in enumerate(self._rows, first):
            row.fill(i, found[i] if i < len(found) else None, self._texts)

    def _set_panels(self, config: VadConfig) -> None:
        """Draw the lower layer, at first and when another detector needs its own panel."""
        drawn = hasattr(self._picture, "panels")
        if not score_panels(config.detector):
            self._by_level = config.detector
        elif config.detector != self._by_score:
            self._say(f"{DETECTORS[config.detector].label} is listening …")
            self.trace.heard(config.detector)
            self._by_score, drawn = config.detector, False
            self._say("")
        if not drawn:
            panels = trace_panels(self.trace, self._by_score or self._by_level)
            self._picture.set_axes(panels, 0, self.trace.duration_s, self._draw_audio)

    def _beside(self, config: VadConfig) -> VadConfig | None:
        """Return the settings with the detector that is compared with the chosen one, if any."""
        if self._by_score is None:
            return None
        chosen = config.detector == self._by_score
        return replace(config, detector=self._by_level if chosen else self._by_score)

    def _draw_audio(self, axes: list[Axes]) -> None:
        draw_audio(axes, self.trace, self._by_score or self._by_level)
        for ax in axes[:2]:
            for span in self._labels or ():
                ax.axvspan(span.start_s, span.end_s, 0, 0.04, color=TRUTH, lw=0)

    def _shapes(self, config: VadConfig, found: list[Utterance]) -> list[str]:
        """Draw thresholds and utterances, of both detectors if two are compared."""
        chosen = 2 if config.detector == self._by_score else 1
        shapes = [self._picture.spans([0, chosen], found, number=True)]
        beside = self._beside(config)
        if beside is not None:
            rest = self._utterances(beside)
            shapes.append(self._picture.spans([3 - chosen], rest, FLOOR, number=False))
            shapes += self._thresholds(3 - chosen, beside)
        return shapes + self._thresholds(chosen, config)

    def _thresholds(self, panel: int, config: VadConfig) -> list[str]:
        """Draw the onset and offset thresholds, and the noise floor if the detector tracks it."""
        floor = self.trace.heard(config.detector).floor
        activity = self.trace.activity(config)
        curves = [
            (floor, FLOOR, 'stroke-dasharray="1.5 3"'),
            (activity.onset, ONSET, 'stroke-width="2"'),
            (activity.offset, ONSET, 'stroke-dasharray="5 3"'),
        ]
        shapes = []
        for curve, color, style in curves:
            if curve is not None:
                at, _, high = extremes(curve, LINES)
                times_s, values = frame_times(config, at), high.astype(np.float64)
                shapes.append(self._picture.line(panel, times_s, values, color, style))
        return shapes

    def _counts(self, found: list[Utterance]) -> str:
        spoken_s = sum(u.duration_s for u in found)
        ends = [f"{sum(u.reason == r for u in found)} by {words}" for r, words in ENDS.items()]
        ended = ", ".join(e for e in ends if not e.startswith("0 "))
        return (
            f'<b class="sttlab-count">{len(found)} utterances</b>, {spoken_s:.1f} s of '
            f"{self.trace.duration_s:.1f} s" + (f"; ended {ended}" if ended else "")
        )

    def _scores(self, config: VadConfig, found: list[Utterance]) -> str:
        """Compare the current settings with the first ones, and with the other detector."""
        if self._labels is None:
            return ""
        now = self._score(found)
        if self._first_scores is None:
            self._first_scores = now
        rows = {"now": now, "at first": self._first_scores}
        beside = self._beside(config)
        if beside is not None:
            rows[f"by {DETECTORS[beside.detector].label}"] = self._score(self._utterances(beside))
        heads = "".join(f'<th title="{doc}">{words}</th>' for words, doc in SCORES.values())
        before = self._first_scores.figures()
        lines = "".join(_score_line(name, s.figures(), before) for name, s in rows.items())
        advice = _advice(now, self._noise(config), config)
        return (
            f'<div class="sttlab-advice" role="status">{advice}</div>'
            f'<table class="sttlab-table sttlab-scores"><tr><td></td>{heads}</tr>{lines}</table>'
        )

    def _score(self, found: list[Utterance]) -> Scores:
        assert self._labels is not None
        return score(found, self._labels, duration_s=self.trace.duration_s)

    def _noise(self, config: VadConfig) -> float:
        """Return the share of the time without speech in which scores exceed the threshold."""
        activity = self.trace.activity(config)
        silent = self._silence(frame_length(config), len(activity.score))
        return float((activity.score > activity.offset)[silent].mean()) if silent.any() else 0.0

    def _find_silence(self, frame_samples: int, frames: int) -> NDArray[np.bool_]:
        times_s = np.arange(frames) * frame_samples / SAMPLE_RATE
        silent = np.ones(frames, bool)
        for span in self._labels or ():
            first, last = np.searchsorted(times_s, [span.start_s - GAP_S, span.end_s + GAP_S])
            silent[first:last] = False
        return silent


class _Row:
    """One utterance in the list: its facts, and buttons to play and to transcribe it."""

    def __init__(self, tuner: VadTuner, i: int) -> None:
        self._facts = widgets.HTML()
        self._text = widgets.HTML(layout=widgets.Layout(flex="1 1 auto"))
        play = widgets.Button(icon="play", tooltip="play", layout=widgets.Layout(width="40px"))
        read = widgets.Button(
            description="transcribe",
            tooltip="what the model makes of it",
            layout=widgets.Layout(width="96px"),
        )
        ref = weakref.ref(tuner)
        play.on_click(lambda _: _call(ref, VadTuner._play, i))
        read.on_click(lambda _: _call(ref, VadTuner._transcribe, i))
        self.widget = widgets.HBox([self._facts, play, read, self._text])

    def fill(self, i: int, utterance: Utterance | None, texts: _Texts) -> None:
        """Show an utterance, or hide the row if it is None."""
        self.widget.layout.display = None if utterance else "none"
        if utterance is None:
            return
        self._facts.value = _facts(
            f"<b>{i + 1}</b>",
            f"{utterance.start_s:.2f} s",
            f"{utterance.duration_s:.2f} s",
            f"{utterance.level_dbfs:.0f} dBFS",
            ENDS[utterance.reason],
        )
        self._text.value = html.escape(texts.get(utterance))


class _Texts:
    """The transcripts of utterances, kept while the sliders move."""

    def __init__(self, model: str | TranscribeConfig | AsrWorker) -> None:
        self._model = model
        self._worker = model if isinstance(model, AsrWorker) else None
        self._texts: dict[tuple[int, int], str] = {}
        self._waiting = 0

    def on_text(self, callback: Any) -> None:
        """Call `callback`, held weakly, on the engine's thread when a text has arrived."""
        self._callback = weakref.WeakMethod(callback)

    def get(self, utterance: Utterance) -> str:
        """Return the text, the state of its request, or "" if it was not requested."""
        return self._texts.get((utterance.start_sample, utterance.end_sample), "")

    def request(self, utterance: Utterance) -> None:
        """Queue an utterance for the engine. Never blocks."""
        key = (utterance.start_sample, utterance.end_sample)
        self._texts[key] = "…"
        try:
            if self._worker is None:
                config = self._model
                if isinstance(config, str):
                    config = TranscribeConfig(model=config)
                assert isinstance(config, TranscribeConfig)
                self._worker = AsrWorker(make_engine(config))
                weakref.finalize(self, AsrWorker.request_stop, self._worker).atexit = False
            self._worker.start(wait=False)
        except SttlabError as error:
            self._texts[key] = str(error)
            return
        job = Job(utterance.samples, Priority.FINAL, partial(_deliver, weakref.ref(self), key))
        if not self._worker.submit(self, job, lambda: True):
            self._texts[key] = "the engine is busy; try again"

    def answer(self, key: tuple[int, int], answer: Answer) -> None:
        """Store the engine's answer."""
        if isinstance(answer, TranscribeError):
            self._texts[key] = str(answer)
        else:
            held = ", ".join(f"[{s.text} – held back: {s.reason}]" for s in answer.suppressed)
            self._texts[key] = " ".join(filter(None, [answer.text, held])) or "(nothing)"
        if (callback := self._callback()) is not None:
            callback()

    def close(self) -> None:
        """Cancel requests that wait, and end the engine's thread if it is this tuner's own."""
        if self._worker is not None:
            self._worker.forget(self)
            if self._worker is not self._model:
                self._worker.stop()


def _deliver(
    texts: weakref.ref[_Texts], key: tuple[int, int], answer: Answer, engine_s: float
) -> None:
    if (alive := texts()) is not None:
        alive.answer(key, answer)


def _call(tuner: weakref.ref[VadTuner], method: Any, i: int) -> None:
    if (alive := tuner()) is not None:
        method(alive, i)


def _facts(*cells: str) -> str:
    return f'<span class="sttlab-facts">{"".join(f"<span>{c}</span>" for c in cells)}</span>'


def _score_line(name: str, figures: dict[str, float], before: dict[str, float]) -> str:
    cells = "".join(
        f"<td>{_change(key, figures[key], before[key])}{_figure(key, figures[key])}</td>"
        for key in SCORES
    )
    return f'<tr><th class="sttlab-text">{name}</th>{cells}</tr>'


def _figure(key: str, value: float) -> str:
    """Write a score with its unit."""
    if math.isnan(value):
        return "–"
    if key.endswith("_ms"):
        return f"{value:.0f} ms"
    return f"{value:.1%}" if isinstance(value, float) else f"{value}"


def _change(key: str, value: float, before: float) -> str:
    """Draw an arrow for a score that has risen or fallen, in a colour for better or worse."""
    if key in NOT_JUDGED or _figure(key, value) == _figure(key, before) or math.isnan(before):
        return ""
    up = value > before
    good = up == (key in MORE_IS_BETTER)
    words, color = ("better", TRUTH) if good else ("worse", ONSET)
    arrow = "▲" if up else "▼"
    return f'<span title="{words}" aria-label="{words}" style="color:{color}">{arrow}</span> '


def _advice(scores: Scores, noise: float, config: VadConfig) -> str:
    """Say what is worst, and which slider to move; `VadTuner._noise` returns `noise`."""
    used = deciding_fields(config)
    name = next(
        field_label(field)
        for field in DETECTORS[config.detector].fields
        if field in used and getattr(config, field) is not None
    )
    figures = scores.figures()
    clipped_ms, delay_ms = figures["onset_clipped_p90_ms"], figures["endpoint_delay_median_ms"]
    missed_s = scores.speech_s - scores.hit_s
    rather = ""
    if "margin_db" in used:
        rather = ", or press <b>Calibrate</b>"
    elif not score_panels(config.detector):
        others = [d.label for d in DETECTORS.values() if score_panels(d.name)]
        rather = "".join(f", or take <b>{html.escape(label)}</b>" for label in others[:1])
    known = [
        (
            scores.missed or scores.missed_speech_rate > TOO_MUCH,
            f"{missed_s:.1f} s of speech are missed",
            f"<b>{name}</b> down",
        ),
        (
            noise > NOISY,
            f"While nobody speaks, noise is above the threshold {noise:.0%} of the time",
            f"<b>{name}</b> up{rather}",
        ),
        (
            scores.false,
            f"{scores.false} utterances hold no speech",
            f"<b>{field_label('min_speech_s')}</b> up, or <b>{name}</b>",
        ),
        (
            scores.merged,
            f"{scores.merged} utterances run together",
            f"<b>{field_label('silence_timeout_s')}</b> down",
        ),
        (
            scores.fragmented or scores.cut_off,
            f"{max(scores.fragmented, scores.cut_off)} utterances are torn or cut off",
            f"<b>{field_label('silence_timeout_s')}</b> up",
        ),
        (
            clipped_ms > CLIPPED_MS,
            f"Beginnings are clipped by up to {clipped_ms:.0f} ms",
            f"<b>{field_label('pre_roll_s')}</b> up",
        ),
    ]
    wrong = [f"{symptom}: move {remedy}." for there, symptom, remedy in known if there]
    if wrong:
        return wrong[0]
    wait = "" if math.isnan(delay_ms) else f", and each text waits {delay_ms:.0f} ms for its end"
    return (
        f"By the labels, nothing is wrong{wait}: <b>{field_label('silence_timeout_s')}</b> down is "
        "quicker, until utterances are torn."
    )


def _autoplay(utterance: Utterance) -> str:
    data = base64.b64encode(wav_bytes(utterance.samples)).decode("ascii")
    return (
        f'<audio controls autoplay aria-label="utterance {utterance.utterance_id + 1}"'
        f' src="data:audio/wav;base64,{data}"></audio>'
    )
