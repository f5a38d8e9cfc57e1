"""Finds and reads widgets as a person does, without a browser."""

import html
import re
import threading
from unittest import mock

import numpy as np

from sttlab.audio import SAMPLE_RATE
from sttlab.engines.base import Transcription
from sttlab.engines.suppression import Suppression

WAIT_S = 10


def walk(widget):
    yield widget
    for child in getattr(widget, "children", ()):
        yield from walk(child)


def shown(widget):
    return widget.layout.display != "none"


def find(widget, kind, description):
    """Return the control with that description."""
    found = [w for w in walk(widget) if type(w).__name__ == kind and w.description == description]
    assert len(found) == 1, f"{len(found)} of {description}"
    return found[0]


def words(widget):
    """Return the text that a widget shows."""
    values = " ".join(w.value for w in walk(widget) if type(w).__name__ == "HTML" and shown(w))
    values = re.sub(r"<style>.*?</style>", " ", values, flags=re.DOTALL)
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]*>", " ", values)))


def settled(shown):
    """Wait until all is drawn."""
    assert shown._painter.settle(WAIT_S)
    return shown


def until(shown, *expected):
    """Wait until the widget shows all of the expected texts."""
    seen = threading.Event()

    def look(_):
        if all(text in words(shown.widget) for text in expected):
            seen.set()

    watched = [w for w in walk(shown.widget) if type(w).__name__ == "HTML"]
    for widget in watched:
        widget.observe(look, "value")
    look(None)
    assert seen.wait(WAIT_S), words(shown.widget)
    for widget in watched:
        widget.unobserve(look, "value")


def noise(*parts):
    """Make white noise of parts, each (seconds, dBFS)."""
    rng = np.random.default_rng(0)
    white = [rng.standard_normal(round(s * SAMPLE_RATE)) * 10 ** (db / 20) for s, db in parts]
    return np.concatenate(white).astype(np.float32)


def answer(text, *, suppressed=None):
    """Make an engine's answer."""
    held = [Suppression(text=t, reason="no speech", start_s=0, end_s=1) for t in (suppressed,) if t]
    return Transcription(
        text=text,
        segments=(),
        suppressed=tuple(held),
        language="en",
        language_probability=1.0,
        confidence=0.9,
    )


def display(shown):
    """Show a widget as a cell does; return its outputs: the widget's, and what is saved."""
    from sttlab.notebook import painter

    outputs = []
    with mock.patch.object(painter, "publish_display_data", lambda data, **_: outputs.append(data)):
        shown._ipython_display_()
    return outputs
