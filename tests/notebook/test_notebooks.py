"""Every notebook runs as shipped, from top to bottom, and its cells have the expected outputs."""

from __future__ import annotations

import ast
import base64
import html
import io
import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from sttlab.config import VadConfig
from tests.notebook.lab_pages import error_rate
from tests.ports import free_port

nbformat = pytest.importorskip("nbformat", reason="nbformat not installed (`make test` does it)")

pytestmark = pytest.mark.needs("jupyter")

CELL_S = 180
NOTEBOOKS = sorted((Path(__file__).parents[2] / "notebooks").glob("*.ipynb"))


@pytest.fixture
def run(root, tmp_path, monkeypatch):
    """Run a notebook in a copy of its folder; return its cells with their outputs."""
    import nbformat
    from nbclient import NotebookClient

    shutil.copytree(root / "data", tmp_path / "data")
    (tmp_path / "notebooks").mkdir()
    monkeypatch.setenv("PYTHONPATH", str(root))

    def run(name: str, *extra: str) -> Shown:
        book = nbformat.read(root / "notebooks" / name, as_version=4)
        for cell in book.cells:
            cell.source = cell.source.replace("port=8000", f"port={free_port()}")
        book.cells += [nbformat.v4.new_code_cell(source) for source in extra]
        NotebookClient(
            book, timeout=CELL_S, resources={"metadata": {"path": str(tmp_path / "notebooks")}}
        ).execute()
        return Shown(book)

    return run


class Shown:
    """The outputs of an executed notebook."""

    def __init__(self, book: Any) -> None:
        self.cells = [cell for cell in book.cells if cell.cell_type == "code"]
        widgets = book.metadata.get("widgets", {})  # one may have none
        self.widgets = widgets.get("application/vnd.jupyter.widget-state+json", {"state": {}})

    def all_of(self, source: str) -> list[dict[str, Any]]:
        """The outputs but text of the first cell whose source contains this, by MIME type."""
        cell = next(cell for cell in self.cells if source in cell.source)
        return [output.data for output in cell.outputs if "data" in output]

    def of(self, source: str) -> dict[str, Any]:
        """The last of them."""
        return self.all_of(source)[-1]

    def text_of(self, source: str) -> str:
        """What the first cell whose source contains this prints."""
        cell = next(cell for cell in self.cells if source in cell.source)
        return "".join(output.get("text", "") for output in cell.outputs)

    @property
    def html(self) -> list[str]:
        """All HTML in widgets."""
        models = self.widgets["state"].values()
        return [m["state"].get("value", "") for m in models if m["model_name"] == "HTMLModel"]

    @property
    def words(self) -> str:
        """The same without tags."""
        return without_tags(" ".join(self.html))


def without_tags(page: str) -> str:
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]*>", " ", page)))


def picture(data: dict[str, Any]) -> Any:
    from PIL import Image

    return Image.open(io.BytesIO(base64.b64decode(data["image/png"])))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_is_shipped_without_outputs(path):
    import nbformat

    book = nbformat.read(path, as_version=4)
    nbformat.validate(book)
    assert [
        c.get("execution_count") for c in book.cells if c.cell_type == "code" and c.outputs
    ] == []
    assert book.cells[0].cell_type == "markdown"
    assert "widgets" not in book.metadata
    assert book.metadata.kernelspec.name == "python3"


def test_01_capture_and_see(run):
    shown = run("01_capture_and_see.ipynb")
    recording = shown.of("recorder.recording")["text/html"]
    assert "demo.flac: 31.13 s" in recording
    assert "<svg" in recording
    assert 'src="data:audio/wav;base64,' in recording
    trace = picture(shown.of("plot_trace"))
    assert trace.size[0] == 1920
    assert len(trace.convert("RGB").getcolors(1 << 24)) > 50
    players = [data["text/html"] for data in shown.all_of("display(utterance)")]
    assert len(players) >= 2
    assert all("<audio controls" in player and "dBFS" in player for player in players)
    assert "Microphone" in str(shown.widgets)
    assert "there is no microphone" in shown.words or "PortAudio" in shown.words


