"""The tuner, operated as the front end operates it: by its widgets' traits."""

import gc
import re
import threading
import weakref
from dataclasses import fields, replace
from types import SimpleNamespace
from xml.etree import ElementTree

import numpy as np
import pytest

from sttlab.audio import SAMPLE_RATE, Recording
from sttlab.config import Config, TranscribeConfig, VadConfig
from sttlab.core import segment
from sttlab.decoding import load
from sttlab.errors import ConfigError
from sttlab.evaluate.labels import Labels, Turn, load_labels
from sttlab.evaluate.score import score
from sttlab.kept.session import open_session
from sttlab.live.session import Session
from sttlab.live.worker import AsrWorker
from sttlab.notebook.score_table import advice
from tests.fakes import Blocks, Counting, wait_until
from tests.widgets import WAIT_S, answer, display, find, noise, settled, shown, walk, words

pytestmark = pytest.mark.needs("jupyter")

QUIET, LOUD = -70, -20


@pytest.fixture
def talk():
    """Three utterances, two of them half a second apart."""
    parts = [(3, QUIET), (1, LOUD), (0.5, QUIET), (1, LOUD), (2, QUIET), (1, LOUD), (1, QUIET)]
    return SimpleNamespace(samples=noise(*parts))


@pytest.fixture
def make_tuner(tmp_path):
    from sttlab.notebook.tuner import VadTuner

    made = []

    def make(recording, **options):
        made.append(VadTuner(recording, path=tmp_path / "data" / "vad.toml", **options))
        return made[-1]

    yield make
    for tuner in made:
        tuner.close()


def test_a_kept_session_opens_at_a_moment_with_its_settings(talk, make_tuner, tmp_path):
    halves = np.array_split(talk.samples, 2)
    config = VadConfig(silence_timeout_s=0.3)
    session = Session(Blocks(halves[0]), vad=config, model=Counting(), keep=tmp_path / "kept")
    with session:
        session.wait(WAIT_S)
    kept = open_session(tmp_path / "kept")
    tuner = make_tuner(kept, at_s=3.5)
    assert tuner.config == config
    assert [u.positions for u in kept.utterances] == [
        (u.start_sample, u.speech_end_sample, u.end_sample) for u in tuner.utterances
    ]
    assert tuner._picture.at_s == 3.5
    assert tuner._picture.chosen == tuner._list.chosen == 0
    assert kept.title in tuner._name
    assert [row[-1] for row in rows(tuner)] == [u.text for u in kept.utterances]
    assert make_tuner(kept)._picture.at_s is None


def test_of_a_long_kept_session_the_part_around_the_moment_is_shown(
    talk, make_tuner, tmp_path, monkeypatch
):
    with Session(Blocks(talk.samples), model=Counting(), keep=tmp_path / "kept") as session:
        session.wait(WAIT_S)
    monkeypatch.setattr("sttlab.kept.run.SHOWN_S", 4.0)
    labels = Labels([Turn(start_s=2, end_s=4), Turn(start_s=4.5, end_s=9)], [(1, 8)])
    tuner = make_tuner(open_session(tmp_path / "kept"), at_s=5.0, labels=labels)
    assert tuner._labels == Labels([Turn(start_s=0, end_s=1), Turn(start_s=1.5, end_s=4)], [(0, 4)])
    assert tuner.trace.duration_s == 4.0
    assert tuner._picture.at_s == 2.0
    assert "from 3 s" in tuner._name


def rows(tuner):
    """The rows that the browser lists: start and length in seconds, level, end, text."""
    listed = tuner._list
    facts = np.frombuffer(listed.found, "<f8").reshape(-1, 4).tolist()
    return [
        (start_s, length_s, level, listed.ends[int(end)], listed.texts.get(str(i), ""))
        for i, (start_s, length_s, level, end) in enumerate(facts)
    ]


def spans(packed):
    """Start and end, in seconds, of what the browser draws."""
    return np.frombuffer(packed, "<f8").reshape(-1, 2).tolist()


