"""How well speakers are told apart: on recordings and live, beside other ways.

    python -m tests.benchmarks.bench_speakers FOLDER [--sessions 10] [--output bench-results]

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
from sttlab.evaluate.labels import load_labels
from sttlab.evaluate.speaker_score import SpeakerScores, pool_speaker_scores, score_speakers
from sttlab.events import SpeakerTurn, Utterance
from sttlab.speakers.base import Vectors, VoiceEmbedder, frame_count
from sttlab.speakers.campplus import CamPlusPlus
from sttlab.speakers.offline import turns_of
from sttlab.speakers.online import OnlineSpeakers
from sttlab.speakers.pieces import Piece, VoiceFinder
from tests.benchmarks import study
from tests.benchmarks.speaker_sessions import (
    CHOICE,
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
    """The pieces of each utterance of a recording, and what finding them took."""

    utterances: tuple[tuple[Piece, ...], ...]
    took_s: tuple[float, ...]

    @property
    def pieces(self) -> list[Piece]:
        """All of them."""
        return [piece for pieces in self.utterances for piece in pieces]


def hear(talk: Conversation, finder: VoiceFinder, *, oracle: bool) -> Heard:
    """Find the pieces of a recording, by our VAD or by its labels."""
    found, took = [], []
    for utterance in _spoken(talk) if oracle else segment(talk.recording):
        began = time.process_time()
        if oracle:
            everywhere = np.arange(frame_count(len(utterance.samples)))
            pieces = finder.split(utterance.samples, everywhere)
            pieces = [piece.wider(0.0, utterance.duration_s, utterance.start_s) for piece in pieces]
        else:
            pieces = finder.find(utterance)
        found.append(tuple(pieces))
        took.append(time.process_time() - began)
    return Heard(tuple(found), tuple(took))


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


def live(heard: Heard, config: SpeakerConfig) -> tuple[list[SpeakerTurn], list[SpeakerTurn]]:
    """Return what is said of each utterance at first, and what stands in the end."""
    online = OnlineSpeakers(config)
    first: dict[int, tuple[SpeakerTurn, ...]] = {}
    last: dict[int, tuple[SpeakerTurn, ...]] = {}
    for number, pieces in enumerate(heard.utterances):
        changed = online.add(number, pieces)
        last |= changed
        if number in changed:
            first[number] = changed[number]
    return [t for turns in first.values() for t in turns], [t for ts in last.values() for t in ts]


def right_turns(
    first: Sequence[SpeakerTurn], last: Sequence[SpeakerTurn], talk: Conversation
) -> tuple[int, int]:
    """Count the turns of the truth, and those whose speaker is right in what is said at first."""
    scores = score_speakers(last, talk.labels, collar_s=0)
    called = {one.speaker: one.found_as for one in scores.each}
    right = 0
    for turn in talk.labels:
        shared: dict[str, float] = {}
        for found in first:
            overlap_s = min(turn.end_s, found.end_s) - max(turn.start_s, found.start_s)
            if overlap_s > 0:
                shared[found.speaker] = shared.get(found.speaker, 0.0) + overlap_s
        most = max(shared, key=lambda name: shared[name]) if shared else None
        right += most is not None and most == called[turn.speaker]
    return right, len(talk.labels)


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
    counts = [right_turns(*pair, talk) for pair, talk in zip(told, talks, strict=True)]
    right = sum(r for r, _ in counts) / sum(n for _, n in counts)
    cpu = sum(sum(h.took_s) for h in heard) / sum(talk.recording.duration_s for talk in talks)
    longest_s = max(took_s for h in heard for took_s in h.took_s)
    print(f"{label}: {right:.1%} of turns right at once, {cpu:.3f} core, {longest_s:.2f} s at most")
    whole = [turns_of(h.pieces, way.config) for h in heard]
    return {
        f"{label}, recording": whole,
        f"{label}, live, at first": [first for first, _ in told],
        f"{label}, live, in the end": [last for _, last in told],
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
    parser.add_argument("--output", type=Path, default=Path("bench-results"))
    options = parser.parse_args()
    before = surroundings()
    voices = read_speakers(options.folder)
    chosen_by = [conversation(voices, CHOICE, seed) for seed in range(5)]
    judged = [conversation(voices, JUDGED, 200 + seed) for seed in range(options.sessions)]
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
