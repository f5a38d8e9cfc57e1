"""What a tuner does beside its sliders: transcribe all, undo and redo."""

from __future__ import annotations

import threading
from dataclasses import replace
from types import SimpleNamespace

import pytest

from sttlab.audio import SAMPLE_RATE
from sttlab.config import VadConfig
from sttlab.decoding import load
from sttlab.evaluate.labels import Labels, Turn
from sttlab.live.worker import AsrWorker
from sttlab.trace import Trace
from tests.fakes import Counting, wait_until
from tests.widgets import answer, find, noise, settled, until, words

pytestmark = pytest.mark.needs("jupyter")

QUIET, LOUD = -70, -20


@pytest.fixture
def talk():
    """Four utterances, a second apart."""
    return SimpleNamespace(samples=noise((3, QUIET), *[(0.5, LOUD), (1, QUIET)] * 4))


@pytest.fixture
def make_tuner(talk, tmp_path):
    from sttlab.notebook.tuner import VadTuner

    made = []

    def make(recording=talk, **options):
        made.append(VadTuner(recording, path=tmp_path / "vad.toml", **options))
        return made[-1]

    yield make
    for tuner in made:
        tuner.close()


def texts(tuner):
    return [tuner._texts.get(u) for u in tuner.utterances]


def test_transcribe_all_gives_each_utterance_a_text_once_and_says_how_far_it_is(make_tuner):
    engine = Counting(answer=answer("Here."))
    with AsrWorker(engine) as worker:
        tuner = make_tuner(model=worker)
        tuner._list._handle_custom_msg({"ask": "transcribe", "row": 2}, [])
        wait_until(lambda: texts(tuner)[2] == "Here.")
        engine.go.clear()
        find(tuner.widget, "Button", "Transcribe all").click()
        until(tuner, "0 of 3 transcribed")
        assert find(tuner.widget, "Button", "Cancel")
        engine.go.set()
        until(tuner, "all 4 transcribed")
        settled(tuner)
        assert texts(tuner) == ["Here."] * 4
        assert len(engine.lengths) == 4
        assert len(tuner._picture.texts) == 4


def test_transcribe_all_is_cancelled_after_the_utterance_that_the_engine_is_at(make_tuner):
    engine = Counting(answer=answer("Here."))
    with AsrWorker(engine) as worker:
        tuner = make_tuner(model=worker)
        engine.go.clear()
        find(tuner.widget, "Button", "Transcribe all").click()
        assert engine.taken.acquire(timeout=10)
        until(tuner, "0 of 4 transcribed")
        find(tuner.widget, "Button", "Cancel").click()
        engine.go.set()
        wait_until(lambda: texts(tuner)[0] == "Here.")
        settled(tuner)
        assert texts(tuner) == ["Here.", "", "", ""]
        find(tuner.widget, "Button", "Transcribe all").click()
        until(tuner, "all 4 transcribed")


def test_transcribe_all_goes_on_with_what_other_settings_find(make_tuner):
    engine = Counting(answer=answer("Here."))
    with AsrWorker(engine) as worker:
        tuner = make_tuner(model=worker)
        engine.go.clear()
        find(tuner.widget, "Button", "Transcribe all").click()
        assert engine.taken.acquire(timeout=10)
        tuner.config = VadConfig(silence_timeout_s=1.2)
        settled(tuner)
        assert len(tuner.utterances) == 1
        engine.go.set()
        until(tuner, "all 1 transcribed")
        assert len(engine.lengths) == 2


def test_transcribe_all_says_why_it_ends(make_tuner):
    tuner = make_tuner(model="no/such/model.pt")
    find(tuner.widget, "Button", "Transcribe all").click()
    until(tuner, "no/such/model.pt")
    assert texts(tuner)[1:] == [""] * 3
    assert find(tuner.widget, "Button", "Transcribe all")


def test_undo_and_redo_of_settings_say_what_changes(make_tuner):
    tuner = make_tuner()
    undo, redo = (find(tuner.widget, "Button", name) for name in ("Undo", "Redo"))
    settled(tuner)
    assert undo.disabled
    assert redo.disabled
    tuner._sliders.sliders["silence_timeout_s"].value = 0.9
    settled(tuner)
    tuner._sliders.sliders["margin_db"].value = 12.0
    settled(tuner)
    assert not undo.disabled
    undo.click()
    assert "undone: above the noise 12 → 6 dB" in words(tuner.widget)
    tuner._picture._handle_custom_msg({"ask": "undo"}, [])
    assert tuner.config == VadConfig()
    tuner._picture._handle_custom_msg({"ask": "undo"}, [])
    assert tuner.config == VadConfig()
    redo.click()
    assert tuner.config == VadConfig(silence_timeout_s=0.9)
    tuner._sliders.sliders["pre_roll_s"].value = 0.5
    settled(tuner)
    assert redo.disabled


