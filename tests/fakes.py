"""Fakes for where the real thing would make a test slow or random."""

import threading

import numpy as np

from sttlab.audio import SAMPLE_RATE
from sttlab.capture.base import Block
from sttlab.config import TranscribeConfig
from sttlab.engines.base import Cancelled, Transcription, never
from sttlab.speakers.pieces import Piece

WAIT_S = 10


def wait_until(condition):
    """Poll for a condition that another thread makes true without a signal."""
    pause = threading.Event()
    for _ in range(WAIT_S * 100):
        if condition():
            return
        pause.wait(0.01)
    raise AssertionError("it did not happen")


def speech(count: int, *, seconds: float = 0.4) -> np.ndarray:
    rng = np.random.default_rng(0)
    loud = rng.standard_normal(round(seconds * SAMPLE_RATE)).astype(np.float32) * 0.1
    return np.tile(np.concatenate([loud, np.zeros(round(0.4 * SAMPLE_RATE), np.float32)]), count)


class Blocks:
    """A source that delivers the given blocks, then ends, or with `then_wait` stays silent."""

    name = "blocks"

    def __init__(self, *blocks, then_wait: bool = False):
        self.blocks = blocks
        self.then_wait = then_wait
        self.opened = self.closed = 0
        self.drained = threading.Event()

    def open(self):
        self.opened += 1
        self.left = list(self.blocks)
        self.drained.clear()

    def read(self, timeout_s):
        if self.left:
            block = self.left.pop(0)
            if isinstance(block, Exception):
                raise block
            return block if isinstance(block, Block) else Block(block)
        self.drained.set()
        if not self.then_wait:
            return None
        threading.Event().wait(min(timeout_s, 0.01))
        return Block(np.zeros(0, np.float32))

    def close(self):
        self.closed += 1


class Counting:
    """An engine whose text is the number of samples; a test can make it wait or fail."""

    name = "counting"
    config: TranscribeConfig | None = None

    def __init__(self, *, load_error=None, answer=None, text=None):
        self.load_error = load_error
        self.answer = answer
        self.answers = []  # these come before `answer`
        self.text = text
        self.loads = 0
        self.threads = set()
        self.lengths = []
        self.go = threading.Event()
        self.go.set()
        self.taken = threading.Semaphore(0)

    def load(self):
        self.loads += 1
        if self.load_error:
            raise self.load_error

    def transcribe(self, samples, sample_rate=SAMPLE_RATE, *, cancelled=never):
        self.lengths.append(len(samples))
        self.threads.add(threading.current_thread().name)
        self.taken.release()
        assert self.go.wait(WAIT_S)
        if cancelled():
            raise Cancelled
        answer = self.answers.pop(0) if self.answers else self.answer
        if isinstance(answer, Exception):
            raise answer
        return answer or Transcription(
            text=self.text or str(len(samples)),
            segments=(),
            suppressed=(),
            language="en",
            language_probability=1.0,
            confidence=1.0,
        )

    def close(self):
        pass


class OneVoiceFinder:
    """Finds one piece in each utterance, of the voices in turn; a test can make it wait."""

    def __init__(self, voices, lengths_s=(2.0,)):
        self.voices = list(voices)
        self.lengths_s = lengths_s
        self.go = threading.Event()
        self.go.set()
        self.found = 0
        self.begun = threading.Semaphore(0)

    def find(self, utterance):
        self.begun.release()
        assert self.go.wait(WAIT_S)
        vector = np.zeros(192, np.float32)
        vector[self.voices[self.found % len(self.voices)]] = 1
        length_s = self.lengths_s[self.found % len(self.lengths_s)]
        self.found += 1
        span = (utterance.start_s, utterance.end_s)
        return [Piece(spans=(span,), voiced_s=length_s, vector=vector)]
