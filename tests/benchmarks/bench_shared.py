"""Throughput of the engine when other programs use the same cores, by how long its threads spin.

    python tests/benchmarks/bench_shared.py

Prints utterances decoded in 10 s, by one process alone and by five at once in sum.
"""

import os
import subprocess
import sys
import time
from pathlib import Path

DATA = Path(__file__).parents[2] / "data"
SECONDS = 10
SPINS = {"libgomp's own": "300000", "none": "0", "sttlab's": "10000"}


def child() -> None:
    import sttlab as stt
    from sttlab.config import TranscribeConfig
    from sttlab.engines import make_engine

    engine = make_engine(TranscribeConfig())
    engine.load()
    recording = stt.load(DATA / "monologue.flac")
    print("loaded", flush=True)
    sys.stdin.readline()
    done, end = 0, time.monotonic() + SECONDS
    while time.monotonic() < end:
        start_s = done % 20
        engine.transcribe(recording[start_s : start_s + 3 + done % 5].samples)
        done += 1
    print(done)


def decoded(processes: int, spin: str) -> int:
    environment = {**os.environ, "GOMP_SPINCOUNT": spin}
    children = [
        subprocess.Popen(
            [sys.executable, __file__, "child"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        for _ in range(processes)
    ]
    for process in children:
        assert process.stdout
        process.stdout.readline()
    for process in children:
        assert process.stdin
        process.stdin.write("\n")
        process.stdin.flush()
    return sum(int(process.communicate()[0]) for process in children)


if __name__ == "__main__":
    if sys.argv[1:] == ["child"]:
        child()
    else:
        print(f"{'spinning':16}{'alone':>8}{'five':>8}")
        for name, spin in SPINS.items():
            print(f"{name:16}{decoded(1, spin):8}{decoded(5, spin):8}")
