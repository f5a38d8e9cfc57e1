"""04_label_and_score: as shipped, and with a mouse and a keyboard in a real JupyterLab."""

from __future__ import annotations

import re

import pytest

import sttlab as stt
from sttlab.evaluate.labels import Labels, Turn
from tests.notebook.lab_pages import PATIENCE_MS, opened
from tests.notebook.test_notebooks import picture, run  # noqa: F401  # a fixture

pytestmark = pytest.mark.needs("jupyter", "silero")

SPOKEN = 5  # sentences in demo


def test_04_label_and_score(run, data):  # noqa: F811
    shown = run(
        "04_label_and_score.ipynb",
        "bool((abs(stt.load_labels(labeler.widget.path).speech - labels.speech) < 1e-6).all())",
        "labeler.find(stt.VadConfig(threshold_dbfs=-1.0)), len(labeler.labels)",
    )
    turns = f"{SPOKEN} turns"
    assert turns in shown.of("labeler.save()")["text/html"]
    scores = shown.of("found = stt.segment(recording)")["text/html"]
    assert re.search(rf"utterances spoken</th><td>{SPOKEN}<", scores)
    assert picture(shown.of("plot_utterances")).size[0] == 1920
    (printed,) = (c.outputs[0].text for c in shown.cells if "decided_sample" in c.source)
    rows = printed.splitlines()
    assert len(rows) == SPOKEN
    recording = stt.load(data / "demo-noisy.flac")
    for row, found in zip(rows, stt.segment(recording), strict=True):
        start_s, end_s, begins_s, decided_s = map(float, re.findall(r"[+-]?\d+\.\d\d", row))
        assert start_s + begins_s == pytest.approx(found.start_s, abs=0.011)
        assert end_s + decided_s == pytest.approx(found.decided_sample / 16_000, abs=0.011)
    assert 0 <= float(shown.of("detection_error_rate")["text/plain"]) < 0.2
    assert shown.of("1e-6")["text/plain"] == "True"
    assert shown.of("threshold_dbfs=-1.0")["text/plain"].endswith(", 0)")


@pytest.fixture
def notebook(lab, browser):
    with opened(lab, browser, "notebooks/04_label_and_score.ipynb") as notebook:
        notebook.run_all()
        notebook.page.locator(".sttlab-labeler .sound").scroll_into_view_if_needed()
        yield notebook


@pytest.fixture
def canvas(notebook):
    return Canvas(notebook.page)


class Canvas:
    """The picture, in seconds of the recording."""

    def __init__(self, page):
        self.page = page
        self.root = page.locator(".sttlab-labeler")
        self.sound = self.root.locator(".sound")
        self.count = self.root.locator('[data-is="count"]')
        self.which = self.root.locator('[data-is="which"]')
        self.status = self.root.locator('[data-is="status"]')

    def x(self, time_s, duration_s):
        box = self.sound.bounding_box()
        return box["x"] + time_s / duration_s * box["width"], box["y"] + 60

    def drag(self, start_s, end_s, duration_s):
        self.sound.click(trial=True)  # waits until it stands still
        self.page.mouse.move(*self.x(start_s, duration_s))
        self.page.mouse.down()
        self.page.mouse.move(*self.x((start_s + end_s) / 2, duration_s))
        self.page.mouse.move(*self.x(end_s, duration_s))
        self.page.mouse.up()

    def drag_into_row(self, time_s, row, other, duration_s):
        """Drag what is spoken at a time from the row of a speaker into that of another."""
        x, y = self.x(time_s, duration_s)
        first = y - 60 + 18 + 120 + 4 + 13 + 8
        self.page.mouse.move(x, first + 16 * row)
        self.page.mouse.down()
        self.page.mouse.move(x + 1, first + 16 * other, steps=3)
        self.page.mouse.up()

    def press(self, *keys):
        for key in keys:
            self.page.keyboard.press(key)

    def field(self, name):
        return self.root.get_by_label(name, exact=True)

    def button(self, name):
        return self.root.get_by_role("button", name=name, exact=True)