def edges(utterances):
    return [[u.start_s, u.end_s] for u in utterances]


def curves(tuner, detector="energy"):
    """The times, the onset and the offset thresholds that the browser draws."""
    return np.frombuffer(tuner._picture.thresholds[detector], "<f4").reshape(3, -1)


def ask(part, ask, **content):
    """Ask as the browser does."""
    part._handle_custom_msg({"ask": ask, "id": 1, **content}, [])


def test_tuner_begins_with_the_utterances_of_its_settings(talk, make_tuner):
    config = VadConfig(silence_timeout_s=0.7)
    tuner = make_tuner(talk, config=config)
    assert tuner.config == config
    expected = segment(talk, config)
    assert [(u.start_sample, u.end_sample) for u in tuner.utterances] == [
        (u.start_sample, u.end_sample) for u in expected
    ]
    assert f"{len(expected)} utterances" in words(tuner.widget)
    assert len(rows(tuner)) == len(expected) == 2


def test_moved_slider_updates_utterances_picture_and_list(talk, make_tuner):
    tuner = make_tuner(talk)
    before = tuner._picture.found
    find(tuner.widget, "FloatSlider", "Silence timeout (s)").value = 0.3
    settled(tuner)
    assert tuner.config == VadConfig(silence_timeout_s=0.3)
    assert "3 utterances" in words(tuner.widget)
    assert tuner._picture.found != before
    assert spans(tuner._picture.found) == edges(segment(talk, tuner.config))
    for row, utterance in zip(rows(tuner), tuner.utterances, strict=True):
        assert row[:2] == (utterance.start_s, utterance.duration_s)
        assert row[2] == pytest.approx(utterance.level_dbfs)
        assert row[3] == "silence timeout"


def test_picture_has_the_thresholds_and_the_noise_floor(talk, make_tuner):
    tuner = make_tuner(talk, config=VadConfig(margin_db=9))
    heard = tuner.trace.heard("energy")
    times_s, onset, offset = curves(tuner)
    at = np.searchsorted(times_s, 4.0, side="right") - 1
    expected = tuner.trace.activity(tuner.config).onset
    assert onset[at] == pytest.approx(expected[200 + 3], abs=1e-3), "a mean of seven frames"
    assert offset - onset == pytest.approx(-VadConfig().hysteresis_db)
    assert times_s[0] <= 0
    floor_s, floor = np.frombuffer(tuner._picture.floors["energy"], "<f4").reshape(2, -1)
    assert len(floor_s) < 40, "it changes twice a second at most"
    assert floor[-1] == pytest.approx(heard.floor[-1], abs=1e-3)
    tuner.config = VadConfig(threshold_dbfs=-30)
    settled(tuner)
    assert curves(tuner)[1:].T.tolist() == [[-30, -30 - VadConfig().hysteresis_db]]


@pytest.mark.parametrize(
    ("config", "fields"),
    [
        (VadConfig(), ["margin_db", "hysteresis_db"]),
        (VadConfig(threshold_dbfs=-30), ["threshold_dbfs", "hysteresis_db"]),
    ],
)
def test_a_threshold_dragged_on_the_picture_moves_its_slider(talk, make_tuner, config, fields):
    tuner = make_tuner(talk, config=config)
    handles = tuner._picture.handles
    assert [handles[which]["field"] for which in ("onset", "offset")] == fields
    slopes = [handles[which]["slope"] for which in ("onset", "offset")]
    assert slopes == [pytest.approx(1), pytest.approx(-1)]
    for name in fields:
        value = getattr(config, name) + 2
        ask(tuner._picture, "set", field=name, value=value)
        settled(tuner)
        assert getattr(tuner.config, name) == tuner._sliders.sliders[name].value == value
        assert value in [handle["value"] for handle in tuner._picture.handles.values()]
    assert spans(tuner._picture.found) == edges(segment(talk, tuner.config))


