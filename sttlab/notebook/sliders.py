"""The controls for a `VadConfig`, which serve recordings and live audio."""

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
from sttlab.notebook.look import field_label, field_words
from sttlab.vad import DETECTORS, deciding_fields

STEPS = {"dBFS": 0.5, "dB": 0.5, "s": 0.02, "": 0.01}
START_DBFS = -40.0  # the fixed threshold when a person first chooses it
# The range of a slider while its value is inside. The bounds of the settings are far wider than is
# useful, and a slider over all of them would be too coarse.
REACH = {
    "threshold_dbfs": (-80.0, 0.0),
    "margin_db": (1.0, 31.0),
    "hysteresis_db": (0.0, 20.0),
    "min_speech_s": (0.0, 1.0),
    "silence_timeout_s": (0.1, 3.1),
    "pre_roll_s": (0.0, 1.0),
}


class Kind(NamedTuple):
    """A way to detect speech that a person may choose: a detector, fixed or adaptive."""

    label: str
    doc: str
    detector: str
    follows: str | None = None
    """The field that is unset, so that the threshold adapts; None if it is fixed."""


def kinds() -> list[Kind]:
    """List the kinds of all detectors.

    A detector has one kind, or two if it uses a field that may be unset and another field that has
    an effect only then.
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
    """Labels the sliders around it for screen readers, which ipywidgets doesn't do."""

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
    const shown = new ResizeObserver(name); // its first call comes once the element is on the page
    shown.observe(el);
    return () => shown.disconnect();
  },
};
"""


class VadSliders:
    """Sliders for one `VadConfig`.

    Each has a useful range, which grows, up to the bounds of the setting, if a value is outside.

    Parameters
    ----------
    config : VadConfig
    changed : bound method
        Called, held weakly, after a person or a program has moved a control, on the thread that
        moved it.

    Attributes
    ----------
    widget : ipywidgets.VBox
    kind : ipywidgets.ToggleButtons
        How speech is detected.
    sliders : dict of str to ipywidgets.FloatSlider
        Sliders by the names of fields.
    """

    def __init__(self, config: VadConfig, changed: Callable[[], None]) -> None:
        self._changed = weakref.WeakMethod(changed)
        # The thread on which `config` is being set; changes on it don't call `changed`.
        self._setting: int | None = threading.get_ident()
        # Values as they were set; the browser rounds them to a step and sends those back.
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
        columns = "repeat(auto-fill, minmax(min(400px, 100%), 1fr))"
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
        """The settings of the controls. Setting it moves them without a call of `changed`."""
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
        # Optional fields keep their values while a detector that doesn't use them is chosen.
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
