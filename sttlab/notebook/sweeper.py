"""Sweeper: a grid search over settings, with figures to choose a setting from."""

from __future__ import annotations

import html
import logging
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import ipywidgets as widgets
import numpy as np

from sttlab.config import TranscribeConfig, VadConfig, save_vad
from sttlab.core import Audio
from sttlab.engines.base import Cancelled
from sttlab.errors import SttlabError
from sttlab.evaluate.doubt import doubt
from sttlab.evaluate.grid import written
from sttlab.evaluate.labels import AnyLabels, Labels
from sttlab.evaluate.sweep import METRICS, TRADE, Sweep, pairs, settings, sweep
from sttlab.live.session import Session
from sttlab.notebook.estimate import Estimate
from sttlab.notebook.look import field_words, setting_words, unit_words, value_words
from sttlab.notebook.painter import Displayed, Painter, make_button, on_change
from sttlab.notebook.picture import STYLE
from sttlab.notebook.saving import about_now, saved_words
from sttlab.notebook.score_table import OVER
from sttlab.notebook.sliders import SliderNames
from sttlab.notebook.still import png_html, shown_html
from sttlab.notebook.sweep_chart import Chart
from sttlab.notebook.sweep_plots import SWEEP_PX, map_settings, plot_sweep
from sttlab.notebook.texts import Borrowed
from sttlab.notebook.tuner import VadTuner

log = logging.getLogger(__name__)

INTERVAL_S = 0.1
SEEN = 4  # settings that are compared: the chosen ones, and those before
TRADES = {
    "endpoint delay against utterances cut off or missed": TRADE,
    "missed speech against false alarms": ("missed_speech_rate", "false_alarm_rate"),
}
WORDS = "word_error_rate"
WORDS_TRADE = {"endpoint delay against word errors": (TRADE[0], WORDS)}

_Progress = Callable[[int, int], None]
_Action = Callable[[_Progress], Any]


