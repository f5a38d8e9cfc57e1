"""06_remote_microphone in a real JupyterLab, with a browser whose microphone plays a recording."""

from __future__ import annotations

import ast
import contextlib
import re
import socket
import threading
import wave
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest

import sttlab as stt
from sttlab.audio import SAMPLE_RATE, to_pcm16
from tests.browser.pages import comes_true
from tests.notebook.conftest import NAME
from tests.notebook.lab_pages import PATIENCE_MS, error_rate, opened

pytestmark = pytest.mark.needs("jupyter", "chromium", "whisper")

PATH = "notebooks/06_remote_microphone.ipynb"
CHOOSE = "if microphone.on:"
SAID = "austen-5"
PAUSE_S = 1.5
JOIN_S = 10.0
# What the page has of the device, since nothing else tells whether it let go.
WATCH = """
window.tracks = [];
const devices = navigator.mediaDevices;
const open = devices?.getUserMedia.bind(devices);
if (open) devices.getUserMedia = async (wanted) => {
  const stream = await open(wanted);
  window.tracks.push(...stream.getTracks());
  return stream;
};
"""
WAIT_FOR_TEXT = (
    "(text := __import__('threading').Event(), "
    "session.subscribe(lambda event: event.kind == 'transcript' and text.set()), text.wait(50))[2]"
)
WAIT_FOR_SLIDER = """
slider = __import__("threading").Event()
session.subscribe(lambda event: event.kind == "config_changed" and slider.set())
__import__("pathlib").Path("waiting").touch()
moved = slider.wait(50)
"""
LIVE = "tracks.filter((track) => track.readyState === 'live').length"
ON, OFF = "On. No session is listening.", "Off."


