"""A results folder: the tables of a sweep, with all that they follow from."""

from __future__ import annotations

import hashlib
import json
import os
import platform
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from io import StringIO
from pathlib import Path
from typing import Any, Literal

from sttlab import __version__
from sttlab.config import VadConfig, from_dict
from sttlab.errors import ConfigError
from sttlab.evaluate.corpus import Corpus
from sttlab.evaluate.sweep import Sweep, sweep
from sttlab.machine import processor, sha256_of, versions

ABOUT = "results.json"
TABLES: dict[Literal["setting", "recording"], str] = {
    "setting": "settings.csv",
    "recording": "recordings.csv",
}
WORDS = "word_error_rate"  # which needs a model, so that a sweep alone doesn't count it
PACKAGES = ("numpy", "numba", "av", "soxr", "silero-vad", "onnxruntime", "pandas")


@dataclass(frozen=True, kw_only=True)
class RepeatedSweep:
    """A sweep that was made again, and what is not as it was.

    Attributes
    ----------
    found : Sweep
    corpus : Corpus
        What was swept.
    same : bool
        Whether the table of recordings and settings is the same, figure by figure.
    changes : tuple of str
        What differs, in a sentence each: recordings, labels, versions, the machine, figures.
    """

    found: Sweep
    corpus: Corpus
    same: bool
    changes: tuple[str, ...]


def save_results(folder: str | Path, found: Sweep, corpus: Corpus) -> Path:
    """Write a sweep of a corpus into a folder, with all that its figures follow from.

    ``recordings.csv`` has a row for each recording and setting, ``settings.csv`` one for each
    setting. ``results.json`` has the settings, the recordings with checksums of their audio and
    labels, the versions of packages and the machine. `repeat_results` makes the sweep again.

    Parameters
    ----------
    folder : str or Path
        Made if it is missing. Results of the same sweep are replaced.
    found : Sweep
    corpus : Corpus
        What was swept, or what that is a part of.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    ConfigError
        If it is not a sweep of the VAD, the folder holds the results of another sweep, or a
        recording is not in the corpus.
    MissingExtra
        If pandas is not installed.
    OSError
        If a file can't be written.
    """
    if not isinstance(found, Sweep):
        raise ConfigError(
            f"a results folder holds what `sweep` returns, not a {type(found).__name__}; what has"
            ' `to_frame` can write its table: found.to_frame(by="recording").to_csv("speakers.csv")'
        )
    target = Path(folder).expanduser()
    table = found.to_frame(by="recording")
    names = list(dict.fromkeys(table["recording"]))
    asked = {
        "corpus": str(corpus.path.resolve()),
        "grid": {name: list(values) for name, values in found.grid.items()},
        "vad": asdict(found.configs[0]),
        "gap_s": found.gap_s,
        "collar_s": found.collar_s,
        "recordings": names,
    }
    about = json.loads(json.dumps(asked | _surroundings()))
    if (target / ABOUT).exists() and any(_read(target)[name] != about[name] for name in asked):
        raise ConfigError(f"{target} holds the results of another sweep: give another folder")
    items = _choose(corpus, names)
    target.mkdir(parents=True, exist_ok=True)
    table.to_csv(target / TABLES["recording"], index=False)
    found.to_frame().to_csv(target / TABLES["setting"], index=False)
    about |= {"checksums": _checksums(items), "left_out": list(found.left_out)}
    text = json.dumps(about, ensure_ascii=False, indent=1)
    (target / ABOUT).write_text(text + "\n", encoding="utf-8")
    return target