class Sweeper(Displayed):
    """Every combination of settings, scored on labelled recordings, to choose one and hear it.

    The cell returns at once: a thread tries the settings, and a bar shows its progress. Then click
    a point of a figure, or move with the arrow keys. A `VadTuner` below shows the chosen settings
    on one of the recordings.

    Parameters
    ----------
    recordings : Recording or iterable of Recording
    labels : Labels, path, or iterable of these
        Labelled truth, one for each recording.
    grid : mapping of str to iterable
        Names of fields of `VadConfig`, each with the values to try.
    config : VadConfig, optional
        Values of the fields that the grid doesn't name. The chosen settings are compared with it.
    texts : str or sequence of str or None, optional
        Reference text of each recording. With it, word errors can be counted.
    session : Session, optional
        Session to whose settings "use live" writes.
    model : str
        Model that transcribes, which is loaded on first use, and once for all widgets.
    path : str or Path
        File that "use this" writes.

    Attributes
    ----------
    sweep : Sweep or None
        All scores; None until all settings are tried.
    tuner : VadTuner
        The tuner of the recording that is shown.

    Raises
    ------
    ConfigError
        If `sweep` would raise it.

    Examples
    --------
    >>> sweeper = Sweeper(recordings, labels, {  # doctest: +SKIP
    ...     "margin_db": range(4, 16), "silence_timeout_s": [0.3, 0.6, 0.9]})
    >>> sweeper  # doctest: +SKIP
    >>> sweeper.config  # doctest: +SKIP
    """

    def __init__(
        self,
        recordings: Audio | Iterable[Audio],
        labels: AnyLabels | Iterable[AnyLabels],
        grid: Mapping[str, Iterable[Any]],
        config: VadConfig | None = None,
        *,
        texts: str | Sequence[str | None] | None = None,
        session: Session | None = None,
        model: str = "tiny.en",
        path: str | Path = "data/vad.toml",
    ) -> None:
        self._first = config or VadConfig()
        self._grid, configs = settings(grid, self._first)
        self._recordings, self._labels = pairs(recordings, labels)
        self._texts = texts
        language = None if texts is None or model.endswith(".en") else "en"
        spoken = TranscribeConfig(model=model, language=language)
        self._borrowed = Borrowed(spoken)
        self.sweep: Sweep | None = None
        self._before: Sweep | None = None
        self._chosen = -1
        self._seen: list[int] = []  # the settings that were chosen last
        self._busy = True
        self._share = 0.0  # share of the work that is done
        self._said = f"trying {len(configs):,} settings on {len(self._recordings)} recordings …"
        self._drawn: tuple[Any, ...] = ()
        self._estimate = Estimate()
        self._choosing = threading.RLock()  # several threads may choose
        self._moving = False  # whether the program, and not a person, moves the controls
        self._stopping = threading.Event()
        self._cancelling = threading.Event()
        self._painter = Painter(self._paint, INTERVAL_S)
        self._make_tuner = partial(
            VadTuner, config=self._first, session=session, model=spoken, path=path
        )
        self.tuner = self._make_tuner(recording=self._recordings[0], labels=self._labels[0])
        self._build(f"to {path}")
        self._paint()
        self._start(partial(_try_all, self._recordings, self._labels, self._grid, self._first))

    @property
    def config(self) -> VadConfig:
        """The current settings: the chosen ones, with what was moved by hand since."""
        return self.tuner.config

    def wait(self, timeout_s: float | None = None) -> Sweep:
        """Wait until all settings are tried.

        Raises
        ------
        SttlabError
            If that takes longer than `timeout_s`, or failed.
        """
        worker = self._worker
        worker.join(timeout_s)
        self._painter.settle()
        if self.sweep is None:
            late = worker.is_alive() and f"not done within {timeout_s:g} s: "
            raise SttlabError(f"{late or ''}{self._said}")
        return self.sweep

    def choose(self, setting: int) -> None:
        """Choose a setting by its number in `sweep.configs`.

        Raises
        ------
        SttlabError
            If the settings are not tried yet, or the number is out of range.
        """
        if self.sweep is None or not 0 <= setting < len(self.sweep):
            raise SttlabError(f"there is no setting {setting} to choose: {self._said}")
        values = self.sweep.values(setting)
        with self._choosing:
            self._chosen = setting
            self._moving = True
            try:
                for name, value in values.items():
                    self._sliders[name].value = value
                for chart in (self._map, self._trade):
                    chart.chosen = setting
            finally:
                self._moving = False
            self.tuner.config = self.sweep.configs[setting]
            self._seen = [*(seen for seen in self._seen if seen != setting), setting][-SEEN:]
            self._compare(self.sweep)
            self._say(setting_words(values))
        self._painter.request()

    def _compare(self, found: Sweep) -> None:
        """Show in the tuner what the first settings find, and those that were chosen before."""
        rows = {"at first": self._first}
        for setting in reversed(self._seen[:-1]):
            values = found.values(setting).items()
            name = ", ".join(f"{value_words(v)} {unit_words(n)}".strip() for n, v in values)
            rows[name] = found.configs[setting]
        self.tuner.compare(rows)

    def close(self) -> None:
        """Take the widget off the page, and end its threads."""
        self._stopping.set()
        self._worker.join(10.0)
        self._painter.close()
        self.tuner.close()
        self._borrowed.close()
        super().close()

    def _still(self) -> Iterator[str]:
        for chart in (self._map, self._trade):
            if chart.png:
                yield png_html(chart.png, chart.alt)
        yield from shown_html(self._results)
        yield from self.tuner._still()

    # -- building -----------------------------------------------------------------------------

    def _build(self, where: str) -> None:
        self._cancel = make_button("Cancel", "stop this work", self._cancel_work)
        self._bar = widgets.FloatProgress(min=0, max=1, description="Progress")
        self._status, self._message, self._summary = (widgets.HTML() for _ in range(3))
        self._metric = _dropdown("Colours show", _metrics(None))
        self._pair = _dropdown("Dots show", TRADES)
        self._map, self._trade = Chart(alt="heat map"), Chart(alt="trade-off")
        self._sliders = {
            name: widgets.SelectionSlider(
                options=[(value_words(value), value) for value in dict.fromkeys(values)],
                description=field_words(name),
                style={"description_width": "160px"},
                layout=widgets.Layout(width="auto"),
            )
            for name, values in self._grid.items()
        }
        for control in (self._metric, self._pair):
            on_change(control, self._painter.request, "value")
        for slider in self._sliders.values():
            on_change(slider, self._slid, "value")
        on_change(self._map, self._clicked_map, "chosen")
        on_change(self._trade, self._clicked_trade, "chosen")
        names = [getattr(each, "origin", "") or "recording" for each in self._recordings]
        self._recording = _dropdown(
            "Recording", {f"{i + 1}: {Path(name).name}": i for i, name in enumerate(names)}
        )
        on_change(self._recording, self._show_recording, "value")
        buttons = [make_button("Use this", where, self._use)]
        if self._texts is not None:
            tip = "of the settings that no other beats in both delay and utterances lost"
            buttons.append(make_button("Count word errors", tip, self._count_words))
        self._slot = widgets.VBox([self.tuner.widget])
        side = widgets.Layout(flex="1 1 380px", max_width=f"{SWEEP_PX[0]}px")
        columns = "repeat(auto-fill, minmax(340px, 1fr))"
        sides = [
            widgets.VBox([control, chart], layout=side)
            for control, chart in ((self._metric, self._map), (self._pair, self._trade))
        ]
        self._results = widgets.VBox(
            [
                widgets.HBox(sides, layout=widgets.Layout(flex_flow="row wrap", grid_gap="0 16px")),
                widgets.GridBox(
                    list(self._sliders.values()),
                    layout=widgets.Layout(grid_template_columns=columns),
                ),
                widgets.HBox([*buttons, self._message]),
                self._summary,
                SliderNames(),
            ]
        )
        self._results.add_class("sttlab-sliders")
        parts = [
            widgets.HTML(STYLE),
            widgets.HBox([self._bar, self._cancel, self._status]),
            self._results,
        ]
        self._show(widgets.VBox([*parts, self._recording, self._slot]))
        self.widget.add_class("sttlab-sweeper")

    # -- controls, on the thread on which ipykernel calls them ---------------------------------

    def _slid(self) -> None:
        with self._choosing:
            if self._moving or self.sweep is None:
                return
            at = [self._grid[name].index(slider.value) for name, slider in self._sliders.items()]
            self.choose(int(np.ravel_multi_index(at, self.sweep.shape)))

    def _clicked_map(self) -> None:
        self._clicked(self._map)

    def _clicked_trade(self) -> None:
        self._clicked(self._trade)

    def _clicked(self, chart: Chart) -> None:
        with self._choosing:
            if not self._moving:
                self.choose(chart.chosen)

    def _show_recording(self) -> None:
        i = self._recording.value
        tuner = self._make_tuner(recording=self._recordings[i], labels=self._labels[i])
        with self._choosing:
            old, self.tuner = self.tuner, tuner
            tuner.config = old.config
            if self.sweep is not None:
                self._compare(self.sweep)
        self._slot.children = [tuner.widget]
        old.close()

    def _use(self) -> None:
        self._say(saved_words(self.tuner.path, self.config, self._save))

    def _save(self) -> Path:
        """Write the settings, with their scores on all recordings unless they were moved since."""
        found = self.sweep
        if found is None or self.config != found.configs[self._chosen]:
            return self.tuner.save()
        scores = {name: float(found.metric(name)[self._chosen]) for name in METRICS}
        names = [str(getattr(each, "origin", "")) for each in self._recordings]
        return save_vad(self.config, self.tuner.path, about_now(self.tuner.name, names, scores))

    def _count_words(self) -> None:
        if self._busy or self.sweep is None:
            self._say("busy: wait for the bar")
            return
        assert self._texts is not None
        self._said = "transcribing …"
        chosen = sorted({*self.sweep.front(*TRADE), self._chosen})
        count = partial(self.sweep.transcribe, self._texts, settings=chosen, model=self._borrowed)
        self._start(lambda progress: count(progress=progress))
        self._painter.request()

    def _cancel_work(self) -> None:
        self._cancelling.set()

    def _say(self, text: str) -> None:
        self._message.value = f'<span role="status">{html.escape(text)}</span>'

    # -- the worker ---------------------------------------------------------------------------

    def _start(self, action: _Action) -> None:
        self._busy = True
        self._share = 0.0
        self._estimate = Estimate()
        self._cancelling.clear()
        self._worker = threading.Thread(
            target=_work,
            args=(weakref.ref(self), self._stopping, action),
            name="sttlab-ui-sweep",
            daemon=True,
        )
        self._worker.start()

    def _advance(self, done: int, total: int) -> None:
        if self._cancelling.is_set():
            raise Cancelled
        self._share = done / total
        self._painter.request()

    def _finish(self, result: Any) -> None:
        """Show the result of an action: a sweep, word errors, or the text of an error."""
        self._busy = False
        if isinstance(result, str):
            self._said = result
        elif isinstance(result, tuple):
            self.sweep, self._before = result
            said = [f"{len(self.sweep):,} settings tried: choose a point in a picture"]
            for i, (labels, trace) in enumerate(zip(self._labels, self.sweep.traces, strict=True)):
                if words := doubt(labels, trace):
                    said.append(f"Recording {i + 1}: {words}")
            self._said = ". ".join(said)
            self.choose(self.sweep.best())
        else:
            self._said = f"word errors of {len(result)} settings counted"
            shown = self._metric.value
            self._metric.options = list(_metrics(self.sweep).items())
            self._metric.value = shown
            self._pair.options = list((WORDS_TRADE | TRADES).items())  # selects the first
        self._drawn = ()
        self._painter.request()

    # -- drawing, on sttlab-ui ----------------------------------------------------------------

    def _paint(self) -> None:
        self._bar.value = self._share
        said = f"{self._said} {self._estimate.words(self._share)}" if self._busy else self._said
        self._status.value = f'<span role="status">{html.escape(said)}</span>'
        for part in (self._bar, self._cancel):
            part.layout.display = None if self._busy else "none"
        self._results.layout.display = None if self.sweep is not None else "none"
        if self.sweep is None or self._before is None:
            return
        shown = (self._metric.value, self._pair.value, self._chosen)
        if shown != self._drawn:
            self._drawn = shown
            self._summary.value = self._scores(self.sweep, self._before, self._chosen)
            try:
                self._draw_charts(self.sweep, *shown)
            except SttlabError as error:
                self._say(str(error))
            self._changed()

    def _draw_charts(self, found: Sweep, metric: str, pair: tuple[str, str], chosen: int) -> None:
        cells = map_settings(found, chosen)
        places = {int(i): (column, row) for (row, column), i in np.ndenumerate(cells)}
        ax = plot_sweep(found, metric, chosen=chosen)
        self._map.alt = f"heat map: {METRICS[metric]} by {ax.get_ylabel()} and {ax.get_xlabel()}"
        self._map.draw(ax, places, places)
        x, y = found.metric(pair[0]), found.metric(pair[1])
        known = np.flatnonzero(~np.isnan(x + y)).tolist()
        self._trade.alt = f"{METRICS[pair[0]]} against {METRICS[pair[1]]}"
        self._trade.draw(
            plot_sweep(found, *pair, chosen=chosen),
            {i: (x[i], y[i]) for i in known},
            found.front(*pair),
        )

    def _scores(self, found: Sweep, before: Sweep, chosen: int) -> str:
        """Write the scores of the chosen settings, of the first settings and of the best ones."""
        rows = []
        for name, words in METRICS.items():
            values = found.metric(name)
            if np.isnan(values).all():
                continue
            cells = (values[chosen], before.metric(name)[0], np.nanmin(values))
            line = "".join(f"<td>{written(name, value)}</td>" for value in cells)
            rows.append(f'<tr><th class="sttlab-text">{words}</th>{line}</tr>')
        half = (len(rows) + 1) // 2
        head = "<tr><td></td><th>chosen</th><th>at first</th><th>least of all</th></tr>"
        tables = [
            f'<table class="sttlab-table">{head}{"".join(part)}</table>'
            for part in (rows[:half], rows[half:])
        ]
        over = found.metric("detection_error_rate")[chosen] > 1
        note = f"<div>{OVER}</div>" if over else ""
        style = "display:flex;flex-wrap:wrap;align-items:flex-start;gap:0 3em"
        return f'<div style="{style}">{"".join(tables)}</div>{note}'


