"""Tune voice activity detection on real audio, and watch it drive live speech to text."""

from __future__ import annotations

import importlib
import logging
import os
from typing import TYPE_CHECKING, Any

# PyTorch and CTranslate2 each bring an OpenMP on macOS and Windows; without this the second aborts.
os.environ.setdefault("KMP_DUPLICATE_LIB_OK", "TRUE")
logging.getLogger(__name__).addHandler(logging.NullHandler())

__version__ = "0.1.0"

if TYPE_CHECKING:
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
}

__all__ = ["__version__", *_HOME]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
