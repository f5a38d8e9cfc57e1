"""Decoding of every file format, normalisation of arrays, and recordings."""

import base64
import logging
import os
import re
import struct
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

import sttlab.decoding
from sttlab.audio import (
    FLOOR_DBFS,
    SAMPLE_RATE,
    Recording,
    from_pcm16,
    level_dbfs,
    normalise,
    speech_level_dbfs,
    to_pcm16,
    trace_svg,
    wav_bytes,
)
from sttlab.decoding import load, open_audio
from sttlab.errors import DecodeError, SourceError

SECONDS = 1.5
TONE_HZ = 440


def tone(rate=SAMPLE_RATE, seconds=SECONDS, *, peak=0.5, hz=TONE_HZ):
    return (peak * np.sin(2 * np.pi * hz * np.arange(round(seconds * rate)) / rate)).astype("f4")


def write(path, channels, *, codec, rate=SAMPLE_RATE, layout="mono", container=None, video=False):
    """Write audio of shape (channels, n) with PyAV."""
    with av.open(str(path), "w", format=container) as file:
        if video:
            picture = file.add_stream("mpeg4", rate=25)
            picture.width = picture.height = 16
        if codec:
            sound = file.add_stream(codec, rate=rate, layout=layout)
            sound.bit_rate = 128_000
        if video:
            blank = av.VideoFrame.from_ndarray(np.zeros((16, 16, 3), np.uint8), format="rgb24")
            file.mux(picture.encode(blank))
            file.mux(picture.encode(None))
        if codec:
            packed = np.ascontiguousarray(np.transpose(channels), np.float32).reshape(1, -1)
            frame = av.AudioFrame.from_ndarray(packed, format="flt", layout=layout)
            frame.sample_rate = rate
            to_codec = av.AudioResampler(format=sound.format, layout=layout, rate=rate)
            fifo = av.AudioFifo()
            for part in to_codec.resample(frame):
                part.pts = None
                fifo.write(part)
            size = sound.codec_context.frame_size or 1024
            while piece := fifo.read(size, partial=True):
                piece.pts = None
                file.mux(sound.encode(piece))
            file.mux(sound.encode(None))
    return path


def strongest_hz(samples):
    """Return the frequency of the strongest tone."""
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    return spectrum.argmax() * SAMPLE_RATE / len(samples)


