"""Who speaks when in a recording, as labels."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from sttlab.audio import Recording
from sttlab.config import SpeakerConfig, VadConfig
from sttlab.core import segment
from sttlab.decoding import as_recording
from sttlab.evaluate.labels import Labels, Turn
from sttlab.speakers import EMBEDDERS
from sttlab.speakers.offline import check_count, turns_of
from sttlab.speakers.overlap import hear_together
from sttlab.speakers.pieces import Piece, VoiceFinder


def diarize(
    audio: str | Path | Recording,
    num_speakers: int | None = None,
    *,
    vad: VadConfig | None = None,
    config: SpeakerConfig | None = None,
    progress: Callable[[float, float], None] | None = None,
) -> Labels:
    """Find who speaks when in a recording, also at once. Blocks: a minute takes 8 s on one core.

    Parameters
    ----------
    audio : path or Recording
    num_speakers : int, optional
        How many people speak, if it is known. By default `config` decides.
    vad : VadConfig, optional
        Where utterances begin and end. In each, speakers are told apart; who speaks while somebody
        else does, or unheard by the VAD, is added.
    config : SpeakerConfig, optional
    progress : callable, optional
        Called now and then with the seconds done and the seconds in all.

    Returns
    -------
    Labels
        A turn for each stretch of speech, by "Speaker 1", "Speaker 2", ... in order of appearance.
        `score_speakers` compares them, `Labels.save` writes them, `transcribe` takes them.

    Raises
    ------
    ConfigError
        If a setting is not valid.
    SourceError
        If the file can't be decoded.
    MissingExtra
        If the extra `speakers` is not installed.
    ModelError
        If the weights are not what they should be.

    Examples
    --------
    >>> diarize("meeting.flac").save("meeting.rttm")  # doctest: +SKIP
    """
    check_count(num_speakers)
    config = config or SpeakerConfig()
    embedder = EMBEDDERS[config.embedder]()
    recording = as_recording(audio)
    duration_s = recording.duration_s

    def tell(done_s: float) -> None:
        if progress:
            progress(done_s / 2, duration_s)

    finder = VoiceFinder(embedder, config.change)
    pieces: list[Piece] = []
    for utterance in segment(recording, vad):
        pieces += finder.find(utterance)
        tell(utterance.end_s)
    together = hear_together(recording.samples, embedder, lambda end_s: tell(duration_s + end_s))
    return Labels(
        Turn(start_s=turn.start_s, end_s=turn.end_s, speaker=turn.speaker)
        for turn in turns_of(pieces, config, num_speakers, together)
    )
