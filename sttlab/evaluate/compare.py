"""What two runs on the same audio did differently: utterances, words, delays, held back text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any, Literal, TypeAlias

import numpy as np

from sttlab.errors import KeptError
from sttlab.evaluate import comparison_page
from sttlab.evaluate.labels import AnyLabels, as_labels
from sttlab.evaluate.paired import (
    ScorePair,
    against_text,
    against_turns,
    score_pairs,
    speech_of,
    together,
)
from sttlab.evaluate.wer import AlignedWord, wer
from sttlab.kept.run import KeptRun, KeptUtterance, Original
from sttlab.kept.session import KeptSession
from sttlab.kept.simulation import simulate
from sttlab.tables import frame, scalars

Kind: TypeAlias = Literal["same", "moved", "split", "merged", "recut", "appeared", "vanished"]
"""How utterances of one run relate to those of the other.

"same": the same speech; "moved": one for one, whose speech begins or ends elsewhere; "split": one
for several; "merged": several for one; "recut": several for several; "appeared": only in the
second; "vanished": only in the first.
"""

SAYS = {
    "moved": "with other edges",
    "split": "cut in two or more",
    "merged": "merged",
    "recut": "cut elsewhere",
    "appeared": "new",
    "vanished": "gone",
}
LATER_S = 0.005  # a difference of delays that is worth a word


@dataclass(frozen=True, kw_only=True)
class Difference:
    """Utterances of two runs that are about the same speech.

    Attributes
    ----------
    kind : Kind
    a, b : tuple of KeptUtterance
        Those of the first run and of the second.
    words : tuple of AlignedWord or None
        Words of the first aligned with those of the second; None if a text is not known.
    """

    kind: Kind
    a: tuple[KeptUtterance, ...]
    b: tuple[KeptUtterance, ...]
    words: tuple[AlignedWord, ...] | None

    @property
    def start_s(self) -> float:
        """Where the first of them begins."""
        return min(u.start_s for u in (*self.a, *self.b))

    @property
    def end_s(self) -> float:
        """Where the last of them ends."""
        return max(u.end_s for u in (*self.a, *self.b))

    @property
    def changed_words(self) -> int:
        """Words that differ; 0 if a text is not known."""
        return sum(word.kind != "equal" for word in self.words or ())

    @property
    def later_s(self) -> float | None:
        """By how much later the last text comes in the second run; None if that is not known."""
        if not (self.a and self.b):
            return None
        before, after = self.a[-1].delay_s, self.b[-1].delay_s
        return None if before is None or after is None else after - before

    @property
    def held_back(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Texts that were held back in the first run only, and in the second only."""
        first, second = (
            Counter(s.text for u in side for s in u.suppressed) for side in (self.a, self.b)
        )
        return tuple((first - second).elements()), tuple((second - first).elements())

    @property
    def matters(self) -> bool:
        """Whether a person would want to see it."""
        return self.kind != "same" or bool(self.changed_words) or any(self.held_back)


