"""Take the pictures that the README shows: of the page, and of notebooks in a real JupyterLab.

python -m tests.notebook.make_images [page] [tuner] [sweep] [monitor] [comparison]

Those of the page and of the monitor show delays: take them on an idle machine.
"""

from __future__ import annotations

import io
import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image
from playwright.sync_api import expect, sync_playwright

from sttlab.capture import FileSource
from sttlab.live.session import Session
from sttlab.server.launch import launch_server
from tests.conftest import ROOT, find_chromium
from tests.notebook.conftest import Lab
from tests.notebook.lab_pages import PATIENCE_MS, opened

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, ViewportSize

IMAGES = ROOT / "notebooks" / "images"
WIDTH, HEIGHT = 1150, 1800
SHOWN = 644  # px from above
PAGE: ViewportSize = {"width": 1200, "height": 680}
PAGE_SCALE = 1.5
IDLE = 0.5  # load average above which a machine is not idle


def take(widget: Locator, name: str) -> None:
    """Write the upper part of a widget."""
    widget.page.mouse.move(0, 0)
    write(widget.screenshot(animations="disabled"), name, SHOWN)


def write(png: bytes, name: str, height: int) -> None:
    """Write the upper part of a picture, in few colours."""
    image = Image.open(io.BytesIO(png)).convert("RGB")
    part = image.crop((0, 0, image.width, min(height, image.height)))
    few = part.quantize(256, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    few.save(IMAGES / f"{name}.png", optimize=True)


def take_page(browser: Browser) -> None:
    """Take the page while somebody speaks the last sentence, which partials hear right."""
    session = Session(FileSource(ROOT / "data" / "demo.flac"))
    with launch_server(session, port=0) as server:
        page = browser.new_page(viewport=PAGE, device_scale_factor=PAGE_SCALE)
        page.goto(server.url)
        page.get_by_role("button", name="Settings", exact=True).click()
        expect(page.locator("#transcript .final")).to_have_count(4)
        expect(page.locator("#transcript .partial")).to_contain_text("have been made amiable")
        write(page.screenshot(), "page", round(PAGE_SCALE * PAGE["height"]))
        page.close()


def take_tuner(lab: Lab, browser: Browser) -> None:
    """Take a noisy recording after Calibrate was pressed, beside the defaults."""
    with opened(lab, browser, "notebooks/02_tune_vad.ipynb") as notebook:
        notebook.page.set_viewport_size({"width": WIDTH, "height": HEIGHT})
        notebook.run(2)
        tuner = notebook.page.locator(".sttlab-tuner")
        tuner.get_by_role("button", name="Calibrate").click()
        expect(tuner.get_by_title("better").first).to_be_visible()
        take(tuner, "tuner")


def take_sweep(lab: Lab, browser: Browser) -> None:
    """Take a sweep that is done."""
    with opened(lab, browser, "notebooks/05_sweep.ipynb") as notebook:
        notebook.page.set_viewport_size({"width": WIDTH, "height": HEIGHT})
        notebook.run(2)
        sweeper = notebook.page.locator(".sttlab-sweeper")
        expect(sweeper.locator(".sttlab-chart img").nth(1)).to_be_visible()
        take(sweeper, "sweep")


def take_monitor(lab: Lab, browser: Browser) -> None:
    """Take a session when it has heard three sentences."""
    with opened(lab, browser, "notebooks/03_live_server.ipynb") as notebook:
        notebook.page.set_viewport_size({"width": WIDTH, "height": HEIGHT})
        notebook.run(3)
        monitor = notebook.page.locator(".sttlab-monitor")
        expect(monitor.locator(".sttlab-table tr")).to_have_count(4)
        take(monitor, "monitor")


def take_comparison(lab: Lab, browser: Browser) -> None:
    """Take a session and its replay, at a difference."""
    with opened(lab, browser, "notebooks/09_keep_and_compare.ipynb") as notebook:
        notebook.page.set_viewport_size({"width": WIDTH, "height": HEIGHT})
        notebook.run(6)
        comparer = notebook.page.locator(".sttlab-comparer")
        row = comparer.locator("[data-row]").nth(1)
        row.get_by_text("merged").click()
        expect(row).to_have_attribute("aria-selected", "true")
        expect(comparer.locator(".details")).to_contain_text("words")
        take(comparer, "comparison")


NOTEBOOKS = {
    "tuner": take_tuner,
    "sweep": take_sweep,
    "monitor": take_monitor,
    "comparison": take_comparison,
}


def main() -> None:
    """Take all, or those that are named."""
    wanted = sys.argv[1:] or ["page", *NOTEBOOKS]
    busy = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    if busy > IDLE and not {"page", "monitor"}.isdisjoint(wanted):
        sys.stderr.write(f"load average {busy:.1f}: the delays shown are those of a busy machine\n")
    expect.set_options(timeout=PATIENCE_MS)
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        lab = Lab(Path(folder), ROOT)
        try:
            lab.wait_ready()
            browser = playwright.chromium.launch(executable_path=find_chromium())
            if "page" in wanted:
                take_page(browser)
            for name, take_it in NOTEBOOKS.items():
                if name in wanted:
                    take_it(lab, browser)
        finally:
            lab.stop()


if __name__ == "__main__":
    main()
