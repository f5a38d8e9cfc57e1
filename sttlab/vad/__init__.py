"""Whether a frame is speech."""

from sttlab.config import VadConfig
from sttlab.vad.base import VoiceDetector


def make_detector(config: VadConfig) -> VoiceDetector:
    """Make the detector that `config` names, for one stream.

    Raises
    ------
    MissingExtra
        If its packages are not installed.
    """
    if config.detector == "silero":
        from sttlab.vad.silero import SileroVad

        return SileroVad(config)
    from sttlab.vad.energy import EnergyVad

    return EnergyVad(config)


def require_detector(config: VadConfig) -> None:
    """Raise what `make_detector` would if packages are missing, without loading anything."""
    if config.detector == "silero":
        from sttlab.vad.silero import model_path

        model_path()