def test_a_threshold_dragged_too_far_says_why_and_changes_nothing(talk, make_tuner):
    tuner = make_tuner(talk)
    ask(tuner._picture, "set", field="margin_db", value=1000)
    assert "margin_db" in words(tuner.widget)
    assert tuner.config == VadConfig()


def test_the_chosen_utterance_stays_chosen_while_settings_change(talk, make_tuner):
    tuner = make_tuner(talk)
    assert len(rows(tuner)) == 2
    tuner._picture.chosen = 1
    tuner.config = VadConfig(silence_timeout_s=0.3)
    settled(tuner)
    assert len(rows(tuner)) == 3
    assert tuner._picture.chosen == tuner._list.chosen == 2
    tuner.config = VadConfig(threshold_dbfs=-5)
    settled(tuner)
    assert tuner._picture.chosen == tuner._list.chosen == -1


def test_every_setting_has_a_slider_that_reaches_its_bounds(talk, make_tuner):
    tuner = make_tuner(talk)
    numbers = {f.name: f.metadata for f in fields(VadConfig) if "min" in f.metadata}
    sliders = tuner._sliders.sliders
    assert set(sliders) == set(numbers)
    for name, bounds in numbers.items():
        slider = sliders[name]
        assert bounds["min"] <= slider.min < slider.max <= bounds["max"]
        assert slider.description
        assert slider.tooltip == bounds["doc"]
        for end in (bounds["min"], bounds["max"]):
            tuner.config = VadConfig(**{name: end})
            assert slider.value == getattr(tuner.config, name) == end


@pytest.mark.parametrize(
    "config",
    [
        VadConfig(),
        VadConfig(threshold_dbfs=-33.3, hysteresis_db=7),
        VadConfig(detector="silero", probability=0.3, threshold_dbfs=-20),
        VadConfig(margin_db=3, min_speech_s=0.4, pre_roll_s=0, max_utterance_s=7),
    ],
)
def test_settings_survive_the_sliders(talk, make_tuner, config):
    tuner = make_tuner(talk)
    tuner.config = config
    assert tuner.config == config


def test_calibrated_threshold_is_not_rounded_to_a_sliders_step(talk, make_tuner):
    tuner = make_tuner(talk)
    slider = find(tuner.widget, "FloatSlider", "Threshold (dBFS)")
    tuner.config = VadConfig(threshold_dbfs=-26.4)
    slider.value = -26.5  # the browser sends the value back, rounded to a step
    assert tuner.config.threshold_dbfs == -26.4
    slider.value = -26.0
    slider.value = -26.5
    assert tuner.config.threshold_dbfs == -26.5


def test_the_threshold_is_fixed_or_above_the_noise(talk, make_tuner):
    tuner = make_tuner(talk)
    kind = next(w for w in walk(tuner.widget) if type(w).__name__ == "ToggleButtons")
    fixed = find(tuner.widget, "FloatSlider", "Threshold (dBFS)")
    relative = find(tuner.widget, "FloatSlider", "Above the noise (dB)")
    assert (shown(fixed), shown(relative)) == (False, True)
    kind.value = "level, fixed"
    fixed.value = -5
    settled(tuner)
    assert (shown(fixed), shown(relative)) == (True, False)
    assert tuner.config.threshold_dbfs == -5
    assert tuner.utterances == []
    assert "0 utterances" in words(tuner.widget)
    assert rows(tuner) == []


def test_buttons_calibrate_reset_and_save(talk, make_tuner):
    tuner = make_tuner(talk, config=VadConfig(margin_db=12))
    find(tuner.widget, "Button", "Calibrate").click()
    assert tuner.config.threshold_dbfs == pytest.approx(-60, abs=3)
    find(tuner.widget, "Button", "Save").click()
    saved = tuner.path
    assert Config.load(saved).vad == tuner.config
    assert str(saved) in words(tuner.widget)
    find(tuner.widget, "Button", "Reset").click()
    assert tuner.config == VadConfig(margin_db=12)


