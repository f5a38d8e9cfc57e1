"""Shared by the studies of the engine: command-line options and output."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure


def options(about: str | None, engines: Iterable[str] = ()) -> argparse.Namespace:
    """Read the command line: `folder`, `model` and `output`; and `engine`, where there are some."""
    parser = argparse.ArgumentParser(description=about.splitlines()[0] if about else None)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--model", default="tiny.en")
    parser.add_argument("--output", type=Path, default=Path("bench-results"))
    if engines:
        parser.add_argument("--engine", choices=list(engines), default="faster-whisper")
    return parser.parse_args()


def write(stem: Path, result: dict[str, Any], text: str, figure: Figure | None = None) -> None:
    """Write all figures, the table and a chart into one folder, and print the table."""
    stem.parent.mkdir(parents=True, exist_ok=True)
    Path(f"{stem}.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    Path(f"{stem}.md").write_text(text + "\n", encoding="utf-8")
    if figure:
        figure.savefig(f"{stem}.png", dpi=110)
    print(text)
