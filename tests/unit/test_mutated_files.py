"""Mutated recordings of every format: decoding gives audio, or raises with the reason."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sttlab.audio import SAMPLE_RATE
from sttlab.decoding import open_audio, said_duration_s
from sttlab.errors import DecodeError

DATA = Path(__file__).parents[2] / "data"
WHOLE = {
    name: (DATA / name).read_bytes()[:60_000]
    for name in ("word.mp3", "spanish.opus", "cough.flac", "demo-phone.wav", "keyboard.ogg")
}
ENOUGH = 30 * SAMPLE_RATE  # most samples decoded of a file, whose header may declare days

PLACE = st.floats(0, 1) | st.floats(0, 0.01)  # headers, which break most, are at the beginning
EDIT = st.tuples(PLACE, st.sampled_from(["put", "insert", "drop", "repeat"]), st.binary(max_size=8))


def damage(data: bytes, edits: list[tuple[float, str, bytes]]) -> bytes:
    for place, kind, what in edits:
        at = round(place * len(data))
        before, after = data[:at], data[at:]
        if kind == "put":
            data = before + what + after[len(what) :]
        elif kind == "insert":
            data = before + what + after
        elif kind == "drop":
            data = before + after[64 * len(what) :]
        else:
            data = before + after[:512] + after
    return data


def decode(data: bytes) -> int:
    """Decode as an upload is decoded; return the number of samples, 0 for a DecodeError."""
    count = 0
    try:
        length = said_duration_s(io.BytesIO(data))
        assert length is None or np.isfinite(length)
        with open_audio(io.BytesIO(data)) as pieces:
            for piece in pieces:
                assert np.isfinite(piece).all()
                count += len(piece)
                if count > ENOUGH:
                    break
    except DecodeError:
        return 0
    return count


@pytest.mark.parametrize("name", WHOLE)
def test_unchanged_file_is_decoded(name: str) -> None:
    assert decode(WHOLE[name]) > SAMPLE_RATE // 10


# Deterministic examples, since a crash of FFmpeg would end the whole run of tests.
@settings(
    max_examples=100,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)
@given(name=st.sampled_from(list(WHOLE)), edits=st.lists(EDIT, min_size=1, max_size=8))
def test_mutated_file_is_decoded_or_raises_decode_error(
    name: str, edits: list[tuple[float, str, bytes]]
) -> None:
    decode(damage(WHOLE[name], edits))
