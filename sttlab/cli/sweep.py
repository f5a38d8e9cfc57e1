"""`sttlab sweep`: settings of speech, scored on a corpus."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sttlab.cli.cluster import Scheduler, connected
from sttlab.cli.options import Settings
from sttlab.cli.terminal import FAILED, say, side_thread, with_bar
from sttlab.config import Config, VadConfig, read_toml
from sttlab.errors import ConfigError, MissingExtra

if TYPE_CHECKING:
    from sttlab.evaluate.corpus import Corpus
    from sttlab.evaluate.results import RepeatedSweep
    from sttlab.evaluate.sweep import Sweep

GRID: dict[str, list[Any]] = {
    "margin_db": [3, 4, 5, 6, 8, 10, 12, 15],
    "silence_timeout_s": [0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0, 1.5],
}
SHOWN = ("detection_error_rate", "lost_rate", "false", "endpoint_delay_median_ms")
TABLES = (".csv", ".parquet")
FIGURES = {
    "error_rate.png": ("detection_error_rate",),
    "delay_and_lost.png": ("endpoint_delay_median_ms", "lost_rate"),
}


CorpusPath = Annotated[
    Path | None,
    typer.Argument(
        help="A folder of audio with labels beside it, or a manifest (.jsonl, .csv).",
        exists=True,
        show_default=False,
    ),
]
Values = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="NAME=VALUES",
        help="Values to try of a setting: margin_db=4,6,8 or silence_timeout_s=0.2:1:0.1; "
        "give it again for more settings. [default: margin_db and silence_timeout_s]",
        show_default=False,
    ),
]
GridFile = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="The same as TOML: margin_db = [4, 6, 8]",
        exists=True,
        dir_okay=False,
        show_default=False,
    ),
]
Output = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        help="Folder of results, made if it is missing: tables, figures, and all that they "
        "follow from. A name that ends in .csv or .parquet is a table alone.",
        show_default=False,
    ),
]
Again = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        help="Make the sweep of a folder of results again, and say what differs; CORPUS is "
        "needed only if the recordings are elsewhere now.",
        exists=True,
        file_okay=False,
        show_default=False,
    ),
]


def sweep(
    corpus: CorpusPath = None,
    values: Values = None,
    grid: GridFile = None,
    config: Settings = None,
    output: Output = None,
    again: Again = None,
    scheduler: Scheduler = None,
) -> None:
    """Score every combination of settings on labelled recordings.

    Prints the best setting by each metric; the table has a row for each recording and setting. What
    is left out, because it has no labels or can't be read, is named on stderr. The exit code of
    --again is 1 if a figure differs. After Ctrl-C, the same command goes on where it was.
    """
    _refuse_wrong_call(output, again, bool(values or grid or config))
    if again:
        repeated = _repeat(again, corpus, scheduler)
        found, read = repeated.found, repeated.corpus
    elif corpus:
        tried = (_read(grid) if grid else {}) | dict(map(_parse, values or ())) or GRID
        vad = Config.load(config).vad if config else None
        found, read = _sweep(corpus, tried, vad, scheduler)
    else:
        raise typer.BadParameter("give a corpus, or the folder of results to make --again")
    _print(found)
    if output and output.suffix in TABLES:
        say(f"{output}: {_write(found.to_frame(by='recording'), output)} rows")
    elif output:
        _save(output, found, read)
    if again:
        _say_what_differs(again, repeated)


def _refuse_wrong_call(output: Path | None, again: Path | None, has_settings: bool) -> None:
    """Find what is not valid before a sweep that may take hours."""
    if again and has_settings:
        raise typer.BadParameter(
            "--again has its own settings: take --set, --grid or --config away"
        )
    if not output:
        return
    if output.suffix and output.suffix not in TABLES and not output.is_dir():
        raise typer.BadParameter(
            f"--output needs the name of a folder, or one that ends in {' or '.join(TABLES)}"
        )
    if (output / "results.json").exists():
        raise typer.BadParameter(f"{output} holds results already: give another folder")
    if not find_spec("pandas"):
        raise MissingExtra("pandas", "evaluate")
    if output.suffix == ".parquet" and not (find_spec("pyarrow") or find_spec("fastparquet")):
        raise ConfigError(f"{output} needs pyarrow: pip install pyarrow, or give a .csv file")


def _sweep(
    folder: Path, tried: dict[str, list[Any]], vad: VadConfig | None, scheduler: str | None
) -> tuple[Sweep, Corpus]:
    from sttlab.evaluate import sweep as module
    from sttlab.evaluate.corpus import Corpus

    module.settings(tried, vad or Config().vad)  # before anything is shown
    read = Corpus(folder)
    with connected(scheduler) as executor, side_thread() as thread:
        found = with_bar(
            thread,
            str(read.path),
            lambda progress: module.sweep(
                read, tried, config=vad, executor=executor, progress=progress
            ),
        )
    return found, read


def _repeat(folder: Path, corpus: Path | None, scheduler: str | None) -> RepeatedSweep:
    from sttlab.evaluate.results import repeat_results

    with connected(scheduler) as executor, side_thread() as thread:
        return with_bar(
            thread,
            str(folder),
            lambda progress: repeat_results(
                folder, corpus=corpus, executor=executor, progress=progress
            ),
        )


def _say_what_differs(folder: Path, repeated: RepeatedSweep) -> None:
    for change in repeated.changes:
        say(change)
    if not repeated.same:
        say(f"the figures are not those of {folder}")
        raise typer.Exit(FAILED)
    say(f"every figure is as in {folder}")


def _save(folder: Path, found: Sweep, corpus: Corpus) -> None:
    from sttlab.evaluate.results import save_results

    save_results(folder, found, corpus)
    try:
        from sttlab.notebook.plots import png_bytes
        from sttlab.notebook.sweep_plots import plot_sweep
    except ModuleNotFoundError as error:
        say(f"{folder} has no figures: {MissingExtra.behind(error) or error}")
    else:
        for name, metrics in FIGURES.items():
            if all(any(found.metric(metric) >= 0) for metric in metrics):
                (folder / name).write_bytes(png_bytes(plot_sweep(found, *metrics).figure))
    say(f"{folder}: tables and figures; sttlab sweep --again {folder} makes them again")


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
