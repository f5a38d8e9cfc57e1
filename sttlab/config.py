"""Settings: frozen dataclasses, validated on construction, read from TOML and written to it."""

from __future__ import annotations

import difflib
import logging
import shutil
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from sttlab.errors import ConfigError
from sttlab.writing import replacing

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


_log = logging.getLogger(__name__)

VERSION = 2
"""The version of settings files. Files of version 1 don't say theirs."""

NAMED = 3
"""Most recordings that `SettingsAbout` names when it is printed."""

_SINCE_LEVEL_DB = {"threshold_dbfs": -6.0, "margin_db": -2.0}
"""What is added to settings of version 1, for which a level was that of all that is heard.

In the speech band, and smoothed, the level of speech is that much lower, and varies that much less.
"""


def _number(
    label: str,
    default: float | None,
    unit: str,
    low: float,
    high: float,
    doc: str,
    *,
    unless: str | None = None,
) -> Any:
    """Declare a numeric setting.

    Validation, sliders, page and documentation use its label, unit and bounds. `unless` names
    another setting; while that one is set, this one has no effect.
    """
    about = {"label": label, "unit": unit, "min": low, "max": high, "doc": doc, "unless": unless}
    return field(default=default, metadata=about)


def _check_numbers(config: Any) -> None:
    for f in fields(config):
        value = getattr(config, f.name)
        if "min" not in f.metadata or (value is None and f.default is None):
            continue
        unit, low, high = (f.metadata[k] for k in ("unit", "min", "max"))
        bounds = f"between {low:g} and {high:g} {unit}".rstrip()
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ConfigError(f"{f.name} must be a number {bounds}, not {value!r}")
        if not low <= value <= high:
            # An integer may be too large for a float.
            shown = str(value) if isinstance(value, int) else f"{value:g}"
            raise ConfigError(f"{f.name} must be {bounds}, not {shown} {unit}".rstrip())
        object.__setattr__(config, f.name, float(value))


@dataclass(frozen=True, kw_only=True)
class VadConfig:
    """What decides where an utterance begins and ends.

    A detector gives each frame a score. Speech begins where the score reaches the onset threshold,
    and ends where it falls below the offset threshold. A detector that scores by level has its
    onset at ``threshold_dbfs`` or, while that is unset, ``margin_db`` above the noise floor; its
    offset is ``hysteresis_db`` below. A detector that scores by probability uses ``probability``
    and ``probability_hysteresis``. The other fields serve every detector.

    Attributes
    ----------
    detector : str
        Name of a registered detector; `sttlab.vad.DETECTORS` holds them.

    Raises
    ------
    ConfigError
        If a value is not a number within its bounds, or the detector is unknown.

    Examples
    --------
    >>> VadConfig(silence_timeout_s=0.9).silence_timeout_s
    0.9
    >>> VadConfig(silence_timeout_s=99)
    Traceback (most recent call last):
    ...
    sttlab.errors.ConfigError: silence_timeout_s must be between 0.1 and 10 s, not 99 s
    """

    detector: str = field(
        default="energy", metadata={"label": "Detector", "doc": "what tells speech from the rest"}
    )
    threshold_dbfs: float | None = _number(
        "Threshold",
        None,
        "dBFS",
        -100,
        0,
        "level at which speech begins; unset, the noise floor decides",
    )
    margin_db: float = _number(
        "Above the noise",
        6.0,
        "dB",
        1,
        60,
        "how far above the noise floor speech begins, while no threshold is set",
        unless="threshold_dbfs",
    )
    hysteresis_db: float = _number(
        "Hysteresis", 4.0, "dB", 0, 30, "how far under the level where speech begins it ends"
    )
    probability: float = _number(
        "Probability",
        0.5,
        "",
        0.02,
        0.98,
        "probability at which speech begins, with a detector that gives one",
    )
    probability_hysteresis: float = _number(
        "Hysteresis", 0.15, "", 0, 0.9, "how far under that probability speech ends"
    )
    min_speech_s: float = _number("Minimum speech", 0.1, "s", 0, 2, "shorter sounds are not speech")
    silence_timeout_s: float = _number(
        "Silence timeout",
        0.6,
        "s",
        0.1,
        10,
        "silence that ends an utterance: short for quick answers, long for people who think",
    )
    pre_roll_s: float = _number("Pre-roll", 0.3, "s", 0, 2, "audio kept from before the onset")
    max_utterance_s: float = _number(
        "Longest utterance",
        28.0,
        "s",
        2,
        30,
        "longer speech is cut at the quietest moment of its last seconds",
    )

    def __post_init__(self) -> None:
        from sttlab.vad import DETECTORS  # imported late: the detectors import this module

        if self.detector not in tuple(DETECTORS):
            known = " or ".join(DETECTORS)
            raise ConfigError(f"detector must be {known}, not {self.detector!r}")
        _check_numbers(self)


