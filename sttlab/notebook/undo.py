"""Undo and redo of settings."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import asdict

from sttlab.config import VadConfig

JOIN_S = 1.0  # changes of the same fields, each within so long of the last, are one: a drag
MOST = 200  # changes that are kept


class SettingsHistory:
    """The settings that a person had, to go back to and forth. Any thread may use it."""

    def __init__(self, config: VadConfig, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()  # guards all that follows
        self._past: list[VadConfig] = []
        self._now = config
        self._future: list[VadConfig] = []
        self._last: tuple[set[str], float] = set(), 0.0  # what was changed last, and when

    @property
    def can(self) -> tuple[bool, bool]:
        """Whether there is anything to undo, and to redo."""
        return bool(self._past), bool(self._future)

    def take(self, config: VadConfig) -> None:
        """Note the settings as they are now."""
        with self._lock:
            self._take(config)

    def undo(self, config: VadConfig) -> VadConfig | None:
        """Return the settings before the last change; None if there was none."""
        with self._lock:
            self._take(config)
            return self._travel(self._past, self._future)

    def redo(self, config: VadConfig) -> VadConfig | None:
        """Return the settings after the change that was undone last; None if there is none."""
        with self._lock:
            self._take(config)
            return self._travel(self._future, self._past)

    def _take(self, config: VadConfig) -> None:
        if config == self._now:
            return
        before = asdict(self._now)
        fields = {name for name, value in asdict(config).items() if value != before[name]}
        last, at = self._last
        self._last = fields, self._clock()
        if fields != last or self._clock() - at > JOIN_S:
            self._past = [*self._past, self._now][-MOST:]
        self._now, self._future = config, []

    def _travel(self, back: list[VadConfig], forth: list[VadConfig]) -> VadConfig | None:
        if not back:
            return None
        forth.append(self._now)
        self._now = back.pop()
        self._last = set(), 0.0
        return self._now
