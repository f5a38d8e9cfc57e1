"""Speech by a small neural network: the probability of each 32 ms frame by Silero VAD.

The network is the one in the wheel of silero-vad, run by onnxruntime; PyTorch isn't loaded.
https://github.com/snakers4/silero-vad
"""

from __future__ import annotations

import functools
import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sttlab.audio import SAMPLE_RATE, frame_levels
from sttlab.config import VadConfig
from sttlab.errors import MissingExtra, ModelError
from sttlab.vad.base import Heard, Scale, VoiceDetector

FRAME_SAMPLES = 512  # 32 ms, the only length the network takes at 16 kHz
CONTEXT_SAMPLES = 64  # of the frame before, which the network takes again
LOWEST_OFFSET = 0.01  # the network never says quite 0, so a lower one would never end speech


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


@functools.cache
def _network(path: Path) -> Any:
    """Load the network, which has no memory of its own: all streams share it."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


class SileroVad(VoiceDetector):
    """Detector by the probability of speech.

    Takes about 0.15 ms a frame on one core, 0.3 s for a minute of audio.

    Raises
    ------
    MissingExtra
        If the extra `silero` is not installed.
    """

    name = "silero"
    label = "Silero"
    doc = "a small neural network says how likely speech is"
    frame_samples = FRAME_SAMPLES
    scale = Scale(label="probability", unit="", low=0.0, high=1.0)
    fields = ("probability", "probability_hysteresis")
    extra = "silero"

    def __init__(self, config: VadConfig) -> None:
        super().__init__(config)
        self._network = _network(model_path())
        self._state = np.zeros((2, 1, 128), np.float32)
        self._context = np.zeros(CONTEXT_SAMPLES, np.float32)
        self._rate = np.array(SAMPLE_RATE, np.int64)

    @classmethod
    def require(cls) -> None:
        """Raise MissingExtra if silero-vad or onnxruntime is not installed."""
        model_path()

    def hear(self, frames: NDArray[np.float32]) -> Heard:
        """Ask the network about the next n frames; see `VoiceDetector.hear`."""
        scores = np.array([self._probability(frame) for frame in frames], np.float64)
        return Heard(frame_levels(frames), scores)

    @staticmethod
    def onset(heard: Heard, config: VadConfig) -> NDArray[np.float64]:
        """Probability at which speech begins."""
        return np.full(len(heard.score), config.probability)

    @staticmethod
    def offset(onset: NDArray[np.float64], config: VadConfig) -> NDArray[np.float64]:
        """Probability below which speech ends."""
        return np.maximum(onset - config.probability_hysteresis, LOWEST_OFFSET)

    def _probability(self, frame: NDArray[np.float32]) -> float:
        heard = np.concatenate([self._context, frame])[np.newaxis]
        output, self._state = self._network.run(
            None, {"input": heard, "state": self._state, "sr": self._rate}
        )
        self._context = frame[-CONTEXT_SAMPLES:].copy()
        return float(output[0, 0])
