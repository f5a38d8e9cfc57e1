"""Corpora: what is read of folders and tables, splits, labels of other tools, sweeps and tables."""

from __future__ import annotations

import csv
import gzip
import io
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

import sttlab as stt
from sttlab.audio import SAMPLE_RATE
from sttlab.cli import main
from sttlab.errors import ConfigError, LabelError
from sttlab.evaluate.corpus import Corpus
from sttlab.evaluate.labels import Labels, Turn, load_labels

NAMES = ("austen-1", "austen-2", "cough", "pause")


@pytest.fixture
def folder(data: Path, tmp_path: Path) -> Path:
    """Four labelled recordings in two sessions; one has its text nowhere, one no labels."""
    for name in NAMES:
        target = tmp_path / "corpus" / ("read" if name.startswith("austen") else "talk")
        target.mkdir(parents=True, exist_ok=True)
        for suffix in (".flac", ".rttm", ".txt"):
            shutil.copy(data / f"{name}{suffix}", target)
    (tmp_path / "corpus/talk/cough.txt").unlink()
    (tmp_path / "corpus/talk/pause.rttm").unlink()
    return tmp_path / "corpus"


def test_a_folder_is_read_with_the_labels_and_texts_beside_its_audio(folder: Path) -> None:
    corpus = Corpus(folder)
    assert [item.name for item in corpus] == [
        "read/austen-1",
        "read/austen-2",
        "talk/cough",
        "talk/pause",
    ]
    assert {item.session for item in corpus} == {"read", "talk"}
    first = corpus["read/austen-1"]
    assert first.text == (folder / "read/austen-1.txt").read_text().strip()
    assert first.labels == load_labels(folder / "read/austen-1.rttm")
    assert first.duration_s == pytest.approx(first.load().duration_s, abs=0.01)
    assert corpus["talk/pause"].labels is None
    assert corpus["talk/cough"].text is None


def test_nothing_is_decoded_before_it_is_needed(folder: Path) -> None:
    (folder / "read/austen-1.flac").write_bytes(b"not audio")
    broken = Corpus(folder)["read/austen-1"]
    with pytest.raises(stt.SttlabError, match="austen-1"):
        broken.load()


def test_a_label_track_beside_audio_is_not_its_text(folder: Path) -> None:
    (folder / "talk/pause.txt").write_text("0.5\t1.5\thello\n")
    item = Corpus(folder)["talk/pause"]
    assert [turn.text for turn in item.labels or ()] == ["hello"]
    assert item.text == "hello"


@pytest.mark.parametrize("name", ["manifest.jsonl", "metadata.csv"])
def test_a_table_says_what_is_known_and_what_is_wrong_with_a_line(folder: Path, name: str) -> None:
    rows = [
        {"file_name": "read/austen-1.flac", "text": "Read it.", "lang": "en", "speaker": "Jane"},
        {"file_name": "read/austen-2.flac", "offset": "1", "duration": "1.5", "accent": "British"},
        {"file_name": "read/gone.flac"},
        {"file_name": "talk/cough.flac", "channel": "left"},
    ]
    if name.endswith("csv"):
        with (folder / name).open("w", newline="") as file:
            table = csv.DictWriter(file, sorted({key for row in rows for key in row}))
            table.writeheader()
            table.writerows(rows)
    else:
        (folder / name).write_text("".join(json.dumps(row) + "\n" for row in rows))
    for path in (folder, folder / name):
        corpus = Corpus(path)
        jane, part = corpus
        assert (jane.text, jane.language, jane.speaker) == ("Read it.", "en", "Jane")
        assert part.tags == {"accent": "British"}
        assert part.load().duration_s == part.duration_s == 1.5
        whole = load_labels(folder / "read/austen-2.rttm").turns[0]
        turn = (part.labels or Labels()).turns[0]
        assert turn.start_s == max(whole.start_s - 1, 0)
        assert turn.end_s == pytest.approx(min(whole.end_s - 1, 1.5))
        assert part.text is None
        assert [problem.split(": ")[1] for problem in corpus.problems] == [
            f"there is no file {folder / 'read/gone.flac'}",
            "channel must be a number, not 'left'",
        ]
        assert len(corpus.filter(accent="British")) == len(corpus.filter(language="en")) == 1


