"""Two runs on the same audio are put side by side: utterances, words, delays, held back text."""

from __future__ import annotations

import html
import importlib.util
import json
import re
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import sttlab as stt
from sttlab.audio import SAMPLE_RATE
from sttlab.cli import main
from sttlab.errors import KeptError
from sttlab.evaluate.compare import align, compare
from sttlab.evaluate.labels import Labels, Turn
from sttlab.kept.run import KeptUtterance
from sttlab.kept.session import open_session
from sttlab.live.session import Session
from tests.fakes import WAIT_S, Blocks, Counting, speech

needs_jiwer = pytest.mark.skipif(
    importlib.util.find_spec("jiwer") is None,
    reason="jiwer not installed (`make test` installs it)",
)


def utterance(start_s, end_s, number=0):
    start, end = round(start_s * SAMPLE_RATE), round(end_s * SAMPLE_RATE)
    return KeptUtterance(
        utterance_id=number,
        start_sample=start,
        onset_sample=start,
        speech_end_sample=end,
        end_sample=end,
        decided_sample=end,
        reason="silence",
    )


def groups(a, b):
    found = align([utterance(*span) for span in a], [utterance(*span) for span in b])
    return [tuple([(u.start_s, u.end_s) for u in side] for side in group) for group in found]


def test_utterances_that_share_speech_are_put_together():
    a = [(0, 3), (5, 8), (10, 11), (20, 24)]
    b = [(0, 1), (1.5, 3), (5, 10.5), (30, 31)]
    assert groups(a, b) == [
        ([(0, 3)], [(0, 1), (1.5, 3)]),
        ([(5, 8), (10, 11)], [(5, 10.5)]),
        ([(20, 24)], []),
        ([], [(30, 31)]),
    ]


def test_neighbours_whose_edges_overlap_a_little_are_not_put_together():
    assert groups([(0, 3.05), (3.05, 6)], [(0, 3), (3, 6)]) == [
        ([(0, 3.05)], [(0, 3)]),
        ([(3.05, 6)], [(3, 6)]),
    ]
    assert groups([(0, 0.02)], [(0, 0.02)]) == [([(0, 0.02)], [(0, 0.02)])]


spans = st.lists(st.tuples(st.floats(0.1, 5), st.floats(0.02, 5)), max_size=12).map(
    lambda parts: [
        (round(at - length, 2), round(at, 2))
        for at, length in zip(
            np.cumsum([gap + length for gap, length in parts]).tolist(),
            [length for _, length in parts],
            strict=True,
        )
    ]
)


@given(spans, spans)
def test_each_utterance_is_in_one_group_and_alike_runs_are_alike(a, b):
    found = groups(a, b)
    assert [span for mine, _ in found for span in mine] == a
    assert [span for _, theirs in found for span in theirs] == b
    assert all(mine or theirs for mine, theirs in found)
    assert groups(a, a) == [([span], [span]) for span in a]


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """Five sounds, of which the third and fourth are 0.4 s apart, and the others 0.8 s."""
    folder = tmp_path_factory.mktemp("kept")
    gap = np.zeros(round(0.4 * SAMPLE_RATE), np.float32)
    one = np.concatenate([speech(1), gap])
    audio = np.concatenate([one, one, speech(1), one, one])
    config = stt.VadConfig(threshold_dbfs=-40, silence_timeout_s=0.6, pre_roll_s=0.1)
    engine = Counting(text="alpha beta gamma")
    blocks = Blocks(*np.array_split(audio, 200))
    with Session(blocks, vad=config, model=engine, keep=folder) as session:
        assert session.wait(WAIT_S)
    return open_session(folder)


def test_a_run_compared_with_itself_is_the_same(kept):
    made = compare(kept, stt.replay(kept))
    assert made.differences == ()
    assert made.summary == f"all {len(kept.utterances)} utterances are the same, 0 words differ"
    assert "Nothing differs" in made._repr_html_()


