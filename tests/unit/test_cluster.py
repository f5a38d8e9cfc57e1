"""A corpus on a cluster of Dask: two processes of this machine, one of which is killed."""

from __future__ import annotations

import multiprocessing
import os
import shutil
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from sttlab.cli import cluster, main
from sttlab.decoding import load
from sttlab.evaluate import sweep_parts
from sttlab.evaluate.corpus import Corpus
from sttlab.evaluate.score_table import ScoreTable
from sttlab.evaluate.sweep import sweep
from sttlab.transcription import transcribe

pytestmark = pytest.mark.needs("cluster", "evaluate")
GRID: dict[str, list[Any]] = {"margin_db": [4, 9], "silence_timeout_s": [0.2, 0.55, 0.8]}
COPIES = 6
CLUSTER_S = 60.0


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    from distributed import Client, LocalCluster

    # Workers compile nothing, and find nothing that was kept. In this process the variable would
    # make numba fail while it compiles.
    environment = {
        "NUMBA_DISABLE_JIT": "1",
        "XDG_CACHE_HOME": str(tmp_path_factory.mktemp("cache")),
    }
    cluster = LocalCluster(
        n_workers=2,
        threads_per_worker=1,
        dashboard_address=None,
        silence_logs="CRITICAL",
        local_directory=str(tmp_path_factory.mktemp("dask")),
        env=environment,
    )
    with cluster, Client(cluster, timeout=CLUSTER_S) as client:
        client.wait_for_workers(2, timeout=CLUSTER_S)
        yield client


@pytest.fixture
def corpus(tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch) -> Corpus:
    """Make a corpus that is scored in many parts."""
    monkeypatch.setattr(sweep_parts, "PART_BYTES", 1)
    for name in ("pause", "cough"):
        for copy in range(COPIES):
            for suffix in ("flac", "rttm"):
                shutil.copy(data / f"{name}.{suffix}", tmp_path / f"{name}-{copy}.{suffix}")
    return Corpus(tmp_path)


def test_a_sweep_survives_a_worker_that_is_killed(client: Any, corpus: Corpus) -> None:
    steps: list[tuple[int, int]] = []
    before = set(client.run(os.getpid).values())
    assert len(before) == 2

    def kill(done: int, total: int) -> None:
        steps.append((done, total))
        if done == 1:
            psutil.Process(min(before)).kill()

    found = sweep(corpus, GRID, executor=client.get_executor(pure=False), progress=kill)
    assert steps == [(i + 1, 2 * COPIES) for i in range(2 * COPIES)], "each is counted once"
    assert found.left_out == ()
    here = sweep([i.load() for i in corpus], [i.labels for i in corpus if i.labels], GRID)
    for field in fields(ScoreTable):
        mine, other = (getattr(s.table, field.name) for s in (found, here))
        assert np.array_equal(mine, other), field.name
    client.wait_for_workers(2, timeout=CLUSTER_S)
    assert set(client.run(os.getpid).values()) != before


def test_sttlab_sweep_works_on_a_cluster(
    client: Any, corpus: Corpus, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    args = ["sweep", str(corpus.path), "--set", "margin_db=4,9", "--output"]
    table, results = tmp_path / "there.csv", tmp_path / "here"
    on_cluster = ["--scheduler", client.cluster.scheduler_address]
    assert main([*args, str(table), *on_cluster]) == 0
    there = capsys.readouterr().out
    assert main([*args, str(results)]) == 0
    assert capsys.readouterr().out == there
    assert table.read_text() == (results / "recordings.csv").read_text()
    assert len(table.read_text().splitlines()) == 1 + 2 * 2 * COPIES
    assert main(["sweep", "--again", str(results), *on_cluster]) == 0
    assert capsys.readouterr().out == there


def test_a_scheduler_that_does_not_answer_is_said_in_words(
    corpus: Corpus, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cluster, "CONNECT_S", 0.5)
    assert main(["sweep", str(corpus.path), "--scheduler", "tcp://127.0.0.1:9"]) == 1
    (said,) = [line for line in capsys.readouterr().err.splitlines() if "sttlab" in line]
    assert "no scheduler answers at tcp://127.0.0.1:9" in said
    assert "dask scheduler" in said


@pytest.mark.needs("faster-whisper")
def test_transcripts_survive_a_worker_that_is_killed(
    client: Any, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number, name in enumerate(("austen-1", "pause")):
        load(data / f"{name}.flac")[:4].save(tmp_path / f"{number}.flac")
    (tmp_path / "broken.flac").write_bytes(b"no audio")
    steps: list[tuple[float, float]] = []
    workers = list(client.run(os.getpid).values())

    def kill(done: float, total: float) -> None:
        steps.append((done, total))
        if done == 1:
            psutil.Process(workers[0]).kill()

    corpus = Corpus(tmp_path)
    there = transcribe(corpus, executor=client.get_executor(pure=False), progress=kill)
    assert steps == [(i + 1, 3) for i in range(3)]
    (why,) = there.left_out
    assert why.startswith("broken: ")
    # By a last digit, texts depend on the number of threads, and Dask gives each process one.
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawn) as process:
        here = transcribe(corpus, executor=process)
    assert dict(there) == dict(here)
    assert list(there) == ["0", "1"]
    assert all(one.text for one in there.values())
