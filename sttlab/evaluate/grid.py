"""What all grid searches share: combinations of settings, and the choice among their metrics."""

from __future__ import annotations

import html
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from itertools import product
from typing import Any, ClassVar, TypeVar

import numpy as np
from numpy.typing import NDArray

from sttlab.config import from_dict
from sttlab.errors import ConfigError

T = TypeVar("T")


class GridScores(ABC):
    """The scores of every setting of a grid. A subclass measures them.

    Attributes
    ----------
    METRICS : mapping of str to str
        The metrics of a setting, with their labels. For each, less is better.
    grid : dict of str to tuple
        Fields of the settings, each with the values that were tried.
    configs : tuple
        Every combination; the last field of the grid changes fastest.
    left_out : tuple of str
        Recordings of a corpus that are not in the scores, and why.
    """

    METRICS: ClassVar[Mapping[str, str]]
    TIES: ClassVar[tuple[str, ...]] = ()  # metrics that decide among equals, the first of them last
    grid: dict[str, tuple[Any, ...]]
    configs: tuple[Any, ...]
    left_out: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.configs)

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of values of each field of the grid."""
        return tuple(map(len, self.grid.values()))

    def metric(self, name: str) -> NDArray[np.float64]:
        """Return one of METRICS for each setting; NaN where it can't be measured.

        Returns
        -------
        ndarray, shape (settings,)
            Reshaped to `shape`, it has an axis for each field of the grid.

        Raises
        ------
        ConfigError
            If the metric is unknown.
        """
        if name not in self.METRICS:
            raise ConfigError(f"unknown metric {name!r}; known are {', '.join(self.METRICS)}")
        return self._metric(name)

    @abstractmethod
    def _metric(self, name: str) -> NDArray[np.float64]:
        """Return a metric that is one of METRICS."""

    @abstractmethod
    def _caption(self) -> str:
        """Say what was tried on what."""

    def best(self, metric: str | None = None) -> int:
        """Return the setting with the least value of a metric, by default the first of METRICS.

        Among equals, the one with the lowest error rate is returned.

        Raises
        ------
        ConfigError
            If the metric is unknown, or has no value for any setting.
        """
        metric = metric or next(iter(self.METRICS))
        values = self.metric(metric)
        if np.isnan(values).all():
            raise ConfigError(
                f"no setting has a value of {self.METRICS[metric]}: choose another metric"
            )
        order = [self.metric(m) for m in self.TIES]
        return int(np.lexsort([np.nan_to_num(v, nan=np.inf) for v in (*order, values)])[0])

    def front(self, metric: str, against: str) -> list[int]:
        """Return the Pareto front: the settings that no other beats in both, sorted by `metric`."""
        x, y = self.metric(metric), self.metric(against)
        front: list[int] = []
        for i in np.lexsort([y, x]).tolist():
            if not np.isnan(x[i] + y[i]) and (not front or y[i] < y[front[-1]]):
                front.append(i)
        return front

    def values(self, setting: int) -> dict[str, Any]:
        """Return the value of each field of the grid in a setting."""
        return {name: getattr(self.configs[setting], name) for name in self.grid}

    def _rows(
        self, metrics: Mapping[str, NDArray[np.float64]] | None = None
    ) -> list[dict[str, Any]]:
        """Make a row for each setting, with all METRICS or with others."""
        metrics = metrics or {name: self.metric(name) for name in self.METRICS}
        return [
            self.values(i) | {name: values[i] for name, values in metrics.items()}
            for i in range(len(self))
        ]

    def _repr_html_(self) -> str:
        heads = "".join(f"<th>{html.escape(name)}</th>" for name in self.grid)
        rows = []
        for name, words in self.METRICS.items():
            if np.isnan(self.metric(name)).all():
                continue
            i = self.best(name)
            cells = "".join(
                f"<td>{html.escape(plain_value(value))}</td>" for value in self.values(i).values()
            )
            rows.append(
                f'<tr><th scope="row" style="text-align:left">{words}</th>'
                f"<td>{written(name, self.metric(name)[i])}</td>{cells}</tr>"
            )
        return (
            f"<table><caption>{html.escape(self._caption())}</caption>"
            f"<tr><th>least</th><th></th>{heads}</tr>{''.join(rows)}</table>"
            + "".join(f"<p>⚠ left out: {html.escape(why)}</p>" for why in self.left_out)
        )


def combinations(
    grid: Mapping[str, Iterable[Any]], config: T
) -> tuple[dict[str, tuple[Any, ...]], tuple[T, ...]]:
    """Return the values of a grid, converted to the types of the fields, and every combination.

    Raises
    ------
    ConfigError
        If a value is not valid, or the grid is empty.
    """
    given: Any = config
    tried: dict[str, tuple[Any, ...]] = {}
    for name, values in grid.items():
        if isinstance(values, str) or not isinstance(values, Iterable):
            raise ConfigError(f"the grid needs a list of values for {name}, not {values!r}")
        plain = [v.item() if isinstance(v, np.generic) else v for v in values]
        made = [from_dict(type(given), asdict(given) | {name: v}) for v in plain]
        tried[name] = tuple(getattr(c, name) for c in made)
        if not made:
            raise ConfigError(f"the grid has no value for {name}: give at least one")
    if not tried:
        raise ConfigError("the grid is empty: name a setting and the values to try of it")
    return tried, tuple(
        replace(given, **dict(zip(tried, values, strict=True)))
        for values in product(*tried.values())
    )


def written(metric: str, value: float) -> str:
    """Write the value of a metric with its unit."""
    if np.isnan(value):
        return "–"
    if metric.endswith("_ms"):
        return f"{value:.0f} ms"
    return f"{value:.1%}" if metric.endswith("_rate") else f"{value:g}"


def plain_value(value: Any) -> str:
    """Write the value of a setting."""
    if value is None:
        return "unset"
    return f"{value:g}" if isinstance(value, float) else str(value)


def nothing_scored(left_out: Sequence[str]) -> ConfigError:
    """Make the error that says why nothing can be scored."""
    return ConfigError(f"no recording can be scored; left out: {'; '.join(left_out[:5])}")
