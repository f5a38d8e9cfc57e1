"""A session that is kept is read back, and replays to the same events, bit for bit."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import sttlab as stt
from sttlab import kept_files
from sttlab.audio import SAMPLE_RATE
from sttlab.capture.base import Block
from sttlab.capture.push import PushSource
from sttlab.capture.replay import FileSource
from sttlab.config import TranscribeConfig, VadConfig
from sttlab.core import segment
from sttlab.decoding import load
from sttlab.engines import make_engine
from sttlab.engines.base import Transcription
from sttlab.errors import ConfigError, KeptError, MissingExtra
from sttlab.events import (
    DeviceLost,
    Event,
    Level,
    Transcript,
    Utterance,
)
from sttlab.kept.replay import decide
from sttlab.kept.session import open_session
from sttlab.live import keeper
from sttlab.live.keeper import Keep, Keeper, outdated
from sttlab.live.session import Session
from tests.decided import DECIDED, facts
from tests.fakes import WAIT_S, Blocks, Counting, speech, wait_until

CONFIG = VadConfig(threshold_dbfs=-40, silence_timeout_s=0.3, pre_roll_s=0.1, max_utterance_s=2)


class Clock:
    """A clock that a script moves."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


class Script(Blocks):
    """A source that changes its session's settings, and lets time pass, as a script says."""

    def __init__(self, *steps):
        super().__init__(*steps)
        self.clock = Clock()
        self.session: Any = None

    def read(self, timeout_s):
        while self.left and isinstance(self.left[0], dict):
            self.session.update(**self.left.pop(0))
        if self.left and isinstance(self.left[0], float):
            self.clock.now += self.left.pop(0)
            return Block(np.zeros(0, np.float32))
        return super().read(timeout_s)


def run(folder, source, *, config=CONFIG, engine=None, **more):
    """Run a session to its end, and give its events and what was kept."""
    session = Session(source, vad=config, model=engine or Counting(), keep=folder, **more)
    source.session = session
    events: list[Event] = []
    session.subscribe(events.append)
    with session:
        assert session.wait(WAIT_S)
    assert session.keep_problem is None
    return events, open_session(folder_of(session))


def folder_of(session: Session) -> Path:
    assert session.kept_folder is not None
    return session.kept_folder


def noise(seconds, db, seed):
    rng = np.random.default_rng(seed)
    return (rng.standard_normal(round(seconds * SAMPLE_RATE)) * 10 ** (db / 20)).astype(np.float32)


audio = st.builds(
    noise,
    st.floats(0.001, 0.8),
    st.sampled_from([-100.0, -70.0, -42.0, -30.0, -10.0]),
    st.integers(0, 99),
)
lost = st.builds(
    lambda samples, count: Block(samples, lost_samples=count), audio, st.integers(1, 12_000)
)
unplugged = st.builds(
    lambda samples, count: Block(
        samples, lost_samples=count, events=(DeviceLost(device="mic", message="it is gone"),)
    ),
    audio,
    st.integers(0, 40_000),
)
changes = st.one_of(
    st.builds(lambda v: {"silence_timeout_s": v}, st.floats(0.1, 1.0)),
    st.builds(lambda v: {"threshold_dbfs": v}, st.sampled_from([None, -50.0, -35.0])),
    st.builds(lambda v: {"pre_roll_s": v}, st.floats(0, 0.5)),
    st.builds(lambda v: {"min_speech_s": v}, st.floats(0, 0.4)),
)
stall = st.just([0.5] * 12)
steps = st.lists(
    st.one_of(audio, audio, audio, lost, unplugged, changes, stall), min_size=1, max_size=14
)


def flat(steps):
    return [x for step in steps for x in (step if isinstance(step, list) else [step])]


@settings(max_examples=40)
@given(steps)
def test_replay_of_any_session_gives_the_same_events_bit_for_bit(tmp_path_factory, steps):
    folder = tmp_path_factory.mktemp("kept")
    script = Script(*flat(steps))
    events, kept = run(folder, script, clock=script.clock)
    assert facts(decide(kept, levels=True)) == facts(events)
    replayed = stt.replay(kept)
    assert replayed.utterances == kept.utterances
    assert replayed.settings == kept.settings
    assert not replayed.simulated


