"""The contract suite of audio sources, which a test class inherits."""

from __future__ import annotations

import threading

import numpy as np

from sttlab.audio import SAMPLE_RATE
from sttlab.capture.base import AudioSource, Block

WAIT_S = 30


def is_empty(block: Block | None) -> bool:
    return block is not None and not (len(block.samples) or block.lost_samples or block.events)


def read_some(source: AudioSource, count: int) -> list[Block]:
    """Read blocks until they hold at least `count` samples, which the source must have."""
    blocks: list[Block] = []
    while sum(len(block.samples) for block in blocks) < count:
        block = source.read(WAIT_S)
        assert block is not None
        blocks.append(block)
    return blocks


def joined(blocks: list[Block]) -> np.ndarray:
    return np.concatenate([block.samples for block in blocks])


class SourceContract:
    """Needs a fixture `source`: not open, and with more than a second of audio once it is."""

    times = 10  # how often the source is opened and closed in a row

    def test_read_before_open_returns_none_at_once(self, source: AudioSource) -> None:
        assert source.read(WAIT_S) is None

    def test_source_has_a_name(self, source: AudioSource) -> None:
        assert source.name
        source.open()
        assert source.name

    def test_blocks_are_mono_floats_of_any_length(self, source: AudioSource) -> None:
        source.open()
        for block in read_some(source, SAMPLE_RATE):
            assert block.samples.dtype == np.float32
            assert block.samples.ndim == 1
            assert block.samples.size == 0 or np.abs(block.samples).max() <= 1

    def test_read_after_close_returns_none_at_once(self, source: AudioSource) -> None:
        source.open()
        read_some(source, 1)
        source.close()
        assert source.read(WAIT_S) is None

    def test_close_is_idempotent(self, source: AudioSource) -> None:
        source.close()
        source.open()
        source.close()
        source.close()

    def test_source_opens_and_closes_repeatedly(self, source: AudioSource) -> None:
        for _ in range(self.times):
            source.open()
            assert len(joined(read_some(source, SAMPLE_RATE // 10)))
            source.close()
        source.open()
        source.open()  # restarts a source that is open
        read_some(source, SAMPLE_RATE // 10)

    def test_close_on_any_thread_ends_a_read_that_waits(self, source: AudioSource) -> None:
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
            assert ended.wait(WAIT_S / 2)  # before the read's own timeout
            thread.join()
            assert source.read(0) is None
