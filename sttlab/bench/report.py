"""Figures, tables and charts of the measurements, with the state of the machine."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np
import psutil

from sttlab.bench.files import FileRun
from sttlab.bench.live import Run
from sttlab.bench.material import Clip, Stimulus
from sttlab.bench.score import Matched, Outcome, match, spread
from sttlab.evaluate.wer import wer
from sttlab.machine import processor, versions

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Figures = dict[str, Any]

PACKAGES = (
    "sttlab",
    "numpy",
    "torch",
    "openai-whisper",
    "faster-whisper",
    "ctranslate2",
    "RealtimeSTT",
    "websockets",
    "uvicorn",
)
LIMITS = (  # variables that keep libraries from instructions that the processor has
    "ATEN_CPU_CAPABILITY",
    "ONEDNN_MAX_CPU_ISA",
    "MKL_ENABLE_INSTRUCTIONS",
    "CT2_FORCE_CPU_ISA",
)
STAGES = (  # the stages of a delay, in order of time
    "end found late",
    "silence timeout",
    "waiting beyond it",
    "capture",
    "queue",
    "decode",
    "send",
)


def surroundings() -> Figures:
    """Return versions, machine and load, on which figures depend besides the code."""
    return {
        "versions": versions(PACKAGES),
        "platform": platform.platform(),
        "processor": processor(),
        "vector_instructions": vector_instructions(),
        "limited_by": {name: os.environ[name] for name in LIMITS if name in os.environ},
        "cores": os.cpu_count(),
        "memory_gb": round(psutil.virtual_memory().total / 1e9, 1),
        "load_average_1_min": psutil.getloadavg()[0],
    }


def vector_instructions() -> str:
    """Name the widest vector instructions that the processor has, as NumPy finds them."""
    built: Any = np.show_config(mode="dicts")
    known = built["SIMD Extensions"]
    widest = [*known.get("baseline", []), *known.get("found", [])][-1:]
    # NumPy 2.4 counts levels of x86-64: https://gitlab.com/x86-psABIs/x86-64-ABI
    return {"X86_V3": "AVX2", "X86_V4": "AVX-512"}.get(*widest, *widest) if widest else "none"


def machine(before: Figures, after: Figures) -> str:
    """Say in a line on what was measured, from `surroundings` before and after."""
    limited = "".join(f", {name}={value}" for name, value in after["limited_by"].items())
    load = " to ".join(f"{around['load_average_1_min']:.1f}" for around in (before, after))
    return (
        f"{after['processor']} with {after['vector_instructions']}{limited}, "
        f"{after['cores']} cores, load average {load}"
    )


def describe(stimulus: Stimulus, distinct: int) -> Figures:
    """Describe what was played: `distinct` clips, some of them more than once if they are few."""
    return {
        "utterances": len(stimulus.truths),
        "distinct_clips": distinct,
        "speech_part_s": stimulus.speech_s,
        "speech_s": sum(t.end_s - t.start_s for t in stimulus.truths),
        "noises": [asdict(n) for n in stimulus.noises],
    }


def live_figures(
    run: Run, stimulus: Stimulus, offline: Sequence[str] | None, language: str
) -> Figures:
    """Compute the figures of one system's run.

    Parameters
    ----------
    offline : sequence of str, optional
        The same engine's transcript of each utterance on its own.
    """
    found = match(stimulus.truths, run.said)
    delays = [o.delay_s for o in found.outcomes if o.delay_s is not None]
    in_noise = [s for s in found.hallucinated if s.end_s > stimulus.speech_s]
    cut = [o for o in found.outcomes if len(o.texts) > 1]
    references = [t.text for t in stimulus.truths]
    return {
        "system": run.system,
        "silence_timeout_s": run.timeout_s,
        "utterances": len(stimulus.truths),
        "delay_s": spread(delays),
        "added_s": spread([d - run.timeout_s for d in delays]),
        "shown_s": spread([o.shown_s for o in found.outcomes if o.shown_s is not None]),
        "first_shown_s": spread(
            [o.first_shown_s for o in found.outcomes if o.first_shown_s is not None]
        ),
        "wer_live": _wer(*zip(*found.pairs, strict=True), language=language),
        "wer_offline": _wer(references, offline, language=language) if offline else None,
        "cut": len(cut),
        "cut_without_a_pause": sum(o.truth.longest_pause_s < run.timeout_s for o in cut),
        "merged": sum(o.merged for o in found.outcomes),
        "missed": sum(not o.texts for o in found.outcomes),
        "hallucinated": len(found.hallucinated) - len(in_noise),
        "hallucinated_in_noise": [_hallucination(s.text, s.start_s, stimulus) for s in in_noise],
        "noise_s": sum(n.end_s - n.start_s for n in stimulus.noises),
        "suppressed": len(run.suppressed),
        "stable_words": found.stable_words,
        "contradicted_words": found.contradicted_words,
        "late_partials": found.late_partials,
        "stages_s": _median_stages(found, run.timeout_s),
        "cpu_s_per_audio_s": run.cpu_per_audio_s,
        "peak_mb": run.peak_mb,
        "ready_s": run.ready_s,
        "fed_late_s": run.fed_late_s,
        "others_cores": run.others_cores,
        "outcomes": [_outcome(o, run.timeout_s) for o in found.outcomes],
    }


def _wer(references: Sequence[str], texts: Sequence[str], *, language: str) -> Figures:
    score = wer(list(references), list(texts), language=language)
    return {
        "wer": score.wer,
        "substitutions": score.substitutions,
        "deletions": score.deletions,
        "insertions": score.insertions,
        "words": score.words,
        "normaliser": score.normaliser,
    }


def _hallucination(text: str, start_s: float, stimulus: Stimulus) -> Figures:
    during = [n for n in stimulus.noises if n.start_s <= start_s + 0.5 < n.end_s]
    noise = f"{during[0].name} at {during[0].level_dbfs:.0f} dBFS" if during else "room"
    return {"text": text, "noise": noise}


def _outcome(outcome: Outcome, timeout_s: float) -> Figures:
    return asdict(outcome) | {"stages_s": stages(outcome, timeout_s)}


def stages(outcome: Outcome, timeout_s: float) -> dict[str, float] | None:
    """Split an utterance's delay into STAGES; None if the system does not report timings.

    The first stage is the time from the true end of speech to the end that the system finds, which
    may be negative.
    """
    timings = outcome.timings
    if timings is None or outcome.delay_s is None:
        return None
    pause_s = timings["pause_s"]
    return {
        "end found late": outcome.delay_s - timings["delay_s"] - timings["send_s"],
        "silence timeout": min(pause_s, timeout_s),
        "waiting beyond it": max(0.0, pause_s - timeout_s),
        "capture": timings["capture_s"],
        "queue": timings["queue_s"],
        "decode": timings["decode_s"],
        "send": timings["send_s"],
    }


def _median_stages(found: Matched, timeout_s: float) -> dict[str, float] | None:
    each = [s for o in found.outcomes if (s := stages(o, timeout_s))]
    middles = {name: spread([s[name] for s in each]) for name in STAGES}
    return {name: m["median"] for name, m in middles.items() if m} or None


def live_table(systems: Sequence[Figures]) -> str:
    """Compare the systems in a Markdown table; times are in seconds."""
    header = (
        "system",
        "end of speech to text: median / p90 / p95",
        "minus its timeout",
        "shown",
        "first partial",
        "stable words contradicted",
        "WER live (S D I of N)",
        "WER offline",
        "cut, merged, missed, hallucinated",
        "hallucinated in noise",
        "CPU s per audio s",
        "peak MB",
    )
    rows = [
        (
            f"{f['system']} ({f['silence_timeout_s']:g} s)",
            _three(f["delay_s"]),
            _three(f["added_s"]),
            _one(f["shown_s"]),
            _one(f["first_shown_s"]),
            f"{f['contradicted_words']} of {f['stable_words']}" if f["stable_words"] else "–",
            _rate(f["wer_live"], detail=True),
            _rate(f["wer_offline"]),
            f"{f['cut']}, {f['merged']}, {f['missed']}, {f['hallucinated']}",
            f"{len(f['hallucinated_in_noise'])} in {f['noise_s']:.0f} s" if f["noise_s"] else "–",
            f"{f['cpu_s_per_audio_s']:.2f}",
            f"{f['peak_mb']:.0f}",
        )
        for f in systems
    ]
    return table(header, rows)


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Write a Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _three(value: dict[str, float] | None) -> str:
    return " / ".join(f"{v:.2f}" for v in value.values()) if value else "–"


def _one(value: dict[str, float] | None) -> str:
    return f"{value['median']:.2f}" if value else "–"


def _rate(score: Figures | None, detail: bool = False) -> str:
    if score is None:
        return "–"
    text = f"{score['wer']:.1%}"
    if detail:
        counts = " ".join(str(score[k]) for k in ("substitutions", "deletions", "insertions"))
        text += f" ({counts} of {score['words']})"
    return text


def live_chart(systems: Sequence[Figures]) -> Figure:
    """Draw the delay of every utterance, and the stages of sttlab's delays."""
    from matplotlib.figure import Figure

    ours = [f for f in systems if f["stages_s"]]
    panels = 2 if ours else 1
    figure = Figure(figsize=(5.5 * panels, 4.5), layout="constrained")
    axes = figure.subplots(1, panels, squeeze=False)[0]
    _draw_delays(axes[0], systems)
    if ours:
        _draw_stages(axes[1], ours[0])
    return figure


