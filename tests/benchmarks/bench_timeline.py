"""The timelines of tuner and comparer on a long recording, in real JupyterLab and Chromium.

    python -m tests.benchmarks.bench_timeline

Measured in the page: from running the cell of a recording that is loaded until its waveform, its
utterances and their list are painted; frames a second while panning, at several zooms; from a key
on a slider until the threshold and the utterances that it moves are painted. Of the comparer, the
same but for sliders: from the key that chooses the next difference until its words are shown. The
audio is real speech from data/, repeated.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sttlab.bench.report import machine, surroundings
from tests.conftest import ROOT, find_chromium
from tests.notebook.conftest import Lab
from tests.notebook.lab_pages import PATIENCE_MS, Notebook, opened

if TYPE_CHECKING:
    from playwright.sync_api import Page

LOADED = """import numpy as np
import sttlab as stt
once = stt.load("../data/demo-noisy.flac")
recording = stt.Recording(np.resize(once.samples, MINUTES * 60 * once.sample_rate))"""
SHOWN = "tuner = stt.VadTuner(recording)\ntuner"
COMPARED = """
runs = [stt.replay(recording, silence_timeout_s=timeout_s) for timeout_s in (0.2, 0.9)]
comparison = stt.compare(*runs)"""
COMPARISON = "comparer = stt.Comparer(comparison)\ncomparer"
STEPS = 12
PAUSE_MS = 120  # between two keys on a slider, as while somebody moves it
TARGETS = {"open_ms": 2000, "pan_fps": 30}
SLIDER_MS = {10: 50, 60: 150}

# Whether the waveform is painted across the picture, and the list has rows.
OPENED = """() => {
    const canvas = document.querySelector(".sttlab-timeline .sound");
    if (!canvas?.width || !document.querySelector(".sttlab-utterances [data-row]")) return false;
    const pen = canvas.getContext("2d");
    const y = Math.round((18 + 38) * devicePixelRatio);
    const { data } = pen.getImageData(0, y, canvas.width, 1);
    let painted = 0;
    for (let i = 3; i < data.length; i += 4) painted += data[i] > 200;
    return painted > canvas.width / 2;
}"""

PRESSED = """([opened, patience]) => new Promise((resolve, reject) => {
    setTimeout(() => reject(new Error("it was not painted")), patience);
    const is_opened = eval(opened);
    document.addEventListener("keydown", (event) => {
        if (event.key !== "Enter" || window.pressed) return;
        const began = window.pressed = performance.now();
        const look = () => {
            if (!is_opened()) return void setTimeout(look, 5);
            requestAnimationFrame(() => setTimeout(() => resolve(performance.now() - began)));
        };
        look();
    }, { capture: true });
    window.armed = true;
})"""

# Frames while the wheel pans in each of them, to and fro.
PANNED = """([span_s, frames]) => new Promise((resolve) => {
    const canvas = document.querySelector(".sttlab-timeline .sound");
    const box = canvas.getBoundingClientRect();
    const turn = (options) => canvas.dispatchEvent(new WheelEvent("wheel", {
        bubbles: true, cancelable: true,
        clientX: box.x + box.width / 2, clientY: box.y + 60, ...options,
    }));
    turn({ ctrlKey: true, deltaY: 1e5 });
    turn({ ctrlKey: true, deltaY: Math.log(span_s[0] / span_s[1]) / Math.log(1.01) });
    const times = [];
    const step = (now) => {
        times.push(now);
        if (times.length > frames) return resolve(times.slice(1).map((t, i) => t - times[i]));
        turn({ shiftKey: true, deltaX: times.length % 120 < 60 ? 37 : -37 });
        requestAnimationFrame(step);
    };
    setTimeout(() => requestAnimationFrame(step), 1000);
})"""

# Times from a key on the slider to the paint of what it moves. Pixels are compared only after
# something is painted: to read them at each frame would hold up the messages of the kernel.
MOVED = """([patience]) => new Promise((resolve, reject) => {
    const canvas = document.querySelector(".sttlab-timeline .sound");
    const pen = canvas.getContext("2d");
    const px = devicePixelRatio;
    const level = () => pen.getImageData(canvas.width / 2, 102 * px, 1, 150 * px).data.join();
    const lane = () => pen.getImageData(0, 272 * px, canvas.width, 1).data.join();
    const before = [level(), lane()];
    const found = [NaN, NaN];
    document.addEventListener("keydown", () => {
        const began = performance.now();
        const end = () => { delete pen.clearRect; resolve(found); };
        const timer = setTimeout(end, patience);
        const look = () => {
            const painted = performance.now() - began;
            const now = [level(), lane()];
            now.forEach((each, i) => {
                if (Number.isNaN(found[i]) && each !== before[i]) found[i] = painted;
            });
            if (found.some(Number.isNaN)) return;
            clearTimeout(timer);
            end();
        };
        pen.clearRect = (...all) => { // which begins each painting
            CanvasRenderingContext2D.prototype.clearRect.apply(pen, all);
            setTimeout(look); // once the frame is there
        };
    }, { once: true, capture: true });
    window.armed = true;
})"""


# The time from a key until another difference is chosen, and its words are there.
CHOSEN = """() => new Promise((resolve) => {
    const shown = () => {
        const row = document.querySelector('.sttlab-comparer [aria-selected="true"]')?.dataset.row;
        const words = document.querySelector(".sttlab-comparer .details").textContent;
        return words ? `${row} ${words}` : "";
    };
    const before = shown();
    document.addEventListener("keydown", () => {
        const began = performance.now();
        const look = () => requestAnimationFrame(() => setTimeout(() => {
            if (shown() && shown() !== before) resolve(performance.now() - began);
            else look();
        }));
        look();
    }, { once: true, capture: true });
    window.armed = true;
})"""


def measured(page: Page, script: str, given: list[Any], key: str) -> Any:
    """Start a script that waits for a key, press the key, and give what the script finds."""
    page.evaluate("window.armed = false")
    page.evaluate(f"(given) => {{ window.result = ({script})(given); }}", given)
    page.wait_for_function("window.armed")
    page.keyboard.press(key)
    return page.evaluate("window.result")


def open_widget(notebook: Notebook, name: str, is_opened: str) -> float:
    """Run the cell that shows the widget; return the time until it is painted, in ms."""
    notebook.run(1)
    notebook.select(name)
    return float(measured(notebook.page, PRESSED, [is_opened, PATIENCE_MS], "Shift+Enter"))


def pan(page: Page, minutes: int) -> dict[str, float]:
    """Return frames a second at several zooms, and the longest frames."""
    found = {}
    for span_s in (60 * minutes / 2, 60, 5):
        steps = page.evaluate(PANNED, [[span_s, 60 * minutes], 120])
        found[f"pan_fps of {span_s:g} s"] = 1000 / statistics.mean(steps)
        found[f"pan worst frame ms of {span_s:g} s"] = max(steps)
    return found


def move_slider(page: Page, span_s: float, minutes: int, key: str) -> dict[str, float]:
    """Return the median times until a threshold and the utterances that it moves are painted."""
    page.evaluate(PANNED, [[span_s, 60 * minutes], 1])
    slider = page.get_by_role("slider", name="Above the noise (dB)", exact=True)
    slider.focus()
    steps = []
    for _ in range(STEPS):
        steps.append(measured(page, MOVED, [600], key))
        page.wait_for_timeout(PAUSE_MS)
    found = {}
    for name, times in zip(("threshold", "utterances"), zip(*steps, strict=True), strict=True):
        seen = [t for t in times if t is not None and t == t]
        if seen:
            found[f"slider to {name} ms, {span_s:g} s in view"] = statistics.median(seen)
            found[f"slider to {name} worst ms, {span_s:g} s in view"] = max(seen)
    return found


def written(lab: Lab, name: str, *sources: str) -> str:
    """Write a notebook of these cells; return its path."""
    book = {
        "cells": [
            {"cell_type": "code", "source": source, "metadata": {}, "outputs": [], "id": f"c{i}"}
            | {"execution_count": None}
            for i, source in enumerate(sources)
        ],
        "metadata": {"kernelspec": {"name": "python3", "display_name": "Python 3 (ipykernel)"}},
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    path = f"notebooks/{name}.ipynb"
    (lab.folder / path).write_text(json.dumps(book), encoding="utf-8")
    return path


def measure_comparer(lab: Lab, browser: Any, minutes: int) -> dict[str, float]:
    """Measure two runs of a recording of so many minutes, side by side."""
    loaded = LOADED.replace("MINUTES", str(minutes)) + COMPARED
    path = written(lab, f"comparison-{minutes}", loaded, COMPARISON)
    is_opened = OPENED.replace(".sttlab-utterances", ".sttlab-comparer")
    with opened(lab, browser, path) as notebook:
        found = {"comparer open_ms": open_widget(notebook, "Comparer", is_opened)}
        page = notebook.page
        page.locator(".sttlab-timeline .sound").scroll_into_view_if_needed()
        found |= {f"comparer {name}": value for name, value in pan(page, minutes).items()}
        page.locator(".sttlab-comparer .list").focus()
        steps = [float(measured(page, CHOSEN, [], "ArrowDown")) for _ in range(STEPS)]
        found["comparer key to difference ms"] = statistics.median(steps)
        found["comparer key to difference worst ms"] = max(steps)
        found["comparer differences"] = float(notebook.value("len(comparison.differences)"))
        notebook.expect_no_errors()
    return found


def measure(lab: Lab, browser: Any, minutes: int, pictures: Path | None) -> dict[str, float]:
    """Measure a recording of so many minutes."""
    path = written(lab, f"hour-{minutes}", LOADED.replace("MINUTES", str(minutes)), SHOWN)
    with opened(lab, browser, path) as notebook:
        found = {"open_ms": open_widget(notebook, "VadTuner", OPENED)}
        page = notebook.page
        page.locator(".sttlab-timeline .sound").scroll_into_view_if_needed()
        if pictures:
            page.screenshot(path=pictures / f"{minutes}.png")
        found |= pan(page, minutes)
        if pictures:
            page.screenshot(path=pictures / f"{minutes}-zoomed.png")
        for span_s, key in ((60.0 * minutes, "ArrowLeft"), (60.0, "ArrowRight")):
            notebook.value("tuner._utterances.cache_clear()")  # each setting is new to the kernel
            found |= move_slider(page, span_s, minutes, key)
        notebook.expect_no_errors()
    return found


def main() -> None:
    """Print what was measured, and write it as JSON."""
    from playwright.sync_api import sync_playwright

    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--minutes", type=int, nargs="+", default=[10, 60])
    parser.add_argument("--pictures", type=Path, help="folder for screenshots")
    parser.add_argument("--output", type=Path, default=Path("bench-results"))
    options = parser.parse_args()
    results: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        lab = Lab(Path(folder), ROOT)
        try:
            lab.wait_ready()
            browser = playwright.chromium.launch(
                executable_path=find_chromium(), args=["--no-sandbox", "--disable-gpu"]
            )
            about: dict[str, Any] = {"chromium": browser.version, "before": surroundings()}
            for minutes in options.minutes:
                results[str(minutes)] = measure(lab, browser, minutes, options.pictures)
                results[str(minutes)] |= measure_comparer(lab, browser, minutes)
                for name, value in results[str(minutes)].items():
                    print(f"{minutes:3} min  {name:52} {value:8.1f}", flush=True)
        finally:
            lab.stop()
    about["after"] = surroundings()
    print(machine(about["before"], about["after"]))
    options.output.mkdir(parents=True, exist_ok=True)
    path = options.output / "timeline.json"
    path.write_text(json.dumps({**about, **results}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
