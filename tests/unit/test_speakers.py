"""Who speaks: on recordings, with real voices, and live, piece by piece."""

import numpy as np
import pytest

from sttlab.audio import Recording
from sttlab.config import SpeakerConfig, VadConfig
from sttlab.core import segment
from sttlab.decoding import load
from sttlab.diarization import diarize
from sttlab.errors import ConfigError
from sttlab.evaluate.labels import load_labels
from sttlab.evaluate.speaker_score import score_speakers
from sttlab.events import Segment, SpeakerTurn, Utterance, Word
from sttlab.speakers.grouping import group
from sttlab.speakers.online import PIECES, OnlineSpeakers
from sttlab.speakers.parts import split_by_speaker, with_speakers
from sttlab.speakers.pieces import Piece

pytestmark = pytest.mark.needs("speakers")


@pytest.fixture(scope="module")
def voices(data):
    """Speech of two people, at one level, without the silence around it."""
    one = load(data / "austen-1.flac").samples[3200:-3200]
    other = load(data / "monologue.flac").samples[16000 * 3 : 16000 * 12]
    return tuple(samples * np.float32(0.05 / samples.std()) for samples in (one, other))


def recording(*parts):
    quiet = 1e-4 * np.random.default_rng(0).standard_normal(8000).astype(np.float32)
    return Recording(np.concatenate([np.tile(quiet, 4), *parts, np.tile(quiet, 4)]), 16000)


def test_two_voices_in_one_utterance_are_split_where_they_change(voices):
    one, other = (samples[:64000] for samples in voices)
    labels = diarize(recording(one, other, one[:48000]))
    runs = [labels.turns[0]]
    for turn in labels.turns[1:]:
        if turn.speaker != runs[-1].speaker:
            runs.append(turn)
    assert [run.speaker for run in runs] == ["Speaker 1", "Speaker 2", "Speaker 1"]
    assert [run.start_s for run in runs[1:]] == pytest.approx([6, 10], abs=0.4)


def test_demo_has_one_speaker_who_scores_well(data):
    labels = diarize(data / "demo.flac")
    scores = score_speakers(labels, load_labels(data / "demo.rttm"))
    assert labels.speakers == ("Speaker 1",)
    assert scores.diarization_error_rate < 0.1


def test_as_many_speakers_are_found_as_are_asked_for(voices):
    one, other = (samples[:64000] for samples in voices)
    talk = recording(one, np.zeros(16000, np.float32), other)
    assert len(diarize(talk, num_speakers=1).speakers) == 1
    assert len(diarize(talk, 2).speakers) == 2


def test_two_people_who_speak_at_once_are_both_found(voices):
    one, other = (samples[:96000] for samples in voices)
    together = np.concatenate([one[:64000], one[64000:] + other[:32000], other[32000:]])
    labels = diarize(recording(together))
    said = {
        name: [turn for turn in labels.turns if turn.speaker == name] for name in labels.speakers
    }
    assert len(said) == 2
    first, second = said.values()
    assert first[-1].end_s == pytest.approx(8, abs=0.5)
    assert second[0].start_s == pytest.approx(6, abs=0.5)


def test_speech_that_the_vad_misses_has_a_speaker(data):
    truth = load_labels(data / "meeting-1.rttm")
    deaf = VadConfig(threshold_dbfs=-10)
    assert not list(segment(load(data / "meeting-1.flac"), deaf))
    scores = score_speakers(diarize(data / "meeting-1.flac", vad=deaf), truth)
    assert scores.missed_s < 0.5 * scores.speech_s


@pytest.mark.parametrize("wrong", [0, -1, 1.5, True])
def test_number_of_speakers_must_be_a_positive_integer(wrong):
    with pytest.raises(ConfigError, match="num_speakers"):
        diarize(Recording(np.zeros(16000, np.float32)), wrong)


def test_cough_and_thumps_get_no_speaker_of_their_own(data):
    assert diarize(data / "cough.flac").speakers == ("Speaker 1",)


def test_keyboard_music_and_silence_have_no_speaker(data):
    time_s = np.arange(16000 * 8) / 16000
    chord = sum(np.sin(2 * np.pi * hz * time_s) for hz in (262, 330, 392, 523, 659))
    music = (0.05 * chord * (1 + np.sin(2 * np.pi * 2 * time_s))).astype(np.float32)
    assert len(diarize(data / "keyboard.ogg")) == 0
    assert len(diarize(recording(music))) == 0
    assert len(diarize(Recording(np.zeros(32000, np.float32)))) == 0


# -- grouping ---------------------------------------------------------------------------------


def voice(number, size=32):
    """The embedding of one of several people: all of them far apart."""
    vector = np.random.default_rng(number).standard_normal(size)
    return (vector / np.linalg.norm(vector)).astype(np.float32)


def near(number, rng, spread=0.1):
    vector = voice(number) + spread * rng.standard_normal(32).astype(np.float32)
    return (vector / np.linalg.norm(vector)).astype(np.float32)


