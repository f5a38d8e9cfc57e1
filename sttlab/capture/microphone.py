"""Microphones, through PortAudio."""

from __future__ import annotations

import contextlib
import logging
import queue
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sttlab.audio import SAMPLE_RATE
from sttlab.capture.base import Block
from sttlab.errors import DeviceUnavailable, MissingExtra
from sttlab.events import DeviceLost, DeviceRestored, DeviceSilent, Event

log = logging.getLogger(__name__)

QUEUE_S = 5.0  # held for a reader that is late; then the oldest goes, and is counted
BLOCK_S = 0.02
HEARTBEAT_S = 1.0  # a device that gives nothing for so long is gone
FIRST_BLOCK_S = 5.0  # but to begin with, PulseAudio takes two seconds, and Bluetooth as long
SILENT_S = 1.0  # of nothing but zeros, after opening
FIRST_RETRY_S, LONGEST_RETRY_S = 0.25, 8.0
CLOSE_S = 2.0  # a device that is gone may never answer

_REINSTALL = "reinstall sounddevice, whose wheel has it: pip install --force-reinstall sounddevice"
NO_PORTAUDIO = {
    "linux": "install it, on Debian and Ubuntu with: apt install libportaudio2",
    "darwin": _REINSTALL,
    "win32": _REINSTALL,
}
NO_DEVICE = {
    "linux": "plug one in, or check `pactl list short sources`",
    "darwin": "plug one in, or choose an input in System Settings > Sound",
    "win32": "plug one in, or enable one in Settings > System > Sound",
}
NOT_ALLOWED = {
    "linux": "check that it isn't muted (pavucontrol, alsamixer) and that this user may use it",
    "darwin": "allow the microphone for the program that runs Python (Terminal, VS Code) in System "
    "Settings > Privacy & Security > Microphone, then start that program again",
    "win32": "let desktop apps use it in Settings > Privacy & security > Microphone, and check "
    "that it isn't muted",
}

_portaudio = threading.Lock()  # PortAudio's start and end are global to the process
_open_streams = 0  # guarded by it: a new list of devices needs all streams closed


def _remedy(remedies: dict[str, str]) -> str:
    return remedies.get(sys.platform, remedies["linux"])


@dataclass(frozen=True, kw_only=True)
class DeviceInfo:
    """A microphone as PortAudio describes it; `default_rate` in Hz."""

    index: int
    name: str
    host_api: str
    channels: int
    default_rate: int
    is_default: bool


def _sounddevice() -> Any:
    try:
        import sounddevice
    except ImportError as error:
        raise MissingExtra("sounddevice", "mic") from error
    except OSError as error:
        raise DeviceUnavailable(f"PortAudio is missing: {_remedy(NO_PORTAUDIO)}") from error
    return sounddevice


def list_devices() -> list[DeviceInfo]:
    """List the microphones; those plugged in meanwhile too, unless one is open.

    Raises
    ------
    DeviceUnavailable
        If PortAudio is missing or doesn't answer.
    """
    sd = _sounddevice()
    try:
        with _portaudio:
            if not _open_streams:
                sd._terminate()
                sd._initialize()
            devices, apis = sd.query_devices(), sd.query_hostapis()
            default = sd.default.device[0]
            if default < 0 and apis:
                default = apis[0]["default_input_device"]
    except sd.PortAudioError as error:
        raise DeviceUnavailable(f"PortAudio does not answer: {error}") from error
    return [
        DeviceInfo(
            index=index,
            name=device["name"],
            host_api=apis[device["hostapi"]]["name"],
            channels=device["max_input_channels"],
            default_rate=int(device["default_samplerate"]),
            is_default=index == default,
        )
        for index, device in enumerate(devices)
        if device["max_input_channels"] > 0
    ]


