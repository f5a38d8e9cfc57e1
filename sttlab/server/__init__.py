"""The `/ws` server: ``uvicorn sttlab.server:app``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sttlab.server.app import create_app

if TYPE_CHECKING:
    from fastapi import FastAPI

    app: FastAPI

__all__ = ["app", "create_app"]


def __getattr__(name: str) -> Any:
    if name != "app":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()["app"] = create_app()
    return globals()["app"]