def test_save_keeps_the_transcribe_table_of_the_file(talk, make_tuner):
    tuner = make_tuner(talk)
    tuner.path.parent.mkdir()
    Config(transcribe=TranscribeConfig(language="de")).save(tuner.path)
    tuner.config = VadConfig(pre_roll_s=0.5)
    tuner.save()
    saved = Config.load(tuner.path)
    assert (saved.vad.pre_roll_s, saved.transcribe.language) == (0.5, "de")


def test_tuner_shows_errors_as_messages(make_tuner):
    tuner = make_tuner(SimpleNamespace(samples=np.zeros(3 * SAMPLE_RATE, np.float32)))
    find(tuner.widget, "Button", "Calibrate").click()
    assert "digital silence" in words(tuner.widget)
    tuner.path.parent.mkdir()
    tuner.path.write_text("not = [toml")
    find(tuner.widget, "Button", "Save").click()
    assert "not valid TOML" in words(tuner.widget)
    with pytest.raises(ConfigError, match="not valid TOML"):
        tuner.save()


def test_tuner_shows_that_silero_is_missing(talk, make_tuner, monkeypatch):
    import importlib.util

    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    tuner = make_tuner(talk)
    tuner.config = VadConfig(detector="silero")
    settled(tuner)
    assert "pip install 'sttlab[silero]'" in words(tuner.widget)


def test_transcribe_shows_text_and_suppressed_text_in_the_row(talk, make_tuner):
    engine = Counting(answer=answer("What is <this>?", suppressed="Thanks."))
    with AsrWorker(engine) as worker:
        tuner = make_tuner(talk, model=worker)
        ask(tuner._list, "transcribe", row=1)
        ask(tuner._picture, "transcribe", row=99)
    settled(tuner)
    text = rows(tuner)[1][-1]
    assert "What is <this>?" in text
    assert "Thanks. – held back: no speech" in text
    assert rows(tuner)[0][-1] == ""
    assert engine.lengths == [len(tuner.utterances[1].samples)]
    tuner.config = VadConfig(silence_timeout_s=0.3)
    settled(tuner)
    assert text in [row[-1] for row in rows(tuner)], "it stays where its utterance is"


def test_all_utterances_of_an_hour_are_listed(make_tuner):
    tuner = make_tuner(SimpleNamespace(samples=noise(*[(1, QUIET), (0.4, LOUD)] * 40, (1, QUIET))))
    assert len(rows(tuner)) == len(tuner.utterances) == 40


def test_concurrent_moves_of_sliders_end_at_the_last_one(talk, make_tuner):
    tuner = make_tuner(talk)
    slider = find(tuner.widget, "FloatSlider", "Silence timeout (s)")

    def drag():
        for value in np.linspace(0.1, 0.9, 100):
            slider.value = float(value)

    dragging = [threading.Thread(target=drag) for _ in range(2)]
    for thread in dragging:
        thread.start()
    for thread in dragging:
        thread.join(WAIT_S)
    slider.value = 0.3
    settled(tuner)
    assert f"{len(segment(talk, tuner.config))} utterances" in words(tuner.widget)


@pytest.mark.parametrize("samples", [[], [0.5], [0.0] * 700])
def test_tuner_shows_empty_and_silent_recordings(make_tuner, samples):
    tuner = make_tuner(SimpleNamespace(samples=np.array(samples, np.float32)))
    assert tuner.utterances == segment(tuner.trace)
    find(tuner.widget, "Button", "Calibrate").click()
    assert "calibration" in words(tuner.widget)


def test_deleted_tuner_leaves_no_thread_or_widget(talk):
    import ipywidgets

    from sttlab.notebook.tuner import VadTuner

    before = len(ipywidgets.widgets.widget._instances)
    tuner = VadTuner(talk)
    gone = weakref.ref(tuner)
    del tuner
    gc.collect()
    assert gone() is None
    assert len(ipywidgets.widgets.widget._instances) == before


