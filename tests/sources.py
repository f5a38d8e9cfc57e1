"""What every source of sound owes its reader, whatever it is. A test class inherits it."""

from __future__ import annotations

import threading

import numpy as np

from sttlab.audio import SAMPLE_RATE
from sttlab.capture.base import AudioSource, Block

WAIT_S = 30


def is_empty(block: Block | None) -> bool:
    return block is not None and not (len(block.samples) or block.lost_samples or block.events)


def read_some(source: AudioSource, count: int) -> list[Block]:
    """Read blocks until there are so many samples; the source has them."""
    blocks: list[Block] = []
    while sum(len(block.samples) for block in blocks) < count:
        block = source.read(WAIT_S)
        assert block is not None
        blocks.append(block)
    return blocks


def joined(blocks: list[Block]) -> np.ndarray:
    return np.concatenate([block.samples for block in blocks])


class SourceContract:
    """Needs a fixture `source`: not open yet, with a second of sound and more once it is."""

    times = 10  # that it is opened and closed in a row

    def test_before_it_is_open_it_gives_nothing_at_once(self, source: AudioSource) -> None:
        assert source.read(WAIT_S) is None

    def test_it_has_a_name(self, source: AudioSource) -> None:
        assert source.name
        source.open()
        assert source.name

    def test_blocks_are_mono_floats_of_any_length(self, source: AudioSource) -> None:
        source.open()
        for block in read_some(source, SAMPLE_RATE):
            assert block.samples.dtype == np.float32
            assert block.samples.ndim == 1
            assert block.samples.size == 0 or np.abs(block.samples).max() <= 1

    def test_closed_it_gives_nothing_at_once(self, source: AudioSource) -> None:
        source.open()
        read_some(source, 1)
        source.close()
        assert source.read(WAIT_S) is None

    def test_closing_twice_or_unopened_is_fine(self, source: AudioSource) -> None:
        source.close()
        source.open()
        source.close()
        source.close()

    def test_it_opens_again_and_again(self, source: AudioSource) -> None:
        for _ in range(self.times):
            source.open()
            assert len(joined(read_some(source, SAMPLE_RATE // 10)))
            source.close()
        source.open()
        source.open()  # starts again, whatever was open
        read_some(source, SAMPLE_RATE // 10)

    def test_any_thread_may_close_it_and_wake_its_reader(self, source: AudioSource) -> None:
        for _ in range(self.times):
            source.open()
            ended = threading.Event()
            reading = threading.Event()

            def read_to_the_end(reading=reading, ended=ended) -> None:
                while (block := source.read(WAIT_S)) is not None:
                    if len(block.samples):
                        reading.set()
                ended.set()

            thread = threading.Thread(target=read_to_the_end)
            thread.start()
            assert reading.wait(WAIT_S)
            source.close()
            assert ended.wait(WAIT_S / 2)  # sooner than a read that nobody wakes
            thread.join()
            assert source.read(0) is None
