"""A real PortAudio stream from a real sound server, unplugged and plugged in again."""

from __future__ import annotations

import json
import queue
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from sttlab.audio import SAMPLE_RATE, load
from sttlab.capture import Microphone, list_devices, record
from sttlab.config import VadConfig
from sttlab.errors import ConfigError, DeviceUnavailable
from sttlab.events import (
    DeviceLost,
    DeviceRestored,
    DeviceSilent,
    Event,
    SamplesLost,
    SpeechStarted,
    Utterance,
)
from sttlab.session import Session
from tests.fakes import Counting
from tests.pulse import Pulse, pulse

pytestmark = pytest.mark.needs("microphone")

WAIT_S = 30


@pytest.fixture(scope="module")
def sound_server() -> Iterator[Pulse]:
    with pulse() as server:
        yield server


@pytest.fixture
def server(sound_server: Pulse) -> Iterator[Pulse]:
    yield sound_server
    sound_server.mute(False)


@pytest.fixture
def wav(data: Path, tmp_path: Path) -> Path:
    load(data / "austen-2.flac").save(tmp_path / "speech.wav")
    return tmp_path / "speech.wav"


class Heard:
    """The events of a session, to be waited for."""

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


def test_devices_are_listed_with_what_one_needs_to_choose(server: Pulse) -> None:
    devices = list_devices()
    default = [d for d in devices if d.is_default]
    assert len(default) == 1
    assert all(d.channels > 0 and d.default_rate >= 8000 and d.host_api for d in devices)
    assert "default" in {d.name for d in devices}


@pytest.mark.parametrize("device", [None, "default", "DEFAU"])
def test_it_is_opened_by_name_or_a_part_of_it(server: Pulse, device: str | None) -> None:
    microphone = Microphone(device)
    microphone.open()
    try:
        assert read_samples(microphone, 1600)
        assert microphone.name == "default"
    finally:
        microphone.close()
    assert microphone.read(0) is None


def test_it_is_opened_by_index(server: Pulse) -> None:
    index = next(d.index for d in list_devices() if d.is_default)
    microphone = Microphone(index)
    microphone.open()
    microphone.close()


def read_samples(microphone: Microphone, count: int) -> list[np.ndarray]:
    blocks: list[np.ndarray] = []
    while sum(map(len, blocks)) < count:
        block = microphone.read(1.0)
        assert block is not None
        blocks.append(block.samples)
    return blocks


def test_a_name_that_is_not_there_is_refused_with_those_that_are(server: Pulse) -> None:
    with pytest.raises(DeviceUnavailable, match=r"no microphone 'nowhere'; there are .*default"):
        Microphone("nowhere").open()
    with pytest.raises(DeviceUnavailable, match="no microphone 999"):
        Microphone(999).open()


def test_what_is_played_is_heard(server: Pulse, wav: Path) -> None:
    played = load(wav).samples
    playing: list[subprocess.Popen[bytes]] = []

    def start(seconds: float) -> None:
        if seconds > 0.2 and not playing:
            playing.append(server.play(wav))

    heard = record(len(played) / SAMPLE_RATE + 2, progress=start)
    assert playing[0].wait(WAIT_S) == 0
    size = len(heard.samples) + len(played)
    product = np.fft.rfft(heard.samples, size) * np.conj(np.fft.rfft(played, size))
    at = int(np.fft.irfft(product, size).argmax())
    same = heard.samples[at : at + len(played)]
    assert np.corrcoef(same, played[: len(same)])[0, 1] > 0.95
    assert heard.duration_s == pytest.approx(len(played) / SAMPLE_RATE + 2)
    assert heard.origin == "default"


@pytest.mark.parametrize("seconds", [0, -1, float("nan"), 1e9])
def test_an_impossible_length_is_refused(seconds: float) -> None:
    with pytest.raises(ConfigError, match="seconds must be above 0"):
        record(seconds)


def test_nothing_but_zeros_is_said(server: Pulse) -> None:
    server.mute(True)
    session = Session(Microphone(), model=Counting())
    heard = Heard(session)
    with session:
        event = heard.wait_for(DeviceSilent)
    assert isinstance(event, DeviceSilent)
    assert "nothing but zeros" in event.message


def test_a_reader_that_is_late_loses_the_oldest_and_stream_time_stays_true(server: Pulse) -> None:
    microphone = Microphone()
    microphone.open()
    try:
        stream = microphone._stream
        assert stream is not None
        moment = threading.Event()  # PortAudio's thread goes on meanwhile
        for _ in range(WAIT_S * 10):
            if stream.dropped > SAMPLE_RATE / 2:
                break
            moment.wait(0.1)
        block = microphone.read(1.0)
        assert block is not None
        assert block.lost_samples > SAMPLE_RATE / 2
        assert block.lost_samples == pytest.approx(stream.dropped, abs=SAMPLE_RATE / 5)
    finally:
        microphone.close()


def test_unplugged_in_mid_speech_and_back(server: Pulse, wav: Path) -> None:
    session = Session(Microphone(), vad=VadConfig(threshold_dbfs=-45), model=Counting())
    heard = Heard(session)
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
        assert again.start_sample >= cut.end_sample + lost.count
    assert len(session.history) == 2


@pytest.mark.needs("whisper")
def test_a_recording_played_into_the_microphone_arrives_as_text(
    server: Pulse, data: Path, tmp_path: Path
) -> None:
    """The whole way: sound server, PortAudio, session, Whisper, uvicorn, a plain client."""
    import jiwer
    from websockets.sync.client import connect

    from sttlab import launch_server, transcribe

    load(data / "demo-noisy.flac").save(tmp_path / "speech.wav")
    offline = transcribe(tmp_path / "speech.wav").text
    session = Session(Microphone())
    texts = []
    with (
        launch_server(session, port=0) as web,
        connect(web.ws_url) as client,
    ):
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


def test_without_portaudio_the_remedy_is_said() -> None:
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
