"""`sttlab bench live` with RealtimeSTT among the systems.

    python -m venv rival
    rival/bin/python -m pip install RealtimeSTT faster-whisper silero-vad onnxruntime
    python -m tests.benchmarks.realtimestt --python rival/bin/python \
        --system sttlab --system realtimestt

RealtimeSTT pins packages that sttlab has in other versions, so it has an environment of its own.
It needs PortAudio's headers (portaudio19-dev). All other options are those of `sttlab bench live`.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import typer

from sttlab.bench.commands import live as measure
from sttlab.bench.live import SYSTEMS, System
from sttlab.engines.weights import find_ctranslate2

TIMEOUT_S = 0.6  # RealtimeSTT's default silence timeout
SYSTEM = Path(__file__).with_name("realtimestt_system.py")


def main() -> None:
    """Read the options of this command, add the system, and measure."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("--model", default="tiny.en")
    own, others = parser.parse_known_args()
    command = (str(SYSTEM), str(find_ctranslate2(own.model)), str(TIMEOUT_S))
    SYSTEMS["realtimestt"] = System(command, "faster-whisper int8", TIMEOUT_S, own.python)
    sys.argv[1:] = ["--model", own.model, *others]
    typer.run(measure)


if __name__ == "__main__":
    main()
