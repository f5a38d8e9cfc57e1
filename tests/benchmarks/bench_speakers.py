"""How well speakers are told apart: on recordings and live, beside other ways.

    python -m tests.benchmarks.bench_speakers FOLDER [--sessions 10] [--seed 200]
        [--output bench-results]

FOLDER has a `manifest.jsonl` with clips of single speakers, of which conversations of four to six
are made, and a folder `labelled` with meetings (`.rttm` and `.uem`). The speakers by whom
thresholds are chosen are not among those by whom they are judged. Beside the way of sttlab:
everybody is one speaker; and embeddings of Resemblyzer, if it is installed, with the same grouping,
whose threshold is chosen in the same way. All at our own VAD, and where the labels have speech.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sttlab.audio import SAMPLE_RATE
from sttlab.bench.report import surroundings, table
from sttlab.config import SpeakerConfig
from sttlab.core import segment
from sttlab.decoding import load
from sttlab.evaluate.labels import Labels, Turn, load_labels
from sttlab.evaluate.live_speaker_score import score_live_speakers
from sttlab.evaluate.speaker_score import SpeakerScores, pool_speaker_scores, score_speakers
from sttlab.events import SpeakersFound, SpeakerTurn, Utterance
from sttlab.speakers.base import Vectors, VoiceEmbedder, frame_count
from sttlab.speakers.campplus import CamPlusPlus
from sttlab.speakers.offline import turns_of
from sttlab.speakers.online import OnlineSpeakers
from sttlab.speakers.overlap import hear_together
from sttlab.speakers.pieces import Piece, VoiceFinder
from tests.benchmarks import study
from tests.benchmarks.speaker_sessions import (
    CHOICE,
    INTERRUPTING_S,
    JUDGED,
    Conversation,
    conversation,
    read_speakers,
)

SAME = tuple(round(0.05 * i, 2) for i in range(2, 19))  # thresholds to choose from
ORACLE_GAP_S = 0.5
WINDOW, MEL_SAMPLES = 160, 160  # of Resemblyzer


class ResemblyzerEmbedder(VoiceEmbedder):
    """Embeddings by Resemblyzer (GE2E), for comparison."""

    name = "resemblyzer"
    label = "Resemblyzer"
    size = 256
    same = 0.7
    extra = "speakers"

    @classmethod
    def require(cls) -> None:
        """Raise ImportError if it is not installed."""
        import resemblyzer  # noqa: F401

    def load(self) -> None:
        """Load the network."""
        import torch
        from resemblyzer import VoiceEncoder

        torch.set_num_threads(1)
        self._network: Any = VoiceEncoder("cpu", verbose=False)

    def hear(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """Embed windows of 1.6 s, every 0.1 s."""
        import torch
        from resemblyzer.audio import normalize_volume, wav_to_mel_spectrogram

        loud = normalize_volume(samples, -30, increase_only=True)
        padded = np.pad(loud, WINDOW * MEL_SAMPLES // 2, mode="wrap")
        mels = wav_to_mel_spectrogram(padded)
        windows = [mels[at : at + WINDOW] for at in range(0, len(mels) - WINDOW + 1, 10)]
        with torch.no_grad():
            found: NDArray[np.float32] = self._network(torch.from_numpy(np.stack(windows))).numpy()
        return found

    def pool(self, heard: NDArray[np.float32], weights: NDArray[np.float32]) -> Vectors:
        """Take the mean of the windows that lie most within each part."""
        middles = np.arange(len(heard)) * 5  # in frames of 20 ms
        reach = WINDOW // 4
        sums = np.pad(np.cumsum(weights, axis=1), ((0, 0), (1, 0)))
        last = weights.shape[1]
        within = (
            sums[:, np.clip(middles + reach, 0, last)] - sums[:, np.clip(middles - reach, 0, last)]
        )
        share = (within >= 0.8 * within.max(axis=1, keepdims=True)).astype(np.float32)
        found = share @ heard
        vectors: Vectors = found / np.linalg.norm(found, axis=1, keepdims=True)
        return vectors


@dataclass(frozen=True, eq=False)
class Heard:
    """The pieces of each utterance of a recording, when it was over, and what finding them took."""

    utterances: tuple[tuple[Piece, ...], ...]
    decided_s: tuple[float, ...]
    took_s: tuple[float, ...]

    @property
    def pieces(self) -> list[Piece]:
        """All of them."""
        return [piece for pieces in self.utterances for piece in pieces]


def hear(talk: Conversation, finder: VoiceFinder, *, oracle: bool) -> Heard:
    """Find the pieces of a recording, by our VAD or by its labels."""
    found, decided, took = [], [], []
    for utterance in _spoken(talk) if oracle else segment(talk.recording):
        began = time.process_time()
        if oracle:
            everywhere = np.arange(frame_count(len(utterance.samples)))
            pieces = finder.split(utterance.samples, everywhere)
            pieces = [piece.wider(0.0, utterance.duration_s, utterance.start_s) for piece in pieces]
        else:
            pieces = finder.find(utterance)
        found.append(tuple(pieces))
        decided.append(utterance.decided_sample / SAMPLE_RATE)
        took.append(time.process_time() - began)
    return Heard(tuple(found), tuple(decided), tuple(took))


def _spoken(talk: Conversation) -> Iterator[Utterance]:
    """Give what the labels have as speech."""
    for number, times in enumerate(talk.labels.utterances(ORACLE_GAP_S)):
        start, stop = (round(float(time_s) * SAMPLE_RATE) for time_s in times)
        yield Utterance(
            utterance_id=number,
            start_sample=start,
            samples=talk.recording.samples[start:stop],
            onset_sample=start,
            speech_end_sample=stop,
            decided_sample=stop,
            reason="silence",
        )


def live(heard: Heard, config: SpeakerConfig) -> list[SpeakersFound]:
    """Return what a session says, if each text comes when its utterance is over.

    Then a speaker is as late as finding it takes, and a correction as the utterance that brings it.
    """
    online = OnlineSpeakers(config)
    events: list[SpeakersFound] = []
    free_s = 0.0
    for number, pieces in enumerate(heard.utterances):
        free_s = max(free_s, heard.decided_s[number]) + heard.took_s[number]
        known = {event.utterance_id for event in events}
        events += [
            SpeakersFound(
                utterance_id=i, turns=turns, revised=i in known, late_s=free_s - heard.decided_s[i]
            )
            for i, turns in online.add(number, pieces).items()
        ]
    return events


def whole_turns(labels: Labels) -> Labels:
    """Join what one person says until another begins."""
    joined: list[Turn] = []
    for turn in labels:
        if joined and joined[-1].speaker == turn.speaker:
            joined[-1] = replace(joined[-1], end_s=max(joined[-1].end_s, turn.end_s))
        else:
            joined.append(turn)
    return Labels(joined)


def turns_told(events: Sequence[SpeakersFound], *, last: bool) -> list[SpeakerTurn]:
    """Return what is said of each utterance at first, or what stands in the end."""
    told: dict[int, tuple[SpeakerTurn, ...]] = {}
    for event in events:
        if last or event.utterance_id not in told:
            told[event.utterance_id] = event.turns
    return [turn for turns in told.values() for turn in turns]


def meetings(folder: Path) -> list[Conversation]:
    """Read the labelled meetings."""
    found = []
    for path in sorted(folder.rglob("*.rttm")):
        audio = path.with_suffix(".flac")
        if audio.is_file() and len(labels := load_labels(path)):
            found.append(Conversation(path.stem, load(audio), labels))
    return found


@dataclass(frozen=True, eq=False)
class Way:
    """An embedder with the thresholds that were chosen for it."""

    embedder: VoiceEmbedder
    same: float
    change: float

    @property
    def config(self) -> SpeakerConfig:
        """Settings with these thresholds."""
        return SpeakerConfig(same=self.same, change=self.change)


def choose(embedder: VoiceEmbedder, change: float, talks: Sequence[Conversation]) -> Way:
    """Choose the threshold of an embedder: the middle of those about as good as the best."""
    embedder.load()
    heard = [hear(talk, VoiceFinder(embedder, change), oracle=False) for talk in talks]
    errors = {}
    for same in SAME:
        config = SpeakerConfig(same=same, change=change)
        scores = [
            score_speakers(turns_of(h.pieces, config), talk.labels)
            for h, talk in zip(heard, talks, strict=True)
        ]
        errors[same] = pool_speaker_scores(scores).diarization_error_rate
    good = [same for same in SAME if errors[same] <= min(errors.values()) + 0.005]
    print(f"{embedder.label}: " + ", ".join(f"{s:.2f} {e:.1%}" for s, e in errors.items()))
    print(f"as good as the best: {good}")
    return Way(embedder, good[len(good) // 2], change)


def find_turns(
    talks: Sequence[Conversation], way: Way, *, oracle: bool
) -> dict[str, list[list[SpeakerTurn]]]:
    """Find who speaks by one embedder: in the recording, live at first, and live in the end."""
    finder = VoiceFinder(way.embedder, way.change)
    heard = [hear(talk, finder, oracle=oracle) for talk in talks]
    told = [live(h, way.config) for h in heard]
    label = way.embedder.label
    scores = [
        score_live_speakers(events, whole_turns(talk.labels))
        for events, talk in zip(told, talks, strict=True)
    ]
    after_s = [s for one in scores for s in one.after_s]
    right = [
        sum(s is not None and s <= limit_s for s in after_s) / len(after_s)
        for limit_s in (0.5, 1.0, 2.0, float("inf"))
    ]
    cpu = sum(sum(h.took_s) for h in heard) / sum(talk.recording.duration_s for talk in talks)
    longest_s = max(took_s for h in heard for took_s in h.took_s)
    shares = ", ".join(f"{share:.1%}" for share in right)
    print(f"{label}: {len(after_s)} turns, right within 0.5, 1, 2 s and in the end: {shares}")
    print(f"{label}: {cpu:.3f} core, {longest_s:.2f} s at most")
    whole = [turns_of(h.pieces, way.config) for h in heard]
    found = {}
    if isinstance(way.embedder, CamPlusPlus):
        together = [hear_together(talk.recording.samples, way.embedder) for talk in talks]
        found[f"{label}, recording, also at once"] = [
            turns_of(h.pieces, way.config, together=t) for h, t in zip(heard, together, strict=True)
        ]
    return found | {
        f"{label}, recording": whole,
        f"{label}, live, at first": [turns_told(events, last=False) for events in told],
        f"{label}, live, in the end": [turns_told(events, last=True) for events in told],
        "one speaker": [[replace(turn, speaker="one") for turn in turns] for turns in whole],
    }


def row(name: str, scores: Sequence[SpeakerScores]) -> list[str]:
    """Write the pooled scores."""
    pooled = pool_speaker_scores(scores)
    right = sum(one.speakers == one.found for one in scores)
    parts = (pooled.missed_s, pooled.false_alarm_s, pooled.confusion_s)
    return [
        name,
        f"{pooled.diarization_error_rate:.1%}",
        *(f"{part / pooled.speech_s:.1%}" for part in parts),
        f"{pooled.jaccard_error_rate:.1%}",
        f"{right} of {len(scores)}",
    ]


HEAD = ["", "DER", "missed", "false alarm", "confusion", "JER", "count right"]


def main() -> None:
    """Choose the thresholds, judge, and write the tables."""
    parser = argparse.ArgumentParser(description="Who speaks: sttlab beside other ways.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--sessions", type=int, default=10)
    parser.add_argument("--seed", type=int, default=200)
    parser.add_argument("--output", type=Path, default=Path("bench-results"))
    options = parser.parse_args()
    before = surroundings()
    voices = read_speakers(options.folder)
    chosen_by = [conversation(voices, CHOICE, seed) for seed in range(5)]
    seeds = range(options.seed, options.seed + options.sessions)
    judged = [conversation(voices, JUDGED, seed) for seed in seeds]
    at_once = [conversation(voices, JUDGED, seed, INTERRUPTING_S) for seed in seeds]
    usual = choose(CamPlusPlus(), SpeakerConfig().change, chosen_by)
    ways = [replace(usual, same=CamPlusPlus.same)]
    try:
        ResemblyzerEmbedder.require()
        ways.append(choose(ResemblyzerEmbedder(), 0.6, chosen_by))
    except ImportError:
        print("Resemblyzer is not installed")
    text = ""
    result: dict[str, Any] = {"before": before}
    for name, talks, collars in (
        ("sessions", judged, (0.25, 0.5)),
        ("sessions of people who interrupt", at_once, (0.25, 0.5)),
        ("meetings", meetings(options.folder / "labelled"), (0.0, 0.25)),
    ):
        for oracle in (False, True):
            found = {k: v for way in ways for k, v in find_turns(talks, way, oracle=oracle).items()}
            for collar_s, overlap in [(c, True) for c in collars] + [(collars[0], False)]:
                rows = [
                    row(
                        each,
                        [
                            score_speakers(f, talk.labels, collar_s=collar_s, overlap=overlap)
                            for f, talk in zip(turns, talks, strict=True)
                        ],
                    )
                    for each, turns in found.items()
                ]
                about = f"{name} at {'the speech of the labels' if oracle else 'our VAD'}"
                about += f", collar {collar_s:g} s" + ("" if overlap else ", without overlap")
                text += f"\n{about}\n\n{table(HEAD, rows)}\n"
                result[about] = rows
    study.write(options.output / "speakers", result, text)


if __name__ == "__main__":
    main()