def test_shown_tuner_lives_until_it_leaves_the_page(talk):
    from sttlab.notebook.tuner import VadTuner

    tuner = VadTuner(talk)
    display(tuner)
    widget, alive = tuner.widget, weakref.ref(tuner)
    del tuner
    gc.collect()
    widget._view_count = 2
    assert alive() is not None
    widget._view_count = 0
    gc.collect()
    assert alive() is None


def test_use_live_applies_the_settings_to_the_session(talk, make_tuner):
    session = Session(Blocks(), model=Counting())
    tuner = make_tuner(talk, session=session)
    find(tuner.widget, "FloatSlider", "Silence timeout (s)").value = 0.9
    assert session.config == VadConfig()
    find(tuner.widget, "Button", "Use live").click()
    assert session.config == tuner.config == VadConfig(silence_timeout_s=0.9)


SPOKEN = Labels(
    [Turn(start_s=3, end_s=4), Turn(start_s=4.5, end_s=5.5), Turn(start_s=7.5, end_s=8.5)]
)


@pytest.mark.parametrize(
    ("config", "symptom", "remedy"),
    [
        (
            VadConfig(threshold_dbfs=-75),
            "noise is above the threshold 99% of the time",
            "Threshold up, or take Silero",
        ),
        (VadConfig(threshold_dbfs=-5), "2.4 s of speech are missed", "Threshold down"),
        (VadConfig(margin_db=55), "2.4 s of speech are missed", "Above the noise down"),
        (VadConfig(silence_timeout_s=1), "2 utterances run together", "Silence timeout down"),
        (VadConfig(silence_timeout_s=0.4), "nothing is wrong", "Silence timeout down"),
    ],
)
def test_tuner_with_labels_advises_which_slider_to_move(talk, make_tuner, config, symptom, remedy):
    tuner = make_tuner(talk, config=config, labels=SPOKEN)
    assert symptom in words(tuner.widget)
    assert remedy in words(tuner.widget)


def test_advice_on_a_single_utterance_is_in_the_singular(talk, make_tuner):
    config = VadConfig(silence_timeout_s=0.4)
    scores = score(make_tuner(talk, config=config).utterances, SPOKEN, duration_s=9.5)
    said = advice(replace(scores, fragmented=1), 0.0, config)
    assert said == "1 utterance is torn or cut off: move <b>Silence timeout</b> up."


def test_advice_says_how_far_to_move_the_silence_timeout(talk, make_tuner):
    config = VadConfig(silence_timeout_s=0.4)
    scores = score(make_tuner(talk, config=config).utterances, SPOKEN, duration_s=9.5)
    said = advice(replace(scores, fragmented=3), 0.0, config, [0.68, 0.8, 1.24])
    assert said.endswith("<b>Silence timeout</b> up, to 0.68 s for one, 1.24 s for 3.")


def test_tuner_with_labels_compares_scores_with_the_first_settings(talk, make_tuner):
    tuner = make_tuner(talk, config=VadConfig(silence_timeout_s=1), labels=SPOKEN)
    before = score(tuner.utterances, SPOKEN, duration_s=9.5)
    assert 'title="better"' not in tuner._summary.value
    find(tuner.widget, "FloatSlider", "Silence timeout (s)").value = 0.4
    settled(tuner)
    now = score(tuner.utterances, SPOKEN, duration_s=9.5)
    assert (before.merged, now.merged) == (2, 0)
    found = re.search("<table.*</table>", tuner._summary.value)
    assert found
    table = ElementTree.fromstring(found[0])
    cells = [["".join(cell.itertext()) for cell in row] for row in table]
    merged = cells[0].index("merged")
    assert [row[0] for row in cells[1:]] == ["now", "at first"]
    assert [row[merged] for row in cells[1:]] == ["▼ 0", "2"]
    assert 'title="better"' in tuner._summary.value


