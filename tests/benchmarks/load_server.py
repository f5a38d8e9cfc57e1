"""The server that `load` measures: ``python -m tests.benchmarks.load_server MODEL``.

It serves until its stdin ends. With the model ``-``, the source beeps twice a second, and the
engine answers each beep with the time. Any other model is Whisper, for clients that send audio.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from sttlab.audio import SAMPLE_RATE
from sttlab.bench.engines import say
from sttlab.capture.base import Block
from sttlab.config import TranscribeConfig, VadConfig
from sttlab.engines import make_engine
from sttlab.engines.base import Transcription, never
from sttlab.live.session import Session
from sttlab.live.worker import AsrWorker
from sttlab.server import microphones
from sttlab.server.launch import launch_server

CLOCK = "-"
BEEP_S = 0.25
BLOCK_S = 0.02
VAD = VadConfig(threshold_dbfs=-45.0, silence_timeout_s=0.12, min_speech_s=0.1)


class _Beeper:
    """A source that beeps twice a second, in real time."""

    name = "beeper"

    def open(self) -> None:
        self._position = 0
        self._began = time.monotonic()
        noise = np.random.default_rng(0).standard_normal(round(BEEP_S * SAMPLE_RATE)) * 0.1
        self._beep = np.concatenate([noise, np.zeros_like(noise)]).astype(np.float32)

    def read(self, timeout_s: float) -> Block | None:
        count = round(BLOCK_S * SAMPLE_RATE)
        due = self._began + (self._position + count) / SAMPLE_RATE
        time.sleep(max(0.0, min(timeout_s, due - time.monotonic())))
        if time.monotonic() < due:
            return Block(np.empty(0, np.float32))
        at = self._position % len(self._beep)
        self._position += count
        return Block(self._beep[at : at + count])

    def close(self) -> None:
        pass


class _Clock:
    """An engine whose text is the time at which it answers."""

    config = None
    name = "clock"

    def load(self) -> None:
        pass

    def close(self) -> None:
        pass

    def transcribe(
        self,
        samples: NDArray[np.generic],
        sample_rate: int = SAMPLE_RATE,
        *,
        cancelled: Callable[[], bool] = never,
    ) -> Transcription:
        return Transcription(
            text=str(time.monotonic()),
            segments=(),
            suppressed=(),
            language="en",
            language_probability=1.0,
            confidence=1.0,
        )


def main() -> None:
    """Run the server."""
    model = sys.argv[1]
    config = TranscribeConfig(model=model, language="en")
    beeps = model == CLOCK
    # The measurement is how many keep up, so no more than the most are refused.
    microphones.KEEPS_UP, microphones.UNKNOWN_PER_CORE = math.inf, microphones.MAX_MICROPHONES
    with AsrWorker(_Clock() if beeps else make_engine(config)) as worker:
        session = Session(_Beeper(), vad=VAD if beeps else VadConfig(), model=worker)
        with launch_server(session, port=0) as server:
            say(ws_url=server.ws_url)
            sys.stdin.read()


if __name__ == "__main__":
    main()
