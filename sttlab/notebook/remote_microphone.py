"""RemoteMicrophone: the microphone of the computer that shows the notebook."""

from __future__ import annotations

import threading
import time
import weakref
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any

import anywidget
import numpy as np
import traitlets

from sttlab.audio import SAMPLE_RATE
from sttlab.capture.base import Block
from sttlab.capture.push import PushSource
from sttlab.errors import SourceError
from sttlab.events import DeviceLost, DeviceRestored, Event
from sttlab.notebook.esm import read_module
from sttlab.notebook.painter import Displayed
from sttlab.shipped import shipped

BUFFER_S = 60.0  # audio that the kernel buffers while earlier speech waits for the engine
PARTS = 64  # most parts that wait for the reader
STALLED_S = 10.0  # longest silence of a browser, which sends each second while it captures
STALLED = (
    f"nothing has come from the browser for {STALLED_S:.0f} s: is the page still open, and the "
    "network up? What it has kept comes later"
)


class Panel(anywidget.AnyWidget):
    """The part in the browser: remote_microphone.js captures, and resends until acknowledged."""

    _esm = read_module("remote_microphone.js")
    _css = shipped("frontend/notebook/remote_microphone.css")

    run = traitlets.Int(0).tag(sync=True)  # number of the run, counted by `open`; 0 while closed
    holder = traitlets.Unicode().tag(sync=True)  # id of the capture that is on; empty if none is


