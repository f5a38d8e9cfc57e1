"""One panel of controls for `VadConfig`, used on recordings and on live audio."""

from __future__ import annotations

import math
import threading
import weakref
from collections.abc import Callable
from dataclasses import fields
from functools import partial
from typing import Any, NamedTuple

import anywidget
import ipywidgets as widgets

from sttlab.config import VadConfig
from sttlab.notebook.plots import field_label, field_words
from sttlab.vad import DETECTORS, deciding_fields

STEPS = {"dBFS": 0.5, "dB": 0.5, "s": 0.02, "": 0.01}
START_DBFS = -40.0  # of the fixed threshold, when it is first asked for
# How far a slider reaches as long as its setting is not beyond: the bounds are far wider than what
# is of use, and a finger needs the width.
REACH = {
    "threshold_dbfs": (-80.0, 0.0),
    "margin_db": (1.0, 31.0),
    "hysteresis_db": (0.0, 20.0),
    "min_speech_s": (0.0, 1.0),
    "silence_timeout_s": (0.1, 3.1),
    "pre_roll_s": (0.0, 1.0),
}


class Kind(NamedTuple):
    """One of the ways to tell speech that a person may choose."""

    label: str
    doc: str
    detector: str
    follows: str | None = None
    """The field that is unset, so that another one decides in its place; or None."""


def kinds() -> list[Kind]:
    """Give every kind of every detector.

    A detector has one, or two if it uses a field that may be unset and one that counts only then.
    """
    found = []
    about = {f.name: f.metadata for f in fields(VadConfig)}
    for name, detector in DETECTORS.items():
        relative = [f for f in detector.fields if about[f]["unless"] in detector.fields]
        if not relative:
            found.append(Kind(detector.label, detector.doc, name))
        for field in relative:
            fixed = about[field]["unless"]
            words = f"{detector.label} {field_label(field).lower()}"
            found.append(Kind(words, about[field]["doc"], name, fixed))
            found.append(Kind(f"{detector.label}, fixed", about[fixed]["doc"], name))
    return found


class SliderNames(anywidget.AnyWidget):
    """Gives the sliders around it names that a screen reader says; ipywidgets gives them none."""

    _esm = """
export default {
  render({ el }) {
    const name = () => {
      const sliders = el.closest(".sttlab-sliders")?.querySelectorAll(".widget-slider") ?? [];
      for (const slider of sliders) {
        const words = slider.querySelector("label").textContent;
        slider.querySelector("[role=slider]").setAttribute("aria-label", words);
      }
    };
    const shown = new ResizeObserver(name); // which says first that it is on the page
    shown.observe(el);
    return () => shown.disconnect();
  },
};
"""


class VadSliders:
    """Sliders that stand for one `VadConfig`.

    They reach as far as is of use, and farther, up to the setting's bounds, where it is there.

    Parameters
    ----------
    config : VadConfig
    changed : bound method
        Called, held weakly, after a person or a program moved something; on the thread of that.

    Attributes
    ----------
    widget : ipywidgets.VBox
    kind : ipywidgets.ToggleButtons
        What speech is told by.
    sliders : dict of str to ipywidgets.FloatSlider
        By the field's name.
    """

    def __init__(self, config: VadConfig, changed: Callable[[], None]) -> None:
        self._changed = weakref.WeakMethod(changed)
        # The thread on which a program moves the sliders.
        self._setting: int | None = threading.get_ident()
        # What a program set; the browser rounds it to a step and sends that back.
        self._exact: dict[str, float] = {}
        self._kinds = {kind.label: kind for kind in kinds()}
        self.kind = widgets.ToggleButtons(
            options=list(self._kinds),
            tooltips=[kind.doc for kind in self._kinds.values()],
            style={"button_width": "auto"},
            layout=widgets.Layout(margin="0 0 4px 0"),
        )
        self.kind.observe(self._moved, "value")
        self.sliders = {f.name: self._slider(f) for f in fields(VadConfig) if "min" in f.metadata}
        columns = "repeat(auto-fill, minmax(400px, 1fr))"
        grid = widgets.GridBox(
            list(self.sliders.values()), layout=widgets.Layout(grid_template_columns=columns)
        )
        self.widget = widgets.VBox([self.kind, grid, SliderNames()])
        self.widget.add_class("sttlab-sliders")
        self._move("threshold_dbfs", START_DBFS)
        self.config = config

    def _slider(self, field: Any) -> widgets.FloatSlider:
        bounds, unit = field.metadata, field.metadata["unit"]
        low, high = REACH.get(field.name, (bounds["min"], bounds["max"]))
        slider = widgets.FloatSlider(
            value=low,
            min=low,
            max=high,
            step=STEPS[unit],
            description=field_words(field.name),
            tooltip=bounds["doc"],
            readout_format=".2f" if unit in ("s", "") else ".1f",
            style={"description_width": "140px"},
            layout=widgets.Layout(width="auto"),
        )
        slider.observe(partial(self._slid, field.name), "value")
        return slider

    @property
    def config(self) -> VadConfig:
        """What the sliders say; setting it moves them without a word to `changed`."""
        values: dict[str, Any] = {name: slider.value for name, slider in self.sliders.items()}
        values |= self._exact
        kind = self._kinds[self.kind.value]
        values["detector"] = kind.detector
        if kind.follows:
            values[kind.follows] = None
        for name in self._hidden.keys() - set(DETECTORS[kind.detector].fields):
            values[name] = self._hidden[name]
        return VadConfig(**values)

    @config.setter
    def config(self, config: VadConfig) -> None:
        # What may be unset is kept while a detector is chosen that doesn't use it.
        self._hidden = {
            f.name: getattr(config, f.name) for f in fields(config) if f.default is None
        }
        self._setting = threading.get_ident()
        try:
            for name in self.sliders:
                if getattr(config, name) is not None:
                    self._move(name, getattr(config, name))
            self.kind.value = next(k.label for k in self._kinds.values() if _stands_for(k, config))
        finally:
            self._setting = None
        self._arrange()

    def _move(self, name: str, value: float) -> None:
        slider = self.sliders[name]
        slider.min, slider.max = min(slider.min, value), max(slider.max, value)
        self._exact[name] = slider.value = value

    def _slid(self, name: str, change: Any) -> None:
        if self._setting == threading.get_ident():
            return
        exact = self._exact.get(name, math.inf)
        if abs(change["new"] - exact) > 0.51 * change["owner"].step:
            self._exact.pop(name, None)
            self._moved(change)

    def _moved(self, _: object) -> None:
        if self._setting == threading.get_ident():
            return
        self._arrange()
        if (changed := self._changed()) is not None:
            changed()

    def _arrange(self) -> None:
        config = self.config
        shown = deciding_fields(config)
        for name, slider in self.sliders.items():
            hidden = name not in shown or getattr(config, name) is None
            slider.layout.display = "none" if hidden else None


def _stands_for(kind: Kind, config: VadConfig) -> bool:
    if kind.detector != config.detector:
        return False
    return kind.follows is None or getattr(config, kind.follows) is None
