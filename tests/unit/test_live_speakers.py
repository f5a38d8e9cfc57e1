"""Who speaks in a running session: beside the text, corrected, named."""

import json
import threading

import numpy as np
import pytest

from sttlab.capture.replay import FileSource
from sttlab.config import SpeakerConfig, VadConfig
from sttlab.errors import ConfigError, SessionError
from sttlab.events import Notice, SpeakerNames, SpeakersFound, SpeakerTurn, Transcript
from sttlab.kept_files import event_from, event_values, to_line
from sttlab.live import who
from sttlab.live.session import Session
from sttlab.live.who import LiveSpeakers
from sttlab.speakers.voices import Voices
from tests.fakes import WAIT_S, Blocks, Counting, OneVoiceFinder, speech, wait_until

pytestmark = pytest.mark.needs("speakers")

VAD = VadConfig(threshold_dbfs=-40, min_speech_s=0.1, silence_timeout_s=0.2, pre_roll_s=0.1)


class Heard:
    """The events of a session, and waiting for them."""

    def __init__(self, session):
        self.events = []
        self.changed = threading.Condition()
        session.subscribe(self.take)

    def take(self, event):
        with self.changed:
            self.events.append(event)
            self.changed.notify_all()

    def of(self, kind, count=1):
        with self.changed:
            found = self.changed.wait_for(
                lambda: len([e for e in self.events if isinstance(e, kind)]) >= count, WAIT_S
            )
            assert found, self.events
            return [e for e in self.events if isinstance(e, kind)]


def session_of(finder, utterances=3, model=None, **options):
    session = Session(
        Blocks(speech(utterances), then_wait=True),
        vad=VAD,
        model=model or Counting(),
        speakers=True,
        **options,
    )
    use_finder(session, finder)
    return session


def session_whose_engine_waits():
    """Make a session of one utterance; return its engine and finder as well."""
    engine, finder = Counting(), OneVoiceFinder([1])
    engine.go.clear()
    return session_of(finder, utterances=1, model=engine), engine, finder


def test_text_does_not_wait_for_its_speaker():
    finder = OneVoiceFinder([1, 2])
    finder.go.clear()
    session = session_of(finder)
    heard = Heard(session)
    with session:
        texts = heard.of(Transcript, 3)
        assert [text.speakers for text in texts] == [(), (), ()]
        finder.go.set()
        found = heard.of(SpeakersFound, 3)
    assert [e.turns[0].speaker for e in found] == ["Speaker 1", "Speaker 2", "Speaker 1"]
    assert not any(event.revised for event in found)
    assert all(0 < event.late_s < WAIT_S for event in found)
    assert [t.speakers[0].speaker for t in session.history] == [
        "Speaker 1",
        "Speaker 2",
        "Speaker 1",
    ]


def test_a_speaker_that_is_known_in_time_comes_with_the_text():
    session, engine, finder = session_whose_engine_waits()
    heard = Heard(session)
    with session:
        assert finder.begun.acquire(timeout=WAIT_S)
        wait_for_speaker(session, 0, "Speaker 1")
        engine.go.set()
        (text,) = heard.of(Transcript)
    assert text.speakers[0].speaker == "Speaker 1"
    assert all(segment.speaker == "Speaker 1" for segment in text.segments)
    assert not [e for e in heard.events if isinstance(e, SpeakersFound)]


def test_a_voice_leaves_the_cores_to_the_engine_until_the_text_is_out(monkeypatch):
    monkeypatch.setattr(who, "TEXT_FIRST_S", WAIT_S)
    session, engine, finder = session_whose_engine_waits()
    heard = Heard(session)
    with session:
        wait_until(lambda: speakers(session)._waiting)
        assert not finder.begun.acquire(blocking=False)
        engine.go.set()
        heard.of(SpeakersFound)
    assert [text.speakers for text in heard.of(Transcript)] == [()]


def test_later_speech_sends_a_correction():
    finder = OneVoiceFinder([1, 2, 2], lengths_s=[2.0, 0.5, 2.0])
    session = session_of(finder)
    finder.go.clear()
    heard = Heard(session)
    with session:
        heard.of(Transcript, 3)
        finder.go.set()
        found = heard.of(SpeakersFound, 4)
    told = [(event.utterance_id, event.turns[0].speaker, event.revised) for event in found]
    assert told[:2] == [(0, "Speaker 1", False), (1, "Speaker 1", False)]
    assert sorted(told[2:]) == [(1, "Speaker 2", True), (2, "Speaker 2", False)]


def wait_for_speaker(session, utterance_id, speaker):
    wait_until(lambda: [t.speaker for t in speakers(session).turns(utterance_id)] == [speaker])


def use_finder(session, finder):
    speakers(session)._finder = finder


