"""The endpointer by decision strings: one character for each frame in and out.

In: ``#`` at or above the onset threshold, ``+`` between the thresholds, ``.`` below both.
Out: ``S`` speech has started, ``x`` discarded as too short, ``U`` ended by silence, ``C`` cut as
too long (``c`` if the next one starts at once), ``-`` no decision.
"""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sttlab.config import VadConfig
from sttlab.endpoint import (
    CUT,
    DISCARDED,
    ENDED,
    PAUSED,
    STARTED,
    TIMED_OUT,
    Decision,
    Endpointer,
    EndpointState,
    Limits,
    advance,
    limits,
    moment_peaks,
)
from sttlab.vad.base import Activity

LIMITS = Limits(
    min_speech=1,
    timeout=3,
    pre_roll=2,
    post_roll=1,
    longest=1000,
    cut_window=500,
    moment=1,
    pause=1,
    delay=0,
)
ENDINGS = (TIMED_OUT, CUT, ENDED)
SIGNS = {STARTED: "S", DISCARDED: "x", TIMED_OUT: "U", CUT: "C"}


def decide(marks: str, peaks=None, **changes) -> tuple[str, list[Decision], EndpointState]:
    numbers = [".+#".index(mark) for mark in marks]
    decisions, _, state = advance(
        numbers, peaks or [0.0] * len(marks), EndpointState(), LIMITS._replace(**changes)
    )
    signs = ["-"] * len(marks)
    for decision in decisions:
        if decision.what == PAUSED:
            continue
        at = decision.at - 1
        signs[at] = "c" if signs[at] == "C" else SIGNS[decision.what]
    return "".join(signs), decisions, state


@pytest.mark.parametrize(
    ("changes", "marks", "signs"),
    [
        ({}, "...####+......", "---S------U---"),
        ({"timeout": 2}, "...####+......", "---S-----U----"),
        ({"min_speech": 2}, "....####+.......", "-----S-----U----"),
        # between the thresholds nothing begins, and an utterance that has ended doesn't resume
        ({}, "..+++++..", "---------"),
        ({}, "..#+++++.....", "--S-------U--"),
        ({}, "..#.+++......", "--S--U-------"),
        # a gap one frame shorter than the timeout is closed, one as long as it is not
        ({}, "#..#...", "S-----U"),
        ({}, "#...#...", "S--US--U"),
        # minimum speech: shorter sounds are discarded after a gap as long as the minimum
        ({"min_speech": 3}, "##....", "----x-"),
        ({"min_speech": 3}, "##..#...", "----S--U"),
        ({"min_speech": 3}, "#.#.#.#....", "----S----U-"),
        ({"min_speech": 3}, "#...#...#...", "---x---x---x"),
        # after the minimum, a short sound keeps the utterance open
        ({"min_speech": 3}, "###..#..#...", "--S--------U"),
        # a timeout of one frame
        ({"timeout": 1}, "##.##.", "S-US-U"),
        # no frames, or silence only
        ({}, "", ""),
        ({}, "....", "----"),
    ],
)
def test_decisions_come_at_the_expected_frames(changes, marks, signs):
    assert decide(marks, **changes)[0] == signs


def test_utterance_holds_pre_roll_and_post_roll():
    _, decisions, _ = decide(".....###.....")
    assert decisions[-1] == Decision(TIMED_OUT, at=11, begin=3, onset=5, end=8, stop=9)


def test_pause_decision_has_the_bounds_of_the_utterance_that_ends():
    _, decisions, _ = decide("..##.##.....", post_roll=2, pause=2)
    paused = [d for d in decisions if d.what == PAUSED]
    ended = [d for d in decisions if d.what == TIMED_OUT]
    assert [(d.at, d.begin, d.stop) for d in paused] == [(9, 0, 9)]
    assert [(d.begin, d.stop) for d in ended] == [(0, 9)]


@pytest.mark.parametrize(("pause", "at", "stop"), [(1, 5, 5), (2, 6, 6), (4, 8, 6)])
def test_pause_decision_comes_after_the_pause_asked_for_with_the_post_roll_so_far(pause, at, stop):
    _, decisions, _ = decide("..##........", post_roll=2, timeout=5, pause=pause)
    assert [(d.at, d.stop) for d in decisions if d.what == PAUSED] == [(at, stop)]


def test_pre_roll_never_overlaps_the_previous_utterance():
    _, decisions, _ = decide("##...##...", pre_roll=9, post_roll=2)
    first, second = (d for d in decisions if d.what == TIMED_OUT)
    assert first.stop == second.begin == 4


