"""The thread `sttlab-ui`, which draws, and the care that widgets leave nothing behind."""

from __future__ import annotations

import logging
import re
import threading
import weakref
from collections.abc import Callable
from functools import partial
from typing import Any

import ipywidgets as widgets
from IPython import get_ipython

log = logging.getLogger(__name__)


class Painter:
    """Calls `paint` on the thread `sttlab-ui`, once for all requests that came meanwhile.

    The thread begins with a request and ends when none is left, so an idle widget has no thread.

    Parameters
    ----------
    paint : bound method
        Held weakly.
    interval_s : float
        The shortest time between two calls.
    """

    def __init__(self, paint: Callable[[], None], interval_s: float = 0.02) -> None:
        self._paint = weakref.WeakMethod(paint)
        self._interval_s = interval_s
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._asked = False
        self._thread: threading.Thread | None = None

    def request(self) -> None:
        """Have `paint` called soon. Any thread may ask; never blocks."""
        with self._lock:
            self._asked = True
            if self._thread is None and not self._closed.is_set():
                self._thread = threading.Thread(target=self._run, name="sttlab-ui", daemon=True)
                self._thread.start()

    def settle(self, timeout_s: float = 10.0) -> bool:
        """Wait until all that was asked for is painted, and say whether that came in time."""
        thread = self._thread
        if thread is None or thread is threading.current_thread():
            return True
        thread.join(timeout_s)
        return not thread.is_alive()

    def close(self) -> None:
        """Paint no more."""
        self._closed.set()
        self.settle()

    def _run(self) -> None:
        while True:
            with self._lock:
                if not self._asked or self._closed.is_set():
                    self._thread = None
                    return
                self._asked = False
            paint = self._paint()
            try:
                if paint is not None:
                    paint()
            except Exception:
                log.exception("drawing failed")
            del paint
            self._closed.wait(self._interval_s)


class Displayed:
    """Something with a face of widgets. It lives as long as a name holds it or a page shows it.

    Subclasses call `_show` once and may extend `close`.
    """

    widget: widgets.Box
    hidden = False
    """Whether it was on a page and no longer is."""

    def _show(self, widget: widgets.Box) -> None:
        self.widget = widget
        hear_during_cells(widget)
        widget._view_count = 0  # asks the front end to count
        widget.observe(partial(_count_views, weakref.ref(self)), "_view_count")
        self._finalizer = weakref.finalize(self, close_widgets, widget)
        self._finalizer.atexit = False

    def _repr_mimebundle_(self, **options: Any) -> Any:
        self.widget.keeps_alive = self
        return self.widget._repr_mimebundle_(**options)

    def close(self) -> None:
        """Take the widget off the page and end what it had running."""
        self.widget.keeps_alive = None
        self._finalizer()


def _count_views(shown: weakref.ref[Displayed], change: Any) -> None:
    if (alive := shown()) is not None:
        alive.hidden = change["new"] == 0
        alive.widget.keeps_alive = None if alive.hidden else alive
        if alive.hidden:
            _forget(alive)


def _forget(shown: Displayed) -> None:
    """Take it out of IPython's history of outputs, which nobody thinks of as a name."""
    shell: Any = get_ipython()
    if shell is None:
        return
    outputs = shell.user_ns["_oh"]
    for number in [n for n, output in list(outputs.items()) if output is shown]:
        del outputs[number]
    for names in (shell.user_ns, shell.user_ns_hidden, vars(shell.displayhook)):
        for name in [n for n, value in list(names.items()) if value is shown]:
            if re.fullmatch(r"_+\d*", name):  # _, __, ___, _1, _2, ...
                names[name] = ""


def hear_during_cells(widget: Any) -> None:
    """Have what the browser says to a widget, and to all in it, heard while a cell runs.

    Where JupyterLab sends it to a thread beside the cells. ipykernel 7.4 would hand it to whoever
    wrote to the widget last, most often a cell, so that it waits for the cell's end.
    """
    for child in getattr(widget, "children", ()):
        hear_during_cells(child)
    widget.comm._reply_subshell_for = lambda data, subshell_id: subshell_id


def close_widgets(widget: Any) -> None:
    """Close a widget and all that stand in it."""
    for child in getattr(widget, "children", ()):
        close_widgets(child)
    for part in (widget.layout, getattr(widget, "style", None), widget):
        if part is not None:
            part.close()


def make_button(text: str, tooltip: str, method: Callable[[], None]) -> Any:
    """Make a button as wide as its text that calls a bound method, held weakly."""
    button = widgets.Button(description=text, tooltip=tooltip, layout=widgets.Layout(width="auto"))
    on_change(button, method)
    return button


def on_change(widget: Any, method: Callable[[], None], *names: str) -> None:
    """Call a bound method, held weakly, when one of a widget's traits changes, or it is clicked."""
    ref = weakref.WeakMethod(method)

    def call(_: object) -> None:
        if (alive := ref()) is not None:
            alive()

    if names:
        widget.observe(call, list(names))
    else:
        widget.on_click(call)
