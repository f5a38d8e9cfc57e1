"""Utterances to text."""

from sttlab.config import TranscribeConfig
from sttlab.transcribe.base import Transcriber


def make_transcriber(config: TranscribeConfig) -> Transcriber:
    """Make the engine that a config asks for; it loads its model later."""
    if config.engine == "faster-whisper":
        from sttlab.transcribe.faster import FasterTranscriber

        return FasterTranscriber(config)
    from sttlab.transcribe.whisper import WhisperTranscriber

    return WhisperTranscriber(config)
