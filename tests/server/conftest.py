"""Fixtures for the tests of the server."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from sttlab.live.session import Session
from sttlab.server.launch import ServerHandle, launch_server
from tests.fakes import Counting
from tests.server.clients import VAD, Told


@pytest.fixture
def source() -> Told:
    """A source that speaks on demand."""
    return Told()


@pytest.fixture
def server(source: Told) -> Iterator[ServerHandle]:
    """A server of that source, with a fast engine."""
    session = Session(source, vad=VAD, model=Counting())
    with launch_server(session, port=0) as server:
        yield server