class _Stopped(Exception):
    """The sweeper is closed or gone, so the results are not needed."""


def _work(sweeper: weakref.ref[Sweeper], stopping: threading.Event, action: _Action) -> None:
    """Run `sttlab-ui-sweep`: perform a slow action, and report its progress and its result."""

    def progress(done: int, total: int) -> None:
        alive = sweeper()
        if alive is None or stopping.is_set():
            raise _Stopped
        alive._advance(done, total)

    try:
        result = action(progress)
    except _Stopped:
        return
    except Cancelled:
        result = "cancelled: what was there before is as it was"
    except SttlabError as error:
        result = str(error)
    except Exception as error:
        log.exception("the sweep failed")
        result = f"the sweep failed by a bug in sttlab: {type(error).__name__}: {error}"
    if (alive := sweeper()) is not None and not stopping.is_set():
        alive._finish(result)


def _try_all(
    recordings: Sequence[Audio],
    labels: Sequence[Labels],
    grid: Mapping[str, Iterable[Any]],
    first: VadConfig,
    progress: _Progress,
) -> tuple[Sweep, Sweep]:
    """Try the grid, and the settings with which it is compared."""
    found = sweep(recordings, labels, grid, config=first, progress=progress)
    as_it_is = {"max_utterance_s": [first.max_utterance_s]}
    return found, sweep(found.traces, labels, as_it_is, config=first)


def _metrics(found: Sweep | None) -> dict[str, str]:
    """Return the names of the metrics that have values, by their labels."""
    counted = found is not None and bool(found.word_errors)
    return {label: name for name, label in METRICS.items() if counted or name != WORDS}


def _dropdown(description: str, options: Mapping[str, Any]) -> widgets.Dropdown:
    return widgets.Dropdown(
        options=list(options.items()),
        description=description,
        style={"description_width": "auto"},
        layout=widgets.Layout(width="auto"),
    )
