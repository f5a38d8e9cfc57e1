"""How well the detectors find speech: by frames, by utterances and by words.

    python -m tests.benchmarks.bench_vad FOLDER [--model tiny.en] [--output bench-results]

Takes the labelled recordings of FOLDER and of the folders in it: those with a `.rttm` or a
`.TextGrid` of the same name, or of the name up to its last dash. If FOLDER also is one for
`sttlab bench`, the sentences of each speaker are joined with known gaps, and its noises show what
is found where nobody speaks. All settings are the defaults. Intervals are of 95 %, by bootstrap
over the recordings.

Compared are the energy VAD as it was until 0.2.0, the one in use, and Silero, if it is installed.
"""

from __future__ import annotations

import json
import sys
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sttlab import vad
from sttlab.audio import FLOOR_DBFS, SAMPLE_RATE, Recording, to_dbfs
from sttlab.bench.material import conversation, read_clips
from sttlab.bench.report import surroundings, table
from sttlab.config import TranscribeConfig, VadConfig
from sttlab.decoding import load
from sttlab.engines import make_engine
from sttlab.engines.base import Engine
from sttlab.errors import MissingExtra, SttlabError
from sttlab.evaluate.labels import Labels, Turn, load_labels
from sttlab.evaluate.score import Scores, pool, score
from sttlab.evaluate.wer import wer
from sttlab.trace import Trace
from sttlab.vad.base import LEVEL, Heard, VoiceDetector
from tests.benchmarks import study

SUFFIXES = (".flac", ".wav", ".ogg", ".opus", ".mp3")
JOINED = 5  # the fewest sentences of a speaker that are joined, and recordings that are a kind
GAPS_S = (0.9, 2.5)
LENGTHS_S = (1.0, 30.0)
BINS = np.arange(-100.0, 100.25, 0.25)  # of scores in dB
RESAMPLES = 1000


