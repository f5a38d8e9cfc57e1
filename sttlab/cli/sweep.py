"""`sttlab sweep`: settings of speech, scored on a corpus."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sttlab.cli.options import Settings
from sttlab.cli.terminal import say, side_thread, with_bar
from sttlab.config import Config, read_toml

if TYPE_CHECKING:
    from sttlab.evaluate.sweep import Sweep

GRID: dict[str, list[Any]] = {
    "margin_db": [3, 4, 5, 6, 8, 10, 12, 15],
    "silence_timeout_s": [0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0, 1.5],
}
SHOWN = ("detection_error_rate", "lost_rate", "false", "endpoint_delay_median_ms")
TABLES = (".csv", ".parquet")


def sweep(
    corpus: Annotated[
        Path,
        typer.Argument(
            help="A folder of audio with labels beside it, or a manifest (.jsonl, .csv).",
            exists=True,
            show_default=False,
        ),
    ],
    values: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="NAME=VALUES",
            help="Values to try of a setting: margin_db=4,6,8 or silence_timeout_s=0.2:1:0.1; "
            "give it again for more settings. [default: margin_db and silence_timeout_s]",
            show_default=False,
        ),
    ] = None,
    grid: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="The same as TOML: margin_db = [4, 6, 8]",
            exists=True,
            dir_okay=False,
            show_default=False,
        ),
    ] = None,
    config: Settings = None,
    output: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Table with a row for each recording and setting: .csv or .parquet",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Score every combination of settings on labelled recordings.

    Prints the best setting by each metric; the table has all. What is left out, because it has no
    labels or can't be read, is named on stderr.
    """
    from sttlab.evaluate import sweep as module
    from sttlab.evaluate.corpus import Corpus

    if output and output.suffix not in TABLES:
        raise typer.BadParameter(f"--output needs a name that ends in {' or '.join(TABLES)}")
    tried = (_read(grid) if grid else {}) | dict(map(_parse, values or ())) or GRID
    vad = Config.load(config).vad if config else None
    module.settings(tried, vad or Config().vad)  # before anything is shown
    read = Corpus(corpus)
    with side_thread() as thread:
        found = with_bar(
            thread,
            str(read.path),
            lambda progress: module.sweep(read, tried, config=vad, progress=progress),
        )
    _print(found)
    if output:
        say(f"{output}: {_write(found.to_frame(by='recording'), output)} rows")


def _write(frame: Any, path: Path) -> int:
    """Write a table, and return how many rows it has."""
    write = frame.to_csv if path.suffix == ".csv" else frame.to_parquet
    write(path, index=False)
    return len(frame)


def _print(found: Sweep) -> None:
    from sttlab.evaluate.grid import written
    from sttlab.evaluate.sweep import METRICS

    print("\t".join(["least", "", *found.grid]))
    for metric in SHOWN:
        if any(found.metric(metric) >= 0):
            i = found.best(metric)
            plain = (str(value) for value in found.values(i).values())
            print("\t".join([METRICS[metric], written(metric, found.metric(metric)[i]), *plain]))


def _read(path: Path) -> dict[str, list[Any]]:
    try:
        return read_toml(path)
    except (OSError, ValueError) as error:
        raise typer.BadParameter(f"{path} can't be read as TOML: {error}") from error


def _parse(given: str) -> tuple[str, list[Any]]:
    """Read NAME=A,B,C or NAME=FIRST:LAST[:STEP]; the settings say what is not valid."""
    name, equals, values = given.partition("=")
    if not equals or not values:
        raise typer.BadParameter(f"--set needs NAME=VALUES, not {given!r}")
    if ":" not in values:
        return name, [_plain(value) for value in values.split(",")]
    try:
        first, last, step = map(float, (values + ":1" * (values.count(":") == 1)).split(":"))
        if not 0 < step < float("inf") or not abs(last - first) / step < 10_000:
            raise ValueError
    except ValueError:
        raise typer.BadParameter(f"--set needs FIRST:LAST:STEP, not {values!r}") from None
    count = int((last - first) / step + 1e-9) + 1
    return name, [round(first + i * step, 9) for i in range(count)]


def _plain(value: str) -> Any:
    try:
        return float(value)
    except ValueError:
        return None if value in ("", "none") else value
