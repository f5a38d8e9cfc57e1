"""`sttlab demo` and `sttlab serve`, in a process of their own, as a person runs them."""

import json
import os
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlopen

import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

pytestmark = pytest.mark.needs("whisper")

DEMO = Path(__file__).parents[2] / "data" / "demo.flac"
posix = pytest.mark.skipif(sys.platform == "win32", reason="sends a POSIX signal")


@contextmanager
def sttlab(*args: str, stderr: int = subprocess.PIPE) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "sttlab", *args],
        stdout=subprocess.PIPE,
        stderr=stderr,
        text=True,
        encoding="utf-8",
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def serving(process: subprocess.Popen[str]) -> str:
    """Wait for the server, and give its host and port."""
    assert process.stderr
    found = (re.search(r"http://([\w.]+:\d+)", line) for line in process.stderr)
    return next(match[1] for match in found if match)


def test_the_demo_prints_each_transcript_with_its_delay(data: Path) -> None:
    with sttlab("demo") as process:
        out, err = process.communicate(timeout=200)
    assert process.returncode == 0, err
    assert "loading" in err
    assert "http://127.0.0.1:" in out
    said = re.findall(r"^ *(\d+\.\d\d) s  (\S.*)$", out, re.MULTILINE)
    assert len(said) >= 2
    assert all(0.5 < float(delay_s) < 60 for delay_s, _ in said)
    assert "Dashwood" in said[0][1]
    assert "Traceback" not in err


@posix
def test_ctrl_c_ends_the_demo_at_once() -> None:
    with sttlab("demo") as process:
        assert process.stdout
        assert "http://" in process.stdout.readline()
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=10)
    assert process.returncode == 130
    assert err.splitlines()[-1] == "sttlab: stopped"
    assert "Traceback" not in err


@posix
def test_a_file_is_served_from_the_first_client_on_and_ctrl_c_ends_it(data: Path) -> None:
    with sttlab("serve", "--source", str(data / "demo.flac"), "--port", "0") as process:
        address = serving(process)
        with connect(f"ws://{address}/ws") as client:
            message = json.loads(client.recv(timeout=60))
            assert message["event"] == "transcript"
            assert "Dashwood" in message["text"]
            with urlopen(f"http://{address}/config", timeout=10) as answer:
                assert json.load(answer)["transcribe"]["words"] is True
            process.send_signal(signal.SIGINT)
            _, err = process.communicate(timeout=10)
    assert process.returncode == 130
    assert err.splitlines()[-1] == "sttlab: stopped"
    assert "Traceback" not in err


@posix
def test_ctrl_c_pressed_twice_ends_it_as_cleanly(data: Path) -> None:
    with sttlab("serve", "--source", str(data / "demo.flac"), "--port", "0") as process:
        serving(process)
        assert process.stderr
        assert any("startup complete" in line for line in process.stderr)
        process.send_signal(signal.SIGINT)
        assert any("Shutting down" in line for line in process.stderr)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=10)
    assert process.returncode == 130
    assert err.splitlines()[-1] == "sttlab: stopped"
    assert "Traceback" not in err


@posix
@pytest.mark.parametrize(("sent", "code"), [("SIGINT", 130), ("SIGTERM", -15)])
def test_a_signal_while_the_engine_works_ends_it_promptly(data: Path, sent: str, code: int) -> None:
    with sttlab("serve", "--source", str(data / "demo.flac"), "--port", "0") as process:
        address = serving(process)
        with connect(f"ws://{address}/ws?events=all") as client:
            events = (json.loads(client.recv(timeout=60))["event"] for _ in range(2000))
            assert "utterance" in events  # which the engine now has
            process.send_signal(getattr(signal, sent))
            _, err = process.communicate(timeout=10)
    assert process.returncode == code
    assert "terminate called" not in err
    assert "Traceback" not in err


OPEN = ("--source", str(DEMO), "--port", "0", "--host", "0.0.0.0", "--locked")
LINK = re.compile(r"http://(\S+)/(\?token=[\w-]{20,})")


@posix
@pytest.mark.parametrize(("sent", "code"), [("SIGINT", 130), ("SIGTERM", -15)])
def test_without_a_terminal_the_link_is_in_a_private_file_while_it_runs(
    sent: str, code: int
) -> None:
    with sttlab("serve", *OPEN) as process:
        assert process.stderr
        told = next(line for line in process.stderr if "http://" in line)
        found = re.search(r"only you can read (\S+),", told)
        assert found
        path = Path(found[1])
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        link = LINK.match(path.read_text())
        assert link
        address, query = link.groups()
        with pytest.raises(InvalidStatus) as refused:
            connect(f"ws://{address}/ws")
        assert b"wants its token" in (refused.value.response.body or b"")
        with connect(f"ws://{address}/ws{query}&events=all") as client:
            assert json.loads(client.recv(timeout=60))["locked"]
        process.send_signal(getattr(signal, sent))
        out, err = process.communicate(timeout=10)
    assert process.returncode == code
    assert query.partition("=")[2] not in told + out + err
    assert "Traceback" not in err
    assert not path.exists()


@posix
def test_a_terminal_shows_the_link_and_a_token_that_was_given_is_never_shown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import pty

    ours, its = pty.openpty()
    with sttlab("serve", *OPEN, stderr=its) as process, os.fdopen(ours) as terminal:
        os.close(its)
        link = next(match for line in terminal if (match := LINK.search(line)))
        with connect(f"ws://{link[1]}/ws{link[2]}&events=all") as client:
            assert json.loads(client.recv(timeout=60))["locked"]
        process.kill()
    monkeypatch.setenv("STTLAB_TOKEN", "correct-horse-battery")
    with sttlab("serve", *OPEN) as process:
        assert process.stderr
        told = next(line for line in process.stderr if "http://" in line)
    assert "the token that it was given" in told
    assert "correct-horse-battery" not in told


def test_a_port_taken_is_a_failure_on_one_line(data: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        with sttlab("serve", "--source", str(data / "demo.flac"), "--port", port) as process:
            out, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert out == ""
    assert port in err.splitlines()[-1]
    assert "Traceback" not in err


def test_settings_from_a_file_are_used_and_options_come_first(data: Path, tmp_path: Path) -> None:
    settings = tmp_path / "settings.toml"
    settings.write_text("[vad]\nsilence_timeout_s = 0.2\n[transcribe]\nmodel = 'nowhere.pt'\n")
    sound = shutil.copy(data / "demo.flac", tmp_path)
    options = ["--config", str(settings), "--source", str(sound), "--port", "0"]
    with sttlab("serve", *options) as process:
        _, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "nowhere.pt" in err.splitlines()[-1]
    with sttlab("serve", *options, "--model", "tiny.en") as process:
        address = serving(process)
        with connect(f"ws://{address}/ws?events=all") as client:
            events = (json.loads(client.recv(timeout=60)) for _ in range(2000))
            transcript = next(event for event in events if event["event"] == "transcript")
    assert transcript["pause_s"] == pytest.approx(0.2, abs=0.04)