@pytest.mark.needs("silero")
def test_replay_is_exact_where_the_detector_changed(tmp_path, data):
    speech = load(data / "demo.flac").samples
    parts = np.split(speech, [50_001, 120_007, 200_003])
    other = {"detector": "silero"}, {"detector": "energy"}
    script = Script(parts[0], other[0], parts[1], other[1], parts[2], other[0], parts[3])
    events, kept = run(tmp_path, script, config=VadConfig())
    assert {u.detector for _, u in kept.settings} == {"energy", "silero"}
    assert facts(decide(kept, levels=True)) == facts(events)


def test_kept_audio_is_what_the_core_heard(tmp_path):
    loud = speech(3) * np.float32(1.0001)  # not a multiple of a 24-bit step
    gap = Block(speech(1), lost_samples=5000)
    events, kept = run(tmp_path, Script(loud, gap))
    heard = kept.recording.samples
    assert kept.duration_s * SAMPLE_RATE == len(heard) == len(loud) + 5000 + len(gap.samples)
    assert np.array_equal(heard[: len(loud)], kept_files.to_floats(kept_files.to_ints(loud)))
    assert not heard[len(loud) : len(loud) + 5000].any()
    for u in (e for e in events if isinstance(e, Utterance)):
        assert np.array_equal(u.samples, heard[u.start_sample : u.end_sample])
        assert np.array_equal(kept.listen(u.utterance_id).samples, u.samples)


def test_kept_texts_settings_and_engine_seconds_are_read_back(tmp_path):
    script = Script(speech(2), {"silence_timeout_s": 0.2}, speech(2))
    events, kept = run(tmp_path, script)
    assert kept.history == tuple(e for e in events if isinstance(e, Transcript))
    assert [c.silence_timeout_s for _, c in kept.settings] == [0.3, 0.2]
    assert kept.settings[1][0] == len(speech(2)) / SAMPLE_RATE
    assert [u.text for u in kept.utterances] == [t.text for t in kept.history]
    assert all(u.engine_s is not None and u.heard_samples for u in kept.utterances)
    assert kept.engine == "counting"
    assert kept.transcribe is None
    assert kept.manifest["ended"]["how"] == "source ended"
    assert kept.notices == ()
    assert "counting" in kept._repr_html_()
    assert len(kept.events) == sum(not isinstance(e, Level | Utterance) for e in events)


def test_each_start_is_kept_in_a_folder_of_its_own(tmp_path):
    session = Session(Blocks(speech(1)), vad=CONFIG, model=Counting(), keep=tmp_path)
    folders = []
    for _ in range(2):
        with session:
            session.wait(WAIT_S)
            assert session.keeps
        folders.append(folder_of(session))
        assert not session.keeps
    assert kept_files.sessions_in(tmp_path) == sorted(folders)
    assert open_session(tmp_path).folder == max(folders)
    if os.name == "posix":
        assert folders[0].stat().st_mode & 0o077 == 0


