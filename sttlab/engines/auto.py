"""The engine for the machine at hand: CTranslate2 on a CPU, PyTorch on a GPU."""

from __future__ import annotations

import ctypes
import importlib.util
import platform
import sys
from pathlib import Path

from sttlab.config import TranscribeConfig
from sttlab.engines.faster import FasterWhisperEngine
from sttlab.engines.weights import has_ctranslate2
from sttlab.engines.whisper import WhisperEngine


def choose(config: TranscribeConfig) -> FasterWhisperEngine | WhisperEngine:
    """Make faster-whisper's engine where it can run on the CPU, else openai-whisper's.

    Nothing is loaded or imported. openai-whisper's it is for a GPU that PyTorch can use, for
    ``device="cuda"`` and ``"mps"``, without faster-whisper, and for a model that is not here in
    CTranslate2's format.
    """
    on_gpu = _torch_has_gpu() if config.device is None else config.device != "cpu"
    if on_gpu or importlib.util.find_spec("faster_whisper") is None:
        return WhisperEngine(config)
    return FasterWhisperEngine(config) if has_ctranslate2(config.model) else WhisperEngine(config)


def _torch_has_gpu() -> bool:
    """Say whether PyTorch would find a GPU, without the second that importing it takes."""
    torch = importlib.util.find_spec("torch")
    if torch is None or torch.origin is None:
        return False
    if sys.platform == "darwin":
        return platform.machine() == "arm64"
    if not any((Path(torch.origin).parent / "lib").glob("*torch_cuda*")):
        return False
    try:
        driver = ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except OSError:
        return False
    count = ctypes.c_int()
    return (
        driver.cuInit(0) == 0 and driver.cuDeviceGetCount(ctypes.byref(count)) == 0
    ) and count.value > 0
