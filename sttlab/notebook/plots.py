"""Plots of recordings: functions that return matplotlib Axes, which a cell shows as its last line.

They use neither pyplot nor a global style. Backgrounds are transparent and text is a middle grey,
so that a plot is legible in light and in dark notebooks. The colours are safe for colour-blind
people: they are those of M. Okabe and K. Ito, "Color universal design", 2002, or near them.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from textwrap import shorten
from typing import Any, Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from sttlab.audio import SAMPLE_RATE
from sttlab.config import VadConfig
from sttlab.core import Audio
from sttlab.events import Event, Transcript
from sttlab.notebook.look import (
    CURVES,
    DELAYS,
    FLOOR,
    FOUND,
    INK,
    LEFT,
    LEVEL,
    LEVEL_NAME,
    LEVELS,
    ONSET,
    RIGHT,
    SPEAKERS,
    TRUTH,
    WAVE,
    WAVEFORM,
    WIDTH,
    PlotPanel,
    Span,
    delay_parts,
    score_panels,
)
from sttlab.tables import records
from sttlab.trace import Trace, extremes, frame_times
from sttlab.vad import DETECTORS
from sttlab.vad.base import VoiceDetector
from sttlab.vad.energy import EnergyVad

TOP, GAP, BOTTOM = 8, 10, 40  # height of margins and of gaps between panels, in px
PIXELS = 2  # pixels of a high-density screen for one px
LATENCY_ROWS = 40
LATENCY_WORDS = 34  # most characters of a text beside its bar


class ShownAxes(Axes):
    """Axes that a notebook shows if they are the last line of a cell."""

    def _repr_png_(self) -> tuple[bytes, dict[str, int]]:
        figure = self.get_figure(root=True)
        assert figure is not None
        width, height = (round(inches * 100) for inches in figure.get_size_inches())
        return png_bytes(figure), {"width": width, "height": height}


def trace_panels(trace: Trace, detector: str) -> list[PlotPanel]:
    """Return the panels for a recording: waveform, level and the detector's score."""
    quiet = float(np.quantile(trace.levels, 0.02)) if len(trace.levels) else LEVELS.low
    levels = replace(LEVELS, low=max(-100.0, 10 * np.floor(quiet / 10 - 2) - 3))
    return [WAVE, levels, *score_panels(detector)]


def make_axes(
    panels: Sequence[PlotPanel], start_s: float, end_s: float, xlabel: str = "time (s)"
) -> list[Axes]:
    """Make a figure of panels above each other that share a time axis.

    Each panel has a known place, `tops` px from above, so that shapes can be drawn over the figure
    without matplotlib.
    """
    height = tops(panels)[-1] + panels[-1].height + BOTTOM
    figure = Figure(figsize=(WIDTH / 100, height / 100), dpi=100)
    FigureCanvasAgg(figure)
    figure.patch.set_alpha(0)
    axes: list[Axes] = []
    for panel, top in zip(panels, tops(panels), strict=True):
        place = (
            LEFT / WIDTH,
            1 - (top + panel.height) / height,
            1 - (LEFT + RIGHT) / WIDTH,
            panel.height / height,
        )
        ax = figure.add_axes(place, axes_class=ShownAxes)
        ax.set(xlim=(start_s, max(end_s, start_s + 0.1)), ylim=(panel.low, panel.high))
        ax.set_ylabel(panel.label)
        style_axes(ax)
        ax.tick_params(labelbottom=False, bottom=False)
        axes.append(ax)
    axes[-1].set_xlabel(xlabel)
    axes[-1].tick_params(labelbottom=True, bottom=True)
    return axes


def tops(panels: Sequence[PlotPanel]) -> list[int]:
    """Return the distance of each panel's upper edge from the top of the figure, in px."""
    above = [TOP]
    for panel in panels[:-1]:
        above.append(above[-1] + panel.height + GAP)
    return above


def draw_audio(axes: Sequence[Axes], trace: Trace, detector: str) -> None:
    """Draw what settings don't change: waveform, level and, if it has axes, the score."""
    columns = (WIDTH - LEFT - RIGHT) * PIXELS
    wave, levels, *rest = axes
    samples = trace.samples
    peak = float(max(samples.max(initial=0.0), -samples.min(initial=0.0))) or 1.0
    wave.set_ylim(-1.05 * peak, 1.05 * peak)
    wave.yaxis.set_major_locator(MaxNLocator(3, symmetric=True))
    _band(wave, samples, columns, 1 / SAMPLE_RATE, WAVEFORM)
    _score_band(levels, trace, EnergyVad, columns, LEVEL_NAME)
    for ax in rest:
        _score_band(ax, trace, DETECTORS[detector], columns, DETECTORS[detector].label)


def spans_by_speaker(spans: Iterable[Span]) -> list[tuple[str, str, list[Span]]]:
    """Return name, colour and spans of each speaker; nothing unless several are named."""
    said: dict[str, list[Span]] = {}
    for span in spans:
        if speaker := getattr(span, "speaker", ""):
            said.setdefault(speaker, []).append(span)
    if len(said) < 2:
        return []
    return [
        (speaker, SPEAKERS[number % len(SPEAKERS)], part)
        for number, (speaker, part) in enumerate(said.items())
    ]