def test_summary_can_be_quoted(kept):
    shorter = stt.replay(kept, silence_timeout_s=0.36)
    made = compare(kept, shorter)
    assert re.fullmatch(
        "silence_timeout_s 0.36 instead of 0.6: 1 of 4 utterances cut in two or more, "
        r"text 0.\d\d s sooner \(simulated\), 0 words differ, the texts of 1 are not known",
        made.summary,
    )
    (notice,) = made.notices
    assert re.fullmatch(
        r"delays of both are simulated, to compare like with like; the first had \d\.\d\d s in the "
        "median, measured",
        notice,
    )
    back = compare(shorter, kept)
    assert back.counts["merged"] == 2
    assert "s later (simulated)" in back.summary


@needs_jiwer
def test_words_that_differ_are_counted_and_shown(kept):
    other = stt.replay(kept, model=Counting(text="alpha zeta gamma"))
    made = compare(kept, other)
    number = len(kept.utterances)
    assert f"{number} words differ" in made.summary
    assert [row.changed_words for row in made.differences] == [1] * number
    assert "beta → zeta" in made._repr_html_()
    assert "- alpha beta gamma\n" in made.to_text()
    assert "+ alpha zeta gamma\n" in made.to_text()


def test_text_held_back_in_one_only_is_a_difference(kept):
    from sttlab.events import Suppressed

    held = Suppressed(utterance_id=0, text="Thanks.", reason="noise", start_s=0, end_s=1)
    other = stt.replay(kept)
    first, *rest = other.utterances
    other.utterances = (replace(first, suppressed=(held,)), *rest)
    (row,) = compare(kept, other).differences
    assert row.held_back == ((), ("Thanks.",))
    made = compare(kept, other)
    assert "+ held back: Thanks." in made._repr_html_()
    assert "+ held back: Thanks." in made.to_text()
    assert "1 held back in the second only" in made.summary


def test_html_is_one_page_with_the_audio(kept, tmp_path):
    made = compare(kept, stt.replay(kept, silence_timeout_s=0.36))
    page = made.to_html(tmp_path / "page.html")
    assert (tmp_path / "page.html").read_text(encoding="utf-8") == page
    assert page.count("<audio") == len(made.differences) > 0
    assert 'src="data:audio/wav;base64,' in page
    assert "http" not in page.replace("http://www.w3.org", "")
    assert "<script" not in page


def test_json_holds_all_rows(kept):
    made = compare(kept, stt.replay(kept, silence_timeout_s=0.36))
    told = json.loads(made.to_json())
    assert told["summary"] == made.summary
    assert [row["kind"] for row in told["rows"]] == [row.kind for row in made.rows]
    assert told["b"]["simulated"] is True


def test_a_replay_that_is_saved_is_the_same_when_opened(kept, tmp_path):
    made = stt.replay(kept, silence_timeout_s=0.36, model=Counting(text="so"))
    saved = open_session(made.save(tmp_path))
    assert saved.utterances == made.utterances
    assert saved.settings == made.settings
    assert saved.simulated
    assert saved.title == made.title
    assert saved.engine == "counting"
    assert compare(made, saved).differences == ()
    assert np.array_equal(saved.recording.samples, kept.recording.samples)
    assert stt.replay(saved).utterances == saved.utterances


# -- against the truth ----------------------------------------------------------------------------

# Speech of `kept`, whose third and fourth sound are one utterance for people.
SPOKEN = [(0.0, 0.4), (1.2, 1.6), (2.4, 2.8), (3.2, 3.6), (4.4, 4.8)]


def test_labels_score_both_with_an_interval_of_the_difference(kept):
    labels = Labels([Turn(start_s=a, end_s=b) for a, b in SPOKEN])
    made = compare(kept, stt.replay(kept, silence_timeout_s=0.36), labels=labels)
    pairs = {pair.metric: pair for pair in made.scores}
    delay = pairs["endpoint_delay_median_ms"]
    assert delay.difference.estimate == delay.b - delay.a == pytest.approx(-240, abs=30)
    assert delay.difference.low <= delay.difference.estimate <= delay.difference.high < 0
    assert delay.is_sure
    assert (pairs["cut_off_rate"].a, pairs["cut_off_rate"].b) == (0, 0.25)
    assert not pairs["cut_off_rate"].is_sure
    assert "endpoint delay, median (ms) 600 ms → 360 ms (difference -" in made.summary
    told = {row["metric"]: row for row in json.loads(made.to_json())["scores"]}
    assert told["endpoint_delay_median_ms"]["high"] == delay.difference.high
    assert told["false"]["low"] is None
    assert str(delay) in made.to_text()
    assert html.escape(str(delay)) in made.to_html()