def test_kaldis_data_folder_is_read_and_its_commands_are_not_run(folder: Path) -> None:
    (folder / "wav.scp").write_text("a read/austen-1.flac\nb sph2pipe x.sph |\nc nowhere.wav\n")
    (folder / "segments").write_text("a-1 a 0.5 2.0\na-2 a 2.5 3\na-3 a 5 4\n")
    (folder / "utt2spk").write_text("a-1 jane\na-2 john\n")
    (folder / "text").write_text("a-1 it is a truth\na-2 yes\n")
    corpus = Corpus(folder)
    (item,) = corpus
    assert item.labels == Labels(
        [
            Turn(start_s=0.5, end_s=2.0, speaker="jane", text="it is a truth"),
            Turn(start_s=2.5, end_s=3.0, speaker="john", text="yes"),
        ]
    )
    assert (item.text, item.speakers) == ("it is a truth yes", ("jane", "john"))
    assert "runs none" in " ".join(corpus.problems)
    assert len(corpus.problems) == 3


def test_lhotses_manifests_are_read(folder: Path) -> None:
    source = [{"type": "file", "channels": [0], "source": "read/austen-1.flac"}]
    recording = {"id": "a", "sources": source, "sampling_rate": 16000, "duration": 4}
    turn = {"id": "a-1", "recording_id": "a", "start": 0.5, "duration": 1.5, "speaker": "jane"}
    for name, row in (("recordings", recording), ("supervisions", turn)):
        with gzip.open(folder / f"{name}.jsonl.gz", "wt") as file:
            file.write(json.dumps(row) + "\n")
    (item,) = Corpus(folder)
    assert item.labels == Labels([Turn(start_s=0.5, end_s=2.0, speaker="jane")])


@pytest.fixture
def call(data: Path, tmp_path: Path) -> Path:
    """A folder with a telephone call of two channels, in each of which one person speaks."""
    soundfile = pytest.importorskip("soundfile")
    sides = [stt.load(data / f"{name}.flac").samples for name in ("austen-1", "austen-2")]
    stereo = np.zeros((max(map(len, sides)), 2), np.float32)
    for number, side in enumerate(sides):
        stereo[: len(side), number] = side
    (tmp_path / "calls").mkdir()
    soundfile.write(tmp_path / "calls/call.flac", stereo, SAMPLE_RATE)
    return tmp_path / "calls"


def test_each_channel_of_a_file_is_a_recording(call: Path, data: Path) -> None:
    for given in (call / "call.flac", (call / "call.flac").read_bytes()):
        one, other = stt.split_channels(given)
        first = stt.load(data / "austen-1.flac").samples
        assert np.array_equal(one.samples[: len(first)], first)
        assert other.origin.endswith(", channel 2")
        assert other.notices == ()
    assert [r.duration_s for r in stt.split_channels(data / "austen-1.flac")] == [
        len(first) / SAMPLE_RATE
    ]


@pytest.mark.parametrize("suffix", [".rttm", ".json", ".labelstudio.json"])
def test_each_channel_has_the_labels_that_name_it(call: Path, data: Path, suffix: str) -> None:
    turns = [Turn(start_s=1, end_s=2, speaker="Jane", text="Hello", channel=1)]
    turns += [Turn(start_s=2, end_s=4, speaker="John", text="Yes?", channel=2)]
    Labels(turns).save(call / f"call{suffix}")
    if suffix == ".labelstudio.json":
        (call / f"call{suffix}").rename(call / "call.json")
    corpus = Corpus(call)
    assert corpus["call"].labels is not None
    assert len(corpus["call"].labels) == 2
    split = corpus.split_channels()
    assert [(item.name, item.session, item.speakers) for item in split] == [
        ("call-channel1", "call", ("Jane",)),
        ("call-channel2", "call", ("John",)),
    ]
    assert split["call-channel2"].text == (None if suffix == ".rttm" else "Yes?")
    heard = split["call-channel2"].load().samples
    second = stt.load(data / "austen-2.flac").samples
    assert np.array_equal(heard[: len(second)], second)
    assert split.problems == ()
    assert [item.name for item in split.split_channels()] == [item.name for item in split]
    with pytest.raises(ConfigError, match="one session"):
        split.split(0.5, by="session")


