"""Words from tokens, and the confidence in them."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace

from sttlab.engines.languages import UNSPACED
from sttlab.events import Word


def confidence(mean_log_prob: float) -> float:
    """Turn the mean log probability of tokens into the geometric mean of their probabilities."""
    return min(1.0, math.exp(mean_log_prob))


def word_confidence(probabilities: Iterable[float]) -> float:
    """Turn the probabilities of a word's tokens into the confidence in the word, 0..1.

    Of the formulas tried, the square root of their product separates right words from wrong ones
    best, and is closest to the share of such words that is right
    (tests/benchmarks/bench_confidence.py; docs/measurements.md).
    """
    return math.sqrt(math.prod(probabilities))


def whole_words(parts: Iterable[Word], language: str) -> list[Word]:
    """Join parts of words into words, and strip them.

    A part that doesn't begin with a space continues the word before it, except in languages that
    are written without spaces. The confidence of a word is the product of those of its parts.
    """
    words: list[Word] = []
    for part in parts:
        if words and language not in UNSPACED and not part.text.startswith(" "):
            last = words[-1]
            words[-1] = replace(
                last,
                end_s=part.end_s,
                text=last.text + part.text,
                confidence=last.confidence * part.confidence,
            )
        elif part.text.strip():
            words.append(part)
    return [replace(word, text=word.text.strip()) for word in words]
