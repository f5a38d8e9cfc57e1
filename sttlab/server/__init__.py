"""The `/ws` server: ``uvicorn sttlab.server:app``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sttlab.errors import SttlabError

if TYPE_CHECKING:
    from fastapi import FastAPI

    app: FastAPI


def __getattr__(name: str) -> Any:
    if name != "app":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from sttlab.server.app import create_app

    try:
        globals()["app"] = create_app()
    except SttlabError as error:  # what a settings file can cause
        raise SystemExit(f"sttlab: {error}") from None
    return globals()["app"]
