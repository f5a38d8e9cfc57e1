"""Word error rate: a reference against a transcript, on normalised words."""

from __future__ import annotations

import html
import importlib.util
import math
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain, zip_longest
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from sttlab.engines.languages import UNSPACED
from sttlab.errors import ConfigError, MissingExtra
from sttlab.tables import frame, scalars

if TYPE_CHECKING:
    from jiwer import AlignmentChunk

WORDS = 1  # the column of counts that holds the words of the reference
STRETCH_WORDS = 20
RESAMPLES = 10_000
CHUNK = 250  # resamples computed at a time, to bound memory

STYLES = {  # from Okabe and Ito's palette, pale enough for both dark and light text
    "substitute": "background:rgba(230,159,0,.35)",
    "delete": "background:rgba(0,114,178,.35);text-decoration:line-through",
    "insert": "background:rgba(204,121,167,.35);text-decoration:underline",
}


@dataclass(frozen=True, kw_only=True)
class AlignedWord:
    """A word of the reference aligned with a word of the transcript, or one of them alone.

    Attributes
    ----------
    kind : "equal", "substitute", "delete" or "insert"
    said : str
        Normalised word of the reference; empty for an insertion.
    written : str
        Normalised word of the transcript; empty for a deletion.
    """

    kind: str
    said: str
    written: str


@dataclass(frozen=True, kw_only=True)
class Interval:
    """An estimate with its 95 % confidence interval."""

    estimate: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.estimate:.1%} ({self.low:.1%} to {self.high:.1%})"


@dataclass(frozen=True)
class WordErrors:
    """Word errors of one or several texts, as `wer` counts them.

    Attributes
    ----------
    utterances : tuple of tuple of AlignedWord
        The alignment of each text.
    normaliser : str
        Name of the normaliser of the texts.
    """

    utterances: tuple[tuple[AlignedWord, ...], ...]
    normaliser: str

    def _count(self, kind: str) -> int:
        return sum(word.kind == kind for utterance in self.utterances for word in utterance)

    @property
    def substitutions(self) -> int:
        """S: words that are transcribed as other words."""
        return self._count("substitute")

    @property
    def deletions(self) -> int:
        """D: words of the reference that are not transcribed."""
        return self._count("delete")

    @property
    def insertions(self) -> int:
        """I: transcribed words that are not in the reference."""
        return self._count("insert")

    @property
    def words(self) -> int:
        """N: words of the reference."""
        return sum(word.kind != "insert" for utterance in self.utterances for word in utterance)

    @property
    def wer(self) -> float:
        """(S + D + I) / N. If N is 0, it is 0 without insertions and infinite with any."""
        return _rate(self.substitutions + self.deletions + self.insertions, self.words)

    def by_utterance(self) -> list[float]:
        """Return the word error rate of each text."""
        return [_rate(errors, words) for errors, words in self._counts().tolist()]

    def interval(self, *, seed: int = 0) -> Interval:
        """Return the word error rate and its 95 % interval, by bootstrap over the texts.

        Source: M. Bisani and H. Ney, "Bootstrap estimates for confidence intervals in ASR
        performance evaluation", ICASSP 2004. The method assumes that texts are independent of each
        other. With few texts the interval is too narrow.

        Parameters
        ----------
        seed : int
            The same seed gives the same interval.
        """
        return _interval(self.wer, self._counts(), lambda sums: sums[:, 0] / sums[:, WORDS], seed)

    def in_stretches(self, words: int = STRETCH_WORDS) -> WordErrors:
        """Return the same errors in texts of so many words of the reference.

        So that a single text, of a whole recording, has an interval: errors are resampled in
        stretches that are long enough to keep together what one wrong cut does.
        """
        texts: list[tuple[AlignedWord, ...]] = []
        now: list[AlignedWord] = []
        said = 0
        for word in chain(*self.utterances):
            if word.kind != "insert":
                if said == words:
                    texts.append(tuple(now))
                    now, said = [], 0
                said += 1
            now.append(word)
        return WordErrors((*texts, tuple(now)), self.normaliser)

    def to_frame(self, *, by: Literal["text", "word"] = "text") -> Any:
        """Return a pandas.DataFrame with a row for each text, or for each aligned word.

        Texts count from 0. A row of a text has its normalised words, its errors and its word error
        rate; a row of a word has what was said, what was written, and the kind of the error.

        Raises
        ------
        MissingExtra
            If pandas is not installed.
        """
        if by == "word":
            return frame(
                {"text": number} | scalars(word)
                for number, words in enumerate(self.utterances)
                for word in words
            )
        return frame(map(self._row, range(len(self.utterances))), index="text")

    def _row(self, number: int) -> dict[str, Any]:
        words = self.utterances[number]
        alone = WordErrors((words,), self.normaliser)
        return {
            "text": number,
            "words": alone.words,
            "substitutions": alone.substitutions,
            "deletions": alone.deletions,
            "insertions": alone.insertions,
            "word_error_rate": alone.wer,
            "said": " ".join(word.said for word in words if word.said),
            "written": " ".join(word.written for word in words if word.written),
        }

    def _counts(self) -> NDArray[np.float64]:
        """Return the errors and the words of each text, shape (texts, 2)."""
        rows = [
            (sum(w.kind != "equal" for w in words), sum(w.kind != "insert" for w in words))
            for words in self.utterances
        ]
        return np.array(rows, np.float64).reshape(-1, 2)

    def __str__(self) -> str:
        return (
            f"WER {self.wer:.1%} (S {self.substitutions}, D {self.deletions}, "
            f"I {self.insertions}, N {self.words}; {self.normaliser})"
        )

    def _repr_html_(self) -> str:
        key = ", ".join(
            f'<span style="{STYLES[kind]}">{name}</span>'
            for kind, name in (
                ("substitute", "said → written"),
                ("delete", "not written"),
                ("insert", "not said"),
            )
        )
        lines = "".join(
            f"<li>{' '.join(map(marked, words)) or '–'}</li>" for words in self.utterances
        )
        return f"<p>{html.escape(str(self))}<br>{key}</p><ol>{lines}</ol>"


