"""A comparison of two runs as text, JSON and HTML."""

from __future__ import annotations

import html
import json
from collections.abc import Iterator
from math import isnan
from typing import TYPE_CHECKING, Any

from sttlab.audio import SAMPLE_RATE, player_html, trace_svg
from sttlab.evaluate.wer import marked
from sttlab.kept.face import TRACED_S, utterances_svg
from sttlab.kept.run import KeptUtterance

if TYPE_CHECKING:
    from sttlab.evaluate.compare import Comparison, Difference

SIGNS = ("−", "+")
HEARD = 60  # differences that a page has the audio of
LONGEST_AUDIO_S = 60.0

STYLE = """
:root { color-scheme: light dark; font: 15px/1.5 system-ui, sans-serif; }
body { max-width: 70rem; margin: 2rem auto; padding: 0 1rem; }
svg { display: block; width: 100%; max-width: none !important; }
table { border-collapse: collapse; width: 100%; }
th, td { padding: 0.4rem 0.6rem; border-bottom: 1px solid #8884; vertical-align: top; }
th { text-align: left; }
figure { margin: 0; } audio { height: 2rem; width: 14rem; }
"""


def text(compared: Comparison) -> str:
    """Write the summary, delays, scores, and a line for each difference."""
    lines = [compared.summary, *(f"note: {notice}" for notice in compared.notices)]
    lines += measured(compared)
    for row in compared.differences:
        lines.append(f"{row.start_s:8.1f} s  {row.kind} {delays_of(row, compared)}".rstrip())
        for sign, side, held in zip("-+", (row.a, row.b), row.held_back, strict=True):
            lines += [f"            {sign} {said(u)}" for u in side]
            lines += [f"            {sign} held back: {each}" for each in held]
    return "\n".join(lines) + "\n"


def measured(compared: Comparison) -> Iterator[str]:
    """Write the delays of both, and each score of both, as lines."""
    told = [f"{d[0]:.2f} s, {d[1]:.2f} s" if d else "not known" for d in compared.delays]
    if any(compared.delays):
        yield f"delay, median and 90 %: {' → '.join(told)}{_mark(compared)}"
    yield from map(str, compared.scores)


def json_line(compared: Comparison) -> str:
    """Write all rows as one JSON object on one line."""
    rows = [
        {
            "kind": row.kind,
            "start_s": row.start_s,
            "end_s": row.end_s,
            "later_s": row.later_s,
            "changed_words": None if row.words is None else row.changed_words,
            "held_back": row.held_back,
            "a": [_values(u) for u in row.a],
            "b": [_values(u) for u in row.b],
        }
        for row in compared.rows
    ]
    scores = [
        {
            "metric": pair.metric,
            "a": _known(pair.a),
            "b": _known(pair.b),
            "difference": _known(pair.difference.estimate),
            "low": _known(pair.difference.low),
            "high": _known(pair.difference.high),
        }
        for pair in compared.scores
    ]
    told = {
        "summary": compared.summary,
        "notices": compared.notices,
        "counts": compared.counts,
        "later_s": compared.later_s,
        "scores": scores,
        "a": {"title": compared.a.title, "simulated": compared.a.simulated},
        "b": {"title": compared.b.title, "simulated": compared.b.simulated},
        "rows": rows,
    }
    return json.dumps(told, ensure_ascii=False, allow_nan=False) + "\n"


def _values(u: KeptUtterance) -> dict[str, Any]:
    names = ("utterance_id", "start_s", "end_s", "reason", "text", "delay_s")
    return {name: getattr(u, name) for name in names}


def _known(value: float) -> float | None:
    return None if isnan(value) else value


def page(compared: Comparison) -> str:
    """Write one page with the audio of differences."""
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{html.escape(compared.summary)}</title><style>{STYLE}</style>"
        f"<body>{body(compared, audio=True)}</body></html>\n"
    )


def body(compared: Comparison, *, audio: bool) -> str:
    """Write what a page or a notebook shows, with the audio of differences or without."""
    source = compared.a.source
    shown_s = min(source.duration_s, TRACED_S)
    parts = [f"<p><b>{html.escape(compared.summary)}</b></p>"]
    parts += [f"<p>⚠ {html.escape(notice)}</p>" for notice in compared.notices]
    parts += [f"<div>{html.escape(line)}</div>" for line in measured(compared)]
    if shown_s:
        parts.append(trace_svg(source.read(0, round(shown_s * SAMPLE_RATE))))
        for run in (compared.a, compared.b):
            parts.append(f"<div><small>{html.escape(run.title)}</small></div>")
            parts.append(utterances_svg(run, shown_s))
    rows = [
        _row(row, compared, audio=audio and i < HEARD) for i, row in enumerate(compared.differences)
    ]
    heads = "".join(f"<th>{head}</th>" for head in ("time", "what", "texts", "words", "delay"))
    parts.append(
        f"<table><thead><tr>{heads}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
        if rows
        else "<p>Nothing differs.</p>"
    )
    return "".join(parts)


def _row(row: Difference, compared: Comparison, *, audio: bool) -> str:
    heard = ""
    if audio and row.end_s - row.start_s <= LONGEST_AUDIO_S:
        heard = player_html(compared.a.source.audio(row.start_s, row.end_s).samples, "")
    lines = []
    for sign, side, held in zip(SIGNS, (row.a, row.b), row.held_back, strict=True):
        lines += [f"{sign} {html.escape(said(u))}" for u in side]
        lines += [f"{sign} held back: {html.escape(each)}" for each in held]
    words = "?" if row.words is None else " ".join(map(marked, row.words))
    return (
        f"<tr><td>{row.start_s:.1f}–{row.end_s:.1f} s{heard}</td><td>{row.kind}</td>"
        f'<td style="text-align:left">{"<br>".join(lines)}</td>'
        f'<td style="text-align:left">{words}</td><td>{delays_of(row, compared)}</td></tr>'
    )


def delays_of(row: Difference, compared: Comparison) -> str:
    """Write the delays of the last texts of both, side by side."""
    last_s = [side[-1].delay_s if side else None for side in (row.a, row.b)]
    if last_s == [None, None]:
        return ""
    told = ["–" if delay_s is None else f"{delay_s:.2f} s" for delay_s in last_s]
    return " → ".join(told) + _mark(compared)


def _mark(compared: Comparison) -> str:
    return " (simulated)" if compared.simulated else ""


def said(u: KeptUtterance) -> str:
    """Write the text of an utterance, or why there is none."""
    return "(not transcribed)" if u.text is None else u.text or "(no words)"