def find_device(device: int | str | None, devices: list[DeviceInfo]) -> DeviceInfo:
    """Choose a microphone by index, by its name or a part of it; None is the default one.

    Raises
    ------
    DeviceUnavailable
        If there is none, or several have that in their name.
    """
    if not devices:
        raise DeviceUnavailable(f"there is no microphone: {_remedy(NO_DEVICE)}")
    names = "; ".join(f"{d.index}: {d.name} ({d.host_api})" for d in devices)
    if device is None:
        return next((d for d in devices if d.is_default), devices[0])
    if isinstance(device, int):
        found = [d for d in devices if d.index == device]
    else:
        found = [d for d in devices if d.name == device] or [
            d for d in devices if device.casefold() in d.name.casefold()
        ]
    if not found:
        raise DeviceUnavailable(f"there is no microphone {device!r}; there are {names}")
    default = [d for d in found if d.is_default]
    if len({d.name for d in found}) > 1 and not default:
        raise DeviceUnavailable(f"several microphones are called {device!r}; there are {names}")
    return (default or found)[0]


class _Stream:
    """One open PortAudio stream. Its callback copies, queues and counts, and no more."""

    def __init__(self, device: DeviceInfo, clock: Callable[[], float]) -> None:
        global _open_streams
        sd = _sounddevice()
        self._clock = clock
        self.finished = False
        self.patience_s = FIRST_BLOCK_S
        self.heard_at = clock()
        self.rate, self._channels = self._settings(sd, device)
        frames = round(self.rate * BLOCK_S)
        self.blocks: queue.Queue[tuple[NDArray[np.float32], int]] = queue.Queue(
            round(QUEUE_S / BLOCK_S)  # drops the oldest and counts it
        )
        self.dropped = 0  # samples, in all; written by the callback only
        self._lost = 0
        self._due: float | None = None
        try:
            with _portaudio:
                self._stream = sd.InputStream(
                    device=device.index,
                    samplerate=self.rate,
                    channels=self._channels,
                    dtype="float32",
                    blocksize=frames,
                    callback=self._callback,
                    finished_callback=self._finished,
                )
                _open_streams += 1
        except sd.PortAudioError as error:
            raise _refused(device, error) from error
        try:
            self._stream.start()
        except sd.PortAudioError as error:
            self.close()
            raise _refused(device, error) from error

    def _settings(self, sd: Any, device: DeviceInfo) -> tuple[int, int]:
        try:
            sd.check_input_settings(
                device=device.index, samplerate=SAMPLE_RATE, channels=1, dtype="float32"
            )
        except (sd.PortAudioError, ValueError):
            return device.default_rate, device.channels
        return SAMPLE_RATE, 1

    def _callback(self, data: NDArray[np.float32], frames: int, when: Any, status: Any) -> None:
        if status.input_overflow:
            # How much is missing, by the device's own clock; a block at least.
            ahead = when.inputBufferAdcTime - self._due if self._due is not None else 0.0
            self._lost += max(round(ahead * self.rate), frames)
        self._due = when.inputBufferAdcTime + frames / self.rate
        self.heard_at = self._clock()
        self.patience_s = HEARTBEAT_S
        item = data.copy(), self._lost
        self._lost = 0
        try:
            self.blocks.put_nowait(item)
        except queue.Full:
            with contextlib.suppress(queue.Empty):
                oldest, lost = self.blocks.get_nowait()
                self.dropped += lost + len(oldest)
            self.blocks.put_nowait(item)

    def _finished(self) -> None:
        self.finished = True

    def close(self) -> None:
        """Close in a thread of its own: a device that is gone may never answer."""
        closing = threading.Thread(target=self._close, name="sttlab-close", daemon=True)
        closing.start()
        closing.join(CLOSE_S)
        if closing.is_alive():
            log.warning("a microphone did not answer when it was closed")

    def _close(self) -> None:
        global _open_streams
        try:
            self._stream.abort(ignore_errors=True)
            self._stream.close(ignore_errors=True)
        finally:
            with _portaudio:
                _open_streams -= 1


def _refused(device: DeviceInfo, error: Exception) -> DeviceUnavailable:
    return DeviceUnavailable(
        f"{device.name} could not be opened ({error}): close other programs that use it; "
        f"{_remedy(NOT_ALLOWED)}"
    )