def check_is_tone(samples, *, seconds=SECONDS, peak=0.5):
    assert samples.dtype == np.float32
    assert samples.ndim == 1
    # Lossy codecs pad the first and the last block, but lose no audio.
    assert len(samples) / SAMPLE_RATE == pytest.approx(seconds, abs=0.1)
    assert strongest_hz(samples) == pytest.approx(TONE_HZ, abs=2)
    middle = samples[len(samples) // 4 : -len(samples) // 4]
    assert np.sqrt(2 * np.mean(middle**2)) == pytest.approx(peak, rel=0.15)


CONTAINERS = [
    ("a.wav", "pcm_s16le", 44_100),
    ("a.wav", "pcm_u8", 8_000),
    ("a.wav", "pcm_s24le", 96_000),
    ("a.wav", "pcm_f32le", 22_050),
    ("a.wav", "pcm_mulaw", 8_000),
    ("a.flac", "flac", 48_000),
    ("a.mp3", "libmp3lame", 44_100),
    ("a.m4a", "aac", 44_100),
    ("a.ogg", "libopus", 48_000),
    ("a.mp2", "mp2", 44_100),
    ("a.wma", "wmav2", 44_100),
    ("a.3gp", "aac", 44_100),
    ("a.opus", "libopus", 48_000),
    ("a.webm", "libopus", 48_000),
    ("a.mkv", "pcm_s16le", 16_000),
    ("a.aiff", "pcm_s16be", 11_025),
    ("a.au", "pcm_s16be", 32_000),
    ("a.caf", "pcm_s16be", 44_100),
    ("a.mp4", "aac", 32_000),
    ("a.mov", "pcm_s16le", 44_100),
    ("a.avi", "pcm_s16le", 44_100),
    ("a.ts", "aac", 48_000),
    ("a.aac", "aac", 44_100),
    ("a.w64", "pcm_s16le", 16_000),
]


@pytest.mark.parametrize(("name", "codec", "rate"), CONTAINERS)
def test_every_container_format_is_decoded(tmp_path, name, codec, rate):
    path = write(tmp_path / name, tone(rate)[np.newaxis], codec=codec, rate=rate)
    recording = load(path)
    check_is_tone(recording.samples)
    assert recording.sample_rate == SAMPLE_RATE
    assert recording.origin == str(path)


def test_audio_track_of_a_video_is_decoded(tmp_path):
    path = write(tmp_path / "a.mp4", tone(48_000)[np.newaxis], codec="aac", rate=48_000, video=True)
    check_is_tone(load(path).samples)


def test_lossless_formats_decode_to_the_same_samples(tmp_path):
    sound = from_pcm16(to_pcm16(tone()))
    for name, codec in (("a.wav", "pcm_s16le"), ("a.flac", "flac")):
        path = write(tmp_path / name, sound[np.newaxis], codec=codec)
        assert np.array_equal(load(path).samples, sound)


@pytest.mark.parametrize("layout", ["stereo", "5.1", "7.1"])
@pytest.mark.parametrize("codec", ["pcm_s16le", "pcm_f32le"])
def test_channels_are_downmixed_by_their_mean(tmp_path, layout, codec):
    count = {"stereo": 2, "5.1": 6, "7.1": 8}[layout]
    same = write(tmp_path / "same.wav", np.tile(tone(), (count, 1)), codec=codec, layout=layout)
    check_is_tone(load(same).samples)
    two = np.zeros((count, len(tone())))
    two[0], two[1] = tone(), tone() / 2
    some = write(tmp_path / "some.wav", two, codec=codec, layout=layout)
    check_is_tone(load(some).samples, peak=0.375)  # silent channels are left out


def test_file_and_array_of_its_samples_give_equal_recordings(tmp_path):
    channels = np.stack([tone(), tone(hz=1000, peak=0.2)])
    path = write(tmp_path / "a.wav", channels, codec="pcm_f32le", layout="stereo")
    assert load(path).samples == pytest.approx(normalise(channels, SAMPLE_RATE), abs=1e-6)


def test_float_file_above_full_scale_is_scaled_down_as_an_array_is(tmp_path):
    for peak in (2.0, 32768.0):
        path = write(tmp_path / "a.wav", tone(peak=peak)[np.newaxis], codec="pcm_f32le")
        assert load(path).samples == pytest.approx(tone(peak=1.0), abs=1e-3)
        assert load(path).samples == pytest.approx(Recording(tone(peak=peak)).samples, abs=1e-6)


def test_nan_and_inf_in_a_file_become_silence(tmp_path):
    sound = tone()
    sound[100], sound[200] = np.nan, np.inf
    path = write(tmp_path / "a.wav", sound[np.newaxis], codec="pcm_f32le")
    samples = load(path).samples
    assert samples[100] == samples[200] == 0
    assert np.isfinite(samples).all()


def test_file_with_unusual_characters_in_its_name_loads(tmp_path):
    for name in ("ä b %20 #1?.wav", "http:a.wav", "-i.wav"):
        (tmp_path / name).write_bytes(wav_bytes(tone()))
        check_is_tone(load(tmp_path / name).samples)


def test_file_with_a_latin_1_title_loads(tmp_path):
    title = b"INFOINAM" + struct.pack("<I", 6) + "cafés".encode("latin-1") + b"\0"
    whole = wav_bytes(tone()) + b"LIST" + struct.pack("<I", len(title)) + title
    path = tmp_path / "a.wav"
    path.write_bytes(whole[:4] + struct.pack("<I", len(whole) - 8) + whole[8:])
    check_is_tone(load(path).samples)


# -- broken and misleading files ---------------------------------------------------------------


def refused(path):
    with pytest.raises(DecodeError) as caught:
        load(path)
    message = str(caught.value)
    assert str(path) in message
    assert "\n" not in message
    return message


def test_missing_or_empty_file_is_refused(tmp_path):
    assert "not there" in refused(tmp_path / "a.wav")
    assert "a folder" in refused(tmp_path)
    assert ": give a recording" in refused(Path(os.devnull))
    empty = tmp_path / "empty.wav"
    empty.touch()
    assert "is empty" in refused(empty)


@pytest.mark.parametrize("suffix", ["wav", "flac", "mp3", "m4a", "ogg", "txt", "webm"])
def test_text_file_is_refused_with_any_audio_suffix(tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
    path.write_text("It is a truth universally acknowledged.\n" * 100)
    message = refused(path)
    assert "Errno" not in message
    assert message.count(str(path)) == 1


def test_random_bytes_with_an_audio_suffix_are_refused(tmp_path):
    path = tmp_path / "a.mp3"
    path.write_bytes(np.random.default_rng(0).bytes(64))
    refused(path)


def test_video_without_audio_is_refused_with_the_reason(tmp_path):
    path = write(tmp_path / "a.mp4", None, codec=None, video=True)
    assert "no audio track" in refused(path)


def test_header_without_audio_data_is_refused(tmp_path):
    path = tmp_path / "a.wav"
    path.write_bytes(wav_bytes(tone())[:44])
    assert "holds no audio" in refused(path)
    path.write_bytes(wav_bytes(tone())[:30])
    refused(path)


def test_playlist_is_refused_and_opens_no_other_file(tmp_path):
    (tmp_path / "secret.wav").write_bytes(wav_bytes(tone()))
    for name, text in (
        ("a.m3u8", "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\nsecret.wav\n#EXT-X-ENDLIST\n"),
        ("a.ffconcat", "ffconcat version 1.0\nfile secret.wav\n"),
    ):
        path = tmp_path / name
        path.write_text(text)
        refused(path)


@pytest.mark.parametrize("rate", [1, 100, 4_000_000])
def test_file_with_an_invalid_sample_rate_is_refused(tmp_path, rate):
    whole = wav_bytes(tone())
    path = tmp_path / "a.wav"
    path.write_bytes(whole[:24] + struct.pack("<I", rate) + whole[28:])
    assert f"not {rate}" in refused(path)


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.mp3", "a.ogg", "a.webm", "a.aac"])
def test_truncated_file_decodes_up_to_the_cut(tmp_path, name):
    codec, rate = next((c, r) for n, c, r in CONTAINERS if n == name)
    path = write(tmp_path / name, tone(rate, 4.0)[np.newaxis], codec=codec, rate=rate)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 3 // 5])
    samples = load(path).samples
    assert 1.0 < len(samples) / SAMPLE_RATE < 3.5
    assert strongest_hz(samples) == pytest.approx(TONE_HZ, abs=2)


def test_declared_length_of_a_file_is_not_trusted(tmp_path):
    whole = bytearray(wav_bytes(tone()))
    at = whole.index(b"data") + 4
    whole[4:8] = whole[at : at + 4] = struct.pack("<I", 0xFFFF_FFF0)
    path = tmp_path / "a.wav"
    path.write_bytes(whole)
    assert np.array_equal(load(path).samples, from_pcm16(to_pcm16(tone())))
    flac = write(tmp_path / "a.flac", tone()[np.newaxis], codec="flac")
    claims = bytearray(flac.read_bytes())
    claims[21] |= 0x0F  # the length in samples: 36 bits
    claims[22:26] = b"\xff" * 4
    flac.write_bytes(claims)
    check_is_tone(load(flac).samples)


@pytest.mark.parametrize("name", ["a.flac", "a.mp3", "a.ts"])
def test_decoding_goes_on_after_broken_packets(tmp_path, name):
    codec, rate = next((c, r) for n, c, r in CONTAINERS if n == name)
    path = write(tmp_path / name, tone(rate, 4.0)[np.newaxis], codec=codec, rate=rate)
    break_at(path, 0.5)
    samples = load(path).samples
    assert 3.0 < len(samples) / SAMPLE_RATE < 4.2
    assert strongest_hz(samples[-SAMPLE_RATE:]) == pytest.approx(TONE_HZ, abs=2)


def test_audio_left_out_of_a_file_is_logged(tmp_path, caplog):
    path = write(tmp_path / "a.m4a", tone(44_100, 4.0)[np.newaxis], codec="aac", rate=44_100)
    break_at(path, 0.5)
    with caplog.at_level(logging.WARNING, "sttlab.decoding"):
        assert len(load(path).samples) / SAMPLE_RATE > 3.0
    assert f"{path} is broken" in caplog.text


def break_at(path, part):
    whole = bytearray(path.read_bytes())
    at = int(part * len(whole))
    whole[at : at + 600] = np.random.default_rng(0).bytes(600)
    path.write_bytes(whole)


@pytest.mark.parametrize(("name", "codec"), [("mp3", "libmp3lame"), ("aac", "aac")])
def test_sample_rate_and_channels_may_change_within_a_file(tmp_path, name, codec):
    mono = write(tmp_path / f"1.{name}", tone(44_100)[np.newaxis], codec=codec, rate=44_100)
    both = np.tile(tone(24_000), (2, 1))
    stereo = write(tmp_path / f"2.{name}", both, codec=codec, rate=24_000, layout="stereo")
    path = tmp_path / f"joined.{name}"
    path.write_bytes(mono.read_bytes() + stereo.read_bytes())
    samples = load(path).samples
    assert len(samples) / SAMPLE_RATE == pytest.approx(2 * SECONDS, abs=0.2)
    check_is_tone(samples[:SAMPLE_RATE], seconds=1.0)
    check_is_tone(samples[-SAMPLE_RATE:], seconds=1.0)


def test_file_longer_than_the_limit_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "a.wav"
    path.write_bytes(wav_bytes(tone()))
    monkeypatch.setattr(sttlab.decoding, "LONGEST_LOAD_S", 1)
    assert "FileSource" in refused(path)
    with open_audio(path) as pieces:
        assert sum(map(len, pieces)) == len(tone())  # in pieces there is no limit


def test_every_recording_in_data_loads(data):
    for path in sorted(data.iterdir()):
        if path.suffix in {".flac", ".wav", ".mp3", ".ogg", ".opus"}:
            assert load(path).duration_s > 1


# -- arrays ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "dtype",
    ["i1", "u1", "i2", "u2", ">i2", "i4", "u4", "i8", "f2", "f4", "f8", ">f4", "longdouble"],
)
def test_every_dtype_gives_the_same_samples(dtype):
    kind = np.dtype(dtype)
    sound = tone().astype(np.float64)
    if kind.kind in "iu":
        half = 2.0 ** (8 * kind.itemsize - 1)
        sound = np.rint(sound * (half - 1) + (half if kind.kind == "u" else 0))
    normalised = normalise(sound.astype(kind), SAMPLE_RATE)
    assert normalised.dtype == np.float32
    assert normalised == pytest.approx(tone(), abs=0.02 if kind.itemsize == 1 else 1e-3)


def test_integer_full_scale_becomes_float_full_scale():
    for dtype in (np.uint8, np.int16, np.uint16, np.int32):
        ends = np.array([np.iinfo(dtype).min, np.iinfo(dtype).max], dtype)
        assert normalise(ends, SAMPLE_RATE) == pytest.approx([-1, 1], abs=0.01)


def test_channels_may_be_rows_or_columns_of_an_array():
    left, right = tone(), tone(hz=1000)
    expected = (left + right) / 2
    assert normalise(np.stack([left, right]), SAMPLE_RATE) == pytest.approx(expected)
    assert normalise(np.stack([left, right], axis=1), SAMPLE_RATE) == pytest.approx(expected)
    assert normalise(left[:, np.newaxis], SAMPLE_RATE) == pytest.approx(left)
    assert normalise(np.array([0.0, 0.5]), SAMPLE_RATE).tolist() == [0.0, 0.5]


@pytest.mark.parametrize("shape", [(0,), (0, 2), (2, 0), (0, 1)])
@pytest.mark.parametrize("rate", [8_000, SAMPLE_RATE, 44_100])
def test_normalise_of_empty_array_is_empty(shape, rate):
    assert normalise(np.zeros(shape, np.int16), rate).shape == (0,)


def test_nan_in_one_channel_silences_only_that_channel():
    stereo = np.stack([tone(), tone()])
    stereo[0, :100] = np.nan
    stereo[0, 100:200] = [np.inf, -np.inf] * 50
    normalised = normalise(stereo, SAMPLE_RATE)
    assert normalised[:200] == pytest.approx(tone()[:200] / 2)
    assert normalised[200:] == pytest.approx(tone()[200:])
    assert not normalise(np.full(100, np.nan), 8_000).any()


def test_floats_out_of_range_are_scaled_down():
    assert normalise(tone(peak=8.0), SAMPLE_RATE) == pytest.approx(tone(peak=1.0), abs=1e-3)
    as_integers = np.rint(tone(peak=1.0) * 32767).astype(np.float64)
    assert normalise(as_integers, SAMPLE_RATE) == pytest.approx(tone(peak=1.0), abs=1e-3)
    assert normalise(np.array([1e300, -5e299]), SAMPLE_RATE).tolist() == [1.0, -0.5]


def test_dc_offset_is_kept():
    assert normalise(np.full(100, 0.25), SAMPLE_RATE).tolist() == [0.25] * 100
    assert normalise(np.full(4410, 8192, np.int16), 44_100)[200:-200] == pytest.approx(0.25)


@pytest.mark.parametrize("rate", [1_000, 8_000, 11_025, 44_100, 48_000, 768_000])
def test_every_sample_rate_is_resampled_to_16_khz(rate):
    sound = normalise(tone(rate), rate)
    assert len(sound) == pytest.approx(SECONDS * SAMPLE_RATE, abs=1)
    check_is_tone(sound)


def test_resampled_audio_stays_within_full_scale():
    square = np.sign(tone(44_100)).astype(np.float32)
    assert np.abs(normalise(square, 44_100)).max() <= 1


@pytest.mark.parametrize("rate", [0, -16_000, 999, 768_001, float("nan"), float("inf")])
def test_sample_rate_out_of_bounds_is_refused(rate):
    with pytest.raises(SourceError, match="sample_rate must be between 1000 and 768000 Hz"):
        normalise(tone(), rate)


@pytest.mark.parametrize(
    "samples", [np.zeros(4, complex), np.array(["a"]), np.zeros((2, 2, 2)), np.float32(1), None]
)
def test_array_that_is_not_audio_is_refused(samples):
    with pytest.raises(SourceError, match="samples must be real numbers"):
        normalise(samples, SAMPLE_RATE)


def test_levels_are_dbfs():
    assert level_dbfs(np.ones(100, np.float32)) == pytest.approx(0)
    assert level_dbfs(tone(peak=1.0)) == pytest.approx(-3.01, abs=0.01)
    assert level_dbfs(np.zeros(100, np.float32)) == FLOOR_DBFS
    assert level_dbfs(np.empty(0, np.float32)) == FLOOR_DBFS


def test_speech_level_leaves_out_offset_and_hum():
    voice, rumble = tone(hz=1000, peak=0.1), np.float32(0.3) + tone(hz=50, peak=0.3)
    assert speech_level_dbfs(voice) == pytest.approx(-23, abs=0.1)
    assert speech_level_dbfs(voice + rumble) == pytest.approx(-23, abs=0.1)
    assert speech_level_dbfs(rumble) < -55
    assert speech_level_dbfs(np.zeros(100, np.float32)) == FLOOR_DBFS
    assert speech_level_dbfs(np.empty(0, np.float32)) == FLOOR_DBFS


def test_pcm16_round_trip_keeps_samples_and_clips():
    every = np.arange(-32768, 32768, dtype=np.int16)
    assert np.array_equal(to_pcm16(from_pcm16(every)), every)
    assert np.array_equal(from_pcm16(every.astype("<i2").tobytes()), from_pcm16(every))
    assert to_pcm16(np.array([-2, -1, 1, 2], "f4")).tolist() == [-32768, -32768, 32767, 32767]


# -- recordings --------------------------------------------------------------------------------


def test_recording_copies_its_samples_and_is_read_only():
    given = tone()
    recording = Recording(given)
    given[:] = 0
    assert np.array_equal(recording.samples, tone())
    with pytest.raises(ValueError, match="read-only"):
        recording.samples[0] = 1
    with pytest.raises(AttributeError):
        recording.samples = given  # type: ignore[misc]


def test_recording_accepts_any_array_of_audio():
    recording = Recording(np.tile(to_pcm16(tone(44_100)), (2, 1)), 44_100)
    assert recording.sample_rate == SAMPLE_RATE
    check_is_tone(recording.samples)
    with pytest.raises(SourceError):
        Recording(np.zeros(4, complex))


def test_recording_is_sliced_in_seconds():
    recording = Recording(tone(), origin="a")
    for cut, expected in (
        (slice(0.5, 1.0), tone()[8_000:16_000]),
        (slice(None, 0.25), tone()[:4_000]),
        (slice(-0.5, None), tone()[-8_000:]),
        (slice(1.0, 99.0), tone()[16_000:]),
        (slice(1.0, 0.5), tone()[:0]),
        (slice(None), tone()),
    ):
        assert np.array_equal(recording[cut].samples, expected)
    assert recording[0.5:1].duration_s == 0.5
    assert recording[0.5:1].origin == "a"
    wrongs: list[Any] = [1, slice(0, 1, 2)]
    for wrong in wrongs:
        with pytest.raises(TypeError, match=re.escape("recording[1.0:2.5]")):
            recording[wrong]


def test_slice_of_a_recording_keeps_its_level():
    loud = Recording(np.concatenate([tone(peak=0.1), np.sign(tone(44_100))]), 44_100)
    for begin, end in pairwise((0.0, 0.5, 1.0)):
        first, last = round(begin * SAMPLE_RATE), round(end * SAMPLE_RATE)
        assert np.array_equal(loud[begin:end].samples, loud.samples[first:last])


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "A.WAV", "ä %d.flac"])
@pytest.mark.parametrize("seconds", [SECONDS, 1 / SAMPLE_RATE])
def test_saved_recording_loads_to_equal_samples(tmp_path, name, seconds):
    recording = Recording(tone(seconds=seconds) + np.float32(0.25))
    recording.save(tmp_path / name)
    assert np.array_equal(to_pcm16(load(tmp_path / name).samples), to_pcm16(recording.samples))


