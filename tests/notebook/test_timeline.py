"""The tuner's timeline in a real JupyterLab: by wheel, mouse, finger and keyboard."""

from __future__ import annotations

import base64
import io
import re

import numpy as np
import pytest

from sttlab.audio import SAMPLE_RATE, to_pcm16
from sttlab.decoding import load
from tests.fakes import wait_until
from tests.notebook.lab_pages import PATIENCE_MS, opened

pytestmark = pytest.mark.needs("jupyter", "chromium", "whisper")

RULER, WAVE, GAP, LEVEL = 18, 76, 4, 150  # heights in px

GOES_BACK = """() => {
    const now = document.querySelector(".sttlab-tuner [data-is=time]").textContent;
    const before = window.before;
    window.before = now;
    return now < before;
}"""
PAINTED = "() => new Promise(r => requestAnimationFrame(() => requestAnimationFrame(r)))"


@pytest.fixture(scope="module")
def notebook(lab, browser):
    from playwright.sync_api import expect

    expect.set_options(timeout=PATIENCE_MS)
    with opened(lab, browser, "notebooks/02_tune_vad.ipynb", has_touch=True) as notebook:
        notebook.run(2)
        notebook.page.locator(".sttlab-utterances [data-row]").first.wait_for()
        yield notebook


@pytest.fixture
def picture(notebook):
    picture = Picture(notebook)
    picture.page.set_viewport_size({"width": 1300, "height": 1000})
    picture.sound.scroll_into_view_if_needed()
    picture.sound.focus()
    picture.page.keyboard.press("0")
    yield picture
    if picture.button("■ Stop").is_visible():
        picture.button("■ Stop").click()


class Picture:
    """The picture, in seconds of the recording."""

    def __init__(self, notebook):
        self.notebook = notebook
        self.page = notebook.page
        self.root = self.page.locator(".sttlab-tuner")
        self.sound = self.root.locator(".sound")
        self.view = self.root.locator('[data-is="view"]')
        self.time = self.root.locator('[data-is="time"]')
        self.chosen = self.root.locator('[data-row][aria-selected="true"]')
        self.said = self.root.locator(".said")
        self.length_s = float(notebook.value("recording.duration_s"))

    def place(self, time_s, y):
        box = self.sound.bounding_box()
        return box["x"] + time_s / self.length_s * box["width"], box["y"] + y

    def drag(self, start, end):
        self.page.mouse.move(*start)
        self.page.mouse.down()
        self.page.mouse.move((start[0] + end[0]) / 2, (start[1] + end[1]) / 2)
        self.page.mouse.move(*end)
        self.page.mouse.up()

    def button(self, name):
        return self.root.get_by_role("button", name=name, exact=True)

    def seen_s(self):
        """The visible stretch, as its text says once it is painted."""
        self.page.evaluate(PAINTED)
        numbers = re.findall(r"(\d+):([\d.]+)", self.view.inner_text())
        return [60 * int(minutes) + float(seconds) for minutes, seconds in numbers]

    def utterance(self, i):
        return eval(
            self.notebook.value(f"[tuner.utterances[{i}].start_s, tuner.utterances[{i}].end_s]")
        )


def test_the_wheel_zooms_where_it_turns_without_a_click(picture):
    from playwright.sync_api import expect

    picture.page.locator(".jp-Cell").first.click()
    picture.sound.scroll_into_view_if_needed()
    picture.page.mouse.move(*picture.place(10, 60))
    before = picture.page.locator(".jp-WindowedPanel-outer").evaluate("e => e.scrollTop")
    picture.page.mouse.wheel(0, -600)
    expect(picture.view).not_to_contain_text("0:00 ")
    start_s, end_s = picture.seen_s()
    assert start_s < 10 < end_s
    assert end_s - start_s == pytest.approx(picture.length_s * 1.0025**-600, rel=0.1)
    assert picture.page.locator(".jp-WindowedPanel-outer").evaluate("e => e.scrollTop") == before
    picture.page.keyboard.down("Shift")
    picture.page.mouse.wheel(0, 200)
    picture.page.keyboard.up("Shift")
    expect(picture.view).not_to_contain_text(f"{start_s:05.2f}")
    assert picture.seen_s()[0] > start_s


