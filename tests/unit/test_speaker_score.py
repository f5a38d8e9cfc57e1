"""Scores of speakers, by hand on small cases."""

import pytest

from sttlab.errors import ConfigError
from sttlab.evaluate.labels import Labels, Turn
from sttlab.evaluate.speaker_score import pool_speaker_scores, score_speakers

pytestmark = pytest.mark.needs("speakers")


def turns(*rows):
    return Labels([Turn(start_s=a, end_s=b, speaker=speaker) for a, b, speaker in rows])


TRUTH = turns((0, 4, "Anna"), (5, 9, "Ben"))


def test_speakers_of_other_names_are_paired():
    scores = score_speakers(turns((0, 4, "x"), (5, 9, "y")), TRUTH, collar_s=0)
    assert scores.diarization_error_rate == 0
    assert scores.jaccard_error_rate == 0
    assert {one.speaker: one.found_as for one in scores.each} == {"Anna": "x", "Ben": "y"}


def test_errors_are_told_apart():
    found = turns((1, 4, "x"), (5, 7, "y"), (7, 8, "x"), (8, 9, "y"), (9, 11, "y"))
    scores = score_speakers(found, TRUTH, collar_s=0)
    assert scores.speech_s == pytest.approx(8)
    assert scores.missed_s == pytest.approx(1)
    assert scores.confusion_s == pytest.approx(1)
    assert scores.false_alarm_s == pytest.approx(2)
    assert scores.diarization_error_rate == pytest.approx(0.5)
    anna, ben = scores.each
    assert (anna.spoken_s, anna.right_s, anna.wrong_s) == pytest.approx((4, 3, 1))
    assert (ben.spoken_s, ben.right_s, ben.wrong_s) == pytest.approx((4, 3, 2))


def test_collar_forgives_half_of_it_on_each_side():
    found = turns((0.1, 4, "x"), (5, 9, "y"))
    assert score_speakers(found, TRUTH, collar_s=0.25).error_s == 0
    assert score_speakers(found, TRUTH, collar_s=0.1).error_s == pytest.approx(0.05)


def test_overlap_is_scored_or_not():
    truth = turns((0, 4, "Anna"), (3, 6, "Ben"))
    found = turns((0, 4, "x"), (4, 6, "y"))
    assert score_speakers(found, truth, collar_s=0).missed_s == pytest.approx(1)
    assert score_speakers(found, truth, collar_s=0, overlap=False).error_s == 0


def test_only_scored_parts_are_compared():
    truth = Labels(TRUTH.turns, scored=[(0, 4.5)])
    scores = score_speakers(turns((0, 4, "x"), (5, 9, "x")), truth, collar_s=0)
    assert (scores.error_s, scores.speakers, scores.found) == (0, 1, 1)


def test_nobody_found_and_nobody_there():
    assert score_speakers([], TRUTH, collar_s=0).diarization_error_rate == 1
    assert score_speakers([], Labels(), collar_s=0).diarization_error_rate == 0
    assert score_speakers(TRUTH, Labels(), collar_s=0).diarization_error_rate == 1


def test_pooled_scores_are_weighted_by_speech():
    one = score_speakers(turns((0, 4, "x"), (5, 9, "y")), TRUTH, collar_s=0)
    other = score_speakers([], turns((0, 2, "Cleo")), collar_s=0)
    pooled = pool_speaker_scores([one, other])
    assert pooled.diarization_error_rate == pytest.approx(2 / 10)
    assert pooled.speakers == 3


def test_negative_collar_is_refused():
    with pytest.raises(ConfigError, match="collar_s"):
        score_speakers([], TRUTH, collar_s=-1)


def test_scores_are_shown_as_a_table_with_names_escaped():
    shown = score_speakers(turns((0, 4, "<x>")), TRUTH)._repr_html_()
    assert "diarization error rate" in shown
    assert "&lt;x&gt;" in shown
    assert "<x>" not in shown
