"""Whether a frame is speech: the detectors that there are, and what each uses of the settings.

A new detector needs one file and one line at the end of this one; the command line, the page,
`/ws` and the notebook's widgets then offer it.
"""

from __future__ import annotations

from dataclasses import Field, fields
from typing import Any

from sttlab.config import VadConfig
from sttlab.errors import ConfigError
from sttlab.vad.base import VoiceDetector
from sttlab.vad.energy import EnergyVad
from sttlab.vad.silero import SileroVad

DETECTORS: dict[str, type[VoiceDetector]] = {}
"""Every registered detector by its name, in the order in which people are offered them."""


def register(detector: type[VoiceDetector]) -> None:
    """Make a detector known, so that `VadConfig.detector` may name it.

    Raises
    ------
    ConfigError
        If its name is taken, or a field that it uses is not one of `VadConfig`.
    """
    if DETECTORS.get(detector.name, detector) is not detector:
        raise ConfigError(f"there is a detector {detector.name!r} already: choose another name")
    known = {f.name for f in fields(VadConfig)} - {"detector"}
    for name in detector.fields:
        if name not in known:
            raise ConfigError(f"the detector {detector.name} uses {name!r}, not a field it may")
    DETECTORS[detector.name] = detector


def make_detector(config: VadConfig) -> VoiceDetector:
    """Make the detector that `config` names, for one stream.

    Raises
    ------
    MissingExtra
        If its packages are not installed.
    """
    return DETECTORS[config.detector](config)


def require_detector(config: VadConfig) -> None:
    """Raise what `make_detector` would if packages are missing, without loading anything."""
    DETECTORS[config.detector].require()


def detectors_using(name: str) -> tuple[str, ...]:
    """Name the detectors with which a field of `VadConfig` matters.

    A field that no detector uses is the endpointer's, and matters with all of them.
    """
    using = tuple(d.name for d in DETECTORS.values() if name in d.fields)
    return using or tuple(DETECTORS)


def deciding_fields(config: VadConfig) -> set[str]:
    """Name the fields of `config` that decide something: the others could be anything."""
    return {
        f.name
        for f in fields(config)
        if config.detector in detectors_using(f.name) and not _is_overruled(f, config)
    }


def _is_overruled(field: Field[Any], config: VadConfig) -> bool:
    """Whether a field counts only while another one is unset, and that one is set."""
    other = field.metadata.get("unless")
    return other is not None and getattr(config, other) is not None


register(EnergyVad)
register(SileroVad)
