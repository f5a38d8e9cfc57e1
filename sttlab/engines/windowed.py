"""What engines share whose Whisper model encodes a short window: guards, fall-backs, words."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from sttlab.audio import SAMPLE_RATE
from sttlab.engines.base import Cancelled
from sttlab.engines.local import Decoded, DecodedSpan, LocalEngine, may_hold_words
from sttlab.engines.pieces import pieces
from sttlab.engines.words import confidence, whole_words, word_confidence
from sttlab.events import Segment, Word

WINDOW_S = 30.0  # what Whisper was trained on
LOOP_COMPRESSION = 2.0  # compression ratio of a text that repeats itself and is decoded again
POOR_LOG_PROB = -1.0
TOKENS_PER_S, TOKENS_MORE, MOST_TOKENS = 12, 24, 224  # nobody speaks faster
TIMESTAMPS_PER_S = 50
MEL_FRAMES_PER_S = 100
LONGEST_WORD = 2.0  # times the median word
PUNCTUATION = "\"'“¿([{-", "\"'.。,，!！?？:：”)]}、"  # before and after a word, as in Whisper


@dataclass(frozen=True, kw_only=True)
class DecodedPiece:
    """The text of at most 30 s of audio.

    Attributes
    ----------
    text : str
    tokens : tuple of int
        Timestamps included.
    features : Any
        The encoder's, from which the tokens were decoded.
    segments : tuple of Segment
        In seconds from the start of the piece.
    mean_log_prob, no_speech_prob, compression_ratio : float
        See `sttlab.engines.suppression.hallucination`.
    """

    text: str
    tokens: tuple[int, ...]
    features: Any
    segments: tuple[Segment, ...]
    mean_log_prob: float
    no_speech_prob: float
    compression_ratio: float

    @property
    def poor(self) -> bool:
        """Whether another window may lead to a better text."""
        return self.loops or self.mean_log_prob < POOR_LOG_PROB

    @property
    def loops(self) -> bool:
        """Whether the text repeats itself."""
        return self.compression_ratio > LOOP_COMPRESSION

    def span(self, start_s: float, duration_s: float) -> DecodedSpan:
        """Place the piece in the utterance."""
        return DecodedSpan(
            start_s=start_s,
            end_s=start_s + duration_s,
            text=self.text,
            segments=tuple(segment.later(start_s) for segment in self.segments),
            mean_log_prob=self.mean_log_prob,
            no_speech_prob=self.no_speech_prob,
            compression_ratio=self.compression_ratio,
        )


@dataclass(frozen=True, kw_only=True)
class TimedWord:
    """A word or a part of one, with the leading space that Whisper writes, and its tokens."""

    text: str
    start_s: float
    end_s: float
    probabilities: tuple[float, ...]


class WindowedEngine(LocalEngine):
    """An engine whose encoder's window is as long as the utterance and some seconds of silence.

    That goes for the models in `short_windows_s`; if the text is poor, the engine tries again with
    Whisper's own 30 s. A subclass says how to encode, decode and align.

    Parameters
    ----------
    config : TranscribeConfig
    """

    short_windows_s: ClassVar[dict[str, tuple[float, float]]]
    """By model, in seconds: the shortest window that was found to cost no words, and the silence
    that follows the utterance in it (tests/benchmarks/bench_window.py, docs/measurements.md)."""

    tries: ClassVar[int]
    """How many ways of decoding `_decode` has; a text that loops is decoded in the next."""

    batch: ClassVar[int] = 1
    """How many pieces `_first_pass` decodes at once."""

    @abstractmethod
    def _encode(self, audio: NDArray[np.float32]) -> Any:
        """Run the encoder over `audio`, of any length up to 30 s."""

    @abstractmethod
    def _detect_language(self, features: Any) -> tuple[str, float]:
        """Return the code of the most probable language, and its probability."""

    @abstractmethod
    def _decode(
        self,
        features: Any,
        audio_s: float,
        language: str,
        attempt: int,
        cancelled: Callable[[], bool],
    ) -> DecodedPiece:
        """Decode at most `most_tokens(audio_s)` tokens.

        Parameters
        ----------
        features : Any
            Of the encoder.
        audio_s : float
            How much of them is not padding.
        language : str
        attempt : int
            0, or how many texts looped before; each attempt decodes in another way.
        cancelled : callable
        """

    @abstractmethod
    def _align(self, piece: DecodedPiece, audio_s: float, language: str) -> Iterable[TimedWord]:
        """Find when each word was said, and the probabilities of its tokens."""

    def _decode_all(
        self, audio: NDArray[np.float32], cancelled: Callable[[], bool], *, final: bool
    ) -> Decoded:
        ((_, decoded),) = self._decode_each([audio], cancelled, final=final)
        return decoded

    def _decode_each(
        self, batch: Sequence[NDArray[np.float32]], cancelled: Callable[[], bool], *, final: bool
    ) -> Iterator[tuple[int, Decoded]]:
        """Decode pieces of the same window together, which gives the text that each has alone."""
        cut = [
            [(start, piece) for start, piece in pieces(audio) if may_hold_words(piece)]
            for audio in batch
        ]
        of_window: dict[float, list[tuple[int, int, NDArray[np.float32]]]] = defaultdict(list)
        for number, parts in enumerate(cut):
            for start, piece in parts:
                of_window[self._window_s(len(piece) / SAMPLE_RATE)].append((number, start, piece))
        found: list[dict[int, tuple[DecodedSpan, str, float]]] = [{} for _ in batch]
        yield from ((n, self._joined({})) for n, parts in enumerate(cut) if not parts)
        for window_s, waiting in of_window.items():
            for first in range(0, len(waiting), self.batch):
                group = waiting[first : first + self.batch]
                passed = self._first_pass([piece for *_, piece in group], window_s, cancelled)
                for (number, start, piece), one in zip(group, passed, strict=True):
                    decoded, language, probability = one
                    best = self._finish(piece, window_s, decoded, language, cancelled, final)
                    span = best.span(start / SAMPLE_RATE, len(piece) / SAMPLE_RATE)
                    found[number][start] = span, language, probability
                    if len(found[number]) == len(cut[number]):
                        yield number, self._joined(found[number])

    def _joined(self, found: dict[int, tuple[DecodedSpan, str, float]]) -> Decoded:
        """Put the pieces of an utterance in order; its language is that of the last."""
        parts = [found[start] for start in sorted(found)]
        language, probability = self.config.language or "en", 1.0
        if parts:
            _, language, probability = parts[-1]
        spans = tuple(span for span, *_ in parts)
        return Decoded(spans=spans, language=language, language_probability=probability)

    def _window_s(self, audio_s: float) -> float:
        shortest_s, after_s = self.short_windows_s.get(self.config.model, (WINDOW_S, 0.0))
        return min(WINDOW_S, max(shortest_s, math.ceil(audio_s + after_s)))

    def _first_pass(
        self, batch: Sequence[NDArray[np.float32]], window_s: float, cancelled: Callable[[], bool]
    ) -> list[tuple[DecodedPiece, str, float]]:
        """Decode pieces of one window once; return their texts, languages and probabilities."""
        passed = []
        for audio in batch:
            features = self._encode_padded(audio, window_s, cancelled)
            language, probability = self._language(features)
            audio_s = len(audio) / SAMPLE_RATE
            decoded = self._decode(features, audio_s, language, 0, cancelled)
            passed.append((decoded, language, probability))
        return passed

    def _finish(
        self,
        audio: NDArray[np.float32],
        window_s: float,
        best: DecodedPiece,
        language: str,
        cancelled: Callable[[], bool],
        final: bool,
    ) -> DecodedPiece:
        """Try again if the text is poor and final, and add the words.

        The full window is tried first; if the text repeats itself then, the engine's other ways to
        decode.
        """
        audio_s = len(audio) / SAMPLE_RATE
        if final and best.poor and window_s < WINDOW_S:
            features = self._encode_padded(audio, WINDOW_S, cancelled)
            again = self._decode(features, audio_s, language, 0, cancelled)
            better = best.loops or not again.poor or again.mean_log_prob > best.mean_log_prob
            best = again if better else best
        for attempt in range(1, self.tries):
            if not (final and best.loops):
                break
            best = self._decode(best.features, audio_s, language, attempt, cancelled)
        if final and self.config.words and best.segments:
            if cancelled():
                raise Cancelled
            words = self._words(best, audio_s, language)
            best = replace(best, segments=tuple(_with_words(best.segments, words)))
        return best

    def _encode_padded(
        self, audio: NDArray[np.float32], window_s: float, cancelled: Callable[[], bool]
    ) -> Any:
        if cancelled():
            raise Cancelled
        return self._encode(padded(audio, window_s))

    def _language(self, features: Any) -> tuple[str, float]:
        if not self._is_multilingual(self._model):
            return "en", 1.0
        if self.config.language:
            return self.config.language, 1.0
        return self._detect_language(features)

    def _words(self, piece: DecodedPiece, audio_s: float, language: str) -> list[Word]:
        parts: list[Word] = []
        for word in self._align(piece, audio_s, language):
            start_s = min(max(word.start_s, parts[-1].end_s if parts else 0.0), audio_s)
            parts.append(
                Word(
                    start_s=start_s,
                    end_s=min(max(word.end_s, start_s), audio_s),
                    text=word.text,
                    confidence=self._word_confidence(list(word.probabilities)),
                )
            )
        return _without_silence_before(whole_words(parts, language))

    def _word_confidence(self, probabilities: list[float]) -> float:
        return word_confidence(probabilities)


def padded(audio: NDArray[np.float32], window_s: float) -> NDArray[np.float32]:
    """Return `audio`, followed by as much silence as makes it `window_s` long."""
    window = np.zeros(round(window_s * SAMPLE_RATE), np.float32)
    window[: len(audio)] = audio[: len(window)]
    return window


def most_tokens(audio_s: float) -> int:
    """Return how many tokens a text of so much audio may have."""
    return min(MOST_TOKENS, round(TOKENS_PER_S * audio_s) + TOKENS_MORE)


def split_at_timestamps(
    tokens: Iterable[int],
    timestamp_begin: int,
    decode: Callable[[list[int]], str],
    audio_s: float,
    mean_log_prob: float,
) -> Iterator[Segment]:
    """Split tokens at Whisper's timestamps, the first of which is `timestamp_begin`."""
    start_s, text = 0.0, []
    for token in [*tokens, None]:
        if token is not None and token < timestamp_begin:
            text.append(token)
            continue
        at_s = audio_s
        if token is not None:
            at_s = (token - timestamp_begin) / TIMESTAMPS_PER_S
        words = decode(text).strip()
        if words:
            yield Segment(
                start_s=start_s,
                end_s=min(max(at_s, start_s), audio_s),
                text=words,
                confidence=confidence(mean_log_prob),
            )
        start_s, text = min(at_s, audio_s), []


def _without_silence_before(words: list[Word]) -> list[Word]:
    """Shorten the first word, to which the alignment adds the silence before it."""
    if words:
        lengths = [word.end_s - word.start_s for word in words]
        longest_s = LONGEST_WORD * float(np.median(lengths))
        first = words[0]
        words[0] = replace(first, start_s=max(first.start_s, first.end_s - longest_s))
    return words


def _with_words(segments: tuple[Segment, ...], words: list[Word]) -> Iterator[Segment]:
    """Add to each segment as many of the words as its text has letters for."""
    left = list(words)
    for segment in segments:
        mine: list[Word] = []
        letters = len("".join(segment.text.split()))
        while left and letters > 0:
            letters -= len("".join(left[0].text.split()))
            mine.append(left.pop(0))
        yield replace(segment, words=tuple(mine))
