"""Utterances to text."""

from sttlab.config import TranscribeConfig
from sttlab.transcribe.base import Transcriber


def make_transcriber(config: TranscribeConfig) -> Transcriber:
    """Make the engine a config asks for; it loads later."""
    raise NotImplementedError
