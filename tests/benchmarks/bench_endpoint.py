"""Whether the text so far tells the end of an utterance: adaptive or fixed silence timeout.

    python -m tests.benchmarks.bench_endpoint FOLDER [--model tiny.en] [--output bench-results]

FOLDER is as for `sttlab bench`. Its sentences are joined with known gaps; data/ and its labels are
added. In every pause the engine transcribes the utterance so far, and many rules decide by that
text how long to wait. Writes what each rule cuts off, and how long after the last word it decides.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from sttlab.audio import SAMPLE_RATE, Recording, to_dbfs
from sttlab.bench.material import conversation, read_clips
from sttlab.bench.report import surroundings, table
from sttlab.config import TranscribeConfig, VadConfig
from sttlab.core import segment
from sttlab.decoding import load
from sttlab.engines.whisper import WhisperEngine
from sttlab.evaluate.labels import load_labels
from tests.benchmarks import study

DATA = Path(__file__).parents[2] / "data"
LABELLED = ("demo", "monologue", "pause", "cough")
LENGTHS_S = (1.0, 30.0)
SEEDS = (1,)
LOOK_S = 0.2  # length of a pause after which the engine transcribes
DECODE_S = 0.1  # time that the engine then takes
FIXED_S = 0.6
FIXED_TRIED_S = (0.3, 0.35, 0.4, 0.45, 0.5, 0.6, 0.7, 0.8, 1.0, 1.3)
LONG_TRIED_S = (0.6, 0.8, 1.0)
SAME_S = 0.15  # most by which labels and detector may differ
HANGING = frozenset(  # words after which a sentence goes on
    {"a", "an", "the", "and", "or", "but", "so", "if", "as", "of", "to", "in", "on", "at", "by"}
    | {"for", "from", "with", "that", "which", "who", "whose", "when", "where", "while", "than"}
    | {"because", "then", "this", "these", "my", "your", "his", "her", "its", "our", "their"}
    | {"is", "are", "was", "were", "be", "been", "have", "has", "had", "do", "does", "did"}
    | {"will", "would", "can", "could", "shall", "should", "may", "might", "must", "uh", "um"}
)


@dataclass(frozen=True)
class Evidence:
    """What is known of an utterance in a pause."""

    text: str
    confidence: float
    last: float  # probability of the last token, most often the full stop
    over: float  # probability of the end of text after it
    falling_db: float  # level of the second before the last quarter, over that of the quarter

    @property
    def sentence(self) -> bool:
        return self.text.endswith((".", "?", "!")) and not self.text.endswith("..")

    @property
    def hangs(self) -> bool:
        words = "".join(c if c.isalpha() or c == "'" else " " for c in self.text.lower()).split()
        return not words or words[-1] in HANGING


@dataclass(frozen=True)
class Session:
    """Audio, with the spans of speech by the detector and the true utterances, in seconds."""

    samples: Any
    runs: list[tuple[float, float]]
    truths: list[tuple[float, float]]


Rule = Callable[[Evidence], float]
Decided = tuple[int, list[float], int]  # truths cut, delays from their ends, how many were joined


class Reader:
    """Transcribes spans of a session, each once."""

    def __init__(self, model: str) -> None:
        self.engine = Engine(TranscribeConfig(model=model, language="en", device="cpu"))
        self._known: dict[tuple[int, float, float], Evidence] = {}

    def read(self, session: Session, begin_s: float, end_s: float) -> Evidence:
        """Return what is known `LOOK_S` after `end_s`."""
        key = id(session), begin_s, end_s
        if key not in self._known:
            first, last = (int(s * SAMPLE_RATE) for s in (begin_s, end_s))
            stop = last + int(LOOK_S * SAMPLE_RATE)
            said = self.engine.transcribe(session.samples[max(first, 0) : stop])
            quarter = SAMPLE_RATE // 4
            late = session.samples[max(0, last - quarter) : last]
            early = session.samples[max(0, last - 5 * quarter) : max(1, last - quarter)]
            levels = [float(to_dbfs(np.square(p).mean())) for p in (early, late)]
            self._known[key] = Evidence(
                text=said.text,
                confidence=said.confidence,
                last=self.engine.last,
                over=self.engine.over,
                falling_db=levels[0] - levels[1],
            )
        return self._known[key]


class Engine(WhisperEngine):
    """Whisper that also gives the probabilities of its last token and of the end of text."""

    last = over = 0.0

    def _decode(self, features: Any, *arguments: Any) -> Any:
        decoded = super()._decode(features, *arguments)
        tokenizer = self._whisper.tokenizer.get_tokenizer(
            self._model.is_multilingual, language="en", task="transcribe"
        )
        text = tokenizer.encode(" " + decoded.text)
        start = [*tokenizer.sot_sequence, tokenizer.no_timestamps]
        tokens = self._torch.tensor([[*start, *text]])
        shares = self._model.logits(tokens, features)[0].softmax(-1)
        self.over = float(shares[-1, tokenizer.eot])
        self.last = float(shares[-2, text[-1]]) if text else 0.0
        return decoded


def sessions(folder: Path) -> Iterator[Session]:
    """Yield the joined sentences of each speaker, then the labelled recordings."""
    clips, _ = read_clips(folder, "en", *LENGTHS_S)
    speakers: dict[str, list[Any]] = {}
    for clip in clips:
        speakers.setdefault(clip.name.rpartition("-")[0], []).append(clip)
    for mine in speakers.values():
        for seed in SEEDS:
            samples, truths = conversation(mine, len(mine), seed)
            yield make(samples, [(t.start_s, t.end_s) for t in truths])
    for name in LABELLED:
        spans = load_labels(DATA / f"{name}.rttm").utterances(gap_s=FIXED_S)
        yield make(load(DATA / f"{name}.flac").samples, [(a, b) for a, b in spans.tolist()])


def make(samples: Any, truths: list[tuple[float, float]]) -> Session:
    """Find speech as the live path does, split at each pause of `LOOK_S`."""
    found = segment(Recording(samples), VadConfig(silence_timeout_s=LOOK_S))
    runs = [(u.onset_sample / SAMPLE_RATE, u.speech_end_sample / SAMPLE_RATE) for u in found]
    return Session(samples, runs, truths)


def decide(session: Session, rule: Rule, reader: Reader | None) -> Decided:
    """End utterances by a rule, and compare them with the true ones."""
    closes: list[tuple[float, float, float]] = []  # end of speech, decision, next speech
    begin_s: float | None = None
    for i, (onset_s, end_s) in enumerate(session.runs):
        begin_s = onset_s - 0.3 if begin_s is None else begin_s
        next_s = session.runs[i + 1][0] if i + 1 < len(session.runs) else math.inf
        wait_s = rule(reader.read(session, begin_s, end_s) if reader else NOTHING)
        if next_s - end_s >= wait_s:
            closes.append((end_s, end_s + wait_s, next_s))
            begin_s = None
    cut, joined, delays = 0, 0, []
    for begin, end in session.truths:
        inside = [c for c in closes if c[0] > begin + SAME_S and c[2] < end - SAME_S]
        cut += bool(inside)
        after = [at for last, at, _ in closes if last >= end - 2 * SAME_S]
        if after:
            delays.append(after[0] - end)
            joined += any(begin > end and after[0] > begin for begin, _ in session.truths)
    return cut, delays, joined


NOTHING = Evidence("", 0, 0, 0, 0)


def rules() -> Iterator[tuple[str, dict[str, Any], Rule, bool]]:
    """Yield fixed timeouts, then rules by evidence: name, figures, rule, whether it uses text."""
    for fixed_s in FIXED_TRIED_S:
        yield (
            f"fixed, {fixed_s:g} s",
            {"kind": "fixed", "timeout_s": fixed_s},
            fixed(fixed_s),
            False,
        )
    for over in (0.0, 0.5, 0.7, 0.8, 0.9, 0.95):
        for last in (0.0, 0.5, 0.8, 0.9):
            for sure in (0.0, 0.6, 0.8):
                for falling_db in (-99.0, 3.0, 8.0):
                    for long_s in LONG_TRIED_S:
                        name = (
                            f"full stop {last:g}, end {over:g}, text {sure:g}, "
                            f"falling {falling_db:g} dB; hanging {long_s:g} s"
                        )
                        numbers = {"kind": "evidence", "long_s": long_s}
                        yield name, numbers, by_evidence(last, over, sure, falling_db, long_s), True


def fixed(timeout_s: float) -> Rule:
    """Return a rule that always waits for the same time."""
    return lambda evidence: timeout_s


def by_evidence(last: float, over: float, sure: float, falling_db: float, long_s: float) -> Rule:
    """Return a rule that decides at once after a sentence, and late after a hanging word."""

    def rule(e: Evidence) -> float:
        if e.hangs or not e.sentence:
            return long_s
        done = e.last >= last and e.over >= over and e.confidence >= sure
        return LOOK_S + DECODE_S if done and e.falling_db >= falling_db else FIXED_S

    return rule


def measure(every: list[Session], reader: Reader) -> list[dict[str, Any]]:
    """Try all rules on all sessions."""
    rows = []
    for name, numbers, rule, reads in rules():
        results = [decide(s, rule, reader if reads else None) for s in every]
        rows.append({"rule": name, **numbers, "results": results, **totals(results)})
        print(f"{len(rows)}: {name}", file=sys.stderr)
    return rows


def totals(results: list[Decided]) -> dict[str, Any]:
    """Sum the results of a rule over some sessions."""
    delays = [d for _, ds, _ in results for d in ds]
    return {
        "cut": sum(cut for cut, _, _ in results),
        "joined": sum(joined for _, _, joined in results),
        "median_s": float(np.median(delays)),
        "p95_s": float(np.quantile(delays, 0.95)),
    }


def on_others(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Cross-validate: for each session, apply the rule that is chosen on all others.

    The chosen rule is the quickest of those that cut no more than the timeout in use.
    """
    (used,) = (r for r in rows if r.get("timeout_s") == FIXED_S)
    evidence = [r for r in rows if r["kind"] == "evidence"]
    results = []
    for i in range(len(used["results"])):
        others = [totals(r["results"][:i] + r["results"][i + 1 :]) for r in (used, *evidence)]
        allowed = [n for n, other in enumerate(others) if other["cut"] <= others[0]["cut"]]
        quickest = min(allowed, key=lambda n: float(others[n]["median_s"]))
        results.append([used, *evidence][quickest]["results"][i])
    name = "by evidence, each session by the rule chosen on all others"
    return {"rule": name, "kind": "evidence", **totals(results)}


