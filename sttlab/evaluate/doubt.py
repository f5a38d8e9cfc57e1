"""Whether labels can be those of a recording."""

from __future__ import annotations

import numpy as np

from sttlab.audio import SAMPLE_RATE
from sttlab.evaluate.labels import Labels
from sttlab.trace import Trace

LATE_S = 1.0  # by which labels may end after a recording, since tools round


def doubt(labels: Labels, trace: Trace) -> str:
    """Question labels that can't belong to a recording; "" if there is no reason to.

    Labels are in doubt that go on after its end, and speech that is no louder than the rest.
    """
    spans = labels.speech
    if not len(spans) or not len(trace.levels):
        return ""
    last_s = float(spans[-1, 1])
    if last_s > trace.duration_s + LATE_S:
        return (
            f"The labels go on to {last_s:.1f} s, and the recording ends at "
            f"{trace.duration_s:.1f} s: are they those of another one?"
        )
    times_s = np.arange(len(trace.levels)) * trace.step_samples / SAMPLE_RATE
    at = np.searchsorted(spans[:, 0], times_s, "right") - 1
    inside = (at >= 0) & (times_s < spans[np.maximum(at, 0), 1])
    if inside.all() or not inside.any():
        return ""
    if np.median(trace.levels[inside]) > np.median(trace.levels[~inside]):
        return ""
    return (
        "Where the labels say that somebody speaks, the recording is no louder than elsewhere: "
        "are they those of another one?"
    )
