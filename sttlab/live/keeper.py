"""Keeps a run of a session in a folder: what the core heard, what it was told, what came of it.

`sttlab-keep` writes. Neither `sttlab-dsp` nor `sttlab-asr` waits for the disk: what they hand over
waits in a queue. Where the disk is full, or doesn't keep up, keeping ends, and what is there stays
an exact beginning of the session.
"""

from __future__ import annotations

import io
import json
import logging
import os
import platform
import shutil
import tempfile
import threading
import time
from collections import deque
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sttlab import __version__, kept_files
from sttlab.audio import SAMPLE_RATE
from sttlab.capture.base import Block
from sttlab.config import VadConfig
from sttlab.engines.base import Engine
from sttlab.errors import ConfigError, KeptError
from sttlab.events import Event, Level, Utterance
from sttlab.kept_files import EVENTS, INPUTS, MANIFEST, PieceWriter
from sttlab.machine import processor, sha256_of, versions
from sttlab.writing import replacing

log = logging.getLogger(__name__)

BEHIND_SAMPLES = 600 * SAMPLE_RATE  # that wait for the disk at most, 38 MB
BEHIND_ITEMS = 100_000
SYNC_S = 1.0  # of what a power failure may take
CLOSE_S = 10.0  # for the last piece to be written
ZEROS = 10 * SAMPLE_RATE  # written at a time where audio was lost
DAY_S = 86_400.0
GB = 1e9
PACKAGES = ("numpy", "soxr", "silero-vad", "onnxruntime", "faster-whisper", "ctranslate2", "torch")


@dataclass(frozen=True)
class Keep:
    """Where sessions are kept, and how long.

    Parameters
    ----------
    folder : str or Path
        Each start of a session gets a folder of its own in it. It is made if it is missing.
    max_days : float, optional
        Older sessions are removed.
    max_gb : float, optional
        The oldest sessions are removed while all together take more, in 10^9 bytes.

    Raises
    ------
    ConfigError
        If a limit is not a positive number.
    KeptError
        If nothing can be written into the folder.
    """

    folder: str | Path
    max_days: float | None = None
    max_gb: float | None = None

    def __post_init__(self) -> None:
        for name in ("max_days", "max_gb"):
            value = getattr(self, name)
            if value is not None and (
                isinstance(value, bool) or not isinstance(value, int | float) or not value > 0
            ):
                raise ConfigError(f"{name} must be a number above 0, not {value!r}")
        object.__setattr__(self, "folder", Path(self.folder).expanduser())
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            tempfile.TemporaryFile(dir=self.path).close()
        except OSError as error:
            raise KeptError(
                f"nothing can be kept in {self.path}: {error.strerror}; name a folder that can be "
                "written"
            ) from error

    @property
    def path(self) -> Path:
        """The folder."""
        return Path(self.folder)


_open: set[Path] = set()  # folders that this process writes, which no limit removes