def _draw_delays(axes: Any, systems: Sequence[Figures]) -> None:
    for row, figures in enumerate(systems):
        delays = [o["delay_s"] for o in figures["outcomes"] if o["delay_s"] is not None]
        axes.plot(delays, [row] * len(delays), "o", alpha=0.5, markersize=5)
        axes.plot([figures["silence_timeout_s"]] * 2, [row - 0.3, row + 0.3], "k:")
        if middle := figures["delay_s"]:
            axes.plot([middle["median"]] * 2, [row - 0.3, row + 0.3], "k-")
            axes.annotate(
                f"{middle['median']:.2f} s",
                (middle["median"], row - 0.3),
                ha="center",
                va="bottom",
                fontsize=8,
            )
    axes.set_yticks(range(len(systems)), [f["system"] for f in systems])
    axes.set_ylim(len(systems) - 0.4, -0.6)
    axes.set_xlim(left=0)
    axes.set_xlabel("end of speech to text, s (bar: median; dotted: silence timeout)")


def _draw_stages(axes: Any, figures: Figures) -> None:
    from sttlab.notebook.look import DELAYS, FOUND, TRUTH, WAVEFORM
    from sttlab.notebook.plots import draw_delays

    others = {"end found late": WAVEFORM, "waiting beyond it": FOUND, "send": TRUTH}
    colors = others | DELAYS
    each = [o["stages_s"] for o in figures["outcomes"] if o["stages_s"]]
    draw_delays(axes, each, {name: colors[name] for name in STAGES})
    axes.axvline(0, color="black", linewidth=0.8)
    axes.invert_yaxis()
    axes.set_ylabel("utterance")
    axes.set_xlabel(f"{figures['system']}: seconds after the true end of speech")
    axes.legend(fontsize=7, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=4)


