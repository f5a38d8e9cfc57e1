"""A notebook, opened in a real JupyterLab, and what tests of notebooks share."""

from __future__ import annotations

import json
import re
import urllib.request
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Browser, Page

PATIENCE_MS = 60_000


def error_rate(texts: list[str], said: Path) -> float:
    """Of the words, in the spelling of data/."""
    import jiwer

    words = re.sub(r"[^a-z ]", " ", " ".join(texts).lower().replace("mr.", "mister")).split()
    return float(jiwer.wer(" ".join(said.read_text().split()), " ".join(words)))


def _value(client: Any, expression: str) -> str:
    asked = {"value": expression}
    reply = client.execute("", user_expressions=asked, reply=True, timeout=PATIENCE_MS / 1000)
    answer = reply["content"]["user_expressions"]["value"]
    assert answer["status"] == "ok", answer
    text: str = answer["data"]["text/plain"]
    return text


class Notebook:
    """A notebook in a browser, and a client of its kernel beside it."""

    def __init__(self, lab: Any, page: Page, path: str, url: str) -> None:
        self.page = page
        self._lab = lab
        self._path = path
        self._ran = 0  # cells, as the kernel counts
        page.set_default_timeout(PATIENCE_MS)
        page.goto(f"{url}/doc/tree/{path}")
        page.get_by_text("Python 3 (ipykernel) | Idle").wait_for()
        page.locator(".jp-CodeCell").first.wait_for()

    def menu(self, name: str, item: str) -> None:
        """Choose from the menu bar."""
        self.page.get_by_role("menuitem", name=name, exact=True).click()
        self.page.locator(".lm-Menu-itemLabel").get_by_text(item, exact=True).click()

    def select(self, source: str) -> None:
        """Select the first code cell that contains this."""
        cell = self.page.locator(".jp-CodeCell").filter(has_text=source).first
        cell.locator(".jp-InputPrompt").click()

    def run_all(self) -> None:
        """Press what runs all cells, and wait until they have."""
        self.menu("Run", "Run All Cells")
        self._wait_run(sum(cell["cell_type"] == "code" for cell in self._cells()))

    def run(self, count: int) -> None:
        """Run the first code cells, so many, by keyboard."""
        self.page.locator(".jp-Cell").first.click()
        left = count
        for cell in self._cells():
            if left:
                self.page.keyboard.press("Shift+Enter")
            left -= left and cell["cell_type"] == "code"
        self._wait_run(count)

    def _cells(self) -> list[Any]:
        text = (self._lab.folder / self._path).read_text(encoding="utf-8")
        cells: list[Any] = json.loads(text)["cells"]
        return cells

    def _wait_run(self, count: int) -> None:
        """Wait until so many more cells were run, the last of which is the `count`-th."""
        self._ran += count
        last = self.page.locator(".jp-CodeCell .jp-InputPrompt").nth(count - 1)
        last.filter(has_text=f"[{self._ran}]:").wait_for()

    def restart(self) -> None:
        """Restart the kernel."""
        self.menu("Kernel", "Restart Kernel…")
        self.page.get_by_role("button", name="Confirm Kernel Restart").click()
        self._ran = 0
        self.page.get_by_text("Python 3 (ipykernel) | Idle").wait_for()

    def expect_no_errors(self) -> None:
        """Hold that no cell shows a traceback."""
        errors = self.page.locator("[data-mime-type='application/vnd.jupyter.error']")
        assert errors.all_text_contents() == []

    def value(self, expression: str) -> str:
        """What an expression is in the kernel, as text."""
        with self.kernel() as client:
            return _value(client, expression)

    def wait_until(self, condition: str) -> None:
        """Return once an expression is true in the kernel, which hears of the page by and by."""
        with self.kernel() as client:
            for _ in range(PATIENCE_MS // 100):
                if _value(client, f"bool({condition})") == "True":
                    return
                self.page.wait_for_timeout(100)
        raise AssertionError(f"never came true: {condition}")

    @contextmanager
    def kernel(self) -> Iterator[Any]:
        """A client of the kernel that the page uses.

        It waits for replies only: what widgets send never ends while one draws.
        """
        from jupyter_client.blocking.client import BlockingKernelClient

        (session,) = (s for s in self._sessions() if s["path"] == self._path)
        file = self._lab.folder / "home" / f"kernel-{session['kernel']['id']}.json"
        client = BlockingKernelClient(connection_file=str(file))
        client.load_connection_file()
        client.start_channels(hb=False)  # a busy machine misses a heartbeat of a living kernel
        try:
            yield client
        finally:
            client.stop_channels()

    def _sessions(self) -> list[dict[str, Any]]:
        with urllib.request.urlopen(f"{self._lab.url}/api/sessions", timeout=10) as answer:
            found: list[dict[str, Any]] = json.load(answer)
            return found

    def close(self) -> None:
        """End the kernel too."""
        for session in self._sessions():
            if session["path"] == self._path:
                url = f"{self._lab.url}/api/sessions/{session['id']}"
                request = urllib.request.Request(url, method="DELETE")
                urllib.request.urlopen(request, timeout=30).close()


@contextmanager
def opened(
    lab: Any, browser: Browser, path: str, url: str = "", script: str = "", **context: Any
) -> Iterator[Notebook]:
    """Open a notebook in a browser profile of its own; the kernel ends with it.

    `url` is another address of the same Jupyter, and `script` runs in the page before its own.
    """
    profile = browser.new_context(viewport={"width": 1300, "height": 1000}, **context)
    profile.add_init_script(script)
    notebook = Notebook(lab, profile.new_page(), path, url or lab.url)
    try:
        yield notebook
    finally:
        notebook.close()
        profile.close()