@pytest.mark.needs("silero")
def test_tuner_compares_silero_and_level(data, make_tuner):
    recording, labels = load(data / "demo-noisy.flac"), load_labels(data / "demo.rttm")
    tuner = make_tuner(recording, labels=labels)
    picture = tuner._picture
    assert [curve["name"] for curve in picture.curves] == ["wave", "energy"]
    assert picture.labels == [[span.start_s, span.end_s, "", 0] for span in labels]
    assert spans(picture.beside) == []
    find(tuner.widget, "ToggleButtons", "").value = "Silero"
    settled(tuner)
    assert [curve["name"] for curve in picture.curves] == ["wave", "energy", "silero"]
    assert picture.detector == "silero"
    assert picture.beside_label == "level"
    assert set(picture.thresholds) == {"energy", "silero"}
    both = [segment(recording, replace(VadConfig(), detector=d)) for d in ("energy", "silero")]
    assert spans(picture.found) == edges(both[1])
    assert spans(picture.beside) == edges(both[0])
    handles = [handle["field"] for handle in picture.handles.values()]
    assert handles == ["probability", "probability_hysteresis"]
    for found in both:
        error = score(found, labels, duration_s=recording.duration_s).detection_error_rate
        assert f"{error:.1%}" in words(tuner.widget)
    assert "by level" in words(tuner.widget)


def test_other_settings_are_compared_in_a_track_of_their_own(talk, make_tuner):
    tuner = make_tuner(talk)
    shorter = VadConfig(silence_timeout_s=0.3)
    tuner.compare({"at first": tuner.config, "shorter": shorter})
    settled(tuner)
    track = tuner._picture.segments["other settings"]
    assert track["rows"] == ["at first", "shorter"]
    by_row = [[s[:2] for s in track["segments"] if s[3] == row] for row in (0, 1)]
    expected = [edges(segment(talk, config)) for config in (tuner.config, shorter)]
    assert [len(row) for row in by_row] == [2, 3]
    for row, found in zip(by_row, expected, strict=True):
        assert row == [[round(edge, 3) for edge in span] for span in found]
    tuner.compare({})
    settled(tuner)
    assert tuner._picture.segments == {}


def test_pauses_are_found_once_somebody_wants_to_see_them(talk, make_tuner):
    tuner = make_tuner(talk)
    assert spans(tuner._picture.pauses) == []
    tuner._picture.arrangement = {"shown": {"pauses": True}}
    settled(tuner)
    found = np.array(spans(tuner._picture.pauses))
    assert found == pytest.approx(np.array([(0, 3), (4, 4.5), (5.5, 7.5), (8.5, 9.5)]), abs=0.15)


def test_labels_have_a_row_for_each_speaker(talk, make_tuner):
    turns = [
        Turn(start_s=3, end_s=5, speaker="Anna", text="Well,"),
        Turn(start_s=4.5, end_s=5.5, speaker="Ben"),
        Turn(start_s=7.5, end_s=8.5, speaker="Anna"),
    ]
    picture = make_tuner(talk, labels=Labels(turns))._picture
    assert picture.speakers == ["Anna", "Ben"]
    assert picture.labels == [[3, 5, "Well,", 0], [4.5, 5.5, "", 1], [7.5, 8.5, "", 0]]


def test_transcribed_texts_stand_at_their_utterances(talk, make_tuner):
    worker = AsrWorker(Counting(answer=answer("Here.")))
    tuner = make_tuner(talk, model=worker)
    try:
        ask(tuner._list, "transcribe", row=1)
        second = tuner.utterances[1]
        came = threading.Event()

        def look(_: object) -> None:
            if "Here." in str(tuner._picture.texts):
                came.set()

        tuner._picture.observe(look, "texts")
        look(None)
        assert came.wait(WAIT_S)
        assert tuner._picture.texts == [
            [round(second.start_s, 3), round(second.end_s, 3), "Here.", 0]
        ]
    finally:
        worker.stop()


