"""`bench live`: a conversation with known ends of speech, in real time, through each system."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

import psutil

from sttlab.audio import SAMPLE_RATE, from_pcm16, to_pcm16
from sttlab.bench import files
from sttlab.bench.engines import UNCUT
from sttlab.bench.material import Clip, Stimulus
from sttlab.bench.process import Child
from sttlab.bench.score import Said, Shown
from sttlab.bench.systems import BLOCK_SAMPLES, NAIVE_TIMEOUT_S
from sttlab.config import Config
from sttlab.errors import ConfigError, ServerError

FINISH_S = 90.0  # longest wait for a system's next final after the end of the stimulus
CLIP_MARGIN_S = 0.3  # room noise before and after an utterance that is transcribed on its own
Progress = Callable[[str, float], None]
"""Called with a label and the share that is done, 0..1."""


class System(NamedTuple):
    """A program under test.

    Attributes
    ----------
    command : tuple of str
        Arguments of `python`, to which the settings are added as JSON. `systems` describes input
        and output.
    engine : str
        The engine of `engines.ENGINES` with the same weights, for `offline`.
    timeout_s : float, optional
        Its silence timeout. By default that of the settings.
    python : str
        The interpreter, by default this one. A system whose packages can't be installed beside
        sttlab's has one in an environment of its own.
    """

    command: tuple[str, ...]
    engine: str
    timeout_s: float | None = None
    python: str = sys.executable


_OURS = System(("-m", "sttlab.bench.systems", "sttlab"), UNCUT)
SYSTEMS = {
    "sttlab": _OURS,
    "sttlab+partials": _OURS,
    "naive": System(("-m", "sttlab.bench.systems", "naive"), "openai-whisper", NAIVE_TIMEOUT_S),
}


@dataclass(frozen=True, kw_only=True)
class Run:
    """One system's answer to a stimulus.

    Attributes
    ----------
    system : str
    timeout_s : float
        Its silence timeout.
    said : tuple of Said
    suppressed : tuple of dict
        Texts that it suppressed, with the reasons, if it reports them.
    ready_s : float
        Wall time from its start until it was ready for audio.
    cpu_per_audio_s : float
        CPU seconds per second of the conversation, without the noise after it.
    others_cores : float
        Cores that other programs on the machine used during the run.
    peak_mb : float
        Peak of resident memory in 10^6 bytes.
    fed_late_s : float
        Greatest delay with which a block was written to the system. The benchmark itself may cause
        this much of a measured delay.
    """

    system: str
    timeout_s: float
    said: tuple[Said, ...]
    suppressed: tuple[dict[str, Any], ...]
    ready_s: float
    cpu_per_audio_s: float
    others_cores: float
    peak_mb: float
    fed_late_s: float


def find(system: str) -> System:
    """Return a system by its name.

    Raises
    ------
    ConfigError
        If it is not one of `SYSTEMS`.
    """
    if system not in SYSTEMS:
        raise ConfigError(f"unknown system {system!r}; known are {', '.join(SYSTEMS)}")
    return SYSTEMS[system]


def run(system: str, stimulus: Stimulus, config: Config, threads: int, progress: Progress) -> Run:
    """Play `stimulus` to a system in real time. Blocks for a little longer than it lasts.

    Raises
    ------
    ConfigError
        If the system is not one of `SYSTEMS`.
    ServerError
        If the system does not start, does not answer in time, or fails.
    """
    under_test = find(system)
    partials = system == "sttlab+partials"
    options = json.dumps(asdict(config) | {"partials": partials})
    progress(f"{system}: starting", 0)
    started = time.monotonic()
    with Child([*under_test.command, options], threads, under_test.python) as child:
        first = child.line(files.READY_S)
        if first is None:
            raise ServerError(f"{system} ended before it was ready")
        ready_s = time.monotonic() - started
        clients = [_Client(first[1]["ws_url"])] if under_test is _OURS else []
        clients += [_Client(first[1]["ws_url"] + "?events=all")] if partials else []
        busy = _busy_s()
        zero = time.monotonic() + BLOCK_SAMPLES / SAMPLE_RATE
        late_s = _feed(child, stimulus, zero, lambda done: progress(system, done))
        busy = _busy_s() - busy
        child.stdin.close()
        lines = []
        while (line := child.line(FINISH_S)) is not None:
            lines.append(line)
            if "failed" in line[1]:
                raise ServerError(f"{system} failed on an utterance: {line[1]['failed']}")
        received = [client.close() for client in clients]
        busy -= child.meter.cpu_between_s(zero, zero + stimulus.duration_s)
        return Run(
            system=system,
            timeout_s=under_test.timeout_s or config.vad.silence_timeout_s,
            said=_said(lines, received, zero),
            suppressed=tuple(fields for _, fields in lines if "suppressed" in fields),
            ready_s=ready_s,
            cpu_per_audio_s=child.meter.cpu_between_s(zero, zero + stimulus.speech_s)
            / stimulus.speech_s,
            others_cores=max(0.0, busy) / stimulus.duration_s,
            peak_mb=child.meter.peak_bytes / 1e6,
            fed_late_s=late_s,
        )


def _feed(
    child: Child, stimulus: Stimulus, zero: float, progress: Callable[[float], None]
) -> float:
    """Write each block when its last sample is due; return the worst delay in seconds."""
    pcm = to_pcm16(stimulus.samples).astype("<i2")
    worst_s = 0.0
    for begin in range(0, len(pcm), BLOCK_SAMPLES):
        block = pcm[begin : begin + BLOCK_SAMPLES]
        due = zero + (begin + len(block)) / SAMPLE_RATE
        time.sleep(max(0.0, due - time.monotonic()))
        try:
            child.stdin.write(block.tobytes())
            child.stdin.flush()
        except OSError:
            child.line(FINISH_S)  # raises with the system's own reason, if it wrote one
            raise ServerError("the system stopped reading audio before the end") from None
        worst_s = max(worst_s, time.monotonic() - due)
        if begin % SAMPLE_RATE == 0:
            progress(begin / len(pcm))
    return worst_s


def _busy_s() -> float:
    """Return the CPU seconds of all programs but this one since the machine started."""
    times, own = psutil.cpu_times(), psutil.Process().cpu_times()
    return float(times.user + times.system - own.user - own.system)


class _Client:
    """A real client of `/ws` that stores its messages with the times of receipt."""

    def __init__(self, url: str) -> None:
        from websockets.sync.client import connect

        self._socket = connect(url, open_timeout=20)
        self._messages: list[tuple[float, dict[str, Any]]] = []
        self._thread = threading.Thread(target=self._read, name="bench-client", daemon=True)
        self._thread.start()

    def _read(self) -> None:
        from websockets.exceptions import ConnectionClosed

        try:
            while True:
                message = self._socket.recv()
                self._messages.append((time.monotonic(), json.loads(message)))
        except ConnectionClosed:
            return

    def close(self) -> list[tuple[float, dict[str, Any]]]:
        """Disconnect, and return what was received."""
        self._socket.close()
        self._thread.join(10)
        return self._messages


@dataclass
class _Partials:
    """Collects partials by utterance, from the messages of `/ws?events=all`."""

    by_utterance: dict[int, list[Shown]] = field(default_factory=dict)

    def take(self, at_s: float, message: dict[str, Any]) -> None:
        if message.get("event") == "partial":
            shown = Shown(at_s=at_s, text=message["text"], stable=message.get("stable", ""))
            self.by_utterance.setdefault(message["utterance_id"], []).append(shown)


def _said(
    lines: list[tuple[float, dict[str, Any]]],
    received: list[list[tuple[float, dict[str, Any]]]],
    zero: float,
) -> tuple[Said, ...]:
    """Join the position of each final in the stream with the time when the client received it.

    The position is in the system's own lines, the time that of the plain client's messages, which
    have the same order.
    """
    finals = [(at, fields) for at, fields in lines if "text" in fields]
    partials = _Partials()
    if received:
        plain = [(at, m) for at, m in received[0] if m.get("event") == "transcript"]
        if [m["text"] for _, m in plain] != [fields["text"] for _, fields in finals]:
            raise ServerError(
                f"the client received {len(plain)} transcripts, the session made {len(finals)}, "
                "and they are not the same"
            )
        finals = [(at, fields) for (at, _), (_, fields) in zip(plain, finals, strict=True)]
        for at, fields in finals:
            fields["timings"]["send_s"] = at - fields["emitted_at"]
        for at, message in received[-1]:
            partials.take(at - zero, message)
    return tuple(
        Said(
            start_s=fields["start_s"],
            end_s=fields["end_s"],
            text=fields["text"],
            received_s=at - zero,
            partials=tuple(partials.by_utterance.get(fields.get("utterance_id", -1), ())),
            timings=fields.get("timings"),
        )
        for at, fields in finals
    )


def offline(stimulus: Stimulus, engine: str, config: Config, threads: int) -> Sequence[str]:
    """Transcribe each utterance of `stimulus` on its own, as the best that the weights can do.

    Parameters
    ----------
    engine : str
        One of `engines.ENGINES`.
    """
    margin = int(CLIP_MARGIN_S * SAMPLE_RATE)
    audio = from_pcm16(to_pcm16(stimulus.samples))
    clips = []
    for truth in stimulus.truths:
        begin, end = (int(s * SAMPLE_RATE) for s in (truth.start_s, truth.end_s))
        samples = audio[begin - margin : end + margin]
        clips.append(Clip(name=truth.name, samples=samples, text=truth.text))
    return files.run(engine, clips, config, threads).texts
