"""Plots of a sweep: a heat map of scores over settings, and one score against another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import FuncFormatter, MaxNLocator, PercentFormatter
from numpy.typing import NDArray

from sttlab.evaluate.grid import GridScores
from sttlab.evaluate.grid_table import scores_of_table
from sttlab.notebook.look import INK, LEVEL, ONSET, field_words, lower, setting_words, value_words
from sttlab.notebook.plots import ShownAxes, add_legend, style_axes

SWEEP_PX = (560, 380)
READABLE_CELLS = 15  # most rows or columns of a heat map whose cells have figures


def plot_sweep(
    sweep: GridScores | Any,
    metric: str | None = None,
    against: str | None = None,
    *,
    chosen: int | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Plot the scores of a sweep: a heat map, or one metric against another.

    Parameters
    ----------
    sweep : Sweep, SpeakerSweep or DataFrame
        A table has a row for each setting, as `to_frame` makes it, also after CSV.
    metric : str, optional
        One of the sweep's METRICS, by default the first; less is better.
    against : str, optional
        Another metric. With it, every setting is a dot, and a line joins the Pareto front: the
        settings that no other beats in both metrics. Without it, colours show the metric over the
        first two fields of the grid that have several values; the other fields have the values of
        `chosen`.
    chosen : int, optional
        A setting to mark; by default none, or the best in a heat map.
    ax : Axes, optional

    Returns
    -------
    Axes

    Raises
    ------
    ConfigError
        If the metric is unknown, or has no value for any setting, or a table lacks settings.

    Examples
    --------
    >>> plot_sweep(found, "cut_off_rate")  # doctest: +SKIP
    >>> plot_sweep(found, "endpoint_delay_median_ms", "lost_rate")  # doctest: +SKIP
    >>> plot_sweep(pandas.read_csv("results/settings.csv"))  # doctest: +SKIP
    """
    if not isinstance(sweep, GridScores):
        sweep = scores_of_table(sweep)
    ax = ax or _small_axes()
    metric = metric or next(iter(sweep.METRICS))
    if against is not None:
        _draw_trade(ax, sweep, metric, against, chosen)
    else:
        best = sweep.best(metric)
        _draw_map(ax, sweep, metric, best if chosen is None else chosen)
    return ax


def map_settings(sweep: GridScores, chosen: int) -> NDArray[np.int64]:
    """Return the settings that a heat map shows, from below: a plane through `chosen`.

    Returns
    -------
    ndarray, shape (values of the first field, values of the second)
    """
    across = _plane(sweep)
    at = np.unravel_index(chosen, sweep.shape)
    index = tuple(slice(None) if k in across else at[k] for k in range(len(sweep.shape)))
    plane = np.arange(len(sweep)).reshape(sweep.shape)[index]
    return plane.reshape(*(sweep.shape[k] for k in across), *[1] * (2 - len(across)))


def _small_axes() -> Axes:
    width, height = SWEEP_PX
    figure = Figure(figsize=(width / 100, height / 100), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    figure.patch.set_alpha(0)
    ax: Axes = figure.add_subplot(axes_class=ShownAxes)
    return ax


def _plane(sweep: GridScores) -> list[int]:
    """Return the two fields of the grid that are the axes of a heat map, or the only one."""
    several = [k for k, count in enumerate(sweep.shape) if count > 1]
    rest = [k for k, count in enumerate(sweep.shape) if count == 1]
    return sorted([*several, *rest][:2])


def _draw_map(ax: Axes, sweep: GridScores, metric: str, chosen: int) -> None:
    shown = map_settings(sweep, chosen)
    whole = sweep.metric(metric)
    values = whole[shown]
    # The worst tenth shares one colour, so that the others differ visibly.
    low, high = np.nanmin(whole), np.nanquantile(whole, 0.9)
    image = ax.imshow(
        np.ma.masked_invalid(values),
        cmap="cividis_r",
        vmin=low,
        vmax=max(high, low + 1e-9),
        aspect="auto",
        origin="lower",
    )
    style_axes(ax)
    ax.grid(visible=False)
    names = list(sweep.grid)
    across = _plane(sweep)
    axis_names = [names[k] for k in across] + [""] * (2 - len(across))
    for axis, name in zip((ax.yaxis, ax.xaxis), axis_names, strict=True):
        _name_ticks(axis, sweep.grid.get(name, ("",)))
        axis.label.set_text(lower(field_words(name)) if name else "")
    rest = {n: v for n, v in sweep.values(chosen).items() if n not in axis_names}
    ax.set_title(setting_words(rest), loc="left", fontsize=9, color=INK)
    if max(values.shape) <= READABLE_CELLS:
        _write_cells(ax, values, image, metric)
    bar = ax.figure.colorbar(image, ax=ax, extend="max" if np.nanmax(whole) > high else "neither")
    bar.set_label(sweep.METRICS[metric], color=INK, size=10)
    bar.ax.tick_params(colors=INK, labelsize=9, length=3)
    bar.outline.set(edgecolor=INK, alpha=0.6)
    if metric.endswith("_rate"):
        bar.ax.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    (row,), (column,) = np.nonzero(shown == chosen)
    for color, width in (("black", 3.5), ("white", 1.5)):
        ax.add_patch(
            Rectangle(
                (column - 0.5, row - 0.5), 1, 1, fill=False, ec=color, lw=width, clip_on=False
            )
        )


def _write_cells(ax: Axes, values: NDArray[np.float64], image: Any, metric: str) -> None:
    """Write the values into a heat map, dark on light and light on dark."""
    for (row, column), value in np.ndenumerate(values):
        if np.isnan(value):
            ax.text(column, row, "–", color=INK, size=8, ha="center", va="center")
            continue
        light = np.dot(image.cmap(image.norm(value))[:3], (0.299, 0.587, 0.114)) > 0.5
        text = f"{100 * value:.0f}" if metric.endswith("_rate") else f"{value:.0f}"
        color = "black" if light else "white"
        ax.text(column, row, text, color=color, size=8, ha="center", va="center")


def _draw_trade(ax: Axes, sweep: GridScores, x: str, y: str, chosen: int | None) -> None:
    a, b = sweep.metric(x), sweep.metric(y)
    front = sweep.front(x, y)
    ax.plot(a, b, "o", color=INK, alpha=0.75, ms=3.5, mew=0, label="a setting")
    ax.plot(a[front], b[front], "o-", color=ONSET, ms=5, lw=1.2, mew=0, label="none beats it")
    if chosen is not None:
        ax.plot(a[chosen], b[chosen], "o", color=LEVEL, ms=11, mfc="none", mew=2, label="chosen")
    style_axes(ax)
    ax.set(xlabel=sweep.METRICS[x], ylabel=sweep.METRICS[y])
    for axis, name in ((ax.xaxis, x), (ax.yaxis, y)):
        if name.endswith("_rate"):
            axis.set_major_formatter(PercentFormatter(1, decimals=0))
    add_legend([ax], ax, loc="upper right", ncols=1)


def _name_ticks(axis: Any, values: Sequence[Any]) -> None:
    def name(at: float, _: int) -> str:
        inside = at == round(at) and 0 <= at < len(values)
        return value_words(values[round(at)]) if inside else ""

    axis.set_major_locator(MaxNLocator(min(len(values), 12), integer=True))
    axis.set_major_formatter(FuncFormatter(name))
