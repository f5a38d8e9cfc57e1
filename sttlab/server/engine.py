"""The engine that all sessions of a server share, and how a client changes it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from sttlab.config import TranscribeConfig
from sttlab.engines import make_engine
from sttlab.engines.weights import list_models
from sttlab.errors import ConfigError
from sttlab.live.worker import AsrWorker

CHOICES = ("model", "language")


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

    @property
    def config(self) -> TranscribeConfig | None:
        """What the engine was made from; None if it was not made from a config."""
        return self.worker.engine_config

    async def use(self, changes: Mapping[str, Any]) -> None:
        """Change the model, among those that are installed, or the language.

        Raises
        ------
        ConfigError, ModelError
            If the model or the language is not known; the engine stays as it was.
        """
        async with self._lock:
            if self.config is None:
                raise ConfigError(
                    f"{self.worker.engine_name} was made by hand: its model and language are fixed"
                )
            config = replace(self.config, **changes)
            if config == self.config:
                return
            self.busy = f"loading {config.model}"
            try:
                if config.model != self.config.model:
                    await self._check_installed(config.model)
                await asyncio.to_thread(self.worker.use, make_engine(config))
            finally:
                self.busy = None

    async def _check_installed(self, model: str) -> None:
        """Raise ConfigError if the model is not installed: clients may not name paths."""
        installed = sorted({found.name for found in await asyncio.to_thread(list_models)})
        if model not in installed:
            raise ConfigError(f"there is no model {model!r}; there are {', '.join(installed)}")