@pytest.mark.parametrize("name", ["a.wav", "a.flac"])
def test_empty_recording_can_be_saved(tmp_path, name):
    Recording(np.empty(0, np.float32)).save(tmp_path / name)
    assert "holds no audio" in refused(tmp_path / name)


def test_save_to_an_unwritable_path_raises_with_the_reason(tmp_path):
    recording = Recording(tone())
    for name in ("a.mp3", "a"):
        with pytest.raises(SourceError, match=r"saved as \.wav or \.flac"):
            recording.save(tmp_path / name)
    for name in ("a.wav", "a.flac"):
        with pytest.raises(SourceError, match=r"cannot write .*No such file or directory"):
            recording.save(tmp_path / "nowhere" / name)
    assert list(tmp_path.iterdir()) == []


def played(page):
    data = re.search('src="data:audio/wav;base64,([^"]*)"', page)
    assert data is not None
    return base64.b64decode(data[1])


def test_html_of_a_recording_shows_its_level_and_plays(tmp_path):
    recording = Recording(tone(), origin="<b>.wav")
    page = recording._repr_html_()
    assert "&lt;b&gt;.wav: 1.50 s" in page
    assert "<svg" in page
    path = tmp_path / "a.wav"
    path.write_bytes(played(page))
    assert np.array_equal(to_pcm16(load(path).samples), to_pcm16(recording.samples))


