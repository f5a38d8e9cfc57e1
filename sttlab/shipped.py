"""Files that come with the package and are not Python: the page, the demo, the notebooks."""

from __future__ import annotations

from pathlib import Path

from sttlab.errors import SttlabError


def shipped(name: str) -> Path:
    """Find a file or folder inside an installed package, or beside the package in a checkout.

    Parameters
    ----------
    name : str
        Path in a checkout, such as ``data/demo.flac``.

    Raises
    ------
    SttlabError
        If it is in neither. A wheel has the page and the demo, but not the notebooks.
    """
    package = Path(__file__).parent
    for folder in (package, package.parent):
        if (folder / name).exists():
            return folder / name
    raise SttlabError(f"{name} is not in {package.parent}: run this in a checkout of sttlab")
