"""What a client may choose from: microphones, models, languages."""

from __future__ import annotations

from dataclasses import dataclass

from sttlab.capture.microphone import DeviceInfo, list_devices
from sttlab.engines import weights
from sttlab.engines.languages import LANGUAGES
from sttlab.errors import SttlabError


@dataclass(frozen=True, kw_only=True)
class Devices:
    """The server's microphones; `problem` says why none can be listed."""

    devices: list[DeviceInfo]
    problem: str | None


@dataclass(frozen=True, kw_only=True)
class Model:
    """A model that is installed."""

    name: str
    size_bytes: int
    origin: str


@dataclass(frozen=True, kw_only=True)
class Models:
    """The installed models, and the languages of the multilingual ones: names by code."""

    models: list[Model]
    languages: dict[str, str]


def find_devices() -> Devices:
    """List the microphones. Blocks while PortAudio looks for them."""
    try:
        return Devices(devices=list_devices(), problem=None)
    except SttlabError as error:
        return Devices(devices=[], problem=str(error))


def find_models() -> Models:
    """List models and languages. Blocks while it reads the disk."""
    found = [
        Model(name=m.name, size_bytes=m.size_bytes, origin=m.origin) for m in weights.list_models()
    ]
    return Models(models=found, languages=LANGUAGES)