def piece(number, start_s, rng, length_s=2.0):
    vector = near(number, rng)
    return Piece(spans=((start_s, start_s + length_s),), voiced_s=length_s, vector=vector)


def test_groups_are_numbered_in_order_of_appearance():
    rng = np.random.default_rng(0)
    said = [3, 1, 3, 2, 1]
    groups = group(np.stack([near(n, rng) for n in said]), np.ones(5), same=0.4, least=0.5)
    assert groups.tolist() == [0, 1, 0, 2, 1]


def test_what_is_too_short_founds_no_group():
    rng = np.random.default_rng(0)
    vectors = np.stack([near(n, rng) for n in (1, 1, 2)])
    assert group(vectors, np.array([3, 3, 0.4]), same=0.4, least=1.0).tolist() == [0, 0, 0]


def test_known_voices_stay_apart_and_together():
    rng = np.random.default_rng(0)
    vectors = np.stack([near(n, rng) for n in (1, 1, 2, 2)])
    fixed = np.array([0, 1, 0, -1])
    groups = group(vectors, np.ones(4), same=0.2, least=0.5, fixed=fixed)
    assert groups[0] == groups[2] != groups[1]


# -- live -------------------------------------------------------------------------------------


def talk(online, numbers, rng, *, first=0):
    """Have people speak in turn; return who was said to speak at first, and in the end."""
    at_first: dict[int, str | None] = {}
    last: dict[int, str] = {}
    for i, number in enumerate(numbers, first):
        changed = online.add(i, [piece(number, 3.0 * i, rng)])
        at_first[i] = changed[i][0].speaker if i in changed else None
        last |= {key: turns[0].speaker for key, turns in changed.items()}
    return at_first, last


def test_a_voice_is_known_again_after_ten_minutes_of_others():
    rng = np.random.default_rng(1)
    online = OnlineSpeakers(SpeakerConfig())
    talk(online, [1], rng)
    talk(online, [2, 3] * 100, rng, first=1)
    _, last = talk(online, [1], rng, first=201)
    assert last[201] == "Speaker 1"


def test_an_hour_of_eight_speakers_is_told_apart_in_bounded_memory():
    rng = np.random.default_rng(2)
    online = OnlineSpeakers(SpeakerConfig())
    said = [*range(8), *rng.integers(0, 8, 300).tolist()]
    at_first, last = talk(online, said, rng)
    assert len(online._pieces) <= PIECES
    assert len(online._older) <= 8
    assert len(set(last.values())) == 8
    right = [at_first[i] == f"Speaker {number + 1}" for i, number in enumerate(said)]
    assert np.mean(right) > 0.99


def test_later_speech_corrects_who_spoke_before():
    online = OnlineSpeakers(SpeakerConfig(least_s=1.0))
    rng = np.random.default_rng(3)
    online.add(0, [piece(1, 0, rng)])
    short = piece(2, 3, rng, length_s=0.5)
    assert online.add(1, [short])[1][0].speaker == "Speaker 1"
    changed = online.add(2, [piece(2, 6, rng)])
    assert {key: turns[0].speaker for key, turns in changed.items()} == {
        1: "Speaker 2",
        2: "Speaker 2",
    }


def test_too_little_speech_has_no_speaker_until_more_is_known():
    online = OnlineSpeakers(SpeakerConfig())
    rng = np.random.default_rng(4)
    assert online.add(0, [piece(1, 0, rng, length_s=0.4)]) == {}
    assert set(online.add(1, [piece(1, 3, rng)])) == {0, 1}


def test_an_utterance_without_a_voice_changes_nothing():
    online = OnlineSpeakers(SpeakerConfig())
    assert online.add(0, []) == {}
    online.add(1, [piece(1, 0, np.random.default_rng(5))])
    assert online.add(2, []) == {}


def test_a_name_holds_for_what_was_and_what_will_be_said():
    rng = np.random.default_rng(6)
    online = OnlineSpeakers(SpeakerConfig())
    talk(online, [1, 2, 1], rng)
    online.rename("Speaker 1", "  Anna  Lee ")
    _, last = talk(online, [2, 1], rng, first=3)
    assert (online.names, last[4]) == ({"Speaker 1": "Anna Lee"}, "Speaker 1")
    online.rename("Anna Lee", "Ann")
    assert online.names == {"Speaker 1": "Ann"}


def test_a_named_speaker_keeps_the_name_while_others_are_corrected():
    rng = np.random.default_rng(7)
    online = OnlineSpeakers(SpeakerConfig())
    talk(online, [1, 2], rng)
    online.rename("Speaker 2", "Ben")
    _, last = talk(online, [3, 2, 1, 3, 2] * 20, rng, first=2)
    assert {last[i] for i in (3, 6)} == {"Speaker 2"}
    assert online.names == {"Speaker 2": "Ben"}


