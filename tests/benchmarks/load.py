"""Load test: how many clients and how many microphones a server serves without delay.

    python -m tests.benchmarks.load

The server is a process of its own: `load_server`.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from sttlab.audio import SAMPLE_RATE, to_pcm16
from sttlab.bench import material, report
from sttlab.bench.commands import (
    LONGEST_S,
    SHORTEST_S,
    Model,
    Output,
    Recordings,
    Threads,
    bar,
    folder,
    write,
)
from sttlab.bench.material import Clip
from sttlab.bench.process import Child
from sttlab.errors import ServerError
from sttlab.server.hub import MAX_CLIENTS
from sttlab.server.microphones import MAX_MICROPHONES
from tests.benchmarks.load_server import BLOCK_S, CLOCK

OWN = "?source=client"
READY_S = 120.0
OPEN_S = 30.0
TOGETHER = 20  # clients that connect at a time
SETTLE_S = 1.0
PAUSE_S = 1.0  # silence between the clips of a microphone
GROWN = 1.5  # delay that ends the measurement, relative to that of a single microphone


@dataclass(frozen=True, kw_only=True)
class Step:
    """The delays with a number of clients.

    Attributes
    ----------
    clients : int
    texts : int
        Texts that they received.
    missing : int
        Texts that they should have received, and did not.
    median_ms, worst_ms : float
        For plain clients, median and 99th percentile of the time from the engine's answer to the
        client. For microphones, median and 95th percentile from the end of speech to its text.
    cores : float
        Cores that the server used.
    """

    clients: int
    texts: int
    missing: int
    median_ms: float
    worst_ms: float
    cores: float


@dataclass(frozen=True, kw_only=True)
class Load:
    """The measurements, and how the server refuses one client too many."""

    plain: tuple[Step, ...]
    plain_refusal: str
    microphones: tuple[Step, ...]
    late_refusal: str  # refusal of one more while the last step's microphones speak
    microphone_refusal: str

    def table(self) -> str:
        """Write the measurements in Markdown."""
        rows = [
            "| clients | texts | missing | median | worst | server's cores |",
            "|" + " --- |" * 6,
        ]
        for kind, steps, percentile in (
            ("plain", self.plain, 99),
            ("with a microphone", self.microphones, 95),
        ):
            rows += [
                f"| {s.clients} {kind} | {s.texts} | {s.missing} | {s.median_ms:.0f} ms | "
                f"{s.worst_ms:.0f} ms (p{percentile}) | {s.cores:.2f} |"
                for s in steps
            ]
        if self.plain_refusal:
            rows += ["", f"One plain client more is refused: {self.plain_refusal}."]
        if self.microphones:
            then = f"is refused: {self.late_refusal}" if self.late_refusal else "is admitted"
            rows += ["", f"While {self.microphones[-1].clients} speak, one more {then}."]
        if self.microphone_refusal:
            rows += ["", f"With the most that may connect, silent: {self.microphone_refusal}."]
        return "\n".join(rows)


def run(
    clips: Sequence[Clip],
    *,
    plain: Sequence[int],
    microphones: Sequence[int],
    model: str,
    seconds: float,
    threads: int,
    progress: Callable[[str, float], None] = lambda label, done: None,
) -> Load:
    """Measure each number of clients for some seconds; microphones until their delay has grown."""
    plain_steps, microphone_steps = [], []
    late = too_many = ""
    with Child(["-m", "tests.benchmarks.load_server", CLOCK], threads) as child:
        url = _url(child)
        for count in plain:
            progress(f"{count} plain clients", plain.index(count) / len(plain))
            plain_steps.append(asyncio.run(_listen(url, count, seconds, child)))
        refusal = asyncio.run(_one_more(url, "", plain[-1])) if plain else ""
    if microphones:
        with Child(["-m", "tests.benchmarks.load_server", model], threads) as child:
            url = _url(child)
            for count in microphones:
                progress(f"{count} microphones", microphones.index(count) / len(microphones))
                step, late = asyncio.run(_speak_and_one_more(url, count, seconds, clips, child))
                microphone_steps.append(step)
                if step.median_ms > GROWN * microphone_steps[0].median_ms:
                    break
            too_many = asyncio.run(_one_more(url, OWN, MAX_MICROPHONES))
    return Load(
        plain=tuple(plain_steps),
        plain_refusal=refusal,
        microphones=tuple(microphone_steps),
        late_refusal=late,
        microphone_refusal=too_many,
    )


def _url(child: Child) -> str:
    first = child.line(READY_S)
    if first is None:
        raise ServerError("the server ended before it was ready")
    return str(first[1]["ws_url"])


async def _connect(url: str, count: int) -> list[Any]:
    from websockets.asyncio.client import connect

    async def one() -> Any:
        return await connect(url, open_timeout=OPEN_S, max_queue=None).__aenter__()

    sockets = []
    for begin in range(0, count, TOGETHER):
        together = min(TOGETHER, count - begin)
        sockets += await asyncio.gather(*(one() for _ in range(together)))
    return sockets


async def _part(sockets: Sequence[Any]) -> None:
    await asyncio.gather(*(socket.close() for socket in sockets))


async def _listen(url: str, count: int, seconds: float, child: Child) -> Step:
    """Measure plain clients: each text is the time at which the engine made it."""
    got: list[tuple[float, str]] = []

    async def read(socket: Any) -> None:
        async for message in socket:
            got.append((time.monotonic(), message))

    sockets = await _connect(url, count)
    readers = [asyncio.create_task(read(socket)) for socket in sockets]
    await asyncio.sleep(SETTLE_S)
    got.clear()
    began = time.monotonic()
    await asyncio.sleep(seconds)
    texts = [(at, json.loads(message)["text"]) for at, message in got]
    ended = time.monotonic()
    await _part(sockets)
    await asyncio.gather(*readers)
    # The first and the last text may have reached only some of the clients in this time.
    each = Counter(text for _, text in texts)
    whole = [text for text in each if began < float(text) < ended - SETTLE_S]
    waits = [at - float(text) for at, text in texts if text in whole]
    missing = sum(count - each[text] for text in whole)
    return _step(count, waits, missing, 99, child.meter.cpu_between_s(began, ended), seconds)


async def _speak(url: str, count: int, seconds: float, clips: Sequence[Clip], child: Child) -> Step:
    """Measure microphones: clients send speech in real time, and note the delay of each text."""
    delays: list[float] = []
    outcomes: Counter[str] = Counter()

    async def one(number: int, socket: Any) -> None:
        async def read() -> None:
            async for message in socket:
                event = json.loads(message)
                outcomes[event["event"]] += 1
                if event["event"] == "transcript":
                    delays.append(event["delay_s"])

        reading = asyncio.create_task(read())
        await asyncio.sleep(number * PAUSE_S / count)
        await _play(socket, itertools.islice(itertools.cycle(clips), number, None), seconds)
        await socket.send('{"end": true}')
        await reading

    sockets = await _connect(f"{url}{OWN}&events=all", count)
    began = time.monotonic()
    await asyncio.gather(*(one(number, socket) for number, socket in enumerate(sockets)))
    ended = time.monotonic()
    told = outcomes["transcript"] + outcomes["suppressed"]
    busy_s = child.meter.cpu_between_s(began, ended)
    return _step(count, delays, max(0, outcomes["utterance"] - told), 95, busy_s, ended - began)


async def _speak_and_one_more(
    url: str, count: int, seconds: float, clips: Sequence[Clip], child: Child
) -> tuple[Step, str]:
    """Measure microphones; return also how one more is refused after `seconds`."""

    async def come() -> str:
        await asyncio.sleep(seconds)
        return await _told(url + OWN)

    return await asyncio.gather(_speak(url, count, seconds, clips, child), come())


async def _play(socket: Any, clips: Any, seconds: float) -> None:
    due = time.monotonic()
    until = due + seconds
    size = 2 * round(BLOCK_S * SAMPLE_RATE)
    for clip in clips:
        pause = np.zeros(round(PAUSE_S * SAMPLE_RATE), np.float32)
        pcm = to_pcm16(np.concatenate([clip.samples, pause])).astype("<i2").tobytes()
        for begin in range(0, len(pcm), size):
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            await socket.send(pcm[begin : begin + size])
            due += BLOCK_S
        if due > until:
            return


def _step(
    count: int, waits: list[float], missing: int, percentile: int, busy_s: float, wall_s: float
) -> Step:
    if not waits:
        raise ServerError(f"{count} clients got no text at all")
    return Step(
        clients=count,
        texts=len(waits),
        missing=missing,
        median_ms=1000 * float(np.median(waits)),
        worst_ms=1000 * float(np.percentile(waits, percentile)),
        cores=busy_s / wall_s,
    )


async def _one_more(url: str, query: str, count: int) -> str:
    """Connect `count` clients and one more; return how that one is refused."""
    sockets = await _connect(url + query, count)
    try:
        return await _told(url + query)
    finally:
        await _part(sockets)


async def _told(url: str) -> str:
    """Connect, and return the close code and reason of the server; "" if it doesn't close."""
    from websockets.exceptions import ConnectionClosed

    async def read(socket: Any) -> None:
        while True:
            await socket.recv()

    (extra,) = await _connect(url, 1)
    try:
        await asyncio.wait_for(read(extra), SETTLE_S)
    except ConnectionClosed as closed:
        return f"{closed.rcvd.code} {closed.rcvd.reason}" if closed.rcvd else "nothing"
    except asyncio.TimeoutError:
        pass  # the client is admitted
    finally:
        await _part([extra])
    return ""