class RemoteMicrophone(Displayed):
    """The microphone of the browser as a source, for a kernel that runs on another machine.

    Show it in a cell of its own, which may run again, and press Start. The browser captures audio
    without echo cancellation, noise suppression and gain control, and sends it while a session has
    the source open. Browsers allow capture only on pages from https or localhost.

    Parameters
    ----------
    clock : callable
        Wall time in seconds, to notice that the browser sends nothing any more.

    Notes
    -----
    The browser buffers up to half a minute of audio that the kernel has not acknowledged. Audio
    that it must drop counts as lost samples, in its place. So it matters whether the kernel handles
    messages of widgets while a cell runs, which depends on the front end:

    - ipykernel 7 with JupyterLab 4.4 or newer, Notebook 7.4 or newer: yes, on a thread of its own.
    - ipykernel 7 with other front ends: only while the cell awaits. Instead of ``session.wait()``
      write ``await asyncio.to_thread(session.wait)``.
    - ipykernel 6: no. Let the cell that starts the session end, and wait in a later cell.

    If Jupyter has a content security policy with ``script-src``, it must allow ``blob:``. Otherwise
    no anywidget loads, and the page shows "javascript error" in its place.

    A session calls `close` when it stops, and the widget stays. ``microphone.widget.close()`` takes
    the widget off the page, which ends the audio of a session that still runs.

    Examples
    --------
    >>> microphone = RemoteMicrophone()
    >>> microphone  # doctest: +SKIP
    >>> session = Session(microphone); session.start()  # doctest: +SKIP
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        # Audio without gaps as PushSources, the last of them open; between them blocks that hold
        # lost samples and events.
        self._parts: deque[PushSource | Block] = deque()  # bounded by PARTS
        self._lock = threading.RLock()  # guards all fields here but `_clock`
        self._opened = 0
        self._stream: tuple[str, int] | None = None  # capture and run of the last audio
        self._next = 0  # the next sample of that stream, at its own rate
        self._rate = SAMPLE_RATE
        self._device = ""
        self._lost = False  # whether the device, or the browser, has disappeared
        self._last_message_at = clock()
        panel = Panel()
        panel.on_msg(partial(_receive, weakref.ref(self)))
        panel.observe(partial(_end, weakref.ref(self)), "comm")
        self._show(panel)

    @property
    def name(self) -> str:
        """Name of the microphone in the browser, once it is on."""
        return f"{self._device} in the browser" if self._device else "microphone in the browser"

    @property
    def on(self) -> bool:
        """Whether a browser captures, and has sent something in the last seconds."""
        return bool(self.widget.holder) and self._clock() - self._last_message_at < STALLED_S

    def open(self) -> None:
        """Accept audio, which comes once a person has pressed Start.

        Raises
        ------
        SourceError
            If the widget was closed.
        """
        if self.widget.comm is None:
            raise SourceError("the microphone's widget was closed: make and show a new one")
        with self._lock:
            self._drop()
            self._opened += 1
            self._stream = None
            self._append()
            run = self._opened
        self.widget.run = run

    def read(self, timeout_s: float) -> Block | None:
        """Wait for audio; see `AudioSource.read`."""
        with self._lock:
            if self.widget.holder and self._clock() - self._last_message_at > STALLED_S:
                self._lose(STALLED)
        while True:
            with self._lock:
                part = self._parts[0] if self._parts else None
                if not isinstance(part, PushSource):
                    if part is not None:
                        self._parts.popleft()
                    return part
            block = part.read(timeout_s)
            if block is not None:
                return block
            with self._lock:
                if not self._parts or self._parts[0] is not part:
                    return None  # another thread has closed it
                self._parts.popleft()

    def close(self) -> None:
        """Accept no more audio. The widget stays, for the next session."""
        with self._lock:
            self._drop()
        self.widget.run = 0

    def _drop(self) -> None:
        for part in self._parts:
            if isinstance(part, PushSource):
                part.close()
        self._parts.clear()

    def _append(self, lost_samples: int = 0, events: tuple[Event, ...] = ()) -> None:
        """Begin a new part of audio, after a block with what happened before it."""
        if self._parts:
            last = self._parts[-1]
            assert isinstance(last, PushSource)
            last.end()
        if lost_samples or events:
            self._parts.append(Block(np.empty(0, np.float32), lost_samples, events))
        part = PushSource(self._rate, name=self.name, buffer_s=BUFFER_S)
        part.open()
        self._parts.append(part)

    def _emit(self, event: Event) -> None:
        if self._parts:
            self._append(events=(event,))

    def _lose(self, why: str) -> None:
        if not self._lost:
            self._lost = True
            self._emit(DeviceLost(device=self.name, message=why))

    # -- messages of the browser, on the thread on which ipykernel delivers them ---------------

    def _handle(self, content: dict[str, Any], buffers: list[Any]) -> None:
        say, capture = content["say"], str(content["capture"])
        if say == "start":
            self._device = str(content["device"])
            self.widget.holder = capture
        elif capture != self.widget.holder:
            return  # another page has taken over
        with self._lock:
            self._last_message_at = self._clock()
            if say == "stop":
                self.widget.holder = ""
                if content["why"]:
                    self._lose(str(content["why"]))
                return
            if self._lost:
                self._lost = False
                self._emit(DeviceRestored(device=self.name))
            taken = self._take(capture, content, bytes(buffers[0])) if say == "sound" else 0
        if taken is not None:
            self.widget.send({"capture": capture, "run": content["run"], "taken": taken})

    def _take(self, capture: str, content: dict[str, Any], data: bytes) -> int | None:
        """Take a chunk and return the next sample expected, or None to take nothing.

        The chunk begins at sample `first`. The samples before it from `after` on are lost: the
        browser had to drop them.
        """
        run, first, after = (int(content[name]) for name in ("run", "first", "after"))
        if run != self._opened or not self._parts or len(self._parts) >= PARTS:
            return None  # without an acknowledgement the browser drops the chunk or resends it
        if self._stream != (capture, run):
            self._stream = capture, run
            self._next = 0
            self._rate = int(content["rate"])
            self._append()
        if after > self._next:
            return None  # the browser resends the samples before `after`, then this chunk
        if first > self._next:
            lost = round((first - self._next) * SAMPLE_RATE / self._rate)
            self._append(lost_samples=lost)
            self._next = first
        part = self._parts[-1]
        assert isinstance(part, PushSource)
        part.push(data[2 * (self._next - first) :])
        self._next = max(self._next, first + len(data) // 2)
        return self._next


def _receive(
    microphone: weakref.ref[RemoteMicrophone],
    panel: object,
    content: dict[str, Any],
    buffers: list[Any],
) -> None:
    if (alive := microphone()) is not None:
        alive._handle(content, buffers)


def _end(microphone: weakref.ref[RemoteMicrophone], change: Any) -> None:
    """End the audio of a widget that was closed."""
    if change["new"] is None and (alive := microphone()) is not None:
        alive.close()