class Line:
    """A line to JupyterLab that can go dead for a while."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._up = threading.Event()
        self._up.set()
        self._ends = [socket.create_server(("127.0.0.1", 0))]
        self.port = self._ends[0].getsockname()[1]
        self._threads: list[threading.Thread] = []
        self._begin(self._accept)

    def _begin(self, target: Any, *args: Any) -> None:
        self._threads.append(threading.Thread(target=target, args=args))
        self._threads[-1].start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # closed
            while True:
                here, _ = self._ends[0].accept()
                there = socket.create_connection(("127.0.0.1", self._port))
                self._ends += here, there
                self._begin(self._pass_on, here, there)
                self._begin(self._pass_on, there, here)

    def _pass_on(self, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                self._up.wait()
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)

    def stall(self) -> None:
        self._up.clear()

    def go_on(self) -> None:
        self._up.set()

    def close(self) -> None:
        self._up.set()
        for end in self._ends:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
        for thread in self._threads:
            thread.join(JOIN_S)
            assert not thread.is_alive()


@pytest.fixture
def line(lab) -> Iterator[Line]:
    line = Line(urlsplit(lab.url).port)
    yield line
    line.close()


@pytest.fixture(scope="module")
def speaking(browser, chromium, data, tmp_path_factory) -> Iterator[Any]:
    """A browser whose microphone plays a sentence and a pause, again and again."""
    path = tmp_path_factory.mktemp("microphone") / "speech.wav"
    speech = stt.load(data / f"{SAID}.flac").samples
    pause = np.zeros(round(PAUSE_S * SAMPLE_RATE), np.float32)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE)
        file.writeframes(to_pcm16(np.concatenate([speech, pause])).astype("<i2").tobytes())
    args = ["--no-sandbox", "--disable-gpu", "--use-fake-device-for-media-stream"]
    args += [f"--use-file-for-fake-audio-capture={path}"]
    args += [f"--host-resolver-rules=MAP {NAME} 127.0.0.1"]
    speaking = browser.browser_type.launch(executable_path=chromium, args=args)
    yield speaking
    speaking.close()


class Microphone:
    """What stands below the cell that shows it, or the n-th that does."""

    def __init__(self, notebook: Any, index: int = 0) -> None:
        self.root = notebook.page.get_by_role("group", name="microphone of this computer").nth(
            index
        )
        self.button = self.root.get_by_role("button")
        self.words = self.root.get_by_role("status")
        self.figures = self.root.locator(".figures")


def start(notebook: Any) -> Microphone:
    """Run the cell that makes a microphone, and press Start."""
    from playwright.sync_api import expect

    notebook.select(CHOOSE)
    notebook.menu("Run", "Run All Above Selected Cell")
    microphone = Microphone(notebook)
    expect(microphone.words).to_have_text(OFF, timeout=PATIENCE_MS)
    microphone.button.click()
    return microphone


def test_the_words_arrive_in_the_kernel_and_a_dead_line_loses_none(lab, speaking, line, data):
    from playwright.sync_api import expect

    expect.set_options(timeout=PATIENCE_MS)
    url = lab.url.replace(str(urlsplit(lab.url).port), str(line.port))
    with opened(lab, speaking, PATH, url, permissions=["microphone"]) as notebook:
        microphone = start(notebook)
        expect(microphone.words).to_have_text(ON)
        expect(microphone.figures).to_contain_text(re.compile(r"-[2-5]\d dBFS"))
        notebook.menu("Run", "Run Selected Cell and All Below")
        expect(microphone.words).to_have_text("On. A session is listening.")
        texts = notebook.page.get_by_text("amiable himself")
        expect(texts.first).to_be_visible()
        assert notebook.value(WAIT_FOR_TEXT) == "True", "while a cell runs"
        with notebook.kernel() as client:
            client.execute(WAIT_FOR_SLIDER)
            waiting = lab.folder / "notebooks" / "waiting"
            assert comes_true(notebook.page, waiting.exists), "the cell does not run"
            notebook.page.get_by_role("slider").first.press("ArrowRight")
            assert client.get_shell_msg(timeout=PATIENCE_MS / 1000)["content"]["status"] == "ok"
        assert notebook.value("moved") == "True", "while a cell runs"

        line.stall()
        expect(microphone.words).to_contain_text("The kernel does not answer")
        expect(microphone.figures).to_contain_text(re.compile(r"([7-9]|\d\d) s of 30 s kept"))
        line.go_on()
        expect(microphone.figures).not_to_contain_text("kept")
        expect(microphone.words).to_have_text("On. A session is listening.")
        count = texts.count()
        expect(texts.nth(count + 1)).to_be_visible()

        microphone.button.click()
        expect(microphone.words).to_have_text(OFF)
        assert notebook.value("session.stop(), session.stats.lost_samples") == "(None, 0)"
        heard = ast.literal_eval(notebook.value("[t.text for t in session.history]"))
        whole = [text for text in heard if error_rate([text], data / f"{SAID}.txt") == 0]
        assert len(whole) >= 3, heard


@pytest.fixture
def allowed(lab, speaking) -> Iterator[Any]:
    """A notebook with nothing in it but the microphone, shown in two cells."""
    import nbformat

    code = ["import sttlab as stt\nmicrophone = stt.RemoteMicrophone()", "microphone"]
    code += ["microphone  # again", CHOOSE + "\n    pass"]
    book = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(source) for source in code],
        metadata={"kernelspec": {"name": "python3", "display_name": "Python 3"}},
    )
    path = "notebooks/twice.ipynb"
    nbformat.write(book, lab.folder / path)
    with opened(lab, speaking, path, script=WATCH, permissions=["microphone"]) as notebook:
        yield notebook


def test_it_lets_go_of_the_device_whatever_ends_it(allowed):
    from playwright.sync_api import expect

    expect.set_options(timeout=PATIENCE_MS)
    page = allowed.page

    def on() -> tuple[Microphone, Microphone]:
        first, second = start(allowed), Microphone(allowed, 1)
        for shown in (first, second):
            expect(shown.words).to_have_text(ON)
        page.wait_for_function(f"{LIVE} === 1")
        return first, second

    def off() -> None:
        page.wait_for_function(f"{LIVE} === 0")

    first, second = on()
    prompt = page.locator(".jp-CodeCell .jp-InputPrompt").nth(1)
    prompt.click()
    page.keyboard.press("Control+Enter")  # the cell that shows it
    expect(prompt).to_have_text("[4]:")
    assert allowed.value("microphone.on, microphone.name") == (
        "(True, 'Fake Default Audio Input in the browser')"
    )
    second.button.click()
    for shown in (first, second):
        expect(shown.words).to_have_text(OFF)
    off()

    on()
    allowed.select(CHOOSE)
    allowed.menu("Run", "Run All Above Selected Cell")
    expect(first.words).to_have_text(OFF)
    off()

    on()
    page.evaluate("tracks.at(-1).dispatchEvent(new Event('ended'))")
    expect(second.words).to_have_text("The microphone was disconnected.")
    off()

    on()
    with allowed.kernel() as client:
        client.execute("microphone.widget.close()", reply=True, timeout=PATIENCE_MS / 1000)
    expect(first.root).not_to_be_visible()
    off()

    on()
    allowed.menu("Kernel", "Restart Kernel…")
    page.get_by_role("button", name="Confirm Kernel Restart").click()
    expect(first.words).to_contain_text("Run the cell again")
    expect(first.button).to_be_disabled()
    off()

    on()
    allowed.menu("Kernel", "Shut Down Kernel")
    expect(first.words).to_contain_text("Run the cell again")
    off()


def test_where_the_browser_gives_no_microphone_it_says_what_to_do(lab, speaking):
    from playwright.sync_api import expect

    expect.set_options(timeout=PATIENCE_MS)
    with opened(lab, speaking, PATH) as notebook:
        expect(start(notebook).words).to_contain_text("Allow it by the symbol beside the address")
    with opened(lab, speaking, PATH, lab.url.replace("127.0.0.1", NAME)) as notebook:
        expect(start(notebook).words).to_contain_text("Open this notebook by https")
