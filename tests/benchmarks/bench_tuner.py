"""Time of a step of a slider on a ten-minute recording.

    python tests/benchmarks/bench_tuner.py

The time is from the slider's move to the last message to the browser: new decisions, and drawing of
thresholds, utterances and rows. The audio is real speech from data/, repeated.
"""

from __future__ import annotations

import statistics
import time
from pathlib import Path
from types import SimpleNamespace

import av
import numpy as np

from sttlab.audio import SAMPLE_RATE
from sttlab.notebook.tuner import VadTuner

MINUTES = 10
TARGET_MS = 50


def read(path: Path) -> np.ndarray:
    """Decode a recording."""
    resampler = av.AudioResampler("flt", "mono", SAMPLE_RATE)
    with av.open(str(path)) as file:
        parts = [part for frame in file.decode(audio=0) for part in resampler.resample(frame)]
    return np.concatenate([part.to_ndarray()[0] for part in parts])


def main() -> None:
    """Print the median and the longest of many steps, for each detector."""
    speech = read(Path(__file__).parents[2] / "data" / "demo-noisy.flac")
    samples = np.resize(speech, MINUTES * 60 * SAMPLE_RATE)
    started = time.perf_counter()
    tuner = VadTuner(SimpleNamespace(samples=samples))
    print(f"opening a recording of {MINUTES} min: {1000 * (time.perf_counter() - started):.0f} ms")
    sliders = tuner._sliders.sliders
    for kind, name, low, high in (
        ("level above the noise", "margin_db", 5.0, 20.0),
        ("level, fixed", "threshold_dbfs", -40.0, -20.0),
        ("Silero", "probability", 0.2, 0.9),
    ):
        tuner._sliders.kind.value = kind
        tuner._painter.settle()
        steps = []
        for value in np.linspace(low, high, 41):
            sliders[name].unobserve_all("value")  # so that sttlab-ui doesn't draw it as well
            started = time.perf_counter()
            sliders[name].value = float(value)
            tuner._paint()
            steps.append(1000 * (time.perf_counter() - started))
        print(
            f"{kind}: median {statistics.median(steps):.0f} ms, longest {max(steps):.0f} ms "
            f"(target {TARGET_MS}), {len(tuner.utterances)} utterances at the end"
        )
    tuner.close()


if __name__ == "__main__":
    main()
