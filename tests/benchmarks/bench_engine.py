"""What each engine, search and arithmetic costs in words and in time, and what it makes of noise.

    python -m tests.benchmarks.bench_engine FOLDER [--model tiny.en]

FOLDER is one for `sttlab bench`. Every way transcribes each recording in turn, so that whatever
else the machine does slows all of them; CPU time is compared. Word errors are compared with those
of openai-whisper's engine by paired bootstrap. Each noise is played at three levels, and what is
not held back is counted. Writes a table and all figures.
"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from sttlab.bench.material import NOISE_LEVELS_DBFS, Clip, at_level, read_clips
from sttlab.bench.report import surroundings, table
from sttlab.config import TranscribeConfig
from sttlab.engines.faster import FasterWhisperEngine
from sttlab.engines.local import LocalEngine
from sttlab.engines.whisper import WhisperEngine
from sttlab.evaluate.wer import wer
from tests.benchmarks import study

NOISE_S = 10.0  # of each noise, at each level
USUAL = "openai-whisper, greedy"


@dataclass
class Tried:
    """What came of a way to transcribe."""

    engine: LocalEngine
    texts: list[str] = field(default_factory=list)
    wall_s: list[float] = field(default_factory=list)
    cpu_s: float = 0.0
    invented: int = 0
    suppressed: int = 0


def ways(model: str) -> dict[str, Tried]:
    """Give openai-whisper's engine, and CTranslate2's with other searches and arithmetic."""
    config = TranscribeConfig(model=model, language="en", device="cpu")
    tried = {USUAL: Tried(WhisperEngine(config))}
    for compute_type, beams in (
        *(("int8_float32", beams) for beams in (1, 2, 5)),
        ("float32", 2),
    ):
        engine = FasterWhisperEngine(config)
        vars(engine).update(compute_type=compute_type, first={"beam_size": beams})
        tried[f"CTranslate2 {compute_type}, {beams} beams"] = Tried(engine)
    return tried


def try_all(clips: list[Clip], noises: list[Clip], tried: dict[str, Tried]) -> None:
    """Transcribe every recording and every noise in every way."""
    for result in tried.values():
        result.engine.load()
    for number, clip in enumerate(clips, 1):
        for result in tried.values():
            cpu_s, wall_s = time.process_time(), time.perf_counter()
            result.texts.append(result.engine.transcribe(clip.samples).text)
            result.wall_s.append(time.perf_counter() - wall_s)
            result.cpu_s += time.process_time() - cpu_s
        print(f"{number} of {len(clips)}: {clip.name}", file=sys.stderr)
    for noise in noises:
        for level in NOISE_LEVELS_DBFS:
            samples = at_level(noise.samples[: round(NOISE_S * 16_000)], level)
            for result in tried.values():
                said = result.engine.transcribe(samples)
                result.invented += bool(said.text)
                result.suppressed += bool(said.suppressed)


def figures(clips: list[Clip], tried: dict[str, Tried]) -> list[dict[str, Any]]:
    """Word errors and time of each way, and by how much the errors are more than the usual's."""
    audio_s = sum(clip.duration_s for clip in clips)
    errors = {way: wer([c.text for c in clips], t.texts) for way, t in tried.items()}
    return [
        {
            "way": way,
            **study.word_errors(errors[USUAL], errors[way]),
            "cpu_s_per_audio_s": result.cpu_s / audio_s,
            "wall_ms": 1000 * float(np.median(result.wall_s)),
            "invented": result.invented,
            "suppressed": result.suppressed,
        }
        for way, result in tried.items()
    ]


def as_table(rows: list[dict[str, Any]]) -> str:
    """Lay the figures out in Markdown."""
    header = (
        "engine",
        "WER",
        "more than openai-whisper's (95 % interval), points",
        "CPU s per audio s",
        "median of a recording, ms",
        "noises with text",
        "held back",
    )
    return table(
        header,
        [
            (
                r["way"],
                f"{r['wer']:.2%}",
                study.points(r["more"]),
                f"{r['cpu_s_per_audio_s']:.3f}",
                f"{r['wall_ms']:.0f}",
                str(r["invented"]),
                str(r["suppressed"]),
            )
            for r in rows
        ],
    )


def main() -> None:
    """Try all ways on a folder of recordings."""
    options = study.options(__doc__)
    before = surroundings()
    clips, noises = read_clips(options.folder, "en", *study.LENGTHS_S)
    tried = ways(options.model)
    try_all(clips, noises, tried)
    rows = figures(clips, tried)
    seconds = sum(clip.duration_s for clip in clips)
    title = f"{options.model}: {len(clips)} recordings, {seconds:.0f} s, {rows[0]['words']} words"
    result = {"title": title, "before": before, "ways": rows}
    study.write(options.output / f"engine-{options.model}", result, as_table(rows))


if __name__ == "__main__":
    main()
