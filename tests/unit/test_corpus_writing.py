"""What is labelled of a kept session, or of a recording, becomes recordings of a corpus."""

from __future__ import annotations

import csv

import numpy as np
import pytest

import sttlab as stt
from sttlab.audio import SAMPLE_RATE
from sttlab.errors import LabelError
from sttlab.evaluate.labels import Labels, Turn
from sttlab.kept.session import open_session
from sttlab.live.session import Session
from tests.fakes import WAIT_S, Blocks, Counting, speech


@pytest.fixture
def kept(tmp_path):
    quiet = speech(6) * np.float32(0.001)  # which 16 bits would not hold
    with Session(Blocks(quiet), model=Counting(), keep=tmp_path / "kept") as session:
        assert session.wait(WAIT_S)
    return open_session(tmp_path / "kept")


def turn(start_s, end_s, text=""):
    return Turn(start_s=start_s, end_s=end_s, text=text)


def test_labelled_parts_of_a_kept_session_are_recordings_bit_for_bit(kept, tmp_path):
    turns = [turn(0.2, 0.9), turn(1.5, 2.5, "one"), turn(2.8, 3.5, "two"), turn(5.1, 5.4)]
    labels = Labels(turns, [(1, 3), (5, 6)])
    first, second = stt.add_to_corpus(tmp_path / "corpus", kept, labels)
    assert first.name == f"{kept.folder.name}-1s.flac"
    samples = stt.load(first).samples
    assert np.array_equal(samples, kept.read(SAMPLE_RATE, 3 * SAMPLE_RATE))
    again = stt.load_labels(first.with_suffix(".json"))
    assert again.speech.ravel().tolist() == pytest.approx([0.5, 1.5, 1.8, 2.0])
    assert first.with_suffix(".txt").read_text() == "one two\n"
    speech = stt.load_labels(second.with_suffix(".rttm")).speech.ravel()
    assert speech.tolist() == pytest.approx([0.1, 0.4])
    assert not second.with_suffix(".txt").exists()  # its label has no text


def test_utterances_with_corrected_texts_become_a_training_set(kept, tmp_path):
    """As from the page: two lines were read, one of them corrected, and one is a cough."""
    turns = [turn(0.2, 0.9, "One."), turn(1.5, 2.5), turn(2.8, 3.5, "Two, corrected.")]
    stt.add_to_corpus(tmp_path / "corpus", kept, Labels(turns), name="talk")
    made = stt.Corpus(tmp_path / "corpus").to_audiofolder(tmp_path / "training")
    assert [(item.name, item.text) for item in made] == [
        ("talk-0000", "One."),
        ("talk-0001", "Two, corrected."),
    ]
    for item, (start_s, end_s) in zip(made, [(0.2, 0.9), (2.8, 3.5)], strict=True):
        samples = kept.read(round(start_s * SAMPLE_RATE), round(end_s * SAMPLE_RATE))
        assert np.array_equal(item.load().samples, samples)
    with (tmp_path / "training/metadata.csv").open(newline="") as file:
        assert next(csv.reader(file)) == ["file_name", "text", "speaker", "language"]


def test_a_labelled_recording_keeps_its_name_and_is_not_written_over(tmp_path, data):
    recording, labels = stt.load(data / "pause.flac"), stt.load_labels(data / "pause.rttm")
    (path,) = stt.add_to_corpus(tmp_path, recording, labels)
    assert path.name == "pause.flac"
    assert np.array_equal(stt.load(path).samples, recording.samples)
    assert len(stt.load_labels(path.with_suffix(".rttm"))) == len(labels)
    with pytest.raises(LabelError, match=r"pause.flac is there already: remove it, or give"):
        stt.add_to_corpus(tmp_path, recording, labels)


def test_a_folder_that_cant_be_written_is_said(tmp_path, data):
    (tmp_path / "file").write_text("")
    with pytest.raises(LabelError, match="can't be written"):
        stt.add_to_corpus(tmp_path / "file", stt.load(data / "word.mp3"), Labels())


@pytest.mark.needs("jupyter")
def test_labels_that_are_made_on_a_kept_session_go_into_a_corpus(kept, tmp_path):
    labeler = stt.Labeler(kept)
    labeler.labels = Labels([turn(0.5, 1.0, "one")])
    (path,) = stt.add_to_corpus(tmp_path / "corpus", kept, labeler.labels)
    assert path.name == f"{kept.folder.name}.flac"
    assert np.array_equal(stt.load(path).samples, kept.recording.samples)
    assert stt.load_labels(path.with_suffix(".json")).speech.tolist() == [[0.5, 1.0]]
    assert labeler.widget.name == kept.title
    labeler.close()
