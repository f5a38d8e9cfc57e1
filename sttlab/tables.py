"""Tables for pandas, which is optional."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from typing import Any

from sttlab.errors import MissingExtra


def frame(rows: Sequence[Mapping[str, Any]], *, index: str | None = None) -> Any:
    """Make a pandas.DataFrame of rows, with the columns of all of them.

    Raises
    ------
    MissingExtra
        If pandas is not installed.
    """
    try:
        pandas = importlib.import_module("pandas")
    except ImportError as error:
        raise MissingExtra("pandas", "evaluate") from error
    columns = list(dict.fromkeys(name for row in rows for name in row)) or [index or "row"]
    table = pandas.DataFrame(list(rows), columns=columns)
    return table.set_index(index) if index else table
