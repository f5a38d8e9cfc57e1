"""Word errors and CPU time of Whisper with shorter windows of its encoder.

    python -m tests.benchmarks.bench_window FOLDER [--model tiny.en] [--engine whisper]

FOLDER is as for `sttlab bench`. Each recording is transcribed in every window in turn, so that
other work of the machine slows all of them alike; CPU time is compared. Writes a table, all figures
and a chart.
"""

from __future__ import annotations

import sys
import time
from dataclasses import asdict, dataclass, field
from typing import Any

from matplotlib.figure import Figure

from sttlab.bench.material import Clip, read_clips
from sttlab.bench.report import surroundings, table
from sttlab.config import TranscribeConfig
from sttlab.engines.faster import FasterWhisperEngine
from sttlab.engines.whisper import WhisperEngine
from sttlab.engines.windowed import WINDOW_S, WindowedEngine
from sttlab.evaluate.wer import WordErrors, wer
from tests.benchmarks import study

TOLERANCE = 0.003  # most by which a shorter window may raise the word error rate
SHORTEST_TRIED_S = (2.0, 4.0, 6.0, 8.0, 10.0, 12.0, 15.0, 20.0)
AFTER_TRIED_S = (0.0, 1.0, 2.0, 4.0, 6.0, 8.0)


@dataclass(frozen=True)
class Window:
    """A window at least `shortest_s` long, and at least `after_s` longer than the audio."""

    shortest_s: float
    after_s: float = 0.0

    def __str__(self) -> str:
        if self.shortest_s == WINDOW_S:
            return "30 s, always"
        return f"at least {self.shortest_s:g} s, {self.after_s:g} s after the audio"


@dataclass
class Tried:
    """The results of a window."""

    texts: list[str] = field(default_factory=list)
    cpu_s: float = 0.0
    encoded: int = 0
    pieces: int = 0


FULL = Window(WINDOW_S)


def used(engine: WindowedEngine) -> Window:
    """Return the window in use; for a model without one, that of tiny.en."""
    known = engine.short_windows_s
    return Window(*known.get(engine.config.model, known["tiny.en"]))


def windows(usual: Window) -> list[Window]:
    """Return the full window, and those that differ from the one in use in one length."""
    shortest = [Window(shortest_s, usual.after_s) for shortest_s in SHORTEST_TRIED_S]
    after = [Window(usual.shortest_s, after_s) for after_s in AFTER_TRIED_S]
    return list(dict.fromkeys([FULL, *shortest, *after]))


class AnyWindow(WindowedEngine):
    """An engine whose window may be changed."""

    window = FULL
    encoded = pieces = 0

    def _window_s(self, audio_s: float) -> float:
        self.pieces += 1
        return min(WINDOW_S, max(self.window.shortest_s, audio_s + self.window.after_s))

    def _encode_padded(self, *arguments: Any) -> Any:
        self.encoded += 1
        return super()._encode_padded(*arguments)


class AnyWindowFaster(AnyWindow, FasterWhisperEngine):
    """On CTranslate2."""


class AnyWindowWhisper(AnyWindow, WhisperEngine):
    """On PyTorch."""

    def _quantise(self, model: Any) -> None:
        pass  # so that nothing but the window differs


ENGINES: dict[str, type[AnyWindow]] = {
    "faster-whisper": AnyWindowFaster,
    "whisper": AnyWindowWhisper,
}


def try_all(clips: list[Clip], engine: AnyWindow) -> dict[Window, Tried]:
    """Transcribe every recording in every window."""
    engine.load()
    tried = {window: Tried() for window in windows(used(engine))}
    for number, clip in enumerate(clips, 1):
        for window, result in tried.items():
            engine.window = window
            engine.encoded = engine.pieces = 0
            started = time.process_time()
            result.texts.append(engine.transcribe(clip.samples).text)
            result.cpu_s += time.process_time() - started
            result.encoded += engine.encoded
            result.pieces += engine.pieces
        print(f"{number} of {len(clips)}: {clip.name}", file=sys.stderr)
    return tried


