"""A picture in two layers: axes that matplotlib draws once, and above them SVG that changes.

To redraw a ten-minute recording for each step of a slider takes matplotlib and PNG 30 to 60 ms.
Lines and spans as SVG take about 2 ms and a few kilobytes, and are sharp at any size.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import ipywidgets as widgets
import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from sttlab.notebook.plots import (
    BOTTOM,
    FLOOR,
    FOUND,
    LEFT,
    LEVEL,
    LEVEL_NAME,
    ONSET,
    RIGHT,
    TRUTH,
    WIDTH,
    PlotPanel,
    Span,
    make_axes,
    png_bytes,
    tops,
)

PLOT = WIDTH - LEFT - RIGHT  # width of the axes in px
WIDEST = 1200  # width in px to which a page may stretch a picture

TEXT = "var(--jp-ui-font-color1, #7a7a7a)"  # text colour of the page's theme
SIGNS = {
    "level": (f"border-top:3px solid {LEVEL}", LEVEL_NAME),
    "onset": (f"border-top:2px solid {ONSET}", "speech begins above"),
    "offset": (f"border-top:2px dashed {ONSET}", "and ends below"),
    "floor": (f"border-top:2px dotted {FLOOR}", "noise floor"),
    "utterance": (f"height:.8em;background:{FOUND}", "utterance"),
    "speech": (f"height:.8em;background:{FOUND}", "speech"),
    "pause": (f"height:.8em;background:{FLOOR}", "silence, may go on"),
    "labels": (f"border-top:5px solid {TRUTH}", "speech, as labelled"),
}
STYLE = f"""<style>
.sttlab-legend {{ padding-left: {100 * LEFT / WIDTH:.1f}%; max-width: {WIDEST}px; font-size: 85%;
  line-height: 1.5; display: flex; flex-wrap: wrap; gap: 0 1.6em }}
.sttlab-legend i {{ display: inline-block; width: 1.6em; margin-right: .5em;
  vertical-align: middle }}
.sttlab-table {{ border-collapse: collapse; line-height: 1.5; font-variant-numeric: tabular-nums }}
.sttlab-table th, .sttlab-table td {{ padding: 1px 1.2em 1px 0; text-align: right;
  vertical-align: top; white-space: nowrap }}
.sttlab-table th {{ font-weight: 600 }}
.sttlab-table .sttlab-text {{ text-align: left; white-space: normal }}
.sttlab-nowrap {{ white-space: nowrap }}
.sttlab-facts {{ display: grid; grid-template-columns: 2em 5em 5em 6em 10em; gap: .6em;
  text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap }}
.sttlab-facts :last-child {{ text-align: left }}
.sttlab-bar {{ display: flex; height: .8em; margin-top: .35em }}
</style>"""


class Picture:
    """Panels over a time axis, with a layer for shapes that change.

    Attributes
    ----------
    widget : ipywidgets.GridBox
    """

    def __init__(self, alt: str) -> None:
        here = widgets.Layout(grid_area="1 / 1 / 2 / 2", width="100%", margin="0")
        self._still = widgets.HTML(layout=here)
        self._moving = widgets.HTML(layout=here)
        self._alt = alt
        self.widget = widgets.GridBox(
            [self._still, self._moving], layout=widgets.Layout(max_width=f"{WIDEST}px")
        )
        self.widget.add_class("sttlab-picture")

    def set_axes(
        self,
        panels: Sequence[PlotPanel],
        start_s: float,
        end_s: float,
        draw: Callable[[list[Axes]], None] = lambda axes: None,
        xlabel: str = "time (s)",
    ) -> None:
        """Draw the lower layer: axes, and what `draw` adds to them. Takes 0.1 to 0.3 s."""
        self.panels, self.start_s, self.end_s = list(panels), start_s, max(end_s, start_s + 0.1)
        axes = make_axes(panels, start_s, end_s, xlabel)
        draw(axes)
        self.panels = [
            PlotPanel(label=p.label, height=p.height, low=ax.get_ylim()[0], high=ax.get_ylim()[1])
            for p, ax in zip(panels, axes, strict=True)
        ]
        data = base64.b64encode(png_bytes(axes[0].figure)).decode("ascii")
        self._still.value = (
            f'<img alt="{self._alt}" style="display:block;width:100%;max-width:none"'
            f' src="data:image/png;base64,{data}">'
        )

    def set_over(self, shapes: Iterable[str]) -> None:
        """Replace the shapes of the upper layer."""
        height = tops(self.panels)[-1] + self.panels[-1].height + BOTTOM
        self._moving.value = (
            f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{self._alt}"'
            ' style="display:block;width:100%;position:relative">' + "".join(shapes) + "</svg>"
        )

    def x(self, time_s: Any) -> Any:
        """Return the distance from the left, in px, of a time or an array of times."""
        inside = (np.asarray(time_s) - self.start_s) / (self.end_s - self.start_s)
        return np.round(LEFT + PLOT * np.clip(inside, 0, 1), 1)

    def y(self, panel: int, value: Any) -> Any:
        """Return the distance from the top, in px, of a value or an array of values in a panel."""
        p = self.panels[panel]
        inside = (np.asarray(value) - p.low) / (p.high - p.low)
        return np.round(tops(self.panels)[panel] + p.height * (1 - np.clip(inside, 0, 1)), 1)

    def line(
        self, panel: int, times_s: Any, values: NDArray[np.float64], color: str, style: str = ""
    ) -> str:
        """Draw a curve, without the points inside horizontal stretches."""
        if not len(values):
            return ""
        bends = np.flatnonzero(np.diff(values) != 0)
        kept = np.unique(np.concatenate([[0], bends, bends + 1, [len(values) - 1]]))
        xs, ys = self.x(np.asarray(times_s)[kept]), self.y(panel, values[kept])
        points = " ".join(f"{x:g},{y:g}" for x, y in zip(xs.tolist(), ys.tolist(), strict=True))
        return f'<polyline points="{points}" fill="none" stroke="{color}" {style}/>'

    def level(self, panel: int, value: float, color: str, style: str = "") -> str:
        """Draw a horizontal line across a panel."""
        y = self.y(panel, value)
        return (
            f'<line x1="{LEFT}" x2="{LEFT + PLOT}" y1="{y:g}" y2="{y:g}" stroke="{color}" {style}/>'
        )

    def spans(
        self, panels: Iterable[int], spans: Iterable[Span], color: str = FOUND, *, number: bool
    ) -> str:
        """Shade spans over panels, with their numbers where there is room."""
        shapes = []
        panels = list(panels)
        for i, span in enumerate(spans):
            x0, x1 = self.x(span.start_s), self.x(span.end_s)
            for panel in panels:
                y, height = tops(self.panels)[panel], self.panels[panel].height
                shapes.append(
                    f'<rect x="{x0:g}" y="{y}" width="{max(x1 - x0, 0.5):.1f}" height="{height}"'
                    f' fill="{color}" fill-opacity=".22"/>'
                )
            if number and x1 - x0 > 14:
                y = tops(self.panels)[panels[-1]] + 12
                shapes.append(
                    f'<text x="{x0 + 3:g}" y="{y}" font-size="11" fill="{TEXT}">{i + 1}</text>'
                )
        return "".join(shapes)


def legend(*names: str) -> str:
    """Write the legend of a picture as HTML, with entries by their names in SIGNS."""
    signs = [f'<span><i style="{SIGNS[name][0]}"></i>{SIGNS[name][1]}</span>' for name in names]
    return f'<div class="sttlab-legend">{"".join(signs)}</div>'
