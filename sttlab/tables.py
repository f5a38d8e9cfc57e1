"""Tables for pandas, which is optional."""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from typing import Any

from sttlab.errors import MissingExtra


def frame(rows: Iterable[Any], *, index: str | None = None, columns: Sequence[str] = ()) -> Any:
    """Make a pandas.DataFrame.

    Parameters
    ----------
    rows : iterable of mapping, or of dataclass instance
        Of a dataclass, a row has the fields that fit into a cell; see `scalars`.
    index : str, optional
        Name of the column that becomes the index.
    columns : sequence of str
        Columns that come first, and are there even if no row has them. Others follow in the order
        in which rows name them.

    Raises
    ------
    MissingExtra
        If pandas is not installed.
    """
    try:
        pandas = importlib.import_module("pandas")
    except ImportError as error:
        raise MissingExtra("pandas", "evaluate") from error
    cells = [dict(row) if isinstance(row, Mapping) else scalars(row) for row in rows]
    first = (index,) if index else ()
    names = list(dict.fromkeys([*first, *columns, *(name for row in cells for name in row)]))
    table = pandas.DataFrame(cells, columns=names)
    return table.set_index(index) if index else table


def scalars(values: Any) -> dict[str, Any]:
    """Return the fields of a dataclass instance whose values are numbers, text or None."""
    found = {f.name: getattr(values, f.name) for f in fields(values)}
    return {
        name: value
        for name, value in found.items()
        if value is None or isinstance(value, str | int | float)
    }


def records(rows: Any) -> Iterable[Any]:
    """Return the rows of a pandas.DataFrame as named tuples; anything else as it is."""
    found: Iterable[Any] = rows.itertuples() if hasattr(rows, "itertuples") else rows
    return found