@pytest.mark.needs("chromium")
def test_labels_by_mouse_and_keyboard(notebook, canvas, lab, data):
    from playwright.sync_api import expect

    length_s = stt.load(data / "demo-noisy.flac").duration_s
    first = stt.load_labels(lab.folder / "data" / "my-labels.rttm")
    expect(canvas.count).to_contain_text(f"{SPOKEN} stretches of speech")
    canvas.drag(30.2, 30.9, length_s)
    expect(canvas.count).to_contain_text(f"{SPOKEN + 1} stretches")
    expect(canvas.which).to_have_text("Speech 6 of 6")
    assert float(canvas.root.locator('[data-is="0"]').input_value()) == pytest.approx(30.2, abs=0.1)

    canvas.press("Delete")
    expect(canvas.count).to_contain_text(f"{SPOKEN} stretches")
    canvas.press("Control+z")
    expect(canvas.count).to_contain_text(f"{SPOKEN + 1} stretches")
    canvas.press("Control+z", "Control+y", "Control+z")
    expect(canvas.count).to_contain_text(f"{SPOKEN} stretches")

    end_s = first.turns[1].end_s
    canvas.drag(end_s, end_s + 0.6, length_s)
    expect(canvas.which).to_have_text("Speech 2 of 5")
    canvas.field("speaker").fill("anna")
    canvas.button("Save").click()  # and leaves the field, by which a row is added above
    expect(canvas.status).to_contain_text("saved to ../data/my-labels.rttm")

    saved = stt.load_labels(lab.folder / "data" / "my-labels.rttm")
    assert [t.start_s for t in saved] == [t.start_s for t in first]
    assert saved.turns[1].speaker == "anna"
    assert saved.turns[1].end_s == pytest.approx(end_s + 0.6, abs=0.05)
    assert [t for t in saved if t.speaker != "anna"] == [first.turns[i] for i in (0, 2, 3, 4)]
    assert notebook.value("labeler.labels.turns[1].speaker") == "'anna'"

    middle_s = (first.turns[3].start_s + first.turns[3].end_s) / 2
    canvas.drag_into_row(middle_s, 1, 0, length_s)
    notebook.wait_until("labeler.labels.turns[3].speaker == 'anna'")
    assert notebook.value("labeler.labels.turns[3].start_s") == str(first.turns[3].start_s)
    canvas.press("2")
    notebook.wait_until("labeler.labels.turns[3].speaker == ''")
    canvas.press("1")
    notebook.wait_until("labeler.labels.turns[3].speaker == 'anna'")
    canvas.root.get_by_label("all of theirs").check()
    canvas.field("speaker").fill("Ben")
    canvas.field("speaker").press("Enter")
    notebook.wait_until("[t.speaker for t in labeler.labels] == ['', 'Ben', '', 'Ben', '']")


@pytest.mark.needs("chromium")
def test_labels_by_keyboard_alone(notebook, canvas):
    from playwright.sync_api import expect

    cells = notebook.page.locator(".jp-Cell")
    count = cells.count()
    canvas.sound.focus()
    canvas.press("ArrowDown", "ArrowDown")
    expect(canvas.which).to_have_text("Speech 2 of 5")
    canvas.press("ArrowUp", "Delete")
    expect(canvas.count).to_contain_text("4 stretches")
    canvas.press("Home", "Shift+ArrowRight", "Shift+ArrowRight", "Shift+ArrowRight", "Enter")
    expect(canvas.which).to_have_text("Speech 1 of 5")
    length_s = float(notebook.value("recording.duration_s"))
    notebook.wait_until("labeler.labels.turns[0].start_s == 0")
    turn = eval(notebook.value("labeler.labels.turns[0]"), {"Turn": Turn})
    assert (turn.start_s, turn.end_s) == (0, pytest.approx(length_s * 0.03, abs=0.001))
    canvas.press("+", "+", "ArrowRight", "ArrowRight", "]")
    notebook.wait_until(f"labeler.labels.turns[0].end_s < {length_s * 0.02}")
    turn = eval(notebook.value("labeler.labels.turns[0]"), {"Turn": Turn})
    assert turn.end_s == pytest.approx(length_s * 0.005, abs=0.001), "a step is finer, zoomed in"
    assert cells.count() == count, "JupyterLab did not take the keys for its own"


@pytest.mark.needs("chromium", "whisper")
def test_the_kernels_labels_are_shown_in_every_view(notebook, canvas):
    from playwright.sync_api import expect

    with notebook.kernel() as client:
        code = "from sttlab.evaluate.labels import Labels, Turn\n"
        code += f"labeler.labels = {Labels([Turn(start_s=1, end_s=2)])!r}"
        client.execute(code, reply=True, timeout=60)
    expect(canvas.count).to_have_text("1 stretches of speech, 1.0 s")
    canvas.button("Undo").click()
    expect(canvas.count).to_contain_text("5 stretches")
    canvas.button("From VAD").click()
    expect(canvas.status).to_have_text(
        "5 stretches of speech found by the silero VAD, in place of 5: Undo brings them back"
    )
    canvas.button("Transcribe").click()
    written = "5 texts written: Undo takes them away"
    expect(canvas.status).to_have_text(written, timeout=PATIENCE_MS)
    notebook.wait_until("min(len(turn.text) for turn in labeler.labels) > 5")
    canvas.button("Undo").click()
    notebook.wait_until("not any(turn.text for turn in labeler.labels)")


@pytest.mark.needs("chromium")
def test_it_plays_what_is_chosen(notebook, canvas):
    from playwright.sync_api import expect

    canvas.sound.focus()
    canvas.press("ArrowDown", "Space")
    expect(canvas.button("■ Stop")).to_be_visible()
    canvas.press("Space")
    expect(canvas.button("▶ Play")).to_be_visible()
    canvas.press("Escape", "End", *["Shift+ArrowLeft"] * 5, "Space")
    expect(canvas.button("■ Stop")).to_be_visible()
    expect(canvas.button("▶ Play")).to_be_visible()