class LevelVad(VoiceDetector):
    """The energy VAD until 0.2.0: the level of 20 ms above the least of the last six seconds."""

    name = "level-0.2.0"
    label = "level of 0.2.0"
    doc = "the level of all that is heard"
    frame_samples = 320
    scale = LEVEL
    fields = ("threshold_dbfs", "margin_db", "hysteresis_db")

    def __init__(self, config: VadConfig) -> None:
        super().__init__(config)
        self._recent: deque[float] = deque(maxlen=12)

    def hear(self, frames: NDArray[np.float32]) -> Heard:
        """Measure a whole recording at once."""
        levels = to_dbfs(np.square(frames, dtype=np.float64).mean(axis=1))
        floors = [-60.0]
        for chunk in np.sort(levels[: len(levels) // 25 * 25].reshape(-1, 25)):
            heard = chunk[chunk > FLOOR_DBFS]
            if len(heard):
                self._recent.append(float(heard[int(0.1 * len(heard))]))
            known = sorted(self._recent)
            floors.append(known[1] if len(known) >= 4 else min([-60.0, *known]))
        return Heard(levels, levels, np.repeat(floors, 25)[: len(levels)])

    @staticmethod
    def onset(heard: Heard, config: VadConfig) -> NDArray[np.float64]:
        """Level at which speech begins."""
        if config.threshold_dbfs is not None:
            return np.full(len(heard.score), config.threshold_dbfs)
        assert heard.floor is not None
        return np.maximum(heard.floor + config.margin_db, -55.0)

    @staticmethod
    def offset(onset: NDArray[np.float64], config: VadConfig) -> NDArray[np.float64]:
        """Level below which speech ends."""
        return onset - config.hysteresis_db


@dataclass(frozen=True)
class LabelledAudio:
    """A recording with its labels and, if it is known, its text."""

    name: str
    kind: str
    samples: NDArray[np.float32]
    labels: Labels
    text: str = ""


@dataclass
class Found:
    """What a detector makes of the recordings of one kind, one entry for each of them."""

    scores: list[Scores] = field(default_factory=list)
    frames: list[NDArray[np.float64]] = field(default_factory=list)
    words: list[tuple[int, int]] = field(default_factory=list)
    cpu_s: float = 0.0
    audio_s: float = 0.0


def labelled(folder: Path) -> Iterator[LabelledAudio]:
    """Read the recordings that have labels."""
    texts = _texts(folder)
    paths = [path for path in sorted(folder.rglob("*")) if path.suffix.lower() in SUFFIXES]
    counts = Counter(map(_series, paths))
    for path in paths:
        stems = path.stem, path.stem.rpartition("-")[0] or path.stem
        files = [path.with_name(stem + end) for stem in stems for end in (".rttm", ".TextGrid")]
        known = [file for file in files if file.exists()]
        if not known:
            continue
        words = [path.with_name(f"{stem}.txt") for stem in stems]
        text = next((w.read_text(encoding="utf-8") for w in words if w.exists()), "")
        try:
            labels, samples = load_labels(known[0]), load(path).samples
        except SttlabError as error:
            print(f"left out: {error}", file=sys.stderr)
            continue
        kind = _series(path) if counts[_series(path)] >= JOINED else "others"
        yield LabelledAudio(path.stem, kind, samples, labels, text or texts.get(path.name, ""))


def _series(path: Path) -> str:
    """Return the name that numbered recordings share, such as meeting-1 to meeting-5."""
    return path.stem.rstrip("-_0123456789")


def _texts(folder: Path) -> dict[str, str]:
    manifest = folder / "manifest.jsonl"
    if not manifest.exists():
        return {}
    entries = [json.loads(line) for line in manifest.read_text(encoding="utf-8").splitlines()]
    return {Path(e["file"]).name: e.get("text") or "" for e in entries if e.get("lang") == "en"}


def joined(folder: Path) -> Iterator[LabelledAudio]:
    """Join the sentences of each speaker, and take each noise as a recording without speech."""
    clips, noises = read_clips(folder, "en", *LENGTHS_S)
    speakers: dict[str, list[Any]] = {}
    for clip in clips:
        speakers.setdefault(clip.name.rpartition("-")[0], []).append(clip)
    for name, mine in speakers.items():
        if name and len(mine) >= JOINED:
            samples, truths = conversation(mine, len(mine), 1, GAPS_S)
            turns = [Turn(start_s=t.start_s, end_s=t.end_s) for t in truths]
            text = " ".join(t.text for t in truths)
            yield LabelledAudio(name, "joined sentences", samples, Labels(turns), text)
    for noise in noises:
        yield LabelledAudio(noise.name, "noise", noise.samples, Labels())


def measure(audio: LabelledAudio, config: VadConfig, engine: Engine, found: Found) -> None:
    """Add what a detector finds in a recording."""
    started = time.process_time()
    trace = Trace(Recording(audio.samples))
    began = time.process_time()
    heard = trace.heard(config.detector)
    utterances = trace.utterances(config)
    since = started if config.detector == VadConfig().detector else began
    found.cpu_s += time.process_time() - since
    found.audio_s += trace.duration_s
    found.scores.append(score(utterances, audio.labels, duration_s=trace.duration_s))
    above = heard.score if heard.floor is None else heard.score - heard.floor
    scaled = above if heard.floor is not None else 100 * above
    found.frames.append(_histograms(scaled, audio.labels, vad.DETECTORS[config.detector]))
    if audio.text:
        text = " ".join(engine.transcribe(u.samples).text for u in utterances)
        errors = wer(audio.text, text)
        wrong = errors.substitutions + errors.deletions + errors.insertions
        found.words.append((wrong, errors.words))


def _histograms(
    scores: NDArray[np.float64], labels: Labels, detector: type[VoiceDetector]
) -> NDArray[np.float64]:
    """Count frames by score, without speech and with it: shape (2, bins)."""
    frame_s = detector.frame_samples / SAMPLE_RATE
    middles_s = (np.arange(len(scores)) + 0.5 - detector.delay_frames) * frame_s
    speech = np.zeros(len(scores), bool)
    for start_s, end_s in labels.speech:
        speech |= (middles_s >= start_s) & (middles_s < end_s)
    kept = middles_s > 0
    return np.stack(
        [np.histogram(scores[kept & (speech == s)], BINS)[0] for s in (False, True)]
    ).astype(np.float64)


def auc(histograms: Sequence[NDArray[np.float64]]) -> float:
    """Return the area under the ROC curve: how often a frame of speech scores above another."""
    other, speech = np.sum(histograms, axis=0)
    below = np.cumsum(other) - other / 2
    total = other.sum() * speech.sum()
    return float((below * speech).sum() / total) if total else float("nan")


def interval(values: Sequence[Any], of: Callable[[list[Any]], float]) -> tuple[float, float]:
    """Return the 95 % interval of a figure, by bootstrap over recordings."""
    rng = np.random.default_rng(1)
    picks = rng.integers(0, len(values), (RESAMPLES, len(values)))
    low, high = np.nanpercentile([of([values[i] for i in pick]) for pick in picks], [2.5, 97.5])
    return float(low), float(high)


def _error(scores: Sequence[Scores]) -> float:
    return pool(scores).detection_error_rate


def _rate(words: Sequence[tuple[int, int]]) -> float:
    wrong, said = np.sum(words, axis=0)
    return float(wrong / said)


def figures(found: Found) -> dict[str, Any]:
    """Return all figures of a detector on one kind of recording."""
    scores = pool(found.scores).figures()
    result: dict[str, Any] = {**scores, "recordings": len(found.scores)}
    rates = [s.detection_error_rate for s in found.scores]
    result["mean_detection_error_rate"] = float(np.mean(rates))
    result["found_s_per_minute"] = 60 * sum(_found_s(s) for s in found.scores) / found.audio_s
    result["cpu_s_per_hour"] = 3600 * found.cpu_s / found.audio_s
    result["auc"] = auc(found.frames)
    result["intervals"] = {
        "auc": interval(found.frames, auc),
        "detection_error_rate": interval(found.scores, _error),
    }
    if found.words:
        result["wer"] = _rate(found.words)
        result["intervals"]["wer"] = interval(found.words, _rate)
    return result


def _found_s(scores: Scores) -> float:
    return scores.hit_s + scores.false_alarm_s


def rows(kind: str, name: str, f: dict[str, Any]) -> list[str]:
    """Write one row of the table."""

    def between(figure: str, digits: int, times: float = 1) -> str:
        if figure not in f or np.isnan(f[figure]):
            return "–"
        low, high = (times * v for v in f["intervals"][figure])
        return f"{times * f[figure]:.{digits}f} ({low:.{digits}f}–{high:.{digits}f})"

    counts = [f[name] for name in ("missed", "false", "fragmented", "merged", "cut_off")]
    spoken = f["utterances"] > 0
    delay = f["endpoint_delay_median_ms"], f["endpoint_delay_p90_ms"]
    return [
        f"{kind} ({f['recordings']})",
        name,
        between("auc", 3) if spoken else "–",
        f"{f['utterances']} / {f['found']}",
        " / ".join(str(n) for n in counts),
        f"{between('detection_error_rate', 2)}; {f['mean_detection_error_rate']:.2f}"
        if spoken
        else f"{f['found_s_per_minute']:.0f} s a minute",
        f"{f['precision']:.2f} / {f['recall']:.2f}" if spoken else "–",
        f"{f['onset_clipped_p90_ms']:.0f}" if spoken else "–",
        "–" if np.isnan(delay[0]) else f"{delay[0]:.0f} / {delay[1]:.0f}",
        between("wer", 1, 100),
        f"{f['cpu_s_per_hour']:.1f}",
    ]


HEADER = (
    *("recordings", "detector", "frame AUC", "spoken / found"),
    *("missed / false / fragmented / merged / cut off", "detection error rate; mean"),
    *("precision / recall", "onset clipped, p90, ms"),
    *("endpoint delay, median / p90, ms", "WER, %", "CPU s an hour"),
)


def detectors() -> dict[str, VadConfig]:
    """Name the detectors that are compared, with their default settings."""
    vad.DETECTORS[LevelVad.name] = LevelVad
    compared = {
        "energy, 0.2.0": VadConfig(detector=LevelVad.name, margin_db=8, hysteresis_db=4),
        "energy": VadConfig(),
        "Silero": VadConfig(detector="silero"),
    }
    try:
        vad.require_detector(compared["Silero"])
    except MissingExtra:
        del compared["Silero"]
    return compared


def run(folder: Path, model: str) -> dict[str, dict[str, dict[str, Any]]]:
    """Measure every detector on every kind of recording."""
    found: dict[str, dict[str, Found]] = {}
    engine = make_engine(TranscribeConfig(model=model, language="en", device="cpu"))
    compared = detectors()
    for source in (labelled, joined):
        for audio in source(folder):
            print(f"{audio.kind}: {audio.name}", file=sys.stderr)
            of_kind = found.setdefault(audio.kind, {name: Found() for name in compared})
            for name, config in compared.items():
                measure(audio, config, engine, of_kind[name])
    engine.close()
    return {
        kind: {name: figures(f) for name, f in of_kind.items()} for kind, of_kind in found.items()
    }


def main() -> None:
    """Measure a folder, and write the table."""
    options = study.options(__doc__)
    before = surroundings()
    kinds = run(options.folder, options.model)
    if not kinds:
        raise SystemExit(f"{options.folder} holds no recording with an .rttm or .TextGrid")
    lines = [rows(kind, name, f) for kind, by in kinds.items() for name, f in by.items()]
    result = {"before": before, "kinds": kinds}
    study.write(options.output / "vad", result, table(HEADER, lines))


if __name__ == "__main__":
    main()