def _color_waveform(
    ax: Axes, samples: NDArray[np.float32], speakers: list[tuple[str, str, list[Span]]]
) -> None:
    """Draw the waveform in the colour of who speaks; where several do, in that of the last."""
    at, low, high = extremes(samples, (WIDTH - LEFT - RIGHT) * PIXELS)
    times = np.asarray(at) / SAMPLE_RATE
    for _, color, spans in speakers:
        inside = np.zeros(len(times), np.bool_)
        for span in spans:
            inside |= (times >= span.start_s) & (times <= span.end_s)
        ax.fill_between(times, low, high, where=inside.tolist(), color=color, lw=0.9)


def plot_trace(
    audio: Audio | Trace,
    config: VadConfig | None = None,
    *,
    labels: Iterable[Span] | Any = None,
    ax: Axes | None = None,
) -> Axes:
    """Plot a recording's waveform and level, the thresholds, the noise floor and the utterances.

    The level is that between 300 and 6000 Hz, as a mean of seven frames of 20 ms: what the
    detector "energy" compares with its thresholds. The waveform is all of the audio, offset and
    hum included.

    Parameters
    ----------
    audio : Recording or Trace
    config : VadConfig, optional
        If its detector's score is not the level, the score has a panel of its own.
    labels : iterable of spans, or DataFrame with start_s and end_s, optional
        When people speak, as labelled or as `diarize` finds it. If several are named, the waveform
        has a colour for each of them.
    ax : Axes, optional
        Axes for the level alone. By default a figure of all panels is made.

    Returns
    -------
    Axes
        The axes of the level; ``.figure`` has the others.
    """
    config = config or VadConfig()
    trace = audio if isinstance(audio, Trace) else Trace(audio)
    found = trace.utterances(config)
    spans: list[Span] = [] if labels is None else list(records(labels))
    shaded = [ax] if ax else []
    if ax is None:
        shaded = make_axes(trace_panels(trace, config.detector), 0, trace.duration_s)
        draw_audio(shaded, trace, config.detector)
        ax = shaded[1]
    else:
        _score_band(ax, trace, EnergyVad, WIDTH * PIXELS, LEVEL_NAME)
        ax.set(xlabel="time (s)", ylabel=LEVELS.label, ylim=(LEVELS.low, LEVELS.high))
    for each in shaded:
        draw_spans(each, found, "utterance", color=FOUND, alpha=0.22, zorder=0.5)
    speakers = spans_by_speaker(spans)
    if len(shaded) > 1:
        _color_waveform(shaded[0], trace.samples, speakers)
    for name, color, part in speakers or [("speech, as labelled", TRUTH, spans)]:
        for each in shaded[:2]:
            draw_spans(each, part, name, ymax=0.03, color=color)
    apart = score_panels(config.detector)
    if not apart or len(shaded) > 1:
        _draw_thresholds(shaded[-1] if apart else ax, trace, config)
    add_legend(shaded, ax)
    return ax


