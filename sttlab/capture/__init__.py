"""Sources of audio: microphones, files, and audio that other threads push."""

from sttlab.capture.base import AudioSource, Block
from sttlab.capture.microphone import DeviceInfo, Microphone, list_devices
from sttlab.capture.push import PushSource
from sttlab.capture.record import record
from sttlab.capture.replay import FileSource

__all__ = [
    "AudioSource",
    "Block",
    "DeviceInfo",
    "FileSource",
    "Microphone",
    "PushSource",
    "list_devices",
    "record",
]