def speakers(session: Session) -> LiveSpeakers:
    assert session.speakers
    return session.speakers


def test_a_name_is_broadcast_and_holds_after_a_restart():
    session = session_of(OneVoiceFinder([1, 2, 1]))
    heard = Heard(session)
    with session:
        wait_for_speaker(session, 2, "Speaker 1")
        speakers(session).rename("Speaker 1", "Anna")
        assert heard.of(SpeakerNames)[-1].names == {"Speaker 1": "Anna"}
    use_finder(session, OneVoiceFinder([2, 1]))
    with session:
        wait_for_speaker(session, 1, "Speaker 1")
        assert speakers(session).turns(0)[0].speaker == "Speaker 2"


def test_a_rename_while_a_correction_is_on_its_way_is_kept():
    finder = OneVoiceFinder([1, 2, 1, 2])
    session = session_of(finder, utterances=4)
    heard = Heard(session)
    with session:
        wait_for_speaker(session, 1, "Speaker 2")
        finder.go.clear()  # the next is being found
        speakers(session).rename("Speaker 2", "Ben")
        speakers(session).merge("Speaker 1", "Ben")
        finder.go.set()
        wait_for_speaker(session, 3, "Speaker 2")
        wait_for_speaker(session, 0, "Speaker 2")
    names = heard.of(SpeakerNames)[-1]
    assert (names.names, names.merged) == ({"Speaker 2": "Ben"}, {"Speaker 1": "Speaker 2"})


def test_speakers_that_do_not_keep_up_are_left_out_and_text_goes_on(caplog):
    finder = OneVoiceFinder([1])
    finder.go.clear()
    session = session_of(finder, utterances=who.BEHIND + 4)
    heard = Heard(session)
    with session:
        heard.of(Transcript, who.BEHIND + 4)
        assert "gets no speaker" in caplog.text
        finder.go.set()


def test_a_finder_that_fails_is_reported_and_text_goes_on():
    finder = OneVoiceFinder([])
    session = session_of(finder)
    heard = Heard(session)
    with session:
        heard.of(Transcript, 3)
        (notice,) = heard.of(Notice)
    assert notice.about == "speakers"
    assert "nobody is told apart any more" in notice.message


def test_a_file_at_full_speed_waits_for_its_speakers(data):
    source = FileSource(data / "austen-2.flac", speed=None)
    with Session(source, model=Counting(), speakers=True) as session:
        assert session.wait(WAIT_S * 6)
    assert {text.speakers[0].speaker for text in session.history} == {"Speaker 1"}


def test_without_being_asked_nobody_is_told_apart():
    session = Session(Blocks(), vad=VAD, model=Counting())
    assert session.speakers is None
    with pytest.raises(SessionError, match="speakers=True"):
        Session(Blocks(), vad=VAD, model=Counting(), voices=Voices())


# -- known voices -----------------------------------------------------------------------------


def test_an_enrolled_voice_is_called_by_its_name(data, tmp_path):
    voices = Voices()
    voices.enrol("Anna", data / "austen-1.flac")
    voices.save(tmp_path / "voices.json")
    assert "biometric" in (tmp_path / "voices.json").read_text("utf-8")
    voices = Voices.load(tmp_path / "voices.json")
    assert list(voices) == ["Anna"]
    source = FileSource(data / "austen-4.flac", speed=None)
    with Session(source, model=Counting(), speakers=True, voices=voices) as session:
        assert session.wait(WAIT_S * 6)
    names = speakers(session).names().names
    assert {names.get(t.speakers[0].speaker) for t in session.history} == {"Anna"}


@pytest.mark.parametrize("name", ["cough.rttm", "missing.json", "manifest.jsonl"])
def test_a_file_without_voices_is_refused(data, name):
    with pytest.raises(ConfigError, match="voices"):
        Voices.load(data / name)


def test_a_voice_needs_two_seconds_of_one_person(data):
    voices = Voices()
    with pytest.raises(ConfigError, match="2 s at least"):
        voices.enrol("Anna", data / "keyboard.ogg")
    with pytest.raises(ConfigError, match="name"):
        voices.enrol(" ", data / "austen-1.flac")
    with pytest.raises(ConfigError, match="192 numbers"):
        voices.add("Anna", np.ones(3, np.float32))
    with pytest.raises(ConfigError, match="no voice of Ben"):
        voices.remove("Ben")
    assert SpeakerConfig().embedder == voices.config.embedder


def test_turns_are_kept_and_read_back():
    event = SpeakersFound(
        utterance_id=1,
        turns=(SpeakerTurn(start_s=0.5, end_s=1.0, speaker="Speaker 1"),),
        revised=True,
    )
    assert event_from(json.loads(to_line(event_values(event)))) == event
