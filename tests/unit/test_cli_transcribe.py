"""`sttlab transcribe` with real tiny.en, on real speech and on files that are not audio."""

import json
import os
import shutil
import signal
import subprocess
import sys
import wave
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from sttlab.audio import Recording
from sttlab.cli import main
from sttlab.decoding import load
from sttlab.evaluate.labels import load_labels

pytestmark = [
    pytest.mark.needs("whisper"),
    # Whisper leaves the file of its vocabulary open.
    pytest.mark.filterwarnings("ignore:unclosed file .*tiktoken:ResourceWarning"),
]

COMMAND = [sys.executable, "-m", "sttlab", "transcribe"]


def encode(path: Path, codec: str, rate: int, layout: str, samples: np.ndarray) -> None:
    """Write samples, shape (channels, n), float32, with FFmpeg."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate)
        stream.codec_context.layout = layout
        frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout=layout)
        frame.sample_rate = rate
        resampler = av.AudioResampler(
            format=stream.codec_context.format, layout=layout, rate=rate, frame_size=1024
        )
        for part in [*resampler.resample(frame), *resampler.resample(None)]:
            container.mux(stream.encode(part))
        container.mux(stream.encode(None))


@pytest.fixture(scope="session")
def speech(data: Path) -> np.ndarray:
    """The first utterance of the demo, at 16 kHz, shape (n,)."""
    with av.open(str(data / "demo.flac")) as container:
        to_floats = av.AudioResampler(format="flt", layout="mono", rate=16000)
        frames = [f for frame in container.decode(audio=0) for f in to_floats.resample(frame)]
    samples = np.concatenate([frame.to_ndarray().ravel() for frame in frames])
    return samples[: int(8.5 * 16000)]


@pytest.fixture
def bad(tmp_path: Path, data: Path) -> list[Path]:
    """Files that can't be transcribed."""
    folder = tmp_path / "bad"
    folder.mkdir()
    (folder / "empty.wav").touch()
    (folder / "text.wav").write_text("This is no sound.\n" * 100)
    (folder / "header.flac").write_bytes((data / "demo.flac").read_bytes()[:60])
    with wave.open(str(folder / "nothing.wav"), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16000)
    with av.open(str(folder / "silent.mp4"), "w") as container:
        video = container.add_stream("mpeg4", rate=Fraction(10))
        video.width = video.height = 64
        frame = av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), format="rgb24")
        container.mux(video.encode(frame))
        container.mux(video.encode(None))
    return [*sorted(folder.iterdir()), folder, tmp_path / "not here.wav"]


