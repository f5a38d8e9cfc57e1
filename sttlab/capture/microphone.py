"""Microphones, through PortAudio."""

from __future__ import annotations

import atexit
import contextlib
import logging
import queue
import sys
import threading
import time
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sttlab.audio import SAMPLE_RATE, Downmix
from sttlab.capture.base import Block
from sttlab.errors import DeviceUnavailable, MissingExtra
from sttlab.events import DeviceLost, DeviceRestored, DeviceSilent, Event

log = logging.getLogger(__name__)

QUEUE_S = 5.0  # audio buffered for a reader that is late; then the oldest is dropped and counted
BLOCK_S = 0.02
HEARTBEAT_S = 1.0  # longest time without audio, after which the device counts as lost
FIRST_BLOCK_S = 5.0  # the same before the first audio; PulseAudio and Bluetooth take two seconds
SILENT_S = 1.0  # length of zeros after opening that makes a device count as silent
FIRST_RETRY_S, LONGEST_RETRY_S = 0.25, 8.0  # pauses before a reopen: exponential backoff
CLOSE_S = 2.0  # longest wait for a device to close; a lost device may never answer

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

_portaudio = threading.RLock()  # guards PortAudio's start and end, which are global to the process
_open_streams = 0  # guarded by `_portaudio`; devices can be listed anew only while it is 0


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
    """List the microphones. While none is open, the list has those plugged in since, too.

    Raises
    ------
    DeviceUnavailable
        If PortAudio is missing or doesn't answer.
    """
    sd = _sounddevice()
    try:
        with _portaudio:
            if not _open_streams:  # PortAudio looks for devices only when it starts
                if sd._initialized:
                    sd._terminate()
                sd._initialize()
            devices, apis = sd.query_devices(), sd.query_hostapis()
            default = _default_index(sd)
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


def _default_index(sd: Any) -> int:
    try:
        return int(sd.query_devices(kind="input")["index"])
    except (sd.PortAudioError, ValueError):  # no default, or a wrong one in `sounddevice.default`
        return -1