class Keeper:
    """Keeps one run. Any thread may call it, and nothing but `close` blocks.

    Parameters
    ----------
    keep : Keep
    source : str
        Name of the source.
    config : VadConfig
        The settings at the beginning.
    live : bool
        As in `Session`.
    patient : bool
        Whether `hear` waits for the disk, as it may for a file, which can be read at any speed.

    Attributes
    ----------
    folder : Path
        Of the run.
    problem : str or None
        Why keeping has ended before the session, and what to do.
    """

    def __init__(
        self, keep: Keep, *, source: str, config: VadConfig, live: bool, patient: bool
    ) -> None:
        self.problem: str | None = None
        self._keep = keep
        self._patient = patient
        self._changed = threading.Condition()  # guards the next six
        self._queue: deque[bytes | NDArray[np.int32] | int | Engine | tuple[str, bytes]] = deque()
        self._behind_samples = 0
        self._closing = False
        self._engine: Engine | None = None
        self._samples = 0
        self._how = "stopped"
        # Of sttlab-keep, once it runs:
        self._pieces: PieceWriter | None = None
        self._files: dict[str, io.FileIO] = {}
        self._engine_names: dict[int, str] = {}
        self._began = time.monotonic()
        self._manifest = _manifest(source, config, live)
        self.folder = keep.path / f"{datetime.now():%Y-%m-%dT%H-%M-%S}"
        self._thread = threading.Thread(target=self._run, name="sttlab-keep", daemon=True)
        try:
            self._make_folder()
        except OSError as error:
            self._fail(error)
        else:
            _open.add(self.folder)
            self._thread.start()

    def _make_folder(self) -> None:
        self._keep.path.mkdir(parents=True, exist_ok=True)
        first, number = self.folder, 2
        while True:
            try:
                self.folder.mkdir(mode=0o700)  # it holds what people say
                break
            except FileExistsError:
                self.folder = first.with_name(f"{first.name}-{number}")
                number += 1
        (self.folder / kept_files.AUDIO).mkdir()
        self._write_manifest()
        for name in (INPUTS, EVENTS):
            self._files[name] = (self.folder / name).open("wb", buffering=0)
        self._pieces = PieceWriter(self.folder)

    # -- on sttlab-dsp ------------------------------------------------------------------------

    def hear(self, position: int, block: Block) -> Block:
        """Keep a block that comes at a position; give it back with the samples that are kept.

        The core hears these, so that it decides the same when they are read back.
        """
        ints = kept_files.to_ints(block.samples)
        if self._patient:
            self._wait_for_disk()
        if block.lost_samples:
            self._tell(position, kept_files.LOST, count=block.lost_samples)
            self._put(block.lost_samples, block.lost_samples)
        if len(ints):
            self._put(ints, len(ints))
        return replace(block, samples=kept_files.to_floats(ints))

    def settings(self, position: int, config: VadConfig) -> None:
        """Keep that other settings apply from a position on."""
        self._tell(position, kept_files.SETTINGS, config=asdict(config))

    def interrupted(self, position: int, why: str) -> None:
        """Keep that open speech was ended at a position, since no audio came."""
        self._tell(position, kept_files.INTERRUPTED, why=why)

    def end(self, position: int, *, ended: bool) -> None:
        """Keep where the stream ended, and whether because the source had no more audio."""
        self._how = "source ended" if ended else "stopped"
        self._tell(position, kept_files.END, ended=ended)

    # -- on either thread of the pipeline -----------------------------------------------------

    def happened(self, event: Event) -> None:
        """Keep an event, but for levels, which follow from the audio."""
        if not isinstance(event, Level):
            self._put((EVENTS, self._event_line(kept_files.event_values(event))))

    def answered(
        self, utterance: Utterance, heard_samples: int, engine: Engine, engine_s: float
    ) -> None:
        """Keep what an engine took for an utterance, and how much of its audio it got."""
        with self._changed:
            new = engine is not self._engine
            self._engine = engine
        if new:
            self._put(engine)
        values = {
            "event": kept_files.ANSWER,
            "utterance_id": utterance.utterance_id,
            "heard_samples": heard_samples,
            "engine": engine.name,
            "engine_s": engine_s,
        }
        self._put((EVENTS, self._event_line(values)))

    def _event_line(self, values: dict[str, Any]) -> bytes:
        return kept_files.to_line({**values, "at_s": round(time.monotonic() - self._began, 3)})

    def _tell(self, position: int, what: str, **values: Any) -> None:
        line = kept_files.to_line({"sample": position, "input": what, **values})
        self._put((INPUTS, line))

    def _put(self, item: Any, samples: int = 0) -> None:
        with self._changed:
            if self.problem or self._closing:
                return
            heard = samples if not isinstance(item, int) else 0  # zeros take no memory
            behind = self._behind_samples + heard > BEHIND_SAMPLES
            if behind or len(self._queue) >= BEHIND_ITEMS:
                self._fail(OSError(None, "the disk does not keep up"))
                return
            self._queue.append(item)
            self._samples += samples
            self._behind_samples += heard
            self._changed.notify_all()

    def _wait_for_disk(self) -> None:
        with self._changed:
            self._changed.wait_for(
                lambda: self._behind_samples < BEHIND_SAMPLES // 2 or self._closing or self.problem
            )

    # -- the end ------------------------------------------------------------------------------

    def finish(self) -> None:
        """Have the thread end once all is written; does not wait for that."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()

    def close(self, timeout_s: float = CLOSE_S) -> None:
        """Write what waits, and end the thread; blocks until then."""
        self.finish()
        if self._thread.ident is not None:
            self._thread.join(timeout_s)
            if self._thread.is_alive():
                log.warning("%s is not all written after %.0f s", self.folder, timeout_s)

    def _fail(self, error: OSError) -> None:
        """Note and say why no more is kept."""
        with self._changed:
            if self.problem:
                return
            kept_s = self._samples / SAMPLE_RATE
            self.problem = (
                f"this session is not kept from {kept_s:.0f} s on: {error.strerror or error}. "
                "Free some space on that disk, then stop and start"
            )
            self._queue.clear()
            self._behind_samples = 0
            self._changed.notify_all()
        log.error("%s: %s", self.folder, self.problem)

    # -- on sttlab-keep -----------------------------------------------------------------------

    def _run(self) -> None:
        try:
            self._remove_old()
            synced, dirty = time.monotonic(), False
            while (item := self._next(SYNC_S if dirty else None)) is not None:
                if item:
                    self._write(item[0])
                    dirty = True
                if dirty and time.monotonic() - synced >= SYNC_S:
                    self._sync()
                    synced, dirty = time.monotonic(), False
            if not self.problem:
                assert self._pieces is not None
                self._pieces.close()
                self._sync()
                self._manifest["ended"] = {
                    "at": _now(),
                    "samples": self._samples,
                    "how": self._how,
                }
                self._write_manifest()
        except OSError as error:
            self._fail(error)
        except Exception as error:
            log.exception("keeping failed")
            self._fail(OSError(None, str(error)))
        finally:
            self._let_go()

    def _let_go(self) -> None:
        if self._pieces:
            self._pieces.abandon()
        for file in self._files.values():
            file.close()
        _open.discard(self.folder)

    def _next(self, timeout_s: float | None) -> list[Any] | None:
        """Wait for something to write; give it in a list, empty in vain, or None at the end."""
        with self._changed:
            self._changed.wait_for(
                lambda: self._queue or self._closing or self.problem is not None, timeout_s
            )
            if self._queue:
                item = self._queue.popleft()
                if isinstance(item, np.ndarray):
                    self._behind_samples -= len(item)
                    self._changed.notify_all()
                return [item]
            return None if self._closing or self.problem else []

    def _write(self, item: Any) -> None:
        assert self._pieces is not None
        if isinstance(item, tuple):
            kept_files.write_all(self._files[item[0]], item[1])
        elif isinstance(item, np.ndarray):
            self._write_audio(item)
        elif isinstance(item, int):
            for start in range(0, item, ZEROS):
                self._write_audio(np.zeros(min(ZEROS, item - start), np.int32))
        else:
            kept_files.write_all(self._files[INPUTS], kept_files.to_line(describe(item)))

    def _write_audio(self, ints: NDArray[np.int32]) -> None:
        assert self._pieces is not None
        before = self._pieces.number
        self._pieces.write(ints)
        if self._pieces.number != before:
            self._remove_old()

    def _sync(self) -> None:
        """Have the disk hold the audio before what is said of it."""
        assert self._pieces is not None
        self._pieces.sync()
        for file in self._files.values():
            os.fsync(file.fileno())

    def _write_manifest(self) -> None:
        with replacing(self.folder / MANIFEST) as file:
            file.write_bytes(
                json.dumps(self._manifest, indent=1, ensure_ascii=False).encode() + b"\n"
            )

    def _remove_old(self) -> None:
        for folder, why in outdated(self._keep, set(_open), time.time()):
            log.warning("the kept session %s is removed: %s", folder, why)
            shutil.rmtree(folder, ignore_errors=True)


def outdated(keep: Keep, in_use: set[Path], now: float) -> list[tuple[Path, str]]:
    """Give the sessions that a limit lets go, and why. `now` is in seconds since 1970."""
    if keep.max_days is None and keep.max_gb is None:
        return []
    gone = []
    sizes: list[tuple[Path, int]] = []
    for folder in kept_files.sessions_in(keep.path):
        stats = [path.stat() for path in folder.rglob("*") if path.is_file()]
        age_s = now - max((stat.st_mtime for stat in stats), default=now)
        removable = folder not in in_use and (_has_ended(folder) or age_s > DAY_S)
        if keep.max_days is not None and removable and age_s > keep.max_days * DAY_S:
            gone.append((folder, f"it is older than {keep.max_days:g} days"))
        else:
            sizes.append((folder, sum(stat.st_size for stat in stats) if removable else 0))
    if keep.max_gb is not None:
        total = sum(size for _, size in sizes) + sum(
            path.stat().st_size for folder in in_use for path in folder.rglob("*")
        )
        for folder, size in sizes:
            if total > keep.max_gb * GB and size:
                gone.append((folder, f"all together take more than {keep.max_gb:g} GB"))
                total -= size
    return gone


def _has_ended(folder: Path) -> bool:
    """Whether nobody writes to it any more; if it can't be told, somebody may."""
    try:
        return bool(json.loads((folder / MANIFEST).read_bytes()).get("ended"))
    except (OSError, ValueError):
        return False


