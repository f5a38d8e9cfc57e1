"""The process in which the container that a client streams is decoded, while it comes.

It reads the container from its standard input, and writes mono float32 samples at SAMPLE_RATE to
its standard output. Its argument is `webm` or `ogg`. Errors go to its standard error, in words.
"""

from __future__ import annotations

import os
import sys
from typing import Any

import numpy as np

from sttlab.audio import SAMPLE_RATE, Downmix
from sttlab.server.decode import SAMPLE, limit_itself
from sttlab.server.forms import MOST_CHANNELS

DEMUXERS = {"webm": "matroska", "ogg": "ogg"}
CODECS = "opus,libopus,vorbis,flac,pcm_f32le,pcm_s16le"  # that browsers record with
OPTIONS = {"codec_whitelist": CODECS, "probesize": "4096", "analyzeduration": "0"}
BUFFER_BYTES = 4096  # FFmpeg waits until it is full
PROCESSOR_S = 24 * 3600  # a client may speak all day


def main() -> None:
    """Decode until the input ends, or exit with status 1 and the reason."""
    import av

    limit_itself(PROCESSOR_S)
    form = sys.argv[1]
    try:
        with av.open(
            _Pipe(), format=DEMUXERS[form], options=OPTIONS, buffer_size=BUFFER_BYTES
        ) as container:
            _decode(container)
    except (av.FFmpegError, ValueError, IndexError) as error:
        sys.exit(f"this is not {form} that can be decoded: {getattr(error, 'strerror', error)}")
    except MemoryError:
        sys.exit(f"this {form} needs too much memory to decode")
    except BrokenPipeError:
        sys.exit(1)  # the server has closed the client


class _Pipe:
    """The standard input as a file that reads what has arrived, and can't seek."""

    def read(self, size: int) -> bytes:
        return os.read(sys.stdin.fileno(), size)


def _decode(container: Any) -> None:
    import av

    resampler: Any = None
    mixer: Downmix | None = None
    for packet in container.demux(container.streams.audio[0]):
        try:
            frames = packet.decode()
        except av.InvalidDataError:  # one broken packet
            continue
        for frame in frames:
            channels = frame.layout.nb_channels
            if mixer is None or mixer.channels != channels:
                if channels > MOST_CHANNELS:
                    raise ValueError(f"it has {channels} channels")
                mixer = Downmix(channels, SAMPLE_RATE)
                resampler = av.AudioResampler(format="flt", rate=SAMPLE_RATE)
            frame.pts = None
            for piece in resampler.resample(frame):
                samples = np.nan_to_num(piece.to_ndarray(), posinf=0.0, neginf=0.0)
                _write(mixer.mix(samples.reshape(-1, channels)))


def _write(mono: np.ndarray[Any, Any]) -> None:
    sys.stdout.buffer.write(np.clip(mono, -1, 1).astype(SAMPLE).tobytes())
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
