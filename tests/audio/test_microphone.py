"""A real PortAudio stream from a real sound server, unplugged and plugged in again."""

from __future__ import annotations

import ctypes
import gc
import json
import logging
import queue
import shutil
import subprocess
import sys
import threading
import wave
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from sttlab.audio import SAMPLE_RATE, to_pcm16
from sttlab.capture import Block, Microphone, list_devices, record
from sttlab.capture.microphone import HEARTBEAT_S
from sttlab.config import VadConfig
from sttlab.decoding import load
from sttlab.errors import ConfigError, DeviceUnavailable
from sttlab.events import (
    DeviceLost,
    DeviceRestored,
    DeviceSilent,
    Event,
    Level,
    SamplesLost,
    SpeechStarted,
    Utterance,
)
from sttlab.kept.replay import decide, replay
from sttlab.kept.session import open_session
from sttlab.live.session import Session
from tests.decided import facts
from tests.fakes import Counting
from tests.pulse import NAMES, Pulse, pulse
from tests.sources import WAIT_S, SourceContract, is_empty, joined, read_some

pytestmark = pytest.mark.needs("microphone")


@pytest.fixture(scope="module")
def sound_server() -> Iterator[Pulse]:
    with pulse() as server:
        yield server


@pytest.fixture
def server(sound_server: Pulse) -> Iterator[Pulse]:
    yield sound_server
    sound_server.mute(False)
    sound_server.name(*NAMES)


@pytest.fixture
def wav(data: Path, tmp_path: Path) -> Path:
    load(data / "austen-2.flac").save(tmp_path / "speech.wav")
    return tmp_path / "speech.wav"


class Events:
    """The events of a session, for which a test can wait."""

    def __init__(self, session: Session) -> None:
        self.all: list[Event] = []
        self._new: queue.Queue[Event] = queue.Queue()
        session.subscribe(self._take)

    def _take(self, event: Event) -> None:
        self.all.append(event)
        self._new.put(event)

    def wait_for(self, kind: type[Event]) -> Event:
        while True:
            event = self._new.get(timeout=WAIT_S)
            if isinstance(event, kind):
                return event


class Clock:
    """A clock that a test sets; `looked` is set once it was read `looks` times."""

    def __init__(self, looks: int = 0) -> None:
        self.now = 1000.0
        self.looked = threading.Event()
        self._left = looks

    def __call__(self) -> float:
        self._left -= 1
        if self._left <= 0:
            self.looked.set()
        return self.now


def read_until(microphone: Microphone, kind: type[Event]) -> list[Block]:
    """Read blocks up to the first one with an event of that kind."""
    blocks: list[Block] = []
    while not any(isinstance(event, kind) for block in blocks for event in block.events):
        block = microphone.read(0.1)
        assert block is not None
        blocks.append(block)
    return blocks


@contextmanager
def opened(microphone: Microphone) -> Iterator[Microphone]:
    microphone.open()
    try:
        yield microphone
    finally:
        microphone.close()


class TestSource(SourceContract):
    times = 2

    @pytest.fixture
    def source(self, server: Pulse) -> Iterator[Microphone]:
        source = Microphone()
        yield source
        source.close()


def test_list_devices_gives_name_rate_and_default(server: Pulse) -> None:
    devices = list_devices()
    assert {"default", *NAMES} <= {d.name for d in devices}
    assert [d.name for d in devices if d.is_default] == ["default"]
    assert all(d.channels > 0 and d.default_rate >= 8000 for d in devices)
    assert {d.host_api for d in devices} == {"ALSA"}
    assert len({d.index for d in devices}) == len(devices)


def test_new_devices_are_listed_unless_a_stream_is_open(server: Pulse) -> None:
    names = {d.name for d in list_devices()}
    with opened(Microphone("desk")):
        server.name(*NAMES, "lapel")
        assert {d.name for d in list_devices()} == names
    assert {d.name for d in list_devices()} == names | {"lapel"}
    server.name("desk")
    assert {d.name for d in list_devices()} == names - {"headset"}