class Comparison:
    """Two runs, utterance by utterance; `compare` makes it.

    Attributes
    ----------
    a, b : KeptRun
    rows : tuple of Difference
        All utterances, in the order of time. If the delays of one run are simulated, so are those
        of the other here.
    simulated : bool
        Whether the delays are simulated.
    scores : tuple of ScorePair
        What labels and a reference text say of both.
    notices : tuple of str
        What a person should know before they draw conclusions.
    """

    def __init__(
        self,
        a: KeptRun,
        b: KeptRun,
        rows: tuple[Difference, ...],
        scores: tuple[ScorePair, ...] = (),
        notices: tuple[str, ...] = (),
    ) -> None:
        self.a = a
        self.b = b
        self.rows = rows
        self.simulated = a.simulated or b.simulated
        self.scores = scores
        self.notices = notices

    @property
    def _runs(self) -> tuple[KeptRun, KeptRun]:
        return self.a, self.b

    @property
    def differences(self) -> tuple[Difference, ...]:
        """The rows that a person would want to see."""
        return tuple(row for row in self.rows if row.matters)

    @property
    def counts(self) -> dict[str, int]:
        """How many utterances of the first run, or new in the second, are of each kind."""
        counts: Counter[str] = Counter()
        for row in self.rows:
            counts[row.kind] += len(row.a) or len(row.b)
        return dict(counts)

    @property
    def later_s(self) -> float | None:
        """Median of how much later the last text of a row comes in the second run."""
        known = [row.later_s for row in self.rows if row.later_s is not None]
        return median(known) if known else None

    @property
    def delays(self) -> tuple[tuple[float, float] | None, tuple[float, float] | None]:
        """Median and 90th percentile of the delay of each run; None where none is known."""
        sides = [[u for row in self.rows for u in side(row)] for side in (_first, _second)]
        known = [[u.delay_s for u in side if u.delay_s is not None] for side in sides]
        first, second = (tuple(np.percentile(s, [50, 90]).tolist()) if s else None for s in known)
        return first, second

    @property
    def held_back(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Texts that were held back in the first run only, and in the second only."""
        each = [row.held_back for row in self.rows]
        return tuple(t for mine, _ in each for t in mine), tuple(
            t for _, theirs in each for t in theirs
        )

    @property
    def summary(self) -> str:
        """The comparison in one line that a person can quote."""
        counts, number = self.counts, len(self.a.utterances)
        told = [
            f"{counts[kind]} {'of ' + str(number) + ' utterances ' if i == 0 else ''}{says}"
            for i, (kind, says) in enumerate(
                (kind, says) for kind, says in SAYS.items() if counts.get(kind)
            )
        ] or [f"all {number} utterances are the same"]
        if (later_s := self.later_s) is not None and abs(later_s) >= LATER_S:
            simulated = " (simulated)" if self.simulated else ""
            told.append(
                f"text {abs(later_s):.2f} s {'later' if later_s > 0 else 'sooner'}{simulated}"
            )
        told += self._about_words()
        for which, texts in zip(("first", "second"), self.held_back, strict=True):
            if texts:
                told.append(f"{len(texts)} held back in the {which} only")
        told += [str(pair) for pair in self.scores if pair.is_sure]
        if self.scores and not any(pair.is_sure for pair in self.scores):
            told.append("no score differs by more than chance")
        what = self.changed
        return f"{what}: {', '.join(told)}" if what else ", ".join(told)

    def _about_words(self) -> list[str]:
        unknown = sum(row.words is None for row in self.rows)
        if self.rows and unknown == len(self.rows):
            return ["no text is known"]
        words = sum(row.changed_words for row in self.rows)
        told = [f"{words} word{'' if words == 1 else 's'} differ{'s' if words == 1 else ''}"]
        return [*told, f"the texts of {unknown} are not known"] if unknown else told

    @property
    def changed(self) -> str:
        """What the second run has in place of the first, in words."""
        before, after = (asdict(run.settings[0][1]) for run in self._runs)
        told = [
            f"{name} {_said(after[name])} instead of {_said(before[name])}"
            for name in before
            if before[name] != after[name]
        ]
        if self.a.engine != self.b.engine and self.a.engine and self.b.engine:
            told.append(f"{self.b.engine} instead of {self.a.engine}")
        return ", ".join(told)

    def to_frame(self, *, by: Literal["utterance", "metric"] = "utterance") -> Any:
        """Return a pandas.DataFrame with a row for each of `rows`, or for each of `scores`.

        Raises
        ------
        MissingExtra
            If pandas is not installed.
        """
        if by == "metric":
            columns = ("metric", "a", "b", "difference", "low", "high")
            return frame(map(_score_row, self.scores), columns=columns)
        return frame(map(_row, self.rows), columns=("kind", "start_s", "end_s"))

    def to_text(self) -> str:
        """Write the summary, delays, scores, and a line for each difference."""
        return comparison_page.text(self)

    def to_json(self) -> str:
        """Write all rows as one JSON object on one line."""
        return comparison_page.json_line(self)

    def to_html(self, path: str | Path | None = None) -> str:
        """Return a page with the audio of differences, and write it to `path` if it is given."""
        page = comparison_page.page(self)
        if path is not None:
            Path(path).write_text(page, encoding="utf-8")
        return page

    def _repr_html_(self) -> str:
        return comparison_page.body(self, audio=False)

    def __repr__(self) -> str:
        return f"<Comparison {self.summary}>"


def compare(
    a: KeptRun, b: KeptRun, *, labels: AnyLabels | None = None, reference: str | None = None
) -> Comparison:
    """Compare two runs on the same audio: kept sessions, or replays of them or of a recording.

    Parameters
    ----------
    a, b : KeptSession or Replay
        What was, and what is to be judged against it.
    labels : Labels, Turns or path, optional
        When people speak, in seconds of the stream. Both runs are scored against them and, where
        they have texts, against those.
    reference : str, optional
        The text of all that was said, in place of the texts of `labels`.

    Returns
    -------
    Comparison
        With labels or a reference, each score has a 95 % interval of the difference (paired
        bootstrap).

    Raises
    ------
    KeptError
        If one of them is neither, or its audio can't be read.
    MissingExtra
        If texts differ or are scored, and the extra `evaluate` is not installed, by which words are
        aligned.

    Examples
    --------
    >>> compare(kept, replay(kept, silence_timeout_s=0.4)).summary  # doctest: +SKIP
    'silence_timeout_s 0.4 instead of 0.6: 3 of 41 utterances cut in two or more, ...'
    >>> a, b = (replay("talk.flac", model=name) for name in ("tiny.en", "base"))  # doctest: +SKIP
    >>> compare(a, b, labels=load_labels("talk.rttm"))  # doctest: +SKIP
    """
    for run in (a, b):
        if not isinstance(run, KeptRun):
            raise KeptError(
                f"compare takes sessions that open_session opened, or replays of them, not {run!r}"
            )
    labels = None if labels is None else as_labels(labels)
    language = next((t.language for run in (a, b) for t in run.history), "en")
    rows = tuple(_rows(a, b, language))
    notices = list(_notices(a, b))
    scores: list[ScorePair] = []
    if labels is not None:
        scores += score_pairs(a, b, labels)
    if reference is not None or (labels is not None and any(turn.text for turn in labels)):
        unknown = [run for run in (a, b) if any(u.text is None for u in run.utterances)]
        if unknown:
            what = " and of ".join(run.title for run in unknown)
            notices.append(f"word errors are not counted: not all texts of {what} are known")
        elif reference is not None:
            scores.append(against_text(a, b, reference, language))
        elif labels is not None:
            scores.append(against_turns(a, b, labels, language))
    return Comparison(a, b, rows, tuple(scores), tuple(notices))


def _rows(a: KeptRun, b: KeptRun, language: str) -> Iterator[Difference]:
    groups = align(_alike(a, b), _alike(b, a))
    texts = [tuple(_joined(side) for side in group) for group in groups]
    differing = [(s, t) for s, t in texts if s is not None and t is not None and s != t]
    aligned = iter(
        wer([s for s, _ in differing], [t for _, t in differing], language=language).utterances
        if differing
        else ()
    )
    for (mine, theirs), (said, written) in zip(groups, texts, strict=True):
        words: tuple[AlignedWord, ...] | None = None
        if said is not None and written is not None:
            words = _equal(said) if said == written else next(aligned)
        yield Difference(kind=_kind(mine, theirs), a=mine, b=theirs, words=words)


def _notices(a: KeptRun, b: KeptRun) -> Iterator[str]:
    one, other = a.source, b.source
    if not _is_one(one, other):
        from_s = one.differs_from_s(other)
        if from_s is not None:
            yield (
                f"the audio of the two is not the same from {from_s:.1f} s on, and what differs "
                "may be due to that"
            )
    if one.processor != other.processor:
        yield (
            f"the processors differ, {one.processor} and {other.processor}, and so may the texts "
            "of the same engine"
        )
    if a.simulated != b.simulated:
        which, run = ("second", b) if a.simulated else ("first", a)
        known = [u.delay_s for u in run.utterances if u.delay_s is not None]
        if known:
            yield (
                f"delays of both are simulated, to compare like with like; the {which} had "
                f"{median(known):.2f} s in the median, measured"
            )


def _alike(run: KeptRun, other: KeptRun) -> Sequence[KeptUtterance]:
    """Give the utterances of a run, with simulated delays if those of the other are simulated."""
    if run.simulated or not other.simulated:
        return run.utterances
    return simulate(run.source, run.utterances, run.settings)


def _first(row: Difference) -> tuple[KeptUtterance, ...]:
    return row.a


def _second(row: Difference) -> tuple[KeptUtterance, ...]:
    return row.b


def _is_one(one: Original, other: Original) -> bool:
    """Whether both are of one session, whose audio need not be compared."""
    if isinstance(one, KeptSession) and isinstance(other, KeptSession):
        return bool(one.manifest["started"] == other.manifest["started"])
    return one is other


Group: TypeAlias = tuple[tuple[KeptUtterance, ...], tuple[KeptUtterance, ...]]


def align(a: Sequence[KeptUtterance], b: Sequence[KeptUtterance]) -> list[Group]:
    """Put together the utterances of two runs that share speech, in the order of time."""
    groups = together(*([speech_of(u) for u in side] for side in (a, b)))
    return [(tuple(a[i] for i in mine), tuple(b[i] for i in theirs)) for mine, theirs in groups]


def _kind(a: Sequence[KeptUtterance], b: Sequence[KeptUtterance]) -> Kind:
    if not a:
        return "appeared"
    if not b:
        return "vanished"
    if len(a) == len(b) == 1:
        edges = ((u.start_sample, u.speech_end_sample) for u in (a[0], b[0]))
        return "same" if len(set(edges)) == 1 else "moved"
    if len(a) == 1:
        return "split"
    return "merged" if len(b) == 1 else "recut"


def _row(row: Difference) -> dict[str, Any]:
    held_a, held_b = ("; ".join(texts) for texts in row.held_back)
    return {
        "kind": row.kind,
        "start_s": row.start_s,
        "end_s": row.end_s,
        "text_a": _joined(row.a),
        "text_b": _joined(row.b),
        "changed_words": None if row.words is None else row.changed_words,
        "later_s": row.later_s,
        "held_back_a": held_a,
        "held_back_b": held_b,
    }


def _score_row(pair: ScorePair) -> dict[str, Any]:
    interval = {"low": pair.difference.low, "high": pair.difference.high}
    return scalars(pair) | {"difference": pair.difference.estimate} | interval


def _joined(utterances: Sequence[KeptUtterance]) -> str | None:
    """Join the texts; None if one is not known."""
    texts = [u.text for u in utterances]
    return None if None in texts else " ".join(text for text in texts if text)


def _equal(text: str) -> tuple[AlignedWord, ...]:
    return tuple(AlignedWord(kind="equal", said=word, written=word) for word in text.split())


def _said(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
