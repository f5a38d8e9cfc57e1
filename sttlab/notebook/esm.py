"""Joins a widget's modules and style sheets: an anywidget can't import from other files."""

from __future__ import annotations

import re
from pathlib import Path

from sttlab.shipped import shipped

_IMPORT = re.compile(r'^import \{[^}]*\} from "(\.[^"]+)";\n', re.MULTILINE)


def read_module(name: str) -> str:
    """Read an ES module of ``frontend/notebook``, after the modules that it imports.

    Each module is there once, without its import statements, so top-level names must differ.
    """
    texts: dict[Path, str] = {}

    def read(path: Path) -> None:
        if path not in texts:
            text = path.read_text(encoding="utf-8")
            for imported in _IMPORT.findall(text):
                read((path.parent / imported).resolve())
            texts[path] = _IMPORT.sub("", text)

    read(shipped(f"frontend/notebook/{name}").resolve())
    return "\n".join(texts.values())


def read_style(*names: str) -> str:
    """Read style sheets of ``frontend/notebook``."""
    return "\n".join(shipped(f"frontend/notebook/{name}").read_text("utf-8") for name in names)
