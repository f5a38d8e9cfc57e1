"""An audio source that another process decodes; decode.py is what that process runs."""

from __future__ import annotations

import contextlib
import errno
import math
import os
import re
import subprocess
import sys
import tempfile
import threading

import numpy as np

from sttlab.capture.base import Block
from sttlab.errors import SourceError
from sttlab.server import decode

PIECE_BYTES = 1 << 16
MOST_LOG_BYTES = 2000
END_S = 5.0  # longest wait for the process to exit once it has written all samples
BROKEN = "this file broke the decoder"


class DecoderProcess:
    """A process that decodes a file, as an audio source; see `AudioSource`. It opens once.

    Every method blocks. `launch`, `write` and `begin` come before a session reads; any thread may
    call `close`.

    Parameters
    ----------
    file_name : str
        Its suffix tells the format where the content doesn't.
    track, channel : int, optional
        See `open_audio`.

    Attributes
    ----------
    log : str
        What the process wrote to its standard error, once it has ended.
    """

    name = "a file"

    def __init__(
        self, file_name: str, track: int | None = None, channel: int | None = None
    ) -> None:
        self.log = ""
        # The suffix goes into a command line, so only plain characters are taken.
        suffix = re.search(r"\.\w{1,8}$", file_name, re.ASCII)
        wanted = ("" if number is None else str(number) for number in (track, channel))
        self._arguments = (suffix.group() if suffix else "", *wanted)
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 - closed by `_end`
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()  # held while the process is ended
        self._closed = False

    def launch(self) -> None:
        """Start the process."""
        self._process = subprocess.Popen(
            [sys.executable, "-m", decode.__name__, *self._arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
        )

    def write(self, piece: bytes) -> None:
        """Send a piece of the file to the process. Blocks while the pipe is full (backpressure)."""
        assert self._process
        assert self._process.stdin
        with contextlib.suppress(BrokenPipeError):  # the process has ended: `begin` says why
            self._process.stdin.write(piece)

    def begin(self) -> float | None:
        """Wait until the decoder knows the format.

        Returns
        -------
        float or None
            The duration in seconds that the file declares; None if it declares none.

        Raises
        ------
        SourceError
            If the file can't be decoded.
        OSError
            If the process can't keep the file, since the disk is full.
        """
        assert self._process
        assert self._process.stdin
        assert self._process.stdout
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        header = self._process.stdout.read(decode.HEADER.size)
        if len(header) < decode.HEADER.size:
            if self._end(END_S) == decode.NO_ROOM:
                raise OSError(errno.ENOSPC, self.log or os.strerror(errno.ENOSPC))
            raise SourceError(self.log or BROKEN)
        (duration_s,) = decode.HEADER.unpack(header)
        return None if math.isnan(duration_s) else float(duration_s)

    def open(self) -> None:
        """Do nothing: `launch` and `begin` have opened it."""

    def read(self, timeout_s: float) -> Block | None:
        """Read the next samples; the decoder is so fast that the timeout doesn't matter."""
        assert self._process
        assert self._process.stdout
        if self._closed:
            return None
        data = self._process.stdout.read(PIECE_BYTES)
        if len(data) >= decode.SAMPLE.itemsize:
            count = len(data) // decode.SAMPLE.itemsize
            return Block(np.frombuffer(data, decode.SAMPLE, count).astype(np.float32))
        if self._end(END_S):
            raise SourceError(self.log or BROKEN)
        return None

    def close(self) -> None:
        """End the process, even if it still decodes."""
        self._end(0)

    def _end(self, patience_s: float) -> int:
        """Wait for the process to exit, then kill it; return its status, or 0 if it was closed."""
        with self._lock:
            if self._closed:
                return 0
            self._closed = True
            process = self._process
            if process:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(patience_s)
                process.kill()
                process.wait()
                self._stderr.seek(0)
                self.log = self._stderr.read(MOST_LOG_BYTES).decode(errors="replace").strip()
            for pipe in (process and process.stdin, process and process.stdout, self._stderr):
                with contextlib.suppress(BrokenPipeError):
                    if pipe:
                        pipe.close()
            return process.returncode if process else 0
