"""The page in other browsers than Chromium: in Firefox, and in WebKit, the engine of Safari."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from sttlab.capture import FileSource
from sttlab.decoding import load
from sttlab.live.session import Session
from sttlab.live.worker import AsrWorker
from sttlab.server.launch import ServerHandle, launch_server
from tests.browser.engines import ENTER, ESCAPE, RIGHT, Engine, firefox, webkit
from tests.browser.test_files import DRAG
from tests.fakes import WAIT_S, Blocks, Counting, wait_until
from tests.ports import free_port
from tests.pulse import Pulse, pulse
from tests.server.clients import VAD, Told, wait_for_capture

pytestmark = [
    pytest.mark.needs("microphone"),
    pytest.mark.timeout(240),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # from the drivers' libraries
]

ENGINES = {"firefox": firefox, "webkit": webkit}
BROWSERS = [pytest.param(name, marks=pytest.mark.needs(name)) for name in ENGINES]
LINES, STATE, MINE = "#transcript .final .text", "#state", "#mine"
HEARD_S = 120  # longest wait for the engine on a busy machine
HAS_MICROPHONE = """return navigator.mediaDevices.enumerateDevices()
    .then((devices) => devices.some(({ kind }) => kind === "audioinput"))"""
# The server may end before the page; older Firefox reports that it doesn't resample.
ALLOWED = "connection to|WebSocket|different sample-rate"


@pytest.fixture(scope="module")
def sound() -> Iterator[Pulse]:
    with pulse() as server:
        yield server


@pytest.fixture(scope="module", params=BROWSERS)
def running(request: pytest.FixtureRequest, sound: Pulse) -> Iterator[Engine]:
    with ENGINES[request.param](Path(sound.environment["HOME"])) as engine:
        yield engine


@pytest.fixture
def engine(running: Engine) -> Iterator[Engine]:
    """A browser; the test fails if its page has an error."""
    yield running
    assert [error for error in running.errors() if not re.search(ALLOWED, error)] == []


@pytest.fixture
def source() -> Told:
    return Told()


@pytest.fixture
def talking(source: Told) -> Iterator[ServerHandle]:
    """A server whose source speaks when a test tells it to."""
    with launch_server(Session(source, vad=VAD, model=Counting()), port=0) as server:
        yield server


@contextmanager
def unplugged(engine: Engine, sound: Pulse, *left: str) -> Iterator[None]:
    """Remove the microphone and the output, and load these modules of PulseAudio."""
    sound.unplug()
    modules = [sound.pactl("load-module", name) for name in left]
    try:
        wait_until(lambda: engine.run(HAS_MICROPHONE) == bool(left))
        yield
    finally:
        for module in modules:
            sound.pactl("unload-module", module)
        sound.plug()
    wait_until(lambda: engine.run(HAS_MICROPHONE))


@pytest.mark.needs("whisper")
def test_finals_appear_and_download(engine: Engine, worker: AsrWorker, data: Path) -> None:
    session = Session(FileSource(data / "austen-2.flac", speed=4), model=worker)
    with launch_server(session, port=0) as server:
        engine.open(server.url)
        (text,) = engine.expect(LINES, "young man", patience_s=HEARD_S)
        engine.expect(STATE, "Recording ended")
        (part,) = session.history[0].segments
        txt, srt, vtt, made = map(engine.download, ("txt", "srt", "vtt", "json"))
        assert txt == f"{text}\n"
        assert srt.startswith("1\n00:00:0")
        assert vtt.startswith("WEBVTT\n\n00:00:0")
        assert json.loads(made)["segments"][0]["end"] == pytest.approx(part.end_s, abs=0.001)


@pytest.mark.needs("whisper")
def test_speech_into_the_browsers_microphone_appears(
    engine: Engine, sound: Pulse, worker: AsrWorker, data: Path, tmp_path: Path
) -> None:
    load(data / "austen-2.flac").save(tmp_path / "speech.wav")
    with launch_server(Session(Blocks(then_wait=True), model=worker), port=0) as server:
        engine.open(server.url)
        engine.expect(STATE, "Listening")
        engine.click(MINE)
        engine.expect(MINE, "Stop my microphone")
        engine.expect("#about", r"Null Output in this browser · (faster-)?whisper tiny\.en")
        with sound.play(tmp_path / "speech.wav") as playing:
            assert playing.wait(WAIT_S) == 0
        # A busy machine may lose audio on the way, within a word or between two.
        heard = "was not|young|sposed"
        engine.expect("#transcript:has(.final)", heard, patience_s=HEARD_S)
        engine.click(MINE)
        engine.expect(MINE, "Use my microphone")
        engine.expect("#about", "^blocks")


def test_missing_microphone_is_explained(
    engine: Engine, sound: Pulse, silent: ServerHandle
) -> None:
    engine.open(silent.url)
    engine.expect(STATE, "Listening")
    with unplugged(engine, sound):
        engine.click(MINE)
        engine.expect("#problem strong", "This browser finds no microphone")
    engine.click("#retry")
    engine.expect(MINE, "Stop my microphone")


@pytest.mark.parametrize("running", [BROWSERS[0]], indirect=True)
def test_firefox_without_an_audio_output_is_explained(
    engine: Engine, sound: Pulse, silent: ServerHandle
) -> None:
    engine.open(silent.url)
    engine.expect(STATE, "Listening")
    with unplugged(engine, sound, "module-sine-source"):
        engine.click(MINE)
        engine.expect("#problem strong", "sound does not start")
        engine.expect("#problem .advice", "plug in headphones")
    engine.click("#retry")
    engine.expect(MINE, "Stop my microphone")


def test_edits_survive_a_reload_and_settings_apply(
    engine: Engine, source: Told, talking: ServerHandle
) -> None:
    engine.open(talking.url)
    wait_for_capture(source)
    source.say(3)
    first, *others = engine.expect(LINES, "", "", "")
    engine.type("#search", first)
    engine.expect("#found", "1 of 3")
    engine.expect(LINES, first)
    engine.press(ESCAPE)
    engine.run("document.querySelector('#transcript .final').focus()")
    engine.press(ENTER)
    engine.press(" samples", ENTER)
    engine.expect(LINES, f"{first} samples", *others)
    engine.click("#copy")
    engine.expect("#toast span", "Copied")
    engine.click("#clear")
    engine.expect(LINES)
    engine.click("#toast .undo")
    engine.expect(LINES, f"{first} samples", *others)
    engine.open(talking.url)
    engine.expect(LINES, f"{first} samples", *others)
    engine.expect("#kept", "Kept in this browser")
    engine.click("#open-settings")
    engine.type("#threshold_dbfs", RIGHT)
    wait_until(lambda: talking.session.config.threshold_dbfs == -39.5)
    talking.session.update(threshold_dbfs=-30)  # as a notebook does
    engine.expect("#first output", "-30 dBFS", "0.2 s")
    engine.press(ESCAPE)
    engine.expect("#settings")


def test_page_reconnects_when_the_server_is_back(engine: Engine) -> None:
    before, after = Told(), Told()
    port = free_port()
    with launch_server(Session(before, vad=VAD, model=Counting()), port=port) as server:
        engine.open(server.url)
        wait_for_capture(before)
        before.say()
        engine.expect(LINES, "")
    engine.expect(STATE, "Reconnecting")
    engine.expect("#problem .advice", r"again in \d+ s")
    with launch_server(Session(after, vad=VAD, model=Counting()), port=port):
        engine.run("document.querySelector('#retry').click()")  # the page may reconnect first
        wait_for_capture(after)
        after.say()
        engine.expect(LINES, "", "")
        engine.expect("#problem")


def test_a_recording_dropped_on_the_page_becomes_text_that_plays(
    engine: Engine, talking: ServerHandle, data: Path
) -> None:
    engine.open(talking.url)
    engine.expect(STATE, "Listening")
    flac = base64.b64encode((data / "austen-5.flac").read_bytes()).decode()
    engine.run(f"({DRAG})(arguments)", "austen 5.flac", "audio/flac", flac)
    assert engine.run("return drag('dragover')")
    engine.run("drag('drop')")
    engine.expect("#job", "^Transcribed")
    engine.expect("#tabs button[title]", "Live", "austen 5.flac")
    engine.expect(LINES, r"\d")
    engine.click("#transcript button.when")
    engine.expect(".heard .text", r"\d")