def test_a_threshold_is_dragged_and_its_slider_follows(picture):
    picture.button("Calibrate").click()
    picture.notebook.wait_until("tuner.config.threshold_dbfs is not None")
    curve = eval(picture.notebook.value("tuner._picture.curves[1]"))
    db_per_px = (curve["high"] - curve["low"]) / LEVEL
    before = float(picture.notebook.value("tuner.config.threshold_dbfs"))
    top = RULER + WAVE + GAP
    y = top + (curve["high"] - before) / db_per_px
    picture.drag(picture.place(20, y), picture.place(21, y - 30))
    picture.notebook.wait_until(f"tuner.config.threshold_dbfs > {before + 5}")
    expected = before + 30 * db_per_px
    after = float(picture.notebook.value("tuner.config.threshold_dbfs"))
    assert after == pytest.approx(expected, abs=1)
    slider = picture.root.get_by_role("slider", name="Threshold (dBFS)", exact=True)
    assert float(slider.get_attribute("aria-valuenow")) == pytest.approx(after, abs=0.26)
    picture.button("Reset").click()
    picture.notebook.wait_until("tuner.config.threshold_dbfs is None")


def test_thresholds_move_by_keyboard(picture):
    def levels():
        names = ("threshold_dbfs", "hysteresis_db")
        return [float(picture.notebook.value(f"tuner.config.{name}")) for name in names]

    picture.button("Calibrate").click()
    picture.notebook.wait_until("tuner.config.threshold_dbfs is not None")
    onset, gap = levels()
    picture.sound.focus()
    for _ in range(4):
        picture.page.keyboard.press("Shift+ArrowUp")
    picture.notebook.wait_until(f"tuner.config.threshold_dbfs >= {onset} + 1.7")
    for _ in range(2):
        picture.page.keyboard.press("Alt+ArrowDown")
    picture.notebook.wait_until(f"tuner.config.hysteresis_db == {gap} + 1")
    assert levels()[0] == pytest.approx(onset + 2, abs=0.3)
    picture.button("Reset").click()
    picture.notebook.wait_until("tuner.config.threshold_dbfs is None")


def test_a_click_on_an_utterance_plays_it_and_shows_its_row_and_text(picture):
    from playwright.sync_api import expect

    start_s, end_s = picture.utterance(1)
    picture.page.mouse.click(*picture.place((start_s + end_s) / 2, 60))
    expect(picture.button("■ Stop")).to_be_visible()
    expect(picture.chosen).to_have_attribute("data-row", "1")
    expect(picture.said).to_contain_text(re.compile(r"Utterance 2: .*silence timeout\. \w+"))
    picture.notebook.wait_until("len(tuner._list.texts['1']) > 20")
    expect(picture.button("▶ Play")).to_be_visible()


def test_a_click_on_a_row_shows_its_place(picture):
    from playwright.sync_api import expect

    for _ in range(4):
        picture.button("zoom in").click()
    start_s, _ = picture.utterance(3)
    picture.root.locator('[data-row="3"]').click(position={"x": 60, "y": 10})
    expect(picture.time).to_contain_text(f"{int(start_s // 60)}:{start_s % 60:05.2f}")
    seen = picture.seen_s()
    assert seen[0] <= start_s <= seen[1]
    expect(picture.button("▶ Play")).to_be_visible()


