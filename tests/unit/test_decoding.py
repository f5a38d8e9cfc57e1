"""Real-world files: channels, tracks, time stamps, unusual headers, joined files."""

import logging
import os
import struct
import sys
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sttlab.audio import SAMPLE_RATE, Downmix, Recording, level_dbfs, to_pcm16, wav_bytes
from sttlab.capture.replay import FileSource
from sttlab.decoding import load
from sttlab.errors import DecodeError, SourceError

RNG = np.random.default_rng(1)


@pytest.fixture(scope="module")
def speech(data):
    return load(data / "austen-1.flac").samples


def likeness(one, other):
    """Return the correlation at the best alignment within 0.1 s, the most that codecs shift."""
    length = min(len(one), len(other)) - 3200
    fits = [
        float(np.corrcoef(one[1600 : 1600 + length], other[s : s + length])[0, 1])
        for s in range(0, 3200, 8)
    ]
    return max(fits)


def write(path, *tracks, rate=SAMPLE_RATE, codec="aac", video=False, default=None):
    """Write tracks of samples; each is (samples of shape (channels, n), list of (from, at_s))."""
    with av.open(str(path), "w") as file:
        if video:
            picture = file.add_stream("mpeg4", rate=5)
            picture.width = picture.height = 16
        streams = [file.add_stream(codec, rate=rate, layout=_layout(t)) for t, _ in tracks]
        for number, stream in enumerate(streams):
            stream.disposition = av.stream.Disposition(int(number == default))
        if video:
            for number in range(5 * 45):
                blank = av.VideoFrame.from_ndarray(np.zeros((16, 16, 3), np.uint8), "rgb24")
                blank.pts, blank.time_base = number, Fraction(1, 5)
                file.mux(picture.encode(blank))
            file.mux(picture.encode(None))
        for stream, (samples, marks) in zip(streams, tracks, strict=True):
            for packet in _packets(stream, samples, marks, rate):
                file.mux(packet)
    return path


def _layout(samples):
    return {1: "mono", 2: "stereo"}[len(samples)]


def _packets(stream, samples, marks, rate):
    size = 960 if stream.codec_context.name == "libopus" else 1024
    to_codec = av.AudioResampler(format=stream.format, layout=stream.layout, rate=rate)
    for start in range(0, samples.shape[1], size):
        piece = samples[:, start : start + size].T.reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(
            np.ascontiguousarray(piece, np.float32), format="flt", layout=stream.layout.name
        )
        frame.sample_rate = rate
        for converted in to_codec.resample(frame):
            begun, at_s = max(mark for mark in marks if mark[0] <= start)
            converted.pts = start - begun + round(at_s * rate)
            converted.time_base = Fraction(1, rate)
            yield from stream.encode(converted)
    yield from stream.encode(None)


def mono(samples):
    return samples[np.newaxis]


# -- channels ------------------------------------------------------------------------------------


def mixed(*channels, rate=SAMPLE_RATE):
    return Downmix(len(channels), rate).mix(np.stack(channels, axis=1))


def test_channels_of_opposite_phase_do_not_cancel(speech, tmp_path):
    for gain in (1.0, 0.9, 0.5):
        pair = np.stack([speech, -gain * speech])
        path = tmp_path / "inverted.wav"
        path.write_bytes(_wav(to_pcm16(pair.T), channels=2))
        for heard in (Recording(pair).samples, load(path).samples):
            assert level_dbfs(heard) == pytest.approx(level_dbfs(speech), abs=1.0)
            assert likeness(heard, speech) > 0.99
    (notice,) = load(path).notices
    assert "its 2 channels cancel each other out" in notice


def test_a_dead_channel_does_not_halve_the_other(speech):
    noise = (1e-4 * RNG.standard_normal(len(speech))).astype("f4")
    for dead in (np.zeros_like(speech), noise):
        assert level_dbfs(mixed(speech, dead)) == pytest.approx(level_dbfs(speech), abs=0.5)


def test_similar_and_different_channels_are_averaged(speech):
    assert mixed(speech, speech) == pytest.approx(speech)
    other = np.roll(speech, SAMPLE_RATE)
    assert mixed(speech, other) == pytest.approx((speech + other) / 2, abs=1e-6)