def test_save_says_what_it_replaces_and_keeps_what_was_there(talk, make_tuner):
    turns = [Turn(start_s=3, end_s=5.5), Turn(start_s=7.5, end_s=8.5)]
    recording = Recording(talk.samples, origin="/talks/talk.wav")
    tuner = make_tuner(recording, labels=Labels(turns))
    save = find(tuner.widget, "Button", "Save")
    save.click()
    assert "saved to" in words(tuner.widget)
    assert "→" not in words(tuner.widget)
    tuner.config = VadConfig(silence_timeout_s=0.3)
    tuner._called.value = "quick"
    save.click()
    assert "silence timeout 0.6 → 0.3 s; what was there is in" in words(tuner.widget)
    assert Config.load(tuner.path).vad == VadConfig(silence_timeout_s=0.3)
    about = Config.load(tuner.path).about
    assert (about.name, about.recordings) == ("quick", ("talk.wav",))
    found = score(tuner.utterances, Labels(turns), duration_s=len(talk.samples) / SAMPLE_RATE)
    assert about.scores["fragmented"] == found.fragmented == 1
    assert [before.vad for before in Config.history(tuner.path)] == [VadConfig()]
    tuner.config = VadConfig(silence_timeout_s=0.4)
    save.click()
    assert "what was there (“quick”) is in" in words(tuner.widget)


def test_labels_of_another_recording_are_questioned(talk, make_tuner):
    tuner = make_tuner(talk, labels=Labels([Turn(start_s=3, end_s=99)]))
    assert "The labels go on to 99.0 s, and the recording ends at 9.5 s" in words(tuner.widget)
    loud = VadConfig(threshold_dbfs=-95)  # at which all is speech
    tuner = make_tuner(talk, config=loud, labels=Labels([Turn(start_s=3, end_s=4)]))
    assert "An error over 100 % means" in words(tuner.widget)


def test_use_live_says_what_it_replaces(talk, make_tuner):
    session = Session(Blocks(), vad=VadConfig(margin_db=9), model=Counting())
    tuner = make_tuner(talk, session=session)
    find(tuner.widget, "Button", "Use live").click()
    assert "in use: above the noise 9 → 6 dB" in words(tuner.widget)
    assert session.config == VadConfig()
    find(tuner.widget, "Button", "Use live").click()
    assert "in use: as they were" in words(tuner.widget)


@pytest.mark.needs("silero")
def test_a_detector_that_listens_is_cancelled_by_another_choice(make_tuner, monkeypatch):
    from sttlab import trace

    monkeypatch.setattr(trace, "PART_FRAMES", 10)
    tuner = make_tuner(SimpleNamespace(samples=noise((60, QUIET))))
    kinds = next(w for w in walk(tuner.widget) if type(w).__name__ == "ToggleButtons")
    heard = threading.Event()
    told = []

    def look(change):
        told.append(change["new"])
        if "Silero is listening" in change["new"] and not heard.is_set():
            heard.set()
            kinds.value = "level, fixed"

    tuner._message.observe(look, "value")
    kinds.value = "Silero"
    assert heard.wait(WAIT_S)
    settled(tuner)
    assert [curve["name"] for curve in tuner._picture.curves] == ["wave", "energy"]
    assert "sttlab-old" not in tuner._summary._dom_classes
    kinds.value = "Silero"
    settled(tuner)
    assert [curve["name"] for curve in tuner._picture.curves] == ["wave", "energy", "silero"]
    assert any("%" in words for words in told)


def test_tuners_share_a_model_that_is_loaded(talk, make_tuner, monkeypatch):
    from sttlab.notebook import texts

    engine = Counting(answer=answer("Here."))
    monkeypatch.setattr(texts, "make_engine", lambda config: engine)
    first, second = make_tuner(talk), make_tuner(talk)
    for tuner in (first, second):
        ask(tuner._list, "transcribe", row=0)
        wait_until(lambda tuner=tuner: "Here." in tuner._texts.get(tuner.utterances[0]))
    assert engine.loads == 1
    first.close()
    ask(second._list, "transcribe", row=1)
    wait_until(lambda: "Here." in second._texts.get(second.utterances[1]))
    assert engine.loads == 1
    second.close()
    wait_until(lambda: not [t for t in threading.enumerate() if t.name == "sttlab-asr"])
