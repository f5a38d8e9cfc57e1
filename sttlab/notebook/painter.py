"""The thread `sttlab-ui`, which draws, and the lifetime of widgets."""

from __future__ import annotations

import logging
import re
import threading
import weakref
from collections import deque
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any
from uuid import uuid4

import ipywidgets as widgets
from IPython import display as ipython
from IPython import get_ipython

from sttlab.notebook.still import Presence, shown_html, still
from sttlab.notebook.timeline import Timeline

QUIET_S = 3.0  # without a change before what is saved is drawn anew
SHOWN_S = 0.02  # in which a browser shows what it was sent
STILLS = 4  # displays of a widget whose saved picture is kept up to date

publish_display_data: Any = ipython.publish_display_data  # which has no types

log = logging.getLogger(__name__)


class Painter:
    """Calls `paint` on the thread `sttlab-ui`, once for all requests since the last call.

    The thread starts with a request and ends when none is left, so an idle widget has no thread.

    Parameters
    ----------
    paint : bound method
        Held weakly.
    interval_s : float
        Shortest time between two calls (throttle).
    quiet_s : float
        Time without a request before a call (debounce).
    """

    def __init__(
        self, paint: Callable[[], None], interval_s: float = SHOWN_S, quiet_s: float = 0.0
    ) -> None:
        self._paint = weakref.WeakMethod(paint)
        self._interval_s = interval_s
        self._quiet_s = quiet_s
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._requested = False
        self._thread: threading.Thread | None = None

    def request(self) -> None:
        """Request a call of `paint`. Any thread may call it; never blocks."""
        with self._lock:
            self._requested = True
            if self._thread is None and not self._closed.is_set():
                self._thread = threading.Thread(target=self._run, name="sttlab-ui", daemon=True)
                self._thread.start()

    def let_show(self) -> None:
        """Give the browser time to show what came first, before `paint`, which calls this, goes on.

        What is sent at once is shown at once: with the last of it.
        """
        if threading.current_thread() is self._thread:
            self._closed.wait(SHOWN_S)

    @property
    def closed(self) -> bool:
        """Whether nothing more is painted."""
        return self._closed.is_set()

    def settle(self, timeout_s: float = 10.0) -> bool:
        """Wait until all requests are painted; say whether they were in time."""
        thread = self._thread
        if thread is None or thread is threading.current_thread():
            return True
        thread.join(timeout_s)
        return not thread.is_alive()

    def close(self) -> None:
        """Stop painting, and wait for a call that runs."""
        self._closed.set()
        self.settle()

    def _run(self) -> None:
        while True:
            with self._lock:
                if not self._requested or self._closed.is_set():
                    self._thread = None
                    return
                self._requested = False
            if self._quiet_s:
                self._closed.wait(self._quiet_s)
                if self._requested:
                    continue
            paint = self._paint()
            try:
                if paint is not None:
                    paint()
            except Exception:
                log.exception("drawing failed")
            del paint
            self._closed.wait(self._interval_s)


class Displayed:
    """An object that widgets display. It lives while a name refers to it or a page shows it.

    Subclasses call `_show` once and may extend `close`.

    A cell has two outputs: the widget, and what a saved notebook shows in its place. JupyterLab
    shows a widget's output as "model not found" where its kernel is gone, whatever else is in it;
    so the second one is an output of its own, which is hidden while the widget is there: by CSS in
    JupyterLab, and elsewhere by `Presence`.
    """

    widget: widgets.Box
    hidden = False
    """Whether a page has shown it and no page shows it any more."""
    _closed = False

    def _show(self, widget: widgets.Box) -> None:
        self.widget = widget
        presence = Presence(of=uuid4().hex)
        self._of = presence.of
        self._whole = widgets.VBox([widget, presence])
        handle_messages_during_cells(self._whole)
        widget._view_count = 0  # a number, not None, makes the front end count views
        widget.observe(partial(_count_views, weakref.ref(self)), "_view_count")
        self._finalizer = weakref.finalize(self, close_widgets, self._whole)
        self._finalizer.atexit = False
        self._stills: deque[str] = deque(maxlen=STILLS)  # ids of displays
        self._still_painter = Painter(self._keep_still, quiet_s=QUIET_S)

    def _ipython_display_(self) -> None:
        self.widget.keeps_alive = self
        publish_display_data({**self._whole._repr_mimebundle_(), "text/plain": type(self).__name__})
        _let_begin(self._whole)
        self._stills.append(uuid4().hex)
        publish_display_data(
            still(self._still(), self._of), transient={"display_id": self._stills[-1]}
        )

    def _changed(self) -> None:
        """Bring what is saved up to date, once nothing changes for a while. Never blocks."""
        if self._stills and not self._closed and get_ipython() is not None:
            self._still_painter.request()

    def _keep_still(self) -> None:
        """Run on `sttlab-ui`."""
        bundle = still(self._still(), self._of)
        for display_id in self._stills:
            publish_display_data(bundle, transient={"display_id": display_id}, update=True)

    def _still(self) -> Iterable[str]:
        """Return what a saved notebook shows where no kernel runs, as HTML."""
        return shown_html(self.widget)

    def close(self) -> None:
        """Take the widget off the page, and end its threads."""
        self._closed = True
        self._still_painter.close()
        self.widget.keeps_alive = None
        self._finalizer()


def _count_views(shown: weakref.ref[Displayed], change: Any) -> None:
    if (alive := shown()) is not None:
        alive.hidden = change["new"] == 0
        alive.widget.keeps_alive = None if alive.hidden else alive
        if alive.hidden:
            _forget(alive)


def _forget(shown: Displayed) -> None:
    """Remove it from IPython's history of outputs, which would keep it alive unnoticed."""
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


def handle_messages_during_cells(widget: Any) -> None:
    """Handle the browser's messages to a widget and its children even while a cell runs.

    JupyterLab sends them to a subshell, a thread beside the cells. But ipykernel 7.4 passes them on
    to the shell that wrote to the widget last. Most often that is the cells' shell, where a message
    waits for the end of the cell.
    """
    for child in getattr(widget, "children", ()):
        handle_messages_during_cells(child)
    widget.comm._reply_subshell_for = lambda data, subshell_id: subshell_id


def _let_begin(widget: Any) -> None:
    """Let the browser show the timelines in a widget before what is saved is drawn."""
    if isinstance(widget, Timeline):
        widget.let_begin()
    for child in getattr(widget, "children", ()):
        _let_begin(child)


def close_widgets(widget: Any) -> None:
    """Close a widget and its children."""
    for child in getattr(widget, "children", ()):
        close_widgets(child)
    for part in (widget.layout, getattr(widget, "style", None), widget):
        if part is not None:
            part.close()


def make_button(text: str, tooltip: str, method: Callable[[], None]) -> Any:
    """Make a button, as wide as its text, that calls a bound method, held weakly."""
    layout = widgets.Layout(width="auto", flex="none")
    button = widgets.Button(description=text, tooltip=tooltip, layout=layout)
    on_change(button, method)
    return button


def on_change(widget: Any, method: Callable[[], None], *names: str) -> None:
    """Call a bound method, held weakly, on a change of these traits; without names, on a click."""
    ref = weakref.WeakMethod(method)

    def call(_: object) -> None:
        if (alive := ref()) is not None:
            alive()

    if names:
        widget.observe(call, list(names))
    else:
        widget.on_click(call)
