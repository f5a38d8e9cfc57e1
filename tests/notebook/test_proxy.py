"""The link of `launch_server`, followed through a real jupyter-server-proxy."""

from __future__ import annotations

import pytest

from tests.notebook.conftest import NAME
from tests.notebook.lab_pages import PATIENCE_MS, opened

pytestmark = pytest.mark.needs("jupyter", "jupyter-proxy", "chromium", "whisper")

WORD = "amiable"
CELL = """
import sttlab as stt
session = stt.Session(stt.FileSource("../data/austen-5.flac"), model="tiny.en")
server = stt.launch_server(session, port=0)
server
"""


def test_the_page_behind_the_link_gets_what_is_said(lab, browser):
    import nbformat
    from playwright.sync_api import expect

    book = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(CELL)],
        metadata={"kernelspec": {"name": "python3", "display_name": "Python 3"}},
    )
    nbformat.write(book, lab.folder / "notebooks" / "proxy.ipynb")
    jupyter = lab.url.replace("127.0.0.1", NAME)
    with opened(lab, browser, "notebooks/proxy.ipynb", jupyter) as notebook:
        notebook.run_all()
        link = notebook.page.get_by_role("link", name="through Jupyter")
        with notebook.page.expect_popup() as popup:
            link.click()
        page = popup.value
        port = notebook.value("server.url").strip("'/").rpartition(":")[2]
        expect(page.get_by_role("list", name="Transcript")).to_contain_text(
            WORD, timeout=PATIENCE_MS
        )
        assert page.url == f"{jupyter}/proxy/{port}/", "the token is in no address bar"
        page.reload()
        expect(page.get_by_role("list", name="Transcript")).to_contain_text(
            WORD, timeout=PATIENCE_MS
        )
