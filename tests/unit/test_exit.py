"""Exit of Python while the engine is busy: torch's threads must not crash the process."""

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.needs("whisper")

LEAVE = """
import sys, threading
import sttlab as stt
from sttlab.capture import FileSource
from sttlab.events import Utterance

session = stt.Session(FileSource(sys.argv[1], speed=None))
spoken = threading.Event()
session.subscribe(lambda event: isinstance(event, Utterance) and spoken.set())
session.start()
assert spoken.wait(60)
"""


def test_python_exits_cleanly_while_the_engine_is_busy(data: Path) -> None:
    left = subprocess.run(
        [sys.executable, "-c", LEAVE, str(data / "demo.flac")],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (left.returncode, left.stderr) == (0, "")
