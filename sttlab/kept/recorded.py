"""A recording in place of a kept session, so that replays of it can be compared."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from sttlab import kept_files
from sttlab.audio import Recording
from sttlab.config import TranscribeConfig, VadConfig
from sttlab.kept.run import KeptUtterance, Original
from sttlab.machine import processor


class Recorded(Original):
    """A recording, as if a microphone had heard it with the default settings and no engine.

    Parameters
    ----------
    recording : Recording
        Mono samples at SAMPLE_RATE.
    """

    def __init__(self, recording: Recording) -> None:
        self._recording = recording
        self.title = recording.origin or "recording"
        self.utterances: tuple[KeptUtterance, ...] = ()
        self.settings = ((0.0, VadConfig()),)
        self.engine = None
        self.engine_line = None
        self.simulated = True
        end = {"input": kept_files.END, "sample": len(recording.samples), "ended": True}
        self.inputs = (end,)
        self.live = True
        self.processor = processor()
        self.notices = recording.notices

    @property
    def duration_s(self) -> float:
        """Length of the recording."""
        return self._recording.duration_s

    @property
    def transcribe(self) -> TranscribeConfig | None:
        """None: no engine has heard it."""
        return None

    def read(self, start: int, stop: int) -> NDArray[np.float32]:
        """Give the samples between two positions, float32."""
        return self._recording.samples[max(start, 0) : stop]

    def pieces(self) -> Iterator[tuple[int, NDArray[np.float32]]]:
        """Give all audio in pieces, each with its position."""
        samples = self._recording.samples
        for at in range(0, len(samples), kept_files.PIECE_SAMPLES):
            yield at, samples[at : at + kept_files.PIECE_SAMPLES]