def front(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the Pareto front of delay and cuts, the quickest first."""
    best: list[dict[str, Any]] = []
    for row in sorted(rows, key=lambda r: (r["median_s"], r["cut"], r["p95_s"])):
        if not best or row["cut"] < best[-1]["cut"]:
            best.append(row)
    return best


def chart(rows: list[dict[str, Any]], count: int, title: str) -> Figure:
    """Draw delay against cuts."""
    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.subplots()
    for kind, looks, label in (
        ("evidence", {"marker": ".", "ls": "", "color": "#2f8fd0", "alpha": 0.4}, "by evidence"),
        ("fixed", {"marker": "o", "ls": "-", "color": "#d55e00"}, "fixed timeout"),
    ):
        mine = [r for r in rows if r["kind"] == kind]
        axes.plot(
            [r["median_s"] for r in mine],
            [100 * r["cut"] / count for r in mine],
            label=label,
            **looks,
        )
    for row in rows:
        if row["kind"] == "fixed":
            at = row["median_s"], 100 * row["cut"] / count
            words = f"{row['timeout_s']:g} s"
            axes.annotate(words, at, xytext=(5, 4), textcoords="offset points", size=8)
    axes.set_xlabel("last word to decision, median, s")
    axes.set_ylabel("utterances cut, %")
    axes.set_title(title, fontsize=10)
    axes.legend()
    return figure


def main() -> None:
    """Try all rules on a folder of recordings."""
    options = study.options(__doc__)
    before = surroundings()
    every, reader = list(sessions(options.folder)), Reader(options.model)
    rows = measure(every, reader)
    count = sum(len(s.truths) for s in every)
    by_kind = [[r for r in rows if r["kind"] == kind] for kind in ("fixed", "evidence")]
    shown = [*by_kind[0], *front(by_kind[1]), on_others(rows)]
    text = table(
        ("rule", "utterances cut", "last word to decision, median / p95, s", "two in one"),
        [
            (
                r["rule"],
                f"{r['cut']} of {count}",
                f"{r['median_s']:.2f} / {r['p95_s']:.2f}",
                str(r["joined"]),
            )
            for r in shown
        ],
    )
    seconds = sum(len(s.samples) for s in every) / SAMPLE_RATE
    title = f"{options.model}: {count} utterances in {seconds:.0f} s"
    known = [asdict(e) for e in reader._known.values()]
    result = {"title": title, "before": before, "rules": rows, "evidence": known}
    stem = options.output / f"endpoint-{options.model}"
    study.write(stem, result, text, chart(rows, count, title))


if __name__ == "__main__":
    main()
