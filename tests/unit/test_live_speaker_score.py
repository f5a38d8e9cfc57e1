"""Scores of speakers while people talk, by hand on small cases."""

import math

import pytest

from sttlab.evaluate.labels import Labels, Turn
from sttlab.evaluate.live_speaker_score import score_live_speakers
from sttlab.events import SpeakerNames, SpeakersFound, SpeakerTurn, Transcript

pytestmark = pytest.mark.needs("speakers")

TRUTH = Labels(
    Turn(start_s=a, end_s=b, speaker=name)
    for a, b, name in [(0, 4, "Anna"), (5, 8, "Ben"), (9, 12, "Anna"), (13, 14, "Cleo")]
)


def turn(start_s, end_s, speaker):
    return SpeakerTurn(start_s=start_s, end_s=end_s, speaker=speaker)


def text(utterance_id, *turns):
    return Transcript(
        utterance_id=utterance_id,
        text="so",
        start_s=0,
        end_s=1,
        language="en",
        language_probability=1,
        confidence=1,
        segments=(),
        pause_s=0,
        capture_s=0,
        queue_s=0,
        decode_s=0,
        delay_s=0,
        engine_s=0,
        guessed=False,
        speakers=turns,
    )


def found(utterance_id, late_s, *turns, revised=False):
    return SpeakersFound(utterance_id=utterance_id, turns=turns, revised=revised, late_s=late_s)


def test_a_speaker_is_right_with_the_text_after_it_after_a_correction_or_never():
    events = [
        text(0, turn(0, 4, "x")),
        text(1),
        found(1, 0.25, turn(5, 8, "x")),
        text(2),
        found(2, 0.5, turn(9, 12, "x")),
        text(3, turn(13, 14, "y")),
        found(1, 3.0, turn(5, 8, "y"), revised=True),
    ]
    scores = score_live_speakers(events, TRUTH, collar_s=0)
    assert scores.after_s == (0.0, 3.0, 0.5, None)
    assert [scores.right_within(s) for s in (0, 1, 10)] == [0.25, 0.5, 0.75]
    assert scores.at_first.confusion_s == pytest.approx(3)
    assert scores.in_the_end.confusion_s == pytest.approx(1)
    assert "75.0%" in scores._repr_html_()


def test_a_speaker_who_was_right_and_became_wrong_is_not_right():
    events = [text(0, turn(0, 4, "x")), text(1, turn(5, 8, "y")), text(2, turn(9, 12, "x"))]
    events += [found(2, 1.0, turn(9, 12, "y"), revised=True)]
    assert score_live_speakers(events, TRUTH).after_s == (0.0, 0.0, None, None)


def test_speakers_who_turned_out_to_be_one_are_one_in_the_end():
    events = [text(0, turn(0, 4, "x")), text(1, turn(5, 8, "y")), text(2, turn(9, 12, "z"))]
    events += [SpeakerNames(names={}, merged={"z": "x"})]
    scores = score_live_speakers(events, TRUTH, collar_s=0)
    assert (scores.at_first.found, scores.in_the_end.found) == (3, 2)
    assert scores.after_s == (0, 0, math.inf, None), "when it became one is not known"


def test_nothing_heard_is_never_right_and_without_turns_nothing_is_wrong():
    assert score_live_speakers([], TRUTH).right_within(1) == 0
    assert score_live_speakers([], Labels()).right_within(1) == 1