def test_02_tune_vad(run):
    shown = run(
        "02_tune_vad.ipynb",
        "buttons = {getattr(w, 'description', ''): w for w in tuner.widget.children[3].children}\n"
        "buttons['Calibrate'].click()\nbuttons['Save'].click()\ntuner._painter.settle()",
        "both = stt.segment(recording), tuner.utterances\n"
        "[stt.score(found, labels).detection_error_rate for found in both]",
        "[f'{u.start_s:.2f} s  {u.duration_s:.2f} s' for u in tuner.utterances]",
        "stt.Config.load('../data/vad.toml').vad == tuner.config",
        "tuner  # once more",
        "import gc, weakref",
        "gone, widgets = weakref.ref(tuner), (tuner.widget, comparer.widget)\n"
        "for widget in widgets: widget._view_count = 2\n"
        "del tuner, comparer\ngc.collect()\nshown = gone() is not None\n"
        "for widget in widgets: widget._view_count = 0\n"
        "gc.collect()\nshown, gone() is None, Out[5].margin_db",
    )
    assert shown.of("gone() is None")["text/plain"] == f"(True, True, {VadConfig().margin_db})"
    assert (
        "VadConfig(detector='energy', threshold_dbfs=None"
        in shown.cells[4].outputs[0].data["text/plain"]
    )
    assert picture(shown.of("plot_utterances")).size[0] == 1920
    longer = shown.of("comparer = stt.Comparer")["text/html"]
    assert "silence_timeout_s 1 instead of 0.6: " in longer
    before, after = json.loads(shown.of("both =")["text/plain"])
    assert after <= before < 0.02, "the defaults are as good as one click on Calibrate"
    assert shown.of("Config.load")["text/plain"] == "True"
    assert "5 utterances" in shown.words
    rows = ast.literal_eval(shown.of("u.start_s:")["text/plain"])
    assert len(rows) == 5
    left = shown.of("# once more")
    for i, row in enumerate(rows, 1):
        assert f"{i}  {row}" in left["text/plain"], "where no kernel runs, too"
    assert picture(left).size[0] == 960
    assert f"{before:.1%}" in shown.words
    assert f"{after:.1%}" in shown.words
    assert "saved to" in shown.words


# nbclient drops what a kernel's thread sends to a widget between two cells, so a cell reads it.
FACE = (
    "def face(w): return [str(getattr(w, 'value', '')), *(t for c in getattr(w, 'children', ()) "
    "for t in face(c))]\n"
)


@pytest.mark.needs("whisper")
def test_03_live_server(run, data):
    shown = run(
        "03_live_server.ipynb",
        FACE + "' '.join(face(monitor.widget))",
        "import json, urllib.request\n"
        "json.load(urllib.request.urlopen(server.url + 'health'))['status']",
        "server.stop()",
    )
    texts = ast.literal_eval(shown.of("session.wait")["text/plain"])
    assert len(texts) >= 3
    assert error_rate(texts, data / "demo.txt") < 0.2
    seen = without_tags(ast.literal_eval(shown.of("face(monitor.widget)")["text/plain"]))
    for text in texts:
        assert text in seen
    assert re.search(r"\d\.\d\d s 0\.\d\d", seen), "a delay and a confidence"
    assert "the source ended after 31.1 s" in seen
    assert "http://127.0.0.1:" in shown.of("launch_server(session, port")["text/html"]
    assert shown.of("urlopen")["text/plain"] == "'ready'"


@pytest.mark.needs("whisper", "bench")
def test_05_sweep(run):
    shown = run(
        "05_sweep.ipynb",
        "use = sweeper.widget.children[2].children[2].children[0]\n"
        "use.click()\nstt.Config.load('../data/vad.toml').vad == sweeper.config",
        "stt.score(stt.segment(recordings[0], sweeper.config), labels[0], duration_s=31.13)"
        ".merged, found.configs[chosen] == sweeper.config",
    )
    assert "312 settings tried" in shown.words
    assert "312 settings on 5 recordings, 147 s" in shown.of("sweeper.wait()")["text/html"]
    for axes in ('(found, "detection_error_rate")', '(found, "endpoint_delay_median_ms"'):
        assert picture(shown.of(axes)).size == (1120, 760)
    (printed,) = (c.outputs[0].text for c in shown.cells if "with the defaults" in c.source)
    measured = [
        [float(figure) for figure in re.findall(r"[\d.]+(?= with| chosen)", line)]
        for line in printed.splitlines()
    ]
    assert all(chosen <= default for default, chosen in measured), "worse in no way"
    assert len(measured) == 3
    (errors,) = (c.outputs[0].text for c in shown.cells if "hasty =" in c.source)
    good, hasty = (float(rate) for rate in re.findall(r"WER ([\d.]+)%", errors))
    assert good < hasty
    assert good < 15
    assert shown.of("use.click()")["text/plain"] == "True"
    assert shown.of("merged, found")["text/plain"] == "(0, True)"
    assert "saved to ../data/vad.toml" in shown.words


@pytest.mark.needs("whisper")
def test_06_remote_microphone(run, data):
    shown = run("06_remote_microphone.ipynb", "server.stop()")
    chosen, heard = (
        next(c for c in shown.cells if source in c.source).outputs
        for source in ("if microphone.on", "session.stats")
    )
    assert "No browser's microphone is on, so a recording takes its place" in chosen[0].text
    assert chosen[1].data["text/plain"] == "'demo.flac'"
    assert heard[0].text == "31.1 s heard, 0 samples lost\n"
    texts = ast.literal_eval(heard[1].data["text/plain"])
    assert error_rate(texts, data / "demo.txt") < 0.2
    for text in texts:
        assert text in shown.words
    link = shown.of("launch_server(session, port")["text/html"]
    assert re.search(r"ssh -L (\d+):127\.0\.0\.1:\1 MACHINE", link)


