"""A microphone without hardware: a PulseAudio of our own, whose source plays what it is given."""

from __future__ import annotations

import contextlib
import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ASOUNDRC = "pcm.!default { type pulse }\nctl.!default { type pulse }\n"
WAIT_S = 30


class Pulse:
    """A running PulseAudio with a sink `vmic` and a microphone `mic` that hears it."""

    def __init__(self, environment: dict[str, str]) -> None:
        self._environment = environment
        self._modules: list[str] = []

    def pactl(self, *args: str) -> str:
        done = subprocess.run(
            ["pactl", *args],
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=WAIT_S,
            check=True,
        )
        return done.stdout.strip()

    def plug(self) -> None:
        self._modules = [
            self.pactl("load-module", *module)
            for module in (
                ("module-null-sink", "sink_name=vmic", "rate=48000", "channels=1"),
                ("module-remap-source", "master=vmic.monitor", "source_name=mic"),
            )
        ]
        self.pactl("set-default-source", "mic")

    def unplug(self) -> None:
        """Take away the sink as well: PulseAudio would move open streams to its monitor."""
        for module in reversed(self._modules):
            self.pactl("unload-module", module)

    def mute(self, on: bool) -> None:
        self.pactl("set-source-mute", "mic", str(int(on)))

    def play(self, path: Path) -> subprocess.Popen[bytes]:
        return subprocess.Popen(["paplay", "-d", "vmic", str(path)], env=self._environment)


@contextmanager
def pulse() -> Iterator[Pulse]:
    """Run it, with this process's ALSA looking there."""
    with tempfile.TemporaryDirectory(prefix="sttlab-pulse-") as folder, contextlib.ExitStack() as s:
        Path(folder, ".asoundrc").write_text(ASOUNDRC)
        Path(folder).chmod(0o700)
        ours = {
            "HOME": folder,
            "XDG_RUNTIME_DIR": folder,
            "PULSE_SERVER": f"unix:{folder}/pulse/native",
        }
        for name, value in ours.items():
            s.callback(_restore, name, os.environ.get(name))
            os.environ[name] = value
        environment = {**os.environ, "LC_ALL": "C"}
        daemon = subprocess.Popen(
            [
                *("pulseaudio", "--daemonize=no", "-n", "--exit-idle-time=-1", "--disallow-exit"),
                *("-L", "module-native-protocol-unix"),
                *("--log-target=stderr", "--log-level=notice"),
            ],
            env=environment,
            stderr=subprocess.DEVNULL,
        )
        s.callback(_end, daemon)
        server = Pulse(environment)
        _await_answer(server, daemon)
        server.plug()
        yield server


def _await_answer(server: Pulse, daemon: subprocess.Popen[bytes]) -> None:
    for _ in range(WAIT_S * 10):
        with contextlib.suppress(subprocess.CalledProcessError):
            server.pactl("info")
            return
        with contextlib.suppress(subprocess.TimeoutExpired):
            raise AssertionError(f"PulseAudio ended with {daemon.wait(0.1)}")
    raise AssertionError("PulseAudio does not answer")


def _restore(name: str, value: str | None) -> None:
    if value is None:
        os.environ.pop(name, None)
    else:
        os.environ[name] = value


def _end(daemon: subprocess.Popen[bytes]) -> None:
    daemon.terminate()
    daemon.wait(WAIT_S)
