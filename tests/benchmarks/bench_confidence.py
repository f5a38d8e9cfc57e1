"""Calibration of a word's confidence on real speech, for several formulas.

    python -m tests.benchmarks.bench_confidence FOLDER [--model tiny.en] [--output bench-results]

FOLDER is as for `sttlab bench`. Each recording is transcribed with the confidence of words; a word
is right if the alignment with the reference says so. Writes a table, all figures and a chart.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from sttlab.bench.material import Clip, read_clips
from sttlab.bench.report import surroundings, table
from sttlab.config import TranscribeConfig
from sttlab.engines.whisper import WhisperEngine
from sttlab.engines.words import word_confidence
from sttlab.evaluate.wer import normaliser, wer
from tests.benchmarks import study

EDGES = (0.0, 0.3, 0.5, 0.7, 0.8, 0.9, 0.95, 0.98, 1.0)
FORMULAS: dict[str, Callable[[list[float]], float]] = {
    "mean of its tokens": lambda shares: float(np.mean(shares)),
    "least of its tokens": min,
    "product of its tokens": math.prod,
    "root of the product of its tokens": word_confidence,
    "geometric mean of its tokens": lambda shares: math.prod(shares) ** (1 / len(shares)),
}
MARKS = (0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8)  # confidences under which a page could mark a word
USED = "root of the product of its tokens"


@dataclass(frozen=True)
class Judged:
    """A transcribed word, and whether it is right."""

    text: str
    shares: list[float]
    right: bool


class TokenRecorder(WhisperEngine):
    """Whisper that records the probabilities of the tokens of each word, in order."""

    kept: list[list[float]]

    def _word_confidence(self, shares: list[float]) -> float:
        self.kept.append(shares)
        return math.prod(shares)


def judge(clips: list[Clip], model: str) -> tuple[list[Judged], int]:
    """Transcribe, and judge each word; return also the number of words that can't be judged."""
    engine = TokenRecorder(TranscribeConfig(model=model, language="en", device="cpu", words=True))
    engine.kept = []
    engine.load()
    _, normalise = normaliser("en")
    judged: list[Judged] = []
    skipped = 0
    for number, clip in enumerate(clips, 1):
        engine.kept = []
        said = engine.transcribe(clip.samples)
        words = [word for segment in said.segments for word in segment.words]
        shares = by_word(engine.kept, [word.confidence for word in words])
        written = [normalise(word.text).split() for word in words]
        aligned = wer(clip.text, said.text).utterances[0]
        transcribed = [w for w in aligned if w.kind != "delete"]
        if [w for parts in written for w in parts] != [w.written for w in transcribed]:
            skipped += len(words)  # numbers and contractions are normalised across words
            continue
        for word, parts, share in zip(words, written, shares, strict=True):
            mine, transcribed = transcribed[: len(parts)], transcribed[len(parts) :]
            if parts:
                judged.append(Judged(word.text, share, all(w.kind == "equal" for w in mine)))
        print(f"{number} of {len(clips)}: {clip.name}", file=sys.stderr)
    return judged, skipped


def by_word(parts: list[list[float]], products: list[float]) -> list[list[float]]:
    """Join the tokens of a word's parts: as many parts as have the word's product."""
    left, found = iter(parts), []
    for product in products:
        mine: list[float] = []
        so_far = 1.0
        while not mine or so_far != product:
            part = next(left)
            so_far *= math.prod(part)
            mine += part
        found.append(mine)
    return found


def figures(judged: list[Judged], formula: Callable[[list[float]], float]) -> dict[str, Any]:
    """Return how well a formula separates right words from wrong ones, and its calibration."""
    sure = np.array([min(1.0, formula(word.shares)) for word in judged])
    right = np.array([word.right for word in judged])
    bins = np.clip(np.digitize(sure, EDGES) - 1, 0, len(EDGES) - 2)
    rows = [
        {"words": int((mine := bins == i).sum()), "said": mean(sure[mine]), "is": mean(right[mine])}
        for i in range(len(EDGES) - 1)
    ]
    gaps = [r["words"] * abs(r["said"] - r["is"]) for r in rows if r["words"]]
    return {
        "calibration_error": sum(gaps) / len(judged),
        "brier": float(np.mean((sure - right) ** 2)),
        "auc": auc(sure, right),
        "bins": rows,
    }


