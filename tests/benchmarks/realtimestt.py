"""`sttlab bench live` with RealtimeSTT among the systems.

    pip install RealtimeSTT
    python -m tests.benchmarks.realtimestt --system sttlab --system realtimestt

With JSON as its only argument it runs RealtimeSTT as a system of `sttlab.bench.systems`.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from typing import Any

import typer

from sttlab.audio import SAMPLE_RATE
from sttlab.bench.commands import live as measure
from sttlab.bench.engines import say
from sttlab.bench.live import SYSTEMS, System
from sttlab.bench.systems import BLOCK_SAMPLES, blocks
from sttlab.engines.weights import find_ctranslate2

TIMEOUT_S = 0.6  # RealtimeSTT's default silence timeout


def run_realtimestt(options: dict[str, Any]) -> None:
    """Run RealtimeSTT with its quickest setting: it transcribes 0.2 s into a pause."""
    from RealtimeSTT import AudioToTextRecorder  # type: ignore[import-not-found,unused-ignore]

    began: list[float] = []
    ended: list[float] = []
    recorder = AudioToTextRecorder(
        model=str(find_ctranslate2(options["transcribe"]["model"])),
        language=options["transcribe"]["language"] or "en",
        device="cpu",
        compute_type="int8",
        use_microphone=False,
        spinner=False,
        no_log_file=True,
        post_speech_silence_duration=TIMEOUT_S,
        early_transcription_on_silence=0.2,
        on_recording_start=lambda: began.append(time.monotonic()),
        on_recording_stop=lambda: ended.append(time.monotonic()),
    )
    first: list[float] = []

    def feed() -> None:
        for data in blocks():
            if not first:
                first.append(time.monotonic() - BLOCK_SAMPLES / SAMPLE_RATE)
            recorder.feed_audio(data)
        closed.set()

    closed = threading.Event()
    say(ready=True)
    threading.Thread(target=feed, name="bench-stdin", daemon=True).start()

    def finals() -> None:
        while not closed.is_set():
            if text := recorder.text():
                say(text=text, start_s=began[-1] - first[0], end_s=ended[-1] - first[0])

    threading.Thread(target=finals, name="bench-finals", daemon=True).start()
    closed.wait()
    recorder.shutdown()


if __name__ == "__main__":
    if sys.argv[1:] and sys.argv[1].startswith("{"):
        run_realtimestt(json.loads(sys.argv[1]))
    else:
        command = ("-m", "tests.benchmarks.realtimestt")
        SYSTEMS["realtimestt"] = System(command, "faster-whisper int8", TIMEOUT_S)
        typer.run(measure)
