"""Two runs on the same audio are put side by side: utterances, words, delays, held back text."""

from __future__ import annotations

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
from sttlab.kept.session import KeptUtterance, open_session
from sttlab.live.session import Session
from tests.fakes import WAIT_S, Blocks, Counting, speech


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
    assert made.notices == ("delays of one are measured, of the other simulated",)
    back = compare(shorter, kept)
    assert back.counts["merged"] == 2
    assert "s later (simulated)" in back.summary


def test_words_that_differ_are_counted_and_shown(kept):
    pytest.importorskip("jiwer", reason="jiwer not installed (`make test` installs it)")
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
    assert "+ held back: Thanks." in compare(kept, other)._repr_html_()


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

    def test_a_folder_without_a_session_is_one_line(self, capsys, tmp_path):
        assert main(["compare", str(tmp_path), str(tmp_path)]) == 1
        (line,) = capsys.readouterr().err.splitlines()
        assert "holds no kept session" in line
