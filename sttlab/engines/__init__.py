"""Utterances to text."""

from sttlab.config import TranscribeConfig
from sttlab.engines.base import Engine


def make_engine(config: TranscribeConfig) -> Engine:
    """Make the engine that a config asks for; it loads its model later."""
    if config.engine == "faster-whisper":
        from sttlab.engines.faster import FasterWhisperEngine

        return FasterWhisperEngine(config)
    from sttlab.engines.whisper import WhisperEngine

    return WhisperEngine(config)