def _now() -> str:
    return datetime.now().astimezone().isoformat(timespec="milliseconds")


def _manifest(source: str, config: VadConfig, live: bool) -> dict[str, Any]:
    return {
        "format": kept_files.FORMAT,
        "version": kept_files.VERSION,
        "started": _now(),
        "source": source,
        "live": live,
        "settings": asdict(config),
        "sample_rate": SAMPLE_RATE,
        "bits": kept_files.BITS,
        "piece_samples": kept_files.PIECE_SAMPLES,
        "versions": {"sttlab": __version__, **versions(PACKAGES)},
        "system": platform.platform(),
        "processor": processor(),
        "ended": None,
    }


def describe(engine: Engine) -> dict[str, Any]:
    """Name an engine, what it was made from, and the checksum of its weights."""
    weights: Path | None = getattr(engine, "weights", None)
    if weights is not None and weights.is_dir():
        weights = weights / "model.bin"
    return {
        "input": kept_files.ENGINE,
        "name": engine.name,
        "config": asdict(engine.config) if engine.config else None,
        "sha256": _sha256(weights) if weights else None,
        "threads": os.environ.get("OMP_NUM_THREADS") or os.cpu_count(),
    }


_checksums: dict[tuple[Path, int, int], str] = {}  # of weights, by path, size and time of change


def _sha256(path: Path) -> str | None:
    try:
        stat = path.stat()
        key = path, stat.st_size, stat.st_mtime_ns
        if key not in _checksums:
            _checksums[key] = sha256_of(path)
        return _checksums[key]
    except OSError:
        return None