@dataclass(frozen=True, kw_only=True)
class TranscribeConfig:
    """How an utterance is turned into text.

    Attributes
    ----------
    model : str
        A name ("tiny.en", "base", ...) or the path of a checkpoint. "auto" takes the largest
        installed one whose answers come in time on this machine, and a smaller one once that one
        doesn't keep up.
    engine : str
        Name of a registered engine; `sttlab.engines.ENGINES` holds them. "auto" takes
        faster-whisper on a CPU, where it is installed and has the model, and otherwise whisper.
    language : str or None
        ISO 639-1 code ("en", "de", ...); None lets the model decide for each utterance.
    task : "transcribe" or "translate" (into English)
    initial_prompt : str or None
        Text that prepares the model for names, jargon and style.
    device : "cpu", "cuda", "mps" or None
        None takes the fastest that works.
    words : bool
        Whether to compute the time and the confidence of each word, which takes a little longer.

    Raises
    ------
    ConfigError
        If a value is of the wrong type or not among those allowed.
    """

    model: str = "tiny.en"
    engine: str = "auto"
    language: str | None = None
    task: Literal["transcribe", "translate"] = "transcribe"
    initial_prompt: str | None = None
    device: Literal["cpu", "cuda", "mps"] | None = None
    words: bool = False

    def __post_init__(self) -> None:
        from sttlab.engines import ENGINES  # imported late: the engines import this module

        allowed = {
            "engine": tuple(ENGINES),
            "task": ("transcribe", "translate"),
            "device": (None, "cpu", "cuda", "mps"),
        }
        if not isinstance(self.words, bool):
            raise ConfigError(f"words must be true or false, not {self.words!r}")
        for name, values in allowed.items():
            if getattr(self, name) not in values:
                words = ", ".join(v for v in values if v)
                raise ConfigError(f"{name} must be one of {words}, not {getattr(self, name)!r}")
        if not isinstance(self.model, str) or not self.model:
            raise ConfigError(f"model must be a name or a path, not {self.model!r}")
        for name in ("language", "initial_prompt"):
            if not isinstance(getattr(self, name), str | None):
                raise ConfigError(f"{name} must be text, not {getattr(self, name)!r}")


@dataclass(frozen=True, kw_only=True)
class SpeakerConfig:
    """How speakers are told apart.

    Attributes
    ----------
    embedder : str
        Name of a registered embedder; `sttlab.speakers.EMBEDDERS` holds them.
    same : float or None
        Mean dot product of the embeddings of two groups from which they are one speaker: higher
        finds more speakers. None takes what fits the embedder.
    change : float
        Dot product of what is left and right of a place below which the voice changes there.
    least_s : float
        Speech at a time that a speaker is first known by; who says less, or less than half as much
        again in all, goes to the closest other speaker.

    Raises
    ------
    ConfigError
        If a value is not a number within its bounds, or the embedder is unknown.
    """

    embedder: str = "campplus"
    same: float | None = _number("Same speaker", None, "", -1, 1, "from which two voices are one")
    change: float = _number("Change", 0.3, "", -1, 1, "below which the voice changes")
    least_s: float = _number("Least speech", 1.0, "s", 0.3, 10, "a speaker is first known by")

    def __post_init__(self) -> None:
        from sttlab.speakers import EMBEDDERS  # imported late: the embedders need this module

        if self.embedder not in tuple(EMBEDDERS):
            known = " or ".join(EMBEDDERS)
            raise ConfigError(f"embedder must be {known}, not {self.embedder!r}")
        _check_numbers(self)


