"""Soak test: hours of speech through the whole server, with injected faults.

    python -m tests.benchmarks.soak --hours 4

Every utterance is accounted for. What is spoken is known, and the engine's text begins with a
checksum of its audio. A real client of `/ws` must receive each text once and in order, except those
of utterances that the session reports as failed.
"""

from __future__ import annotations

import json
import logging
import sys
import threading
import time
import zlib
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np
import psutil
import typer
from numpy.typing import NDArray

from sttlab.audio import SAMPLE_RATE, Recording
from sttlab.bench import material, report
from sttlab.bench.commands import (
    LONGEST_S,
    SHORTEST_S,
    Language,
    Output,
    Recordings,
    Seed,
    bar,
    folder,
    tell,
    write,
)
from sttlab.bench.material import Clip
from sttlab.capture.base import Block
from sttlab.config import TranscribeConfig, VadConfig
from sttlab.core import segment
from sttlab.engines import make_engine
from sttlab.engines.base import Cancelled, Engine, Transcription, never
from sttlab.errors import SourceError, TranscribeError
from sttlab.events import (
    DeviceLost,
    DeviceRestored,
    Event,
    Suppressed,
    Transcript,
    TranscriptionFailed,
    Utterance,
)
from sttlab.live.session import Session
from sttlab.live.worker import AsrWorker
from sttlab.server.launch import ServerHandle, launch_server
from sttlab.server.memory import give_back
from sttlab.vad.energy import EnergyVad
from tests.benchmarks.visitors import Visitors

VAD = VadConfig(threshold_dbfs=-45.0, silence_timeout_s=0.4)
BEFORE_S, AFTER_S = 0.2, 1.0  # silence before and after each clip
LONGEST_BLOCK_S = 2.0
SHORT_PAUSE = replace(VAD, silence_timeout_s=0.1)  # settings that find the parts of speech
CLOSE_ENOUGH = 1600  # samples by which a part of speech may exceed its utterance
PATIENCE = 0.02, 0.1  # `patience` of the worker without and with a real engine: hangs end soon
END_S = 60.0  # longest wait for the last texts
FLAT = 1.1  # most memory in the last quarter of a run, relative to the second
MORE = 2  # most threads or files more than in the second quarter; asyncio's pool grows with use
SOURCE_FAULTS = {"samples lost": 6, "device lost": 3, "no sound for a while": 3, "source fails": 1}
ENGINE_FAULTS = {"engine raises": 3, "engine raises twice": 2, "nonsense": 2, "engine hangs": 1}


class Dice:
    """Decides at random when a fault happens, and which.

    Parameters
    ----------
    rng : numpy Generator
    kinds : dict
        Kinds of faults, with their relative frequencies.
    per_hour : float
        Faults in an hour of audio.
    counts : Counter
        Counts the faults by kind.
    """

    def __init__(
        self,
        rng: np.random.Generator,
        kinds: dict[str, int],
        per_hour: float,
        counts: Counter[str],
    ) -> None:
        self.rng = rng
        self._kinds = list(kinds)
        weights = np.array(list(kinds.values()), float)
        self._weights = weights / weights.sum()
        self._per_sample = per_hour / 3600 / SAMPLE_RATE
        self._counts = counts

    def throw(self, samples: int) -> str | None:
        """Return the fault that happens within this many samples, or None."""
        if self.rng.random() >= self._per_sample * samples:
            return None
        kind = str(self.rng.choice(self._kinds, p=self._weights))
        self._counts[kind] += 1
        return kind


@dataclass
class Spoken:
    """A clip as it was played."""

    stream: int
    start: int  # position in the stream
    speech: tuple[tuple[int, int], ...]  # relative to `start`
    hit: bool = False  # whether audio of it was lost, which was reported