def marks(judged: list[Judged]) -> list[dict[str, float]]:
    """Give the shares of right and wrong words that a page marks, by the confidence below which."""
    sure = np.array([min(1.0, FORMULAS[USED](word.shares)) for word in judged])
    right = np.array([word.right for word in judged])
    return [
        {
            "under": under,
            "right_marked": mean((sure < under)[right]),
            "wrong_marked": mean((sure < under)[~right]),
            "marks_that_are_wrong": mean(~right[sure < under]),
        }
        for under in MARKS
    ]


def mean(values: NDArray[Any]) -> float:
    """Return the mean, or 0 without values."""
    return float(values.mean()) if len(values) else 0.0


def auc(sure: NDArray[Any], right: NDArray[Any]) -> float:
    """Return how often a right word has more confidence than a wrong one (Mann-Whitney U)."""
    good, bad = sure[right], sure[~right]
    above = (good[:, None] > bad).mean() + (good[:, None] == bad).mean() / 2
    return float(above)


def as_table(found: dict[str, dict[str, Any]]) -> str:
    """Write the figures as a Markdown table."""
    rows = [
        (name, f"{f['calibration_error']:.3f}", f"{f['brier']:.3f}", f"{f['auc']:.3f}")
        for name, f in found.items()
    ]
    return table(
        ("confidence of a word", "calibration error", "Brier score", "right over wrong (AUC)"), rows
    )


def marks_table(rows: list[dict[str, float]]) -> str:
    """Lay the shares of marked words out in Markdown."""
    return table(
        ("marked under", "of the right words", "of the wrong words", "marked words that are wrong"),
        [(f"{r['under']:.1f}", *(f"{100 * r[k]:.1f} %" for k in list(r)[1:])) for r in rows],
    )


def chart(found: dict[str, dict[str, Any]], title: str) -> Figure:
    """Draw the share of right words by confidence."""
    figure = Figure(figsize=(6, 5.2), layout="constrained")
    axes, counts = figure.subplots(2, 1, sharex=True, height_ratios=(4, 1))
    axes.plot((0, 1), (0, 1), ":", color="#7a7a7a", label="perfect calibration")
    for name, f in found.items():
        rows = [r for r in f["bins"] if r["words"] >= 5]
        looks = {"lw": 2.5, "ms": 7} if name == USED else {"lw": 1, "ms": 4, "alpha": 0.7}
        axes.plot([r["said"] for r in rows], [r["is"] for r in rows], "o-", label=name, **looks)
    for low, high, row in zip(EDGES, EDGES[1:], found[USED]["bins"], strict=False):
        counts.bar(low, row["words"], high - low, align="edge", color="#2f8fd0", ec="white")
    counts.set_yscale("log")
    counts.set(xlabel="confidence", ylabel="words")
    axes.set(ylabel="share of right words", xlim=(0, 1), ylim=(0, 1.02), title=title)
    axes.legend(fontsize=8)
    return figure


def main() -> None:
    """Compare all formulas on a folder of recordings."""
    options = study.options(__doc__)
    before = surroundings()
    clips, _ = read_clips(options.folder, "en", *study.LENGTHS_S)
    judged, skipped = judge(clips, options.model)
    found = {name: figures(judged, formula) for name, formula in FORMULAS.items()}
    right = sum(word.right for word in judged)
    title = f"{options.model}: {len(judged)} words, {right / len(judged):.0%} right"
    words = [{"text": w.text, "shares": w.shares, "right": w.right} for w in judged]
    marked = marks(judged)
    result = {"title": title, "before": before, "left_out": skipped, "formulas": found}
    result["marks"] = marked
    text = f"{as_table(found)}\n\n{marks_table(marked)}"
    stem = options.output / f"confidence-{options.model}"
    study.write(stem, result | {"words": words}, text, chart(found, title))
    print(f"{title}; {skipped} words left out, because they can't be judged one by one")


if __name__ == "__main__":
    main()