def test_all_of_it_works_by_keyboard(picture):
    from playwright.sync_api import expect

    page = picture.page
    cells = page.locator(".jp-Cell").count()
    picture.root.locator(".list").focus()
    page.keyboard.press("Home")
    page.keyboard.press("ArrowDown")
    expect(picture.chosen).to_have_attribute("data-row", "1")
    page.keyboard.press("Enter")
    expect(picture.button("■ Stop")).to_be_visible()
    picture.sound.focus()
    page.keyboard.press(" ")
    expect(picture.button("▶ Play")).to_be_visible()
    page.keyboard.press("ArrowDown")
    expect(picture.chosen).to_have_attribute("data-row", "2")
    for _ in range(3):
        page.keyboard.press("+")
    start_s, end_s = picture.seen_s()
    assert end_s - start_s == pytest.approx(picture.length_s / 8, rel=0.05)
    page.keyboard.press("Escape")
    for _ in range(5):
        page.keyboard.press("Shift+ArrowRight")
    expect(picture.time).to_contain_text("–")
    page.keyboard.press("l")
    expect(picture.button("Loop")).to_have_attribute("aria-pressed", "true")
    page.keyboard.press(">")
    page.keyboard.press(">")
    expect(picture.root.get_by_label("speed", exact=True)).to_have_value("1.5")
    page.keyboard.press(" ")
    page.wait_for_function(GOES_BACK, polling="raf")
    for key in (" ", "l", "<", "<", "0"):
        page.keyboard.press(key)
    expect(picture.button("▶ Play")).to_be_visible()
    assert page.locator(".jp-Cell").count() == cells, "JupyterLab did not take the keys"


def test_a_change_of_the_settings_is_undone_and_done_again_by_keyboard(picture):
    picture.button("level, fixed").click()
    picture.notebook.wait_until("tuner.config.threshold_dbfs is not None")
    picture.sound.focus()
    picture.page.keyboard.press("Control+z")
    picture.notebook.wait_until("tuner.config.threshold_dbfs is None")
    picture.page.keyboard.press("Control+Shift+z")
    picture.notebook.wait_until("tuner.config.threshold_dbfs is not None")
    picture.button("Undo").click()
    picture.notebook.wait_until("tuner.config.threshold_dbfs is None")


def test_n_goes_to_what_is_wrong_by_the_labels(picture):
    from playwright.sync_api import expect

    fault = picture.root.locator('[data-is="fault"]')
    expect(fault).to_have_text("0 wrong")
    after = picture.root.locator('[data-do="faultAfter"]')
    place = after.bounding_box()
    picture.root.get_by_role("slider", name="Silence timeout (s)", exact=True).focus()
    picture.page.keyboard.press("Home")
    picture.notebook.wait_until("tuner.config.silence_timeout_s == 0.1")
    expect(fault).to_have_text(re.compile("[1-9] wrong"))
    picture.sound.focus()
    picture.page.keyboard.press("Home")
    picture.page.keyboard.press("n")
    expect(fault).to_have_text(re.compile(r"1 of [1-9]: torn.*; silence timeout \d\.\d\d s would"))
    assert after.bounding_box() == place, "the arrow stays under the mouse"
    start_s = float(picture.notebook.value("tuner._picture.faults[0][0]"))
    expect(picture.time).to_contain_text(f"0:{start_s:05.2f}")
    expect(picture.chosen).to_have_count(1)
    picture.button("Reset").click()
    expect(fault).to_have_text("0 wrong")


def test_the_highest_frequency_of_the_spectrogram_is_chosen_in_the_menu_of_tracks(picture):
    from playwright.sync_api import expect

    tracks = picture.root.get_by_text("Tracks", exact=True)
    tracks.click()
    row = picture.root.locator(".tracks li").filter(has_text="spectrogram")
    box = row.get_by_role("checkbox")
    box.click()
    expect(box).to_be_checked()
    row.get_by_role("button", name="highest frequency: 8 kHz").click()
    expect(row.get_by_role("button", name="highest frequency: 4 kHz")).to_be_focused()
    picture.notebook.wait_until(
        "tuner._picture.arrangement.get('chosen') == {'spectrogram': {'kHz': 4}}"
    )
    box.click()
    expect(box).not_to_be_checked()
    tracks.click()


