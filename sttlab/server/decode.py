"""The process that decodes a client's file, so that no file can crash the server.

It reads the file from standard input. To standard output it writes the duration that the file
declares (a little-endian float64 in seconds; nan if there is none), then mono samples at
SAMPLE_RATE. Its arguments are the suffix of the file's name, the track and the channel, each of
which may be empty. Errors go to standard error, for people to read; if the file can't be kept, the
exit status is NO_ROOM. It leaves no file behind: its temporary file has no name.
"""

from __future__ import annotations

import contextlib
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
MEMORY_BYTES = 1 << 30  # limit of what decoding allocates; valid files need less
PROCESSOR_S = 1800  # limit of CPU time
NO_ROOM = 3  # exit status: what is wrong is the disk, and not the file
UNNAMED = "if only its name tells the format, as with raw G.722, send it to /files?name=talk.g722"


def main() -> None:
    """Decode standard input, or write what is wrong and exit with status 1 or NO_ROOM."""
    logging.basicConfig(format="%(message)s")
    try:
        with tempfile.TemporaryFile() as file:
            shutil.copyfileobj(sys.stdin.buffer, file, 1 << 20)
            limit_itself(PROCESSOR_S)
            suffix, track, channel = sys.argv[1:]
            _decode(file, suffix, _number(track), _number(channel))
    except DecodeError as error:
        sys.exit(str(error))
    except MemoryError:
        sys.exit("this file takes too much memory to decode")
    except BrokenPipeError:
        sys.exit(1)  # the server has closed the pipe: it needs no more samples
    except OSError as error:
        with contextlib.suppress(OSError):  # the full disk may hold standard error too
            sys.stderr.write(f"{error.strerror}\n")
        sys.exit(NO_ROOM)


def _number(argument: str) -> int | None:
    return int(argument) if argument else None


def _decode(file: BinaryIO, suffix: str, track: int | None, channel: int | None) -> None:
    if not file.tell():
        raise DecodeError("this file is empty")
    file.flush()
    named = io.FileIO(file.fileno(), closefd=False)
    named.name = f"file{suffix}"  # FFmpeg goes by the name where the content doesn't tell
    named.seek(0)
    try:
        duration_s = said_duration_s(named)
    except DecodeError as error:
        raise DecodeError(str(error) if suffix else f"{error}; {UNNAMED}") from error
    named.seek(0)
    out = sys.stdout.buffer
    with open_audio(named, track=track, channel=channel, longest_s=LONGEST_LOAD_S) as pieces:
        out.write(HEADER.pack(duration_s or math.nan))
        out.flush()
        for piece in pieces:
            out.write(piece.astype(SAMPLE).tobytes())
        out.flush()


def limit_itself(processor_s: int) -> None:
    """Bound memory and processor time of this process, where that is possible."""
    if sys.platform != "linux":
        return
    import resource

    with open("/proc/self/statm", encoding="ascii") as statm:
        now = int(statm.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (now + MEMORY_BYTES,) * 2)
    resource.setrlimit(resource.RLIMIT_CPU, (processor_s,) * 2)


if __name__ == "__main__":
    main()
