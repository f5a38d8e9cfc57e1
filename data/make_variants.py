"""Make the demo recording, and noisy and far-away variants of any recording, from a seed.

    python data/make_variants.py                                       the demo files in this folder
    python data/make_variants.py talk.flac out.flac --snr-db 5         noise under labelled speech
    python data/make_variants.py talk.flac out.flac --rt60-s 0.6 --snr-db 15    from across a room

Speech is what the RTTM file beside the recording says; without one, all of it counts.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import av
import numpy as np
import soxr
from numpy.typing import NDArray

Samples = NDArray[np.float32]
Turns = list[tuple[float, float]]

DATA = Path(__file__).parent
SAMPLE_RATE = 16_000  # Hz
PAUSES_S = (1.0, 0.9, 1.2, 0.8, 1.5, 1.0)  # before, between and after the demo's sentences
FADE_S = 0.02


def read(path: Path) -> Samples:
    """Decode a recording to mono float32 at 16 kHz."""
    with av.open(str(path)) as container:
        resampler = av.AudioResampler("flt", "mono", SAMPLE_RATE)
        frames = [*container.decode(audio=0), None]
        parts = [part.to_ndarray()[0] for f in frames for part in resampler.resample(f)]
    return np.concatenate(parts)


def write(path: Path, samples: Samples, sample_rate: int = SAMPLE_RATE) -> None:
    """Encode mono samples: FLAC, or µ-law in a WAV file if the name ends in .wav."""
    codec = "pcm_mulaw" if path.suffix == ".wav" else "flac"
    ints = np.clip(np.rint(samples * 32768), -32768, 32767).astype(np.int16)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=sample_rate, layout="mono", format="s16")
        for start in range(0, len(ints), 4096):
            part = np.ascontiguousarray(ints[None, start : start + 4096])
            frame = av.AudioFrame.from_ndarray(part, "s16", "mono")
            frame.sample_rate, frame.pts = sample_rate, start
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def read_turns(path: Path) -> Turns:
    """Where speech begins and ends, in seconds, from an RTTM file."""
    rows = [line.split() for line in path.read_text(encoding="utf-8").splitlines()]
    return [(float(row[3]), float(row[3]) + float(row[4])) for row in rows]


def write_turns(path: Path, turns: Turns) -> None:
    """Write an RTTM file of one speaker."""
    rows = [
        f"SPEAKER {path.stem} 1 {start:.3f} {end - start:.3f} <NA> <NA> reader <NA> <NA>\n"
        for start, end in turns
    ]
    path.write_text("".join(rows), encoding="utf-8", newline="\n")


def rms(samples: NDArray[Any]) -> float:
    """Root mean square."""
    return float(np.sqrt(np.square(samples, dtype=np.float64).mean()))


def spoken(samples: Samples, turns: Turns) -> Samples:
    """What lies inside the turns, or everything if there are none."""
    parts = [samples[int(b * SAMPLE_RATE) : int(e * SAMPLE_RATE)] for b, e in turns]
    return np.concatenate(parts) if parts else samples


def pink_noise(length: int, rng: np.random.Generator) -> Samples:
    """Noise whose power falls by 3 dB an octave, as in rooms and streets."""
    spectrum = np.fft.rfft(rng.standard_normal(length))
    spectrum /= np.sqrt(np.maximum(np.arange(len(spectrum)), 1))
    return np.fft.irfft(spectrum, length).astype(np.float32)


def add_noise(samples: Samples, turns: Turns, snr_db: float, rng: np.random.Generator) -> Samples:
    """Add pink noise whose RMS is `snr_db` under that of the labelled speech."""
    noise = pink_noise(len(samples), rng)
    wanted = rms(spoken(samples, turns)) * 10 ** (-snr_db / 20)
    return samples + noise * (wanted / rms(noise))


def move_away(samples: Samples, rt60_s: float, rng: np.random.Generator) -> Samples:
    """Put the speaker across a room: 12 dB softer, with as much echo as direct sound.

    The room's response is Polack's model: Gaussian noise that decays by 60 dB in `rt60_s`
    (J.-D. Polack, La transmission de l'énergie sonore dans les salles, 1988). The direct sound
    keeps its time, so labels stay true.
    """
    time_s = np.arange(int(rt60_s * SAMPLE_RATE)) / SAMPLE_RATE
    tail = rng.standard_normal(len(time_s)) * 10 ** (-3 * time_s / rt60_s)
    tail[: int(0.005 * SAMPLE_RATE)] = 0  # no wall is that near
    response = tail / np.sqrt(np.square(tail).sum())
    response[0] = 1
    size = len(samples) + len(response)
    product = np.fft.rfft(samples, size) * np.fft.rfft(response, size)
    heard = np.fft.irfft(product, size)[: len(samples)]
    return (heard * 10 ** (-12 / 20)).astype(np.float32)


def room_tone(samples: Samples, turns: Turns, length: int, rng: np.random.Generator) -> Samples:
    """Noise with the level and spectrum of what the recording holds before its first turn."""
    quiet = samples[: int(turns[0][0] * SAMPLE_RATE)]
    frames = quiet[: len(quiet) // 256 * 256].reshape(-1, 256) * np.hanning(256)
    shape = np.sqrt(np.square(np.abs(np.fft.rfft(frames))).mean(axis=0))
    spectrum = np.fft.rfft(rng.standard_normal(length))
    spectrum *= np.interp(np.linspace(0, 1, len(spectrum)), np.linspace(0, 1, len(shape)), shape)
    noise = np.fft.irfft(spectrum, length).astype(np.float32)
    return noise * (rms(quiet) / rms(noise))


def join(
    recordings: list[tuple[Samples, Turns]], rng: np.random.Generator
) -> tuple[Samples, Turns]:
    """Lay recordings one after another over their own room tone, with `PAUSES_S` between them."""
    starts, position = [], 0.0
    for (samples, _), pause_s in zip(recordings, PAUSES_S, strict=False):
        starts.append(int((position + pause_s) * SAMPLE_RATE))
        position = (starts[-1] + len(samples)) / SAMPLE_RATE
    length = int((position + PAUSES_S[-1]) * SAMPLE_RATE)
    joined = room_tone(*recordings[0], length, rng)
    fade = np.linspace(0, 1, int(FADE_S * SAMPLE_RATE), dtype=np.float32)
    turns: Turns = []
    for start, (samples, spans) in zip(starts, recordings, strict=True):
        weight = np.ones(len(samples), np.float32)
        weight[: len(fade)], weight[-len(fade) :] = fade, fade[::-1]
        place = slice(start, start + len(samples))
        joined[place] = joined[place] * (1 - weight) + samples * weight
        turns += [(b + start / SAMPLE_RATE, e + start / SAMPLE_RATE) for b, e in spans]
    return joined, turns


def make_demo(folder: Path) -> None:
    """Write demo.flac, its labels, its text, and its noisy, far-away and telephone variants."""
    rng = np.random.default_rng(0)
    clips = sorted(DATA.glob("austen-*.flac"))
    samples, turns = join([(read(p), read_turns(p.with_suffix(".rttm"))) for p in clips], rng)
    write(folder / "demo.flac", samples)
    write_turns(folder / "demo.rttm", turns)
    text = "".join(p.with_suffix(".txt").read_text(encoding="utf-8") for p in clips)
    (folder / "demo.txt").write_text(text, encoding="utf-8", newline="\n")
    write(folder / "demo-noisy.flac", add_noise(samples, turns, 10, rng))
    far = move_away(samples, 0.6, rng)
    write(folder / "demo-far.flac", add_noise(far, turns, 15, rng))
    write(folder / "demo-phone.wav", soxr.resample(samples, SAMPLE_RATE, 8000), 8000)


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("recording", nargs="?", type=Path)
    parser.add_argument("output", nargs="?", type=Path)
    parser.add_argument("--snr-db", type=float, help="speech over noise")
    parser.add_argument("--rt60-s", type=float, help="echo: seconds to decay by 60 dB")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    if args.recording is None:
        return make_demo(DATA)
    if args.output is None:
        parser.error("say where the variant goes: make_variants.py RECORDING OUTPUT")
    rng = np.random.default_rng(args.seed)
    samples, labels = read(args.recording), args.recording.with_suffix(".rttm")
    turns = read_turns(labels) if labels.exists() else []
    if args.rt60_s is not None:
        samples = move_away(samples, args.rt60_s, rng)
    if args.snr_db is not None:
        samples = add_noise(samples, turns, args.snr_db, rng)
    return write(args.output, samples)


if __name__ == "__main__":
    main()