def test_scores_of_both_are_those_of_score(kept):
    labels = Labels([Turn(start_s=a, end_s=b) for a, b in SPOKEN])
    other = stt.replay(kept, silence_timeout_s=0.36)
    made = compare(kept, other, labels=labels)
    for run, name in ((kept, "a"), (other, "b")):
        expected = stt.score(run.utterances, labels, duration_s=kept.duration_s)
        figures = expected.figures()
        for pair in made.scores:
            told = pair.metric
            if told == "lost_rate":
                value = (expected.missed + expected.cut_off) / expected.utterances
            elif told.endswith("_rate"):
                value = getattr(expected, told.removesuffix("_rate")) / expected.utterances
            else:
                value = figures[told]
            assert getattr(pair, name) == pytest.approx(value, rel=1e-6)


def test_no_difference_is_not_sure(kept):
    labels = Labels([Turn(start_s=a, end_s=b) for a, b in SPOKEN])
    made = compare(kept, stt.replay(kept), labels=labels)
    assert not any(pair.is_sure for pair in made.scores)
    assert made.summary.endswith("no score differs by more than chance")


@needs_jiwer
def test_a_reference_text_gives_the_word_errors_of_both(kept):
    reference = " ".join(["alpha zeta gamma"] * len(kept.utterances) * 4)
    other = stt.replay(kept, model=Counting(text="alpha zeta gamma"))
    (pair,) = compare(kept, other, reference=reference).scores
    assert pair.metric == "word_error_rate"
    assert pair.a > pair.b
    assert pair.difference.low <= pair.b - pair.a <= pair.difference.high


@needs_jiwer
def test_texts_of_labels_are_compared_where_they_are(kept):
    """One turn is two utterances of both runs; what is beyond the labels doesn't count."""
    turns = [Turn(start_s=0.1, end_s=1.6, text="alpha beta gamma alpha zeta gamma")]
    turns += [Turn(start_s=2.4, end_s=3.6, text="alpha zeta gamma")]
    labels = Labels(turns, [(0.0, 4.0)])
    other = stt.replay(kept, model=Counting(text="alpha zeta gamma"))
    pairs = compare(kept, other, labels=labels).scores
    (pair,) = (pair for pair in pairs if pair.metric == "word_error_rate")
    assert (pair.a, pair.b) == pytest.approx((2 / 9, 1 / 9))


@needs_jiwer
def test_word_errors_of_texts_that_are_not_known_are_not_counted(kept):
    other = stt.replay(kept, silence_timeout_s=0.36)
    made = compare(kept, other, reference="alpha beta gamma")
    assert made.scores == ()
    assert any("word errors are not counted: not all texts of replay" in n for n in made.notices)


# -- other pairs ----------------------------------------------------------------------------------


def test_summary_of_two_runs_without_a_text_counts_no_words(data):
    path = data / "pause.flac"
    quick, slow = (stt.replay(path, silence_timeout_s=timeout_s) for timeout_s in (0.4, 1.0))
    assert re.fullmatch(
        r"silence_timeout_s 1 instead of 0.4: \d+ of \d+ utterances merged.*, "
        r"text 0\.\d\d s later \(simulated\), no text is known",
        compare(quick, slow).summary,
    )


