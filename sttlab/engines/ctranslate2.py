"""Conversion of Whisper weights from CTranslate2's file format to OpenAI's checkpoint.

The file is little-endian: u32 version, string spec, u32 revision, u32 count; then for each
variable string name, u8 rank, u32 dims[rank], u8 dtype, u32 bytes, the bytes; then u32 count and
that many pairs (alias, name). A string is a u16 length and as many bytes, the last of them NUL.
Both formats hold fp16, so the conversion is lossless.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import torch

DTYPES: dict[int, type[np.generic]] = {
    0: np.float32,
    1: np.int8,
    2: np.int16,
    3: np.int32,
    4: np.float16,
}
Variables = dict[str, NDArray[Any]]


class _Reader:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def number(self, code: str) -> int:
        (value,) = struct.unpack_from("<" + code, self._data, self._at)
        self._at += struct.calcsize("<" + code)
        return int(value)

    def string(self) -> str:
        return self.bytes(self.number("H"))[:-1].decode()

    def bytes(self, count: int) -> bytes:
        self._at += count
        return self._data[self._at - count : self._at]


def read_variables(data: bytes) -> Variables:
    """Read a model.bin.

    Raises
    ------
    struct.error, KeyError, ValueError
        If `data` is not a valid model.bin.
    """
    reader = _Reader(data)
    reader.number("I")
    reader.string()
    reader.number("I")
    variables: Variables = {}
    for _ in range(reader.number("I")):
        name = reader.string()
        shape = [reader.number("I") for _ in range(reader.number("B"))]
        dtype = DTYPES[reader.number("B")]
        variables[name] = np.frombuffer(reader.bytes(reader.number("I")), dtype).reshape(shape)
    for _ in range(reader.number("I")):
        alias = reader.string()
        variables[alias] = variables[reader.string()]
    return variables


def to_checkpoint(variables: Variables) -> dict[str, Any]:
    """Rename and unstack the variables into a checkpoint that `whisper.load_model` reads."""
    renamed = _Renamed(variables)
    for conv in ("conv1", "conv2"):
        renamed.linear(f"encoder.{conv}", f"encoder/{conv}")
    layers = []
    for side, last in (("encoder", "ln_post"), ("decoder", "ln")):
        positions = variables[f"{side}/position_encodings/encodings"]
        renamed.put(f"{side}.positional_embedding", positions)
        renamed.norm(f"{side}.{last}", f"{side}/layer_norm")
        layers.append(renamed.blocks(side))
    renamed.put("decoder.token_embedding.weight", variables["decoder/embeddings/weight"])
    return {"dims": _dimensions(renamed.state, *layers), "model_state_dict": renamed.state}


class _Renamed:
    """Builds Whisper's state dict from CTranslate2's variables."""

    def __init__(self, variables: Variables) -> None:
        self.state: dict[str, torch.Tensor] = {}
        self._variables = variables

    def put(self, name: str, value: NDArray[Any]) -> None:
        import torch

        self.state[name] = torch.from_numpy(value.astype(np.float16))

    def linear(self, name: str, source: str, parts: tuple[str, ...] = ("",)) -> None:
        weights = np.split(self._variables[f"{source}/weight"], len(parts))
        biases = np.split(self._variables[f"{source}/bias"], len(parts))
        for part, weight, bias in zip(parts, weights, biases, strict=True):
            self.put(f"{name}{part}.weight", weight)
            if part != ".key":  # Whisper's keys have no bias
                self.put(f"{name}{part}.bias", bias)

    def norm(self, name: str, source: str) -> None:
        self.put(f"{name}.weight", self._variables[f"{source}/gamma"])
        self.put(f"{name}.bias", self._variables[f"{source}/beta"])

    def blocks(self, side: str) -> int:
        """Rename all layers of the encoder or the decoder; return their number."""
        count = 0
        while f"{side}/layer_{count}/ffn/linear_0/weight" in self._variables:
            source, name = f"{side}/layer_{count}", f"{side}.blocks.{count}"
            self.norm(f"{name}.attn_ln", f"{source}/self_attention/layer_norm")
            stacked = (".query", ".key", ".value")
            self.linear(f"{name}.attn", f"{source}/self_attention/linear_0", stacked)
            self.linear(f"{name}.attn.out", f"{source}/self_attention/linear_1")
            if side == "decoder":
                self.norm(f"{name}.cross_attn_ln", f"{source}/attention/layer_norm")
                self.linear(f"{name}.cross_attn.query", f"{source}/attention/linear_0")
                both = (".key", ".value")
                self.linear(f"{name}.cross_attn", f"{source}/attention/linear_1", both)
                self.linear(f"{name}.cross_attn.out", f"{source}/attention/linear_2")
            self.norm(f"{name}.mlp_ln", f"{source}/ffn/layer_norm")
            self.linear(f"{name}.mlp.0", f"{source}/ffn/linear_0")
            self.linear(f"{name}.mlp.2", f"{source}/ffn/linear_1")
            count += 1
        return count


def _dimensions(
    state: dict[str, torch.Tensor], audio_layers: int, text_layers: int
) -> dict[str, int]:
    audio_ctx, audio_state = state["encoder.positional_embedding"].shape
    text_ctx, text_state = state["decoder.positional_embedding"].shape
    return {
        "n_mels": state["encoder.conv1.weight"].shape[1],
        "n_audio_ctx": audio_ctx,
        "n_audio_state": audio_state,
        "n_audio_head": audio_state // 64,  # a head has 64 dimensions in all of Whisper's sizes
        "n_audio_layer": audio_layers,
        "n_vocab": state["decoder.token_embedding.weight"].shape[0],
        "n_text_ctx": text_ctx,
        "n_text_state": text_state,
        "n_text_head": text_state // 64,
        "n_text_layer": text_layers,
    }
