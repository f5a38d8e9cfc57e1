"""02, 03 and 05 in a real JupyterLab, as a person uses them: with a mouse and a keyboard."""

from __future__ import annotations

import json
import re
import urllib.request

import numpy as np
import pytest

import sttlab as stt
from sttlab.audio import wav_bytes
from tests.fakes import wait_until
from tests.notebook.lab_pages import PATIENCE_MS, opened
from tests.ports import free_port

pytestmark = pytest.mark.needs("jupyter", "chromium", "whisper", "silero")

THREADS = "sorted(t.name for t in __import__('threading').enumerate() if 'sttlab' in t.name)"

# The height of the onset threshold at its last moment: of the uppermost pixel of its colour in the
# last column that has any.
THRESHOLD = """() => {
    const canvas = document.querySelector(".sttlab-monitor .sound");
    const { width, height } = canvas;
    const { data } = canvas.getContext("2d").getImageData(0, 0, width, height);
    for (let x = width - 1; x >= 0; x--) {
        for (let y = 0; y < height; y++) {
            const [r, g, b, a] = data.slice(4 * (y * width + x), 4 * (y * width + x) + 4);
            if (a > 200 && r > 200 && g > 80 && g < 110 && b < 20) return y;
        }
    }
    return NaN;
}"""

# Whether the picture scrolled more often in two seconds than levels come, which is ten times each.
# It is asked at each frame, and not a promise: nobody waits for one.
GLIDES = """() => {
    const view = document.querySelector(".sttlab-monitor [data-is=view]").textContent;
    const now = performance.now();
    window.views = [...(window.views ?? []).filter(([at]) => now - at < 2000), [now, view]];
    return new Set(window.views.map(([, view]) => view)).size > 30;
}"""

LISTENING = "[t for t in __import__('threading').enumerate() if t.name == 'sttlab-dsp']"


@pytest.fixture(autouse=True)
def patience():
    from playwright.sync_api import expect

    expect.set_options(timeout=PATIENCE_MS)


@pytest.fixture
def saved(lab):
    """Where 02 and 05 write; empty at first."""
    path = lab.folder / "data" / "vad.toml"
    path.unlink(missing_ok=True)
    return path


def slider(widget, name):
    return widget.get_by_role("slider", name=name, exact=True)


def broken_rules(page, selector):
    """What axe finds in an element: the rule, and the first place that breaks it."""
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(page, context=selector).response["violations"]
    return [(rule["id"], rule["nodes"][0]["html"]) for rule in found]


def cut_when_narrow(widget):
    """The buttons whose words have no room in a narrow window."""
    page, size, width = widget.page, widget.page.viewport_size, widget.bounding_box()["width"]
    page.set_viewport_size({**size, "width": 500})
    wait_until(lambda: widget.bounding_box()["width"] < 500)
    cut = "all => all.filter(b => b.scrollWidth > b.clientWidth).map(b => b.textContent)"
    found = widget.locator("button:visible").evaluate_all(cut)
    page.set_viewport_size(size)
    wait_until(lambda: widget.bounding_box()["width"] == width)
    return found


def halves_the_error(rows):
    """Whether the first row's last figure is less than half of the second's."""
    now, first = (float(re.sub("[^0-9.]", "", row.split("\t")[-1])) for row in rows)
    return now < first / 2


def test_02_in_a_minute_settings_that_beat_the_defaults_are_used_in_03(lab, browser, saved):
    from playwright.sync_api import expect

    with opened(lab, browser, "notebooks/02_tune_vad.ipynb") as notebook:
        page = notebook.page
        notebook.run_all()
        tuner = page.locator(".sttlab-tuner")
        count, scores = tuner.locator(".sttlab-count"), tuner.locator(".sttlab-scores tr")
        expect(count).to_have_text("5 utterances")
        assert broken_rules(page, ".sttlab-tuner") == []

        threshold = slider(tuner, "Above the noise (dB)")
        threshold.focus()
        page.keyboard.press("Home")
        expect(count).not_to_have_text("5 utterances")
        page.keyboard.press("ArrowRight")
        expect(threshold).to_have_attribute("aria-valuenow", "1.5")
        notebook.wait_until("tuner.config.margin_db == 1.5")

        expect(tuner.locator(".sttlab-advice")).to_contain_text("or press Calibrate")
        tuner.get_by_role("button", name="Calibrate").click()
        expect(count).to_have_text("5 utterances")
        wait_until(lambda: halves_the_error(scores.all_inner_texts()[1:]))  # drawn after the count
        tuner.get_by_role("button", name="Save").click()
        expect(tuner.get_by_role("status").filter(has_text="saved to")).to_be_visible()

        page.locator(".jp-Cell").last.click()
        page.keyboard.press("Escape")
        page.keyboard.press("b")
        page.keyboard.press("Enter")
        page.keyboard.type("tuner")
        page.keyboard.press("Shift+Enter")
        expect(tuner).to_have_count(2)
        slider(tuner.nth(1), "Pre-roll (s)").focus()
        page.keyboard.press("End")
        expect(slider(tuner.nth(0), "Pre-roll (s)")).to_have_attribute("aria-valuenow", "1.0")
        notebook.expect_no_errors()
    config = stt.Config.load(saved).vad
    assert config.threshold_dbfs is not None
    with opened(lab, browser, "notebooks/03_live_server.ipynb") as notebook:
        notebook.run(2)
        monitor = notebook.page.locator(".sttlab-monitor")
        now_s = slider(monitor, "Threshold (dBFS)").get_attribute("aria-valuenow")
        assert float(now_s) == pytest.approx(config.threshold_dbfs, abs=0.26)
        assert notebook.value("session.config.threshold_dbfs") == f"{config.threshold_dbfs}"


