"""Labels: read from real files and small ones, written and read back, refused with a reason."""

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sttlab.audio import SAMPLE_RATE, Recording
from sttlab.decoding import load
from sttlab.errors import LabelError
from sttlab.evaluate.doubt import doubt
from sttlab.evaluate.labels import Labels, Turn, as_labels, load_labels, union
from sttlab.evaluate.score import score
from sttlab.trace import Trace

TEXTGRID = """File type = "ooTextFile"
Object class = "TextGrid"

xmin = 0
xmax = 4
tiers? <exists>
size = 2
item []:
    item [1]:
        class = "IntervalTier"
        name = "anna"
        xmin = 0
        xmax = 4
        intervals: size = 3
        intervals [1]:
            xmin = 0
            xmax = 1
            text = "sil"
        intervals [2]:
            xmin = 1
            xmax = 2.5
            text = "good morning"
        intervals [3]:
            xmin = 2.5
            xmax = 4
            text = ""
    item [2]:
        class = "TextTier"
        name = "clicks"
        xmin = 0
        xmax = 4
        points: size = 1
        points [1]:
            number = 3
            mark = "click"
"""


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def turn(start_s: float, end_s: float, speaker: str = "", text: str = "") -> Turn:
    return Turn(start_s=start_s, end_s=end_s, speaker=speaker, text=text)


@pytest.mark.parametrize(
    ("name", "text", "turns"),
    [
        (
            "a.rttm",
            ";; made by hand\nSPKR-INFO m 1 <NA> <NA> <NA> unknown bo <NA> <NA>\n\n"
            "SPEAKER m 1 2.5 0.5 <NA> <NA> bo <NA> <NA>\nSPEAKER m 1 0.25 1 <NA> <NA> <NA> <NA>\n",
            [turn(0.25, 1.25), turn(2.5, 3.0, "bo")],
        ),
        ("a.rttm", "SPEAKER m 1 3 0 <NA> <NA> x\nSPEAKER m 1 1 1", [turn(1, 2)]),
        (
            "a.txt",
            "1.5\t2.0\thello there\n\\\t100\t300\n0.5\t1.0\n",
            [turn(0.5, 1), turn(1.5, 2, "", "hello there")],
        ),
        (
            "a.json",
            '{"language": "en", "segments": [{"start": 1, "end": 2.5, "text": "hi"}]}',
            [turn(1, 2.5, "", "hi")],
        ),
        ("a.TextGrid", TEXTGRID, [turn(1, 2.5, "anna", "good morning")]),
        ("empty.rttm", "", []),
        ("bom.txt", "\ufeff0\t1\tone", [turn(0, 1, "", "one")]),
    ],
)
def test_load_labels_reads_each_format(tmp_path, name, text, turns):
    if name.endswith("TextGrid"):
        pytest.importorskip("praatio", reason="praatio not installed (`make test` installs it)")
    assert load_labels(write(tmp_path / name, text)).turns == tuple(turns)


def test_load_labels_reads_the_files_in_data(data):
    meeting = load_labels(data / "meeting-1.rttm")
    assert len(meeting) == 14
    assert meeting.turns[0] == turn(3.168, 3.968, "MEO069")
    assert len(meeting.speakers) > 1
    assert len(meeting.speech) < len(meeting)  # some turns overlap


def test_uem_beside_an_rttm_gives_the_scored_parts(tmp_path):
    path = write(tmp_path / "a.rttm", "SPEAKER m 1 1 1 <NA> <NA> x <NA> <NA>")
    assert load_labels(path).scored is None
    write(tmp_path / "a.uem", "m NA 6.0 7.0\nm NA 0.0 5.0\n")
    assert load_labels(path).scored == ((0.0, 5.0), (6.0, 7.0))
    assert load_labels(tmp_path / "a.uem") == Labels((), [(0, 5), (6, 7)])


