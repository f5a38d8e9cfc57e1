"""What finding speakers adds to the delay of text, live.

    python -m tests.benchmarks.bench_speakers_delay FOLDER [--rounds 4] [--output bench-results]

A conversation of FOLDER (see bench_speakers) plays in real time to a session with tiny.en, again
and again, with and without speakers in turn. Each utterance is compared with itself. Run it on an
idle machine.
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path

import numpy as np

from sttlab.audio import Recording
from sttlab.bench.report import surroundings, table
from sttlab.capture.push import PushSource
from sttlab.config import TranscribeConfig, VadConfig
from sttlab.engines import make_engine
from sttlab.events import SpeakersFound, Transcript
from sttlab.live.session import Session
from sttlab.live.worker import AsrWorker
from tests.benchmarks import study
from tests.benchmarks.speaker_sessions import JUDGED, conversation, read_speakers

BLOCK_S = 0.02
FINISH_S = 30.0


def delays(talk: Recording, worker: AsrWorker, *, speakers: bool) -> tuple[dict[int, float], float]:
    """Play a conversation; return the delay of each text but for the pause, and the CPU it took."""
    source = PushSource()
    session = Session(source, vad=VadConfig(), model=worker, speakers=speakers)
    heard: list[Transcript | SpeakersFound] = []
    session.subscribe(
        lambda event: heard.append(event) if isinstance(event, Transcript | SpeakersFound) else None
    )
    block = round(BLOCK_S * talk.sample_rate)
    with session:
        began, cpu = time.monotonic(), time.process_time()
        for number, at in enumerate(range(0, len(talk.samples), block)):
            time.sleep(max(0.0, began + number * BLOCK_S - time.monotonic()))
            source.push(talk.samples[at : at + block])
        source.end()
        session.wait(FINISH_S)
        cores = (time.process_time() - cpu) / talk.duration_s
    texts = [event for event in heard if isinstance(event, Transcript)]
    late = [event.late_s for event in heard if isinstance(event, SpeakersFound)]
    known = sum(bool(text.speakers) for text in texts)
    print(
        f"speakers {speakers}: {len(texts)} texts, {known} with speakers, {cores:.2f} cores, {late}"
    )
    return {text.utterance_id: text.delay_s - text.pause_s for text in texts}, cores


def main() -> None:
    """Measure, and write the table."""
    parser = argparse.ArgumentParser(description="The delay that finding speakers adds to text.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--output", type=Path, default=Path("bench-results"))
    options = parser.parse_args()
    before = surroundings()
    talk = conversation(read_speakers(options.folder), JUDGED, 300).recording[: options.seconds]
    worker = AsrWorker(make_engine(TranscribeConfig(model="tiny.en")))
    worker.start()
    added: list[float] = []
    cores: dict[bool, list[float]] = {False: [], True: []}
    delays(talk, worker, speakers=True)  # loads both networks
    for number in range(options.rounds):
        each: dict[bool, dict[int, float]] = {}
        for speakers in (False, True) if number % 2 else (True, False):
            each[speakers], used = delays(talk, worker, speakers=speakers)
            cores[speakers].append(used)
        added += [each[True][i] - each[False][i] for i in each[False] if i in each[True]]
    worker.stop(FINISH_S)
    median, high = (1000 * float(np.quantile(added, q)) for q in (0.5, 0.95))
    row = [
        f"{len(added)}",
        f"{median:.0f} ms",
        f"{high:.0f} ms",
        *(f"{float(np.mean(cores[speakers])):.2f}" for speakers in (False, True)),
        f"{os.getloadavg()[0]:.1f}",
    ]
    head = ["pairs", "added, median", "added, p95", "cores without", "cores with", "load"]
    text = table(head, [row])
    study.write(options.output / "speakers_delay", {"before": before, "added_s": added}, text)


if __name__ == "__main__":
    main()
