"""What widgets leave in a saved notebook: it is opened without a kernel."""

from __future__ import annotations

import base64
import io
import json
import queue
from typing import Any

import pytest

pytest.importorskip("nbconvert")
pytest.importorskip("anywidget")

import sttlab as stt
from sttlab.capture.base import Block
from sttlab.evaluate.labels import Labels, Turn
from sttlab.live.session import Session
from tests.fakes import Blocks, Counting
from tests.widgets import WAIT_S, display, noise

pytestmark = pytest.mark.needs("jupyter")

VIEW = "application/vnd.jupyter.widget-view+json"


@pytest.fixture
def talk(data):
    return stt.load(data / "demo.flac")


@pytest.fixture
def saved():
    """Shows widgets, saves the notebook, and opens the file again where no kernel runs."""
    import nbformat
    from nbconvert import HTMLExporter

    shown = []

    def save(widget) -> tuple[dict[str, str], str]:
        shown.append(widget)
        outputs = json.loads(json.dumps(display(widget)))
        assert VIEW in outputs[0]
        assert VIEW not in outputs[1], "JupyterLab would show no more of it than the widget"
        cell = nbformat.v4.new_code_cell("widget")
        cell.outputs = [nbformat.v4.new_output("display_data", data) for data in outputs]
        file = nbformat.writes(nbformat.v4.new_notebook(cells=[cell]))
        page, _ = HTMLExporter().from_notebook_node(nbformat.reads(file, as_version=4))
        return outputs[1], page.split("</head>")[1]

    yield save
    for widget in shown:
        widget.close()


def image(data):
    from PIL import Image

    return Image.open(io.BytesIO(base64.b64decode(data["image/png"]))).convert("RGB")


def test_a_saved_tuner_shows_picture_scores_and_utterances_without_a_kernel(talk, data, saved):
    labels = stt.load_labels(data / "demo.rttm")
    tuner = stt.VadTuner(talk, labels=labels)
    bundle, page = saved(tuner)
    assert len(image(bundle).getcolors(1 << 24)) > 50
    assert bundle["image/png"] in page, "the picture is in the exported page"
    count = len(tuner.utterances)
    for shown in (page, bundle["text/plain"]):
        assert f"{count} utterances" in shown
        assert "By the labels" in shown
        for utterance in tuner.utterances:
            assert f"{utterance.start_s:.2f} s" in shown
    assert "widget-view" not in page, "no empty place for a widget"


def test_a_long_list_is_shortened(saved):
    parts: list[tuple[float, float]] = [(1, -70), (0.4, -20)]
    many = stt.Recording(noise(*parts * 50, (1, -70)))
    bundle, _ = saved(stt.VadTuner(many))
    assert "… and 10 more" in bundle["text/plain"]
    assert len(json.dumps(bundle)) < 1_000_000


def test_a_saved_labeler_shows_its_labels_without_a_kernel(talk, saved):
    labels = Labels([Turn(start_s=1.25, end_s=2.5, speaker="anna", text="<so>, it is")])
    bundle, page = saved(stt.Labeler(talk, labels))
    assert len(image(bundle).getcolors(1 << 24)) > 50
    assert bundle["image/png"] in page
    assert "&lt;so&gt;, it is" in page
    assert "1.25 s  2.50 s  anna  <so>, it is" in bundle["text/plain"]


def test_a_saved_monitor_shows_its_state_without_a_kernel(saved):
    session = Session(Blocks(Block(noise((1, -70)))), model=Counting())
    bundle, page = saved(stt.LiveMonitor(session))
    assert "stopped: " in bundle["text/plain"]
    assert "stopped: " in page


def test_what_is_saved_follows_what_is_shown(talk, monkeypatch):
    from sttlab.notebook import painter

    tuner = stt.VadTuner(talk)
    published: queue.Queue[Any] = queue.Queue()

    def publish(data, transient=None, update=False):
        published.put((data["text/plain"], transient, update))

    monkeypatch.setattr(painter, "publish_display_data", publish)
    monkeypatch.setattr(painter, "get_ipython", lambda: "a shell")
    monkeypatch.setattr(tuner._still_painter, "_quiet_s", 0.01)
    tuner._ipython_display_()
    _, (before, shown, is_update) = (published.get(timeout=WAIT_S) for _ in range(2))
    assert not is_update
    tuner.config = stt.VadConfig(silence_timeout_s=0.1)
    after, updated, is_update = published.get(timeout=WAIT_S)
    assert is_update
    assert updated == shown
    assert f"{len(tuner.utterances)} utterances" in after
    assert f"{len(tuner.utterances)} utterances" not in before
    tuner.close()