def test_recording_is_chosen_from_an_rttm_of_several(tmp_path):
    lines = "SPEAKER a 1 0 1 <NA> <NA> x\nSPEAKER b 1 2 1 <NA> <NA> y\n"
    path = write(tmp_path / "both.rttm", lines)
    assert load_labels(path, recording="b").turns == (turn(2, 3, "y"),)
    with pytest.raises(LabelError, match=r"2 recordings \(a, b\)"):
        load_labels(path)
    with pytest.raises(LabelError, match="no 'c', but a, b"):
        load_labels(path, recording="c")


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("a.rttm", "SPEAKER m 1 0 1 <NA> <NA> x\nSPEAKER m 1 0", "line 2: 5 fields"),
        ("a.rttm", "SPEAKER m 1 zero 1 <NA> <NA> x", "line 1: 'zero' is not a time"),
        ("a.rttm", "SPEAKER m 1 nan 1 <NA> <NA> x", "line 1: 'nan' is not a time"),
        ("a.rttm", "SPEAKER m 1 3 -1 <NA> <NA> x", "line 1: .* not go from 3 to 2 s"),
        ("a.rttm", "SPEAKER m 1 -2 1 <NA> <NA> x", "line 1: .* 0 s or later"),
        ("a.uem", "m NA 0", "line 1: 4 fields"),
        ("a.txt", "0 1 spaces", "line 1: .*tabs"),
        ("a.txt", "0\t1\tok\n1,5\t2\tcomma", "line 2: '1,5' is not a time"),
        ("a.txt", "0.2\t0.2\tspeech\n", "1 labels without length"),
        ("a.json", "{", "not JSON"),
        ("a.json", "[]", 'a list "segments"'),
        ("a.json", '{"segments": [{"start": 0}]}', "segment 1: start and end"),
        ("a.json", '{"segments": [{"start": "0", "end": 1}]}', "segment 1: '0' is not a time"),
        ("a.json", '{"segments": [], "scored": [1, 2]}', "scored part 1"),
        ("a.TextGrid", "", "not a TextGrid"),
        ("a.TextGrid", TEXTGRID.replace("xmax = 2.5", "xmax = 0.5"), "not a TextGrid"),
        ("a.srt", "", "must end in one of .rttm"),
    ],
)
def test_invalid_label_file_raises_with_line_and_reason(tmp_path, name, text, says):
    if name.endswith("TextGrid"):
        pytest.importorskip("praatio", reason="praatio not installed (`make test` installs it)")
    with pytest.raises(LabelError, match=says):
        load_labels(write(tmp_path / name, text))


def test_missing_binary_or_unwritable_label_file_is_named(tmp_path):
    with pytest.raises(LabelError, match=r"none\.rttm: No such file"):
        load_labels(tmp_path / "none.rttm")
    (tmp_path / "a.rttm").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(LabelError, match="not UTF-8"):
        load_labels(tmp_path / "a.rttm")
    with pytest.raises(LabelError, match="cannot write"):
        Labels().save(tmp_path / "no" / "a.rttm")
    with pytest.raises(LabelError, match=r"saved as \.rttm"):
        Labels().save(tmp_path / "a.srt")


@pytest.mark.parametrize("times", [(1, 1), (2, 1), (-1, 1), (0, math.inf), ("0", 1), (True, 2)])
def test_turn_with_times_out_of_order_is_refused(times):
    with pytest.raises(LabelError):
        turn(*times)


words = st.text("abc é<&\"'", max_size=6).map(str.strip)
turns = st.builds(
    lambda start, length, speaker, text: turn(start / 1000, (start + length) / 1000, speaker, text),
    st.integers(0, 100_000),
    st.integers(1, 50_000),
    words,
    words,
)


@given(st.lists(turns, max_size=8), st.sampled_from(["rttm", "txt", "json"]))
def test_saved_labels_load_to_equal_labels(tmp_path_factory, found, kind):
    path = tmp_path_factory.mktemp("labels") / f"a.{kind}"
    labels = Labels(found, [(0, 100)] if kind == "json" else None)
    labels.save(path)
    back = load_labels(path)
    times = [(t.start_s, t.end_s) for t in labels]
    assert np.allclose([(t.start_s, t.end_s) for t in back], times, atol=6e-4)
    if kind == "json":
        assert back == labels


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(1, 20)), max_size=12), st.integers(0, 9))
def test_union_equals_a_count_frame_by_frame(spans, gap):
    spoken = np.zeros(100, bool)
    for start, length in spans:
        spoken[start : start + length] = True
    edges = np.flatnonzero(np.diff(np.concatenate([[0], spoken.astype(int), [0]])))
    expected: list[list[int]] = []
    for start, end in edges.reshape(-1, 2).tolist():
        if expected and start - expected[-1][1] < gap:
            expected[-1][1] = end
        else:
            expected.append([start, end])
    assert union([(s, s + n) for s, n in spans], gap).tolist() == expected


