"""Scores against cases counted by hand, and durations against pyannote.metrics."""

import importlib.util
import json
import subprocess
import sys
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sttlab.errors import ConfigError, LabelError
from sttlab.evaluate.faults import faults
from sttlab.evaluate.labels import Labels, Turn, load_labels
from sttlab.evaluate.score import Scores, pool, score
from sttlab.events import EndReason, Utterance

needs_pyannote = pytest.mark.skipif(
    importlib.util.find_spec("pyannote") is None
    or importlib.util.find_spec("pyannote.metrics") is None,
    reason="pyannote.metrics not installed (`make test` installs it)",
)


def labels(*spans: tuple[float, float], scored=None) -> Labels:
    return Labels([Turn(start_s=a, end_s=b) for a, b in spans], scored)


def utterance(
    audio_s: float, start_s: float, end_s: float, decided_s: float, reason: EndReason = "silence"
) -> Utterance:
    begin, start, end, decided = (round(16000 * t) for t in (audio_s, start_s, end_s, decided_s))
    return Utterance(
        utterance_id=0,
        start_sample=begin,
        samples=np.zeros(end - begin, np.float32),
        onset_sample=start,
        speech_end_sample=end,
        decided_sample=decided,
        reason=reason,
    )


def counts(scores: Scores) -> dict[str, int]:
    names = ("missed", "false", "fragmented", "merged", "cut_off")
    return {name: getattr(scores, name) for name in names if getattr(scores, name)}


@pytest.mark.parametrize(
    ("found", "truth", "expected"),
    [
        ([(1, 3)], [(1, 3)], {}),
        ([], [], {}),
        ([], [(1, 3)], {"missed": 1}),
        ([(1, 3)], [], {"false": 1}),
        # side by side, with nothing shared
        ([(3, 4)], [(1, 3)], {"missed": 1, "false": 1}),
        ([(1, 2), (3.5, 4)], [(2, 3.5)], {"missed": 1, "false": 2}),
        # one spoken, two found: the first ended while speech went on
        ([(1, 2), (2.5, 4)], [(1, 4)], {"fragmented": 1, "cut_off": 1}),
        # two spoken, one found
        ([(1, 4)], [(1, 2), (3, 4)], {"merged": 2}),
        # both: the first is found whole, together with a part of the second
        ([(1, 4), (4.5, 6)], [(1, 2), (3, 6)], {"merged": 2, "fragmented": 1, "cut_off": 1}),
        # 0.1 s of a neighbour's 1 s merges nothing, 0.15 s does
        ([(1, 3.1)], [(1, 2), (3, 4)], {"missed": 1}),
        ([(1, 3.15)], [(1, 2), (3, 4)], {"merged": 2, "cut_off": 1}),
        # a short word counts if half of it is found
        ([(1.1, 2)], [(1, 1.2)], {}),
        ([(1.11, 2)], [(1, 1.2)], {"missed": 1, "false": 1}),
        # half a collar (0.1 s) too early is not cut off
        ([(1, 3.9)], [(1, 4)], {}),
        ([(1, 3.89)], [(1, 4)], {"cut_off": 1}),
        # turns with overlaps and short pauses are one utterance, a pause of half a second ends it
        ([(1, 4)], [(1, 3), (2, 2.5), (2.9, 3.5), (3.9, 4)], {}),
        ([(1, 4)], [(1, 2.5), (3, 4)], {"merged": 2}),
        # found ones may overlap, and come in any order
        ([(2, 4), (1, 3)], [(1, 4)], {"fragmented": 1, "cut_off": 1}),
    ],
)
def test_utterances_are_counted_as_missed_false_fragmented_or_merged(found, truth, expected):
    scores = score(found, labels(*truth))
    assert counts(scores) == expected
    assert scores.found == len(found)


def test_clipped_onset_is_measured_to_the_start_of_the_audio():
    truth = labels((1, 2), (4, 5), (7, 8))
    found = [utterance(0.8, 1.1, 2, 2.6), utterance(4.25, 4.25, 5, 5.6)]
    assert score(found, truth).onset_clipped_ms == (0.0, 250.0)
    # of several found utterances the first counts
    assert score([(1.3, 1.6), (1.7, 2)], labels((1, 2))).onset_clipped_ms == (300.0,)


@pytest.mark.parametrize(
    ("found", "delays"),
    [
        ([utterance(1, 1, 3, 3.6)], (600,)),
        ([utterance(1, 1, 3.4, 4.0)], (1000,)),
        ([utterance(1, 1, 2.35, 2.95)], (-50,)),  # within half a collar
        ([utterance(1, 1, 2, 2.6)], ()),  # cut off
        ([utterance(1, 1, 2, 2.3), utterance(2.4, 2.4, 3, 3.5)], (500,)),
        ([utterance(1, 1, 2, 2.9), utterance(2.4, 2.4, 3, 3.3, "longest")], (300,)),
        ([utterance(1, 1, 3, 3.2, "end")], ()),
        ([utterance(1, 1, 3, 3.2, "interrupted")], ()),
        ([utterance(1, 1, 6, 6.6)], (600,)),  # merged: only the last one's end was decided
        ([(1, 3)], ()),
    ],
)
def test_delay_is_from_the_true_end_to_the_decision(found, delays):
    assert score(found, labels((1, 3), (5, 6))).endpoint_delay_ms == delays


