"""The engine that all sessions of a server share, and how a client changes it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from sttlab.config import TranscribeConfig
from sttlab.engines import make_engine
from sttlab.engines.best import AUTO
from sttlab.engines.local import LocalEngine, check_language
from sttlab.engines.weights import list_models
from sttlab.errors import ConfigError
from sttlab.live.worker import AsrWorker
from sttlab.server.memory import give_back

CHOICES = ("model", "language")
MOST_WAITING = 8  # changes, of all clients


class SharedEngine:
    """Changes the shared engine's model and language. Belongs to the event loop's thread.

    Parameters
    ----------
    worker : AsrWorker
        The engine's thread, which the sessions share.

    Attributes
    ----------
    busy : str or None
        What the engine is doing that takes a moment, such as loading a model.
    """

    def __init__(self, worker: AsrWorker) -> None:
        self.worker = worker
        self.busy: str | None = None
        self._lock = asyncio.Lock()
        self._waiting = 0

    @property
    def config(self) -> TranscribeConfig | None:
        """What the engine was made from; None if it was not made from a config."""
        return self.worker.engine_config

    async def use(self, changes: Mapping[str, Any], told: Callable[[], None]) -> None:
        """Change the model, among those that are installed, or the language.

        The engine goes on while another model loads beside it.

        Parameters
        ----------
        changes : mapping
            Some of CHOICES, with their values.
        told : callable
            Called when `busy` was set.

        Raises
        ------
        ConfigError, ModelError
            If the model or the language is not known, or too many changes wait already; the engine
            stays as it was.
        """
        if self._waiting >= MOST_WAITING:
            raise ConfigError(f"{self._waiting} changes of the model wait already: try again later")
        self._waiting += 1
        try:
            async with self._lock:
                await self._change(changes, told)
        finally:
            self._waiting -= 1

    async def _change(self, changes: Mapping[str, Any], told: Callable[[], None]) -> None:
        if self.config is None:
            raise ConfigError(
                f"{self.worker.engine_name} was made by hand: its model and language are fixed"
            )
        config = replace(self.config, **changes)
        if config == self.config:
            return
        engine = self.worker.transcriber
        if config.model == self.config.model and isinstance(engine, LocalEngine):
            await asyncio.to_thread(self.worker.use, engine.in_language(config.language))
            return
        if config.model not in (self.config.model, AUTO):
            await self._check_installed(config.model)
        check_language(config)
        self.busy = f"loading {config.model}"
        told()
        try:
            # Choosing an engine may ask the driver of a GPU, which takes its time.
            await asyncio.to_thread(lambda: self.worker.use(make_engine(config)))
            await asyncio.to_thread(give_back)
        finally:
            self.busy = None

    async def _check_installed(self, model: str) -> None:
        """Raise ConfigError if the model is not installed: clients may not name paths."""
        installed = sorted({found.name for found in await asyncio.to_thread(list_models)})
        if model not in installed:
            raise ConfigError(f"there is no model {model!r}; there are {', '.join(installed)}")
