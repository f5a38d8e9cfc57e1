"""The comparer, operated as the front end operates it: by its widgets' traits and messages."""

from __future__ import annotations

import numpy as np
import pytest

import sttlab as stt
from sttlab.audio import SAMPLE_RATE
from sttlab.config import Config, TranscribeConfig
from sttlab.live.session import Session
from tests.fakes import WAIT_S, Blocks, Counting, speech
from tests.widgets import display, find, words

pytestmark = pytest.mark.needs("jupyter")


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """Speech of which some stretches are 0.4 s apart, and others 0.8 s."""
    gap = np.zeros(round(0.4 * SAMPLE_RATE), np.float32)
    one = np.concatenate([speech(1), gap])
    audio = np.concatenate([one, one, speech(1), one, one])
    config = stt.VadConfig(threshold_dbfs=-40, silence_timeout_s=0.6, pre_roll_s=0.1)
    folder = tmp_path_factory.mktemp("kept")
    engine = Counting(text="alpha & beta")
    with Session(Blocks(audio), vad=config, model=engine, keep=folder) as session:
        assert session.wait(WAIT_S)
    return stt.open_session(folder)


@pytest.fixture
def compared(kept):
    pytest.importorskip("jiwer", reason="jiwer not installed (`make test` installs it)")
    other = stt.replay(kept, silence_timeout_s=0.36, model=Counting(text="alpha zeta"))
    return stt.compare(kept, other)


@pytest.fixture
def make(tmp_path):
    made = []

    def make(comparison, **options):
        made.append(stt.Comparer(comparison, path=tmp_path / "vad.toml", **options))
        return made[-1]

    yield make
    for comparer in made:
        comparer.close()


def details(comparer, row):
    """What the browser gets when it asks for a difference."""
    sent = []
    comparer._picture.send = lambda content, buffers=None: sent.append(content)
    comparer._picture._handle_custom_msg({"ask": "details", "id": 7, "row": row}, [])
    (answer,) = sent
    assert answer["id"] == 7
    return answer["html"]


def test_both_runs_and_their_differences_are_there_to_see(compared, make):
    picture = make(compared)._picture
    a, b = picture.sides
    assert [len(a), len(b)] == [4, 5]
    assert [side[2] for side in a] == ["alpha & beta"] * 4
    assert [row["kind"] for row in picture.rows] == [row.kind for row in compared.differences]
    split = next(row for row in picture.rows if row["kind"] == "split")
    assert split["a"] == [a[2][0], a[2][1]]
    assert split["b"] == [b[2][0], b[3][1]]
    assert split["texts"] == ["alpha & beta", "alpha zeta | alpha zeta"]
    assert "(simulated)" in split["delays"]
    assert picture.titles == [compared.a.title, compared.b.title]


def test_a_difference_is_described_with_its_words(compared, make):
    comparer = make(compared)
    page = details(comparer, 0)
    assert "beta → zeta" in page
    assert "alpha &amp; beta" in page
    assert "ended by silence" in page


def test_summary_delays_and_notices_are_shown(compared, make):
    shown = words(make(compared).widget)
    assert compared.summary in shown
    assert "delay, median and 90 %" in shown
    assert "delays of both are simulated, to compare like with like" in shown


def test_the_better_settings_go_into_a_file_a_tuner_and_a_session(compared, make, tmp_path):
    other = TranscribeConfig(language="de")
    Config(transcribe=other).save(tmp_path / "vad.toml")
    tuner = stt.VadTuner(compared.a.source)
    session = Session(Blocks(), model=Counting())
    comparer = make(compared, tuner=tuner, session=session)
    for button in ("Save", "Use in the tuner", "Use live"):
        find(comparer.widget, "Button", button).click()
    assert "in use" in words(comparer.widget)
    better = compared.b.settings[-1][1]
    saved = Config.load(tmp_path / "vad.toml")
    assert saved == Config(vad=better, transcribe=other)
    assert saved.about.recordings == (compared.b.title,)
    assert tuner.config == session.config == better
    tuner.close()


def test_a_file_that_cant_be_written_is_said(compared, make, tmp_path):
    comparer = make(compared)
    (tmp_path / "vad.toml").write_text("nonsense")
    find(comparer.widget, "Button", "Save").click()
    assert "not valid TOML" in words(comparer.widget)


def test_of_a_long_session_the_part_around_the_first_difference_is_shown(
    compared, make, monkeypatch
):
    monkeypatch.setattr("sttlab.kept.run.SHOWN_S", 2.0)
    comparer = make(compared, at_s=4.9)
    assert comparer._picture.duration_s == 2.0
    assert [side[0] for side in comparer._picture.sides[0]][-1] == pytest.approx(1.3, abs=0.05)
    assert "shown are 3 to 5 s of 6 s: at_s= chooses another part" in words(comparer.widget)


def test_runs_that_are_the_same_have_no_list(kept, make):
    comparer = make(stt.compare(kept, stt.replay(kept)))
    assert comparer._picture.rows == []
    assert "all 4 utterances are the same" in words(comparer.widget)


def test_a_saved_notebook_keeps_a_picture_and_the_differences(compared, make):
    _, bundle = display(make(compared))
    assert bundle["image/png"]
    assert compared.summary in bundle["text/plain"]
    assert "alpha zeta | alpha zeta" in bundle["text/plain"]
