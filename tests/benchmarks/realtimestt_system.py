"""RealtimeSTT as a system of `sttlab.bench.systems`, in an environment without sttlab.

    realtimestt_system.py WEIGHTS TIMEOUT_S OPTIONS

WEIGHTS is a folder of a model in the format of CTranslate2, OPTIONS the settings of the benchmark
as JSON.
"""

from __future__ import annotations

import json
import sys
import threading
import time

SAMPLE_RATE = 16_000
BLOCK_SAMPLES = 320


def say(**fields: object) -> None:
    """Print a line of JSON, and flush it."""
    print(json.dumps(fields), flush=True)


def main(weights: str, timeout_s: float, language: str) -> None:
    """Run RealtimeSTT with its quickest setting: it transcribes 0.2 s into a pause."""
    from RealtimeSTT import AudioToTextRecorder  # type: ignore[import-not-found,unused-ignore]

    began: list[float] = []
    ended: list[float] = []
    recorder = AudioToTextRecorder(
        model=weights,
        language=language,
        device="cpu",
        compute_type="int8",
        use_microphone=False,
        spinner=False,
        no_log_file=True,
        post_speech_silence_duration=timeout_s,
        early_transcription_on_silence=0.2,
        on_recording_start=lambda: began.append(time.monotonic()),
        on_recording_stop=lambda: ended.append(time.monotonic()),
    )
    first: list[float] = []
    closed = threading.Event()

    def feed() -> None:
        while data := sys.stdin.buffer.read(BLOCK_SAMPLES * 2):
            if not first:
                first.append(time.monotonic() - BLOCK_SAMPLES / SAMPLE_RATE)
            recorder.feed_audio(data)
        closed.set()

    def finals() -> None:
        while not closed.is_set():
            if text := recorder.text():
                say(text=text, start_s=began[-1] - first[0], end_s=ended[-1] - first[0])

    say(ready=True)
    threading.Thread(target=feed, name="bench-stdin", daemon=True).start()
    threading.Thread(target=finals, name="bench-finals", daemon=True).start()
    closed.wait()
    recorder.shutdown()


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]), json.loads(sys.argv[3])["transcribe"]["language"] or "en")