def wer(
    reference: str | Sequence[str], hypothesis: str | Sequence[str], *, language: str = "en"
) -> WordErrors:
    """Count the word errors of transcripts against reference texts.

    Both are normalised as Whisper's authors do (A. Radford et al., "Robust speech recognition via
    large-scale weak supervision", 2022, appendix C). English has their English normaliser (case,
    punctuation, spelling, numbers, contractions, "um"). Other languages have their basic one (case,
    punctuation), by character if the language is written without spaces. jiwer aligns the words.

    Parameters
    ----------
    reference, hypothesis : str or sequence of str
        One reference and one transcript, or as many of each.
    language : str
        ISO 639-1 code.

    Returns
    -------
    WordErrors

    Raises
    ------
    ConfigError
        If there are not as many hypotheses as references, or one of them is not a str.
    MissingExtra
        If jiwer or openai-whisper is not installed. Neither Whisper nor PyTorch is loaded.

    Examples
    --------
    >>> print(wer("Mr. Brown has 2 colours.", "mister brown has two new colors"))  # doctest: +SKIP
    WER 20.0% (S 0, D 0, I 1, N 5; Whisper's English)
    """
    said = [reference] if isinstance(reference, str) else list(reference)
    written = [hypothesis] if isinstance(hypothesis, str) else list(hypothesis)
    if len(said) != len(written):
        raise ConfigError(
            f"{len(said)} references need as many hypotheses, not {len(written)}: "
            "give an empty text for an utterance without text"
        )
    wrong = [text for text in [*said, *written, language] if not isinstance(text, str)]
    if wrong:
        raise ConfigError(f"texts and the language's code must be str, not {wrong[0]!r}")
    try:
        import jiwer
    except ImportError as error:
        raise MissingExtra("jiwer", "evaluate") from error
    name, normalise = normaliser(language)
    aligned = jiwer.process_words([normalise(t) for t in said], [normalise(t) for t in written])
    parts = zip(aligned.references, aligned.hypotheses, aligned.alignments, strict=True)
    return WordErrors(
        tuple(
            tuple(word for chunk in chunks for word in _words(chunk, words, others))
            for words, others, chunks in parts
        ),
        name,
    )