def test_gap_as_long_as_gap_s_is_not_closed():
    labels = Labels([turn(0, 1), turn(1.5, 2)])
    assert labels.utterances(gap_s=0.5).tolist() == [[0, 1], [1.5, 2]]
    assert labels.utterances(gap_s=0.51).tolist() == [[0, 2]]


def test_html_of_labels_shows_every_turn_and_escapes_text():
    page = Labels([turn(0, 1, "a", "<b>&"), turn(1, 2, "c")])._repr_html_()
    assert page.count("<rect") == 2
    assert "2 speakers" in page
    assert "&lt;b&gt;&amp;" in page
    assert "<b>" not in page
    assert "0 turns" in Labels()._repr_html_()


PAGE = """{"segments": [
 {"start": 0, "end": 1, "text": "elsewhere", "kept": {"session": "a", "start": 0, "end": 1}},
 {"start": 5, "end": 6, "text": "before", "kept": {"session": "b", "start": 1, "end": 2}},
 {"start": 7, "end": 8, "text": "put right", "kept":
  {"session": "b", "start": 3, "end": 4, "edited": true}},
 {"start": 9, "end": 10, "text": "read", "kept": {"session": "b", "start": 5, "end": 6}},
 {"start": 11, "end": 12, "text": "right", "kept":
  {"session": "b", "start": 7, "end": 8, "edited": true}},
 {"start": 13, "end": 14, "text": "not kept"}
]}"""


def test_corrections_of_a_kept_session_are_labels_in_its_time(tmp_path: Path) -> None:
    path = write(tmp_path / "transcript.json", PAGE)
    labels = load_labels(path, recording="b")
    assert [(t.start_s, t.text) for t in labels] == [
        (1, "before"),
        (3, "put right"),
        (5, "read"),
        (7, "right"),
    ]
    assert labels.scored == ((3, 8),)
    assert len(load_labels(path)) == 6
    with pytest.raises(LabelError, match="no line of 'a' that a person has corrected"):
        load_labels(path, recording="a")
    with pytest.raises(LabelError, match="has no 'c', but a, b"):
        load_labels(path, recording="c")


@pytest.mark.parametrize("wrong", [None, 3, [(1, 2)]])
def test_what_is_not_labels_is_refused_in_words(wrong: object) -> None:
    with pytest.raises(LabelError, match="must be Labels or the path of a file of labels, not"):
        as_labels(wrong)


def test_labels_are_given_as_they_are_or_by_their_file(data: Path) -> None:
    labels = load_labels(data / "demo.rttm")
    assert as_labels(labels) is labels
    assert as_labels(list(labels)) == Labels(labels)
    for path in (data / "demo.rttm", str(data / "demo.rttm")):
        assert as_labels(path) == labels
        assert score([(1, 2)], path) == score([(1, 2)], labels)


def test_labels_of_another_recording_are_questioned(data: Path) -> None:
    labels, trace = load_labels(data / "demo.rttm"), Trace(load(data / "demo.flac"))
    assert doubt(labels, trace) == ""
    assert doubt(Labels(), trace) == ""
    short = Trace(Recording(trace.samples[: 5 * SAMPLE_RATE]))
    expected = "labels go on to 29.9 s, and the recording ends at 5.0 s: are they those of another"
    assert expected in doubt(labels, short)
    gaps = zip(labels.speech[:-1, 1], labels.speech[1:, 0], strict=True)
    silence = Labels(Turn(start_s=start_s, end_s=end_s) for start_s, end_s in gaps)
    assert "no louder than elsewhere" in doubt(silence, trace)


def test_speakers_are_renamed_and_those_without_another_name_stay():
    labels = Labels(
        [Turn(start_s=0, end_s=1, speaker="a"), Turn(start_s=1, end_s=2, speaker="b")], [(0, 2)]
    )
    renamed = labels.renamed({"a": "Anna", "c": "Cleo"})
    assert [turn.speaker for turn in renamed] == ["Anna", "b"]
    assert renamed.scored == labels.scored
