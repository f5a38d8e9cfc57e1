"""A microphone without hardware: a PulseAudio server whose source records what is played."""

from __future__ import annotations

import contextlib
import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

DEFAULT = "pcm.!default { type pulse }\nctl.!default { type pulse }\n"
NAMES = ("desk", "headset")  # further names of the one microphone
WAIT_S = 30


class Pulse:
    """A PulseAudio in a folder of its own, with a microphone `mic` that records the sink `vmic`."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.environment = environment
        self._folder = folder
        self._modules: list[str] = []
        self.name(*NAMES)
        self.start()

    def start(self) -> None:
        self._daemon = subprocess.Popen(
            [
                *("pulseaudio", "--daemonize=no", "-n", "--exit-idle-time=-1", "--disallow-exit"),
                *("-L", "module-native-protocol-unix"),
                *("--log-target=stderr", "--log-level=notice"),
            ],
            env=self.environment,
            stderr=subprocess.DEVNULL,
        )
        self._await_answer()
        self.plug()

    def _await_answer(self) -> None:
        for _ in range(WAIT_S * 10):
            with contextlib.suppress(subprocess.CalledProcessError):
                self.pactl("info")
                return
            with contextlib.suppress(subprocess.TimeoutExpired):
                raise AssertionError(f"PulseAudio ended with {self._daemon.wait(0.1)}")
        raise AssertionError("PulseAudio does not answer")

    def kill(self) -> None:
        """Kill it, as a crash would."""
        self._daemon.kill()
        self._daemon.wait(WAIT_S)

    def stop(self) -> None:
        self._daemon.terminate()
        self._daemon.wait(WAIT_S)

    def pactl(self, *args: str) -> str:
        done = subprocess.run(
            ["pactl", *args],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=WAIT_S,
            check=True,
        )
        return done.stdout.strip()

    def name(self, *names: str) -> None:
        """Give the microphone these names in ALSA, besides "default"."""
        lines = [f"pcm.{name} {{ type pulse device mic }}\n" for name in names]
        (self._folder / ".asoundrc").write_text(DEFAULT + "".join(lines))

    def plug(self, channels: int = 1) -> None:
        self._modules = [
            self.pactl("load-module", *module)
            for module in (
                ("module-null-sink", "sink_name=vmic", "rate=48000", f"channels={channels}"),
                ("module-remap-source", "master=vmic.monitor", "source_name=mic"),
            )
        ]
        self.pactl("set-default-source", "mic")

    def unplug(self) -> None:
        """Remove the source and its sink, to whose monitor PulseAudio would move open streams."""
        while self._modules:
            self.pactl("unload-module", self._modules.pop())

    @property
    def plugged(self) -> bool:
        return bool(self._modules)

    def mute(self, on: bool) -> None:
        self.pactl("set-source-mute", "mic", str(int(on)))

    def play(self, path: Path) -> subprocess.Popen[bytes]:
        return subprocess.Popen(["paplay", "-d", "vmic", str(path)], env=self.environment)


@contextmanager
def pulse() -> Iterator[Pulse]:
    """Run a PulseAudio server that this process's ALSA uses."""
    with tempfile.TemporaryDirectory(prefix="sttlab-pulse-") as folder, contextlib.ExitStack() as s:
        Path(folder).chmod(0o700)
        ours = {
            "HOME": folder,
            "XDG_RUNTIME_DIR": folder,
            "PULSE_SERVER": f"unix:{folder}/pulse/native",
        }
        for name, value in ours.items():
            s.callback(_restore, name, os.environ.get(name))
            os.environ[name] = value
        server = Pulse(Path(folder), {**os.environ, "LC_ALL": "C"})
        s.callback(server.stop)
        yield server


def _restore(name: str, value: str | None) -> None:
    if value is None:
        os.environ.pop(name, None)
    else:
        os.environ[name] = value
