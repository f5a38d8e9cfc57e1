"""Sound of any kind comes in as one kind; what isn't sound is refused in a sentence."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from sttlab.audio import SAMPLE_RATE, Recording, from_pcm16, load, normalise, to_pcm16
from sttlab.errors import DecodeError, SourceError


def tone(seconds: float = 1.0, rate: int = SAMPLE_RATE, hz: float = 440.0) -> np.ndarray:
    return (0.5 * np.sin(2 * np.pi * hz * np.arange(round(seconds * rate)) / rate)).astype("f4")


def write(path: Path, sound: np.ndarray, rate: int, *, codec: str, layout: str = "mono") -> Path:
    """Encode samples of shape (n,), the same in each channel."""
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream(codec, rate=rate, layout=layout)
        channels = stream.layout.nb_channels
        whole = av.AudioFrame.from_ndarray(
            np.tile(sound, (channels, 1)), format="fltp", layout=layout
        )
        whole.sample_rate = rate
        resampler = av.AudioResampler(stream.format, layout, rate, stream.frame_size or 1024)
        for frame in [*resampler.resample(whole), *resampler.resample(None)]:
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def loudest_hz(samples: np.ndarray) -> float:
    return float(np.abs(np.fft.rfft(samples)).argmax() * SAMPLE_RATE / len(samples))


@pytest.mark.parametrize(
    ("name", "codec", "rate", "layout"),
    [
        ("a.wav", "pcm_s16le", 8_000, "mono"),
        ("a.wav", "pcm_f32le", 192_000, "stereo"),
        ("a.wav", "pcm_s24le", 44_100, "5.1"),
        ("a.wav", "pcm_mulaw", 8_000, "mono"),
        ("a.flac", "flac", 48_000, "stereo"),
        ("a.mp3", "libmp3lame", 22_050, "mono"),
        ("a.m4a", "aac", 44_100, "stereo"),
        ("a.mp4", "aac", 48_000, "5.1"),
        ("a.ogg", "libopus", 48_000, "stereo"),
        ("a.opus", "libopus", 48_000, "mono"),
        ("a.webm", "libopus", 48_000, "stereo"),
        ("a.aiff", "pcm_s16be", 44_100, "mono"),
        ("a.mkv", "ac3", 48_000, "stereo"),
    ],
)
def test_any_container_rate_and_channels(
    tmp_path: Path, name: str, codec: str, rate: int, layout: str
) -> None:
    path = write(tmp_path / name, tone(2.0, rate), rate, codec=codec, layout=layout)
    recording = load(path)
    assert recording.sample_rate == SAMPLE_RATE
    assert recording.samples.dtype == np.float32
    assert recording.samples.ndim == 1
    assert recording.duration_s == pytest.approx(2.0, abs=0.1)
    assert loudest_hz(recording.samples) == pytest.approx(440, abs=5)
    if layout != "5.1":  # of which FFmpeg makes more than the mean
        assert np.abs(recording.samples).max() == pytest.approx(0.5, abs=0.1)
    assert recording.origin == str(path)


def test_a_name_says_nothing_about_what_is_in_a_file(tmp_path: Path, data: Path) -> None:
    path = tmp_path / "recording.txt"
    path.write_bytes((data / "word.mp3").read_bytes())
    assert load(path).duration_s == pytest.approx(load(data / "word.mp3").duration_s)


def video(path: Path) -> None:
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("mpeg4", rate=10)
        stream.width = stream.height = 32
        for _ in range(5):
            frame = av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), "u1"), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


BAD = {
    "empty.wav": (lambda path: path.write_bytes(b""), "is empty"),
    "text.wav": (lambda path: path.write_text("no sound\n" * 99), "no sound file"),
    "header.wav": (lambda path: path.write_bytes(b"RIFF\xff\xff\xff\xffWAVE"), "header.wav"),
    "noise.mp3": (
        lambda path: path.write_bytes(np.random.default_rng(0).bytes(9999)),
        "noise.mp3",
    ),
    "video.mp4": (video, "no audio track"),
    "folder.wav": (lambda path: path.mkdir(), "is a folder"),
    "missing.wav": (lambda path: None, "is not there"),
    "list.m3u8": (
        lambda path: path.write_text("#EXTM3U\n#EXTINF:9,\nfile:///etc/passwd\n"),
        "no sound file",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_sound_is_refused_in_a_sentence(tmp_path: Path, name: str) -> None:
    make, says = BAD[name]
    make(tmp_path / name)
    with pytest.raises(DecodeError, match=says) as refused:
        load(tmp_path / name)
    assert name in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_file_cut_short_gives_what_there_is(tmp_path: Path, data: Path) -> None:
    whole = (data / "austen-1.flac").read_bytes()
    path = tmp_path / "cut.flac"
    path.write_bytes(whole[: len(whole) // 2])
    cut, full = load(path), load(data / "austen-1.flac")
    assert 0.3 < cut.duration_s / full.duration_s < 0.6
    same = len(cut.samples) - SAMPLE_RATE // 2
    assert cut.samples[:same] == pytest.approx(full.samples[:same])


def test_a_file_broken_further_on_is_said_in_the_log(
    tmp_path: Path, data: Path, caplog: pytest.LogCaptureFixture
) -> None:
    bad = bytearray((data / "word.mp3").read_bytes())
    bad[len(bad) // 2 :] = b"\xff\xfb\xff\xff" * (len(bad) // 8)
    path = tmp_path / "bad.mp3"
    path.write_bytes(bad)
    with caplog.at_level(logging.WARNING):
        assert load(path).duration_s > 0.1


def test_a_claim_of_hours_is_not_believed(tmp_path: Path) -> None:
    path = tmp_path / "claims.wav"
    sound = write(tmp_path / "a.wav", tone(1.0), SAMPLE_RATE, codec="pcm_s16le").read_bytes()
    start = sound.index(b"data") + 4
    path.write_bytes(sound[:start] + (0x7FFFFFF0).to_bytes(4, "little") + sound[start + 4 :])
    assert load(path).duration_s == pytest.approx(1.0, abs=0.01)


@pytest.mark.parametrize(
    "samples",
    [
        tone(),
        tone().astype(np.float64),
        tone().astype(np.float16),
        to_pcm16(tone()),
        (tone() * 2**31).astype(np.int32),
        (tone() * 127 + 128).astype(np.uint8),
        np.stack([tone(), tone()], axis=1),
        np.stack([tone(), tone()]),
        np.asfortranarray(np.stack([tone()] * 6, axis=1)),
    ],
    ids=lambda samples: f"{samples.dtype}{samples.shape}",
)
def test_arrays_of_any_kind_become_one_kind(samples: np.ndarray) -> None:
    sound = normalise(samples, SAMPLE_RATE)
    assert sound.dtype == np.float32
    assert sound == pytest.approx(tone(), abs=0.02)


def test_rates_are_made_one() -> None:
    sound = normalise(tone(1.0, 44_100), 44_100)
    assert len(sound) == pytest.approx(SAMPLE_RATE, abs=1)
    assert loudest_hz(sound) == pytest.approx(440, abs=2)


def test_what_is_no_number_is_silence_and_too_loud_is_scaled() -> None:
    sound = normalise(np.array([np.nan, np.inf, -np.inf, 0.5, -4.0]), SAMPLE_RATE)
    assert sound.tolist() == [0, 0, 0, 0.125, -1]
    assert len(normalise(np.empty(0), 8000)) == 0


@pytest.mark.parametrize(
    ("samples", "rate"),
    [
        (np.zeros((2, 2, 2)), SAMPLE_RATE),
        (np.array(["a"]), SAMPLE_RATE),
        (np.zeros(5, complex), SAMPLE_RATE),
        (np.zeros(5), 0),
        (np.zeros(5), 10**7),
    ],
)
def test_what_cannot_be_heard_is_refused(samples: np.ndarray, rate: int) -> None:
    with pytest.raises(SourceError):
        normalise(samples, rate)


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".WAV"])
def test_a_recording_is_saved_and_comes_back(tmp_path: Path, suffix: str) -> None:
    recording = Recording(tone(), origin="here")
    recording.save(tmp_path / f"a{suffix}")
    again = load(tmp_path / f"a{suffix}")
    assert again.samples == pytest.approx(recording.samples, abs=2**-15)


def test_a_recording_that_cannot_be_saved_says_why(tmp_path: Path) -> None:
    recording = Recording(tone())
    with pytest.raises(SourceError, match=r"\.wav or \.flac"):
        recording.save(tmp_path / "a.mp3")
    with pytest.raises(SourceError, match="cannot write"):
        recording.save(tmp_path / "nowhere" / "a.wav")


def test_a_recording_is_cut_in_seconds_and_cannot_be_changed() -> None:
    recording = Recording(tone(3.0), origin="talk.wav")
    part = recording[1.0:2.5]
    assert part.duration_s == 1.5
    assert part.samples == pytest.approx(recording.samples[SAMPLE_RATE : SAMPLE_RATE * 5 // 2])
    assert recording[-1.0:].duration_s == 1.0
    with pytest.raises(ValueError, match="read-only"):
        recording.samples[0] = 1
    with pytest.raises(TypeError, match="in seconds"):
        recording[1]  # type: ignore[index]


def test_a_recording_does_not_change_with_what_it_was_made_of() -> None:
    samples = tone()
    recording = Recording(samples)
    samples[:] = 0
    assert recording.samples.any()


def test_a_recording_has_a_face() -> None:
    face = Recording(tone(2.0), origin="<b>.wav")._repr_html_()
    assert "&lt;b&gt;.wav: 2.00 s" in face
    assert "<svg" in face
    assert 'src="data:audio/wav;base64,' in face
    assert "<b>" not in face


def test_pcm16_there_and_back() -> None:
    ints = np.array([-32768, -1, 0, 1, 32767], np.int16)
    assert to_pcm16(from_pcm16(ints)).tolist() == ints.tolist()
    assert from_pcm16(ints.tobytes()).tolist() == from_pcm16(ints).tolist()
    assert to_pcm16(np.array([-2, 2], np.float32)).tolist() == [-32768, 32767]