class Player:
    """A source that plays clips as fast as they are read, with faults."""

    name = "soak"

    def __init__(self, clips: Sequence[Clip], hours: float, dice: Dice) -> None:
        self.spoken: list[Spoken] = []
        self.played = 0
        self.length = round(hours * 3600 * SAMPLE_RATE)
        self._clips = [_prepared(clip) for clip in clips]
        self._dice = dice
        self._stream = self._position = 0
        self._left: NDArray[np.float32] = np.empty(0, np.float32)
        self._restored = False
        self._open = False

    def open(self) -> None:
        """Begin a new stream, which continues where the last one ended."""
        self._stream += 1
        self._position = 0
        self._open = True

    def close(self) -> None:
        """End the stream."""
        self._open = False

    def read(self, timeout_s: float) -> Block | None:
        """Return the next block, which may be the last of its clip."""
        if not self._open:
            return None
        if not len(self._left):
            if self.played >= self.length:
                return None
            samples, speech = self._clips[self._dice.rng.integers(len(self._clips))]
            self._left = samples
            self.spoken.append(Spoken(self._stream, self._position, speech))
        count = int(self._dice.rng.integers(1, round(LONGEST_BLOCK_S * SAMPLE_RATE)))
        if self._restored:
            self._restored = False
            return Block(np.empty(0, np.float32), events=(DeviceRestored(device=self.name),))
        fault = self._dice.throw(count)
        if fault:
            return self._fail(fault, count)
        return self._play(count)

    def _play(self, count: int, lost: int = 0) -> Block:
        block, self._left = self._left[:count], self._left[count:]
        self._position += len(block) + lost
        self.played += len(block)
        return Block(block, lost_samples=lost)

    def _fail(self, fault: str, count: int) -> Block:
        nothing = np.empty(0, np.float32)
        if fault == "no sound for a while":
            return Block(nothing)
        self.spoken[-1].hit = True
        if fault == "source fails":
            raise SourceError("the soak had it fail")
        if fault == "device lost":
            self._restored = True
            lost = DeviceLost(device=self.name, message="the soak unplugged it")
            return Block(nothing, events=(lost,))
        gone = min(count, len(self._left))
        self._left = self._left[gone:]
        return self._play(count, gone)


def _prepared(clip: Clip) -> tuple[NDArray[np.float32], tuple[tuple[int, int], ...]]:
    """Pad a clip with silence, and find its speech."""
    before, after = (np.zeros(round(s * SAMPLE_RATE), np.float32) for s in (BEFORE_S, AFTER_S))
    samples = np.concatenate([before, clip.samples, after])
    found = segment(Recording(samples), SHORT_PAUSE)
    parts = ((u.onset_sample, u.speech_end_sample) for u in found)
    return samples, tuple((a, b) for a, b in parts if b - a > 3 * CLOSE_ENOUGH)


def mark(samples: NDArray[np.generic]) -> str:
    """Return the checksum with which the text of this audio begins."""
    return f"{zlib.crc32(np.ascontiguousarray(samples).tobytes()):08x}"


def marks(utterance: Utterance) -> tuple[str, ...]:
    """Return the checksums that are right for an utterance.

    A text may be of its speech and a part of the silence behind it: speculation begins in that.
    """
    samples = np.ascontiguousarray(utterance.samples)
    speech = utterance.speech_end_sample - utterance.start_sample
    value = zlib.crc32(samples[:speech].tobytes())
    values = [value]
    for begin in range(speech, len(samples), EnergyVad.frame_samples):
        piece = samples[begin : begin + EnergyVad.frame_samples]
        value = zlib.crc32(piece.tobytes(), value)
        values.append(value)
    return tuple(f"{one:08x}" for one in values)


