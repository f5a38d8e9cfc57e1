"""A figure of a sweep in the browser, from which settings are chosen."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import anywidget
import numpy as np
import traitlets
from matplotlib.axes import Axes

from sttlab.notebook.esm import read_module
from sttlab.notebook.plots import png_bytes
from sttlab.notebook.sweep_plots import SWEEP_PX


class Chart(anywidget.AnyWidget):
    """A figure whose points are settings; a click in the browser chooses one. See sweeper.js."""

    _esm = read_module("sweeper.js")
    _css = f""".sttlab-chart {{ max-width: {SWEEP_PX[0]}px; cursor: pointer }}
.sttlab-chart img {{ display: block; width: 100% }}
.sttlab-chart:focus-visible {{ outline: 2px solid var(--jp-brand-color1, #1976d2) }}"""

    png = traitlets.Bytes().tag(sync=True)
    alt = traitlets.Unicode().tag(sync=True)
    # Each is [setting, x, y], with x and y as shares of the width and the height.
    points: traitlets.List[list[float]] = traitlets.List().tag(sync=True)
    # The settings that the arrow keys visit.
    stops: traitlets.List[int] = traitlets.List().tag(sync=True)
    chosen = traitlets.Int(-1).tag(sync=True)

    def draw(self, ax: Axes, places: Mapping[int, tuple[float, float]], stops: Any) -> None:
        """Show axes; `places` holds the position of each setting in their coordinates."""
        figure: Any = ax.figure
        picture = png_bytes(figure)
        size = figure.get_size_inches() * figure.dpi
        inside = ax.transData.transform(list(places.values()) or np.empty((0, 2))) / size
        with self.hold_sync():
            self.points = [
                [i, round(x, 4), round(1 - y, 4)]
                for i, (x, y) in zip(places, inside.tolist(), strict=True)
            ]
            self.stops = list(stops)
            self.png = picture
