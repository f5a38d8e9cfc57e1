"""Scores of who spoke when against labelled truth, by pyannote.metrics."""

from __future__ import annotations

import html
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sttlab.errors import ConfigError, MissingExtra
from sttlab.evaluate.labels import Labels
from sttlab.events import Spoken
from sttlab.tables import frame, scalars

NOBODY = "speech"  # who speaks where labels don't say it


@dataclass(frozen=True, kw_only=True)
class OneSpeakerScore:
    """What was found of one speaker of the truth.

    Attributes
    ----------
    speaker : str
    found_as : str or None
        The speaker of the found turns that is taken for this one; None if there is none.
    spoken_s, right_s, wrong_s : float
        Length of what this speaker says; of what is found of it as `found_as`; and of what is
        found as `found_as` and is not this speaker.
    """

    speaker: str
    found_as: str | None
    spoken_s: float
    right_s: float
    wrong_s: float


@dataclass(frozen=True, kw_only=True)
class SpeakerScores:
    """How well the speakers are told apart. `score_speakers` makes it.

    Attributes
    ----------
    speech_s : float
        Length of the speech that is scored; where two speak, it counts twice.
    missed_s, false_alarm_s, confusion_s : float
        Speech of which nothing is found; what is found where nobody speaks; and what is found as
        another speaker.
    jaccard_error_rate : float
        Mean over the speakers of the share of their time that is not shared with what is found as
        them (JER).
    speakers, found : int
        Number of speakers who speak, and of those found.
    each : tuple of OneSpeakerScore
    """

    speech_s: float
    missed_s: float
    false_alarm_s: float
    confusion_s: float
    jaccard_error_rate: float
    speakers: int
    found: int
    each: tuple[OneSpeakerScore, ...] = ()

    @property
    def error_s(self) -> float:
        """The three kinds of error together."""
        return self.missed_s + self.false_alarm_s + self.confusion_s

    @property
    def diarization_error_rate(self) -> float:
        """Errors as a share of the speech (DER); without speech, 1 if there are any, else 0."""
        return self.error_s / self.speech_s if self.speech_s else float(self.error_s > 0)

    def to_frame(self, *, by: Literal["recording", "speaker"] = "recording") -> Any:
        """Return a pandas.DataFrame of one row, or with a row for each speaker of the truth.

        Raises
        ------
        MissingExtra
            If pandas is not installed.
        """
        if by == "speaker":
            return frame(self.each, index="speaker")
        rate = {"diarization_error_rate": self.diarization_error_rate}
        return frame([rate | scalars(self)])

    def _repr_html_(self) -> str:
        def share(seconds: float) -> str:
            return f"{seconds:.1f} s ({seconds / self.speech_s:.1%})" if self.speech_s else "–"

        rows = [
            ("diarization error rate", f"{self.diarization_error_rate:.1%}"),
            ("missed", share(self.missed_s)),
            ("false alarm", share(self.false_alarm_s)),
            ("confusion", share(self.confusion_s)),
            ("Jaccard error rate", f"{self.jaccard_error_rate:.1%}"),
            ("speakers", f"{self.speakers}, found {self.found}"),
        ]
        rows += [
            (
                one.speaker,
                f"{one.right_s:.1f} of {one.spoken_s:.1f} s"
                + (f" as {one.found_as}" if one.found_as else ", not found"),
            )
            for one in self.each
        ]
        cells = "".join(
            f'<tr><th style="text-align:left">{html.escape(name)}</th><td>{html.escape(text)}</td>'
            "</tr>"
            for name, text in rows
        )
        return f"<table><tbody>{cells}</tbody></table>"


def score_speakers(
    found: Iterable[Spoken],
    truth: Labels,
    *,
    collar_s: float = 0.25,
    overlap: bool = True,
) -> SpeakerScores:
    """Compare who speaks when with labelled truth.

    The speakers found are paired with those of the truth so that they share the most time.

    Parameters
    ----------
    found : iterable of Turn
        Such as the result of `diarize`.
    truth : Labels
        Only its scored parts are compared.
    collar_s : float
        Length of what is not scored around each start and end of a turn, half of it on each side,
        as in `score`. NIST's md-eval counts one side: its 0.25 is 0.5 here.
    overlap : bool
        Whether to score what several people say at once.

    Raises
    ------
    ConfigError
        If the collar is negative.
    MissingExtra
        If the extra `speakers` is not installed.
    """
    if collar_s < 0:
        raise ConfigError(f"collar_s must be 0 s or more, not {collar_s:g} s")
    try:
        from pyannote.metrics.diarization import DiarizationErrorRate, JaccardErrorRate
    except ImportError as error:
        raise MissingExtra("pyannote.metrics", "speakers") from error
    turns = list(found)
    reference, hypothesis = _annotation(truth), _annotation(turns)
    uem = _scored(truth, turns)
    options: Any = {"collar": collar_s, "skip_overlap": not overlap}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it tells that it approximates what is given here
        metric = DiarizationErrorRate(**options)
        parts = metric(reference, hypothesis, uem=uem, detailed=True)
        rate: Any = JaccardErrorRate
        jaccard = rate(**options)(reference, hypothesis, uem=uem)
        pairs = metric.optimal_mapping(reference, hypothesis, uem=uem)
    inside, guessed = reference.crop(uem), hypothesis.crop(uem)
    return SpeakerScores(
        speech_s=parts["total"],
        missed_s=parts["missed detection"],
        false_alarm_s=parts["false alarm"],
        confusion_s=parts["confusion"],
        jaccard_error_rate=float(jaccard),
        speakers=len(inside.labels()),
        found=len(guessed.labels()),
        each=_each(inside, guessed, {there: here for here, there in pairs.items()}),
    )


def pool_speaker_scores(scores: Sequence[SpeakerScores]) -> SpeakerScores:
    """Add up the scores of several recordings; the Jaccard error rate is the mean."""
    sums = {
        name: sum(getattr(s, name) for s in scores)
        for name in ("speech_s", "missed_s", "false_alarm_s", "confusion_s", "speakers", "found")
    }
    jaccard = sum(s.jaccard_error_rate for s in scores) / max(1, len(scores))
    return SpeakerScores(jaccard_error_rate=jaccard, **sums)


def _annotation(turns: Iterable[Spoken]) -> Any:
    from pyannote.core import Annotation, Segment

    annotation = Annotation()
    for number, turn in enumerate(turns):
        annotation[Segment(turn.start_s, turn.end_s), number] = turn.speaker or NOBODY
    return annotation.support()


def _scored(truth: Labels, found: list[Spoken]) -> Any:
    from pyannote.core import Segment, Timeline

    if truth.scored is not None:
        return Timeline([Segment(*part) for part in truth.scored])
    end_s = max([0.0, *(turn.end_s for turn in (*truth, *found))])
    return Timeline([Segment(0.0, end_s)] if end_s else [])


def _each(truth: Any, found: Any, pairs: dict[str, str]) -> tuple[OneSpeakerScore, ...]:
    scores = []
    for speaker in truth.labels():
        spoken = truth.label_timeline(speaker)
        partner = pairs.get(speaker)
        heard = found.label_timeline(partner) if partner is not None else None
        right_s = spoken.crop(heard).duration() if heard else 0.0
        scores.append(
            OneSpeakerScore(
                speaker=speaker,
                found_as=partner,
                spoken_s=spoken.duration(),
                right_s=right_s,
                wrong_s=heard.duration() - right_s if heard else 0.0,
            )
        )
    return tuple(scores)