@pytest.mark.parametrize(("told", "default"), [("headset", ["headset"]), ("nowhere", [])])
def test_default_of_sounddevice_is_the_default_device(
    server: Pulse, told: str, default: list[str]
) -> None:
    import sounddevice

    sounddevice.default.device = told, None
    try:
        assert [d.name for d in list_devices() if d.is_default] == default
    finally:
        sounddevice.default.reset()


@pytest.mark.parametrize(
    ("device", "name"),
    [(None, "default"), ("desk", "desk"), ("HEAD", "headset"), ("default", "default")],
)
def test_microphone_opens_by_name_or_part_of_it(
    server: Pulse, device: str | None, name: str
) -> None:
    with opened(Microphone(device)) as microphone:
        assert len(joined(read_some(microphone, 1600))) >= 1600
        assert microphone.name == name


def test_microphone_opens_by_index(server: Pulse) -> None:
    for wanted in list_devices():
        if wanted.name in NAMES:
            with opened(Microphone(wanted.index)) as microphone:
                assert microphone.name == wanted.name


def test_ambiguous_name_is_refused_unless_it_matches_the_default(server: Pulse) -> None:
    with pytest.raises(DeviceUnavailable, match=r"several .* 'S'; there are .*desk.*headset"):
        Microphone("S").open()
    with opened(Microphone("E")) as microphone:
        assert microphone.name == "default"


def test_garbage_collected_microphone_closes_its_stream(server: Pulse) -> None:
    """Otherwise PortAudio would call back into freed memory, and crash the kernel."""
    microphone = Microphone()
    microphone.open()
    read_some(microphone, 1)
    stream = microphone._stream
    assert stream is not None
    del microphone
    gc.collect()
    assert stream._stream.closed


def test_microphone_is_not_open_after_a_refused_open(server: Pulse) -> None:
    microphone = Microphone("nowhere")
    with pytest.raises(DeviceUnavailable):
        microphone.open()
    assert microphone.read(WAIT_S) is None
    microphone.device = "desk"
    with opened(microphone):
        read_some(microphone, 1)
    microphone.device = "nowhere"
    with pytest.raises(DeviceUnavailable):
        microphone.open()
    assert microphone.read(WAIT_S) is None


def test_device_that_does_not_open_is_refused_with_the_remedy(server: Pulse) -> None:
    server.unplug()
    try:
        with pytest.raises(DeviceUnavailable, match=r"desk could not be opened .*: close other"):
            Microphone("desk").open()
    finally:
        server.plug()
    with opened(Microphone("desk")) as microphone:
        read_some(microphone, 1)


def test_unknown_name_is_refused_with_the_known_names(server: Pulse) -> None:
    with pytest.raises(DeviceUnavailable, match=r"no microphone 'nowhere'; there are .*default"):
        Microphone("nowhere").open()
    with pytest.raises(DeviceUnavailable, match="no microphone 999"):
        Microphone(999).open()


def likeness(heard: np.ndarray, played: np.ndarray) -> float:
    """Return the correlation of the played audio with the recording, at the best alignment."""
    size = len(heard) + len(played)
    product = np.fft.rfft(heard, size) * np.conj(np.fft.rfft(played, size))
    at = int(np.fft.irfft(product, size).argmax())
    same = heard[at : at + len(played)]
    assert len(same) == len(played)
    return float(np.corrcoef(same, played)[0, 1])