class Flaky:
    """An engine with faults, which puts a checksum before the text of another engine.

    Parameters
    ----------
    inner : Engine or None
        The other engine; None for a text that is only the checksum and takes no time.
    dice : Dice
    """

    config = None

    def __init__(self, inner: Engine | None, dice: Dice) -> None:
        self.name = f"flaky {inner.name if inner else 'checksum'}"
        self._inner = inner
        self._dice = dice
        self._again: str | None = None

    def load(self) -> None:
        """Load the other engine."""
        if self._inner:
            self._inner.load()

    def close(self) -> None:
        """Close the other engine."""
        if self._inner:
            self._inner.close()

    def transcribe(
        self,
        samples: NDArray[np.generic],
        sample_rate: int = SAMPLE_RATE,
        *,
        cancelled: Callable[[], bool] = never,
    ) -> Transcription:
        """Transcribe, or fail."""
        fault, self._again = self._again or self._dice.throw(len(samples)), None
        if fault == "engine raises twice":
            self._again = "engine raises"
        if fault == "nonsense":
            return "nonsense"  # type: ignore[return-value]
        if fault == "engine hangs":
            while not cancelled():
                time.sleep(0.005)
            raise Cancelled
        if fault:
            raise TranscribeError("the soak had the engine fail")
        said = ""
        if self._inner:
            said = self._inner.transcribe(samples, sample_rate, cancelled=cancelled).text
        return Transcription(
            text=f"{mark(samples)} {said}".strip(),
            segments=(),
            suppressed=(),
            language="en",
            language_probability=1.0,
            confidence=1.0,
        )


@dataclass
class Ledger:
    """The outcome of each utterance. The threads of the session and of the client write to it."""

    utterances: int = 0
    delivered: int = 0
    failed: int = 0
    lost: list[str] = field(default_factory=list)
    found: dict[int, list[tuple[int, int]]] = field(default_factory=dict)  # utterances by stream

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self._open: dict[tuple[int, int], tuple[str, ...]] = {}
        self._due: deque[str] = deque()

    def write(self, stream: int, event: Event) -> None:
        """Note an event of the session."""
        with self._lock:
            if isinstance(event, Utterance):
                self.utterances += 1
                self._open[stream, event.utterance_id] = marks(event)
                self.found.setdefault(stream, []).append((event.start_sample, event.end_sample))
            elif isinstance(event, Transcript | TranscriptionFailed | Suppressed):
                expected = self._open.pop((stream, event.utterance_id), None)
                if expected is None:
                    self.lost.append(f"a second outcome: {event}")
                elif isinstance(event, TranscriptionFailed):
                    self.failed += 1
                elif isinstance(event, Transcript) and event.text.startswith(expected):
                    self._due.append(event.text)
                else:
                    self.lost.append(f"text of other audio: {event}")

    def receive(self, text: str) -> None:
        """Note a text that the client has received."""
        with self._lock:
            if not self._due or self._due.popleft() != text:
                self.lost.append(f"out of order at the client: {text}")
            self.delivered += 1

    def settled(self) -> bool:
        """Whether each utterance has its outcome and each text has reached the client."""
        with self._lock:
            return not (self._open or self._due)

    def close(self, spoken: Sequence[Spoken]) -> None:
        """Note utterances without outcome, texts that were not received, and missed speech."""
        self.lost += [f"no outcome of utterance {key}" for key in self._open]
        self.lost += [f"never reached the client: {text}" for text in self._due]
        for clip in spoken:
            found = self.found.get(clip.stream, [])
            for begin, end in () if clip.hit else clip.speech:
                begin, end = begin + clip.start + CLOSE_ENOUGH, end + clip.start - CLOSE_ENOUGH
                if not any(a <= begin and end <= b for a, b in found):
                    self.lost.append(f"never found: stream {clip.stream}, samples {begin}-{end}")


class Usage(NamedTuple):
    """Resources of the process after some hours of audio, while no visitor is connected."""

    hours: float
    memory_mb: float  # without `failed_mb`
    failed_mb: float  # audio of failed utterances, which the session keeps up to a bound
    threads: float
    files: float


