"""Labeler in the kernel: the requests of the browser, and the answers."""

from __future__ import annotations

import gc
import json
import weakref
from typing import Any

import numpy as np
import pytest

pytest.importorskip("anywidget")

import sttlab as stt
from sttlab.audio import SAMPLE_RATE, from_pcm16
from sttlab.errors import LabelError
from sttlab.evaluate.labels import Labels, Turn
from sttlab.live.worker import AsrWorker
from sttlab.notebook import labeler as module
from sttlab.notebook.pyramid import PIECE_BINS
from sttlab.notebook.timeline import AUDIO_S
from tests.fakes import WAIT_S, Counting, wait_until

ANNA = Turn(start_s=1.25, end_s=2.5, speaker="anna", text="so, it is")


@pytest.fixture
def recording(data):
    return stt.load(data / "demo.flac")


@pytest.fixture
def page(monkeypatch):
    """Sends requests as the browser does, and stores what it would receive."""
    return Page(monkeypatch)


class Page:
    def __init__(self, monkeypatch):
        self.sent: list[Any] = []
        monkeypatch.setattr(
            module.Canvas,
            "send",
            lambda _, content, buffers=(): self.sent.append((content, buffers)),
        )

    def ask(self, labeler, ask, **content):
        labeler.widget._handle_custom_msg({"ask": ask, "id": 7, **content}, [])
        content, buffers = self.sent.pop()
        assert content.pop("id") == 7
        return content, buffers

    def piece(self, labeler, curve, level, index):
        content, buffers = self.ask(labeler, "piece", curve=curve, level=level, index=index)
        assert content == {}
        return [np.frombuffer(buffer, "<f4") for buffer in buffers]


def test_labeler_starts_empty_from_labels_or_from_vad(recording, data):
    assert stt.Labeler(recording).labels == Labels()
    truth = stt.load_labels(data / "demo.rttm")
    assert stt.Labeler(recording, truth).labels == truth
    assert stt.Labeler(recording, truth, stt.VadConfig()).labels == truth
    config = stt.VadConfig(threshold_dbfs=-35.0)
    found = stt.Labeler(recording, config=config).labels
    expected = stt.segment(recording, config)
    assert len(found) == len(expected) > 3
    for turn, utterance in zip(found, expected, strict=True):
        assert turn.start_s == round(utterance.onset_sample / SAMPLE_RATE, 3)
        assert turn.end_s == round(utterance.speech_end_sample / SAMPLE_RATE, 3)


def test_labels_whose_channels_it_does_not_keep_are_said(recording, caplog):
    stt.Labeler(recording, Labels([ANNA]))
    assert not caplog.messages
    stt.Labeler(recording, Labels([Turn(start_s=1, end_s=2, channel=2)]))
    assert "doesn't keep the channels" in caplog.text


def test_turns_of_the_browser_are_the_labels(recording):
    labeler = stt.Labeler(recording)
    labeler.widget.set_state({"turns": [[1.25, 2.5, "anna", "so, it is"], [3, 4.5, "", ""]]})
    assert labeler.labels == Labels([ANNA, Turn(start_s=3, end_s=4.5)])
    labeler.labels = Labels([ANNA], scored=[(0, 3)])
    assert labeler.widget.turns == [[1.25, 2.5, "anna", "so, it is"]]
    assert labeler.widget.scored == [[0, 3]]
    labeler.widget.set_state({"turns": [[3, 2, "", ""]]})
    with pytest.raises(LabelError, match="from 3 to 2 s"):
        assert labeler.labels


@pytest.mark.parametrize("ending", ["rttm", "txt", "json"])
def test_saved_labels_can_be_opened(recording, page, tmp_path, ending):
    labeler = stt.Labeler(recording, Labels([ANNA]))
    path = tmp_path / f"talk.{ending}"
    page.ask(labeler, "save", path=str(path))
    assert labeler.widget.status == f"saved to {path}"
    other = stt.Labeler(recording, path=path)
    page.ask(other, "load", path=str(path))
    (turn,) = other.labels
    assert (turn.start_s, turn.end_s) == (1.25, 2.5)
    assert turn.speaker == ("" if ending == "txt" else "anna")
    assert turn.text == ("" if ending == "rttm" else "so, it is")
    assert other.labels == stt.load_labels(path)


def test_save_and_load_keep_the_path_for_the_buttons(recording, tmp_path):
    labeler = stt.Labeler(recording, Labels([ANNA]), path=tmp_path / "a.rttm")
    assert labeler.save() == tmp_path / "a.rttm"
    assert labeler.save(tmp_path / "b.json") == tmp_path / "b.json"
    assert labeler.widget.path == str(tmp_path / "b.json")
    assert labeler.load() == Labels([ANNA])


def test_labeler_shows_why_a_file_cannot_be_used(recording, page, tmp_path):
    labeler = stt.Labeler(recording, Labels([ANNA]))
    page.ask(labeler, "save", path=str(tmp_path / "talk.doc"))
    assert "can be saved as .rttm, .txt" in labeler.widget.status
    page.ask(labeler, "load", path=str(tmp_path / "none.rttm"))
    assert "No such file" in labeler.widget.status
    assert labeler.labels == Labels([ANNA])
    with pytest.raises(LabelError):
        labeler.save(tmp_path / "talk.doc")


def test_from_vad_finds_speech_with_the_given_settings(recording, page):
    config = stt.VadConfig(threshold_dbfs=-35.0)
    labeler = stt.Labeler(recording, Labels([ANNA]), config)
    page.ask(labeler, "find")
    found = len(stt.segment(recording, config))
    assert len(labeler.labels) == found
    assert labeler.widget.status == (
        f"{found} stretches of speech found by the energy VAD, in place of 1: Undo brings them back"
    )
    assert len(labeler.find(stt.VadConfig(threshold_dbfs=-1.0))) == 0
    assert labeler.config.threshold_dbfs == -1.0


