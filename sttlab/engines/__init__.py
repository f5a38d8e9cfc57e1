"""Utterances to text."""

from sttlab.config import TranscribeConfig
from sttlab.engines.base import Transcriber


def make_transcriber(config: TranscribeConfig) -> Transcriber:
    """Make the engine that a config asks for; it loads its model later."""
    if config.engine == "faster-whisper":
        from sttlab.engines.faster import FasterTranscriber

        return FasterTranscriber(config)
    from sttlab.engines.whisper import WhisperTranscriber

    return WhisperTranscriber(config)