class Microphone:
    """A microphone, opened at 16 kHz if it can be, else at its own rate and resampled.

    When it vanishes it is looked for by its name, in growing pauses, until it is back; the time
    away counts as lost samples.

    Parameters
    ----------
    device : int, str or None
        Index, name or part of the name; None is the system's default.
    clock : callable
        Wall time in seconds, to notice that the device has vanished.
    """

    def __init__(
        self, device: int | str | None = None, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.device = device
        self._clock = clock
        self._stream: _Stream | None = None
        self._closed = threading.Event()
        self._closed.set()
        self._info: DeviceInfo | None = None

    @property
    def name(self) -> str:
        """The device's name, once it has been open."""
        if self._info:
            return self._info.name
        return "default microphone" if self.device is None else str(self.device)

    def open(self) -> None:
        """Open the device.

        Raises
        ------
        DeviceUnavailable
            If there is no PortAudio or no such device, or it refuses, with the remedy.
        """
        self.close()
        self._closed.clear()
        self._info = find_device(self.device, list_devices())
        self._start(self._info)
        self._heard = 0  # samples since opening, until SILENT_S has been judged
        self._silent = True
        self._lost = 0.0

    def _start(self, info: DeviceInfo) -> None:
        self._stream = _Stream(info, self._clock)
        self._dropped = 0  # of the stream's, those accounted for
        self._resampler = None
        if self._stream.rate != SAMPLE_RATE:
            import soxr

            self._resampler = soxr.ResampleStream(self._stream.rate, SAMPLE_RATE, 1, "float32")

    def read(self, timeout_s: float) -> Block | None:
        """Wait for the next block; see `AudioSource.read`."""
        if self._closed.is_set():
            return None
        if self._stream is None:
            return self._look_again(timeout_s)
        try:
            data, lost = self._stream.blocks.get(timeout=max(timeout_s, 0.001))
        except queue.Empty:
            silent_s = self._clock() - self._stream.heard_at
            if self._stream.finished or silent_s > self._stream.patience_s:
                return self._vanished()
            return Block(np.empty(0, np.float32))
        samples = data[:, 0] if data.shape[1] == 1 else data.mean(axis=1)
        dropped = self._stream.dropped
        lost += dropped - self._dropped  # what was dropped was older than this block
        self._dropped = dropped
        self._lost += lost * SAMPLE_RATE / self._stream.rate
        if self._resampler is not None:
            samples = self._resampler.resample_chunk(samples)
        whole = int(self._lost)
        self._lost -= whole
        return Block(samples, lost_samples=whole, events=self._judge_silence(samples))

    def _judge_silence(self, samples: NDArray[np.float32]) -> tuple[Event, ...]:
        if self._heard >= SILENT_S * SAMPLE_RATE:
            return ()
        self._heard += len(samples)
        self._silent = self._silent and not samples.any()
        if not self._silent or self._heard < SILENT_S * SAMPLE_RATE:
            return ()
        message = f"{self.name} gives nothing but zeros: {_remedy(NOT_ALLOWED)}"
        return (DeviceSilent(device=self.name, message=message),)

    def _vanished(self) -> Block:
        assert self._stream is not None
        self._away_since = self._stream.heard_at
        self._stream.close()
        self._stream = None
        self._pause_s = FIRST_RETRY_S
        self._retry_at = self._clock() + self._pause_s
        message = f"{self.name} is gone: plug it in again, and it is used as soon as it is back"
        log.warning(message)
        return Block(
            np.empty(0, np.float32), events=(DeviceLost(device=self.name, message=message),)
        )

    def _look_again(self, timeout_s: float) -> Block:
        nothing = Block(np.empty(0, np.float32))
        wait_s = self._retry_at - self._clock()
        if wait_s > 0:
            self._closed.wait(min(wait_s, timeout_s))
            return nothing
        assert self._info is not None
        try:
            same = [
                d
                for d in list_devices()
                if (d.name, d.host_api) == (self._info.name, self._info.host_api)
            ]
            if not same:
                raise DeviceUnavailable(f"{self.name} is not back")
            self._start(same[0])
        except DeviceUnavailable as error:
            log.debug("%s", error)
            self._pause_s = min(2 * self._pause_s, LONGEST_RETRY_S)
            self._retry_at = self._clock() + self._pause_s
            return nothing
        self._lost += (self._clock() - self._away_since) * SAMPLE_RATE
        return Block(np.empty(0, np.float32), events=(DeviceRestored(device=self.name),))

    def close(self) -> None:
        """Close the device. Never hangs, even if it is gone."""
        self._closed.set()
        if self._stream is not None:
            self._stream.close()
            self._stream = None
