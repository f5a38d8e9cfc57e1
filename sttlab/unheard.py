"""Why nothing was heard: what came nearest to speech, what speech needs, and what to do."""

from __future__ import annotations

from dataclasses import dataclass, fields

from sttlab.audio import FLOOR_DBFS
from sttlab.config import VadConfig
from sttlab.vad import DETECTORS
from sttlab.vad.base import LEVEL, Activity

SPREAD = 0.2  # of a detector's scale, by which speech lies under its loudest frame


@dataclass
class Unheard:
    """What was loudest, and what came nearest to speech, in frames that gave no utterance.

    Attributes
    ----------
    loudest_dbfs : float
        Level of the loudest frame.
    score, onset : float
        Of the frame whose score came nearest to where speech begins.
    """

    loudest_dbfs: float = FLOOR_DBFS
    score: float = -float("inf")
    onset: float = 0.0

    def follow(self, activity: Activity, start: int, stop: int) -> None:
        """Take the frames `start` to `stop`."""
        if stop <= start:
            return
        self.loudest_dbfs = max(self.loudest_dbfs, float(activity.level_dbfs[start:stop].max()))
        nearness = activity.score[start:stop] - activity.onset[start:stop]
        best = start + int(nearness.argmax())
        if nearness[best - start] > self.score - self.onset:
            self.score, self.onset = float(activity.score[best]), float(activity.onset[best])

    def explain(self, config: VadConfig, within: str = "") -> str:
        """Say in a sentence why no speech was found, and what to do if somebody spoke."""
        nothing = f"no speech found{within and ' in '}{within}"
        if self.loudest_dbfs <= FLOOR_DBFS:
            return (
                f"{nothing}: this is digital silence, every sample is 0. Is the microphone muted, "
                "or is this another track or channel than the one with the speech?"
            )
        detector = DETECTORS[config.detector]
        loudest = f"the loudest is {self.loudest_dbfs:.0f} dBFS"
        if self.score >= self.onset:
            return (
                f"{nothing}: {loudest}, and what is loud enough is shorter than "
                f"{config.min_speech_s:g} s. If somebody speaks, set min_speech_s lower"
            )
        scale = detector.scale
        unit, digits = (f" {scale.unit}", 0) if scale.unit else ("", 2)
        if scale is LEVEL:  # of several frames, which the threshold is compared with
            loudest = f"the loudest is {self.score:.0f} dBFS"
        else:
            loudest += f", the highest {scale.label} {self.score:.{digits}f}{unit}"
        setting = detector.fields[0]
        least = next(f.metadata["min"] for f in fields(config) if f.name == setting)
        lower = max(least, self.score - SPREAD * (scale.high - scale.low))
        return (
            f"{nothing}: {loudest}, and speech begins at {self.onset:.{digits}f}{unit}. If "
            f"somebody speaks, raise the gain, or set {setting} to {lower:.{digits}f}"
        )


def without_words(utterances: int) -> str:
    """Say in a sentence that what was taken for speech gave no text."""
    times = "once" if utterances == 1 else f"{utterances} times"
    return (
        f"no words found: speech was found {times}, and the model made no words of it. If somebody "
        "speaks, record closer to them, or take a larger model"
    )
