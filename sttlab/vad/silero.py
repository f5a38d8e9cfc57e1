"""Speech by a small neural network: the probability that Silero VAD gives each 32 ms frame.

The network is the one in the wheel of silero-vad, run by onnxruntime; PyTorch isn't loaded.
https://github.com/snakers4/silero-vad
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sttlab.audio import SAMPLE_RATE
from sttlab.config import VadConfig
from sttlab.errors import MissingExtra, ModelError
from sttlab.vad.base import Activity
from sttlab.vad.energy import frame_levels

FRAME_SAMPLES = 512  # 32 ms, the only length the network takes at 16 kHz
CONTEXT_SAMPLES = 64  # of the frame before, which it wants to hear again
LOWEST_OFFSET = 0.01  # it never says quite 0, so a lower one would never end an utterance


def model_path() -> Path:
    """Find the network in the installed wheel, without importing anything.

    Raises
    ------
    MissingExtra
        If silero-vad or onnxruntime is not installed.
    ModelError
        If the wheel no longer holds the file.
    """
    for package in ("silero_vad", "onnxruntime"):
        spec = importlib.util.find_spec(package)
        if spec is None or not spec.submodule_search_locations:
            raise MissingExtra(package, "silero")
        if package == "silero_vad":
            path = Path(spec.submodule_search_locations[0], "data", "silero_vad.onnx")
    if not path.is_file():
        raise ModelError(f"{path} is missing: pip install --force-reinstall --no-deps silero-vad")
    return path


class SileroVad:
    """Detector by probability. See `VadConfig` for what it is told, `VoiceDetector` for the rest.

    Takes about 0.15 ms a frame on one core, 0.3 s for a minute of sound.

    Raises
    ------
    MissingExtra
        If the extra `silero` is not installed.
    """

    frame_samples = FRAME_SAMPLES

    def __init__(self, config: VadConfig) -> None:
        path = model_path()
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self.config = config
        self._network = onnxruntime.InferenceSession(
            str(path), options, providers=["CPUExecutionProvider"]
        )
        self._state = np.zeros((2, 1, 128), np.float32)
        self._context = np.zeros(CONTEXT_SAMPLES, np.float32)
        self._rate = np.array(SAMPLE_RATE, np.int64)

    def process(self, frames: NDArray[np.float32]) -> Activity:
        """Judge the next n frames; see `VoiceDetector.process`."""
        scores = np.array([self._probability(frame) for frame in frames], np.float64)
        return silero_activity(frame_levels(frames), scores, self.config)

    def _probability(self, frame: NDArray[np.float32]) -> float:
        heard = np.concatenate([self._context, frame])[np.newaxis]
        output, self._state = self._network.run(
            None, {"input": heard, "state": self._state, "sr": self._rate}
        )
        self._context = frame[-CONTEXT_SAMPLES:].copy()
        return float(output[0, 0])


def silero_activity(
    levels: NDArray[np.float64], scores: NDArray[np.float64], config: VadConfig
) -> Activity:
    """Put the thresholds of `config` beside the levels and probabilities of n frames."""
    onset = np.full(len(scores), config.probability)
    offset = max(config.probability - config.probability_hysteresis, LOWEST_OFFSET)
    return Activity(levels, scores, onset, np.full(len(scores), offset))
