"""Clients that send another form than 16-bit mono samples: understood if they say so, else told."""

from __future__ import annotations

import base64
import contextlib
import io
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import psutil
import pytest
from numpy.typing import NDArray
from websockets.exceptions import ConnectionClosed

from sttlab.audio import to_pcm16, wav_bytes
from sttlab.config import TranscribeConfig
from sttlab.decoding import load
from sttlab.engines import make_engine
from sttlab.live.session import Session
from sttlab.server import decode_live
from sttlab.server.forms import Form, Unpacker, from_mulaw
from sttlab.server.launch import ServerHandle, launch_server
from sttlab.server.recognise import Recogniser, audio_in_text
from tests.fakes import Blocks
from tests.server.clients import OWN, all_of, client, closed_with, decoders, send, wait_until_not

WORDS = ("Dashwood", "consider", "prudently")  # of austen-1
CHUNK = 3200


def encode(samples: NDArray[np.float32], codec: str, container: str, rate: int = 16000) -> bytes:
    """Encode samples as `codec` in a container, as a file that can be streamed."""
    out = io.BytesIO()
    options = {"cluster_time_limit": "250"} if container == "webm" else {}
    with av.open(out, "w", format=container, options=options) as file:
        stream = file.add_stream(codec, rate=rate, layout="mono")
        resampler = av.AudioResampler(format=stream.format, layout="mono", rate=rate)
        frame = av.AudioFrame.from_ndarray(samples[None], format="flt", layout="mono")
        frame.sample_rate = 16000
        for piece in (*resampler.resample(frame), *resampler.resample(None)):
            file.mux(stream.encode(piece))
        file.mux(stream.encode(None))
    return out.getvalue()


@pytest.fixture(scope="module")
def spoken(data: Path) -> NDArray[np.float32]:
    return load(data / "austen-1.flac").samples


@pytest.fixture(scope="module")
def sent(spoken: NDArray[np.float32]) -> dict[str, bytes]:
    """The same speech in each form."""
    pcm = to_pcm16(spoken)
    return {
        "s16le": pcm.tobytes(),
        "f32le": spoken.astype("<f4").tobytes(),
        "stereo": np.repeat(pcm, 2).tobytes(),
        "one dead channel": np.stack([pcm, 0 * pcm], 1).tobytes(),
        "big-endian": pcm.astype(">i2").tobytes(),
        "8-bit": ((pcm >> 8) + 128).astype("u1").tobytes(),
        "mulaw": encode(spoken, "pcm_mulaw", "mulaw", 8000),
        "wav": wav_bytes(spoken),
        "webm": encode(spoken, "libopus", "webm", 48000),
        "ogg": encode(spoken, "libopus", "ogg", 48000),
        "flac": encode(spoken, "flac", "flac"),
        "json": json.dumps({"audio": pcm.tolist()}).encode(),
    }


@pytest.fixture(scope="module")
def server() -> Iterator[ServerHandle]:
    engine = make_engine(TranscribeConfig(model="tiny.en"))
    with launch_server(Session(Blocks(then_wait=True), model=engine), port=0) as handle:
        yield handle


@pytest.mark.needs("whisper")
@pytest.mark.parametrize(
    ("form", "query"),
    [
        ("s16le", ""),
        ("s16le", "&format=s16le&rate=16000&channels=1"),
        ("f32le", "&format=f32le"),
        ("stereo", "&channels=2"),
        ("one dead channel", "&channels=2"),
        ("mulaw", "&format=mulaw"),
        ("mulaw", "&format=mulaw&rate=8000"),
        ("webm", "&format=webm"),
        ("ogg", "&format=ogg"),
    ],
)
def test_each_form_is_understood_if_the_client_names_it(
    server: ServerHandle, sent: dict[str, bytes], form: str, query: str
) -> None:
    with client(server, OWN + query) as own:
        for start in range(0, len(sent[form]), CHUNK):
            own.send(sent[form][start : start + CHUNK])
        send(own, end=True)
        received, code = all_of(own)
    assert code == 1000
    text = " ".join(message["text"] for message in received)
    assert all(word in text for word in WORDS), text


