"""Make the demo recording, and noisy and far-away variants of any recording, from a seed.

    python data/make_variants.py                                       the demo files in this folder
    python data/make_variants.py talk.flac out.flac --snr-db 5         noise under labelled speech
    python data/make_variants.py talk.flac out.flac --rt60-s 0.6 --snr-db 15    from across a room

The RTTM file beside the recording says where speech is; without it, all of it counts as speech.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import soxr
from numpy.typing import NDArray

from sttlab.audio import SAMPLE_RATE, Recording, wav_bytes
from sttlab.decoding import load
from sttlab.errors import SttlabError
from sttlab.evaluate.labels import Labels, Turn, load_labels

Samples = NDArray[np.float32]
Labelled = tuple[Samples, Labels]

DATA = Path(__file__).parent
PAUSES_S = (1.0, 0.9, 1.2, 0.8, 1.5, 1.0)  # silence before, between and after the sentences
FADE_S = 0.02


def rms(samples: NDArray[Any]) -> float:
    """Return the root mean square."""
    return float(np.sqrt(np.square(samples, dtype=np.float64).mean()))


def spoken(samples: Samples, labels: Labels) -> Samples:
    """Join the labelled speech; without labels, return all samples."""
    spans = (labels.speech * SAMPLE_RATE).astype(int)
    return np.concatenate([samples[start:end] for start, end in spans] or [samples])


def pink_noise(length: int, rng: np.random.Generator) -> Samples:
    """Make noise whose power falls by 3 dB an octave, as in rooms and streets."""
    spectrum = np.fft.rfft(rng.standard_normal(length))
    spectrum /= np.sqrt(np.maximum(np.arange(len(spectrum)), 1))
    return np.fft.irfft(spectrum, length).astype(np.float32)


def add_noise(samples: Samples, labels: Labels, snr_db: float, rng: np.random.Generator) -> Samples:
    """Add pink noise whose RMS is `snr_db` under that of the labelled speech."""
    noise = pink_noise(len(samples), rng)
    wanted = rms(spoken(samples, labels)) * 10 ** (-snr_db / 20)
    return samples + noise * (wanted / rms(noise))


def move_away(samples: Samples, rt60_s: float, rng: np.random.Generator) -> Samples:
    """Put the speaker across a room: 12 dB softer, with as much reverberation as direct sound.

    The room's response is Polack's model: Gaussian noise that decays by 60 dB in `rt60_s`
    (J.-D. Polack, La transmission de l'énergie sonore dans les salles, 1988). The direct sound
    keeps its time, so labels stay right.
    """
    time_s = np.arange(int(rt60_s * SAMPLE_RATE)) / SAMPLE_RATE
    tail = rng.standard_normal(len(time_s)) * 10 ** (-3 * time_s / rt60_s)
    tail[: int(0.005 * SAMPLE_RATE)] = 0  # the first reflection comes later than 5 ms
    response = tail / np.sqrt(np.square(tail).sum())
    response[0] = 1
    size = len(samples) + len(response)
    product = np.fft.rfft(samples, size) * np.fft.rfft(response, size)
    heard = np.fft.irfft(product, size)[: len(samples)]
    return (heard * 10 ** (-12 / 20)).astype(np.float32)


def room_tone(samples: Samples, labels: Labels, length: int, rng: np.random.Generator) -> Samples:
    """Make noise with the level and the spectrum of the recording before its first speech."""
    quiet = samples[: int(labels.speech[0, 0] * SAMPLE_RATE)]
    frames = quiet[: len(quiet) // 256 * 256].reshape(-1, 256) * np.hanning(256)
    shape = np.sqrt(np.square(np.abs(np.fft.rfft(frames))).mean(axis=0))
    spectrum = np.fft.rfft(rng.standard_normal(length))
    spectrum *= np.interp(np.linspace(0, 1, len(spectrum)), np.linspace(0, 1, len(shape)), shape)
    noise = np.fft.irfft(spectrum, length).astype(np.float32)
    return noise * (rms(quiet) / rms(noise))


def join(
    sentences: list[tuple[Samples, Labels]], rng: np.random.Generator
) -> tuple[Samples, Labels]:
    """Join sentences over their own room tone, with `PAUSES_S` between them."""
    starts, position = [], 0.0
    for (samples, _), pause_s in zip(sentences, PAUSES_S, strict=False):
        starts.append(int((position + pause_s) * SAMPLE_RATE))
        position = (starts[-1] + len(samples)) / SAMPLE_RATE
    length = int((position + PAUSES_S[-1]) * SAMPLE_RATE)
    joined = room_tone(*sentences[0], length, rng)
    fade = np.linspace(0, 1, int(FADE_S * SAMPLE_RATE), dtype=np.float32)
    turns: list[Turn] = []
    for start, (samples, labels) in zip(starts, sentences, strict=True):
        weight = np.ones(len(samples), np.float32)
        weight[: len(fade)], weight[-len(fade) :] = fade, fade[::-1]
        place = slice(start, start + len(samples))
        joined[place] = joined[place] * (1 - weight) + samples * weight
        shift_s = start / SAMPLE_RATE
        turns += [
            replace(turn, start_s=turn.start_s + shift_s, end_s=turn.end_s + shift_s)
            for turn in labels
        ]
    return joined, Labels(turns)


def make_demo(folder: Path) -> None:
    """Write demo.flac, its labels, its text, and its noisy, far-away and telephone variants."""
    rng = np.random.default_rng(0)
    clips = sorted(DATA.glob("austen-*.flac"))
    sentences = [(load(path).samples, load_labels(path.with_suffix(".rttm"))) for path in clips]
    samples, labels = join(sentences, rng)
    Recording(samples).save(folder / "demo.flac")
    labels.save(folder / "demo.rttm")
    text = "".join(path.with_suffix(".txt").read_text(encoding="utf-8") for path in clips)
    (folder / "demo.txt").write_text(text, encoding="utf-8", newline="\n")
    Recording(add_noise(samples, labels, 10, rng)).save(folder / "demo-noisy.flac")
    far = move_away(samples, 0.6, rng)
    Recording(add_noise(far, labels, 15, rng)).save(folder / "demo-far.flac")
    phone = soxr.resample(samples, SAMPLE_RATE, 8000)
    (folder / "demo-phone.wav").write_bytes(wav_bytes(phone, 8000))


def make_variant(args: argparse.Namespace) -> None:
    """Write the variant that the command line asks for."""
    rng = np.random.default_rng(args.seed)
    samples, beside = load(args.recording).samples, args.recording.with_suffix(".rttm")
    labels = load_labels(beside) if beside.exists() else Labels([])
    if args.rt60_s is not None:
        samples = move_away(samples, args.rt60_s, rng)
    if args.snr_db is not None:
        samples = add_noise(samples, labels, args.snr_db, rng)
    Recording(samples).save(args.output)


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description="Make the demo, or a variant of a recording.")
    parser.add_argument("recording", nargs="?", type=Path)
    parser.add_argument("output", nargs="?", type=Path)
    parser.add_argument("--snr-db", type=float, help="signal-to-noise ratio of the speech, in dB")
    parser.add_argument("--rt60-s", type=room_s, help="reverberation time in seconds, 0.1 to 5")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    if args.recording is None:
        return make_demo(DATA)
    if args.output is None:
        parser.error("give a file for the variant: make_variants.py RECORDING OUTPUT")
    try:
        return make_variant(args)
    except SttlabError as error:
        parser.error(str(error))


def room_s(text: str) -> float:
    """Parse a reverberation time of 0.1 to 5 s."""
    value = float(text)
    if not 0.1 <= value <= 5:
        raise argparse.ArgumentTypeError(f"must be between 0.1 and 5 s, not {value:g} s")
    return value


if __name__ == "__main__":
    main()