@dataclass(frozen=True, kw_only=True)
class SettingsAbout:
    """Where settings come from, for people; nothing depends on it.

    Attributes
    ----------
    name : str
        As a person calls them.
    saved : str
        Date and time, as ISO 8601.
    version : str
        Of sttlab.
    recordings : tuple of str
        Names of those on which the settings were chosen.
    scores : dict of str to float
        Of the settings on those recordings, by the names of `Scores.figures`.

    Raises
    ------
    ConfigError
        If a value is of another type.
    """

    name: str = ""
    saved: str = ""
    version: str = ""
    recordings: tuple[str, ...] = ()
    scores: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("name", "saved", "version"):
            if not isinstance(getattr(self, name), str):
                raise ConfigError(f"{name} must be text, not {getattr(self, name)!r}")
        if not isinstance(self.recordings, list | tuple) or not isinstance(self.scores, Mapping):
            raise ConfigError("recordings must be a list of names, and scores a table of numbers")
        object.__setattr__(self, "recordings", tuple(map(str, self.recordings)))

    def __str__(self) -> str:
        if not self.saved:
            return "settings of which no more is known"
        words = f"“{self.name}”, " if self.name else ""
        words += f"saved {self.saved[:16].replace('T', ' ')} by sttlab {self.version}"
        if self.recordings:
            shown = ", ".join(self.recordings[:NAMED])
            more = len(self.recordings) - NAMED
            words += f", chosen on {shown}" + (f" and {more} more" if more > 0 else "")
        if self.scores:
            words += ": " + ", ".join(_score_words(*each) for each in self.scores.items())
        return words


def _score_words(name: str, value: float) -> str:
    words = name.replace("_", " ")
    if name.endswith("_ms"):
        return f"{words[:-3]} {value:.0f} ms"
    is_share = name.endswith("rate") or name in ("precision", "recall", "f1")
    return f"{words} {100 * value:.1f} %" if is_share else f"{words} {value:g}"


@dataclass(frozen=True, kw_only=True)
class Config:
    """All settings of a session: a TOML file with the tables ``[vad]`` and ``[transcribe]``.

    Attributes
    ----------
    about : SettingsAbout
        Where they come from: the table ``[about]``. Equal settings may differ in it.
    """

    vad: VadConfig = field(default_factory=VadConfig)
    transcribe: TranscribeConfig = field(default_factory=TranscribeConfig)
    about: SettingsAbout = field(default_factory=SettingsAbout, compare=False)

    @classmethod
    def load(cls, path: str | Path) -> Config:
        """Read a settings file.

        A file without a version is one of sttlab 0.2.0 or earlier. Its threshold and its margin are
        turned into those that find about the same speech by the level in the speech band.

        Raises
        ------
        ConfigError
            If the file can't be read, is not valid TOML, is of a later version, or holds an unknown
            setting or a value that is not valid.
        """
        try:
            tables = read_toml(path)
        except OSError as error:
            raise ConfigError(f"cannot read settings {path}: {error.strerror}") from error
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ConfigError(f"settings {path} are not valid TOML: {error}") from error
        try:
            _upgrade(tables)
            parts: Any = {f.name: f.default_factory for f in fields(cls)}
            _refuse_unknown(tables, parts)
            return cls(**{name: from_dict(parts[name], tables[name]) for name in tables})
        except ConfigError as error:
            raise ConfigError(f"settings {path}: {error}") from error

    @classmethod
    def history(cls, path: str | Path) -> list[Config]:
        """Read what the notebook's widgets have replaced in a settings file, the newest first.

        The files are in a folder of the same name, with the suffix ``.history``.

        Raises
        ------
        ConfigError
            If one of them is not a valid settings file.
        """
        return [cls.load(each) for each in sorted(history_folder(path).glob("*.toml"))[::-1]]

    def save(self, path: str | Path) -> None:
        """Write a settings file that `load` reads back to an equal object."""
        import tomli_w

        tables = {
            name: {key: value for key, value in table.items() if value is not None}
            for name, table in asdict(self).items()
            if name != "about" or self.about != SettingsAbout()
        }
        written = tomli_w.dumps({"version": VERSION, **tables})
        with replacing(path) as file:
            file.write_text(written, encoding="utf-8")


