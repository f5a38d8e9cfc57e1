"""The JavaScript of the page and of the widgets, without a browser."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

pytestmark = pytest.mark.needs("node")

WIDGETS = [
    "labeler.js",
    "monitor.js",
    "remote_microphone.js",
    "sweeper.js",
    "tuner.js",
    "utterances.js",
]


def check_syntax(module: str, name: str) -> None:
    done = subprocess.run(
        ["node", "--input-type=module", "--check", "-"],
        input=module,
        capture_output=True,
        encoding="utf-8",
        timeout=60,
    )
    assert done.returncode == 0, f"{name}: {done.stderr}"


def test_the_javascript_tests_pass(root: Path) -> None:
    tests = sorted(map(str, (root / "tests" / "frontend").glob("*.test.mjs")))
    command = ["node", "--test", "--test-reporter=spec", *tests]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"^ℹ pass [1-9]", done.stdout, re.MULTILINE), done.stdout


def test_the_page_is_javascript(root: Path) -> None:
    for path in sorted((root / "frontend").rglob("*.js")):
        check_syntax(path.read_text(encoding="utf-8"), path.name)


@pytest.mark.parametrize("name", WIDGETS)
def test_a_widget_is_one_module_without_imports(name: str) -> None:
    from sttlab.notebook.esm import read_module

    module = read_module(name)
    assert re.findall(r"^import\b.*", module, re.MULTILINE) == []
    assert module.count("export default") == 1
    check_syntax(module, name)