def test_05_a_point_is_clicked_seen_and_used_in_03(lab, browser, saved):
    from playwright.sync_api import expect

    with opened(lab, browser, "notebooks/05_sweep.ipynb") as notebook:
        page = notebook.page
        notebook.run(2)
        sweeper = page.locator(".sttlab-sweeper")
        status = sweeper.get_by_role("status")
        expect(status.filter(has_text="312 settings tried")).to_be_visible()
        heat_map, trade = (sweeper.locator(".sttlab-chart").nth(i) for i in (0, 1))
        expect(trade.locator("img")).to_be_visible()
        assert broken_rules(page, ".sttlab-sweeper") == []
        assert cut_when_narrow(sweeper) == []

        wanted = "{'margin_db': 16.0, 'silence_timeout_s': 0.6}"
        place = eval(
            notebook.value(
                "next(p for p in sweeper._map.points"
                f" if {wanted}.items() <= sweeper.sweep.values(p[0]).items())"
            )
        )
        box = heat_map.locator("img").bounding_box()
        assert box is not None
        x, y = place[1] * box["width"], place[2] * box["height"]
        heat_map.locator("img").click(position={"x": x, "y": y})
        expect(
            status.filter(has_text="above the noise 16 dB, silence timeout 0.6 s")
        ).to_be_visible()
        margin = slider(sweeper, "Above the noise (dB)")
        expect(margin.last).to_have_attribute("aria-valuenow", "16.0")
        found = notebook.value(
            f"len(stt.segment(recordings[0], sweeper.sweep.configs[{int(place[0])}]))"
        )
        expect(sweeper.locator(".sttlab-count")).to_have_text(f"{found} utterances")

        before = page.locator(".jp-Cell").count()
        heat_map.focus()
        page.keyboard.press("ArrowDown")
        expect(margin.last).to_have_attribute("aria-valuenow", "15.0")
        trade.focus()
        page.keyboard.press("ArrowLeft")
        expect(status.filter(has_text="above the noise 15 dB")).to_have_count(0)
        assert page.locator(".jp-Cell").count() == before

        sweeper.get_by_role("button", name="Use this").click()
        expect(status.filter(has_text="saved to ../data/vad.toml")).to_be_visible()
        chosen = notebook.value("sweeper.config")
        sweeper.get_by_label("Recording", exact=True).select_option(label="2: pause.flac")
        length_s = float(notebook.value("recordings[1].duration_s"))
        expect(sweeper.locator(".sttlab-tuner")).to_contain_text(f"of {length_s:.1f} s")
        notebook.expect_no_errors()
    with opened(lab, browser, "notebooks/03_live_server.ipynb") as notebook:
        notebook.run(2)
        notebook.page.locator(".sttlab-monitor").wait_for()
        assert notebook.value("session.config") == chosen


@pytest.fixture
def port():
    return free_port()


def test_03_a_recording_is_read_in_both_tabs_and_a_slider_moves_the_live_threshold(
    lab, browser, data, saved, port
):
    from playwright.sync_api import expect

    long = np.tile(stt.load(data / "demo.flac").samples, 10)
    (lab.folder / "data" / "long.wav").write_bytes(wav_bytes(long))
    path = lab.copy("03_live_server.ipynb", {"demo.flac": "long.wav", "8000": f"{port}"})
    with opened(lab, browser, path) as notebook:
        page = notebook.page
        notebook.run(4)
        monitor = page.locator(".sttlab-monitor")
        with page.context.expect_page() as tab:
            page.get_by_role("link", name=f"http://127.0.0.1:{port}/").click()
        expect(monitor.locator(".sttlab-table")).to_contain_text("Dashwood")
        expect(tab.value.locator("#transcript")).to_contain_text("Dashwood")
        assert broken_rules(page, ".sttlab-monitor") == []

        page.bring_to_front()
        for _ in range(3):
            monitor.get_by_role("button", name="zoom in").click()
        page.wait_for_function(GLIDES)
        expect(monitor.locator(".sttlab-state")).to_contain_text("RTF")
        assert cut_when_narrow(monitor) == []
        monitor.get_by_role("button", name="All", exact=True).click()
        before = page.wait_for_function(THRESHOLD).json_value()  # NaN until it is painted
        slider(monitor, "Above the noise (dB)").focus()
        page.keyboard.press("End")
        page.wait_for_function(f"({THRESHOLD})() < {before} - 30")
        assert notebook.value("session.config.margin_db") == "31.0"

        notebook.run(4)
        expect(monitor.locator(".sttlab-table")).to_contain_text("Dashwood")
        assert notebook.value("__import__('gc').collect() >= 0") == "True"
        assert notebook.value(f"[t.join(20) for t in {LISTENING} if t is not session._dsp]")
        assert notebook.value(f"len({LISTENING})") == "1", "the session before has ended"
        notebook.expect_no_errors()


def threads(notebook):
    """Return the names of sttlab's threads once nothing is left to draw."""
    notebook.wait_until(f"'sttlab-ui' not in {THREADS}")
    return notebook.value(THREADS)


def test_03_twice_and_again_after_a_restart_on_the_same_port(lab, browser, saved, port):
    def health():
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=30) as answer:
            return json.load(answer)["status"]

    path = lab.copy(
        "03_live_server.ipynb", {'demo.flac")': 'demo.flac", speed=16)', "8000": f"{port}"}
    )
    with opened(lab, browser, path) as notebook:
        notebook.run_all()
        assert health() == "ready"
        once = threads(notebook)
        notebook.run_all()
        assert health() == "ready"
        assert threads(notebook) == once
        notebook.expect_no_errors()
        notebook.restart()
        notebook.run_all()
        assert health() == "ready"
        assert threads(notebook) == once
        notebook.expect_no_errors()