def test_nothing_is_kept_unless_asked(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with Session(Blocks(speech(1)), vad=CONFIG, model=Counting()) as session:
        session.wait(WAIT_S)
        assert not session.keeps
        assert session.kept_folder is None
    assert list(tmp_path.iterdir()) == []


# -- 24 bits --------------------------------------------------------------------------------------


def at_bits(samples, bits):
    scale = np.float32(2 ** (bits - 1))
    return np.rint(samples * scale) / scale


def spans(samples):
    found = segment(stt.Recording(samples))
    return [(u.start_sample, u.onset_sample, u.speech_end_sample, u.end_sample) for u in found]


def test_24_bits_change_no_decision_and_16_bits_do(data):
    """A microphone with a low gain, resampled: its room is under one step of 16 bits."""
    changed = {16: 0, 24: 0}
    for name in ("demo", "pause", "monologue", "meeting-1"):
        samples = load(data / f"{name}.flac").samples
        for gain in (1.0, 0.01, 0.003):
            quiet = samples * np.float32(gain) * np.float32(0.97)
            expected = spans(quiet)
            for bits in changed:
                changed[bits] += spans(at_bits(quiet, bits)) != expected
    assert changed[24] == 0
    assert changed[16] > 0


@settings(max_examples=30)
@given(st.lists(st.floats(-1.5, 1.5, width=32) | st.just(float("nan")), max_size=50))
def test_24_bit_samples_survive_files_and_floats(values):
    ints = kept_files.to_ints(np.array(values, np.float32))
    assert np.array_equal(kept_files.from_bytes(kept_files.to_bytes(ints)), ints)
    assert np.array_equal(kept_files.to_ints(kept_files.to_floats(ints)), ints)
    assert np.array_equal(kept_files.to_ints(kept_files.to_floats(ints) * np.float32(1)), ints)


def test_audio_in_pieces_is_read_back_whole_and_in_part(tmp_path, monkeypatch):
    monkeypatch.setattr(kept_files, "PIECE_SAMPLES", 10_000)
    monkeypatch.setattr("sttlab.kept.session.PIECE_SAMPLES", 10_000)
    samples = at_bits(noise(3.3, -20, 1), 24)
    _, kept = run(tmp_path, Script(*np.array_split(samples, 7)))
    names = sorted(p.name for p in (kept.folder / "audio").iterdir())
    assert names == [f"{i:06d}.flac" for i in range(6)]
    assert np.array_equal(kept.recording.samples, samples)
    assert np.array_equal(kept.read(9_990, 30_010), samples[9_990:30_010])
    assert np.array_equal(np.concatenate([p for _, p in kept.pieces()]), samples)


# -- what goes wrong ------------------------------------------------------------------------------

KILLED = """
import sys, threading
import numpy as np
from sttlab import PushSource, Session, VadConfig
from tests.decided import DECIDED, facts
from tests.fakes import Counting, speech
from sttlab.events import SpeechStarted
source = PushSource(buffer_s=200)
session = Session(source, vad=VadConfig(threshold_dbfs=-40), model=Counting(), keep=sys.argv[1])
session.start()
session.update(silence_timeout_s=0.25)
source.push(speech(80))  # more than a piece
speaking = threading.Event()
session.subscribe(lambda e: isinstance(e, SpeechStarted) and e.start_s >= 64 and speaking.set())
source.push(np.tile(speech(1)[:6400], 3))
assert speaking.wait(30)
print("speaking", flush=True)
threading.Event().wait()
"""


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGKILL")
def test_session_killed_in_mid_utterance_opens_and_replays(tmp_path, root):
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(tmp_path)], cwd=root, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == "speaking\n"
        # The audio came at once, so that the events of its utterances may be written later.
        wait_until(lambda: open_session(tmp_path).duration_s >= 65.2)
        wait_until(lambda: len(open_session(tmp_path).utterances) >= 79)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait(WAIT_S)
        process.stdout.close()
    kept = open_session(tmp_path)
    assert kept.duration_s == 65.2
    assert "was killed" in kept.notices[0]
    replayed = stt.replay(kept)
    assert replayed.utterances[-1].end_s == 65.2
    assert replayed.utterances[-1].reason == "end"
    assert replayed.utterances[: len(kept.utterances)] == kept.utterances
    assert len(kept.utterances) >= 79
    happened = facts(e for e in kept.events if isinstance(e, DECIDED))
    again = facts(e for e in decide(kept) if not isinstance(e, Utterance))
    assert again[: len(happened)] == happened


@pytest.mark.parametrize(
    "read", [kept_files.count_pieces, lambda folder: len(kept_files.read_piece(folder, 0))]
)
def test_piece_that_is_closed_as_it_is_looked_for_is_read(tmp_path, monkeypatch, read):
    (tmp_path / kept_files.AUDIO).mkdir()
    writer = kept_files.PieceWriter(tmp_path)
    writer.write(np.ones(SAMPLE_RATE, np.int32))
    path = kept_files.open_piece(tmp_path, 0)
    before = read(tmp_path)

    def look(folder, number):
        monkeypatch.undo()
        writer.close()
        return path

    monkeypatch.setattr(kept_files, "open_piece", look)
    assert read(tmp_path) == before == read(tmp_path)
    assert not path.exists()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="/dev/full is Linux's")
