"""How often speculation is in vain, and whether its text is that of the final audio.

    python -m tests.benchmarks.bench_speculation FOLDER [--model tiny.en]

FOLDER is as for `sttlab bench`. An attempt that begins after less silence is done in time by a
slower engine, but more often speech goes on after it; and the engine hears less of the silence
behind the words. Both are counted by the silence after which the attempt begins, at the default
settings. Writes a table and all figures.
"""

from __future__ import annotations

import itertools
import sys
import time
from dataclasses import asdict
from typing import Any

import numpy as np

from sttlab.audio import SAMPLE_RATE
from sttlab.bench.material import Clip, read_clips
from sttlab.bench.report import surroundings, table
from sttlab.capture.base import Block
from sttlab.config import TranscribeConfig, VadConfig
from sttlab.core import StreamCore
from sttlab.engines import make_engine
from sttlab.evaluate.wer import difference, wer
from sttlab.events import Level, Utterance
from tests.benchmarks import study

AFTER_S = (0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5)
READ_S = (0.1, 0.2)  # of silence heard; from 0.3 s on it is all that the final audio has
BEHIND = np.zeros(SAMPLE_RATE, np.float32)


def main() -> None:
    """Count on a folder of recordings."""
    options = study.options(__doc__)
    before = surroundings()
    clips, _ = read_clips(options.folder, "en", *study.LENGTHS_S)
    pauses, utterances = heard(clips)
    begun = [
        (s, sum(p >= s for p, _ in pauses), sum(end for p, end in pauses if p >= s))
        for s in AFTER_S
    ]
    engine = make_engine(TranscribeConfig(model=options.model, language="en", device="cpu"))
    engine.load()
    texts: dict[float, list[str]] = {after_s: [] for after_s in (0.3, *READ_S)}
    took_s = 0.0
    for number, u in enumerate(utterances, 1):
        for after_s, said in texts.items():
            stop = u.speech_end_sample - u.start_sample + round(after_s * SAMPLE_RATE)
            started = time.process_time()
            said.append(engine.transcribe(u.samples[:stop]).text)
            took_s += time.process_time() - started
        print(f"{number} of {len(utterances)}", file=sys.stderr)
    mean_s = took_s / len(utterances) / len(texts)
    usual = wer(texts[0.3], texts[0.3])
    differ = {}
    for after_s in READ_S:
        changed = sum(a != b for a, b in zip(texts[0.3], texts[after_s], strict=True))
        differ[after_s] = (changed, asdict(difference(usual, wer(texts[0.3], texts[after_s]))))
    result: dict[str, Any] = {"before": before, "begun": begun, "cpu_s": mean_s, "differ": differ}
    rows = [
        (
            f"{after_s:g} s",
            str(count),
            f"{1 - final / count:.0%}",
            f"{(count - final) * mean_s / final:.2f}",
            f"{differ[after_s][0]} of {len(utterances)}" if after_s in differ else "–",
        )
        for after_s, count, final in begun
    ]
    header = ("begins after", "attempts", "in vain", "their CPU s per utterance", "other text")
    study.write(options.output / f"speculation-{options.model}", result, table(header, rows))


def heard(clips: list[Clip]) -> tuple[list[tuple[float, bool]], list[Utterance]]:
    """Give every pause in speech, with whether it became an end, and every utterance."""
    pauses: list[tuple[float, bool]] = []
    utterances: list[Utterance] = []
    for clip in clips:
        core = StreamCore(VadConfig())
        events = core.feed(Block(np.concatenate([clip.samples, BEHIND]))) + core.flush()
        utterances += [e for e in events if isinstance(e, Utterance)]
        levels = [e for e in events if isinstance(e, Level)]
        runs = [(k, list(g)) for k, g in itertools.groupby(levels, key=lambda e: e.state)]
        for (state, run), (then, _) in itertools.pairwise(runs):
            if state == "pause":
                frame_s = levels[1].time_s - levels[0].time_s
                pauses.append((len(run) * frame_s, then == "listening"))
    return pauses, utterances


if __name__ == "__main__":
    main()