@pytest.mark.parametrize("rate", ["16 kHz", "its own"])
def test_recording_of_played_speech_correlates_with_it(
    server: Pulse, wav: Path, rate: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if rate == "its own":
        _only_its_own_rate(monkeypatch)
    played = load(wav).samples
    playing: list[subprocess.Popen[bytes]] = []

    def start(seconds: float) -> None:
        if seconds > 0.2 and not playing:
            playing.append(server.play(wav))

    heard = record(len(played) / SAMPLE_RATE + 3, progress=start)
    assert playing[0].wait(WAIT_S) == 0
    assert likeness(heard.samples, played) > 0.95
    assert heard.duration_s == pytest.approx(len(played) / SAMPLE_RATE + 3)
    assert heard.origin == "default"


def test_channels_of_opposite_phase_do_not_cancel(
    server: Pulse, wav: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    played = load(wav).samples
    pair = np.stack([played, -played], axis=1)
    inverted = tmp_path / "inverted.wav"
    with wave.open(str(inverted), "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE)
        file.writeframes(to_pcm16(pair).tobytes())
    playing: list[subprocess.Popen[bytes]] = []

    def start(seconds: float) -> None:
        if seconds > 0.2 and not playing:
            playing.append(server.play(inverted))

    server.unplug()
    try:
        server.plug(channels=2)
        heard = record(len(played) / SAMPLE_RATE + 3, progress=start)
    finally:
        server.unplug()
        server.plug()
    assert playing[0].wait(WAIT_S) == 0
    assert likeness(heard.samples, played) > 0.9
    assert "cancel each other out" in caplog.text
    with pytest.raises(DeviceUnavailable, match="has no channel 99"):
        Microphone(channel=99).open()


def _only_its_own_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    """Refuse all sample rates but the device's own, unlike PulseAudio."""
    import sounddevice

    def refuse(**settings: object) -> None:
        raise sounddevice.PortAudioError("Invalid sample rate", -9997)

    monkeypatch.setattr(sounddevice, "check_input_settings", refuse)


def test_record_reports_its_progress(server: Pulse) -> None:
    told: list[float] = []
    heard = record(0.5, "desk", progress=told.append)
    assert told == sorted(told)
    assert told[-1] == heard.duration_s == 0.5
    assert heard.origin == "desk"


def test_record_warns_of_a_muted_microphone(
    server: Pulse, caplog: pytest.LogCaptureFixture
) -> None:
    server.mute(True)
    assert not record(1.2).samples.any()
    assert "nothing but zeros" in caplog.text


def test_record_raises_when_the_microphone_is_unplugged(server: Pulse) -> None:
    def unplug(seconds: float) -> None:
        if seconds > 0.2 and server.plugged:
            server.unplug()

    try:
        with pytest.raises(DeviceUnavailable, match=r"default vanished after 0\.\d s: plug it in"):
            record(60, progress=unplug)
    finally:
        server.plug()
    assert record(0.1).duration_s == pytest.approx(0.1)


@pytest.mark.parametrize("seconds", [0, -1, float("nan"), 1e9])
def test_record_refuses_an_invalid_length(seconds: float) -> None:
    with pytest.raises(ConfigError, match="seconds must be above 0"):
        record(seconds)


def test_muted_microphone_gives_device_silent(server: Pulse) -> None:
    server.mute(True)
    session = Session(Microphone(), model=Counting())
    heard = Events(session)
    with session:
        event = heard.wait_for(DeviceSilent)
    assert isinstance(event, DeviceSilent)
    assert "nothing but zeros" in event.message


def test_late_reader_loses_the_oldest_audio_which_is_counted(
    server: Pulse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sttlab.capture.microphone.QUEUE_S", 0.5)
    clock = Clock(looks=100)  # one for each block of 20 ms
    with opened(Microphone(clock=clock)) as microphone:
        assert clock.looked.wait(WAIT_S)
        first = microphone.read(1.0)
        assert first is not None
        assert first.lost_samples >= (100 - 2) * 320 - 0.5 * SAMPLE_RATE
        assert first.lost_samples % 320 == 0
        rest = read_some(microphone, SAMPLE_RATE // 4)
        assert [block.lost_samples for block in rest] == [0] * len(rest)


def test_input_overflow_counts_lost_samples_in_their_place(server: Pulse) -> None:
    clock = Clock()
    with opened(Microphone(clock=clock)) as microphone:
        stream = microphone._stream
        assert stream is not None
        read_some(microphone, 1)
        stream._stream.stop(ignore_errors=True)  # from here on, the test calls the callback
        stream.finished = False
        while stream.read(0) is not None:
            pass
        # By the device's clock half a second is missing, but only a quarter has passed; then its
        # clock goes back; then it stands still.
        for adc_s, passed_s in ((1.0, 0), (1.52, 0.25), (1.0, 0.1), (1.02, 0.0)):
            clock.now += passed_s
            stream._callback(
                np.ones((320, stream._stream.channels), np.float32),
                320,
                SimpleNamespace(inputBufferAdcTime=adc_s),
                SimpleNamespace(input_overflow=passed_s > 0),
            )
        blocks = [microphone.read(1.0) for _ in range(4)]
        assert [b and len(b.samples) for b in blocks] == [320] * 4
        assert [b and b.lost_samples for b in blocks] == [0, SAMPLE_RATE // 4, 320, 0]


def test_blocked_interpreter_is_not_taken_for_a_lost_device(server: Pulse) -> None:
    with opened(Microphone()) as microphone:
        read_some(microphone, 1)
        held_s = 1.5 * HEARTBEAT_S
        ctypes.PyDLL(None).usleep(round(held_s * 1e6))  # PyDLL holds the GIL during the call
        heard = read_some(microphone, round(held_s * SAMPLE_RATE))
        assert {type(event) for block in heard for event in block.events} <= {DeviceSilent}


def test_device_unplugged_in_speech_is_restored(server: Pulse, wav: Path) -> None:
    session = Session(Microphone(), vad=VadConfig(threshold_dbfs=-45), model=Counting())
    heard = Events(session)
    with session:
        with server.play(wav):
            heard.wait_for(SpeechStarted)
            server.unplug()
        heard.wait_for(DeviceLost)
        cut = heard.wait_for(Utterance)
        assert isinstance(cut, Utterance)
        assert cut.reason == "interrupted"
        server.plug()
        heard.wait_for(DeviceRestored)
        lost = heard.wait_for(SamplesLost)
        assert isinstance(lost, SamplesLost)
        assert lost.count > 0
        with server.play(wav):
            again = heard.wait_for(Utterance)
        assert isinstance(again, Utterance)
        assert again.reason == "silence"
        assert again.onset_sample >= cut.end_sample + lost.count
    assert len(session.history) == 2
    assert session.stats.lost_samples >= lost.count


def test_time_without_the_device_counts_as_lost_samples_at_any_rate(
    server: Pulse, monkeypatch: pytest.MonkeyPatch
) -> None:
    for away_s in (100, 2000):
        clock = Clock()
        with opened(Microphone("desk", clock=clock)) as microphone:
            read_some(microphone, 1)
            server.unplug()
            read_until(microphone, DeviceLost)
            clock.now += away_s
            server.plug()
            restored = read_until(microphone, DeviceRestored)
            assert sum(block.lost_samples for block in restored) == 0
            back = read_some(microphone, 1600)
            lost = sum(block.lost_samples for block in back)
            assert lost == pytest.approx(away_s * SAMPLE_RATE, abs=SAMPLE_RATE / 10)
        _only_its_own_rate(monkeypatch)


def test_lost_device_is_retried_by_name_with_exponential_backoff(
    server: Pulse, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "sttlab.capture.microphone")
    clock = Clock()
    with opened(Microphone("headset", clock=clock)) as microphone:
        read_some(microphone, 1)
        server.unplug()
        server.name("desk")
        read_until(microphone, DeviceLost)
        lost_at = clock.now
        tried_at = []
        while clock.now < lost_at + 30:
            clock.now += 0.25
            caplog.clear()
            assert is_empty(microphone.read(0))
            if "headset is not back" in caplog.text:
                tried_at.append(clock.now - lost_at)
        assert tried_at == [0.25, 0.75, 1.75, 3.75, 7.75, 15.75, 23.75]
        server.plug()  # another microphone does not count as the lost one
        clock.now += 10
        assert is_empty(microphone.read(0))
        server.name("lapel", "desk", "headset")
        clock.now += 10
        (*_, block) = read_until(microphone, DeviceRestored)
        assert block.events == (DeviceRestored(device="headset"),)
        read_some(microphone, 1600)


def test_microphone_closed_while_lost_stays_closed(server: Pulse) -> None:
    microphone = Microphone()
    with opened(microphone):
        read_some(microphone, 1)
        server.unplug()
        read_until(microphone, DeviceLost)
    server.plug()
    assert microphone.read(WAIT_S) is None
    with opened(microphone):
        read_some(microphone, 1600)


def test_microphone_survives_a_crash_of_the_sound_server() -> None:
    """PortAudio never closes a stream whose server is gone, and hangs whoever waits for it."""
    code = """
from sttlab import Microphone
microphone = Microphone()
microphone.open()
while not len(microphone.read(1).samples): pass
print("heard", flush=True)
while not (block := microphone.read(1)).events: pass
print(*block.events, flush=True)
while not (block := microphone.read(1)).events: pass
print(*block.events, flush=True)
while not len((block := microphone.read(1)).samples): pass
print("heard", block.lost_samples > 0, flush=True)
"""
    with (
        pulse() as server,
        subprocess.Popen(
            [sys.executable, "-c", code],
            env=server.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as child,
    ):
        try:
            assert child.stdout is not None
            assert child.stdout.readline() == "heard\n"
            server.kill()
            assert "DeviceLost" in child.stdout.readline()
            server.start()
            assert "DeviceRestored" in child.stdout.readline()
            rest, said = child.communicate(timeout=WAIT_S)
            assert rest == "heard True\n"
            assert child.returncode == 0, said
        finally:
            child.kill()


@pytest.mark.needs("whisper")
def test_speech_into_the_microphone_arrives_as_text_at_a_client(
    server: Pulse, data: Path, tmp_path: Path
) -> None:
    """The whole path: sound server, PortAudio, session, Whisper, uvicorn, a plain client."""
    import jiwer
    from websockets.sync.client import connect

    from sttlab import launch_server, transcribe

    load(data / "demo-noisy.flac").save(tmp_path / "speech.wav")
    offline = transcribe(tmp_path / "speech.wav").text
    session = Session(Microphone())
    delivers = threading.Event()  # PulseAudio takes two seconds to begin
    session.subscribe(lambda event: delivers.set() if isinstance(event, Level) else None)
    with (
        launch_server(session, port=0) as web,
        connect(web.ws_url) as client,
    ):
        assert delivers.wait(WAIT_S)
        playing = server.play(tmp_path / "speech.wav")
        messages: list[dict[str, str]] = []
        words = len(offline.split())
        while sum(len(m["text"].split()) for m in messages) < 0.9 * words:
            messages.append(json.loads(client.recv(timeout=60)))
        assert playing.wait(WAIT_S) == 0
    texts = [t.text for t in session.history]
    assert all(set(m) == {"event", "text"} for m in messages)
    assert [m["text"] for m in messages] == texts[: len(messages)]
    assert jiwer.wer(plain(offline), plain(" ".join(texts))) <= 0.1


def plain(text: str) -> str:
    return "".join(c for c in text.lower() if c.isalnum() or c == " ")


def test_missing_portaudio_raises_with_the_remedy() -> None:
    code = (
        "import ctypes.util, sys\n"
        "ctypes.util.find_library = lambda name: None\n"
        "import sttlab as stt\n"
        "try: stt.list_devices()\n"
        "except stt.SttlabError as error: print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert "PortAudio is missing: install it" in done.stdout
    assert shutil.which("pulseaudio")


def test_kept_microphone_replays_exactly_through_an_unplug_and_two_changes_of_settings(
    server: Pulse, wav: Path, tmp_path: Path
) -> None:
    session = Session(Microphone(), vad=VadConfig(), model=Counting(), keep=tmp_path / "kept")
    events = Events(session)
    try:
        with session:
            player = server.play(wav)
            events.wait_for(SpeechStarted)
            session.update(silence_timeout_s=0.31, pre_roll_s=0.2)
            events.wait_for(Utterance)
            server.unplug()
            player.wait(WAIT_S)
            events.wait_for(DeviceLost)
            server.plug()
            events.wait_for(DeviceRestored)
            player = server.play(wav)
            events.wait_for(SpeechStarted)
            session.update(margin_db=9.0)
            events.wait_for(Utterance)
            player.wait(WAIT_S)
    finally:
        if not server.plugged:
            server.plug()
    kept = open_session(tmp_path / "kept")
    assert len(kept.settings) == 3
    assert {line["input"] for line in kept.inputs} >= {"settings", "lost", "interrupted", "end"}
    assert facts(decide(kept, levels=True)) == facts(events.all)
    assert replay(kept).utterances == kept.utterances
    assert len(kept.utterances) >= 2
