"""The process in which what a client sends is decoded, so that no file can take the server down.

It reads the file from its standard input, and writes to its standard output the length that the
file says it has (a little-endian float64 in seconds; nan if it says none), then mono samples at
SAMPLE_RATE. Its argument is the suffix of the file's name, if that is known. What is wrong goes to
its standard error, in words. It leaves no file behind: its temporary one has no name.
"""

from __future__ import annotations

import io
import logging
import math
import shutil
import struct
import sys
import tempfile
from typing import BinaryIO

import numpy as np

from sttlab.decoding import LONGEST_LOAD_S, open_audio, said_duration_s
from sttlab.errors import DecodeError

SAMPLE = np.dtype("<f4")
HEADER = struct.Struct("<d")
MEMORY_BYTES = 1 << 30  # more than decoding takes
PROCESSOR_S = 1800
UNNAMED = "if only its name tells the format, as with raw G.722, send it to /files?name=talk.g722"


def main() -> None:
    """Decode, or say why not and end with status 1."""
    logging.basicConfig(format="%(message)s")
    try:
        with tempfile.TemporaryFile() as file:
            shutil.copyfileobj(sys.stdin.buffer, file, 1 << 20)
            _limit_itself()
            _decode(file, sys.argv[1], sys.stdout.buffer)
    except DecodeError as error:
        sys.exit(str(error))
    except MemoryError:
        sys.exit("this file takes too much memory to decode")
    except BrokenPipeError:
        sys.exit(1)  # nobody wants the rest
    except OSError as error:
        sys.exit(f"the server can't keep the file while it decodes it: {error.strerror}")


def _decode(file: BinaryIO, suffix: str, out: BinaryIO) -> None:
    if not file.tell():
        raise DecodeError("this file is empty")
    file.flush()
    named = io.FileIO(file.fileno(), closefd=False)
    named.name = f"file{suffix}"  # to which FFmpeg looks where the content doesn't tell
    named.seek(0)
    try:
        duration_s = said_duration_s(named)
    except DecodeError as error:
        raise DecodeError(str(error) if suffix else f"{error}; {UNNAMED}") from error
    named.seek(0)
    with open_audio(named, longest_s=LONGEST_LOAD_S) as pieces:
        out.write(HEADER.pack(duration_s or math.nan))
        out.flush()
        for piece in pieces:
            out.write(piece.astype(SAMPLE).tobytes())
        out.flush()


def _limit_itself() -> None:
    if sys.platform != "linux":
        return
    import resource

    with open("/proc/self/statm", encoding="ascii") as statm:
        now = int(statm.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (now + MEMORY_BYTES,) * 2)
    resource.setrlimit(resource.RLIMIT_CPU, (PROCESSOR_S,) * 2)


if __name__ == "__main__":
    main()