def test_full_disk_is_said_and_live_text_goes_on(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(kept_files, "open_piece", lambda *_: Path("/dev/full"))
    source = PushSource(buffer_s=60)
    session = Session(source, vad=CONFIG, model=Counting(), keep=tmp_path)
    with session:
        source.push(speech(2))
        wait_until(lambda: session.keep_problem)
        assert "No space left on device" in str(session.keep_problem)
        assert "Free some space" in str(session.keep_problem)
        assert not session.keeps
        source.push(speech(2))
        wait_until(lambda: len(session.history) >= 3)
    assert "No space left on device" in caplog.text
    monkeypatch.undo()
    kept = open_session(tmp_path)
    assert "disk was full" in kept.notices[0]
    assert stt.replay(kept).utterances == ()


def test_a_disk_that_hangs_holds_up_neither_audio_nor_text(tmp_path, monkeypatch):
    go = threading.Event()
    write = kept_files.PieceWriter.write

    def slow(self, ints):
        assert go.wait(WAIT_S)
        write(self, ints)

    monkeypatch.setattr(kept_files.PieceWriter, "write", slow)
    source = PushSource(buffer_s=60)
    session = Session(source, vad=CONFIG, model=Counting(), keep=tmp_path)
    with session:
        source.push(speech(3))
        wait_until(lambda: len(session.history) >= 2)
        assert session.keeps
        go.set()
    assert len(open_session(tmp_path).utterances) == 3


def test_a_disk_that_falls_too_far_behind_ends_keeping(tmp_path, monkeypatch):
    go = threading.Event()
    write = kept_files.PieceWriter.write
    monkeypatch.setattr(keeper, "BEHIND_SAMPLES", SAMPLE_RATE)

    def slow(self, ints):
        assert go.wait(WAIT_S)
        write(self, ints)

    monkeypatch.setattr(kept_files.PieceWriter, "write", slow)
    source = PushSource(buffer_s=60)
    session = Session(source, vad=CONFIG, model=Counting(), keep=tmp_path)
    with session:
        for _ in range(4):
            source.push(speech(1))
        wait_until(lambda: session.keep_problem)
        assert "does not keep up" in str(session.keep_problem)
        go.set()
        wait_until(lambda: len(session.history) >= 3)


def test_a_file_waits_for_the_disk(tmp_path, data, monkeypatch):
    monkeypatch.setattr(keeper, "BEHIND_SAMPLES", SAMPLE_RATE)
    source = FileSource(data / "demo.flac", speed=None)
    session = Session(source, vad=VadConfig(), model=Counting(), keep=tmp_path)
    with session:
        assert session.wait(WAIT_S)
        assert session.keep_problem is None
    kept = open_session(tmp_path)
    assert np.array_equal(kept.recording.samples, load(data / "demo.flac").samples)
    assert [u.positions for u in kept.utterances] == [
        (u.start_sample, u.speech_end_sample, u.end_sample)
        for u in segment(load(data / "demo.flac"))
    ]


def test_a_folder_that_cant_be_written_is_refused_at_once(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(KeptError, match=r"nothing can be kept in .*file: .*name a folder"):
        Session(Blocks(), model=Counting(), keep=tmp_path / "file")
    with pytest.raises(ConfigError, match="max_days must be a number above 0, not -1"):
        Keep(tmp_path, max_days=-1)


def keep_something(folder, seconds=1.0):
    made = Keeper(Keep(folder), source="test", config=CONFIG, live=True, patient=False)
    made.hear(0, Block(noise(seconds, -20, 0)))
    made.end(round(seconds * SAMPLE_RATE), ended=True)
    made.close()
    return made.folder


def test_old_sessions_go_by_a_limit_of_age_and_that_is_said(tmp_path, caplog):
    old, new = keep_something(tmp_path), keep_something(tmp_path)
    for path in old.rglob("*"):
        os.utime(path, (0, 0))
    caplog.clear()
    third = Keeper(
        Keep(tmp_path, max_days=2), source="test", config=CONFIG, live=True, patient=False
    )
    third.close()
    assert kept_files.sessions_in(tmp_path) == sorted([new, third.folder])
    assert f"{old} is removed: it is older than 2 days" in caplog.text


def test_the_oldest_sessions_go_by_a_limit_of_size(tmp_path):
    first, second, third = (keep_something(tmp_path, 2) for _ in range(3))
    size = sum(p.stat().st_size for p in third.rglob("*") if p.is_file())
    keep = Keep(tmp_path, max_gb=2.5 * size / 1e9)
    assert [folder for folder, _ in outdated(keep, set(), 0)] == [first]
    assert [folder for folder, _ in outdated(keep, {first}, 0)] == [second]
    assert outdated(Keep(tmp_path), set(), 0) == []


def test_a_session_that_another_process_writes_is_not_removed(tmp_path):
    folder = keep_something(tmp_path)
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps({**manifest, "ended": None}))
    written = max(p.stat().st_mtime for p in folder.rglob("*"))
    keep = Keep(tmp_path, max_days=0.001)
    assert outdated(keep, set(), written + 3600) == []
    assert [gone for gone, _ in outdated(keep, set(), written + 90_000)] == [folder]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"version": 2}, r"version 2, and this sttlab reads versions up to 1: a later sttlab may"),
        ({"format": "other"}, "is not of a session that sttlab kept"),
        ({"settings": {"loudness": 1}}, "unknown setting 'loudness'"),
    ],
)
def test_a_manifest_that_cant_be_understood_is_refused(tmp_path, changes, message):
    path = keep_something(tmp_path) / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    with pytest.raises(KeptError, match=message):
        open_session(tmp_path)