def file_figures(run: FileRun, kind: str, clips: Sequence[Clip], language: str) -> Figures:
    """Compute the figures of one engine on one kind of recordings."""
    audio_s = sum(clip.duration_s for clip in clips)
    return {
        "engine": run.engine,
        "material": kind,
        "audio_s": audio_s,
        "recordings": [clip.name for clip in clips],
        "rtf": run.wall_s / audio_s,
        "cpu_s_per_audio_s": run.cpu_s / audio_s,
        "wer": _wer([clip.text for clip in clips], run.texts, language=language),
        "ready_s": run.ready_s,
        "peak_mb": run.peak_mb,
        "texts": run.texts,
    }


def file_table(engines: Sequence[Figures]) -> str:
    """Compare the engines in a Markdown table; RTF is wall time over audio time."""
    header = ("engine", "recordings", "RTF", "CPU s per audio s", "WER (S D I of N)", "peak MB")
    rows = [
        (
            f["engine"],
            f"{f['material']}, {f['audio_s']:.0f} s",
            f"{f['rtf']:.3f}",
            f"{f['cpu_s_per_audio_s']:.3f}",
            _rate(f["wer"], detail=True),
            f"{f['peak_mb']:.0f}",
        )
        for f in engines
    ]
    return table(header, rows)


def file_chart(engines: Sequence[Figures]) -> Figure:
    """Draw speed against accuracy, a panel for each kind of recording."""
    from matplotlib.figure import Figure

    kinds = list(dict.fromkeys(f["material"] for f in engines))
    names = list(dict.fromkeys(f["engine"] for f in engines))
    figure = Figure(figsize=(4.5 * len(kinds), 4.8), layout="constrained")
    panels = figure.subplots(1, len(kinds), squeeze=False)[0]
    for axes, kind in zip(panels, kinds, strict=True):
        shown = [f for f in engines if f["material"] == kind]
        for f in shown:
            at = (f["rtf"], 100 * f["wer"]["wer"])
            number = names.index(f["engine"])
            mark = "s" if f["engine"] == "sttlab" else "o"
            axes.plot(*at, mark, color=f"C{number}", markersize=8, label=f["engine"])
        axes.set_title(kind, fontsize=10)
        axes.set_xlabel("RTF: processing time / audio time")
        axes.set_ylabel("WER, %")
        axes.set_xlim(0, 1.1 * max(f["rtf"] for f in shown))
        axes.set_ylim(0, 1.1 * max(100 * f["wer"]["wer"] for f in shown) or 1)
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return figure