def test_utterance_decided_before_its_true_end_is_cut_off():
    truth = labels((1, 4))
    assert score([utterance(1, 1, 3, 3.6)], truth).cut_off == 1
    assert score([utterance(1, 1, 3, 4.2)], truth).cut_off == 0  # decided after the true end


def test_speech_hit_and_false_alarm_durations():
    scores = score([(1, 4), (8, 9)], labels((2, 6)), collar_s=0, duration_s=10)
    assert (scores.scored_s, scores.speech_s) == (10, 4)
    assert (scores.hit_s, scores.false_alarm_s) == (2, 2)
    assert (scores.precision, scores.recall, scores.f1) == (0.5, 0.5, 0.5)
    assert (scores.missed_speech_rate, scores.false_alarm_rate) == (0.5, 0.5)
    assert scores.detection_error_rate == 1.0


def test_a_collar_leaves_out_the_edges():
    scores = score([(1, 4)], labels((2, 6)), collar_s=1, duration_s=10)
    assert (scores.scored_s, scores.speech_s) == (8, 3)  # without 1.5 to 2.5 and 5.5 to 6.5
    assert (scores.hit_s, scores.false_alarm_s) == (1.5, 0.5)


def test_parts_that_are_not_labelled_do_not_count():
    truth = labels((1, 2), (11, 12), scored=[(0, 10)])
    scores = score([(1, 2), (5, 6), (14, 15)], truth, collar_s=0)
    assert (scores.utterances, scores.found, scores.scored_s) == (1, 2, 10)
    assert counts(scores) == {"false": 1}
    assert score([(1, 2)], labels((1, 2), scored=[])).scored_s == 0


def test_scores_without_speech_or_without_found_utterances():
    nothing, deaf, noisy = score([], labels()), score([], labels((1, 2))), score([(1, 2)], labels())
    assert (nothing.precision, nothing.recall, nothing.detection_error_rate) == (1, 1, 0)
    assert (deaf.precision, deaf.recall, deaf.f1, deaf.detection_error_rate) == (1, 0, 0, 1)
    assert (noisy.precision, noisy.recall, noisy.detection_error_rate) == (0, 1, 1)
    for scores in (nothing, deaf, noisy):
        assert np.isnan(scores.figures()["endpoint_delay_median_ms"])


def test_figures_hold_medians():
    found = [utterance(i, i + 0.1 * i, i + 0.8, i + 1.0) for i in (0, 2, 4)]
    figures = score(found, labels((0, 0.8), (2, 2.8), (4, 4.8)), gap_s=0).figures()
    assert figures["endpoint_delay_median_ms"] == 200
    assert figures["onset_clipped_p90_ms"] == 0
    assert figures["utterances"] == 3


