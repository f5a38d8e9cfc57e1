"""Recorder: choose a microphone by its level, and record from it."""

from __future__ import annotations

import html
import threading
import weakref
from pathlib import Path
from typing import Any

import ipywidgets as widgets
import numpy as np

from sttlab.audio import FLOOR_DBFS, SAMPLE_RATE, Recording, speech_level_dbfs
from sttlab.capture.base import Block
from sttlab.capture.microphone import Microphone, find_device, list_devices
from sttlab.decoding import load
from sttlab.errors import SttlabError
from sttlab.events import DeviceLost, DeviceSilent
from sttlab.notebook.painter import Displayed, Painter, make_button, on_change

READ_S = 0.1


class Recorder(Displayed):
    """A list of microphones, the level of the chosen one, and a button to record from it.

    While a page shows the recorder, the thread `sttlab-recorder` has the microphone open.

    Parameters
    ----------
    seconds : float > 0
        Length of a recording.
    fallback : str or Path, optional
        File that `recording` loads while nothing was recorded, for machines without a microphone.
    """

    def __init__(self, seconds: float = 10.0, fallback: str | Path | None = None) -> None:
        self.seconds = seconds
        self._fallback = fallback
        self._recorded: Recording | None = None
        self._level_dbfs = FLOOR_DBFS
        self._message = ""
        self._pieces: list[Any] | None = None  # of a recording that is not complete yet
        self._lock = threading.Lock()  # guards the four fields above
        self._painter = Painter(self._paint, 0.1)
        self._thread: threading.Thread | None = None
        self._stopping = threading.Event()
        self._build()

    @property
    def device(self) -> str | None:
        """Name of the chosen microphone, for `Microphone`; None if there is no microphone."""
        name: str | None = self._devices.value
        return name

    @property
    def recording(self) -> Recording:
        """The last recording, or the fallback.

        Raises
        ------
        SttlabError
            If there is neither.
        """
        if self._recorded is not None:
            return self._recorded
        if self._fallback is None:
            raise SttlabError("nothing was recorded yet: press Record")
        return load(self._fallback)

    def close(self) -> None:
        """Close the microphone and take the widget off the page."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(5.0)
        self._painter.close()
        super().close()

    # -- building and controls ----------------------------------------------------------------

    def _build(self) -> None:
        try:
            found = list_devices()
            find_device(None, found)  # raises, with the remedy, if there is no microphone
        except SttlabError as error:
            found = []
            self._message = str(error)
        if not found and self._fallback:
            self._message += f"; {self._fallback} is taken instead"
        default = next((d.name for d in found if d.is_default), found[0].name if found else None)
        self._devices = widgets.Dropdown(
            options=list(dict.fromkeys(d.name for d in found)),
            value=default,
            description="Microphone",
            disabled=not found,
        )
        on_change(self._devices, self._start, "value")
        self._meter = widgets.FloatProgress(
            min=-80, max=0, value=-80, description="Level", bar_style="info"
        )
        self._readout, self._said = widgets.HTML(), widgets.HTML()
        self._button = make_button(f"Record {self.seconds:g} s", "begin now", self._begin)
        self._button.disabled = not found
        self._progress = widgets.FloatProgress(min=0, max=self.seconds, description="Recorded")
        self._show(
            widgets.VBox(
                [
                    self._devices,
                    widgets.HBox([self._meter, self._readout]),
                    widgets.HBox([self._progress, self._button]),
                    self._said,
                ]
            )
        )
        self._paint()

    def _ipython_display_(self) -> None:
        self._start()
        super()._ipython_display_()

    def _begin(self) -> None:
        with self._lock:
            self._pieces = []
            self._message = ""
        self._start()

    def _start(self) -> None:
        if self.device is None or (self._thread is not None and self._thread.is_alive()):
            return
        self._stopping = threading.Event()
        self._thread = threading.Thread(
            target=_capture,
            args=(weakref.ref(self), self._stopping),
            name="sttlab-recorder",
            daemon=True,
        )
        self._thread.start()

    # -- on sttlab-recorder -------------------------------------------------------------------

    def _take(self, block: Block) -> None:
        with self._lock:
            for event in block.events:
                if isinstance(event, DeviceLost | DeviceSilent):
                    self._message = event.message
            if len(block.samples):
                self._level_dbfs = speech_level_dbfs(block.samples)
            if self._pieces is not None:
                self._pieces += [np.zeros(block.lost_samples, np.float32), block.samples]
                wanted = round(self.seconds * SAMPLE_RATE)
                if sum(map(len, self._pieces)) >= wanted:
                    samples = np.concatenate(self._pieces)[:wanted]
                    self._recorded = Recording(samples, origin=self.device or "")
                    self._pieces = None
                    self._message = f"recorded {self.seconds:g} s: the cells below can be run"
        self._painter.request()

    def _fail(self, error: SttlabError) -> None:
        with self._lock:
            self._message = str(error)
            self._pieces = None
        self._painter.request()

    # -- drawing, on sttlab-ui ----------------------------------------------------------------

    def _paint(self) -> None:
        with self._lock:
            level, message = self._level_dbfs, self._message
            done = sum(map(len, self._pieces or ())) / SAMPLE_RATE
            if self._pieces is None and self._recorded is not None:
                done = self.seconds
        self._meter.value = level
        self._readout.value = f"{level:.0f} dBFS" if self.device else ""
        self._progress.value = done
        self._said.value = f'<span role="status">{html.escape(message)}</span>'


def _capture(recorder: weakref.ref[Recorder], stopping: threading.Event) -> None:
    """Run `sttlab-recorder`: read the chosen microphone until `_read` returns False."""
    try:
        while (alive := recorder()) is not None and alive.device is not None:
            device = alive.device
            del alive
            if not _read(recorder, device, stopping):
                return
    except SttlabError as error:
        if (alive := recorder()) is not None:
            alive._fail(error)


def _read(recorder: weakref.ref[Recorder], device: str, stopping: threading.Event) -> bool:
    """Read a microphone; return True once another is chosen, False once none is needed."""
    source = Microphone(device)
    try:
        source.open()
        while not stopping.is_set():
            block = source.read(READ_S)
            alive = recorder()
            if block is None or alive is None or (alive.hidden and alive._pieces is None):
                return False
            if alive.device != device:
                return True
            alive._take(block)
            del alive
        return False
    finally:
        source.close()
