"""The systems under test, each in its own process: `python -m sttlab.bench.systems NAME JSON`.

They read audio from stdin in real time: 16-bit little-endian mono at 16 kHz. They print lines of
JSON: first ``{"ready": true}``, then one object for each final, ``{"text", "start_s", "end_s"}``.
"""

from __future__ import annotations

import json
import queue
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator
from typing import Any

import numpy as np

from sttlab.audio import SAMPLE_RATE, from_pcm16
from sttlab.bench.engines import ENGINES, config_of, say
from sttlab.bench.material import Samples

BLOCK_SAMPLES = 320  # a block of 20 ms, as a microphone delivers it
DRAIN_S = 60.0  # longest wait for the last transcripts
READ_AHEAD_BLOCKS = 100_000  # most blocks that wait for a busy system: half an hour

NAIVE_TIMEOUT_S = 0.8
NAIVE_THRESHOLD_RMS = 0.01  # -40 dBFS
NAIVE_PRE_ROLL_S = 0.5


def blocks() -> Iterator[bytes]:
    """Read stdin block by block, until it ends."""
    while data := sys.stdin.buffer.read(BLOCK_SAMPLES * 2):
        yield data


def run_sttlab(options: dict[str, Any]) -> None:
    """Run the real server on a session of stdin; it sends finals over `/ws` as well."""
    from sttlab.capture import PushSource
    from sttlab.events import Event, Suppressed, Transcript, TranscriptionFailed
    from sttlab.live.session import Session
    from sttlab.server.launch import launch_server

    def report(event: Event) -> None:
        if isinstance(event, Transcript):
            parts = ("pause_s", "capture_s", "queue_s", "decode_s", "delay_s", "engine_s")
            say(
                text=event.text,
                start_s=event.start_s,
                end_s=event.end_s,
                utterance_id=event.utterance_id,
                emitted_at=time.monotonic(),  # all processes of a machine share this clock
                timings={name: getattr(event, name) for name in parts},
            )
        elif isinstance(event, Suppressed):
            say(suppressed=event.text, reason=event.reason, start_s=event.start_s)
        elif isinstance(event, TranscriptionFailed):
            say(failed=event.message)

    config = config_of(options)
    source = PushSource()
    session = Session(source, vad=config.vad, model=config.transcribe, partials=options["partials"])
    session.subscribe(report)
    with session, launch_server(session, port=0) as server:
        say(ready=True, ws_url=server.ws_url)
        for data in blocks():
            source.push(data)
        source.end()
        session.wait(DRAIN_S)
        if session.error:
            raise session.error


def run_naive(options: dict[str, Any]) -> None:
    """Run what a weekend project does: level threshold, fixed timeout, Whisper's whole window."""
    transcribe = ENGINES["openai-whisper"](options)
    transcribe(np.zeros(SAMPLE_RATE, np.float32))
    incoming = _read_stdin()
    timeout = round(NAIVE_TIMEOUT_S * SAMPLE_RATE / BLOCK_SAMPLES)
    window: deque[Samples] = deque(maxlen=round(NAIVE_PRE_ROLL_S * SAMPLE_RATE / BLOCK_SAMPLES))
    quiet, position = 0, 0
    speaking = False
    say(ready=True)
    while (block := incoming.get()) is not None:
        position += len(block)
        window.append(block)
        loud = float(np.sqrt(np.mean(block**2))) >= NAIVE_THRESHOLD_RMS
        if loud and not speaking:
            speaking, window = True, deque(window)
        quiet = 0 if loud else quiet + 1
        if speaking and quiet >= timeout:
            samples = np.concatenate(window)
            if text := transcribe(samples):
                end_s = position / SAMPLE_RATE
                say(text=text, start_s=end_s - len(samples) / SAMPLE_RATE, end_s=end_s)
            speaking = False
            window = deque(maxlen=round(NAIVE_PRE_ROLL_S * SAMPLE_RATE / BLOCK_SAMPLES))


def _read_stdin() -> queue.Queue[Samples | None]:
    """Read stdin on a thread, as a microphone library would; None marks the end."""
    incoming: queue.Queue[Samples | None] = queue.Queue(READ_AHEAD_BLOCKS)

    def read() -> None:
        for data in blocks():
            incoming.put(from_pcm16(data))
        incoming.put(None)

    threading.Thread(target=read, name="bench-stdin", daemon=True).start()
    return incoming


SYSTEMS = {
    "sttlab": run_sttlab,
    "naive": run_naive,
}

if __name__ == "__main__":
    SYSTEMS[sys.argv[1]](json.loads(sys.argv[2]))