def test_a_folder_without_a_kept_session_is_refused(tmp_path):
    with pytest.raises(KeptError, match=r"holds no kept session: keep one with Session\("):
        open_session(tmp_path)
    with pytest.raises(KeptError, match="nowhere is not there"):
        open_session(tmp_path / "nowhere")


def test_lines_that_power_failure_cut_short_are_left_out(tmp_path):
    _, kept = run(tmp_path, Script(speech(1), {"silence_timeout_s": 0.2}, speech(1)))
    inputs = kept.folder / "inputs.jsonl"
    lines = inputs.read_bytes().splitlines(keepends=True)
    ahead = json.dumps({"sample": 10**9, "input": "settings", "config": asdict(CONFIG)})
    inputs.write_bytes(b"".join(lines[:-1]) + ahead.encode() + b'\n{"sample": 12')
    events = kept.folder / "events.jsonl"
    events.write_bytes(events.read_bytes()[:-7])
    cut = open_session(kept.folder)
    assert len(cut.settings) == 2
    assert [u.positions for u in stt.replay(cut).utterances] == [
        u.positions for u in kept.utterances
    ]


# -- other settings -------------------------------------------------------------------------------


def test_replay_under_other_settings_gives_what_they_would_have_given(tmp_path):
    _, kept = run(tmp_path, Script(speech(4), {"pre_roll_s": 0.2}, speech(2)))
    longer = stt.replay(kept, silence_timeout_s=0.6)
    assert len(kept.utterances) == 6
    assert len(longer.utterances) < 6
    assert [(c.silence_timeout_s, c.pre_roll_s) for _, c in longer.settings] == [
        (0.6, 0.1),
        (0.6, 0.2),
    ]
    assert longer.changes == {"silence_timeout_s": 0.6}
    assert longer.simulated
    assert longer.utterances[0].text is None  # no engine heard it
    whole = stt.replay(kept, vad=replace(CONFIG, silence_timeout_s=0.6))
    expected = segment(kept.recording, whole.settings[0][1])
    assert [u.positions for u in whole.utterances] == [
        (u.start_sample, u.speech_end_sample, u.end_sample) for u in expected
    ]
    assert len(whole.settings) == 1


def test_replay_with_a_setting_that_is_not_valid_is_refused(tmp_path):
    kept = open_session(keep_something(tmp_path))
    with pytest.raises(ConfigError, match="silence_timeout_s must be between"):
        stt.replay(kept, silence_timeout_s=99)
    with pytest.raises(ConfigError, match="did you mean silence_timeout_s"):
        stt.replay(kept, silence_timeout=1)