def test_player_of_a_long_recording_holds_only_its_beginning():
    recording = Recording(np.zeros(301 * SAMPLE_RATE, np.float32))
    page = recording._repr_html_()
    assert "recording: 301.00 s, of which the player has the first 5 minutes" in page
    assert len(played(page)) == 44 + 2 * 300 * SAMPLE_RATE


def heights(picture):
    return [float(height) for height in re.findall(r",(\d+\.\d)", picture)]


@pytest.mark.parametrize("count", [0, 1, 319, 320, 12_345])
def test_level_trace_is_drawn_for_any_length(count):
    picture = trace_svg(np.ones(count, np.float32))
    assert heights(picture)
    assert "nan" not in picture


def test_level_trace_shows_speech_and_not_offset_or_hum():
    times_s = np.arange(SAMPLE_RATE) / SAMPLE_RATE
    rumble = 0.3 + 0.3 * np.sin(2 * np.pi * 50 * times_s)
    voice = np.sqrt(2) * 0.1 * np.sin(2 * np.pi * 1000 * times_s)
    bars = heights(trace_svg(np.concatenate([rumble, rumble + voice]).astype(np.float32)))
    assert min(bars[:50]) > 60
    assert bars[50:] == pytest.approx([20] * 50, abs=0.2)


def test_load_and_save_accept_str_and_path(tmp_path):
    path = tmp_path / "a.wav"
    Recording(tone()).save(str(path))
    assert load(str(path)).duration_s == load(Path(path)).duration_s == SECONDS
