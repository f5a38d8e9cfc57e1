"""The soak, for minutes and not hours, and how it reports what is wrong."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from sttlab.bench import material
from sttlab.bench.material import Clip
from sttlab.core import StreamCore
from sttlab.events import StreamEvent, Transcript, Utterance
from sttlab.server import protocol
from tests.benchmarks import soak
from tests.fakes import Counting

pytestmark = pytest.mark.needs("bench")

KINDS = {*soak.SOURCE_FAULTS, *soak.ENGINE_FAULTS}


@pytest.fixture(scope="module")
def clips(data: Path) -> list[Clip]:
    return material.read_clips(data, "en", 1.0, 20.0)[0]


def test_soak_loses_only_utterances_reported_as_failed(clips: list[Clip]) -> None:
    found = soak.run(clips, hours=0.1, seed=7, faults_per_hour=400)
    assert found.lost == ()
    assert found.utterances == found.delivered + found.failed
    assert found.utterances >= found.spoken > 50
    assert found.delivered > found.failed > 0
    assert set(found.faults) >= KINDS
    assert "| lost otherwise | 0 |" in found.table()


def every_tenth(drop: Callable[[StreamEvent], bool]) -> Callable[[StreamEvent], bool]:
    numbers = itertools.count(1)
    return lambda event: drop(event) and next(numbers) % 10 == 0


def test_soak_fails_if_a_text_does_not_reach_the_client(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    plain, lost = protocol.plain, every_tenth(lambda event: isinstance(event, Transcript))
    monkeypatch.setattr(protocol, "plain", lambda e: None if lost(e) else plain(e))
    monkeypatch.setattr(soak, "END_S", 1.0)
    told = CliRunner().invoke(soak.app, ["--hours", "0.1", "--output", str(tmp_path)])
    assert told.exit_code == 1
    assert "out of order at the client" in told.stderr


def test_soak_reports_speech_that_no_utterance_holds(
    monkeypatch: pytest.MonkeyPatch, clips: list[Clip]
) -> None:
    handle, deaf = StreamCore.feed, every_tenth(lambda event: isinstance(event, Utterance))
    monkeypatch.setattr(StreamCore, "feed", lambda *a: [e for e in handle(*a) if not deaf(e)])
    found = soak.run(clips, hours=0.1, seed=1, faults_per_hour=0)
    assert any("never found" in problem for problem in found.problems)


class Leaky(Counting):
    """An engine that leaks something with each utterance."""

    def __init__(self, take: Callable[[], object]) -> None:
        super().__init__(text="yes")
        self.kept: list[Any] = []
        self.take = take

    def transcribe(self, *arguments, **options):
        self.kept.append(self.take())
        return super().transcribe(*arguments, **options)


@pytest.fixture
def over() -> Iterator[threading.Event]:
    """Event that ends the leaked threads."""
    over = threading.Event()
    yield over
    over.set()


def test_soak_reports_leaks_of_memory_threads_and_files(
    clips: list[Clip], over: threading.Event
) -> None:
    def leak() -> object:
        thread = threading.Thread(target=over.wait)
        thread.start()
        return np.ones(300_000), thread, Path("/dev/null").open()

    engine = Leaky(leak)
    found = soak.run(clips, hours=0.5, seed=1, faults_per_hour=0, engine=engine)
    for _, _, file in engine.kept:
        file.close()
    told = " ".join(found.problems)
    assert "MB of memory grew" in told
    assert "threads grew" in told
    assert "open files and sockets grew" in told


def usage(**changes: float) -> Iterator[soak.Usage]:
    """Eight hours of samples, in which the given resources grow by that much an hour."""
    flat = soak.Usage(hours=0, memory_mb=100, failed_mb=0, threads=12, files=15)
    for hours in np.arange(0, 8, 0.25):
        grown = {name: getattr(flat, name) + rate * hours for name, rate in changes.items()}
        yield flat._replace(**grown, hours=hours)


@pytest.mark.parametrize(
    ("changes", "problems"),
    [
        ({}, ()),
        ({"failed_mb": 30}, ()),
        ({"memory_mb": 2}, ()),
        ({"memory_mb": 4}, ("MB of memory grew from 112 to 128",)),
        ({"threads": 1}, ("threads grew from 15 to 19",)),
        ({"files": 1}, ("open files and sockets grew from 18 to 22",)),
    ],
)
def test_growth_in_the_second_half_is_a_problem(changes, problems) -> None:
    found = soak.Soak(
        hours=8,
        wall_s=1,
        engine="none",
        spoken=0,
        hit=0,
        utterances=0,
        delivered=0,
        failed=0,
        lost=(),
        faults={},
        usage=tuple(usage(**changes)),
    )
    assert found.problems == problems