def find_device(device: int | str | None, devices: list[DeviceInfo]) -> DeviceInfo:
    """Find a microphone by its index, its name or a part of its name; None is the default.

    Raises
    ------
    DeviceUnavailable
        If no microphone matches, or several do.
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
    """An open PortAudio stream. Its callback only copies, queues and counts."""

    def __init__(self, device: DeviceInfo, channel: int | None, clock: Callable[[], float]) -> None:
        global _open_streams
        sd = _sounddevice()
        self._device = device
        self._clock = clock
        self.finished = False
        self.last_audio_at = clock()
        # Blocks with their positions; None marks the end. When the queue is full, the oldest block
        # is dropped, and the reader sees a gap between positions.
        self._blocks: queue.Queue[tuple[int, NDArray[np.float32]] | None]
        self._blocks = queue.Queue(round(QUEUE_S / BLOCK_S))
        self._position = 0  # of the callback's next block, lost samples included
        self._due: float | None = None  # device time at which the callback's next block begins
        self._expected = 0  # position of the reader's next block if nothing is lost
        self._waited_s = 0.0
        self._closing = threading.Lock()  # the first to close takes it, and never releases it
        try:
            with _portaudio:
                self.rate, channels = _settings(sd, device, channel)
                self._stream = sd.InputStream(
                    device=device.index,
                    samplerate=self.rate,
                    channels=channels,
                    dtype="float32",
                    blocksize=round(self.rate * BLOCK_S),
                    callback=self._callback,
                    finished_callback=self._finished,
                )
                _open_streams += 1
            self._mixer = Downmix(channels, self.rate, channel)
        except sd.PortAudioError as error:
            raise _refused(device, error) from error

    def start(self) -> None:
        """Start capture. Closes the stream and raises DeviceUnavailable if the device refuses."""
        try:
            self._stream.start()
        except _sounddevice().PortAudioError as error:
            self.close()
            raise _refused(self._device, error) from error

    # -- on PortAudio's thread ----------------------------------------------------------------

    def _callback(self, data: NDArray[np.float32], frames: int, when: Any, status: Any) -> None:
        now = self._clock()
        if status.input_overflow:
            # The device's clock says how much is missing, but no more than the time that passed.
            ahead_s = when.inputBufferAdcTime - self._due if self._due is not None else 0.0
            missing = round(min(ahead_s, now - self.last_audio_at) * self.rate)
            self._position += max(missing, frames)
        self._due = when.inputBufferAdcTime + frames / self.rate
        self.last_audio_at = now
        self._put((self._position, data.copy()))
        self._position += frames

    def _put(self, item: tuple[int, NDArray[np.float32]] | None) -> None:
        while True:
            try:
                self._blocks.put_nowait(item)
                return
            except queue.Full:
                with contextlib.suppress(queue.Empty):
                    self._blocks.get_nowait()

    def _finished(self) -> None:
        self.finished = True

    # -- on the reader's thread ---------------------------------------------------------------

    def read(self, timeout_s: float) -> tuple[NDArray[np.float32], int] | None:
        """Return the next block, mono at `rate`, and how many samples are missing before it."""
        try:
            item = self._blocks.get(timeout=max(timeout_s, 0.001))
        except queue.Empty:
            self._waited_s += timeout_s
            return None
        if item is None:
            return None
        self._waited_s = 0.0
        position, data = item
        lost = position - self._expected
        self._expected = position + len(data)
        mono = self._mixer.mix(np.nan_to_num(data, posinf=0.0, neginf=0.0))
        return mono.astype(np.float32, copy=False), lost

    @property
    def cancels(self) -> bool:
        """Whether the channels have opposite phase, so that only one of them is used."""
        return self._mixer.cancels

    @property
    def is_lost(self) -> bool:
        """Whether the device has disappeared.

        That is judged by the time that `read` has waited and not by the clock, since Python may
        hold up both threads.
        """
        patience_s = HEARTBEAT_S if self._expected else FIRST_BLOCK_S
        return self.finished or self._waited_s > patience_s

    # -- on any thread ------------------------------------------------------------------------

    def close(self) -> None:
        """Close on a thread of its own, since a lost device may never answer."""
        if not self._closing.acquire(blocking=False):
            return
        self._put(None)
        closing = threading.Thread(target=self._close, name="sttlab-close", daemon=True)
        try:
            closing.start()
        except RuntimeError:  # the interpreter is shutting down, and starts no more threads
            self._close()
            return
        closing.join(CLOSE_S)
        if closing.is_alive():
            log.warning("%s did not answer when it was closed", self._device.name)
            atexit.unregister(_sounddevice()._exit_handler)  # it would hang in the same way

    def _close(self) -> None:
        global _open_streams
        try:
            self._stream.abort(ignore_errors=True)
            self._stream.close(ignore_errors=True)
        finally:
            with _portaudio:
                _open_streams -= 1


def _settings(sd: Any, device: DeviceInfo, channel: int | None) -> tuple[int, int]:
    """Choose the sample rate, 16 kHz if the device supports it, and the number of channels.

    A stereo device is opened in stereo: the system's own downmix would cancel channels of opposite
    phase.
    """
    if channel is not None and not 1 <= channel <= device.channels:
        raise DeviceUnavailable(f"{device.name} has no channel {channel}; it has {device.channels}")
    for channels in (max(min(2, device.channels), channel or 1), 1):
        try:
            sd.check_input_settings(
                device=device.index, samplerate=SAMPLE_RATE, channels=channels, dtype="float32"
            )
        except (sd.PortAudioError, ValueError):
            continue
        if channels >= (channel or 1):
            return SAMPLE_RATE, channels
    return device.default_rate, device.channels


def _refused(device: DeviceInfo, error: Exception) -> DeviceUnavailable:
    return DeviceUnavailable(
        f"{device.name} could not be opened ({error}): close other programs that use it; "
        f"{_remedy(NOT_ALLOWED)}"
    )


class Microphone:
    """A microphone, opened at 16 kHz if it supports that, else at its own rate and resampled.

    If the device disappears, the microphone looks for it by its name, with exponential backoff,
    until it is back. The time in between counts as lost samples.

    Parameters
    ----------
    device : int, str or None
        Index, name or part of the name; None is the system's default.
    channel : int, optional
        The only channel to use, counted from 1. By default `audio.Downmix` mixes all channels.
    clock : callable
        Wall time in seconds, for retries and for the length of a loss.
    """

    def __init__(
        self,
        device: int | str | None = None,
        *,
        channel: int | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.device = device
        self.channel = channel
        self._clock = clock
        self._stream: _Stream | None = None
        self._closed = threading.Event()
        self._closed.set()
        self._info: DeviceInfo | None = None

    @property
    def name(self) -> str:
        """Name of the device once it has been open; before, what it was asked for by."""
        if self._info:
            return self._info.name
        return "default microphone" if self.device is None else str(self.device)

    def open(self) -> None:
        """Open the device.

        Raises
        ------
        DeviceUnavailable
            If PortAudio or the device is missing, or the device can't be opened; the message says
            the remedy.
        """
        self.close()
        self._start(lambda devices: find_device(self.device, devices))
        self._lost = 0.0
        self._closed.clear()

    def _start(self, choose: Callable[[list[DeviceInfo]], DeviceInfo]) -> None:
        with _portaudio:  # until the stream is open, no other list of devices changes the index
            self._info = choose(list_devices())
            stream = _Stream(self._info, self.channel, self._clock)
        stream.start()
        self._stream = stream
        # A microphone that is garbage-collected while open must stop PortAudio's callbacks.
        self._close_stream = weakref.finalize(self, stream.close)
        self._resampler = None
        if stream.rate != SAMPLE_RATE:
            import soxr

            self._resampler = soxr.ResampleStream(stream.rate, SAMPLE_RATE, 1, "float32")
        self._checked_samples = 0  # since opening, up to SILENT_S
        self._silent = True
        self._cancels = False  # whether the warning about opposite phase was logged

    def read(self, timeout_s: float) -> Block | None:
        """Wait for the next block; see `AudioSource.read`."""
        stream = self._stream
        if self._closed.is_set():
            return None
        if stream is None:
            return self._reopen(timeout_s)
        block = stream.read(min(timeout_s, HEARTBEAT_S))
        if self._closed.is_set():
            return None
        if block is None:
            return self._lose(stream) if stream.is_lost else Block(np.empty(0, np.float32))
        samples, lost = block
        if stream.cancels and not self._cancels:
            self._cancels = True
            log.warning("the channels of %s cancel each other out: one is taken", self.name)
        self._lost += lost * SAMPLE_RATE / stream.rate
        if self._resampler is not None:
            samples = self._resampler.resample_chunk(samples)
        whole = int(self._lost)
        self._lost -= whole
        return Block(samples, lost_samples=whole, events=self._check_silence(samples))

    def _check_silence(self, samples: NDArray[np.float32]) -> tuple[Event, ...]:
        if self._checked_samples >= SILENT_S * SAMPLE_RATE:
            return ()
        self._checked_samples += len(samples)
        self._silent = self._silent and not samples.any()
        if not self._silent or self._checked_samples < SILENT_S * SAMPLE_RATE:
            return ()
        message = f"{self.name} gives nothing but zeros: {_remedy(NOT_ALLOWED)}"
        return (DeviceSilent(device=self.name, message=message),)

    def _lose(self, stream: _Stream) -> Block:
        self._lost_since = stream.last_audio_at
        self._close_stream()
        self._stream = None
        if self._resampler is not None:  # its delayed samples are lost with the device
            self._lost += len(self._resampler.resample_chunk(np.empty(0, np.float32), last=True))
        self._pause_s = FIRST_RETRY_S
        self._retry_at = self._clock() + self._pause_s
        message = f"{self.name} is gone: plug it in again, and it is used as soon as it is back"
        log.warning(message)
        return Block(
            np.empty(0, np.float32), events=(DeviceLost(device=self.name, message=message),)
        )

    def _reopen(self, timeout_s: float) -> Block:
        nothing = Block(np.empty(0, np.float32))
        wait_s = self._retry_at - self._clock()
        if wait_s > 0:
            self._closed.wait(min(wait_s, timeout_s))
            return nothing
        try:
            self._start(self._find_lost)
        except DeviceUnavailable as error:
            log.debug("%s", error)
            self._pause_s = min(2 * self._pause_s, LONGEST_RETRY_S)
            self._retry_at = self._clock() + self._pause_s
            return nothing
        if self._closed.is_set():  # another thread has closed it while it opened
            self.close()
            return nothing
        self._lost += (self._clock() - self._lost_since) * SAMPLE_RATE
        return Block(np.empty(0, np.float32), events=(DeviceRestored(device=self.name),))

    def _find_lost(self, devices: list[DeviceInfo]) -> DeviceInfo:
        assert self._info is not None
        wanted = self._info.name, self._info.host_api
        for device in devices:
            if (device.name, device.host_api) == wanted:
                return device
        raise DeviceUnavailable(f"{self.name} is not back")

    def close(self) -> None:
        """Close the device. Blocks for `CLOSE_S` at most, even if the device is lost."""
        self._closed.set()
        stream, self._stream = self._stream, None
        if stream is not None:
            self._close_stream()