@pytest.mark.needs("evaluate")
def test_two_settings_and_two_engines_on_a_recording_compare(data):
    path = data / "pause.flac"
    quick = stt.replay(path, silence_timeout_s=0.4, model=Counting(text="alpha"))
    slow = stt.replay(stt.load(path), silence_timeout_s=1.0, model=Counting(text="beta"))
    assert [u.positions for u in slow.utterances] == [
        (u.start_sample, u.speech_end_sample, u.end_sample)
        for u in stt.segment(stt.load(path), stt.VadConfig(silence_timeout_s=1.0))
    ]
    made = compare(quick, slow, labels=stt.load_labels(data / "pause.rttm"))
    assert "silence_timeout_s 1 instead of 0.4" in made.summary
    assert "merged" in made.summary
    delays = [each[0] for each in made.delays if each]
    assert delays[1] > delays[0] >= 0.4
    assert made.to_text().count("(simulated)") > 2
    assert "delay, median and 90 %: " in made.to_html()
    assert made.notices == ()
    assert "pause.flac" in slow._repr_html_()
    with pytest.raises(KeptError, match="is of a recording, beside which nothing is kept: keep a"):
        slow.save("anywhere")


@pytest.mark.needs("evaluate")
def test_two_sessions_of_the_same_audio_compare_and_of_another_are_said_to_differ(kept, tmp_path):
    samples = kept.recording.samples
    for name, heard in (("same", samples), ("other", np.append(samples[:-99], samples[:99]))):
        with Session(Blocks(heard), model=Counting(), keep=tmp_path / name) as session:
            assert session.wait(WAIT_S)
    assert compare(kept, open_session(tmp_path / "same")).notices == ()
    (notice,) = compare(kept, open_session(tmp_path / "other")).notices
    assert re.match(r"the audio of the two is not the same from \d\.\d s on", notice)


def test_what_is_not_a_run_is_refused(kept):
    with pytest.raises(KeptError, match="compare takes sessions that open_session opened"):
        compare(kept, "kept")  # type: ignore[arg-type]


class TestCommandLine:
    """`sttlab replay` and `sttlab compare`."""

    def test_replay_prints_texts_and_says_in_one_line_what_changed(self, kept, capsys, tmp_path):
        call = ["replay", str(kept.folder), "--set", "silence_timeout_s=0.36"]
        assert main([*call, "--keep", str(tmp_path)]) == 0
        out, err = capsys.readouterr()
        assert out.splitlines()[0] == "0.0\talpha beta gamma"
        assert "silence_timeout_s 0.36 instead of 0.6: 1 of 4 utterances cut in two or more" in err
        saved = open_session(tmp_path)
        assert f"kept in {saved.folder}" in err
        assert saved.settings[0][1].silence_timeout_s == 0.36

    def test_compare_prints_text_json_or_a_page(self, kept, capsys, tmp_path):
        saved = stt.replay(kept, silence_timeout_s=0.36).save(tmp_path)
        for name, start in (("text", "silence_timeout_s"), ("json", "{"), ("html", "<!doctype")):
            assert main(["compare", str(kept.folder), str(saved), "--format", name]) == 0
            assert capsys.readouterr().out.startswith(start)

    @pytest.mark.parametrize(
        ("call", "message"),
        [
            (["--set", "silence_timeout_s"], "--set needs NAME=VALUE, not 'silence_timeout_s'"),
            (["--set", "silence_timeout=1"], "did you mean silence_timeout_s?"),
            (["--set", "silence_timeout_s=long"], "silence_timeout_s must be a number between"),
        ],
    )
    def test_a_setting_that_is_not_valid_is_one_line(self, kept, capsys, call, message):
        assert main(["replay", str(kept.folder), *call]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert message in line

    def test_compare_scores_against_labels(self, kept, capsys, tmp_path):
        labels = tmp_path / "spoken.txt"
        labels.write_text("".join(f"{a}\t{b}\t\n" for a, b in SPOKEN))
        call = ["compare", str(kept.folder), str(kept.folder), "--labels", str(labels)]
        assert main(call) == 0
        assert "cut off or missed (of utterances)" in capsys.readouterr().out

    def test_a_folder_without_a_session_is_one_line(self, capsys, tmp_path):
        assert main(["compare", str(tmp_path), str(tmp_path)]) == 1
        (line,) = capsys.readouterr().err.splitlines()
        assert "holds no kept session" in line