def test_what_is_chosen_is_saved_as_audio_and_what_is_seen_as_a_picture(picture, data, tmp_path):
    from PIL import Image

    picture.root.locator('[data-row="1"]').click(position={"x": 60, "y": 10})
    start_s, end_s = picture.utterance(1)
    with picture.page.expect_download() as waiting:
        picture.button("WAV").click()
    assert waiting.value.suggested_filename == f"demo-noisy {start_s:.2f}-{end_s:.2f} s.wav"
    waiting.value.save_as(tmp_path / "utterance.wav")
    samples = load(tmp_path / "utterance.wav").samples
    whole = load(data / "demo-noisy.flac").samples
    expected = whole[round(start_s * SAMPLE_RATE) : round(end_s * SAMPLE_RATE)]
    assert np.array_equal(to_pcm16(samples), to_pcm16(expected))
    with picture.page.expect_download() as waiting:
        picture.button("PNG").click()
    waiting.value.save_as(tmp_path / "picture.png")
    image = Image.open(tmp_path / "picture.png").convert("RGB")
    assert image.width == picture.sound.evaluate("canvas => canvas.width")
    assert len(np.unique(np.asarray(image).reshape(-1, 3), axis=0)) > 20


def test_the_waveform_is_made_larger_by_key(picture):
    from PIL import Image

    def seen():
        picture.page.evaluate(PAINTED)
        _, data = picture.sound.evaluate("canvas => canvas.toDataURL()").split(",")
        return np.asarray(Image.open(io.BytesIO(base64.b64decode(data))).convert("RGBA"), int)

    before = seen()
    picture.page.keyboard.press("v")
    assert np.abs(seen() - before).max() > 100
    picture.page.keyboard.press("Shift+v")
    assert np.abs(seen() - before).max() < 8  # a kept layer is rounded once more


def test_all_utterances_are_transcribed(picture):
    from playwright.sync_api import expect

    picture.button("Transcribe all").click()
    expect(picture.root).to_contain_text("all 5 transcribed")
    assert "amiable" in picture.notebook.value("' '.join(tuner._list.texts.values())")


@pytest.mark.parametrize("width", [500, 1300, 2500])
def test_nothing_is_clipped_at_any_width(picture, width):
    picture.page.set_viewport_size({"width": width, "height": 1000})
    picture.page.evaluate(PAINTED)
    clipped = picture.root.evaluate(
        """root => {
            const right = root.getBoundingClientRect().right + 1;
            const all = [...root.querySelectorAll(".sttlab-timeline :is(button, select, canvas)")];
            return all.filter(e => e.offsetParent && e.getBoundingClientRect().right > right)
                .map(e => e.outerHTML);
        }"""
    )
    assert clipped == []


def test_a_saved_notebook_shows_what_was_seen_last_where_its_kernel_is_gone(lab, browser):
    from playwright.sync_api import expect

    path = lab.copy("02_tune_vad.ipynb", {})
    with opened(lab, browser, path) as notebook:
        notebook.run(2)
        tuner, still = (notebook.page.locator(f".sttlab-{name}") for name in ("tuner", "still"))
        tuner.locator("[data-row]").first.wait_for()
        expect(still).to_be_hidden()
        tuner.get_by_role("button", name="Calibrate").click()
        expect(tuner.locator(".sttlab-count")).to_have_text("5 utterances")
        notebook.wait_until("tuner.config.threshold_dbfs is not None")
        error = tuner.locator(".sttlab-scores tr").nth(1).locator("td").last.inner_text()
        expect(still.locator(".sttlab-scores tr").nth(1).locator("td").last).to_have_text(error)
        notebook.menu("File", "Save Notebook")
        wait_until(lambda: error in (lab.folder / path).read_text(encoding="utf-8"))
    with opened(lab, browser, path) as notebook:
        expect(notebook.page.locator(".sttlab-still img")).to_be_visible()
        expect(notebook.page.locator(".sttlab-still")).to_contain_text("5 utterances")
        expect(notebook.page.get_by_text("model not found")).to_be_hidden()
        expect(notebook.page.get_by_text("Loading widget")).to_have_count(0)
        notebook.expect_no_errors()
