"""The engine that all sessions of a server share, and the change to another one."""

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
    """Belongs to the event loop's thread.

    Parameters
    ----------
    worker : AsrWorker

    Attributes
    ----------
    busy : str or None
        What takes a moment now.
    """

    def __init__(self, worker: AsrWorker) -> None:
        self.worker = worker
        self.busy: str | None = None
        self._lock = asyncio.Lock()

    @property
    def name(self) -> str:
        """The name of the engine in use."""
        return self.worker.engine_name

    @property
    def hangs(self) -> str | None:
        """What is wrong and what to do if the engine hangs; else None."""
        return self.worker.hangs

    @property
    def waiting(self) -> int:
        """How many jobs wait for the engine."""
        return self.worker.waiting

    @property
    def config(self) -> TranscribeConfig | None:
        """What the engine was made from; None for one that someone made otherwise."""
        return self.worker.engine_config

    async def use(self, changes: Mapping[str, Any]) -> None:
        """Change the model, among those that are here, or the language.

        Raises
        ------
        ConfigError, ModelError
            If there is no such model or language; the engine stays as it was.
        """
        async with self._lock:
            if self.config is None:
                raise ConfigError(f"{self.name} was made by hand: its model and language stay")
            config = replace(self.config, **changes)
            if config == self.config:
                return
            self.busy = f"loading {config.model}"
            try:
                if config.model != self.config.model:
                    await self._require(config.model)
                await asyncio.to_thread(self.worker.use, make_engine(config))
            finally:
                self.busy = None

    async def _require(self, model: str) -> None:
        """See that a model is here: a client names no path, and causes no download."""
        here = sorted({found.name for found in await asyncio.to_thread(list_models)})
        if model not in here:
            raise ConfigError(f"there is no model {model!r}; there are {', '.join(here)}")