def difference(a: WordErrors, b: WordErrors, *, seed: int = 0) -> Interval:
    """Return by how much the word error rate of `b` is higher than that of `a`, on the same texts.

    Both are resampled together (paired bootstrap, Bisani and Ney 2004), so that a text that is
    hard for both doesn't widen the interval. The difference is significant if the interval does
    not contain 0.

    Raises
    ------
    ConfigError
        If `a` and `b` are not of the same texts.
    """
    texts_a, texts_b = (
        [[word.said for word in words if word.kind != "insert"] for words in errors.utterances]
        for errors in (a, b)
    )
    if texts_a != texts_b:
        raise ConfigError("two word error rates can be compared on the same references only")
    counts = np.column_stack([a._counts(), b._counts()])
    return _interval(
        b.wer - a.wer, counts, lambda sums: (sums[:, 2] - sums[:, 0]) / sums[:, WORDS], seed
    )


@lru_cache(maxsize=8)
def normaliser(language: str) -> tuple[str, Callable[[str], str]]:
    """Return the name and the function of the normaliser of a language.

    Raises
    ------
    MissingExtra
        If openai-whisper is not installed.
    """
    whisper = _whisper_normalizers()
    if language == "en":
        with warnings.catch_warnings():  # the normaliser leaves a file open
            warnings.simplefilter("ignore", ResourceWarning)
            return "Whisper's English", whisper.EnglishTextNormalizer()
    if language in UNSPACED:  # Whisper's authors compare these by character
        return "Whisper's basic, characters", whisper.BasicTextNormalizer(split_letters=True)
    return "Whisper's basic", whisper.BasicTextNormalizer()


def _whisper_normalizers() -> ModuleType:
    """Import Whisper's normalisers without Whisper itself, which would import PyTorch."""
    name = f"{__name__}_normalizers"
    if name in sys.modules:
        return sys.modules[name]
    found = importlib.util.find_spec("whisper")
    if found is None or found.origin is None:
        raise MissingExtra("whisper", "evaluate")
    path = Path(found.origin).parent / "normalizers" / "__init__.py"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None or not path.exists():
        raise MissingExtra("whisper.normalizers", "evaluate")
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _words(chunk: AlignmentChunk, said: list[str], written: list[str]) -> Iterator[AlignedWord]:
    """Yield the aligned words of one chunk of jiwer's alignment."""
    parts = said[chunk.ref_start_idx : chunk.ref_end_idx]
    others = written[chunk.hyp_start_idx : chunk.hyp_end_idx]
    for word, other in zip_longest(parts, others, fillvalue=""):
        yield AlignedWord(kind=chunk.type, said=word, written=other)


def _rate(errors: float, words: float) -> float:
    if not words:
        return math.inf if errors else 0.0
    return errors / words


def _interval(
    estimate: float,
    counts: NDArray[np.float64],
    rate: Callable[[NDArray[np.float64]], NDArray[np.float64]],
    seed: int,
) -> Interval:
    """Compute the bootstrap interval of the rate of summed counts, by resampling the texts.

    Bounds are NaN with fewer than two texts, or with empty references only.
    """
    if len(counts) < 2 or not counts[:, WORDS].any():
        return Interval(estimate=estimate, low=math.nan, high=math.nan)
    random = np.random.default_rng(seed)
    rates = []
    for _ in range(0, RESAMPLES, CHUNK):
        sums = counts[random.integers(0, len(counts), (CHUNK, len(counts)))].sum(axis=1)
        rates.append(rate(sums[sums[:, WORDS] > 0]))
    low, high = np.percentile(np.concatenate(rates), [2.5, 97.5]).tolist()
    return Interval(estimate=estimate, low=low, high=high)


def marked(word: AlignedWord) -> str:
    """Write a word as HTML, coloured by what became of it."""
    said, written = html.escape(word.said), html.escape(word.written)
    if word.kind == "equal":
        return said
    text = f"{said} → {written}" if word.kind == "substitute" else said or written
    tag = {"substitute": "mark", "delete": "del", "insert": "ins"}[word.kind]
    return f'<{tag} style="color:inherit;{STYLES[word.kind]}">{text}</{tag}>'