def test_replay_with_an_engine_gives_it_what_the_session_gave(tmp_path):
    live, again = Counting(), Counting()
    _, kept = run(tmp_path, Script(speech(3)), engine=live)
    replayed = stt.replay(kept, model=again)
    assert again.lengths == [u.heard_samples for u in kept.utterances]
    assert [u.text for u in replayed.utterances] == [u.text for u in kept.utterances]
    assert replayed.simulated
    assert replayed.engine == "counting"


def test_simulated_delays_leave_out_that_the_model_is_loaded(tmp_path, monkeypatch):
    now = [0.0]
    monkeypatch.setattr("sttlab.kept.replay.time.perf_counter", lambda: now[0])

    class SlowToLoad(Counting):
        loaded = False

        def load(self):
            now[0] += 0 if self.loaded else 5
            self.loaded = True

        def transcribe(self, *args, **kwargs):
            self.load()
            now[0] += 0.25
            return super().transcribe(*args, **kwargs)

    kept = open_session(keep_something(tmp_path))
    replayed = stt.replay(kept, model=SlowToLoad())
    assert replayed.utterances
    assert [u.engine_s for u in replayed.utterances] == [0.25] * len(replayed.utterances)


def test_simulated_delays_follow_the_silence_timeout(tmp_path):
    _, kept = run(tmp_path, Script(*np.array_split(speech(4), 80)))
    for timeout_s in (0.2, 0.35):
        replayed = stt.replay(kept, silence_timeout_s=timeout_s)
        inner = [u for u in replayed.utterances if u.reason == "silence"]
        assert inner
        assert [u.delay_s for u in inner] == pytest.approx([timeout_s] * len(inner), abs=0.1)


def test_replay_without_engine_time_or_text_is_said_as_such(tmp_path):
    kept = open_session(keep_something(tmp_path))
    assert "not transcribed" in stt.replay(kept)._repr_html_()


@pytest.mark.needs("faster-whisper")
def test_whisper_writes_the_same_text_again(tmp_path, data):
    config = TranscribeConfig(model="tiny.en", engine="faster-whisper", words=True)
    source = FileSource(data / "austen-2.flac", speed=None)
    session = Session(source, vad=VadConfig(), model=config, keep=tmp_path)
    with session:
        assert session.wait(60)
    kept = open_session(tmp_path)
    assert kept.transcribe == config
    assert kept.weights_sha256 is not None
    assert kept.weights_sha256.startswith("1a5afae06a4d")
    replayed = stt.replay(kept, model=make_engine(config))
    assert [u.text for u in replayed.utterances] == [u.text for u in kept.utterances]
    assert [t.segments for t in replayed.history] == [t.segments for t in kept.history]
    assert replayed.history


class TestFrame:
    def test_has_a_row_for_each_utterance(self, tmp_path):
        pytest.importorskip("pandas")
        _, kept = run(tmp_path, Script(speech(2)))
        frame = kept.to_frame()
        assert list(frame.index) == [0, 1]
        assert list(frame["text"]) == [u.text for u in kept.utterances]

    def test_without_pandas_the_remedy_is_said(self, tmp_path, monkeypatch):
        monkeypatch.setitem(sys.modules, "pandas", None)
        with pytest.raises(MissingExtra, match=r"pandas .*sttlab\[evaluate\]"):
            open_session(keep_something(tmp_path)).to_frame()


def test_held_back_text_and_failures_are_kept(tmp_path):
    from sttlab.engines.suppression import Suppression
    from sttlab.errors import TranscribeError

    engine = Counting()
    held = Suppression(text="Thank you.", reason="no speech", start_s=0.0, end_s=0.1)
    engine.answers = [
        Transcription(
            text="",
            segments=(),
            suppressed=(held,),
            language="en",
            language_probability=1.0,
            confidence=0.0,
        ),
        TranscribeError("broken"),
        TranscribeError("broken"),
    ]
    _, kept = run(tmp_path, Script(speech(2)), engine=engine, live=False)
    first, second = kept.utterances
    assert (first.text, first.suppressed[0].text) == ("", "Thank you.")
    assert second.failed is not None
    assert "broken" in second.failed
    assert stt.replay(kept).utterances == kept.utterances
    assert "held back: Thank you." in kept._repr_html_()