@dataclass(frozen=True, kw_only=True)
class Soak:
    """The results of a soak.

    Attributes
    ----------
    hours, wall_s : float
        Length of the audio, and the wall time that it took.
    engine : str
    spoken, hit, utterances, delivered, failed : int
        Number of clips played, of clips with lost audio, of utterances, of texts that the client
        received, and of utterances reported as failed.
    lost : tuple of str
        What is not accounted for; empty if all is well.
    faults : dict of int
        Number of faults by kind.
    usage : tuple of Usage
        Samples of each time at which no visitor was connected.
    """

    hours: float
    wall_s: float
    engine: str
    spoken: int
    hit: int
    utterances: int
    delivered: int
    failed: int
    lost: tuple[str, ...]
    faults: dict[str, int]
    usage: tuple[Usage, ...]

    @property
    def problems(self) -> tuple[str, ...]:
        """What was lost, and what grew from the second quarter of the run to the last."""
        quarters = self._quarters()
        if len(quarters) < 4:
            return (*self.lost, "the run was too short to tell whether anything grows")
        _, early, _, late = quarters
        bounds = {
            "MB of memory": (early.memory_mb, late.memory_mb, early.memory_mb * FLAT),
            "threads": (early.threads, late.threads, early.threads + MORE),
            "open files and sockets": (early.files, late.files, early.files + MORE),
        }
        grown = (
            f"{what} grew from {before:.0f} to {after:.0f}"
            for what, (before, after, bound) in bounds.items()
            if after > bound
        )
        return (*self.lost, *grown)

    def table(self) -> str:
        """Write the results as a Markdown table."""
        quarters = list(zip(*self._quarters(), strict=True))[1:]
        names = (
            "MB of memory, in each quarter",
            "MB of failed utterances' audio beside it",
            "threads",
            "open files and sockets",
        )
        rows = [
            ("audio", f"{self.hours:.1f} h, in {self.wall_s / 3600:.2f} h"),
            ("engine", self.engine),
            ("clips spoken", f"{self.spoken}, {self.hit} of them hit by reported loss of audio"),
            ("utterances", str(self.utterances)),
            ("their texts at the client", str(self.delivered)),
            ("reported as failed", str(self.failed)),
            ("lost otherwise", str(len(self.lost))),
            *(
                (name, ", ".join(f"{value:.0f}" for value in values))
                for name, values in zip(names, quarters, strict=False)
            ),
            *((kind, f"{count} times") for kind, count in self.faults.items()),
        ]
        return "\n".join(["| soak | |", "| --- | --- |", *(f"| {a} | {b} |" for a, b in rows)])

    def _quarters(self) -> list[Usage]:
        """Return the medians of each quarter of the run that has samples."""
        looks: list[list[Usage]] = [[], [], [], []]
        for usage in self.usage:
            looks[min(3, int(4 * usage.hours / self.hours))].append(usage)
        return [Usage(*np.median(quarter, axis=0)) for quarter in looks if quarter]


def run(
    clips: Sequence[Clip],
    *,
    hours: float,
    seed: int,
    faults_per_hour: float,
    engine: Engine | None = None,
    progress: Callable[[str, float], None] = lambda label, done: None,
) -> Soak:
    """Play `hours` of clips to a server, as fast as it reads them.

    Parameters
    ----------
    clips : sequence of Clip
    hours : float
    seed : int
        Seed of what is played, and of the faults.
    faults_per_hour : float
        Faults of the source, and as many of the engine; visitors misbehave all the time.
    engine : Engine, optional
        Without it, the text is a checksum and takes no time.
    """
    faults: Counter[str] = Counter()
    rngs = [np.random.default_rng((seed, i)) for i in range(3)]
    player = Player(clips, hours, Dice(rngs[0], SOURCE_FAULTS, faults_per_hour, faults))
    flaky = Flaky(engine, Dice(rngs[1], ENGINE_FAULTS, faults_per_hour, faults))
    ledger = Ledger()
    usage: list[Usage] = []
    started = time.monotonic()
    with AsrWorker(flaky, patience=PATIENCE[engine is not None]) as worker:
        session = Session(player, vad=VAD, model=worker)
        session.subscribe(lambda event: ledger.write(session.starts, event))
        with launch_server(session, port=0) as server:
            visitors = Visitors(
                server.url, rngs[2], faults, clips, lambda: usage.append(_look(player, session))
            )
            with _Listener(server, ledger):
                with visitors:
                    _wait_for_end(player, session, progress)
                deadline = time.monotonic() + END_S
                while not ledger.settled() and time.monotonic() < deadline:
                    time.sleep(0.01)
    ledger.close(player.spoken)
    return Soak(
        hours=player.played / 3600 / SAMPLE_RATE,
        wall_s=time.monotonic() - started,
        engine=flaky.name,
        spoken=len(player.spoken),
        hit=sum(clip.hit for clip in player.spoken),
        utterances=ledger.utterances,
        delivered=ledger.delivered,
        failed=ledger.failed,
        lost=(*ledger.lost, *visitors.surprises),
        faults=dict(sorted(faults.items())),
        usage=tuple(usage),
    )