@pytest.mark.needs("whisper")
def test_07_latency_and_accuracy(run, data):
    shown = run(
        "07_latency_and_accuracy.ipynb",
        "ledger._painter.settle()",
        FACE + "' '.join(face(ledger.widget))",
    )
    assert picture(shown.of("plot_latency")).size[0] == 1920
    delays = re.findall(r"([0-9.]+) s, ([0-9.]+) s of it not", shown.text_of("late_s ="))
    assert len(delays) == 5
    assert all(float(whole) >= 0.6 for whole, _ in delays)
    assert "the engine began in the pause" in shown.text_of("late_s =")
    errors = shown.of("errors = wer")["text/html"]
    rate = re.search(r"WER ([0-9.]+)%.*N 70", errors)
    assert rate
    assert float(rate[1]) < 20
    assert errors.count("<li>") == 5
    assert "<mark" in errors, "one word at least is always misread"
    assert shown.text_of("by_utterance").count("%  ") == 5
    assert shown.of("session.history[1]")["text/html"].count("confidence 0.") >= 5
    assert shown.text_of("found.transcribe").count("WER") == 4
    assert picture(shown.of("plot_sweep")).size[0] > 900
    ledger = ast.literal_eval(shown.of("face(ledger.widget)")["text/plain"])
    assert "held back" in ledger
    assert 'src="data:audio/wav;base64,' in ledger


@pytest.mark.needs("evaluate", "cluster")
def test_10_corpora(run):
    shown = run("10_corpora.ipynb")
    corpus = without_tags(shown.of("measure()")["text/html"])
    assert "recordings 11" in corpus
    assert re.search(r"noise floor −\d+ dBFS \(−\d+ to −\d+\)", corpus)
    assert "24 settings on 5 recordings" in shown.of("stt.sweep")["text/html"]
    assert picture(shown.of("stt.plot_sweep")).size == (1120, 760)
    table = without_tags(shown.of("table.pivot")["text/html"])
    assert all(name in table for name in ("cough", "monologue", "pause", "0.6"))
    assert shown.of("repeat_results")["text/plain"] == "True"
    assert shown.of("Client(n_workers")["text/plain"] == "True"


@pytest.mark.needs("speakers", "whisper")
def test_08_who_spoke(run):
    shown = run(
        "08_who_spoke.ipynb",
        "[turn.speaker for turn in stt.load_labels('../data/my-speakers.rttm')][0]",
    )
    assert "2 speakers" in shown.of("found = stt.diarize")["text/html"]
    assert picture(shown.of("plot_trace(recording, labels=found)")).size[0] == 1920
    assert shown.of("load_labels('../data/my")["text/plain"] == "'Anna'"
    scores = shown.of("stt.score_speakers(found, truth)")["text/html"]
    assert re.search(r"speakers</th><td>3, found 2<", scores)
    assert picture(shown.of("plot_sweep(swept)")).size == (1120, 760)
    chosen, best = map(float, re.findall(r"([0-9.]+)% wrong", shown.text_of("judged =")))
    assert chosen >= best
    texts = ast.literal_eval(shown.of("session.wait()")["text/plain"])
    assert {"Speaker 1", "Speaker 2"} <= {speaker for speaker, _ in texts}
    assert "in the end" in shown.of("score_live_speakers")["text/html"]
    assert shown.of('rename("Speaker 1"')["text/plain"] == "{'Speaker 1': 'Anna'}"
    names = ast.literal_eval(shown.of("again.wait()")["text/plain"])
    assert len(names) >= 3
    assert {"Anna"} < set(names), "one is known by voice, and the other not"


def test_09_keep_and_compare(run):
    kept_before = "del session\nfor cell in (In[1], In[6], In[8]): exec(cell)\nsession is None"
    shown = run("09_keep_and_compare.ipynb", kept_before)
    assert shown.of("del session")["text/plain"] == "True", "without the cell that keeps one"
    face = shown.of('open_session("kept")')["text/html"]
    assert "pause.flac" in face
    assert "<svg" in face
    assert shown.of("stt.replay(kept).utterances")["text/plain"] == "True"
    summary = shown.text_of("comparison.summary")
    assert summary.startswith("silence_timeout_s 1 instead of 0.4: ")
    assert "merged" in summary
    assert "the texts of" not in summary
    compared = shown.of("comparison = stt.compare")["text/html"]
    assert summary.strip() in html.unescape(compared)
    assert "image/png" in shown.of("comparison = stt.compare")
    assert "utterances" in shown.of("stt.VadTuner(kept")["text/html"]