def figures(clips: list[Clip], tried: dict[Window, Tried]) -> list[dict[str, Any]]:
    """Return the word errors of each window, and their difference to the full window's."""
    errors = {w: wer([c.text for c in clips], t.texts) for w, t in tried.items()}
    return [
        asdict(window)
        | {
            "window": str(window),
            **study.word_errors(errors[FULL], errors[window]),
            "cpu_share": result.cpu_s / tried[FULL].cpu_s,
            "full_window_share": (result.encoded - result.pieces) / result.pieces,
            "differing": differing(errors[FULL], errors[window]),
        }
        for window, result in tried.items()
    ]


def differing(one: WordErrors, other: WordErrors) -> int:
    """Count the recordings whose transcribed words differ."""
    written = [[[w.written for w in words] for words in e.utterances] for e in (one, other)]
    return sum(a != b for a, b in zip(*written, strict=True))


def as_table(rows: list[dict[str, Any]]) -> str:
    """Write the figures as a Markdown table."""
    header = (
        "window",
        "WER",
        "more than the full window's (95 % interval), points",
        "CPU time over the full window's",
        "decoded again in the full window",
    )
    return table(
        header,
        [
            (
                r["window"],
                f"{r['wer']:.2%}",
                study.points(r["more"]),
                f"{r['cpu_share']:.2f}",
                f"{r['full_window_share']:.0%}",
            )
            for r in rows
        ],
    )


def chart(rows: list[dict[str, Any]], usual: Window, title: str) -> Figure:
    """Draw the word errors and the CPU time of each window."""
    figure = Figure(figsize=(10, 4), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    for axes, key, fixed, label, other in (
        (left, "shortest_s", "after_s", "shortest window, s", "s after the audio"),
        (right, "after_s", "shortest_s", "window after the audio, s", "s at least"),
    ):
        kept = getattr(usual, fixed)
        shown = sorted((r for r in rows if r[fixed] == kept), key=lambda r: r[key])
        more = [[100 * v for v in r["more"].values()] for r in shown]
        at = [r[key] for r in shown]
        bars = [[m[0] - m[1] for m in more], [m[2] - m[0] for m in more]]
        axes.errorbar(at, [m[0] for m in more], yerr=bars, fmt="o-", capsize=3, label="WER")
        axes.axhline(100 * TOLERANCE, color="#b3541e", linestyle=":", label="most that is accepted")
        axes.axhline(0, color="black", linewidth=0.6)
        axes.axvline(getattr(usual, key), color="#2f6f4f", linewidth=5, alpha=0.2, label="in use")
        axes.set_xlabel(f"{label} ({kept:g} {other})")
        time_axes = axes.twinx()
        time_axes.plot(at, [r["cpu_share"] for r in shown], "s--", color="#7b5ea7", ms=4)
        time_axes.set_ylim(0, 1.05)
        time_axes.set_ylabel("CPU time over the full window's (squares)", color="#7b5ea7")
    low, high = left.get_ylim()
    left.set_ylim(max(low, -3), min(high, 6))
    left.set_ylabel("WER, points more than the full window's")
    left.legend(fontsize=8)
    figure.suptitle(title, fontsize=10)
    return figure


def main() -> None:
    """Try all windows on a folder of recordings."""
    options = study.options(__doc__, ENGINES)
    before = surroundings()
    clips, _ = read_clips(options.folder, "en", *study.LENGTHS_S)
    config = TranscribeConfig(model=options.model, language="en", device="cpu")
    engine = ENGINES[options.engine](config)
    rows = figures(clips, try_all(clips, engine))
    seconds = sum(clip.duration_s for clip in clips)
    what = f"{options.engine} {options.model}"
    title = f"{what}: {len(clips)} recordings, {seconds:.0f} s, {rows[0]['words']} words"
    result = {"title": title, "before": before, "windows": rows}
    stem = options.output / f"window-{options.engine}-{options.model}"
    study.write(stem, result, as_table(rows), chart(rows, used(engine), title))


if __name__ == "__main__":
    main()