def test_labels_without_channels_are_of_none_of_them_and_that_is_said(call: Path) -> None:
    (call / "call.rttm").write_text("SPEAKER call 1 1 2 <NA> <NA> Jane <NA> <NA>\n")
    (call / "call.txt").write_text("Hello. Yes?\n")
    shutil.copy(call / "call.flac", call / "other.flac")
    (call / "broken.flac").write_bytes(b"not audio")
    split = Corpus(call).split_channels()
    assert [item.name for item in split] == [
        "broken",
        *(f"{name}-channel{number}" for name in ("call", "other") for number in (1, 2)),
    ]
    assert split["call-channel1"].labels is None
    assert split["call-channel1"].text is None
    (problem,) = split.problems
    assert "the labels of call" in problem


def test_a_table_may_have_a_line_for_each_channel(call: Path) -> None:
    rows = [{"file": "call.flac", "channel": n, "speaker": f"s{n}", "text": "x"} for n in (1, 2)]
    (call / "manifest.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    corpus = Corpus(call)
    assert [(item.name, item.speaker) for item in corpus] == [
        ("call-channel1", "s1"),
        ("call-channel2", "s2"),
    ]
    assert corpus.problems == ()
    assert [item.name for item in corpus.split_channels()] == [item.name for item in corpus]


@pytest.mark.parametrize("content", [None, "", "[1]\n", "not JSON\n"])
def test_what_is_not_a_corpus_is_refused_in_words(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "corpus.jsonl"
    if content is not None:
        path.write_text(content)
    with pytest.raises(ConfigError, match=r"corpus\.jsonl"):
        Corpus(path)


def test_a_split_shares_no_speaker_and_does_not_depend_on_the_order(tmp_path: Path) -> None:
    speakers = ["a", "b", "c", "b", "d", "e", "a", "f", "g", "h"]
    wav = stt.Recording(np.zeros(1600, np.float32))
    for number in range(len(speakers)):
        wav.save(tmp_path / f"{number}.wav")
    turns = (
        f"SPEAKER 3 1 {at} 0.05 <NA> <NA> {who} <NA> <NA>\n" for at, who in ((0, "b"), (0.05, "c"))
    )
    (tmp_path / "3.rttm").write_text("".join(turns))

    def corpus(order: list[int]) -> Corpus:
        rows = [{"file": f"{i}.wav", "speaker": speakers[i] if i != 3 else None} for i in order]
        (tmp_path / "manifest.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
        return Corpus(tmp_path)

    seen = set()
    for seed in range(8):
        one, other = corpus(list(range(10))).split(0.4, seed=seed)
        assert not set(one.speakers) & set(other.speakers)
        assert len(one) + len(other) == 10
        assert 1 <= len(one) <= 4
        again, _ = corpus(list(range(10))[::-1]).split(0.4, seed=seed)
        names = {item.name for item in one}
        assert {item.name for item in again} == names
        seen.add(frozenset(names))
    assert len(seen) > 4
    with pytest.raises(ConfigError, match="one speaker"):
        corpus([1, 3]).split(0.5)


@pytest.mark.needs("evaluate")
@pytest.mark.parametrize("name", ["a.TextGrid", "a.eaf", "a.labelstudio.json", "a.json"])
def test_labels_of_other_tools_are_written_and_read_back(tmp_path: Path, name: str) -> None:
    labels = Labels(
        [
            Turn(start_s=0.25, end_s=1.5, speaker="Jane", text="It is a truth."),
            Turn(start_s=1.0, end_s=2.0, speaker="John", text="Universally – “acknowledged”."),
            Turn(start_s=2.5, end_s=3.125, speaker="Jane", text="Yes"),
        ]
    )
    for _ in range(2):  # the second time over the first
        labels.save(tmp_path / name)
    assert load_labels(tmp_path / name) == labels
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.needs("evaluate")
@pytest.mark.parametrize("name", ["a.TextGrid", "a.eaf"])
def test_turns_of_one_person_that_overlap_become_one_in_a_tier(tmp_path: Path, name: str) -> None:
    one, other = Turn(start_s=0, end_s=2, text="one"), Turn(start_s=1, end_s=3, text="two")
    Labels([one, other]).save(tmp_path / name)
    assert load_labels(tmp_path / name) == Labels([Turn(start_s=0, end_s=3, text="one two")])


@pytest.mark.needs("evaluate")
@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"<a><TIER>x</TIER></a>"])
def test_what_is_not_an_elan_file_is_refused_in_words(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.eaf").write_bytes(content)
    with pytest.raises(LabelError, match=r"a\.eaf are not an ELAN file"):
        load_labels(tmp_path / "a.eaf")


def test_one_task_of_label_studio_is_chosen_by_its_audio(tmp_path: Path) -> None:
    def task(audio: str, speaker: str) -> dict[str, object]:
        value = {"start": 1, "end": 2.5, "channel": 0, "labels": [speaker]}
        result = {"id": "x", "type": "labels", "value": value}
        said = {"id": "x", "type": "textarea", "value": {"start": 1, "end": 2.5, "text": ["Hi"]}}
        return {"data": {"audio": audio}, "annotations": [{"result": [result, said]}]}

    tasks = [task("/data/upload/1/0a1b2c3d-one.wav", "Jane"), task("s3://x/two.wav", "John")]
    (tmp_path / "export.json").write_text(json.dumps(tasks))
    found = load_labels(tmp_path / "export.json", recording="one")
    assert found == Labels([Turn(start_s=1, end_s=2.5, speaker="Jane", text="Hi")])
    with pytest.raises(LabelError, match="one, two"):
        load_labels(tmp_path / "export.json")


@pytest.mark.needs("evaluate")
def test_a_corpus_is_swept_and_what_is_left_out_is_said(folder: Path) -> None:
    (folder / "read/austen-2.flac").write_bytes(b"not audio")
    corpus = Corpus(folder)
    grid: dict[str, list[float]] = {"margin_db": [4, 8], "silence_timeout_s": [0.3, 0.6]}
    found = stt.sweep(corpus, grid)
    items = [corpus[name] for name in ("read/austen-1", "talk/cough")]
    same = stt.sweep(
        [item.load() for item in items], [item.labels or Labels() for item in items], grid
    )
    assert found.scores == same.scores
    assert [why.split(":")[0] for why in found.left_out] == ["talk/pause", "read/austen-2"]
    assert "left out" in found._repr_html_()
    frame = found.to_frame(by="recording")
    assert list(frame["recording"].unique()) == ["read/austen-1", "talk/cough"]
    assert len(frame) == 2 * len(found) == 2 * len(found.to_frame())
    alone = stt.sweep([items[0].load()], [items[0].labels or Labels()], grid)
    assert (
        frame["detection_error_rate"][:4].tolist() == alone.metric("detection_error_rate").tolist()
    )
    with pytest.raises(ConfigError, match="no labels"):
        stt.sweep(corpus.filter(labelled=False), grid)


@pytest.mark.needs("evaluate")
def test_a_corpus_shows_what_it_holds_and_lacks(folder: Path) -> None:
    (folder / "talk/cough.rttm").write_text("SPEAKER\n")
    corpus = Corpus(folder)
    page = corpus._repr_html_()
    assert "<th>" not in page
    for words in ("recordings</th><td>4", "without labels</th><td>2", "⚠ talk/cough: labels"):
        assert words in page
    frame = corpus.to_frame()
    assert frame.loc["read/austen-1", "turns"] == len(corpus["read/austen-1"].labels or ())
    assert "fields are needed" in frame.loc["talk/cough", "problem"]


def test_labels_that_cannot_be_read_keep_nothing_else_from_going_on(folder: Path) -> None:
    (folder / "talk/cough.rttm").write_text("SPEAKER\n")
    corpus = Corpus(folder)
    chosen = corpus.filter(labelled=True)
    assert [item.name for item in chosen] == ["read/austen-1", "read/austen-2"]
    (problem,) = chosen.problems
    assert problem.startswith("talk/cough: labels")
    assert sum(map(len, corpus.split(0.5))) == 4
    assert corpus.speakers == chosen.speakers
    assert repr(corpus) == f"<Corpus {folder}: 4 recordings>"
    assert corpus["talk/cough"].levels.speech_dbfs > -60


@pytest.mark.needs("evaluate")
def test_levels_are_measured_when_they_are_asked_for(folder: Path) -> None:
    corpus = Corpus(folder)
    assert "levels</th><td>not measured" in corpus._repr_html_()
    assert "noise_floor_dbfs" not in corpus.to_frame()
    quiet = corpus["read/austen-1"].load().samples * np.float32(0.1)
    stt.Recording(quiet).save(folder / "read/austen-2.flac")
    for suffix in (".rttm", ".txt"):
        shutil.copy(folder / f"read/austen-1{suffix}", folder / f"read/austen-2{suffix}")
    done: list[tuple[int, int]] = []
    corpus = Corpus(folder).measure(progress=lambda *given: done.append(given))
    assert done == [(1, 4), (2, 4), (3, 4), (4, 4)]
    loud, soft = (corpus[f"read/austen-{number}"].levels for number in (1, 2))
    assert loud.speech_dbfs - soft.speech_dbfs == pytest.approx(20, abs=0.1)
    assert loud.speech_dbfs > loud.noise_floor_dbfs + 15
    frame = corpus.to_frame()
    assert frame.loc["read/austen-1", "speech_dbfs"] == loud.speech_dbfs
    assert frame["noise_floor_dbfs"].notna().all()
    assert f"−{-frame['noise_floor_dbfs'].median():.0f} dBFS (−" in corpus._repr_html_()


def test_a_recording_that_cannot_be_decoded_has_no_levels_and_is_named(folder: Path) -> None:
    (folder / "read/austen-2.flac").write_bytes(b"not audio")
    corpus = Corpus(folder).measure().measure()
    (problem,) = corpus.problems
    assert problem.startswith("the levels of read/austen-2:")
    assert "of 3 recordings" in corpus._repr_html_()


def test_a_training_set_has_each_labelled_turn_with_its_text(folder: Path, tmp_path: Path) -> None:
    (folder / "talk/pause.txt").write_text("0.5\t1.5\thello\n2\t3.25\tthere\n")
    made = Corpus(folder).to_audiofolder(tmp_path / "training")
    assert [(item.name, item.text) for item in made][2:] == [
        ("talk-pause-0000", "hello"),
        ("talk-pause-0001", "there"),
    ]
    part = made["talk-pause-0001"].load()
    whole = stt.load(folder / "talk/pause.flac")
    assert np.array_equal(part.samples, whole.samples[2 * SAMPLE_RATE : round(3.25 * SAMPLE_RATE)])
    assert "talk-cough" not in {item.name for item in made}
    with pytest.raises(LabelError, match="there already"):
        Corpus(folder).to_audiofolder(tmp_path / "training")


@pytest.mark.needs("evaluate")
def test_sttlab_sweep_writes_a_row_for_each_recording_and_setting(
    folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    table = tmp_path / "scores.csv"
    values = ("--set", "margin_db=4:8:4", "--set", "silence_timeout_s=0.3,0.6,0.9")
    assert main(["sweep", str(folder), *values, "--output", str(table)]) == 0
    said = capsys.readouterr()
    assert said.out.splitlines()[0].split("\t") == ["least", "", "margin_db", "silence_timeout_s"]
    assert "talk/pause: it has no labels" in caplog.text
    rows = list(csv.DictReader(io.StringIO(table.read_text())))
    assert len(rows) == 3 * 2 * 3
    assert {row["recording"] for row in rows} == {"read/austen-1", "read/austen-2", "talk/cough"}


@pytest.mark.parametrize(
    ("option", "words"),
    [
        (("--set", "margin=4"), "did you mean margin_db"),
        (("--set", "margin_db"), "NAME=VALUES"),
        (("--set", "margin_db=1:x"), "FIRST:LAST:STEP"),
        (("--set", "margin_db=1:9:0"), "FIRST:LAST:STEP"),
        (("--output", "table.xlsx"), ".csv or .parquet"),
    ],
)
def test_sttlab_sweep_refuses_what_is_not_valid(
    folder: Path, capsys: pytest.CaptureFixture[str], option: tuple[str, ...], words: str
) -> None:
    assert main(["sweep", str(folder), *option]) == 2
    assert words in capsys.readouterr().err
