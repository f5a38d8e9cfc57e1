"""Fuzz the decoding of uploads, guided by coverage.

    pip install atheris      # where it has a wheel: CPython on Linux
    python tests/benchmarks/fuzz_files.py -max_total_time=600 FOLDER

FOLDER is the corpus, which begins with the recordings of data/. Only the coverage of Python code
guides it, not FFmpeg's. A file that crashes the process is kept as crash-*.
"""

from __future__ import annotations

import io
import logging
import sys
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["sttlab"]):
    from sttlab.audio import SAMPLE_RATE
    from sttlab.decoding import open_audio, said_duration_s
    from sttlab.errors import DecodeError

ENOUGH = 30 * SAMPLE_RATE  # most samples decoded of a file, whose header may declare days


def decode(data: bytes) -> None:
    """Decode data as an upload is decoded; it may raise only DecodeError."""
    count = 0
    try:
        said_duration_s(io.BytesIO(data))
        with open_audio(io.BytesIO(data)) as pieces:
            for piece in pieces:
                count += len(piece)
                if count > ENOUGH:
                    return
    except DecodeError:
        return


def main() -> None:
    """Fill the corpus with the recordings of data/, and fuzz until stopped."""
    logging.disable()
    folder = Path(next((a for a in sys.argv[1:] if not a.startswith("-")), "fuzz-corpus"))
    folder.mkdir(exist_ok=True)
    for path in (Path(__file__).parents[2] / "data").iterdir():
        if path.suffix in (".flac", ".mp3", ".ogg", ".opus", ".wav"):
            (folder / path.name).write_bytes(path.read_bytes()[:30_000])
    atheris.Setup([*sys.argv, *([] if str(folder) in sys.argv else [str(folder)])], decode)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