def test_merged_speakers_stay_one():
    rng = np.random.default_rng(8)
    online = OnlineSpeakers(SpeakerConfig())
    talk(online, [1, 2, 3], rng)
    changed = online.merge("Speaker 2", "Speaker 1")
    assert {key: turns[0].speaker for key, turns in changed.items()} == {1: "Speaker 1"}
    assert online.merged == {"Speaker 2": "Speaker 1"}
    _, last = talk(online, [2, 1, 3], rng, first=3)
    assert [last[i] for i in (3, 4, 5)] == ["Speaker 1", "Speaker 1", "Speaker 3"]


def test_a_speaker_that_is_split_off_stays_apart():
    rng = np.random.default_rng(9)
    online = OnlineSpeakers(SpeakerConfig(same=-1))
    talk(online, [1, 1, 2, 1], rng)
    changed = online.split(2)
    assert changed[2][0].speaker == "Speaker 2"
    _, last = talk(online, [2, 1], rng, first=4)
    assert [last[4], last[5]] == ["Speaker 2", "Speaker 1"]


def test_who_was_merged_can_be_split_again():
    rng = np.random.default_rng(12)
    online = OnlineSpeakers(SpeakerConfig())
    talk(online, [1, 2], rng)
    online.merge("Speaker 2", "Speaker 1")
    assert online.split(1)[1][0].speaker == "Speaker 3"
    _, last = talk(online, [2, 1], rng, first=2)
    assert [last[2], last[3]] == ["Speaker 3", "Speaker 1"]


def test_a_known_voice_is_named_from_the_start():
    rng = np.random.default_rng(10)
    online = OnlineSpeakers(SpeakerConfig(), [("Anna", voice(5)), ("Ben", voice(6))])
    _, last = talk(online, [7, 6], rng)
    assert online.names[last[1]] == "Ben"
    assert last[0] not in online.names


@pytest.mark.parametrize(
    "act",
    [
        lambda online: online.rename("Speaker 9", "Anna"),
        lambda online: online.rename("Speaker 1", " "),
        lambda online: online.rename("Speaker 1", "x" * 61),
        lambda online: online.merge("Speaker 1", "Speaker 1"),
        lambda online: online.merge("Speaker 1", "Speaker 9"),
        lambda online: online.split(99),
    ],
)
def test_what_a_person_can_not_mean_is_refused(act):
    online = OnlineSpeakers(SpeakerConfig())
    talk(online, [1, 2], np.random.default_rng(11))
    with pytest.raises(ConfigError):
        act(online)


# -- text -------------------------------------------------------------------------------------


def turns(*rows):
    return [SpeakerTurn(start_s=a, end_s=b, speaker=speaker) for a, b, speaker in rows]


def utterance(start_s, end_s):
    start, stop = round(16000 * start_s), round(16000 * end_s)
    return Utterance(
        utterance_id=0,
        start_sample=start,
        samples=np.arange(start, stop, dtype=np.float32),
        onset_sample=start,
        speech_end_sample=stop,
        decided_sample=stop,
        reason="silence",
    )


def test_utterance_is_split_in_the_pause_between_two_speakers():
    said = turns((0, 1, "x"), (2, 4, "Anna"), (4.5, 5, "Anna"), (6, 8, "Ben"), (9.5, 12, "x"))
    parts = split_by_speaker(utterance(2, 9), said)
    assert [(part.start_s, part.end_s, part.speaker) for part in parts] == [
        (2, 5.5, "Anna"),
        (5.5, 9, "Ben"),
    ]
    assert np.concatenate([part.samples for part in parts]).tolist() == list(range(32000, 144000))


def test_what_is_said_within_a_turn_of_another_splits_nothing():
    parts = split_by_speaker(utterance(0, 9), turns((0, 8, "Anna"), (3, 4, "Ben")))
    assert [part.speaker for part in parts] == ["Anna"]


def test_utterance_without_turns_is_whole_and_has_no_speaker():
    (part,) = split_by_speaker(utterance(0, 2), turns((3, 4, "Anna")))
    assert (part.speaker, part.duration_s) == (None, 2)


def test_words_get_the_speaker_of_their_time():
    words = tuple(
        Word(start_s=i, end_s=i + 0.8, text=text, confidence=1)
        for i, text in enumerate(["How", "are", "you?", "Fine."])
    )
    segment = Segment(start_s=0, end_s=4, text="How are you? Fine.", confidence=1, words=words)
    parts = with_speakers([segment], turns((0, 2.9, "Anna"), (2.95, 4, "Ben")))
    assert [(part.text, part.speaker, part.start_s) for part in parts] == [
        ("How are you?", "Anna", 0),
        ("Fine.", "Ben", 3),
    ]


def test_segment_without_words_gets_the_speaker_of_most_of_it():
    segment = Segment(start_s=0, end_s=4, text="hello", confidence=1)
    (part,) = with_speakers([segment], turns((0, 1, "Anna"), (1, 4, "Ben")))
    assert part.speaker == "Ben"
    (part,) = with_speakers([segment], turns((5, 6, "Anna")))
    assert part.speaker == "Anna"
    assert with_speakers([segment], []) == (segment,)
