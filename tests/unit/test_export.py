"""Exported files are read back as a player reads them: by FFmpeg, through PyAV."""

import json
from dataclasses import replace
from pathlib import Path

import av
import pytest

from sttlab import export
from sttlab.events import Segment, Word

AWKWARD = {
    "plain": "Guten Tag",
    "other scripts": "日本語 – ü ١٢٣",
    "comparison": "5 < 6 > 3",
    "entity": "Tom &amp; Jerry & co",
    "arrow": "from a --> b",
    "long arrow": "a ---> b",
    "tag": "a <b>bold</b> word",
    "newline": "two\nlines",
    "blank line": "two\n\nparagraphs",
    "a cue in itself": "x\n\n7\n00:00:01,000 --> 00:00:02,000\ny",
}


def segment(text: str, start_s: float = 1.0, end_s: float = 2.5) -> Segment:
    return Segment(start_s=start_s, end_s=end_s, text=text, confidence=0.5)


def played(path: Path) -> list[tuple[int, int, str]]:
    """Return the cues that FFmpeg shows: start and end in ms, and text without ASS escapes."""
    cues = []
    with av.open(str(path)) as container:
        for packet in container.demux(subtitles=0):
            for subtitle in packet.decode() if packet.pts is not None else ():
                text = subtitle.dialogue.decode().replace("\u2060", "")
                cues.append((packet.pts, packet.pts + packet.duration, text))
    return cues


@pytest.mark.parametrize("name", AWKWARD)
def test_vtt_shows_the_text_itself(name: str, tmp_path: Path) -> None:
    path = tmp_path / "x.vtt"
    path.write_text(export.to_vtt([segment(AWKWARD[name]), segment("after", 3, 4)]), "utf-8")
    shown = played(path)
    assert [text for _, _, text in shown] == [" ".join(AWKWARD[name].split()), "after"]


@pytest.mark.parametrize("name", [name for name in AWKWARD if name != "tag"])
def test_srt_shows_the_text_but_for_arrows(name: str, tmp_path: Path) -> None:
    path = tmp_path / "x.srt"
    path.write_text(export.to_srt([segment(AWKWARD[name]), segment("after", 3, 4)]), "utf-8")
    expected = " ".join(AWKWARD[name].split()).replace("--->", "->").replace("-->", "->")
    assert [text for _, _, text in played(path)] == [expected, "after"]


def test_srt_keeps_tags_as_they_are() -> None:
    text = export.to_srt([segment(r"a <b>bold</b> & {\an8} word")])
    assert text == "1\n00:00:01,000 --> 00:00:02,500\na <b>bold</b> & {\\an8} word\n"


@pytest.mark.parametrize("suffix", ["srt", "vtt"])
def test_times_are_exact_to_the_millisecond_past_an_hour(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"x.{suffix}"
    segments = [segment("a", 0.0004, 59.9996), segment("b", 3599.9995, 3661.001)]
    segments += [segment("c", 90_000, 90_000), segment("d", 360_000.25, 360_001)]
    path.write_text(getattr(export, f"to_{suffix}")(segments), "utf-8")
    assert [(start, end) for start, end, _ in played(path)] == [
        (0, 60_000),
        (3_600_000, 3_661_001),
        (90_000_000, 90_000_001),
        (360_000_250, 360_001_000),
    ]


@pytest.mark.parametrize(("suffix", "empty"), [("txt", ""), ("srt", ""), ("vtt", "WEBVTT\n")])
def test_segments_without_text_are_left_out(suffix: str, empty: str) -> None:
    write = getattr(export, f"to_{suffix}")
    assert write([]) == write([segment(""), segment(" \n")]) == empty
    assert write([segment(""), segment("a")]) == write([segment("a")])


def test_txt_has_a_line_for_each_segment() -> None:
    assert export.to_txt([segment(" one\ntwo "), segment("three")]) == "one two\nthree\n"


def test_json_is_one_line_that_reads_back() -> None:
    line = export.to_json([segment(' "ä"\nb ', 1 / 3, 2)], file="x.wav", text="ä b")
    assert line.count("\n") == 1
    assert "ä" in line
    assert json.loads(line) == {
        "file": "x.wav",
        "text": "ä b",
        "segments": [{"start": 0.333, "end": 2.0, "text": '"ä"\nb', "confidence": 0.5}],
    }


def test_json_has_words_where_there_are_some() -> None:
    word = Word(start_s=0.25, end_s=0.5, text="one", confidence=0.75)
    line = export.to_json([replace(segment("one"), words=(word,)).later(1)])
    (part,) = json.loads(line)["segments"]
    assert part["words"] == [{"start": 1.25, "end": 1.5, "text": "one", "confidence": 0.75}]


def by(speaker: str | None, text: str = "hello") -> Segment:
    return replace(segment(text), speaker=speaker)


def test_vtt_names_the_voice(tmp_path: Path) -> None:
    text = export.to_vtt([by("Anna <B> & Co", "a < b"), by(None)])
    assert "<v Anna &lt;B&gt; &amp; Co>a &lt; b\n" in text
    assert text.endswith("\nhello\n")
    path = tmp_path / "x.vtt"
    path.write_text(export.to_vtt([by("Anna")]), "utf-8")
    assert [shown for _, _, shown in played(path)] == ["hello"]


def test_srt_and_text_begin_with_the_speaker() -> None:
    assert export.to_txt([by("Anna"), by(None)]) == "Anna: hello\nhello\n"
    assert "\nAnna->Ben: hello\n" in export.to_srt([by("Anna-->Ben")])


def test_json_has_the_speaker_only_where_it_is_known() -> None:
    known, unknown = json.loads(export.to_json([by("Anna"), by(None)]))["segments"]
    assert known["speaker"] == "Anna"
    assert "speaker" not in unknown


def test_rttm_is_read_back_with_its_speakers(tmp_path: Path) -> None:
    from sttlab.evaluate.labels import Turn, load_labels

    turns = [Turn(start_s=0.5, end_s=1.25, speaker="Speaker 1"), Turn(start_s=2, end_s=3)]
    path = tmp_path / "x.rttm"
    path.write_text(export.to_rttm(turns, "my talk"), "utf-8")
    assert path.read_text("utf-8").startswith("SPEAKER my_talk 1 0.500 0.750 ")
    assert [turn.speaker for turn in load_labels(path)] == ["Speaker_1", "speech"]
