"""One panel of controls for `VadConfig`, used on recordings and on live sound."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from dataclasses import fields
from typing import Any

import ipywidgets as widgets

from sttlab.config import VadConfig

STEPS = {"dBFS": 0.5, "dB": 0.5, "s": 0.02, "": 0.01}
NAMES = {
    "threshold_dbfs": "Threshold (dBFS)",
    "margin_db": "Above the noise (dB)",
    "hysteresis_db": "Hysteresis (dB)",
    "probability": "Probability",
    "probability_hysteresis": "Hysteresis",
    "min_speech_s": "Minimum speech (s)",
    "silence_timeout_s": "Silence timeout (s)",
    "pre_roll_s": "Pre-roll (s)",
    "max_utterance_s": "Longest utterance (s)",
}
RELATIVE, FIXED, SILERO = "level above the noise", "level, fixed", "Silero"
ONLY = {
    "threshold_dbfs": {FIXED},
    "margin_db": {RELATIVE},
    "hysteresis_db": {FIXED, RELATIVE},
    "probability": {SILERO},
    "probability_hysteresis": {SILERO},
}
START_DBFS = -40.0  # of the fixed threshold, when it is first asked for


class VadSliders:
    """Sliders that stand for one `VadConfig`, whose bounds they have.

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
        self._quiet = True
        self.kind = widgets.ToggleButtons(
            options=[RELATIVE, FIXED, SILERO],
            tooltips=[
                "speech is louder than the room by so much",
                "speech is louder than so much",
                "a small neural network says how likely speech is",
            ],
            style={"button_width": "auto"},
            layout=widgets.Layout(margin="0 0 4px 0"),
        )
        self.kind.observe(self._moved, "value")
        self.sliders = {f.name: self._slider(f) for f in fields(VadConfig) if f.name in NAMES}
        columns = "repeat(auto-fill, minmax(340px, 1fr))"
        grid = widgets.GridBox(
            list(self.sliders.values()), layout=widgets.Layout(grid_template_columns=columns)
        )
        self.widget = widgets.VBox([self.kind, grid])
        self.sliders["threshold_dbfs"].value = START_DBFS
        self.config = config

    def _slider(self, field: Any) -> widgets.FloatSlider:
        bounds = field.metadata
        slider = widgets.FloatSlider(
            min=bounds["min"],
            max=bounds["max"],
            step=STEPS[bounds["unit"]],
            description=NAMES[field.name],
            tooltip=bounds["doc"],
            readout_format=".2f" if bounds["unit"] in ("s", "") else ".1f",
            style={"description_width": "140px"},
            layout=widgets.Layout(width="auto"),
        )
        slider.observe(self._moved, "value")
        return slider

    @property
    def config(self) -> VadConfig:
        """What the sliders say; setting it moves them without a word to `changed`."""
        values: dict[str, Any] = {name: slider.value for name, slider in self.sliders.items()}
        if self.kind.value == SILERO:
            values |= {"detector": "silero", "threshold_dbfs": self._hidden_dbfs}
        elif self.kind.value == RELATIVE:
            values["threshold_dbfs"] = None
        return VadConfig(**values)

    @config.setter
    def config(self, config: VadConfig) -> None:
        self._hidden_dbfs = config.threshold_dbfs
        kind = RELATIVE if config.threshold_dbfs is None else FIXED
        self._quiet = True
        try:
            for name, slider in self.sliders.items():
                if getattr(config, name) is not None:
                    slider.value = getattr(config, name)
            self.kind.value = SILERO if config.detector == "silero" else kind
        finally:
            self._quiet = False
        self._arrange()

    def _moved(self, _: object) -> None:
        if self._quiet:
            return
        self._arrange()
        if (changed := self._changed()) is not None:
            changed()

    def _arrange(self) -> None:
        for name, slider in self.sliders.items():
            hidden = self.kind.value not in ONLY.get(name, {self.kind.value})
            slider.layout.display = "none" if hidden else None