def test_late_speaker_on_a_separate_channel_is_kept(speech):
    silence = np.zeros_like(speech)
    left, right = np.concatenate([speech, silence]), np.concatenate([silence, speech])
    both = mixed(left, right)
    assert likeness(both[len(speech) :], speech) > 0.95


def test_channel_option_selects_a_single_channel(speech, tmp_path):
    other = np.roll(speech, SAMPLE_RATE)
    pair = np.stack([speech, other])
    path = tmp_path / "two.wav"
    path.write_bytes(_wav(to_pcm16(pair.T), channels=2))
    for channel, wanted in ((1, speech), (2, other)):
        assert Recording(pair, channel=channel).samples == pytest.approx(wanted)
        recording = load(path, channel=channel)
        assert recording.samples == pytest.approx(wanted, abs=1e-4)
        assert recording.notices == ()
    assert "its 2 channels differ" in load(path).notices[0]
    with pytest.raises(SourceError, match="no channel 3; there are 1 to 2"):
        Recording(pair, channel=3)
    with pytest.raises(DecodeError, match="no channel 3; there are 1 to 2"):
        load(path, channel=3)


@given(st.lists(st.integers(0, 4000), max_size=12), st.sampled_from([1, 2, 3]))
def test_mixing_depends_on_the_samples_alone_not_on_their_blocks(cuts, channels):
    rng = np.random.default_rng(0)
    samples = rng.standard_normal((8000, channels)).astype("f4")
    samples[2000:, -1] = -samples[2000:, 0]
    whole = Downmix(channels, SAMPLE_RATE).mix(samples)
    mixer, edges = Downmix(channels, SAMPLE_RATE), sorted({0, *cuts, 8000})
    parts = [mixer.mix(samples[a:b]) for a, b in pairwise(edges)]
    assert np.array_equal(np.concatenate(parts), whole)


# -- tracks --------------------------------------------------------------------------------------


def test_audible_track_is_chosen_among_several(speech, tmp_path, caplog):
    tracks = [(mono(np.zeros_like(speech)), [(0, 0.0)]), (mono(speech), [(0, 0.0)])]
    path = write(tmp_path / "tracks.mp4", *tracks, default=0)
    with caplog.at_level(logging.WARNING, "sttlab.decoding"):
        recording = load(path)
    assert likeness(recording.samples, speech) > 0.95
    (notice,) = recording.notices
    assert "2 audio tracks" in notice
    assert "Track 2 is used because track 1 is silent" in notice
    assert notice in caplog.text
    assert not load(path, track=1).samples[3200:].any()
    with pytest.raises(DecodeError, match="no audio track 3; it has track 1"):
        load(path, track=3)


def test_default_track_is_chosen_among_audible_ones(speech, tmp_path):
    reverse = np.ascontiguousarray(speech[::-1])
    tracks = [(mono(reverse), [(0, 0.0)]), (mono(speech), [(0, 0.0)])]
    recording = load(write(tmp_path / "a.mkv", *tracks, default=1))
    assert likeness(recording.samples, speech) > 0.95
    assert "Track 2 is used" in recording.notices[0]


def test_undecodable_track_is_skipped(speech, tmp_path):
    tracks = [(mono(speech), [(0, 0.0)]), (mono(speech), [(0, 0.0)])]
    path = write(tmp_path / "a.mp4", *tracks, default=0)
    data = path.read_bytes()
    assert data.count(b"mp4a") == data.count(b"esds") == 2
    path.write_bytes(data.replace(b"mp4a", b"zzzz", 1).replace(b"esds", b"free", 1))
    recording = load(path)
    assert likeness(recording.samples, speech) > 0.95
    assert "Track 2 is used because track 1 is undecodable" in recording.notices[0]
    path.write_bytes(data.replace(b"mp4a", b"zzzz").replace(b"esds", b"free"))
    with pytest.raises(DecodeError, match="codec is unknown"):
        load(path)


# -- times ---------------------------------------------------------------------------------------


CONTAINERS = [("a.mp4", "aac"), ("a.mkv", "aac"), ("a.webm", "libopus"), ("a.ts", "aac")]


