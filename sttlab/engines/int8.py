"""Dynamic int8 quantisation of Whisper's largest matrix, for a CPU.

For every token, the decoder computes the logits of all 50,000 tokens. Reading that matrix is most
of its memory traffic, and memory bandwidth is what limits it. A quarter of the bytes takes a
quarter of the time.
"""

from __future__ import annotations

import logging
import warnings
import weakref
from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

log = logging.getLogger(__name__)

LARGEST = 127  # largest value of a signed 8-bit integer


def quantise_logits(model: Any) -> None:
    """Make a loaded model compute its logits in 8-bit integers.

    Each token's row has its own scale; activations are quantised dynamically. Where PyTorch has no
    such kernels, the model stays as it is.

    Parameters
    ----------
    model : whisper.model.Whisper
        On the CPU.
    """
    try:
        logits = _quantised(model.decoder.token_embedding.weight)
    except (RuntimeError, ImportError, AttributeError) as error:
        log.info("this PyTorch can't multiply 8-bit integers: %s", error)
        return
    # A weak reference: in a circle the model's memory would be freed much later, if at all.
    model.decoder.forward = partial(_forward, weakref.proxy(model.decoder), logits)


def _quantised(weight: torch.Tensor) -> Any:
    import torch
    import torch.ao.nn.quantized.dynamic as quantised

    weight = weight.detach().float()
    scales = weight.abs().amax(dim=1).clamp(min=1e-8).double() / LARGEST
    zeros = torch.zeros(len(weight), dtype=torch.long)
    with warnings.catch_warnings():  # PyTorch has deprecated this function
        warnings.simplefilter("ignore", UserWarning)
        whole = torch.quantize_per_channel(weight, scales, zeros, 0, torch.qint8)
    linear: Any = quantised.Linear  # PyTorch has no type hints for it
    linear = linear(weight.shape[1], weight.shape[0], bias_=False, dtype=torch.qint8)
    linear.set_weight_bias(whole, None)
    return linear


def _forward(
    decoder: Any, logits: Any, x: torch.Tensor, xa: torch.Tensor, kv_cache: Any = None
) -> torch.Tensor:
    """Do what `whisper.model.TextDecoder.forward` does, with quantised logits."""
    offset = next(iter(kv_cache.values())).shape[1] if kv_cache else 0
    positions = decoder.positional_embedding[offset : offset + x.shape[-1]]
    x = decoder.token_embedding(x) + positions
    for block in decoder.blocks:
        x = block(x, xa, mask=decoder.mask, kv_cache=kv_cache)
    found: torch.Tensor = logits(decoder.ln(x))
    return found