def test_long_speech_is_cut_at_its_quietest_moment_and_continues():
    peaks = [9.0] * 20
    peaks[6] = 1.0
    signs, decisions, state = decide("#" * 20, peaks, longest=10, cut_window=5)
    assert signs == "S--------c------c---"
    first, second = (d for d in decisions if d.what == CUT)
    assert (first.begin, first.stop, second.begin, second.stop) == (0, 7, 7, 13)
    assert state.begin == second.stop


def test_cut_in_a_pause_leaves_no_speech_behind():
    peaks = [9.0] * 6 + [1.0] * 4
    signs, _, state = decide("######....", peaks, longest=10, cut_window=5, timeout=9)
    assert signs == "S--------C"
    assert state.phase == 0


def test_shorter_longest_utterance_cuts_at_the_next_frame():
    _, _, state = advance([2] * 20, [0.0] * 20, EndpointState(), LIMITS)
    decisions, _, state = advance([2], [0.0], state, LIMITS._replace(longest=10, cut_window=5))
    assert [d.what for d in decisions] == [CUT]
    assert decisions[0].stop == 21


def test_limits_count_frames():
    assert limits(VadConfig(silence_timeout_s=0.6, pre_roll_s=0.3), 320, 0) == Limits(
        min_speech=5,
        timeout=30,
        pre_roll=15,
        post_roll=15,
        longest=1400,
        cut_window=250,
        moment=10,
        pause=15,
        delay=0,
    )
    assert limits(VadConfig(min_speech_s=0.0, silence_timeout_s=0.1), 4000, 0).timeout == 1


def test_moment_peaks_look_back_only():
    peaks = moment_peaks(np.array([1.0, 5.0, 2.0, 0.0, 0.0]), 3)
    assert peaks.tolist() == [1, 5, 5, 5, 2]


def activity(levels) -> Activity:
    array = np.asarray(levels, float)
    return Activity(array, array, np.full(len(array), -30.0), np.full(len(array), -36.0))


levels = st.lists(st.sampled_from([-90.0, -50.0, -33.0, -20.0, -10.0]), max_size=300)
configs = st.builds(
    Limits,
    min_speech=st.integers(1, 8),
    timeout=st.integers(1, 12),
    pre_roll=st.integers(0, 10),
    post_roll=st.just(1),
    longest=st.integers(20, 60),
    cut_window=st.integers(1, 20),
    moment=st.integers(1, 5),
    pause=st.just(1),
    delay=st.integers(0, 4),
).filter(lambda limits: limits.timeout > limits.delay + 1)  # as the least timeout is


def spans(limits: Limits, *parts) -> list[Decision]:
    endpointer = Endpointer(limits)
    decisions = [d for part in parts for d in endpointer.push(activity(part))[0]]
    last = endpointer.flush()
    return [*decisions, last] if last else decisions


@given(levels, configs, st.lists(st.integers(0, 300), max_size=5))
def test_any_split_of_frames_gives_the_same_decisions(levels, limits, cuts):
    cuts = sorted({min(cut, len(levels)) for cut in cuts} | {0, len(levels)})
    parts = [levels[a:b] for a, b in itertools.pairwise(cuts)]
    assert spans(limits, *parts) == spans(limits, levels)


@given(levels, configs)
def test_bounds_are_ordered_and_never_overlap(levels, limits):
    taken = 0
    for d in spans(limits, levels):
        if d.what not in ENDINGS:
            continue
        assert taken <= d.begin <= d.onset <= d.end <= d.stop <= d.at <= len(levels)
        assert d.begin < d.stop
        assert d.stop - d.begin <= limits.longest
        taken = d.stop


@given(levels, configs)
def test_no_loud_frame_is_lost(levels, limits):
    """With a minimum of one frame, every frame of speech is inside an utterance."""
    kept = np.zeros(len(levels), bool)
    for d in spans(limits._replace(min_speech=1), levels):
        if d.what in ENDINGS:
            kept[d.begin : d.stop] = True
    assert all(kept[max(i - limits.delay, 0)] for i, level in enumerate(levels) if level >= -30)


@given(levels, configs)
def test_louder_frames_never_lose_speech(levels, limits):
    limits = limits._replace(longest=10_000)
    quiet, loud = (
        {
            frame
            for d in spans(limits, [level + gain for level in levels])
            if d.what in ENDINGS
            for frame in range(d.onset, d.end)
        }
        for gain in (0.0, 6.0)
    )
    assert quiet <= loud