def _look(player: Player, session: Session) -> Usage:
    give_back()  # the server does so each minute, in which hours pass here
    process = psutil.Process()
    failed_mb = sum(u.samples.nbytes for u in session.failed) / 1e6
    return Usage(
        hours=player.played / 3600 / SAMPLE_RATE,
        memory_mb=process.memory_info().rss / 1e6 - failed_mb,
        failed_mb=failed_mb,
        threads=process.num_threads(),
        files=process.num_handles() if sys.platform == "win32" else process.num_fds(),
    )


def _wait_for_end(player: Player, session: Session, progress: Callable[[str, float], None]) -> None:
    while player.played < player.length or session.error or not session.wait(0.2):
        progress("soak", min(1.0, player.played / player.length))
        time.sleep(0.2)


class _Listener:
    """A plain client that stays connected, on a thread `bench-listener`."""

    def __init__(self, server: ServerHandle, ledger: Ledger) -> None:
        self._url = server.ws_url
        self._ledger = ledger
        self._connected, self._over = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._read, name="bench-listener", daemon=True)
        self._thread.start()
        self._connected.wait(END_S)

    def _read(self) -> None:
        from websockets.exceptions import ConnectionClosed
        from websockets.sync.client import connect

        with connect(self._url, max_queue=None) as client:
            self._connected.set()
            while not self._over.is_set():
                try:
                    self._ledger.receive(json.loads(client.recv(timeout=0.2))["text"])
                except TimeoutError:
                    continue
                except ConnectionClosed as closed:
                    self._ledger.lost.append(f"the client was disconnected: {closed}")
                    return

    def __enter__(self) -> _Listener:
        return self

    def __exit__(self, *_: Any) -> None:
        self._over.set()
        self._thread.join(10)


@contextmanager
def quiet() -> Iterator[None]:
    """Turn logging off, since the faults are intended."""
    loggers = [logging.getLogger(name) for name in ("sttlab", "uvicorn", "asyncio")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def main(
    hours: Annotated[float, typer.Option(min=0.1, help="Length of the audio.")] = 4.0,
    faults_per_hour: Annotated[
        float, typer.Option(min=0, help="Faults of the source, and as many of the engine.")
    ] = 60.0,
    recordings: Recordings = None,
    model: Annotated[
        str | None,
        typer.Option(
            help="Whisper model that transcribes it. [default: none; the text is a checksum]",
            show_default=False,
        ),
    ] = None,
    language: Language = "en",
    seed: Seed = 1,
    output: Output = Path("bench-results"),
) -> None:
    """Play hours of speech to the server, faster than real time, with injected faults.

    The source loses audio and fails. The engine raises, hangs and gives answers that are not valid.
    Clients come and go, send garbage, never read and vanish. All of it is random, from the seed.
    Every utterance must reach a client that stays, once and in order, or be reported as failed.
    Memory, threads and open files must not grow from the second quarter of the run to the last.
    Each violation is printed, and makes the exit code 1.
    """
    config = TranscribeConfig(model=model, language=language) if model else None
    clips, _ = material.read_clips(folder(recordings), language, SHORTEST_S, LONGEST_S)
    before = report.surroundings()
    with bar("soak") as progress, quiet():
        found = run(
            clips,
            hours=hours,
            seed=seed,
            faults_per_hour=faults_per_hour,
            engine=make_engine(config) if config else None,
            progress=progress,
        )
    settings = {"faults_per_hour": faults_per_hour, "model": model, "seed": seed}
    result = {"benchmark": "soak", "settings": settings, "before": before}
    write(output / "soak", result | {"after": report.surroundings()} | asdict(found), found.table())
    for problem in found.problems:
        tell(problem)
    if found.problems:
        raise typer.Exit(1)


app = typer.Typer()
app.command()(main)

if __name__ == "__main__":
    app()
