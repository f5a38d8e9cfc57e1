"""A real JupyterLab, and a real Chromium that looks at it."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from sttlab.cli.listing import QUICK
from tests.ports import free_port

READY_S = 60
NAME = "hub.example"  # by which the browser may also know this machine


class Lab:
    """JupyterLab on copies of the notebooks, in a folder of its own."""

    def __init__(self, folder: Path, root: Path, token: str = "") -> None:
        self.folder = folder
        self.token = token
        for name in ("notebooks", "data"):
            shutil.copytree(root / name, folder / name, dirs_exist_ok=True)
        port = free_port()
        self.url = f"http://127.0.0.1:{port}/user/anna"
        home = folder / "home"
        home.mkdir()
        own = {name: str(home) for name in ("HOME", "JUPYTER_CONFIG_DIR", "JUPYTER_RUNTIME_DIR")}
        options = [f"--ServerApp.port={port}", "--ServerApp.port_retries=0", "--no-browser"]
        options += [f"--IdentityProvider.token={token}", "--ServerApp.disable_check_xsrf=True"]
        options += ["--ServerApp.base_url=/user/anna/"]
        options += ["--ServerApp.allow_remote_access=True"]  # by NAME
        options += [f"--ServerApp.root_dir={folder}", "--allow-root", QUICK]
        self.log = folder / "lab.log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "jupyterlab", *options],
                cwd=folder,
                env=os.environ | own | {"PYTHONPATH": str(root)},
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def copy(self, name: str, instead: dict[str, str]) -> str:
        """Copy a notebook with something else in its code; give its path."""
        book = json.loads((self.folder / "notebooks" / name).read_text(encoding="utf-8"))
        for cell in book["cells"]:
            source = "".join(cell["source"])
            for old, new in instead.items():
                source = source.replace(old, new)
            cell["source"] = source
        path = f"notebooks/{uuid4().hex}-{name}"
        (self.folder / path).write_text(json.dumps(book), encoding="utf-8")
        return path

    def wait_ready(self) -> None:
        """Return when it answers."""
        deadline_tries = READY_S * 5
        for _ in range(deadline_tries):
            assert self.process.poll() is None, self.log.read_text()
            try:
                with urllib.request.urlopen(
                    f"{self.url}/api/status?token={self.token}", timeout=2
                ) as answer:
                    json.load(answer)
                    return
            except OSError:
                self._pause()
        raise AssertionError(f"no answer within {READY_S} s:\n{self.log.read_text()}")

    def _pause(self) -> None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(0.2)

    def stop(self) -> None:
        """End it and its kernels."""
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(10)


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory, root: Path) -> Iterator[Lab]:
    lab = Lab(tmp_path_factory.mktemp("lab"), root)
    try:
        lab.wait_ready()
        yield lab
    finally:
        lab.stop()


@pytest.fixture(scope="module")  # no longer: while it lasts, no other test can run a loop
def browser(headless: str) -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=headless,
            args=["--no-sandbox", "--disable-gpu", f"--host-resolver-rules=MAP {NAME} 127.0.0.1"],
        )
        yield browser
        browser.close()
