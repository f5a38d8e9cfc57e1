"""How often does a model of English notice that what it hears is not English?

    python -m tests.benchmarks.bench_foreign FOLDER... [--model tiny.en]

For each folder: the recordings, and those in which `EnglishOnly` finds another language.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from sttlab.config import TranscribeConfig
from sttlab.core import segment
from sttlab.decoding import load
from sttlab.engines import make_engine
from sttlab.engines.base import Engine
from sttlab.engines.foreign import LEAST_S, EnglishOnly
from sttlab.errors import SourceError


def main() -> None:
    """Print a line for each folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--model", default="tiny.en")
    options = parser.parse_args()
    engine = make_engine(TranscribeConfig(model=options.model, device="cpu"))
    for folder in options.folders:
        judged, noticed = 0, []
        for path in sorted(folder.iterdir()):
            try:
                found = notices_language(path, engine)
            except SourceError:  # a text beside a recording
                continue
            judged += found is not None
            noticed += [path.name] if found else []
        print(f"{folder.name}: {len(noticed)} of {judged}, {', '.join(noticed)}", flush=True)


def notices_language(path: Path, engine: Engine) -> bool | None:
    """Say whether another language is noticed; None if there is too little speech."""
    english, speech_s, noticed = EnglishOnly(), 0.0, False
    for utterance in segment(load(path)):
        answer = engine.transcribe(utterance.samples)
        if answer.english_log_prob is not None:
            speech_s += utterance.duration_s
        noticed |= english.add(answer, utterance.duration_s) is not None
    return noticed if speech_s >= LEAST_S else None


if __name__ == "__main__":
    main()