@pytest.mark.needs("whisper")
@pytest.mark.parametrize(
    ("form", "query", "says"),
    [
        ("f32le", "", "format=f32le"),
        ("stereo", "", "channels=2"),
        ("one dead channel", "", "channels=2"),
        ("mulaw", "&rate=8000", "format=mulaw"),
        ("mulaw", "", "format=mulaw"),
        ("big-endian", "", "little-endian"),
        ("8-bit", "", "16-bit"),
        ("wav", "", "without the header"),
        ("webm", "&rate=48000", "format=webm"),
        ("ogg", "", "format=ogg"),
        ("flac", "", "this is FLAC"),
        ("json", "", "this is text"),
        ("s16le", "&format=f32le", "not 32-bit"),
        ("s16le", "&format=webm", "not webm that can be decoded"),
        ("s16le", "&format=ogg", "not ogg that can be decoded"),
        ("s16le", "&format=flac", "format: "),
        ("s16le", "&channels=0", "channels must be"),
        ("s16le", "&sample_rate=16000", "unknown 'sample_rate'; known are events"),
    ],
)
@pytest.mark.parametrize("events", ["", "&events=all"])
def test_another_form_is_recognised_and_the_close_reason_says_what_to_send(
    server: ServerHandle, sent: dict[str, bytes], form: str, query: str, says: str, events: str
) -> None:
    with client(server, OWN + query + events) as own:
        with contextlib.suppress(ConnectionClosed):
            for start in range(0, len(sent[form]), CHUNK):
                own.send(sent[form][start : start + CHUNK])
            send(own, end=True)
        code, why = closed_with(own)
    assert code == 1008
    assert says in why
    assert len(why.encode()) <= 123


@pytest.mark.needs("whisper")
def test_audio_in_text_is_told_to_be_sent_as_binary(
    server: ServerHandle, sent: dict[str, bytes]
) -> None:
    base = base64.b64encode(sent["mulaw"][:160]).decode()
    numbers = [0.25, -0.5] * 20
    for text in (
        base,
        json.dumps({"type": "input_audio_buffer.append", "audio": base}),
        json.dumps({"event": "media", "media": {"payload": base}}),
        f"data:audio/webm;base64,{base}",
        json.dumps(numbers),
        json.dumps(dict(enumerate(numbers))),
    ):
        with client(server, OWN) as own:
            own.send(text)
            code, why = closed_with(own)
        assert (code, "binary messages" in why) == (1008, True)


@pytest.mark.needs("whisper")
def test_rate_format_and_channels_need_audio_of_the_client(server: ServerHandle) -> None:
    with client(server, "?rate=16000") as plain:
        code, why = closed_with(plain)
    assert (code, "source=client" in why) == (1008, True)


@pytest.mark.needs("whisper")
def test_a_decoder_ends_with_its_client(server: ServerHandle, sent: dict[str, bytes]) -> None:
    with client(server, f"{OWN}&format=webm&events=all") as own:
        own.send(sent["webm"][:CHUNK])
        assert decoders(decode_live)
    wait_until_not(lambda: decoders(decode_live))


@pytest.mark.needs("whisper")
def test_what_opens_and_never_ends_is_bounded(server: ServerHandle, sent: dict[str, bytes]) -> None:
    """Garbage after a header, and a stream that comes far faster than it is spoken."""
    rng = np.random.default_rng(0)
    garbage = sent["webm"][:2000] + rng.bytes(60_000)
    flood = sent["webm"] * 200
    files_open = psutil.Process().num_fds() if hasattr(psutil.Process, "num_fds") else 0
    for data in (garbage, flood):
        with client(server, f"{OWN}&format=webm") as own, contextlib.suppress(ConnectionClosed):
            for start in range(0, len(data), 60_000):
                own.send(data[start : start + 60_000])
                threading.Event().wait(0.02)
    with client(server, OWN) as well:
        for start in range(0, len(sent["s16le"]), CHUNK):
            well.send(sent["s16le"][start : start + CHUNK])
        send(well, end=True)
        assert json.loads(well.recv(timeout=60))["text"]
    wait_until_not(lambda: decoders(decode_live))
    if hasattr(psutil.Process, "num_fds"):  # not on Windows
        wait_until_not(lambda: psutil.Process().num_fds() > files_open)


