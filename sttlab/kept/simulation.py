"""How late texts would have been: one engine that serves a session's utterances in turn."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from sttlab.audio import SAMPLE_RATE
from sttlab.config import VadConfig
from sttlab.kept.run import KeptUtterance, Original
from sttlab.live.speculation import Need, fit_line


def simulate(
    kept: Original,
    utterances: Sequence[KeptUtterance],
    settings: Sequence[tuple[float, VadConfig]],
) -> list[KeptUtterance]:
    """Give the utterances with the delays that they would have had.

    The pause before the decision is exact. The engine takes what it took for that utterance or, if
    it has not heard it, what it took for others of that length. It begins in the pause as the
    session would have, if that was live, and is at one utterance at a time. Partials and other
    sessions, which may keep it busy, are left out. An engine of which nothing is known takes no
    time.
    """
    took = _engine_time(kept)
    capture = [u.transcript.capture_s for u in kept.utterances if u.transcript]
    capture_s = float(np.median(capture)) if capture else 0.0
    times = [time_s for time_s, _ in settings]
    need, free_at = Need(), 0.0
    made = []
    for u in utterances:
        heard_s = (u.heard_samples or u.end_sample - u.start_sample) / SAMPLE_RATE
        engine_s = took(heard_s) if u.engine_s is None else u.engine_s
        said_at = u.speech_end_sample / SAMPLE_RATE
        decided_at = u.decided_sample / SAMPLE_RATE
        begins_at = decided_at
        if kept.live and u.reason == "silence":
            timeout_s = settings[bisect_right(times, decided_at) - 1][1].silence_timeout_s
            begins_at = min(decided_at, said_at + need.pause_s(heard_s, timeout_s))
        begins_at = max(begins_at, free_at)
        free_at = begins_at + engine_s
        need.add(heard_s, engine_s)
        made.append(_with_delay(u, engine_s, capture_s, max(0.0, free_at - decided_at), begins_at))
    return made


def _with_delay(
    u: KeptUtterance, engine_s: float, capture_s: float, waited_s: float, begins_at: float
) -> KeptUtterance:
    pause_s = (u.decided_sample - u.speech_end_sample) / SAMPLE_RATE
    delay_s = pause_s + capture_s + waited_s
    if not u.transcript:
        return replace(u, delay_s=delay_s)
    decode_s = min(engine_s, waited_s)
    transcript = replace(
        u.transcript,
        pause_s=pause_s,
        capture_s=capture_s,
        load_s=0.0,
        queue_s=waited_s - decode_s,
        decode_s=decode_s,
        delay_s=delay_s,
        engine_s=engine_s,
        guessed=begins_at < u.decided_sample / SAMPLE_RATE,
    )
    return replace(u, transcript=transcript, delay_s=delay_s)


def _engine_time(kept: Original) -> Callable[[float], float]:
    """Return what the engine takes for seconds of audio, by a line through what it took."""
    known = [
        (u.heard_samples / SAMPLE_RATE, u.engine_s)
        for u in kept.utterances
        if u.heard_samples and u.engine_s
    ]
    if not known:
        return lambda _: 0.0
    slope, base_s = fit_line(np.array(known), 0.5)
    return lambda audio_s: max(0.0, base_s + slope * audio_s)