def main(
    seconds: Annotated[float, typer.Option(min=2, help="Time for each number of clients.")] = 10.0,
    recordings: Recordings = None,
    model: Model = None,
    threads: Threads = 2,
    output: Output = Path("bench-results"),
) -> None:
    """Measure how many clients one server serves.

    For plain clients, the delay is from the engine's answer to the text at each client, all on this
    machine. For clients that send audio in real time, it is from the end of speech to its text;
    more of them connect until it has grown by half. The result also says how the server refuses one
    client too many.
    """
    clips, _ = material.read_clips(folder(recordings), "en", SHORTEST_S, LONGEST_S)
    before = report.surroundings()
    with bar("server") as progress:
        found = run(
            clips,
            plain=[n for n in (1, 10, 50, 100, 200, 300) if n < MAX_CLIENTS] + [MAX_CLIENTS],
            microphones=[1, 2, 3, 4, 6, 8, 10, 12, 14, MAX_MICROPHONES],
            model=model or "tiny.en",
            seconds=seconds,
            threads=threads,
            progress=progress,
        )
    result = {"benchmark": "server", "settings": {"seconds": seconds, "threads": threads}}
    result |= {"before": before, "after": report.surroundings()} | asdict(found)
    write(output / "server", result, found.table())


if __name__ == "__main__":
    typer.run(main)
