"""What every source of sound owes its reader; the microphone's turn comes in tests/audio."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from sttlab.audio import SAMPLE_RATE, from_pcm16, load, to_pcm16
from sttlab.capture import FileSource, PushSource
from sttlab.capture.base import AudioSource, Block
from sttlab.capture.push import BUFFER_S
from sttlab.errors import ConfigError, DecodeError, SourceError

WAIT_S = 10


class Clock:
    """Wall time that passes when somebody waits for it."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 0.005
        return self.now


class PushedFile(PushSource):
    """A pushed source with a thread that pushes a recording, as a browser would."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path

    def open(self) -> None:
        super().open()
        samples = load(self._path).samples
        for start in range(0, len(samples), 1600):
            self.push(to_pcm16(samples[start : start + 1600]).astype("<i2").tobytes())
        self.end()


def file_at_speed(path: Path) -> FileSource:
    return FileSource(path, speed=50.0)


def file_at_once(path: Path) -> FileSource:
    return FileSource(path, speed=None)


@pytest.fixture(params=[file_at_once, file_at_speed, PushedFile], ids=lambda make: make.__name__)
def source(request: pytest.FixtureRequest, data: Path) -> Iterator[AudioSource]:
    source: AudioSource = request.param(data / "word.mp3")
    yield source
    source.close()


def read_all(source: AudioSource) -> list[Block]:
    blocks = []
    while (block := source.read(1.0)) is not None:
        blocks.append(block)
    return blocks


def joined(blocks: list[Block]) -> np.ndarray:
    return np.concatenate([block.samples for block in blocks])


def test_all_of_it_comes_once_and_in_order(source: AudioSource, data: Path) -> None:
    source.open()
    blocks = read_all(source)
    assert sum(block.lost_samples for block in blocks) == 0
    assert all(b.samples.dtype == np.float32 and b.samples.ndim == 1 for b in blocks)
    assert joined(blocks) == pytest.approx(load(data / "word.mp3").samples, abs=2**-15)
    assert source.read(0) is None


def test_opened_again_it_starts_again(source: AudioSource) -> None:
    source.open()
    first = source.read(1.0)
    source.close()
    source.open()
    again = source.read(1.0)
    assert first is not None
    assert again is not None
    assert np.array_equal(first.samples, again.samples)


def test_closing_twice_or_unopened_is_fine(source: AudioSource) -> None:
    source.close()
    source.open()
    source.close()
    source.close()


def test_it_has_a_name(source: AudioSource) -> None:
    assert source.name


def test_a_file_waits_for_its_time(data: Path) -> None:
    clock = Clock()
    source = FileSource(data / "word.mp3", speed=1.0, clock=clock)
    source.open()
    played = 0
    while (block := source.read(0.0)) is not None:
        played += len(block.samples)
        assert played / SAMPLE_RATE <= clock.now
    source.close()
    assert played == len(load(data / "word.mp3").samples)


def test_a_late_reader_loses_nothing_of_a_file(data: Path) -> None:
    clock = Clock()
    source = FileSource(data / "word.mp3", clock=clock)
    source.open()
    source.read(0.0)
    clock.now += 3600
    assert len(joined(read_all(source))) == len(load(data / "word.mp3").samples)
    source.close()


def closes_while_reading(source: AudioSource) -> Block | None:
    """Read in a thread, close from here, and give what the read gave."""
    answers: list[Block | None] = []
    reading = threading.Thread(target=lambda: answers.append(source.read(WAIT_S)))
    reading.start()
    source.close()
    reading.join(WAIT_S)
    assert not reading.is_alive()
    return answers[0]


def test_closing_wakes_a_reader(data: Path) -> None:
    file = FileSource(data / "word.mp3", speed=0.001)
    file.open()
    block = closes_while_reading(file)
    assert block is not None
    assert len(block.samples) == 0
    pushed = PushSource()
    pushed.open()
    assert closes_while_reading(pushed) is None


@pytest.mark.parametrize("speed", [0, -1, float("nan"), float("inf")])
def test_an_impossible_speed_is_refused(speed: float) -> None:
    with pytest.raises(ConfigError, match="speed must be above 0"):
        FileSource("a.wav", speed)


def test_a_file_that_is_no_sound_is_refused_when_opened(tmp_path: Path) -> None:
    with pytest.raises(DecodeError, match="is not there"):
        FileSource(tmp_path / "nowhere.wav").open()


@pytest.mark.parametrize("rate", [8_000, 44_100, 48_000])
def test_an_hour_is_resampled_without_losing_or_doubling_a_sample(rate: int) -> None:
    source = PushSource(rate)
    source.open()
    second = np.sin(2 * np.pi * 440 * np.arange(rate) / rate).astype(np.float32)
    heard = 0
    for _ in range(3600):
        source.push(second)
        while (block := source.read(0)) is not None and len(block.samples):
            heard += len(block.samples)
            edge = np.abs(np.diff(block.samples)).max()
            assert edge < 0.2, "a sample that is missing or doubled makes a jump"
    source.end()
    while (block := source.read(0)) is not None:
        heard += len(block.samples)
    assert heard == 3600 * SAMPLE_RATE
    source.close()


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


def test_bytes_are_little_endian_pairs() -> None:
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


def test_what_is_not_open_takes_nothing() -> None:
    source = PushSource()
    with pytest.raises(SourceError, match="start its session first"):
        source.push(b"")
    with pytest.raises(SourceError, match="between 1000 and 768000"):
        PushSource(10)