def test_mulaw_is_decoded_as_ffmpeg_does() -> None:
    codes = bytes(range(256))
    with av.open(io.BytesIO(codes), format="mulaw") as file:
        frames = [frame.to_ndarray().ravel() for frame in file.decode(audio=0)]
    assert np.array_equal(from_mulaw(codes) * 32768, np.concatenate(frames))


def variants(samples: NDArray[np.float32]) -> dict[str, NDArray[np.floating[Any]]]:
    """Speech as it comes from microphones, right but quiet, loud, noisy or with an offset."""
    rng = np.random.default_rng(0)
    level = np.sqrt(np.mean(np.square(samples)))
    time_s = np.arange(len(samples)) / 16000
    return {
        "plain": samples,
        "quiet": samples * 0.003,
        "clipped": samples * 20,
        "noisy": samples + rng.standard_normal(len(samples)) * level,
        "hiss": samples * 0.1 + rng.standard_normal(len(samples)) * 0.1,
        "offset": samples * 0.3 + 0.45,
        "hum": samples * 0.3 + 0.25 * np.sin(2 * np.pi * 50 * time_s),
        "gated": np.where(np.abs(samples) < 0.01, 0, samples),
        "whistle": samples * 0.3 + 0.1 * np.sin(2 * np.pi * 4000 * time_s),
    }


def test_speech_that_is_sent_right_is_never_taken_for_another_form(data: Path) -> None:
    for path in sorted(p for p in data.iterdir() if p.suffix in (".flac", ".wav", ".mp3", ".opus")):
        for name, samples in variants(load(path).samples).items():
            pcm = to_pcm16(np.clip(samples, -1, 1).astype(np.float32))
            assert Recogniser(16000).hear(pcm.tobytes()) is None, (path.name, name)


def test_noise_and_silence_are_taken_for_no_other_form() -> None:
    rng = np.random.default_rng(0)
    count = 20 * 16000
    for scale in (0, 0.5, 1, 3, 100, 10_000, 100_000):
        noise = np.clip(rng.standard_normal(count) * scale, -32768, 32767).astype("<i2")
        assert Recogniser(16000).hear(noise.tobytes()) is None, scale


def test_bursts_of_noise_between_silences_are_taken_for_no_other_form() -> None:
    rng = np.random.default_rng(0)
    burst = rng.standard_normal(6400) * 3000
    for between in (np.zeros(6400), np.full(6400, 40.0), 40 + rng.standard_normal(6400) * 10):
        pcm = np.tile(np.concatenate([burst, between]), 20).astype("<i2")
        for delay in range(0, 12800, 1600):
            assert Recogniser(16000).hear(pcm[delay:].tobytes()) is None, delay


def test_numbers_in_text_are_judged_at_once() -> None:
    assert audio_in_text("1, " * 29 + "!" * 100) is None
    assert audio_in_text("1, " * 30 + "!" * 100) is not None


def test_a_float_that_is_not_a_number_spoils_no_later_audio() -> None:
    unpacker = Unpacker(Form("f32le", channels=2))
    audio = np.random.default_rng(0).uniform(-0.5, 0.5, 2 * 16000).astype("<f4")
    broken = audio.copy()
    broken[100] = np.nan
    assert np.isfinite(unpacker.unpack(broken.tobytes())).all()
    later = unpacker.unpack(audio.tobytes())
    assert np.isfinite(later).all()
    assert later.any()
