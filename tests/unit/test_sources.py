"""The contract suite of audio sources; tests/audio runs it over the microphone."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import soxr
from hypothesis import given, settings
from hypothesis import strategies as st

from sttlab.audio import SAMPLE_RATE, from_pcm16, to_pcm16
from sttlab.capture import FileSource, PushSource
from sttlab.capture.base import AudioSource, Block
from sttlab.capture.push import BUFFER_S
from sttlab.decoding import load
from sttlab.errors import ConfigError, DecodeError, SourceError
from tests.sources import WAIT_S, SourceContract, is_empty, joined


class Clock:
    """A clock that advances each time it is read."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 0.005
        return self.now


class PushedFile(PushSource):
    """A source into which a recording is pushed when it opens."""

    def __init__(self, path: Path, rate: int = SAMPLE_RATE) -> None:
        super().__init__(rate)
        self._samples = load(path).samples

    def open(self) -> None:
        super().open()
        sound = soxr.resample(self._samples, SAMPLE_RATE, self.sample_rate)
        for start in range(0, len(sound), 1600):
            self.push(to_pcm16(sound[start : start + 1600]).astype("<i2").tobytes())
        self.end()


SOURCES: dict[str, Callable[[Path], AudioSource]] = {
    "file at once": lambda path: FileSource(path, speed=None),
    "file at speed": lambda path: FileSource(path, speed=50.0),
    "pushed": PushedFile,
    "pushed and resampled": lambda path: PushedFile(path, 44_100),
}


@pytest.fixture(params=SOURCES)
def source(request: pytest.FixtureRequest, data: Path) -> Iterator[AudioSource]:
    source = SOURCES[request.param](data / "word.mp3")
    yield source
    source.close()


def read_all(source: AudioSource) -> list[Block]:
    blocks = []
    while (block := source.read(1.0)) is not None:
        blocks.append(block)
    return blocks


class TestSource(SourceContract):
    def test_source_delivers_all_samples_once_and_in_order(
        self, source: AudioSource, data: Path
    ) -> None:
        whole = load(data / "word.mp3").samples
        for _ in range(2):  # a source that is opened again starts at its beginning
            source.open()
            blocks = read_all(source)
            assert sum(block.lost_samples for block in blocks) == 0
            if getattr(source, "sample_rate", SAMPLE_RATE) == SAMPLE_RATE:
                assert joined(blocks) == pytest.approx(whole, abs=2**-15)
            else:
                assert len(joined(blocks)) == pytest.approx(len(whole), abs=1)
                assert joined(blocks)[: len(whole)] == pytest.approx(whole, abs=0.02)
            assert source.read(WAIT_S) is None


def test_file_source_plays_in_real_time(data: Path) -> None:
    clock = Clock()
    source = FileSource(data / "word.mp3", speed=1.0, clock=clock)
    source.open()
    played = 0
    while (block := source.read(0.0)) is not None:
        played += len(block.samples)
        assert played / SAMPLE_RATE <= clock.now
    source.close()
    assert played == len(load(data / "word.mp3").samples)


def test_file_source_loses_nothing_with_a_late_reader(data: Path) -> None:
    clock = Clock()
    source = FileSource(data / "word.mp3", clock=clock)
    source.open()
    source.read(0.0)
    clock.now += 3600
    assert len(joined(read_all(source))) == len(load(data / "word.mp3").samples)
    source.close()


@pytest.mark.parametrize("kind", ["file", "pushed"])
def test_close_ends_a_read_that_waits(data: Path, kind: str) -> None:
    source: AudioSource = PushSource()
    if kind == "file":
        source = FileSource(data / "word.mp3", speed=0.0001)
    source.open()
    answers: list[Block | None] = []
    reading = threading.Thread(target=lambda: answers.append(source.read(WAIT_S)))
    reading.start()
    source.close()
    reading.join(WAIT_S / 2)
    assert answers == [None]
    reading.join()


def test_file_source_may_be_closed_while_it_decodes(data: Path) -> None:
    for _ in range(20):
        source = FileSource(data / "austen-1.flac", speed=None)
        source.open()
        begun = threading.Event()

        def read_all_of_it(source=source, begun=begun) -> None:
            while source.read(WAIT_S) is not None:
                begun.set()

        reading = threading.Thread(target=read_all_of_it)
        reading.start()
        assert begun.wait(WAIT_S)
        source.close()
        reading.join(WAIT_S)
        assert not reading.is_alive()


def test_read_without_pushed_audio_returns_in_time() -> None:
    source = PushSource()
    source.open()
    assert is_empty(source.read(0.01))
    source.push(b"")
    assert is_empty(source.read(0))


@pytest.mark.parametrize("speed", [0, -1, float("nan"), float("inf")])
def test_invalid_speed_is_refused(speed: float) -> None:
    with pytest.raises(ConfigError, match="speed must be above 0"):
        FileSource("a.wav", speed)


def test_file_that_is_not_audio_is_refused_by_open(tmp_path: Path) -> None:
    with pytest.raises(DecodeError, match="is not there"):
        FileSource(tmp_path / "nowhere.wav").open()


