"""Suppression: which text is held back as a hallucination, and why."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from sttlab.audio import SAMPLE_RATE, level_dbfs
from sttlab.engines.words import confidence

REPETITIVE = 2.4  # compression ratio above which text repeats itself
# The model's probability that nobody speaks, and the mean log probability that goes with it.
NO_SPEECH = ((0.6, -0.9), (0.8, -0.8))
TWICE_WORDS, TWICE_LOG_PROB = 3, -0.7  # for a repetition that stopped by itself
# Whisper learnt from subtitles, which say this over music and silence (Baranski et al.,
# "Investigation of Whisper ASR hallucinations induced by non-speech audio", ICASSP 2025).
PHANTOMS = {"you", "thank you", "thank you very much", "thank you so much", "bye"} | {
    f"{thanks} for watching" for thanks in ("thanks", "thank you")
}
PHANTOM_NO_SPEECH, PHANTOM_LOG_PROB = 0.5, -0.6
# Nobody takes 5 s to say "Thank you."
LONG_S, SLOWEST_LETTERS_PER_S, SLOW_LOG_PROB = 5.0, 2.0, -1.0
GUESS_LOG_PROB = -1.5
QUIET_DBFS, QUIET_LOG_PROB = -60.0, -0.7


@dataclass(frozen=True, kw_only=True)
class Suppression:
    """Text that was held back as a hallucination, and why. Times are as in `Transcription`."""

    text: str
    reason: str
    start_s: float
    end_s: float

    def later(self, seconds: float) -> Suppression:
        """Return the suppression moved in time."""
        return replace(self, start_s=self.start_s + seconds, end_s=self.end_s + seconds)


def hallucination(
    text: str,
    mean_log_prob: float,
    no_speech_prob: float,
    compression_ratio: float,
    audio: NDArray[np.float32],
) -> str | None:
    """Say why a text is most likely a hallucination; None if it may well have been said.

    Parameters
    ----------
    text : str
    mean_log_prob : float
        Mean log probability of the tokens.
    no_speech_prob : float in 0..1
        The model's own probability that nobody speaks.
    compression_ratio : float
        Length of the text over its length compressed: a measure of repetition.
    audio : ndarray, shape (n,), float32
        What the text was decoded from, at SAMPLE_RATE.
    """
    if not text:
        return None
    sure = f"{confidence(mean_log_prob):.0%} confident"
    if compression_ratio > REPETITIVE:
        return f"it repeats itself (compression ratio {compression_ratio:.1f})"
    if not any(c.isalnum() for c in text):
        return "there is no word in it"
    if any(no_speech_prob > least and mean_log_prob < below for least, below in NO_SPEECH):
        return f"no speech ({no_speech_prob:.0%} by the model, {sure})"
    words = "".join(c if c.isalnum() else " " for c in text.lower()).split()
    if _says_twice(words) and mean_log_prob < TWICE_LOG_PROB:
        return f"it says the same twice ({sure})"
    phantom = " ".join(words) in PHANTOMS
    if phantom and no_speech_prob > PHANTOM_NO_SPEECH and mean_log_prob < PHANTOM_LOG_PROB:
        return f"what Whisper makes of noise ({no_speech_prob:.0%} no speech by the model)"
    letters, audio_s = sum(c.isalnum() for c in text), len(audio) / SAMPLE_RATE
    slow = audio_s > LONG_S and letters < SLOWEST_LETTERS_PER_S * audio_s
    if slow and mean_log_prob < SLOW_LOG_PROB:
        return f"little text for {audio_s:.0f} s of audio ({sure})"
    if mean_log_prob < GUESS_LOG_PROB:
        return f"the model guesses ({sure})"
    level = level_dbfs(audio)
    if level < QUIET_DBFS and mean_log_prob < QUIET_LOG_PROB:
        return f"too quiet to be words ({level:.0f} dBFS, {sure})"
    return None


def _says_twice(words: list[str]) -> bool:
    half = len(words) // 2
    return half >= TWICE_WORDS and words == words[:half] * 2
