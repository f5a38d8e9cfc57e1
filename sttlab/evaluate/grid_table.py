"""The scores of a sweep as its table has them, so that a figure needs no recordings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sttlab.config import SpeakerConfig, VadConfig
from sttlab.errors import ConfigError
from sttlab.evaluate.grid import GridScores
from sttlab.evaluate.speaker_sweep import SpeakerSweep
from sttlab.evaluate.sweep import Sweep

SETTINGS = {f.name for config in (VadConfig, SpeakerConfig) for f in fields(config)}
WANTED = (
    "a table with a row for each combination of settings is needed, in the order of to_frame(): "
    "settings.csv of a results folder, not recordings.csv"
)


class _TabledScores(GridScores):
    def __init__(self, table: Any) -> None:
        names = [name for name in table if name in SETTINGS]
        columns = {name: _plain(table[name]) for name in names}
        self.grid = {name: tuple(dict.fromkeys(values)) for name, values in columns.items()}
        self.configs = tuple(zip(*columns.values(), strict=True))
        self.left_out = ()
        if not names or self.configs != tuple(product(*self.grid.values())):
            raise ConfigError(WANTED)
        self._table = table

    def _metric(self, name: str) -> NDArray[np.float64]:
        return np.asarray(self._table[name], np.float64)

    def values(self, setting: int) -> dict[str, Any]:
        """Return the value of each field of the grid in a setting."""
        return dict(zip(self.grid, self.configs[setting], strict=True))

    def _caption(self) -> str:
        return f"{len(self)} settings"


class _TabledSweep(_TabledScores):
    METRICS = Sweep.METRICS
    TIES = Sweep.TIES


class _TabledSpeakerSweep(_TabledScores):
    METRICS = SpeakerSweep.METRICS
    TIES = SpeakerSweep.TIES


def scores_of_table(table: Any) -> GridScores:
    """Return the scores of settings that a table has.

    Parameters
    ----------
    table : pandas.DataFrame
        What `to_frame` of a sweep returns, with a row for each setting; also after CSV.

    Raises
    ------
    ConfigError
        If it is not such a table.
    """
    for kind in (_TabledSweep, _TabledSpeakerSweep):
        if set(kind.METRICS) <= set(table):
            return kind(table)
    raise ConfigError(WANTED)


def _plain(column: Any) -> Sequence[Any]:
    """Return the values of a column; None where CSV has nothing."""
    values: list[Any] = column.astype(object).where(column.notna(), None).tolist()
    return values