def test_a_drag_is_undone_as_one_change():
    from sttlab.notebook.undo import JOIN_S, SettingsHistory

    now = [0.0]
    history = SettingsHistory(VadConfig(), lambda: now[0])
    for timeout_s in (0.7, 0.8, 0.9):
        now[0] += JOIN_S / 2
        history.take(VadConfig(silence_timeout_s=timeout_s))
    now[0] += 2 * JOIN_S
    last = VadConfig(silence_timeout_s=1.0)
    assert history.undo(last) == VadConfig(silence_timeout_s=0.9)
    assert history.undo(VadConfig(silence_timeout_s=0.9)) == VadConfig()
    assert history.can == (False, True)
    assert history.redo(VadConfig()) == VadConfig(silence_timeout_s=0.9)


def test_undo_may_be_asked_for_by_any_thread(make_tuner):
    tuner = make_tuner()
    for timeout_s in (0.7, 1.4):
        tuner.config = VadConfig(silence_timeout_s=timeout_s, margin_db=5 + timeout_s)
        settled(tuner)
    asking = [threading.Thread(target=tuner._undo) for _ in range(4)]
    for thread in asking:
        thread.start()
    for thread in asking:
        thread.join()
    settled(tuner)
    assert tuner.config == VadConfig()


def test_what_is_wrong_by_the_labels_is_shown_where_it_is(make_tuner):
    turns = [Turn(start_s=3.0, end_s=5.0), Turn(start_s=6.0, end_s=6.5), Turn(start_s=7.5, end_s=8)]
    tuner = make_tuner(labels=Labels(turns), config=VadConfig(silence_timeout_s=0.3))
    torn = "torn, cut off; silence timeout 1.04 s would not tear it"
    assert tuner._picture.faults == [[3.0, 5.0, torn, 0]]
    tuner.config = VadConfig(silence_timeout_s=1.04)
    settled(tuner)
    assert not any("torn" in said for _, _, said, _ in tuner._picture.faults)
    tuner.config = VadConfig(silence_timeout_s=1.2)
    settled(tuner)
    assert [said for _, _, said, _ in tuner._picture.faults] == ["merged"] * 3


def test_how_far_to_move_the_silence_timeout_is_said_by_the_labels(make_tuner):
    parts = (3, QUIET), (2, LOUD), (0.3, QUIET), (2, LOUD), (2, QUIET)
    labels = Labels([Turn(start_s=3.0, end_s=5.0), Turn(start_s=5.3, end_s=7.3)])
    config = VadConfig(silence_timeout_s=0.2)
    tuner = make_tuner(SimpleNamespace(samples=noise(*parts)), labels=labels, config=config)
    assert "1 utterance is torn or cut off: move Silence timeout up, to 0.34 s." in words(
        tuner.widget
    )
    tuner.config = replace(config, silence_timeout_s=0.34)
    settled(tuner)
    assert "nothing is wrong" in words(tuner.widget)


def test_without_labels_it_is_shown_where_speech_may_be_cut(make_tuner):
    tuner = make_tuner(config=VadConfig(silence_timeout_s=0.7))
    said = "silence timeout 1.04 s would not cut: pause 0.96 s"
    assert tuner._picture.faults == [[s, s + 0.96, said, 0] for s in (3.5, 5.0, 6.5)]
    tuner.config = VadConfig(silence_timeout_s=0.3)
    settled(tuner)
    assert tuner._picture.faults == []
    tuner.config = VadConfig(silence_timeout_s=1.2, max_utterance_s=3)
    settled(tuner)
    first = tuner.utterances[0]
    said = f"cut after {first.duration_s:.1f} s: longest utterance 3 s"
    place = [first.end_s - 0.25, first.end_s + 0.25]
    assert tuner._picture.faults[0] == [*place, said, 0]


@pytest.mark.parametrize(
    "detector", ["energy", pytest.param("silero", marks=pytest.mark.needs("silero"))]
)
def test_the_silence_timeout_that_is_named_does_not_cut(data, detector):
    from sttlab.notebook.tuner_picture import doubtful_cuts

    trace = Trace(load(data / "meeting-3.flac"))
    named = 0
    for timeout_s in (0.2, 0.3, 0.4, 0.6):
        config = VadConfig(detector=detector, silence_timeout_s=timeout_s)
        for start_s, _, said, _ in doubtful_cuts(trace.utterances(config), config):
            enough_s = float(said.split()[2])
            found = trace.utterances(replace(config, silence_timeout_s=enough_s))
            assert start_s not in [u.speech_end_sample / SAMPLE_RATE for u in found]
            named += 1
    assert named > 2
