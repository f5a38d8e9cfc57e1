"""RemoteMicrophone in the kernel: the messages of the browser, and the audio of a session."""

from __future__ import annotations

import gc
import threading
import weakref
from typing import Any

import numpy as np
import pytest

pytest.importorskip("anywidget")

from hypothesis import given, settings
from hypothesis import strategies as st

import sttlab as stt
from sttlab.audio import SAMPLE_RATE, from_pcm16, to_pcm16
from sttlab.errors import SourceError
from sttlab.events import DeviceLost, DeviceRestored
from sttlab.notebook import remote_microphone as module
from tests.fakes import Counting
from tests.sources import WAIT_S, SourceContract, is_empty, joined, read_some
from tests.widgets import display

CHUNK = 1600
RATES = [SAMPLE_RATE, 44_100, 48_000]


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


class Browser:
    """The other end of the comm: sends what remote_microphone.js sends, and keeps the answers."""

    def __init__(self, monkeypatch, **options: Any) -> None:
        self.answers: list[dict[str, Any]] = []
        monkeypatch.setattr(module.Panel, "send", lambda _, content: self.answers.append(content))
        self.microphone = stt.RemoteMicrophone(**options)

    def say(self, say: str, capture: str = "a", buffers: Any = (), **content: Any) -> None:
        about = {"say": say, "capture": capture, "run": self.microphone.widget.run, **content}
        self.microphone.widget._handle_custom_msg(about, list(buffers))

    def start(self, capture: str = "a") -> None:
        self.say("start", capture, device="Headset")

    def sound(self, pcm: np.ndarray, first: int, rate: int = SAMPLE_RATE, **content: Any) -> None:
        data = memoryview(pcm.astype("<i2").tobytes())
        about = {"first": first, "after": first, "rate": rate, **content}
        self.say("sound", buffers=[data], **about)

    def play(self, pcm: np.ndarray, rate: int = SAMPLE_RATE) -> None:
        for first in range(0, len(pcm), CHUNK):
            self.sound(pcm[first : first + CHUNK], first, rate)

    def stop(self, why: str = "") -> None:
        self.say("stop", why=why)


@pytest.fixture
def browser(monkeypatch):
    return Browser(monkeypatch, clock=Clock())


@pytest.fixture(scope="module")
def speech(data):
    return to_pcm16(stt.load(data / "austen-2.flac").samples)


def read_all(microphone) -> list[Any]:
    """Read all blocks that have arrived."""
    blocks = []
    while not is_empty(block := microphone.read(0)):
        assert block is not None
        blocks.append(block)
    return blocks


class TestSource(SourceContract):
    @pytest.fixture(params=RATES)
    def source(self, request, browser, speech):
        """A microphone to which the browser sends speech each time it is opened."""
        microphone = browser.microphone
        browser.start()
        microphone.widget.observe(lambda change: self._heard(change, browser, request.param), "run")
        self._speech = speech
        yield microphone
        microphone.close()

    def _heard(self, change, browser, rate):
        if change["new"]:
            browser.play(np.tile(self._speech, 2), rate)


@pytest.mark.parametrize("rate", RATES)
def test_session_receives_the_browsers_audio(browser, speech, rate):
    microphone = browser.microphone
    assert microphone.name == "microphone in the browser"
    microphone.open()
    browser.start()
    assert microphone.name == "Headset in the browser"
    browser.play(speech, rate)
    browser.say("stop", why="")
    samples = joined(read_all(microphone))
    if rate == SAMPLE_RATE:
        assert np.array_equal(samples, from_pcm16(speech))
    else:
        assert len(samples) == pytest.approx(len(speech) * SAMPLE_RATE / rate, abs=CHUNK)
    sounds = [answer for answer in browser.answers if answer["taken"]]
    assert [answer["taken"] for answer in sounds][-1] == len(speech)
    assert {(answer["capture"], answer["run"]) for answer in sounds} == {("a", 1)}


