"""Whisper's last and largest matrix in 8-bit integers, for a CPU.

For every token the decoder compares what it has with each of its 50,000 tokens. That reads more
memory than all the rest of it, and memory is what it waits for: in a quarter of the bytes it takes
a quarter of the time.
"""

from __future__ import annotations

import logging
import warnings
from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

log = logging.getLogger(__name__)

LARGEST = 127  # of 8 bits with a sign


def quantise_logits(model: Any) -> None:
    """Have a loaded model compute its logits in 8-bit integers, from now on.

    Each token's row has a scale of its own; what comes in is quantised as it comes. Where PyTorch
    can't do it, nothing changes.

    Parameters
    ----------
    model : whisper.model.Whisper
        On the CPU.
    """
    try:
        logits = _quantised(model.decoder.token_embedding.weight)
    except (RuntimeError, ImportError, AttributeError) as error:
        log.info("this PyTorch computes no 8-bit integers: %s", error)
        return
    model.decoder.forward = partial(_forward, model.decoder, logits)


def _quantised(weight: torch.Tensor) -> Any:
    import torch
    import torch.ao.nn.quantized.dynamic as quantised

    weight = weight.detach().float()
    scales = weight.abs().amax(dim=1).clamp(min=1e-8).double() / LARGEST
    zeros = torch.zeros(len(weight), dtype=torch.long)
    with warnings.catch_warnings():  # PyTorch means to replace it one day
        warnings.simplefilter("ignore", UserWarning)
        whole = torch.quantize_per_channel(weight, scales, zeros, 0, torch.qint8)
    linear: Any = quantised.Linear  # it has no types
    linear = linear(weight.shape[1], weight.shape[0], bias_=False, dtype=torch.qint8)
    linear.set_weight_bias(whole, None)
    return linear


def _forward(
    decoder: Any, logits: Any, x: torch.Tensor, xa: torch.Tensor, kv_cache: Any = None
) -> torch.Tensor:
    """Do what `whisper.model.TextDecoder.forward` does."""
    offset = next(iter(kv_cache.values())).shape[1] if kv_cache else 0
    positions = decoder.positional_embedding[offset : offset + x.shape[-1]]
    x = decoder.token_embedding(x) + positions
    for block in decoder.blocks:
        x = block(x, xa, mask=decoder.mask, kv_cache=kv_cache)
    found: torch.Tensor = logits(decoder.ln(x))
    return found
