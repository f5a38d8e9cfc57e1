"""Shared by the studies: command-line options, figures and output."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sttlab.bench.report import machine, surroundings
from sttlab.evaluate.wer import WordErrors, difference

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LENGTHS_S = (1.0, 120.0)  # bounds of the length of a recording


def options(about: str | None, engines: Iterable[str] = ()) -> argparse.Namespace:
    """Read the command line: `folder`, `model` and `output`; and `engine`, where there are some."""
    parser = argparse.ArgumentParser(description=about.splitlines()[0] if about else None)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--model", default="tiny.en")
    parser.add_argument("--output", type=Path, default=Path("bench-results"))
    if engines:
        parser.add_argument("--engine", choices=list(engines), default="faster-whisper")
    return parser.parse_args()


def word_errors(usual: WordErrors, other: WordErrors) -> dict[str, Any]:
    """Give the word errors of `other`, and how many more they are than the usual ones."""
    return {
        "wer": other.wer,
        "words": other.words,
        "errors": str(other),
        "more": asdict(difference(usual, other)),
    }


def points(more: dict[str, float]) -> str:
    """Write a difference of rates, and its interval, in percentage points."""
    return "{:+.2f} ({:+.2f} to {:+.2f})".format(*(100 * value for value in more.values()))


def write(stem: Path, result: dict[str, Any], text: str, figure: Figure | None = None) -> None:
    """Print the table and the machine; write them, all figures and a chart into one folder."""
    after = surroundings()
    text = f"{text}\n\n{machine(result['before'], after)}"
    stem.parent.mkdir(parents=True, exist_ok=True)
    figures = json.dumps(result | {"after": after}, indent=1)
    Path(f"{stem}.json").write_text(figures + "\n", encoding="utf-8")
    Path(f"{stem}.md").write_text(text + "\n", encoding="utf-8")
    if figure:
        figure.savefig(f"{stem}.png", dpi=110)
    print(text)
