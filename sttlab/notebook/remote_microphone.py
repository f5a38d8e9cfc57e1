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

BUFFER_S = 60.0  # that the kernel holds while all speech before waits for the engine
PARTS = 64  # that may wait for a reader
STALLED_S = 10.0  # without a word of a browser that has the microphone on; it speaks every second
STALLED = (
    f"nothing has come from the browser for {STALLED_S:.0f} s: is the page still open, and the "
    "network up? What it has kept comes later"
)


class Panel(anywidget.AnyWidget):
    """What the browser shows: remote_microphone.js captures, and sends until it is acknowledged."""

    _esm = read_module("remote_microphone.js")
    _css = shipped("frontend/notebook/remote_microphone.css")

    run = traitlets.Int(0).tag(sync=True)  # counts how often it was opened; 0 while it is closed
    holder = traitlets.Unicode().tag(sync=True)  # the capture that was started last, if it goes on


class RemoteMicrophone(Displayed):
    """A source that hears through the browser, for a kernel that runs on another machine.

    Show it in a cell of its own, which may then run again, and press Start. Sound is captured as it
    is, without the browser's echo cancelling, noise suppression and gain control, and heard while a
    session has it open. Browsers allow it only on pages that come by https, or from localhost.

    Parameters
    ----------
    clock : callable
        Wall time in seconds, to notice that nothing comes any more.

    Notes
    -----
    The browser keeps what the kernel has not acknowledged yet, up to half a minute of it; what must
    go is counted as lost samples, in its place. So what matters is whether the kernel takes
    messages of widgets while a cell runs, and that depends:

    - ipykernel 7 with JupyterLab 4.4 or newer, Notebook 7.4 or newer: yes, on a thread of its own.
    - ipykernel 7 with other front ends: only where the cell awaits, so instead of
      ``session.wait()`` write ``await asyncio.to_thread(session.wait)``.
    - ipykernel 6: no. Let the cell that starts the session end, and look in a later one.

    If Jupyter has a content security policy with ``script-src``, that must name ``blob:``: without,
    no anywidget comes up, and "javascript error" stands in its place.

    `close` is what a session calls when it stops; ``microphone.widget.close()`` takes the widget
    off the page for good, which ends the sound of a session that still listens.

    Examples
    --------
    >>> microphone = RemoteMicrophone()
    >>> microphone  # doctest: +SKIP
    >>> session = Session(microphone); session.start()  # doctest: +SKIP
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        # Sound in stretches without gaps, and between them what is to be said; the last is open.
        self._parts: deque[PushSource | Block] = deque()  # bounded by PARTS
        self._lock = threading.RLock()  # guards all of these
        self._opened = 0
        self._stream: tuple[str, int] | None = None  # the capture and the run that sent sound last
        self._next = 0  # sample of that stream, at its own rate
        self._rate = SAMPLE_RATE
        self._device = ""
        self._away = False  # whether the device, or the browser, vanished
        self._heard_at = clock()
        panel = Panel()
        panel.on_msg(partial(_receive, weakref.ref(self)))
        panel.observe(partial(_end, weakref.ref(self)), "comm")
        self._show(panel)

    @property
    def name(self) -> str:
        """What the browser calls the microphone, once it is started."""
        return f"{self._device} in the browser" if self._device else "microphone in the browser"

    @property
    def on(self) -> bool:
        """Whether a browser has it on, and was heard of in the last seconds."""
        return bool(self.widget.holder) and self._clock() - self._heard_at < STALLED_S

    def open(self) -> None:
        """Take sound from now on; none comes before a person presses Start.

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
        """Wait for sound; see `AudioSource.read`."""
        with self._lock:
            if self.widget.holder and self._clock() - self._heard_at > STALLED_S:
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
                    return None  # closed meanwhile
                self._parts.popleft()

    def close(self) -> None:
        """Take no more sound. The widget stays, for the next session."""
        with self._lock:
            self._drop()
        self.widget.run = 0

    def _drop(self) -> None:
        for part in self._parts:
            if isinstance(part, PushSource):
                part.close()
        self._parts.clear()

    def _append(self, lost_samples: int = 0, events: tuple[Event, ...] = ()) -> None:
        """Begin a stretch of sound, after saying what happened before it."""
        if self._parts:
            last = self._parts[-1]
            assert isinstance(last, PushSource)
            last.end()
        if lost_samples or events:
            self._parts.append(Block(np.empty(0, np.float32), lost_samples, events))
        part = PushSource(self._rate, name=self.name, buffer_s=BUFFER_S)
        part.open()
        self._parts.append(part)

    def _tell(self, event: Event) -> None:
        if self._parts:
            self._append(events=(event,))

    def _lose(self, why: str) -> None:
        if not self._away:
            self._away = True
            self._tell(DeviceLost(device=self.name, message=why))

    # -- what the browser says, on whatever thread ipykernel gives it --------------------------

    def _hear(self, content: dict[str, Any], buffers: list[Any]) -> None:
        say, capture = content["say"], str(content["capture"])
        if say == "start":
            self._device = str(content["device"])
            self.widget.holder = capture
        elif capture != self.widget.holder:
            return  # another page has taken over
        with self._lock:
            self._heard_at = self._clock()
            if say == "stop":
                self.widget.holder = ""
                if content["why"]:
                    self._lose(str(content["why"]))
                return
            if self._away:
                self._away = False
                self._tell(DeviceRestored(device=self.name))
            taken = self._take(capture, content, bytes(buffers[0])) if say == "sound" else 0
        if taken is not None:
            self.widget.send({"capture": capture, "run": content["run"], "taken": taken})

    def _take(self, capture: str, content: dict[str, Any], data: bytes) -> int | None:
        """Take a chunk: it begins at sample `first`, and those from `after` on will never come."""
        run, first, after = (int(content[name]) for name in ("run", "first", "after"))
        if run != self._opened or not self._parts or len(self._parts) >= PARTS:
            return None  # unacknowledged, it is dropped there or comes again
        if self._stream != (capture, run):
            self._stream = capture, run
            self._next = 0
            self._rate = int(content["rate"])
            self._append()
        if after > self._next:
            return None  # what is missing before that comes again, and then this
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
        alive._hear(content, buffers)


def _end(microphone: weakref.ref[RemoteMicrophone], change: Any) -> None:
    """End the sound of a widget that was closed."""
    if change["new"] is None and (alive := microphone()) is not None:
        alive.close()