@pytest.mark.parametrize("rate", [8_000, 44_100, 48_000])
def test_an_hour_is_resampled_without_losing_or_doubling_a_sample(rate: int) -> None:
    """The end of the hour has exactly the samples of the end of a single second."""
    source = PushSource(rate)
    source.open()
    second = sine(rate)
    heard = 0
    last = np.empty(0, np.float32)
    for _ in range(3600):
        source.push(second)
        block = source.read(0)
        assert block is not None
        heard += len(block.samples)
        last = np.concatenate([last, block.samples])[-SAMPLE_RATE:]
    source.end()
    block = source.read(0)
    assert block is not None
    heard += len(block.samples)
    assert source.read(0) is None
    assert heard == 3600 * SAMPLE_RATE
    last = np.concatenate([last, block.samples])[-SAMPLE_RATE:]
    assert last[:-200] == pytest.approx(sine(SAMPLE_RATE)[:-200], abs=1e-3)


def sine(rate: int) -> np.ndarray:
    return np.sin(2 * np.pi * 440 * np.arange(rate) / rate).astype(np.float32)


@given(cuts=st.lists(st.integers(0, 5000), max_size=40), rate=st.sampled_from([8_000, 44_100]))
@settings(max_examples=50)
def test_resampling_does_not_depend_on_how_audio_is_pushed(cuts: list[int], rate: int) -> None:
    sound = np.random.default_rng(0).uniform(-0.5, 0.5, sum(cuts)).astype(np.float32)
    parts = np.split(sound, np.cumsum(cuts)[:-1]) if cuts else []
    source = PushSource(rate)
    source.open()
    heard = []
    for part in parts:
        source.push(part)
        block = source.read(0)
        assert block is not None
        heard.append(block.samples)
    source.end()
    heard += [block.samples for block in read_all(source)]
    expected = soxr.resample(sound, rate, SAMPLE_RATE) if len(sound) else sound
    assert np.concatenate([*heard, sound[:0]]) == pytest.approx(expected, abs=1e-5)


def test_a_full_buffer_drops_the_oldest_and_counts_it() -> None:
    source = PushSource()
    source.open()
    count = round(BUFFER_S) + 5
    for second in range(count):
        lost = source.push(np.full(SAMPLE_RATE, second / 100, np.float32))
        assert lost == (SAMPLE_RATE if second >= BUFFER_S else 0)
    block = source.read(0)
    assert block is not None
    assert block.lost_samples == 5 * SAMPLE_RATE
    assert block.samples[0] == pytest.approx(0.05)
    assert len(block.samples) == BUFFER_S * SAMPLE_RATE
    source.close()


def test_push_larger_than_the_buffer_keeps_its_end() -> None:
    source = PushSource()
    source.open()
    source.push(np.zeros(100, np.float32))
    long = np.linspace(-1, 1, round((BUFFER_S + 2) * SAMPLE_RATE) + 7, dtype=np.float32)
    lost = 2 * SAMPLE_RATE + 107
    assert source.push(long) == lost
    block = source.read(0)
    assert block is not None
    assert block.lost_samples == lost
    assert np.array_equal(block.samples, long[lost - 100 :])
    source.push(long[:5])
    block = source.read(0)
    assert block is not None
    assert block.lost_samples == 0
    source.close()


def test_close_resets_the_count_of_lost_samples() -> None:
    source = PushSource()
    source.open()
    source.push(np.zeros(round(2 * BUFFER_S) * SAMPLE_RATE, np.float32))
    source.open()
    source.push(b"\0\0")
    block = source.read(0)
    assert block is not None
    assert (len(block.samples), block.lost_samples) == (1, 0)


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_push_accepts_any_bytes_like_object(kind: Callable[[bytes], bytes]) -> None:
    source = PushSource()
    source.open()
    source.push(kind(b"\x00\x40"))
    block = source.read(0)
    assert block is not None
    assert block.samples.tolist() == [0.5]


def test_push_accepts_int16_and_float_arrays() -> None:
    source = PushSource()
    source.open()
    given = np.array([0.5, np.nan, np.inf])
    source.push(given)
    source.push(np.array([16384], np.int16))
    given[:] = 9
    block = source.read(0)
    assert block is not None
    assert block.samples.tolist() == [0.5, 0, 0, 0.5]
    for wrong in (np.zeros(3, np.uint8), np.zeros(3, np.int32), np.zeros(3, complex)):
        with pytest.raises(SourceError, match="samples must be mono"):
            source.push(wrong)


def test_nan_does_not_spread_through_the_resampler() -> None:
    source = PushSource(48_000)
    source.open()
    source.push(np.full(4800, np.nan, np.float32))
    source.push(np.full(48_000, 0.5, np.float32))
    source.end()
    (block,) = read_all(source)
    assert np.isfinite(block.samples).all()
    assert block.samples[-1000:-500] == pytest.approx(0.5, abs=1e-3)


def test_push_refuses_an_odd_number_of_bytes() -> None:
    source = PushSource()
    source.open()
    source.push(b"\x00\x40\xff\xff")
    block = source.read(0)
    assert block is not None
    assert block.samples.tolist() == from_pcm16(np.array([0x4000, -1], np.int16)).tolist()
    with pytest.raises(SourceError, match="pairs of bytes"):
        source.push(b"\x00")
    with pytest.raises(SourceError, match="mono"):
        source.push(np.zeros((2, 2), np.float32))
    source.close()


def test_push_to_a_closed_source_raises() -> None:
    source = PushSource()
    with pytest.raises(SourceError, match="start its session first"):
        source.push(b"")
    source.open()
    source.push(b"\0\0")
    source.end()
    with pytest.raises(SourceError, match="start its session first"):
        source.push(b"")
    assert source.read(0) is not None  # audio from before the end can still be read
    source.close()
    with pytest.raises(SourceError, match="start its session first"):
        source.push(b"")
    with pytest.raises(SourceError, match="between 1000 and 768000"):
        PushSource(10)
