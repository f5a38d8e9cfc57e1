"""The texts under a monitor's picture, as HTML: the table, its delays, and what was held back."""

from __future__ import annotations

import html
from collections.abc import Sequence

from sttlab.audio import SAMPLE_RATE, player_html
from sttlab.events import (
    DeviceLost,
    DeviceRestored,
    DeviceSilent,
    Event,
    Notice,
    SamplesLost,
    SessionFailed,
    SourceEnded,
    Suppressed,
    Transcript,
    TranscriptionFailed,
    Utterance,
)
from sttlab.notebook.look import DELAYS, delay_parts

LONGEST_S = 5.0  # the longest delay that a bar shows; a longer one is cut and marked
LEAST_S = 1.0  # the shortest delay that fills a bar


def words_of(event: Event) -> str | None:
    """Describe an event that a person should know of; None for others."""
    if isinstance(event, DeviceLost | DeviceSilent | Notice | SessionFailed | TranscriptionFailed):
        return event.message
    if isinstance(event, DeviceRestored):
        return f"{event.device} is back"
    if isinstance(event, SamplesLost):
        return f"{event.count / 16:.0f} ms of audio were lost at {event.time_s:.1f} s"
    if isinstance(event, SourceEnded):
        return f"the source ended after {event.time_s:.1f} s"
    return None


def table_of(texts: Sequence[Transcript], partial_text: str) -> str:
    """Write transcripts and their delays, the last one first."""
    if not texts and not partial_text:
        return "<i>no text yet</i>"
    scale_s = min(max([LEAST_S, *(t.delay_s for t in texts)]), LONGEST_S)
    rows = (
        [f"<tr><td></td><td><i>{html.escape(partial_text)}</i></td></tr>"] if partial_text else []
    )
    run = texts[-1].run if texts else 0
    for t in reversed(texts):
        if t.run != run:
            run = t.run
            rows.append('<tr><td></td><td class="sttlab-text"><i>before, in start ')
            rows.append(f"{run} of the session:</i></td></tr>")
        rows.append(
            f"<tr><td>{t.start_s:.1f} s</td>"
            f'<td class="sttlab-text">{html.escape(t.text)}</td>'
            f"<td>{t.delay_s:.2f} s</td><td>{_bar(t, scale_s)}</td><td>{t.confidence:.2f}</td></tr>"
        )
    return (
        f'<div class="sttlab-delays">{_legend(texts, scale_s)}</div>'
        '<table class="sttlab-table sttlab-texts"><tr><th>at</th><th class="sttlab-text">text</th>'
        '<th>delay</th><th><span class="sttlab-unseen">parts of the delay</span></th>'
        f"<th>confidence</th></tr>{''.join(rows)}</table>"
    )


def _legend(texts: Sequence[Transcript], scale_s: float) -> str:
    """Name the colours of the bars and their scale, and say so if one is cut."""
    signs = [
        f'<span class="sttlab-nowrap"><span style="color:{c}">■</span> {name}</span>'
        for name, c in DELAYS.items()
    ]
    scale = f"bars end at {scale_s:.1f} s"
    if any(t.delay_s > scale_s for t in texts):
        scale += "; ▸ is longer"
    return " ".join([*signs, f'<span class="sttlab-nowrap">{scale}</span>'])


def _bar(t: Transcript, scale_s: float) -> str:
    """Draw the parts of a transcript's delay as a bar."""
    parts = delay_parts(t)
    words = ", ".join(f"{seconds:.2f} s {name}" for name, seconds in parts.items())
    bars, drawn_s = [], 0.0
    for name, seconds in parts.items():
        length_s = max(0.0, min(seconds, scale_s - drawn_s))
        drawn_s += length_s
        bars.append(f'<i style="width:{100 * length_s / scale_s:.1f}%;background:{DELAYS[name]}">')
    cut = "▸" if t.delay_s > scale_s + 0.005 else ""
    return (
        f'<span class="sttlab-bar" role="img" aria-label="{words}" title="{words}">'
        f"<span>{'</i>'.join([*bars, ''])}</span>{cut}</span>"
    )


def held_html(event: Suppressed, utterance: Utterance | None) -> str:
    """Write a suppressed text and its reason, with a player of its audio."""
    words = f"{event.start_s:.1f} s: “{event.text}” – {event.reason}"
    if utterance is None:
        return f"<li>{html.escape(words)}</li>"
    edges = (round((s - utterance.start_s) * SAMPLE_RATE) for s in (event.start_s, event.end_s))
    return f"<li>{player_html(utterance.samples[slice(*edges)], words)}</li>"


def ledger_of(held_back: Sequence[str]) -> str:
    """List what was held back, if anything was."""
    if not held_back:
        return ""
    items = "".join(reversed(held_back))
    return f"<details><summary>{len(held_back)} held back</summary><ul>{items}</ul></details>"
