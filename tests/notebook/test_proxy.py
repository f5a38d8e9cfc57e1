"""A server behind a real jupyter-server-proxy: its page, and scripts."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
from websockets.sync.client import connect

from sttlab.live.session import Session
from sttlab.server.launch import launch_server
from tests.fakes import Blocks, Counting
from tests.notebook.conftest import NAME, Lab
from tests.notebook.lab_pages import PATIENCE_MS, opened

pytestmark = pytest.mark.needs("jupyter", "jupyter-proxy")

WORD = "amiable"
CELL = """
import sttlab as stt
session = stt.Session(stt.FileSource("../data/austen-5.flac"), model="tiny.en")
server = stt.launch_server(session, port=0)
server
"""


@pytest.mark.needs("chromium", "whisper")
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


def test_documented_curl_sends_a_recording_past_both_tokens(
    tmp_path: Path, root: Path, data: Path
) -> None:
    curl = shutil.which("curl") or pytest.skip("there is no curl")
    documented = re.search(
        r"^    curl .+\\\n.+/proxy/8000/.+$",
        (root / "docs" / "server.md").read_text(encoding="utf-8"),
        re.MULTILINE,
    )
    assert documented
    jupyters, ours = "the-token-of-jupyter", "the-token-of-the-server"
    lab = Lab(tmp_path, root, jupyters)
    session = Session(Blocks(then_wait=True), model=Counting())
    try:
        lab.wait_ready()
        with launch_server(session, port=0, token=ours) as server:
            port = server.url.strip("/").rpartition(":")[2]
            command = documented[0].replace("\\\n", " ")
            for name, value in {
                "https://JUPYTER": lab.url,
                "8000": port,
                "JUPYTERS_TOKEN": jupyters,
                "STTLABS_TOKEN": ours,
                "talk.m4a": str(data / "demo.flac"),
            }.items():
                assert name in command
                command = command.replace(name, value)
            _, *options = shlex.split(command)
            answer = subprocess.check_output([curl, "--silent", "--show-error", *options])
            assert json.loads(answer.splitlines()[-1])["event"] == "done"
            socket = f"ws{lab.url.removeprefix('http')}/proxy/{port}/ws?events=all&token={jupyters}"
            bearer = {"Authorization": f"Bearer {ours}"}
            with connect(socket, additional_headers=bearer) as client:
                assert json.loads(client.recv(timeout=30))["event"] == "hello"
    finally:
        lab.stop()