@pytest.mark.parametrize("wrong", [{"gap_s": -1}, {"collar_s": float("nan")}, {"duration_s": -1}])
def test_negative_or_infinite_arguments_are_refused(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        score([], labels(), **wrong)


def test_pair_with_times_out_of_order_is_refused():
    with pytest.raises(LabelError, match="not go from 2 to 1 s"):
        score([(2, 1)], labels())


def test_html_of_scores_is_a_table():
    page = score([utterance(0.8, 1.1, 2, 2.6)], labels((1, 2), (5, 6)))._repr_html_()
    assert '<th scope="row" style="text-align:left">missed</th><td>1 (50%)</td>' in page
    assert "600 ms, 600 ms" in page
    assert "–" in score([], labels())._repr_html_()


spans = st.lists(
    st.tuples(st.integers(0, 500), st.integers(1, 80)).map(
        lambda pair: (pair[0] / 10, (pair[0] + pair[1]) / 10)
    ),
    max_size=10,
)


@given(spans, spans)
def test_scores_equal_those_of_a_naive_comparison(found, truth):
    """Compare with a direct count that compares each with each."""
    scores = score(found, labels(*truth))
    spoken = labels(*truth).utterances(gap_s=0.5).tolist()

    def together(a, b):
        shared = min(a[1], b[1]) - max(a[0], b[0])
        shorter = min(a[1] - a[0], b[1] - b[0])
        return shared > 0 and shared >= min(0.15, shorter / 2) - 1e-9

    finds = [[f for f in found if together(f, s)] for s in spoken]
    holds = {f: sum(together(f, s) for s in spoken) for f in found}
    assert scores.missed == sum(not f for f in finds)
    assert scores.fragmented == sum(len(f) > 1 for f in finds)
    assert scores.merged == sum(any(holds[f] > 1 for f in fs) for fs in finds)
    assert scores.false == sum(not holds[f] for f in found)
    cut = [any(f[1] < s[1] - 0.1 - 1e-9 for f in fs) for s, fs in zip(spoken, finds, strict=True)]
    assert scores.cut_off == sum(cut)
    assert len(scores.onset_clipped_ms) == scores.utterances - scores.missed


@given(st.lists(st.tuples(spans, spans), max_size=4))
def test_pooling_is_scoring_one_long_recording(recordings):
    def at(shift_s, stretches):
        return [(shift_s + start_s, shift_s + end_s) for start_s, end_s in stretches]

    parts = [score(at(1, f), labels(*at(1, t)), duration_s=100) for f, t in recordings]
    found = [span for i, (f, _) in enumerate(recordings) for span in at(100 * i + 1, f)]
    truth = [span for i, (_, t) in enumerate(recordings) for span in at(100 * i + 1, t)]
    whole = score(found, labels(*truth), duration_s=100 * len(recordings))
    pooled = pool(parts)
    assert counts(pooled) == counts(whole)
    assert pooled.onset_clipped_ms == pytest.approx(whole.onset_clipped_ms)
    for name in ("scored_s", "speech_s", "hit_s", "false_alarm_s"):
        assert getattr(pooled, name) == pytest.approx(getattr(whole, name))


ORACLE = """
import json, sys, warnings
warnings.simplefilter("ignore")
from pyannote.core import Annotation, Segment, Timeline
from pyannote.metrics import detection

def annotation(spans):
    made = Annotation()
    for i, span in enumerate(spans):
        made[Segment(*span), i] = "speech"
    return made

answers = []
for found, speech, scored, collar in json.load(sys.stdin):
    args = annotation(speech), annotation(found)
    uem = Timeline([Segment(*part) for part in scored])
    errors = detection.DetectionErrorRate(collar=collar)(*args, uem=uem, detailed=True)
    rates = [
        getattr(detection, name)(collar=collar)(*args, uem=uem)
        for name in ("DetectionPrecision", "DetectionRecall")
    ]
    names = ("total", "miss", "false alarm", "detection error rate")
    answers.append([float(errors[name]) for name in names] + [float(rate) for rate in rates])
json.dump(answers, sys.stdout)
"""


def pyannote_says(cases):
    """Run pyannote in another process, since it imports pyplot, pandas and scipy, and warns."""
    done = subprocess.run(
        [sys.executable, "-c", ORACLE],
        input=json.dumps(cases),
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    return json.loads(done.stdout)


@needs_pyannote
def test_durations_are_those_of_pyannote_metrics():
    random = Random(1)

    def stretches(count):
        starts = [random.uniform(0, 50) for _ in range(count)]
        return [(start, start + random.uniform(0.05, 8)) for start in starts]

    cases, ours = [], []
    for _ in range(200):
        found, truth = stretches(random.randrange(8)), labels(*stretches(random.randrange(8)))
        scored = [(0, 30), (35, 60)] if random.random() < 0.5 else [(0, 60)]
        collar_s = random.choice([0, 0.2, 1.0])
        cases.append((found, truth.speech.tolist(), scored, collar_s))
        mine = score(found, Labels(truth.turns, scored), collar_s=collar_s)
        missed_s = mine.speech_s - mine.hit_s
        figures = (mine.speech_s, missed_s, mine.false_alarm_s, mine.detection_error_rate)
        ours.append([*figures, mine.precision, mine.recall])
    theirs = np.array(pyannote_says(cases))
    assert np.abs(theirs).max() > 1
    assert np.array(ours) == pytest.approx(theirs, abs=1e-6)


def test_labels_of_a_meeting_score_perfectly_against_themselves(data):
    truth = load_labels(data / "meeting-1.rttm")
    scores = score(truth, truth)
    assert scores.recall == scores.precision == 1
    assert scores.missed == scores.false == 0
    assert scores.found == len(truth)


def test_faults_are_what_the_scores_count_and_where_it_is():
    labels = Labels([Turn(start_s=s, end_s=s + 2) for s in (1, 5, 9, 13, 17)])
    found = [(1.1, 1.9), (2.3, 3), (5, 7), (9, 15), (20, 21)]
    assert faults(found, labels, 30) == [
        (1, 3, "torn, cut off"),
        (9, 11, "merged"),
        (13, 15, "merged"),
        (17, 19, "missed"),
        (20, 21, "false"),
    ]
    scores = score(found, labels, duration_s=30)
    counts = (scores.fragmented, scores.cut_off, scores.merged, scores.missed, scores.false)
    assert counts == (1, 1, 2, 1, 1)
    assert faults([(s, s + 2) for s in (1, 5, 9, 13, 17)], labels, 30) == []