@given(
    fates=st.lists(st.sampled_from(["comes", "late", "twice", "given up"]), max_size=30),
    size=st.integers(1, 500),
)
@settings(max_examples=100)
def test_each_sample_arrives_once_or_counts_as_lost_on_any_link(fates, size):
    """Stream time stays right: a sample is in its place, or within a gap that is reported."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        browser = Browser(monkeypatch)
    browser.microphone.open()
    browser.start()
    pcm = np.arange(1, len(fates) * size + 1, dtype=np.int16)
    after = 0
    for i, fate in enumerate(fates):
        first = i * size
        this, next_, before = (pcm[at : at + size] for at in (first, first + size, first - size))
        if fate == "given up":
            continue
        if fate == "late":  # the chunk was lost on the way, and the next one arrives first
            browser.sound(next_, first + size)
        browser.sound(this, first, after=after)
        if fate == "twice" and i:
            browser.sound(before, first - size)
            browser.sound(this, first, after=after)
        after = first + size
    heard = []
    for block in read_all(browser.microphone):
        heard += [0] * block.lost_samples + list(to_pcm16(block.samples))
    expected = [0 if fates[i // size] == "given up" else sample for i, sample in enumerate(pcm)]
    while expected and fates[(len(expected) - 1) // size] == "given up":
        expected.pop()  # a later chunk would report the loss
    assert heard == expected


def test_audio_is_not_acknowledged_while_closed(browser, speech):
    browser.start()
    browser.answers.clear()
    browser.sound(speech[:CHUNK], 0, run=1)
    browser.microphone.open()
    browser.microphone.close()
    browser.microphone.open()
    browser.sound(speech[:CHUNK], 0, run=1)
    assert browser.answers == []
    browser.say("here")
    assert browser.answers == [{"capture": "a", "run": 2, "taken": 0}]


def test_buffer_is_bounded_without_a_reader(browser, speech):
    browser.microphone.open()
    browser.start()
    for i in range(200):  # each after a gap
        browser.sound(speech[:100], 200 * i, after=0)
    assert len(browser.microphone._parts) <= module.PARTS + 2
    refused = [i for i in range(200) if i * 200 + 100 not in {a["taken"] for a in browser.answers}]
    assert refused, "the browser keeps the chunks that are not acknowledged"
    lost = sum(block.lost_samples for block in read_all(browser.microphone))
    assert lost == 100 * (refused[0] - 1)


def test_late_reader_loses_nothing(browser, speech):
    browser.microphone.open()
    browser.start()
    browser.play(np.tile(speech, 20))
    assert len(joined(read_all(browser.microphone))) == 20 * len(speech) > 40 * SAMPLE_RATE


def test_another_page_takes_capture_over(browser, speech):
    browser.microphone.open()
    browser.start("a")
    browser.sound(speech[:CHUNK], 0)
    browser.start("b")
    assert browser.microphone.widget.holder == "b"
    browser.sound(speech[CHUNK : 2 * CHUNK], CHUNK, capture="a")
    browser.stop("unplugged")
    browser.sound(speech[: 2 * CHUNK], 0, rate=48_000, capture="b")
    blocks = read_all(browser.microphone)
    assert sum(len(block.samples) for block in blocks) <= CHUNK + 2 * CHUNK // 3
    assert [event for block in blocks for event in block.events] == []
    assert browser.microphone.widget.holder == "b"


def test_lost_and_restored_device_gives_events(browser, speech):
    microphone = browser.microphone
    microphone.open()
    browser.start()
    browser.sound(speech[:CHUNK], 0)
    browser.stop("The microphone was disconnected.")
    assert not microphone.on
    browser.start("b")
    browser.sound(speech[:CHUNK], 0, capture="b")
    told = [event for block in read_all(microphone) for event in block.events]
    assert told == [
        DeviceLost(device="Headset in the browser", message="The microphone was disconnected."),
        DeviceRestored(device="Headset in the browser"),
    ]


@pytest.mark.parametrize("rate", RATES)
def test_silent_browser_gives_device_lost_and_its_buffer_arrives_later(browser, speech, rate):
    microphone, clock = browser.microphone, browser.microphone._clock
    microphone.open()
    browser.start()
    browser.sound(speech[:CHUNK], 0, rate)
    assert microphone.on
    clock.now += module.STALLED_S + 1
    assert not microphone.on
    before = read_all(microphone)
    assert [type(event) for block in before for event in block.events] == [DeviceLost]
    assert is_empty(microphone.read(0)), "the loss is reported once"
    for first in range(CHUNK, len(speech), CHUNK):
        browser.sound(speech[first : first + CHUNK], first, rate)
    assert microphone.on
    after = read_all(microphone)
    assert [type(event) for block in after for event in block.events] == [DeviceRestored]
    assert sum(block.lost_samples for block in before + after) == 0
    samples = sum(len(block.samples) for block in before + after)
    assert samples == pytest.approx(len(speech) * SAMPLE_RATE / rate, abs=CHUNK)


def test_session_starts_and_stops_repeatedly(browser, speech):
    browser.start()
    session = stt.Session(browser.microphone, model=Counting())
    for run in (1, 2, 3):
        with session:
            assert browser.microphone.widget.run == run
            browser.play(speech)
        assert browser.microphone.widget.run == 0
    assert session.stats.lost_samples == 0


def test_closed_widget_ends_the_audio(browser):
    session = stt.Session(browser.microphone, model=Counting())
    session.start()
    browser.start()
    browser.microphone.widget.close()
    assert session.wait(WAIT_S)
    session.stop()
    with pytest.raises(SourceError, match="make and show a new one"):
        session.start()


def test_microphone_without_references_is_freed(browser):
    panel = browser.microphone.widget
    gone = weakref.ref(browser.microphone)
    browser.start()
    del browser.microphone
    gc.collect()
    assert gone() is None
    assert panel.comm is None, "the browser releases the device"


def test_shown_microphone_lives_until_no_page_shows_it(browser):
    panel = browser.microphone.widget
    display(browser.microphone)
    gone = weakref.ref(browser.microphone)
    del browser.microphone
    panel._view_count = 2
    panel._view_count = 1
    gc.collect()
    assert gone() is not None
    panel._view_count = 0
    gc.collect()
    assert gone() is None


def test_reader_and_browser_may_run_at_once(browser, speech):
    microphone = browser.microphone
    microphone.open()
    browser.start()
    speaking = threading.Thread(target=browser.play, args=[speech])
    speaking.start()
    heard = joined(read_some(microphone, len(speech)))
    speaking.join()
    assert np.array_equal(heard, from_pcm16(speech))