def marked(name, codec, speech, tmp_path, marks, *, video):
    rate = 48_000 if codec == "libopus" else SAMPLE_RATE
    samples = np.repeat(speech, rate // SAMPLE_RATE)
    marks = [(round(start * rate / 1024) * 1024 if start else 0, at) for start, at in marks]
    if codec == "libopus":
        marks = [(start // 960 * 960, at) for start, at in marks]
    video = video and name != "a.webm"
    return write(tmp_path / name, (mono(samples), marks), rate=rate, codec=codec, video=video)


@pytest.mark.parametrize(("name", "codec"), [c for c in CONTAINERS if c[0] != "a.webm"])
def test_audio_that_begins_after_the_video_keeps_its_time(name, codec, speech, tmp_path):
    path = marked(name, codec, speech, tmp_path, [(0, 4.0)], video=True)
    samples = load(path).samples
    assert not np.abs(samples[: 3 * SAMPLE_RATE]).max()
    assert likeness(samples[4 * SAMPLE_RATE :], speech) > 0.9
    assert len(samples) / SAMPLE_RATE == pytest.approx(11.1, abs=0.2)


@pytest.mark.parametrize(("name", "codec"), CONTAINERS)
def test_a_gap_in_the_time_stamps_is_silence(name, codec, speech, tmp_path):
    path = marked(name, codec, speech, tmp_path, [(0, 0.0), (3.0, 13.0)], video=False)
    samples = load(path).samples
    assert len(samples) / SAMPLE_RATE == pytest.approx(17.1, abs=0.2)
    quiet = samples[4 * SAMPLE_RATE : 12 * SAMPLE_RATE]
    assert level_dbfs(quiet) < -60
    assert likeness(samples[13 * SAMPLE_RATE : 17 * SAMPLE_RATE], speech[3 * SAMPLE_RATE :]) > 0.9
    live = FileSource(path, speed=None)
    live.open()
    assert sum(len(block.samples) for block in iter(lambda: live.read(1.0), None)) == len(samples)


def test_impossible_time_stamps_are_ignored_with_a_warning(speech, tmp_path):
    marks = [(0, 0.0), (3.0, 400_000.0)]
    path = marked("a.mkv", "aac", speech, tmp_path, marks, video=False)
    data = bytearray(path.read_bytes())
    at = data.index(b"\x44\x89\x88") + 3  # the duration, which would make them plausible
    data[at : at + 8] = struct.pack(">d", 7100.0)
    path.write_bytes(data)
    recording = load(path)
    assert recording.duration_s == pytest.approx(7.1, abs=0.2)
    assert "time stamps jump by" in recording.notices[0]


# -- WAV -----------------------------------------------------------------------------------------


def _wav(data, *, channels=1, bits=16, valid=None, claimed=None, kind=1):
    """Make a WAV file of interleaved samples; with `valid` bits its header is extensible."""
    payload = np.ascontiguousarray(data).tobytes()
    block = channels * bits // 8
    form = struct.pack(
        "<HHIIHH",
        kind if valid is None else 0xFFFE,
        channels,
        SAMPLE_RATE,
        SAMPLE_RATE * block,
        block,
        bits,
    )
    if valid is not None:
        guid = struct.pack("<H", kind) + bytes.fromhex("000000001000800000aa00389b71")
        form += struct.pack("<HHI", 22, valid, 0) + guid
    size = len(payload) if claimed is None else claimed
    chunks = b"WAVEfmt " + struct.pack("<I", len(form)) + form + b"data" + struct.pack("<I", size)
    return b"RIFF" + struct.pack("<I", min(4 + len(chunks) + size, 2**32 - 1)) + chunks + payload


@pytest.mark.parametrize(("bits", "valid"), [(32, 24), (32, 20), (24, 20), (32, 16), (16, 12)])
def test_samples_padded_to_a_larger_container_decode_right(bits, valid, speech, tmp_path):
    values = np.rint(speech.astype("f8") * 2 ** (valid - 1)).astype("<i4") << (32 - valid)
    octets = values.view(np.uint8).reshape(-1, 4)[:, 4 - bits // 8 :]
    path = tmp_path / "a.wav"
    path.write_bytes(_wav(octets, bits=bits, valid=valid))
    assert load(path).samples == pytest.approx(speech, abs=2.0 ** (1 - valid))


def test_file_shorter_than_its_header_declares_is_reported(speech, tmp_path):
    path = tmp_path / "a.wav"
    whole = wav_bytes(speech)
    path.write_bytes(whole[:100_000])
    recording = load(path)
    assert recording.duration_s == pytest.approx(3.12, abs=0.01)
    assert "its header claims 7.1 s, and 3.1 s are there" in recording.notices[0]
    for unknown in (0, 0xFFFF_FFFF, 0xFFFF_FFD3, 0x7FFF_FFFF):
        path.write_bytes(_wav(to_pcm16(speech), claimed=unknown))
        if unknown:
            assert load(path).duration_s == pytest.approx(7.1)
            assert load(path).notices == ()


@pytest.mark.parametrize(
    ("name", "codec"),
    [
        ("a.wav", "pcm_s16le"),
        ("a.flac", "flac"),
        ("a.m4a", "aac"),
        ("a.webm", "libopus"),
        ("a.ogg", "libopus"),
        ("a.aiff", "pcm_s16be"),
        ("a.mp3", "libmp3lame"),
    ],
)
def test_all_parts_of_a_joined_file_are_decoded(name, codec, data, tmp_path):
    joined, length = b"", 0.0
    for number, rate in ((1, 48_000), (2, 24_000)):
        samples = load(data / f"austen-{number}.flac").samples
        length += len(samples) / SAMPLE_RATE
        part = tmp_path / f"{number}{name}"
        repeated = np.repeat(samples, rate // SAMPLE_RATE if rate == 48_000 else 1)
        rate = rate if rate == 48_000 else SAMPLE_RATE
        write(part, (mono(repeated), [(0, 0.0)]), rate=rate, codec=codec)
        joined += part.read_bytes()
    path = tmp_path / name
    path.write_bytes(joined)
    samples = load(path).samples
    assert len(samples) / SAMPLE_RATE == pytest.approx(length, abs=0.3)
    assert (
        likeness(samples[-2 * SAMPLE_RATE :], load(data / "austen-2.flac").samples[-32000:]) > 0.8
    )


def test_broken_part_of_a_joined_file_is_reported(speech, tmp_path):
    path = tmp_path / "a.wav"
    broken = b"RIFF\x24\0\0\0WAVEfmt \x10\0\0\0" + bytes(24)
    path.write_bytes(wav_bytes(speech) + broken)
    recording = load(path)
    assert recording.duration_s == pytest.approx(7.1)
    assert "2 files were joined to make it, and one of them, 44 bytes long" in recording.notices[0]


# -- lengths -------------------------------------------------------------------------------------


def test_file_that_declares_too_great_a_length_is_refused_before_decoding(tmp_path, monkeypatch):
    second = np.zeros((1, SAMPLE_RATE), np.float32)
    path = write(tmp_path / "a.flac", (np.tile(second, 60), [(0, 0.0)]), codec="flac")
    monkeypatch.setattr("sttlab.decoding.LONGEST_LOAD_S", 30)

    def never(*_: object) -> None:
        raise AssertionError("it was decoded")

    monkeypatch.setattr("sttlab.decoding.TrackReader", never)
    with pytest.raises(DecodeError, match="longer than"):
        load(path)


@pytest.mark.parametrize("name", ["a.flv", "a.voc", "a.nut"])
def test_further_container_formats_are_decoded(name, speech, tmp_path):
    codec = {"a.flv": "libmp3lame", "a.voc": "pcm_u8"}.get(name, "pcm_s16le")
    rate = 44_100 if name == "a.flv" else SAMPLE_RATE
    tone = np.sin(2 * np.pi * 440 * np.arange(2 * rate) / rate).astype("f4") / 2
    path = write(tmp_path / name, (mono(tone), [(0, 0.0)]), rate=rate, codec=codec)
    heard = load(Path(path)).samples
    assert len(heard) / SAMPLE_RATE == pytest.approx(2, abs=0.1)
    assert level_dbfs(heard[8000:-8000]) == pytest.approx(-9, abs=1)


# -- errors of the system --------------------------------------------------------------------------


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such limit")
@pytest.mark.parametrize("free", [0, 1])
def test_too_many_open_files_is_not_called_a_file_without_audio(data, free):
    """With none free, Python can't open the file; with one, FFmpeg can't."""
    import resource

    path = data / "word.mp3"
    load(path)  # what it imports needs descriptors too
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest = os.open(os.devnull, os.O_RDONLY)
    os.close(lowest)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest + free, before[1]))
    try:
        with pytest.raises(DecodeError) as refused:
            load(path)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    assert "can't be read: Too many open files; close files" in str(refused.value)
    assert "not an audio file" not in str(refused.value)
