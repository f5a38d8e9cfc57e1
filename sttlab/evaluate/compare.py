"""What two runs on the same audio did differently: utterances, words, delays, held back text."""

from __future__ import annotations

import html
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Literal, TypeAlias

from sttlab.audio import SAMPLE_RATE, player_html, trace_svg
from sttlab.errors import KeptError
from sttlab.evaluate.wer import AlignedWord, marked, wer
from sttlab.kept.face import TRACED_S, utterances_svg
from sttlab.kept.session import KeptRun, KeptUtterance

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
HEARD = 60  # differences that a page has the sound of
LONGEST_SOUND_S = 60.0
TOUCH_SAMPLES = SAMPLE_RATE // 10  # edges of neighbours may overlap by less
NOWHERE = (-2, -1)
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
        All utterances, in the order of time.
    """

    def __init__(self, a: KeptRun, b: KeptRun, rows: tuple[Difference, ...]) -> None:
        self.a = a
        self.b = b
        self.rows = rows

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
            simulated = " (simulated)" if self.a.simulated or self.b.simulated else ""
            told.append(
                f"text {abs(later_s):.2f} s {'later' if later_s > 0 else 'sooner'}{simulated}"
            )
        words = sum(row.changed_words for row in self.rows)
        told.append(f"{words} word{'' if words == 1 else 's'} differ{'s' if words == 1 else ''}")
        if unknown := sum(row.words is None for row in self.rows):
            told.append(f"the texts of {unknown} are not known")
        what = self.changed
        return f"{what}: {', '.join(told)}" if what else ", ".join(told)

    @property
    def changed(self) -> str:
        """What the second run has in place of the first, in words."""
        before, after = (asdict(run.settings[0][1]) for run in (self.a, self.b))
        told = [
            f"{name} {_said(after[name])} instead of {_said(before[name])}"
            for name in before
            if before[name] != after[name]
        ]
        if self.a.engine != self.b.engine and self.a.engine and self.b.engine:
            told.append(f"{self.b.engine} instead of {self.a.engine}")
        return ", ".join(told)

    @property
    def notices(self) -> tuple[str, ...]:
        """What a person should know before they draw conclusions."""
        one, other = self.a.source, self.b.source
        found = []
        if one.folder != other.folder and one.manifest["started"] != other.manifest["started"]:
            found.append("these are two sessions: their audio may differ")
        if one.manifest["processor"] != other.manifest["processor"]:
            found.append(
                f"the processors differ, {one.manifest['processor']} and "
                f"{other.manifest['processor']}, and so may the texts of the same engine"
            )
        if self.a.simulated != self.b.simulated:
            found.append("delays of one are measured, of the other simulated")
        return tuple(found)

    def to_text(self) -> str:
        """Write the summary and a line for each difference."""
        lines = [self.summary, *(f"note: {notice}" for notice in self.notices)]
        for row in self.differences:
            lines.append(f"{row.start_s:8.1f} s  {row.kind}")
            lines += [f"            - {_text(u)}" for u in row.a]
            lines += [f"            + {_text(u)}" for u in row.b]
        return "\n".join(lines) + "\n"

    def to_json(self) -> str:
        """Write all rows as one JSON object on one line."""
        rows = [
            {
                "kind": row.kind,
                "start_s": row.start_s,
                "end_s": row.end_s,
                "later_s": row.later_s,
                "changed_words": None if row.words is None else row.changed_words,
                "held_back": row.held_back,
                **{
                    side: [
                        {
                            "utterance_id": u.utterance_id,
                            "start_s": u.start_s,
                            "end_s": u.end_s,
                            "reason": u.reason,
                            "text": u.text,
                            "delay_s": u.delay_s,
                        }
                        for u in utterances
                    ]
                    for side, utterances in (("a", row.a), ("b", row.b))
                },
            }
            for row in self.rows
        ]
        told = {
            "summary": self.summary,
            "notices": self.notices,
            "counts": self.counts,
            "later_s": self.later_s,
            "a": {"title": self.a.title, "simulated": self.a.simulated},
            "b": {"title": self.b.title, "simulated": self.b.simulated},
            "rows": rows,
        }
        return json.dumps(told, ensure_ascii=False, allow_nan=False) + "\n"

    def to_html(self, path: str | Path | None = None) -> str:
        """Return a page with the audio of differences, and write it to `path` if it is given."""
        page = (
            '<!doctype html><html lang="en"><meta charset="utf-8">'
            '<meta name="viewport" content="width=device-width, initial-scale=1">'
            f"<title>{html.escape(self.summary)}</title><style>{STYLE}</style>"
            f"<body>{self._body(sound=True)}</body></html>\n"
        )
        if path is not None:
            Path(path).write_text(page, encoding="utf-8")
        return page

    def _repr_html_(self) -> str:
        return self._body(sound=False)

    def _body(self, *, sound: bool) -> str:
        source = self.a.source
        shown_s = min(source.duration_s, TRACED_S)
        parts = [f"<p><b>{html.escape(self.summary)}</b></p>"]
        parts += [f"<p>⚠ {html.escape(notice)}</p>" for notice in self.notices]
        if shown_s:
            parts.append(trace_svg(source.samples(0, round(shown_s * SAMPLE_RATE))))
            for run in (self.a, self.b):
                parts.append(f"<div><small>{html.escape(run.title)}</small></div>")
                parts.append(utterances_svg(run, shown_s))
        rows = [self._row(row, sound=sound and i < HEARD) for i, row in enumerate(self.differences)]
        heads = "".join(f"<th>{head}</th>" for head in ("time", "what", "texts", "words", "delay"))
        parts.append(
            f"<table><thead><tr>{heads}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
            if rows
            else "<p>Nothing differs.</p>"
        )
        return "".join(parts)

    def _row(self, row: Difference, *, sound: bool) -> str:
        heard = ""
        if sound and row.end_s - row.start_s <= LONGEST_SOUND_S:
            heard = player_html(self.a.source.audio(row.start_s, row.end_s).samples, "")
        texts = "<br>".join(
            f"{sign} {html.escape(_text(u))}"
            for sign, side in (("−", row.a), ("+", row.b))
            for u in side
        )
        for sign, texts_held in zip(("−", "+"), row.held_back, strict=True):
            texts += "".join(f"<br>{sign} held back: {html.escape(t)}" for t in texts_held)
        words = "?" if row.words is None else " ".join(map(marked, row.words))
        later = "" if row.later_s is None else f"{row.later_s:+.2f} s"
        return (
            f"<tr><td>{row.start_s:.1f}–{row.end_s:.1f} s{heard}</td><td>{row.kind}</td>"
            f'<td style="text-align:left">{texts}</td><td style="text-align:left">{words}</td>'
            f"<td>{later}</td></tr>"
        )

    def __repr__(self) -> str:
        return f"<Comparison {self.summary}>"


STYLE = """
:root { color-scheme: light dark; font: 15px/1.5 system-ui, sans-serif; }
body { max-width: 70rem; margin: 2rem auto; padding: 0 1rem; }
svg { display: block; width: 100%; max-width: none !important; }
table { border-collapse: collapse; width: 100%; }
th, td { padding: 0.4rem 0.6rem; border-bottom: 1px solid #8884; vertical-align: top; }
th { text-align: left; }
figure { margin: 0; } audio { height: 2rem; width: 14rem; }
"""


def compare(a: KeptRun, b: KeptRun) -> Comparison:
    """Compare two runs on the same audio: kept sessions, or replays of them.

    Parameters
    ----------
    a, b : KeptSession or Replay
        What was, and what is to be judged against it.

    Raises
    ------
    KeptError
        If one of them is neither.
    MissingExtra
        If texts differ and the extra `evaluate` is not installed, by which words are aligned.

    Examples
    --------
    >>> compare(kept, replay(kept, silence_timeout_s=0.4)).summary  # doctest: +SKIP
    'silence_timeout_s 0.4 instead of 0.6: 3 of 41 utterances cut in two or more, ...'
    """
    for run in (a, b):
        if not isinstance(run, KeptRun):
            raise KeptError(
                f"compare takes sessions that open_session opened, or replays of them, not {run!r}"
            )
    groups = align(a.utterances, b.utterances)
    texts = [tuple(_joined(side) for side in group) for group in groups]
    differing = [(s, t) for s, t in texts if s is not None and t is not None and s != t]
    language = next((t.language for run in (a, b) for t in run.history), "en")
    aligned = iter(
        wer([s for s, _ in differing], [t for _, t in differing], language=language).utterances
        if differing
        else ()
    )
    rows = []
    for (mine, theirs), (said, written) in zip(groups, texts, strict=True):
        words: tuple[AlignedWord, ...] | None = None
        if said is not None and written is not None:
            words = _equal(said) if said == written else next(aligned)
        kind = _kind(mine, theirs)
        rows.append(Difference(kind=kind, a=mine, b=theirs, words=words))
    return Comparison(a, b, tuple(rows))


Group: TypeAlias = tuple[tuple[KeptUtterance, ...], tuple[KeptUtterance, ...]]


def align(a: Sequence[KeptUtterance], b: Sequence[KeptUtterance]) -> list[Group]:
    """Put together the utterances of two runs that share speech, in the order of time."""
    queue = sorted(
        [(_speech(u), 0, u) for u in a] + [(_speech(u), 1, u) for u in b],
        key=lambda item: (item[0], item[1]),
    )
    groups: list[tuple[list[KeptUtterance], list[KeptUtterance]]] = []
    last: list[tuple[int, int]] = []  # speech of each side in the open group
    for (start, end), side, utterance in queue:
        if not groups or not _shares(last[1 - side], (start, end)):
            groups.append(([], []))
            last = [NOWHERE, NOWHERE]
        groups[-1][side].append(utterance)
        last[side] = start, end
    return [(tuple(mine), tuple(theirs)) for mine, theirs in groups]


def _shares(one: tuple[int, int], later: tuple[int, int]) -> bool:
    """Whether two stretches of speech have more in common than edges that touch."""
    lengths = one[1] - one[0], later[1] - later[0]
    return one[1] - later[0] >= min(TOUCH_SAMPLES, *(max(1, length // 2) for length in lengths))


def _speech(u: KeptUtterance) -> tuple[int, int]:
    return u.onset_sample, max(u.speech_end_sample, u.onset_sample + 1)


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


def _joined(utterances: Sequence[KeptUtterance]) -> str | None:
    """Join the texts; None if one is not known."""
    texts = [u.text for u in utterances]
    return None if None in texts else " ".join(text for text in texts if text)


def _equal(text: str) -> tuple[AlignedWord, ...]:
    return tuple(AlignedWord(kind="equal", said=word, written=word) for word in text.split())


def _text(u: KeptUtterance) -> str:
    return "(not transcribed)" if u.text is None else u.text or "(no words)"


def _said(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