def read_toml(path: str | Path) -> dict[str, Any]:
    """Read a TOML file.

    Raises
    ------
    OSError
        If it can't be read.
    ValueError
        If it is not valid TOML, or not UTF-8.
    """
    # Windows' Notepad begins a file with a byte order mark.
    return tomllib.loads(Path(path).read_text(encoding="utf-8-sig"))


def save_vad(vad: VadConfig, path: str | Path, about: SettingsAbout | None = None) -> Path:
    """Write settings of speech into a settings file; its table ``[transcribe]`` stays as it is.

    What the file was before stays in a folder beside it, where `Config.history` finds it.

    Raises
    ------
    ConfigError
        If the file exists and is not a valid settings file.
    """
    target = Path(path)
    config = Config()
    if target.exists():
        config = Config.load(target)
        if config.vad != vad:
            _put_by(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    Config(vad=vad, transcribe=config.transcribe, about=about or SettingsAbout()).save(target)
    return target


def history_folder(path: str | Path) -> Path:
    """Return the folder in which earlier versions of a settings file are."""
    return Path(path).with_suffix(".history")


def _put_by(path: Path) -> None:
    """Copy a settings file into its history, under the time at which it was written."""
    folder = history_folder(path)
    folder.mkdir(exist_ok=True)
    written = datetime.fromtimestamp(path.stat().st_mtime)
    stem = f"{written:%Y-%m-%dT%H-%M-%S}"
    names = (f"{stem}{more}.toml" for more in ("", *(f"-{i}" for i in range(2, 1000))))
    target = next(folder / name for name in names if not (folder / name).exists())
    shutil.copy2(path, target)


def _upgrade(tables: dict[str, Any]) -> None:
    """Take the version out of a settings file, and turn what it says into today's settings."""
    version = tables.pop("version", 1)
    if version not in range(1, VERSION + 1):
        raise ConfigError(
            f"version must be between 1 and {VERSION}, not {version!r}: "
            "a later sttlab may read this file"
        )
    vad = tables.get("vad")
    if version > 1 or not isinstance(vad, dict):
        return
    for f in fields(VadConfig):
        by_db, old = _SINCE_LEVEL_DB.get(f.name), vad.get(f.name)
        if by_db is None or isinstance(old, bool) or not isinstance(old, int | float):
            continue
        if f.metadata["min"] <= old <= f.metadata["max"]:  # what is not valid is refused as it is
            vad[f.name] = max(f.metadata["min"], old + by_db)
            _log.warning("settings of version 1: %s = %g is now %g", f.name, old, vad[f.name])


def from_dict(cls: type[Any], values: object) -> Any:
    """Make a config of the class `cls` from a mapping of a file, a slider or a socket message.

    Raises
    ------
    ConfigError
        If `values` is not a mapping, a name is unknown, or a value is not valid.
    """
    if not isinstance(values, Mapping):
        raise ConfigError(f"{cls.__name__} needs names and values, not {values!r}")
    _refuse_unknown(values, [f.name for f in fields(cls)])
    return cls(**values)


def _refuse_unknown(given: Mapping[str, object], known: Any) -> None:
    for name in given:
        if name not in known:
            near = difflib.get_close_matches(str(name), list(known), n=1)
            hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(known)}"
            raise ConfigError(f"unknown setting {name!r}; {hint}")