def plot_utterances(
    rows: Mapping[str, Iterable[Span] | Any],
    *,
    duration_s: float | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Plot the speech that several detectors, settings or people find, in a row for each.

    Parameters
    ----------
    rows : dict of str to iterable of spans, or to DataFrame with start_s and end_s
        Utterances, labels or transcripts by the name of their row, from top to bottom.
    duration_s : float, optional
        End of the time axis.

    Returns
    -------
    Axes
    """
    spans = {name: list(records(row)) for name, row in rows.items()}
    last_s = max((s.end_s for row in spans.values() for s in row), default=1.0)
    if ax is None:
        panel = PlotPanel(label="", height=26 * max(len(spans), 1), low=len(spans), high=0)
        (ax,) = make_axes([panel], 0, duration_s or last_s)
        ax.set_position((0.16, ax.get_position().y0, 0.83, ax.get_position().height))
    for i, row in enumerate(spans.values()):
        bars = [(s.start_s, s.end_s - s.start_s) for s in row]
        ax.broken_barh(bars, (i + 0.15, 0.7), facecolor=CURVES[i % len(CURVES)])
    ax.set_yticks(np.arange(len(spans)) + 0.5, list(spans))
    ax.set(ylim=(len(spans), 0), xlabel="time (s)")
    ax.grid(visible=False, axis="y")
    return ax


def plot_latency(events: Iterable[Event] | Any, *, ax: Axes | None = None) -> Axes:
    """Plot the delay of each transcript after its last word, and the parts of the delay.

    Parameters
    ----------
    events : iterable of Event, or DataFrame as `Session.to_frame` returns it
        Such as ``session.history``. The last forty transcripts are plotted; other events are
        ignored.
    ax : Axes, optional

    Returns
    -------
    Axes
        A row for each transcript, from top to bottom, with a colour for each part.

    Examples
    --------
    >>> plot_latency(session.history)  # doctest: +SKIP
    """
    shown = (e for e in records(events) if isinstance(e, Transcript) or not isinstance(e, Event))
    found = list(shown)[-LATENCY_ROWS:]
    if ax is None:
        panel = PlotPanel(label="", height=22 * (len(found) + 2), low=len(found), high=-1)
        (ax,) = make_axes([panel], 0, 1)
        ax.set_position((0.32, ax.get_position().y0, 0.67, ax.get_position().height))
    delays = [delay_parts(t) for t in found]
    draw_delays(ax, delays, DELAYS)
    names = [
        f"{shorten(t.text, LATENCY_WORDS, placeholder=' …')}  {t.start_s:.1f} s" for t in found
    ]
    ax.set_yticks(range(len(found)), names)
    style_axes(ax)
    # The limits leave room for the legend below the last bar.
    ax.set(xlabel="seconds after the last word", ylim=(len(found) + 0.8, -0.5))
    ax.set_xlim(0, max(1.0, 1.05 * max((t.delay_s for t in found), default=0)))
    ax.grid(visible=False, axis="y")
    add_legend([ax], ax, ncols=len(DELAYS))
    return ax


def draw_delays(ax: Axes, rows: Sequence[dict[str, float]], colors: dict[str, str]) -> None:
    """Stack the parts of each delay in a row; negative parts are left of 0."""
    ends = np.array([min(0.0, *row.values()) for row in rows])
    for name, color in colors.items():
        widths = np.abs([row[name] for row in rows])
        ax.barh(range(len(rows)), widths, 0.7, left=ends, color=color, lw=0, label=name)
        ends = ends + widths


def png_bytes(figure: Any, pixels: float = PIXELS) -> bytes:
    """Render a figure as PNG, by default for a high-density screen."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=100 * pixels, transparent=False)
    return buffer.getvalue()


def style_axes(ax: Axes) -> None:
    """Make axes legible in light and in dark notebooks."""
    ax.patch.set_alpha(0)
    ax.grid(color=INK, alpha=0.25, lw=0.6)
    ax.tick_params(colors=INK, labelsize=9, length=3)
    ax.xaxis.label.set(color=INK, size=10)
    ax.yaxis.label.set(color=INK, size=10)
    ax.yaxis.labelpad = 1  # a tick of -100 leaves no more room
    for side, spine in ax.spines.items():
        spine.set(color=INK, alpha=0.6, visible=side in ("left", "bottom"))


def _band(
    ax: Axes, values: Any, columns: int, step_s: float, color: str, label: str | None = None
) -> None:
    """Draw a curve as the band between its extremes in each column."""
    at, low, high = extremes(values, columns)
    times = np.asarray(at) * step_s
    ax.fill_between(times, low, high, color=color, lw=0.9, label=label)


def _score_band(
    ax: Axes, trace: Trace, detector: type[VoiceDetector], columns: int, label: str
) -> None:
    """Draw a detector's score where the audio is that it is about."""
    scores = trace.heard(detector.name).score[detector.delay_frames :]
    _band(ax, scores, columns, detector.frame_samples / SAMPLE_RATE, LEVEL, label)


def _draw_thresholds(ax: Axes, trace: Trace, config: VadConfig) -> None:
    activity = trace.activity(config)
    floor = trace.heard(config.detector).floor
    curves = [activity.onset, activity.offset, *([] if floor is None else [floor])]
    kept = _bends(curves)
    times = frame_times(config, kept)
    if floor is not None:
        ax.plot(times, floor[kept], ":", color=FLOOR, lw=1.2, label="noise floor")
    ax.plot(times, activity.onset[kept], color=ONSET, lw=1.5, label="onset threshold")
    ax.plot(times, activity.offset[kept], "--", color=ONSET, lw=1, label="offset threshold")


def _bends(curves: Sequence[NDArray[np.float64]]) -> NDArray[np.int64]:
    """Find the frames without which curves look the same: not those inside level stretches."""
    changes = np.flatnonzero(np.any([np.diff(curve) != 0 for curve in curves], axis=0))
    ends = [0, len(curves[0]) - 1] if len(curves[0]) else []
    return np.unique(np.concatenate([ends, changes, changes + 1])).astype(np.int64)


def draw_spans(
    ax: Axes, spans: Iterable[Span], name: str, *, ymax: float = 1, **looks: Any
) -> None:
    """Shade spans of time, up to a share of the height, as one shape."""
    bars = [(span.start_s, span.end_s - span.start_s) for span in spans]
    if bars:
        across = ax.get_xaxis_transform()
        ax.broken_barh(bars, (0, ymax), transform=across, lw=0, label=name, **looks)


def add_legend(
    axes: Sequence[Axes],
    ax: Axes,
    *,
    loc: Literal["lower right", "upper right"] = "lower right",
    ncols: int = 3,
) -> None:
    """Draw one legend for all axes: at the bottom by default, at the top over a trade-off."""
    known = {
        label: handle
        for a in axes
        for handle, label in zip(*a.get_legend_handles_labels(), strict=True)
    }
    legend = ax.legend(known.values(), known.keys(), loc=loc, ncols=ncols, fontsize=8)
    legend.set(zorder=5)
    legend.get_frame().set_alpha(0)
    for text in legend.get_texts():
        text.set_color(INK)
