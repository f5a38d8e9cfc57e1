"""Tune voice activity detection on real audio, and watch it drive live speech to text.

Live
    Session         a source, a detector and a model at work
    AsrWorker       one loaded model that several sessions share

Settings
    VadConfig, TranscribeConfig     what decides about speech, and about text
    Config          both, as a TOML file
    calibrate       settings for a room, from what it sounds like

Recordings
    segment         utterances, cut exactly as the live path cuts them
    transcribe      a recording to text

Errors
    SttlabError     root of all that is raised on purpose
"""

from __future__ import annotations

import importlib
import logging
import os
import sys
from collections.abc import Callable
from types import ModuleType
from typing import TYPE_CHECKING, Any

# PyTorch and CTranslate2 each bring an OpenMP on macOS and Windows; without this the second aborts.
os.environ.setdefault("KMP_DUPLICATE_LIB_OK", "TRUE")
logging.getLogger(__name__).addHandler(logging.NullHandler())

__version__ = "0.1.0"

if TYPE_CHECKING:
    from sttlab.batch import transcribe as transcribe
    from sttlab.config import Config as Config
    from sttlab.config import TranscribeConfig as TranscribeConfig
    from sttlab.config import VadConfig as VadConfig
    from sttlab.core import segment as segment
    from sttlab.errors import SttlabError as SttlabError
    from sttlab.session import AsrWorker as AsrWorker
    from sttlab.session import Session as Session
    from sttlab.vad.energy import calibrate as calibrate

# Loaded on first use (PEP 562): `import sttlab` stays quick, and needs no extra.
_HOME = {
    "AsrWorker": "sttlab.session",
    "Config": "sttlab.config",
    "Session": "sttlab.session",
    "SttlabError": "sttlab.errors",
    "TranscribeConfig": "sttlab.config",
    "VadConfig": "sttlab.config",
    "calibrate": "sttlab.vad.energy",
    "segment": "sttlab.core",
    "transcribe": "sttlab.batch",
}

__all__ = ["__version__", *_HOME]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name == "transcribe":
        return importlib.import_module("sttlab.transcribe")
    value = globals()[name] = getattr(importlib.import_module(_HOME[name]), name)
    return value


def __dir__() -> list[str]:
    return __all__


class _Engines(ModuleType):
    """The folder `sttlab.transcribe`; called, it is the function `sttlab.batch.transcribe`."""

    @property
    def __wrapped__(self) -> Callable[..., Any]:
        from sttlab.batch import transcribe

        return transcribe

    def __call__(self, *args: Any, **options: Any) -> Any:
        return self.__wrapped__(*args, **options)


class _Package(ModuleType):
    """The import system sets a folder as an attribute here; this makes one of them callable."""

    def __setattr__(self, name: str, value: object) -> None:
        if name == "transcribe" and isinstance(value, ModuleType):
            value.__class__ = _Engines
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
