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
from sttlab.speakers.offline import speaker_turns


def diarize(
    audio: str | Path | Recording,
    num_speakers: int | None = None,
    *,
    vad: VadConfig | None = None,
    config: SpeakerConfig | None = None,
    progress: Callable[[float, float], None] | None = None,
) -> Labels:
    """Find who speaks when in a recording. Blocks: a minute takes about 4 s on one core.

    Parameters
    ----------
    audio : path or Recording
    num_speakers : int, optional
        How many people speak, if it is known. By default `config` decides.
    vad : VadConfig, optional
        Where utterances begin and end: speakers are told apart in them.
    config : SpeakerConfig, optional
    progress : callable, optional
        Called after each utterance with the seconds done and the seconds in all.

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
    config = config or SpeakerConfig()
    EMBEDDERS[config.embedder].require()
    recording = as_recording(audio)
    turns = speaker_turns(
        segment(recording, vad),
        config,
        num_speakers=num_speakers,
        progress=(lambda done_s: progress(done_s, recording.duration_s)) if progress else None,
    )
    return Labels(
        Turn(start_s=turn.start_s, end_s=turn.end_s, speaker=turn.speaker) for turn in turns
    )
