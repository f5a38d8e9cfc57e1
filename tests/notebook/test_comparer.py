"""The comparer, and the tuner at a moment of a kept session, in a real JupyterLab."""

from __future__ import annotations

import pytest

from tests.notebook.lab_pages import PATIENCE_MS, opened

pytestmark = pytest.mark.needs("jupyter", "chromium", "whisper")

PIXELS = """canvas => new Set(new Uint32Array(
    canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data.buffer)).size"""


@pytest.fixture(scope="module")
def notebook(lab, browser):
    from playwright.sync_api import expect

    expect.set_options(timeout=PATIENCE_MS)
    with opened(lab, browser, "notebooks/09_keep_and_compare.ipynb") as notebook:
        notebook.run_all()
        notebook.expect_no_errors()
        yield notebook


def test_a_difference_is_seen_heard_and_taken_over(notebook):
    from playwright.sync_api import expect

    root = notebook.page.locator(".sttlab-comparer")
    rows = root.locator("[data-row]")
    rows.first.get_by_text("merged").click()
    expect(rows.first).to_have_attribute("aria-selected", "true")
    details = root.locator(".details")
    expect(details).to_contain_text("first")
    expect(details).to_contain_text("ended by silence")
    start_s, end_s = eval(notebook.value("comparer._picture.rows[0]['b']"))
    assert notebook.value("comparer._picture.chosen") == "0"
    view = root.locator('[data-is="view"]')
    expect(view).not_to_contain_text("0:26")  # no longer all of it
    assert root.locator(".sound").evaluate(PIXELS) > 5
    time = root.locator('[data-is="time"]')
    for side in ("a", "b"):
        rows.first.locator(f'[data-side="{side}"]').click()
        expect(time).to_contain_text("▶")
        root.get_by_role("button", name="■ Stop").click()
    rows.first.get_by_text("merged").click()
    notebook.page.keyboard.press("2")
    expect(time).to_contain_text("▶")
    root.get_by_role("button", name="■ Stop").click()
    assert 0 <= start_s < end_s
    root.get_by_role("button", name="Use live").click()
    notebook.wait_until("session.config == patient.settings[-1][1]")
    root.get_by_role("button", name="Save").click()
    expect(root).to_contain_text("saved to sttlab.toml")
    assert notebook.value("stt.Config.load('sttlab.toml').vad == patient.settings[-1][1]") == "True"


def test_the_arrow_keys_go_from_difference_to_difference(notebook):
    from playwright.sync_api import expect

    root = notebook.page.locator(".sttlab-comparer")
    root.locator("[data-row]").first.get_by_text("merged").click()
    notebook.page.keyboard.press("ArrowDown")
    expect(root.locator('[aria-selected="true"]')).to_have_attribute("data-row", "1")
    notebook.wait_until("comparer._picture.chosen == 1")


def test_the_tuner_opens_at_the_moment_with_the_settings_of_then(notebook):
    root = notebook.page.locator(".sttlab-tuner")
    root.scroll_into_view_if_needed()
    root.locator('[data-row][aria-selected="true"]').wait_for()
    assert notebook.value("tuner.config == kept.settings[0][1]") == "True"
    middle_s = float(notebook.value("at_s"))
    row = root.locator('[data-row][aria-selected="true"]')
    start_s, end_s = eval(
        notebook.value(
            f"[(u.start_s, u.end_s) for u in tuner.utterances][{row.get_attribute('data-row')}]"
        )
    )
    assert start_s <= middle_s <= end_s
