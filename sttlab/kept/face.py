"""The face of a session or a replay in a notebook: level, utterances, texts, settings."""

from __future__ import annotations

import html
from dataclasses import asdict

from sttlab.audio import SAMPLE_RATE, trace_svg
from sttlab.kept.run import KeptRun, KeptUtterance

TRACED_S = 600.0  # of the beginning, whose level is drawn: it has to be decoded
LISTED = 200  # utterances
WIDTH = 600
WHOLE = 'style="white-space:nowrap"'  # of a cell
COLOURS = ("#2f8fd0", "#e69f00")  # of neighbours


def face(run: KeptRun) -> str:
    """Write it as HTML."""
    kept = run.source
    shown_s = min(kept.duration_s, TRACED_S)
    about = f"{run.title}: {kept.duration_s:.1f} s, {len(run.utterances)} utterances"
    if run.engine:
        about += f", {run.engine}"
    parts = [f"<p><b>{html.escape(about)}</b></p>"]
    parts += [f"<p>⚠ {html.escape(notice)}</p>" for notice in kept.notices]
    if shown_s:
        parts.append(trace_svg(kept.read(0, round(shown_s * SAMPLE_RATE))))
        parts.append(utterances_svg(run, shown_s))
        if shown_s < kept.duration_s:
            parts.append(f"<p>The picture is of the first {shown_s / 60:.0f} minutes.</p>")
    parts.append(_settings(run))
    parts.append(_table(run))
    return "".join(parts)


def utterances_svg(run: KeptRun, duration_s: float) -> str:
    """Draw each utterance as a bar over time, below `trace_svg` of as many seconds."""
    bars = "".join(
        f'<rect x="{u.start_s / duration_s * WIDTH:.1f}" y="1" height="12" rx="2" '
        f'width="{max(1.0, (u.end_s - u.start_s) / duration_s * WIDTH):.1f}" '
        f'fill="{COLOURS[u.utterance_id % 2]}"><title>{html.escape(_about(u))}</title></rect>'
        for u in run.utterances
        if u.start_s < duration_s
    )
    return (
        f'<svg viewBox="-50 0 {WIDTH + 50} 14" style="max-width:{WIDTH + 50}px" role="img" '
        f'aria-label="utterances over time">{bars}</svg>'
    )


def _about(u: KeptUtterance) -> str:
    return f"{u.start_s:.1f} to {u.end_s:.1f} s, ended by {u.reason}: {u.text or '-'}"


def _settings(run: KeptRun) -> str:
    """Say which settings there were, and what changed when."""
    first = asdict(run.settings[0][1])
    lines = [", ".join(f"{k} {v:g}" for k, v in first.items() if isinstance(v, float))]
    before = first
    for time_s, config in run.settings[1:]:
        now = asdict(config)
        changed = ", ".join(f"{k} {v}" for k, v in now.items() if v != before[k])
        lines.append(f"from {time_s:.1f} s on: {changed or 'the same'}")
        before = now
    rows = "".join(f"<li>{html.escape(line)}</li>" for line in lines)
    return f"<details><summary>settings</summary><ul>{rows}</ul></details>"


def _table(run: KeptRun) -> str:
    rows = "".join(_row(u) for u in run.utterances[:LISTED])
    more = len(run.utterances) - LISTED
    rest = f"<p>and {more} more: to_frame() has all</p>" if more > 0 else ""
    delay = "delay, simulated" if run.simulated else "delay"
    return (
        '<table><thead><tr><th>time</th><th style="text-align:left">text</th>'
        f"<th>ended by</th><th>{delay}</th></tr></thead><tbody>{rows}</tbody></table>{rest}"
    )


def _row(u: KeptUtterance) -> str:
    text = html.escape(u.text or "")
    if u.text is None:
        text = "<i>not transcribed</i>"
    text += "".join(
        f"<br><small>held back: {html.escape(s.text)} ({html.escape(s.reason)})</small>"
        for s in u.suppressed
    )
    if u.failed:
        text += f"<br><small>{html.escape(u.failed)}</small>"
    delay = "" if u.delay_s is None else f"{u.delay_s:.2f} s"
    return (
        f"<tr><td {WHOLE}>{u.start_s:.1f}–{u.end_s:.1f} s</td>"
        f'<td style="text-align:left">{text}</td><td>{u.reason}</td><td {WHOLE}>{delay}</td></tr>'
    )