@pytest.fixture
def good(tmp_path: Path, data: Path, speech: np.ndarray) -> list[Path]:
    """The same words in unusual, valid formats."""
    folder = tmp_path / "good"
    folder.mkdir()
    with wave.open(str(folder / "8 kHz.wav"), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes((speech[::2] * 32767).astype("<i2").tobytes())
    surround = np.zeros((6, len(speech)), np.float32)
    surround[2] = speech  # the centre, where speech is
    encode(folder / "5.1.m4a", "aac", 16000, "5.1", surround)
    shutil.copy(data / "demo.flac", folder / "-ünïcode 日本 [bold] 'q'.flac")
    return sorted(folder.iterdir())


def test_bad_files_are_reported_on_a_line_and_the_others_transcribed(
    bad: list[Path], good: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    files = [str(path) for path in [*bad[:3], *good, *bad[3:]]]
    assert main(["transcribe", "--format", "json", *files]) == 1
    out, err = capsys.readouterr()
    results = [json.loads(line) for line in out.splitlines()]
    assert [r["file"] for r in results] == [str(path) for path in good]
    for result in results:
        assert "dashwood" in result["text"].lower()
    for path in bad:
        begins = (f"sttlab: {path} ", f"sttlab: {path}: ")
        said = [line for line in err.splitlines() if line.startswith(begins)]
        assert len(said) == 1, err
    assert "Traceback" not in err


def test_json_output_has_its_documented_keys(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = data / "demo.flac"
    assert main(["transcribe", "--format", "json", str(path)]) == 0
    out = capsys.readouterr().out
    assert out.count("\n") == 1
    result = json.loads(out)
    assert list(result) == ["file", "duration_s", "language", "text", "segments"]
    assert (result["file"], result["language"]) == (str(path), "en")
    assert result["duration_s"] == pytest.approx(31.13, abs=0.01)
    assert result["text"] == " ".join(s["text"] for s in result["segments"])
    before = 0.0
    for part in result["segments"]:
        assert list(part) == ["start", "end", "text", "confidence"]
        assert before <= part["start"] < part["end"] <= result["duration_s"]
        assert 0 <= part["confidence"] <= 1
        before = part["start"]
    assert len(result["segments"]) >= 5


def test_output_folder_gets_a_result_for_each_file(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "b").mkdir()
    twin = Path(shutil.copy(data / "word.mp3", tmp_path / "b" / "demo.mp3"))
    folder = tmp_path / "new" / "folder"
    call = ["transcribe", "--format", "srt", "--output", str(folder)]
    assert main([*call, str(data / "demo.flac"), str(twin)]) == 0
    assert capsys.readouterr().out == ""
    assert sorted(path.name for path in folder.iterdir()) == ["demo.mp3.srt", "demo.srt"]
    text = (folder / "demo.srt").read_text("utf-8")
    assert text.startswith("1\n00:00:0")
    assert "Dashwood" in text
    assert "Dashwood" not in (folder / "demo.mp3.srt").read_text("utf-8")


def test_a_recording_without_speech_gives_an_empty_result(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "silence.wav"
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16000)
        file.writeframes(bytes(2 * 16000 * 3))
    assert main(["transcribe", str(path)]) == 0
    assert capsys.readouterr().out == ""
    assert main(["transcribe", "--format", "json", str(path)]) == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["text"], result["segments"], result["language"]) == ("", [], None)


def test_output_folder_that_cannot_be_made_prints_one_line(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    call = ["transcribe", "--output", str(tmp_path / "file" / "folder")]
    assert main([*call, str(data / "demo.flac")]) == 1
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert str(tmp_path / "file") in err


def test_unknown_model_prints_one_line(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    call = ["transcribe", "--model", "nowhere/model.pt", str(data / "demo.flac")]
    assert main(call) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert "nowhere/model.pt" in err.splitlines()[-1]
    assert "Traceback" not in err


def test_closed_pipe_of_stdout_is_no_error(data: Path) -> None:
    process = subprocess.Popen(
        [*COMMAND, str(data / "demo.flac"), str(data / "word.mp3")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout
    assert process.stderr
    process.stdout.close()
    said = process.stderr.read().decode()
    process.stderr.close()
    assert process.wait(60) == 1
    assert "Traceback" not in said
    assert "rror" not in said


@pytest.mark.skipif(sys.platform == "win32", reason="sends a POSIX signal")
@pytest.mark.parametrize("moment", ["loading", "monologue"])
def test_ctrl_c_stops_transcribe_at_once(moment: str, data: Path) -> None:
    """While torch and the model load, and while the engine decodes."""
    process = subprocess.Popen(
        [*COMMAND, str(data / "monologue.flac")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr
    for line in process.stderr:
        if moment in line:
            break
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=10)
    assert (process.returncode, out) == (130, "")
    assert err.splitlines()[-1] == "sttlab: stopped"
    assert "Traceback" not in err


def test_output_is_utf8_with_any_locale(data: Path, tmp_path: Path) -> None:
    path = Path(shutil.copy(data / "word.mp3", tmp_path / "日本.mp3"))
    environment = {**os.environ, "PYTHONIOENCODING": "cp1252", "PYTHONUTF8": "0"}
    done = subprocess.run(
        [*COMMAND, "--format", "json", str(path)],
        capture_output=True,
        env=environment,
        timeout=120,
        check=False,
    )
    assert (done.returncode, json.loads(done.stdout.decode("utf-8"))["file"]) == (0, str(path))


def test_a_track_and_a_channel_are_chosen_by_options(
    tmp_path: Path, speech: np.ndarray, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "two.wav"
    encode(path, "pcm_s16le", 16000, "stereo", np.stack([speech, np.roll(speech[::-1], 9)]))
    assert main(["transcribe", str(path), "--channel", "1"]) == 0
    out, err = capsys.readouterr()
    assert "Dashwood had then leisure to consider" in out
    assert "channels" not in err
    assert main(["transcribe", str(path), "--track", "2"]) == 1
    assert "has no audio track 2; it has track 1 (pcm_s16le, 2 ch" in capsys.readouterr().err


@pytest.mark.needs("speakers")
def test_speakers_are_named_in_every_format(data: Path, tmp_path: Path) -> None:
    one = load(data / "austen-1.flac").samples[:64000]
    other = load(data / "monologue.flac").samples[48000:128000]
    level = np.float32(one.std() / other.std())
    Recording(np.concatenate([one, other * level]), 16000).save(tmp_path / "two.flac")
    for name in ("json", "rttm"):
        call = ["transcribe", "--speakers", "--num-speakers", "2", "--format", name]
        assert main([*call, "--output", str(tmp_path), str(tmp_path / "two.flac")]) == 0
    segments = json.loads((tmp_path / "two.json").read_text("utf-8"))["segments"]
    speakers = [segment["speaker"] for segment in segments]
    assert list(dict.fromkeys(speakers)) == ["Speaker 1", "Speaker 2"]
    assert "dashwood" in segments[0]["text"].lower()
    assert load_labels(tmp_path / "two.rttm").speakers == ("Speaker_1", "Speaker_2")


@pytest.mark.parametrize("option", [["--num-speakers", "2"], ["--format", "rttm"]])
def test_options_about_speakers_need_speakers(
    data: Path, option: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["transcribe", *option, str(data / "word.mp3")]) != 0
    assert "needs --speakers" in capsys.readouterr().err
