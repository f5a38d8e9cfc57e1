"""How long each engine takes for one utterance, on a CPU or a GPU.

    python -m tests.benchmarks.bench_utterance FOLDER [--model tiny.en] [--device cuda]

FOLDER is one for `sttlab bench`. Every engine transcribes the same utterances, one after the
other, after it has been loaded and warmed up. Writes a table and all figures.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from sttlab.bench.engines import ENGINES, FLOAT16, UNCUT, Transcribe
from sttlab.bench.material import Clip, read_clips
from sttlab.bench.report import surroundings, table
from sttlab.config import Config, TranscribeConfig
from sttlab.evaluate.wer import wer
from tests.benchmarks import study

LENGTHS_S = (5.0, 8.0)  # bounds of the length of an utterance
UTTERANCES = 20


def engines(model: str, device: str) -> dict[str, Callable[[], Transcribe]]:
    """Give what loads each engine."""

    def loader(name: str, engine: str) -> Callable[[], Transcribe]:
        transcribe = TranscribeConfig(model=model, engine=engine, language="en", device=device)  # type: ignore[arg-type]
        options = asdict(Config(transcribe=transcribe)) | {"threads": 2}
        return lambda: ENGINES[name](options)

    peer = FLOAT16 if device == "cuda" else "faster-whisper int8"
    return {
        "sttlab, PyTorch": loader(UNCUT, "whisper"),
        "sttlab, CTranslate2": loader(UNCUT, "faster-whisper"),
        "openai-whisper": loader("openai-whisper", "whisper"),
        peer: loader(peer, "faster-whisper"),
    }


def measure(transcribe: Transcribe, clips: list[Clip]) -> dict[str, Any]:
    """Transcribe each clip; the first two also before, to warm up."""
    for clip in clips[:2]:
        transcribe(clip.samples)
    texts, wall_s = [], []
    for clip in clips:
        begin = time.perf_counter()
        texts.append(transcribe(clip.samples))
        wall_s.append(time.perf_counter() - begin)
    errors = wer([clip.text for clip in clips], texts)
    median, p95 = (1000 * float(value) for value in np.percentile(wall_s, (50, 95)))
    return {"median_ms": median, "p95_ms": p95, "wer": errors.wer, "errors": str(errors)}


def main() -> None:
    """Measure all engines on a folder of recordings."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--model", default="tiny.en")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--output", type=Path, default=Path("bench-results"))
    options = parser.parse_args()
    before = surroundings()
    clips = read_clips(options.folder, "en", *LENGTHS_S)[0][:UTTERANCES]
    rows = {
        name: measure(load(), clips)
        for name, load in engines(options.model, options.device).items()
    }
    title = f"{options.model} on {options.device}: {len(clips)} utterances of 5 to 8 s"
    result = {"title": title, "before": before, "clips": [c.name for c in clips], "engines": rows}
    header = (title, "median / p95, ms", "WER")
    lines = [
        (name, f"{r['median_ms']:.0f} / {r['p95_ms']:.0f}", f"{r['wer']:.1%}")
        for name, r in rows.items()
    ]
    stem = options.output / f"utterance-{options.model}-{options.device}"
    study.write(stem, result, table(header, lines))


if __name__ == "__main__":
    main()
