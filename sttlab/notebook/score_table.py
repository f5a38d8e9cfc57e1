"""The scores of a tuner's settings as a table, and what to move."""

from __future__ import annotations

import html
import math
from collections.abc import Mapping, Sequence

from sttlab.config import VadConfig
from sttlab.evaluate.score import Scores
from sttlab.notebook.look import ONSET, TRUTH, field_label, score_panels
from sttlab.vad import DETECTORS, deciding_fields

SCORES = {  # by the name of a figure, its heading and its meaning
    "utterances": ("spoken", "utterances that the labels hold"),
    "found": ("found", "utterances that the settings find"),
    "missed": ("missed", "spoken, and no part of it found"),
    "false": ("false", "found, and none of it spoken"),
    "fragmented": ("torn", "spoken as one, found as several"),
    "merged": ("merged", "spoken, and found together with another"),
    "cut_off": ("cut off", "ended while it still went on"),
    "onset_clipped_p90_ms": ("clipped", "of the beginning; nine of ten are better"),
    "endpoint_delay_median_ms": ("delay", "from the last word to the decision, median"),
    "precision": ("precision", "part of the found time that is speech"),
    "recall": ("recall", "part of the speech that is found"),
    "detection_error_rate": ("error", "missed speech and false alarms, as a part of all speech"),
}
MORE_IS_BETTER = ("precision", "recall")
NOT_JUDGED = ("utterances", "found")
OVER = (
    "An error over 100 % means that more is wrong than there is speech: missed speech and false "
    "alarms are counted as a part of all labelled speech."
)
TOO_MUCH = 0.03  # share of missed speech above which the tuner advises a lower threshold
NOISY = 0.1  # share of the time without speech in which noise may exceed the threshold
CLIPPED_MS = 50  # longest clipping that needs no advice; a syllable is longer


def score_table(rows: Mapping[str, Scores], before: Scores) -> str:
    """Write scores as HTML, a row for each name, compared with those before."""
    heads = "".join(f'<th title="{doc}">{words}</th>' for words, doc in SCORES.values())
    figures = before.figures()
    lines = "".join(_score_line(name, s.figures(), figures) for name, s in rows.items())
    return f'<table class="sttlab-table sttlab-scores"><tr><td></td>{heads}</tr>{lines}</table>'


def threshold_field(config: VadConfig) -> str:
    """Name the field that moves the threshold of the detector of `config`."""
    used = deciding_fields(config)
    fields = DETECTORS[config.detector].fields
    return next(f for f in fields if f in used and getattr(config, f) is not None)


def _score_line(name: str, figures: dict[str, float], before: dict[str, float]) -> str:
    cells = "".join(
        f"<td>{_change(key, figures[key], before[key])}{_figure(key, figures[key])}</td>"
        for key in SCORES
    )
    return f'<tr><th class="sttlab-text">{name}</th>{cells}</tr>'


def _figure(key: str, value: float) -> str:
    """Write a score with its unit."""
    if math.isnan(value):
        return "–"
    if key.endswith("_ms"):
        return f"{value:.0f} ms"
    return f"{value:.1%}" if isinstance(value, float) else f"{value}"


def _change(key: str, value: float, before: float) -> str:
    """Draw an arrow for a score that has risen or fallen, in a colour for better or worse."""
    if key in NOT_JUDGED or _figure(key, value) == _figure(key, before) or math.isnan(before):
        return ""
    up = value > before
    good = up == (key in MORE_IS_BETTER)
    words, color = ("better", TRUTH) if good else ("worse", ONSET)
    arrow = "▲" if up else "▼"
    return f'<span title="{words}" aria-label="{words}" style="color:{color}">{arrow}</span> '


def advice(scores: Scores, noise: float, config: VadConfig, whole_s: Sequence[float] = ()) -> str:
    """Say what is worst, and which slider to move.

    `noise` is the share of the time without speech in which scores exceed the threshold, and
    `whole_s` are the silence timeouts that would not tear one utterance each, the least first.
    """
    used = deciding_fields(config)
    name = field_label(threshold_field(config))
    figures = scores.figures()
    clipped_ms, delay_ms = figures["onset_clipped_p90_ms"], figures["endpoint_delay_median_ms"]
    missed_s = scores.speech_s - scores.hit_s
    rather = ""
    if "margin_db" in used:
        rather = ", or press <b>Calibrate</b>"
    elif not score_panels(config.detector):
        others = [d.label for d in DETECTORS.values() if score_panels(d.name)]
        rather = "".join(f", or take <b>{html.escape(label)}</b>" for label in others[:1])
    known = [
        (
            scores.missed or scores.missed_speech_rate > TOO_MUCH,
            f"{missed_s:.1f} s of speech are missed",
            f"<b>{name}</b> down",
        ),
        (
            noise > NOISY,
            f"While nobody speaks, noise is above the threshold {noise:.0%} of the time",
            f"<b>{name}</b> up{rather}",
        ),
        (
            scores.false,
            f"{_count(scores.false, 'holds', 'hold')} no speech",
            f"<b>{field_label('min_speech_s')}</b> up, or <b>{name}</b>",
        ),
        (
            scores.merged,
            f"{_count(scores.merged, 'runs', 'run')} together",
            f"<b>{field_label('silence_timeout_s')}</b> down",
        ),
        (
            scores.fragmented or scores.cut_off,
            f"{_count(max(scores.fragmented, scores.cut_off), 'is', 'are')} torn or cut off",
            f"<b>{field_label('silence_timeout_s')}</b> up{_how_far(whole_s)}",
        ),
        (
            clipped_ms > CLIPPED_MS,
            f"Beginnings are clipped by up to {clipped_ms:.0f} ms",
            f"<b>{field_label('pre_roll_s')}</b> up",
        ),
    ]
    wrong = [f"{symptom}: move {remedy}." for there, symptom, remedy in known if there]
    if wrong:
        return wrong[0]
    wait = "" if math.isnan(delay_ms) else f", and each text waits {delay_ms:.0f} ms for its end"
    return (
        f"By the labels, nothing is wrong{wait}: <b>{field_label('silence_timeout_s')}</b> down is "
        "quicker, until utterances are torn."
    )


def _how_far(whole_s: Sequence[float]) -> str:
    """Say to which silence timeouts to go."""
    if not whole_s:
        return ""
    least, most = f"{whole_s[0]:.2f} s", f"{whole_s[-1]:.2f} s"
    return f", to {least}" + ("" if least == most else f" for one, {most} for {len(whole_s)}")


def _count(number: int, one: str, many: str) -> str:
    """Write a number of utterances with its verb."""
    return f"{number} utterance {one}" if number == 1 else f"{number} utterances {many}"
