"""A sweep of a corpus: in parts, in other processes, interrupted, and what is kept on disk."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import shutil
from collections.abc import Callable
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import sttlab as stt
from sttlab.cli import main
from sttlab.errors import ConfigError, DecodeError, MissingExtra, SttlabError, WorkersFailed
from sttlab.evaluate import sweep_cache, sweep_parts
from sttlab.evaluate.corpus import Corpus
from sttlab.evaluate.corpus_reading import CorpusItem
from sttlab.evaluate.labels import Labels, Turn
from sttlab.evaluate.score_table import ScoreTable
from sttlab.evaluate.sweep import Sweep, sweep
from sttlab.evaluate.sweep_cache import SweepCache
from sttlab.spread import spread

NAMES = ("pause", "austen-1", "austen-2", "cough")
GRID: dict[str, list[Any]] = {"margin_db": [4, 9], "silence_timeout_s": [0.2, 0.55, 0.8]}


@pytest.fixture
def corpus(tmp_path: Path, data: Path) -> Corpus:
    for name in NAMES:
        for suffix in ("flac", "rttm"):
            shutil.copy(data / f"{name}.{suffix}", tmp_path)
    return Corpus(tmp_path)


class Counting(ThreadPoolExecutor):
    """Threads that count what they are given."""

    submitted = 0

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        self.submitted += 1
        return super().submit(fn, *args, **kwargs)


def count_loads(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    decoded: list[Path] = []

    def load(path: Path, **options: Any) -> stt.Recording:
        decoded.append(path)
        return stt.load(path, **options)

    monkeypatch.setattr(sweep_parts, "load", load)
    return decoded


def in_memory(corpus: Corpus) -> Sweep:
    return sweep([item.load() for item in corpus], [i.labels or Labels() for i in corpus], GRID)


def assert_bit_for_bit(found: Sweep, expected: Sweep) -> None:
    for field in fields(ScoreTable):
        mine, other = (getattr(s.table, field.name) for s in (found, expected))
        assert np.array_equal(mine, other), field.name
    assert found.configs == expected.configs


@pytest.mark.parametrize("part_bytes", [1, 200_000, 10**9])
def test_a_corpus_scores_the_same_bit_for_bit_however_it_is_divided(
    corpus: Corpus, monkeypatch: pytest.MonkeyPatch, part_bytes: int
) -> None:
    monkeypatch.setattr(sweep_parts, "PART_BYTES", part_bytes)
    found = sweep(corpus, GRID)
    assert_bit_for_bit(found, in_memory(corpus))
    for number, item in enumerate(corpus):
        alone = sweep(item.load(), item.labels or Labels(), GRID)
        for i in range(len(found)):
            assert found.table.scores(i, slice(number, number + 1)) == alone.scores[i]
    assert found.recordings == tuple(sorted(NAMES))
    assert found.duration_s == sum(item.load().duration_s for item in corpus)
    assert [trace.origin for trace in found.traces] == sorted(NAMES)


def test_other_processes_score_a_corpus_the_same_bit_for_bit(
    corpus: Corpus, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(sweep_parts, "PART_BYTES", 1)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "broken.flac").write_bytes(b"no audio")
    (tmp_path / "broken.rttm").write_bytes((tmp_path / "cough.rttm").read_bytes())
    steps: list[tuple[int, int]] = []
    spawn = multiprocessing.get_context("spawn")
    with monkeypatch.context() as patch, ProcessPoolExecutor(2, mp_context=spawn) as processes:
        patch.setenv("NUMBA_DISABLE_JIT", "1")  # in the processes, which then compile nothing
        found = sweep(
            Corpus("."), GRID, executor=processes, progress=lambda *step: steps.append(step)
        )
        assert processes.submit(int, "7").result() == 7, "the executor is its owner's"
    assert_bit_for_bit(found, in_memory(corpus))
    (why,) = found.left_out
    assert "broken" in why
    assert steps == [(i + 1, 5) for i in range(5)]


def test_an_interrupted_sweep_goes_on_where_it_was(
    corpus: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweep_parts, "PART_BYTES", 1)

    def interrupt(done: int, total: int) -> None:
        if done == 3:
            raise KeyboardInterrupt

    with Counting(1) as threads:
        with pytest.raises(KeyboardInterrupt):
            sweep(corpus, GRID, executor=threads, progress=interrupt)
        assert threads.submitted == 4
        steps: list[tuple[int, int]] = []
        found = sweep(corpus, GRID, executor=threads, progress=lambda *step: steps.append(step))
        assert threads.submitted == 5, "three of four were done"
        assert steps == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert_bit_for_bit(found, in_memory(corpus))


def test_another_grid_decodes_nothing(corpus: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    decoded = count_loads(monkeypatch)
    sweep(corpus, {"margin_db": [5]})
    assert len(decoded) == 4
    found = sweep(corpus, GRID)
    assert len(decoded) == 4
    sweep(corpus, GRID, cached=False)
    assert len(decoded) == 8
    assert_bit_for_bit(found, in_memory(corpus))


def test_what_changes_is_scored_anew(
    corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweep_parts, "PART_BYTES", 1)
    with Counting(1) as threads:
        sweep(corpus, GRID, executor=threads)
        (tmp_path / "cough.rttm").write_text((tmp_path / "pause.rttm").read_text())
        (tmp_path / "austen-1.flac").write_bytes((tmp_path / "austen-2.flac").read_bytes())
        again = Corpus(tmp_path)
        found = sweep(again, GRID, executor=threads)
        assert threads.submitted == 4 + 2
        assert_bit_for_bit(found, in_memory(again))
        sweep(again, GRID, executor=threads, gap_s=0.4)
        sweep(again, GRID, executor=threads, config=stt.VadConfig(pre_roll_s=0.1))
        assert threads.submitted == 4 + 2 + 4 + 4


def test_parts_of_one_file_are_decoded_once(
    tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    labels = Labels([Turn(start_s=0.5, end_s=2.0), Turn(start_s=3.0, end_s=4.0)])
    labels.save(tmp_path / "labels.json")
    lines = [
        f'{{"file": "{data / "austen-1.flac"}", "offset": {i}, "duration": 2, '
        '"labels": "labels.json"}'
        for i in range(3)
    ]
    (tmp_path / "manifest.jsonl").write_text("\n".join(lines))
    corpus = Corpus(tmp_path)
    decoded = count_loads(monkeypatch)
    found = sweep(corpus, GRID)
    assert len(decoded) == 1
    assert_bit_for_bit(found, in_memory(corpus))


def test_a_broken_file_that_was_repaired_is_no_longer_left_out(
    corpus: Corpus, tmp_path: Path
) -> None:
    whole = (tmp_path / "pause.flac").read_bytes()
    stat = (tmp_path / "pause.flac").stat()
    (tmp_path / "pause.flac").write_bytes(bytes(len(whole)))
    os.utime(tmp_path / "pause.flac", ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert len(sweep(corpus, GRID).left_out) == 1
    (tmp_path / "pause.flac").write_bytes(whole)
    os.utime(tmp_path / "pause.flac", ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert_bit_for_bit(sweep(corpus, GRID), in_memory(corpus))


def test_recordings_in_memory_do_not_travel() -> None:
    silence = stt.Recording(np.zeros(16000, np.float32))
    with (
        ThreadPoolExecutor(1) as threads,
        pytest.raises(ConfigError, match="an executor needs a Corpus"),
    ):
        sweep(silence, Labels(), GRID, executor=threads)


def test_a_worker_with_another_version_refuses(corpus: Corpus) -> None:
    items = tuple((item, item.labels or Labels()) for item in corpus)
    (part,) = sweep_parts.split_in_parts(
        items,
        grid=(("margin_db", (4.0,)),),
        config=stt.VadConfig(),
        gap_s=0.5,
        collar_s=0.2,
        cached=True,
    )
    assert sweep_parts.score_part(part).scored == (0, 1, 2, 3)
    with pytest.raises(ConfigError, match="install the same on all"):
        sweep_parts.score_part(replace(part, code="another"))


@pytest.mark.parametrize(
    "error", [MissingExtra("silero_vad", "silero"), DecodeError("no audio"), ConfigError("x")]
)
def test_an_error_comes_back_from_another_process_as_it_was(error: SttlabError) -> None:
    came = pickle.loads(pickle.dumps(error))
    assert (type(came), str(came)) == (type(error), str(error))


def exit_at_once(job: int) -> int:
    os._exit(1)


def test_processes_that_die_are_said_in_words() -> None:
    processes: Executor = ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn"))
    with processes, pytest.raises(WorkersFailed, match="for want of memory perhaps"):
        list(spread(processes, exit_at_once, [(0, 1), (1, 2)]))


def test_the_oldest_entries_go_first(tmp_path: Path) -> None:
    cache = SweepCache(tmp_path / "cache")
    for i in range(4):
        cache.put("levels", str(i), {"a": np.zeros(2000)})
        os.utime(tmp_path / f"cache/levels-{i}.npz", ns=(i, i))
    assert cache.get("levels", "0") is not None  # now it is the newest
    later = SweepCache(tmp_path / "cache", limit_bytes=50_000)
    later.put("levels", "4", {"a": np.zeros(2000)})
    assert [path.name for path, _ in later.entries()] == [f"levels-{i}.npz" for i in (3, 0, 4)]
    assert sum(size for _, size in later.entries()) <= 50_000
    later.clear()
    assert later.entries() == []


def test_a_damaged_entry_is_made_anew(
    corpus: Corpus, own_sweep_cache: SweepCache, caplog: pytest.LogCaptureFixture
) -> None:
    expected = sweep(corpus, GRID)
    for number, (path, size) in enumerate(own_sweep_cache.entries()):
        whole = path.read_bytes()
        middle = size // 2
        damaged = (whole[:middle], whole[:middle] + b"?????" + whole[middle + 5 :], b"")
        path.write_bytes(damaged[number % 3])
    assert_bit_for_bit(sweep(corpus, GRID), expected)
    assert caplog.text.count("is damaged, and is made anew") == 5
    caplog.clear()
    assert_bit_for_bit(sweep(corpus, GRID), expected)
    assert "damaged" not in caplog.text


def write_often(folder: Path) -> None:
    cache = SweepCache(folder, limit_bytes=200_000)
    for i in range(60):
        cache.put("levels", str(i % 6), {"a": np.full(5000, i % 6)})


def test_two_processes_may_write_the_same_entries_at_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    spawn = multiprocessing.get_context("spawn")
    cache = SweepCache(tmp_path)
    with ProcessPoolExecutor(2, mp_context=spawn) as processes:
        writing = [processes.submit(write_often, tmp_path) for _ in range(2)]
        while not all(future.done() for future in writing):
            for i in range(6):
                if (found := cache.get("levels", str(i))) is not None:
                    assert np.array_equal(found["a"], np.full(5000, i))
        assert [future.result() for future in writing] == [None, None]
    assert "damaged" not in caplog.text
    assert {path.suffix for path, _ in cache.entries()} == {".npz"}


def test_a_sweep_does_without_a_cache_that_can_not_be_written(
    corpus: Corpus,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    (tmp_path / "file").write_text("in the way")
    cache = SweepCache(tmp_path / "file")
    monkeypatch.setattr(sweep_parts, "shared_cache", lambda: cache)
    assert_bit_for_bit(sweep(corpus, GRID), in_memory(corpus))
    assert caplog.text.count("are not kept for the next sweep") == 1


def test_items_travel_without_what_is_not_needed(corpus: Corpus) -> None:
    item: CorpusItem = next(iter(corpus))
    assert item.labels
    big = replace(item, _turns=tuple(Turn(start_s=i, end_s=i + 1) for i in range(5000)))
    (part,) = sweep_parts.split_in_parts(
        [(big, item.labels)], grid=(), config=stt.VadConfig(), gap_s=0.5, collar_s=0.2, cached=True
    )
    assert len(pickle.dumps(part)) < 3000


def test_sttlab_cache_shows_and_clears_what_is_kept(
    corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    cache = SweepCache(tmp_path / "kept")
    for module in (sweep_parts, sweep_cache):
        monkeypatch.setattr(module, "shared_cache", lambda: cache)
    sweep(corpus, GRID)
    assert main(["cache"]) == 0
    _, row = capsys.readouterr().out.splitlines()
    assert row.split()[:2] == [str(tmp_path / "kept"), "5"]
    assert row.endswith("0 MB  2000 MB")
    assert main(["cache", "--clear"]) == 0
    assert capsys.readouterr().out.splitlines()[1].split()[1] == "0"
    assert cache.entries() == []