def repeat_results(
    folder: str | Path,
    *,
    corpus: str | Path | None = None,
    executor: Executor | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> RepeatedSweep:
    """Make the sweep of a results folder again, and say what is not as it was. Blocks.

    Parameters
    ----------
    folder : str or Path
        As `save_results` wrote it; nothing in it changes.
    corpus : str or Path, optional
        Where the corpus is now, if it is elsewhere.
    executor, progress : optional
        See `sweep`.

    Raises
    ------
    ConfigError
        If it is not a results folder, or a recording is missing.
    MissingExtra
        If pandas is not installed.
    WorkersFailed
        If the processes or the cluster of the executor are gone.
    """
    target = Path(folder).expanduser()
    about = _read(target)
    wanted = _choose(Corpus(corpus or about["corpus"]), about["recordings"])
    found = sweep(
        wanted,
        about["grid"],
        config=from_dict(VadConfig, about["vad"]),
        gap_s=about["gap_s"],
        collar_s=about["collar_s"],
        cached=False,
        executor=executor,
        progress=progress,
    )
    told = list(_figures_that_differ(target, found))
    changes = [*_inputs_that_differ(about, wanted), *_surroundings_that_differ(about), *told]
    return RepeatedSweep(found=found, corpus=wanted, same=not told, changes=tuple(changes))


def _read(folder: Path) -> dict[str, Any]:
    try:
        about: dict[str, Any] = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
        from_dict(VadConfig, about["vad"])
        _ = [about[name] for name in ("corpus", "recordings", "grid", "checksums", "versions")]
    except OSError as error:
        raise ConfigError(
            f"{folder} is not a results folder: {ABOUT} can't be read ({error.strerror})"
        ) from error
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{folder / ABOUT} is not what sttlab wrote: {error!r}") from error
    return about


def _choose(corpus: Corpus, names: list[str]) -> Corpus:
    """Return the recordings of a corpus, or channels of them, that have these names."""
    wanted = set(names)
    there = {item.name for item in corpus}
    given = corpus if wanted <= there else corpus.split_channels()
    if wanted <= {item.name for item in given}:
        return given.filter(lambda item: item.name in wanted)
    missing = ", ".join(sorted(wanted - there)[:5])
    raise ConfigError(f"{corpus.path} does not hold all of the recordings: {missing} is missing")


def _checksums(corpus: Corpus) -> dict[str, dict[str, str]]:
    """Return what tells whether audio and labels are the same, by recording."""
    audio = {path: sha256_of(path) for path in {item.audio for item in corpus}}
    return {
        item.name: {
            "audio_sha256": audio[item.audio],
            "labels_sha256": hashlib.sha256(repr(item.labels).encode(errors="replace")).hexdigest(),
        }
        for item in corpus
    }


def _surroundings() -> dict[str, Any]:
    return {
        "made": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "versions": {"sttlab": __version__, **versions(PACKAGES)},
        "machine": {
            "system": platform.platform(),
            "processor": processor(),
            "cores": os.cpu_count(),
        },
    }


def _inputs_that_differ(about: dict[str, Any], corpus: Corpus) -> Iterator[str]:
    for name, now in _checksums(corpus).items():
        for what in ("audio", "labels"):
            if now[f"{what}_sha256"] != about["checksums"][name][f"{what}_sha256"]:
                yield f"the {what} of {name} changed"


def _surroundings_that_differ(about: dict[str, Any]) -> Iterator[str]:
    now = _surroundings()
    for part in ("versions", "machine"):
        for name in now[part] | about[part]:
            before, after = about[part].get(name), now[part].get(name)
            if before != after:
                yield f"{name} was {before} and is {after}"


def _figures_that_differ(folder: Path, found: Sweep) -> Iterator[str]:
    import pandas  # type: ignore[import-untyped]

    path = folder / TABLES["recording"]
    try:
        then = pandas.read_csv(path)
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path} can't be read: {error}") from error
    text = found.to_frame(by="recording").to_csv(index=False)
    now = pandas.read_csv(StringIO(text))  # as the other was
    if list(then) != list(now) or len(then) != len(now):
        yield f"{path.name} had {len(then)} rows of {len(then.columns)} columns, and has others now"
        return
    for name in now:
        equal = (now[name] == then[name]) | (now[name].isna() & then[name].isna())
        if name != WORDS and not equal.all():
            yield f"{name} differs in {int((~equal).sum())} of {len(now)} rows of {path.name}"