def test_waveform_holds_extremes_and_level_of_each_sample(recording, page):
    labeler = stt.Labeler(recording)
    samples = recording.samples
    wave, level = labeler.widget.curves
    assert (wave["count"], wave["step_s"]) == (len(samples), 1 / SAMPLE_RATE)
    top = (len(samples) // PIECE_BINS).bit_length()
    low, high, _ = page.piece(labeler, "wave", top, 0)
    assert len(low) == len(high) == -(-len(samples) >> top) > 500
    assert (high.max(), low.min()) == (samples.max(), samples.min())
    low, high, _ = page.piece(labeler, "wave", 0, 15)
    assert len(low) == PIECE_BINS, "no more columns than samples"
    assert (low == high).all()
    assert (low == samples[15 * PIECE_BINS : 16 * PIECE_BINS]).all()
    assert (level["name"], level["step_s"]) == ("energy", 0.02)
    (low, *_) = page.piece(labeler, "energy", 0, 0)
    heard = labeler._trace.heard("energy").score
    assert low[100] == pytest.approx(heard[103], abs=1e-4), "a mean of seven is about the fourth"


def test_long_recording_is_sent_at_the_resolution_of_the_picture(page):
    hour = np.zeros(3600 * SAMPLE_RATE, np.float32)
    hour[SAMPLE_RATE * 1800 + 5] = 0.5
    hour[-1] = -0.25
    labeler = stt.Labeler(stt.Recording(hour))
    low, high, _ = page.piece(labeler, "wave", 15, 0)
    assert len(low) == len(high) == -(-len(hour) >> 15) <= PIECE_BINS
    assert high.argmax() == (SAMPLE_RATE * 1800 + 5) >> 15
    assert low.argmin() == len(low) - 1
    _, buffers = page.ask(labeler, "piece", curve="wave", level=-9, index=5)
    assert sum(map(len, buffers)) == 3 * 4 * PIECE_BINS
    state = json.dumps(
        {k: v for k, v in labeler.widget.get_state().items() if k[0] != "_"}, default=str
    )
    assert len(state) < 1000, "no audio is in the widget's state"


def test_audio_is_sent_in_pieces(recording, page):
    labeler = stt.Labeler(recording)
    _, (pcm,) = page.ask(labeler, "sound", start_s=1.5, end_s=2.0)
    assert np.allclose(from_pcm16(pcm), recording.samples[24000:32000], atol=2**-15)
    _, (pcm,) = page.ask(labeler, "sound", start_s=31, end_s=99)
    assert len(pcm) == 2 * (len(recording.samples) - 31 * SAMPLE_RATE)
    long = stt.Labeler(stt.Recording(np.zeros(100 * SAMPLE_RATE, np.float32)))
    _, (pcm,) = page.ask(long, "sound", start_s=0, end_s=100)
    assert len(pcm) == 2 * AUDIO_S * SAMPLE_RATE


def test_an_empty_recording_can_be_shown(page):
    labeler = stt.Labeler(stt.Recording(np.zeros(0, np.float32)), config=stt.VadConfig())
    assert labeler.labels == Labels()
    for curve in ("wave", "energy"):
        assert [len(part) for part in page.piece(labeler, curve, 0, 0)] == [0, 0, 0]


def test_labeler_is_freed_when_no_name_refers_to_it(recording):
    labeler = stt.Labeler(recording, config=stt.VadConfig())
    canvas, gone = labeler.widget, weakref.ref(labeler)
    del labeler
    gc.collect()
    assert gone() is None
    assert canvas.comm is None


def test_transcribe_writes_the_texts_that_are_missing_in_one_change(recording, page):
    turns = [ANNA, Turn(start_s=3, end_s=4.5), Turn(start_s=9, end_s=11, speaker="ben")]
    engine = Counting()
    with AsrWorker(engine) as worker:
        labeler = stt.Labeler(recording, Labels(turns), model=worker)
        changes: list[Any] = []
        labeler.widget.observe(lambda change: changes.append(change["new"]), "turns")
        page.ask(labeler, "transcribe")
        wait_until(lambda: "2 texts written: Undo takes them away" in labeler.widget.status)
        assert [turn.text for turn in labeler.labels] == [ANNA.text, "24000", "32000"]
        assert len(changes) == 1
        page.ask(labeler, "transcribe")
        assert labeler.widget.status == "no speech without a text"
    assert sorted(engine.lengths) == [24_000, 32_000]
    labeler.close()


def test_transcribe_again_cancels_and_keeps_what_came(recording, page):
    turns = [Turn(start_s=s, end_s=s + 1) for s in (1, 4, 9)]
    engine = Counting()
    engine.go.clear()
    with AsrWorker(engine) as worker:
        labeler = stt.Labeler(recording, Labels(turns), model=worker)
        page.ask(labeler, "transcribe")
        assert "0 of 3 transcribed" in labeler.widget.status
        assert engine.taken.acquire(timeout=WAIT_S)
        page.ask(labeler, "transcribe")
        assert "cancelled" in labeler.widget.status
        engine.go.set()
        wait_until(lambda: "1 texts written" in labeler.widget.status)
        assert [turn.text for turn in labeler.labels] == ["16000", "", ""]
    labeler.close()


def test_transcribe_says_why_no_text_comes(recording, page):
    labeler = stt.Labeler(recording, Labels([ANNA, Turn(start_s=3, end_s=4)]), model="no/such.pt")
    page.ask(labeler, "transcribe")
    wait_until(lambda: "no/such.pt" in labeler.widget.status)
    assert [turn.text for turn in labeler.labels] == [ANNA.text, ""]
    labeler.close()
