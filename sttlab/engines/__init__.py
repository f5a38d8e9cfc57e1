"""Engines turn an utterance into text: the registry of those that there are.

A new engine needs one file and one line at the end of this one. Its class has what
`sttlab.engines.base.Engine` asks for. For a model that runs in this process
`sttlab.engines.local.LocalEngine` does most of it. tests/unit/test_engines.py is the contract of
all engines.
"""

from __future__ import annotations

from collections.abc import Callable

from sttlab.config import TranscribeConfig
from sttlab.engines.auto import choose
from sttlab.engines.base import Engine
from sttlab.engines.best import AUTO, BestModel
from sttlab.engines.faster import FasterWhisperEngine
from sttlab.engines.whisper import WhisperEngine
from sttlab.errors import ConfigError

ENGINES: dict[str, Callable[[TranscribeConfig], Engine]] = {}
"""What makes each registered engine, by its name, in the order in which people are offered them."""


def register(name: str, make: Callable[[TranscribeConfig], Engine]) -> None:
    """Make an engine known, so that `TranscribeConfig.engine` may name it.

    Parameters
    ----------
    name : str
    make : callable
        Makes the engine from a config, without loading its model or importing its packages.

    Raises
    ------
    ConfigError
        If the name is taken.
    """
    if ENGINES.get(name, make) is not make:
        raise ConfigError(f"there is an engine {name!r} already: choose another name")
    ENGINES[name] = make


def make_engine(config: TranscribeConfig) -> Engine:
    """Make the engine that a config names. It loads its model later: see `Engine.load`."""
    make = ENGINES[config.engine]
    return BestModel(config, make) if config.model == AUTO else make(config)


register("auto", choose)
register("whisper", WhisperEngine)
register("faster-whisper", FasterWhisperEngine)
