"""The command line without a model: help, wrong calls, names of results."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from sttlab.cli import main
from sttlab.cli.options import Format
from sttlab.cli.transcribe import _targets

DEMO = str(Path(__file__).parents[2] / "data" / "demo.flac")
SUBCOMMANDS = ["serve", "demo", "transcribe", "replay", "compare", "sweep", "cache", "devices"]
SUBCOMMANDS += ["models", "lab"]


@pytest.mark.parametrize("command", [[], *([name] for name in SUBCOMMANDS)])
def test_help_goes_to_stdout_and_names_the_options(
    command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*command, "--help"]) == 0
    out, err = capsys.readouterr()
    assert out.startswith(f"Usage: {' '.join(['sttlab', *command])} ")
    assert err == ""


def test_help_names_every_command_and_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--help"])
    out = capsys.readouterr().out
    for name in SUBCOMMANDS:
        assert f"\n  {name} " in out
    for code in (0, 1, 2, 130):
        assert f"{code} " in out[out.index("Exit codes") :]


def test_help_loads_nothing_heavy() -> None:
    script = (
        "import sys; from sttlab.cli import main; main(['transcribe', '--help']); "
        "heavy = 'torch whisper numpy av soxr sounddevice fastapi websockets jupyterlab'.split();"
        "sys.exit(' '.join(name for name in heavy if name in sys.modules) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")


def test_version_option_prints_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    import sttlab

    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"{sttlab.__version__}\n"


@pytest.mark.parametrize(
    ("args", "named"),
    [
        ([], "Missing command"),
        (["transcrbe"], "transcrbe"),
        (["transcribe"], "FILE"),
        (["transcribe", "--format", "doc", "x.wav"], "doc"),
        (["transcribe", "x.wav", "--outptu", "y"], "--outptu"),
        (["transcribe", "x.wav", "--config", "nowhere.toml"], "nowhere.toml"),
        (["serve", "--port", "many"], "--port"),
        (["serve", "--port", "70000"], "--port"),
        (["serve", "--source", "nowhere.wav"], "nowhere.wav"),
        (["serve", "--source", __file__, "--device", "USB"], "--device"),
        (["serve", "--source", __file__, "--keyfile", __file__], "--certfile"),
        (["serve", "--source", __file__, "--token", "short"], "16 characters"),
        (["serve", "--source", DEMO, "--keep-days", "3"], "need --keep"),
        (["serve", "--source", DEMO, "--keep", "kept", "--keep-gb", "-1"], "max_gb must be"),
        (["replay", "nowhere"], "nowhere"),
        (["serve", "--source", DEMO, "--certfile", __file__], "can't be used"),
        (["serve", "--source", DEMO, "--allow-origin", "hub.example"], "no origin"),
    ],
)
def test_wrong_call_prints_one_line_and_exits_2(
    args: list[str], named: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(args) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert err.startswith("sttlab: ")
    assert named in err


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[vad]\nsilence_timeout_s = 99", "silence_timeout_s must be between"),
        ("[vad]\nsilence = 1", "silence"),
        ("[vad\n", "TOML"),
        ("[transcribe]\ntask = 'sing'", "sing"),
    ],
)
def test_invalid_settings_file_prints_one_line(
    text: str, named: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "settings.toml"
    path.write_text(text, "utf-8")
    assert main(["transcribe", "x.wav", "--config", str(path)]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert str(path) in err
    assert named in err


def test_serve_refuses_an_undecodable_source_before_any_client_connects(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["serve", "--source", __file__]) == 1
    err = capsys.readouterr().err
    assert err.startswith(f"sttlab: {__file__} is not an audio file")
    assert err.count("\n") == 1


def test_serve_reports_a_port_in_use_before_it_loads_a_model(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert main(["serve", "--source", DEMO, "--port", str(port)]) == 1
    err = capsys.readouterr().err
    assert err.startswith(f"sttlab: port {port} is taken")
    assert err.count("\n") == 1


def test_closed_pipe_of_stdout_is_no_error() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-m", "sttlab", "--help"],
        stdout=writer,
        stderr=subprocess.PIPE,
        timeout=60,
        check=False,
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (1, b"")


def names(files: list[Path], folder: Path, suffix: str = "txt") -> list[str]:
    return [path.name for path in _targets(files, folder, suffix)]


def test_results_have_distinct_names(tmp_path: Path) -> None:
    files = [Path(name) for name in ("a/x.wav", "b/x.wav", "c/x.wav", "x.mp3", "X.ogg", "y.wav")]
    found = names(files, tmp_path)
    assert found == ["x.txt", "x.wav.txt", "x.wav-2.txt", "x.mp3.txt", "X.ogg.txt", "y.txt"]


def test_result_never_overwrites_an_input_file(tmp_path: Path) -> None:
    audio = tmp_path / "talk.json"
    audio.touch()
    other = tmp_path / "talk.wav"
    assert names([other, audio], tmp_path, "json") == ["talk.wav.json", "talk.json.json"]
    if hasattr(os, "symlink") and sys.platform != "win32":
        link = tmp_path / "elsewhere"
        link.symlink_to(tmp_path)
        assert names([audio], link, "json") == ["talk.json.json"]


def test_results_keep_unusual_characters_of_names(tmp_path: Path) -> None:
    files = [Path("a b.wav"), Path("日本.mp3"), Path("-x.wav"), Path(".wav"), Path("noext")]
    assert names(files, tmp_path) == ["a b.txt", "日本.txt", "-x.txt", ".wav.txt", "noext.txt"]


def test_name_that_is_not_valid_unicode_is_escaped_in_json(tmp_path: Path) -> None:
    from sttlab.transcription import FileTranscript

    transcript = FileTranscript(
        file="a\udcff.wav",  # Python's str for a file's name with the byte 255
        duration_s=1.0,
        language=None,
        language_probability=0.0,
        text="",
        segments=(),
        suppressed=(),
    )
    transcript.to_json(tmp_path / "a.json")
    assert json.loads((tmp_path / "a.json").read_text("utf-8"))["file"] == transcript.file


def test_there_is_a_writer_for_each_format() -> None:
    from sttlab.transcription import FileTranscript

    assert all(hasattr(FileTranscript, f"to_{name.value}") for name in Format)
