"""Silero on real speech and real noise, compared with the level."""

import importlib.util
import subprocess
import sys

import av
import numpy as np
import pytest

from sttlab.audio import SAMPLE_RATE
from sttlab.capture.base import Block
from sttlab.config import VadConfig
from sttlab.core import StreamCore, segment
from sttlab.errors import ConfigError, MissingExtra
from sttlab.events import ConfigChanged, Level, Utterance
from sttlab.trace import Trace
from sttlab.vad import DETECTORS
from sttlab.vad.silero import SileroVad

SILERO = VadConfig(detector="silero")


class Sound:
    def __init__(self, path, seconds=None):
        resampler = av.AudioResampler("flt", "mono", SAMPLE_RATE)
        with av.open(str(path)) as file:
            parts = [f for frame in file.decode(audio=0) for f in resampler.resample(frame)]
        samples = np.concatenate([part.to_ndarray()[0] for part in parts])
        self.samples = samples[: seconds and seconds * SAMPLE_RATE]


@pytest.mark.needs("silero")
def test_silero_finds_labelled_speech_in_noise(data):
    found = segment(Sound(data / "demo-noisy.flac"), SILERO)
    turns = [line.split() for line in (data / "demo.rttm").read_text().splitlines()]
    truth = [(float(t[3]), float(t[3]) + float(t[4])) for t in turns]
    assert len(found) == len(truth)
    for utterance, (start_s, end_s) in zip(found, truth, strict=True):
        assert utterance.onset_sample / SAMPLE_RATE == pytest.approx(start_s, abs=0.35)
        assert utterance.speech_end_sample / SAMPLE_RATE == pytest.approx(end_s, abs=0.5)


@pytest.mark.needs("silero")
def test_typing_is_speech_by_level_and_not_by_silero(data):
    typing = Sound(data / "keyboard.ogg")
    assert len(segment(typing, VadConfig())) > 0
    assert segment(typing, SILERO) == []


@pytest.mark.needs("silero", "whisper")  # the reference needs Whisper's torch
def test_probabilities_are_those_of_sileros_own_code(data):
    import torch
    from silero_vad import load_silero_vad

    frames = Sound(data / "demo.flac", seconds=3).samples
    frames = frames[: len(frames) // 512 * 512].reshape(-1, 512)
    reference = load_silero_vad(onnx=True)
    expected = [float(reference(torch.from_numpy(frame.copy()), SAMPLE_RATE)) for frame in frames]
    assert max(expected) > 0.9
    assert SileroVad(SILERO).process(frames).score == pytest.approx(expected, abs=1e-4)


@pytest.mark.needs("silero")
def test_silero_scores_do_not_depend_on_blocks(data):
    sound = Sound(data / "demo.flac", seconds=12)
    core = StreamCore(SILERO)
    events = [
        e
        for i in range(0, len(sound.samples), 777)
        for e in core.feed(Block(sound.samples[i : i + 777]))
    ] + core.flush()
    live = [e for e in events if isinstance(e, Utterance)]
    assert [(u.start_sample, u.end_sample) for u in live] == [
        (u.start_sample, u.end_sample) for u in segment(sound, SILERO)
    ]
    scores = [e.score for e in events if isinstance(e, Level)]
    assert max(scores) > 0.9
    assert min(scores) < 0.1


@pytest.mark.needs("silero")
def test_trace_of_silero_gives_the_live_utterances(data):
    sound = Sound(data / "austen-2.flac")
    found, expected = Trace(sound).utterances(SILERO), segment(sound, SILERO)
    assert [(u.start_sample, u.end_sample, u.reason) for u in found] == [
        (u.start_sample, u.end_sample, u.reason) for u in expected
    ]
    assert len(found) == 1


@pytest.mark.needs("silero")
def test_change_of_detector_in_speech_loses_no_audio(data):
    sound = Sound(data / "austen-1.flac")
    half = len(sound.samples) // 2 + 5
    core = StreamCore(VadConfig())
    events = core.feed(Block(sound.samples[:half]))
    changed = core.update(SILERO)
    assert isinstance(changed[-1], ConfigChanged)
    events += changed + core.feed(Block(sound.samples[half:])) + core.flush()
    first, *_, last = [e for e in events if isinstance(e, Utterance)]
    assert (first.reason, first.end_sample) == ("interrupted", half)
    assert last.speech_end_sample > half
    for utterance in (first, last):
        whole = sound.samples[utterance.start_sample : utterance.end_sample]
        assert np.array_equal(utterance.samples, whole)


def test_missing_silero_names_its_extra(monkeypatch):
    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "silero_vad" else real(name)
    )
    with pytest.raises(MissingExtra, match=r"pip install 'sttlab\[silero\]'"):
        StreamCore(SILERO)


def test_probability_settings_are_checked():
    known = " or ".join(DETECTORS)
    with pytest.raises(ConfigError, match=f"detector must be {known}, not 'loud'"):
        VadConfig(detector="loud")
    with pytest.raises(ConfigError, match=r"probability must be between 0\.02"):
        VadConfig(probability=1)


@pytest.mark.needs("silero")
def test_silero_loads_no_torch():
    code = (
        "import sys\nfrom sttlab.config import VadConfig\nfrom sttlab.vad import make_detector\n"
        "make_detector(VadConfig(detector='silero'))\nassert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
