"""A registered detector works everywhere, without another edit."""

import json
from types import SimpleNamespace
from typing import Any

import jsonschema
import pytest

from sttlab import vad
from sttlab.capture.base import Block
from sttlab.config import VadConfig
from sttlab.core import segment
from sttlab.errors import ConfigError
from sttlab.evaluate.labels import Labels, Turn
from sttlab.evaluate.score import score
from sttlab.evaluate.sweep import sweep
from sttlab.events import Level
from sttlab.live.session import Session
from sttlab.server import contract, protocol
from sttlab.vad.energy import EnergyVad
from tests.fakes import Blocks, Counting
from tests.plugin import LoudnessVad, registered
from tests.unit import test_detectors
from tests.widgets import WAIT_S, find, noise, settled, walk, words

PARTS = ((2, -70), (1, -20), (2, -70), (1, -20), (2, -70))
SPOKEN = Labels([Turn(start_s=2, end_s=3), Turn(start_s=5, end_s=6)])

# The contract suite of detectors also runs over this one.
globals().update({n: t for n, t in vars(test_detectors).items() if n.startswith("test_")})


@pytest.fixture(autouse=True)
def known():
    with registered():
        yield


@pytest.fixture
def config():
    return VadConfig(detector="loudness")


@pytest.fixture
def talk():
    return SimpleNamespace(samples=noise(*PARTS))


def places(utterances):
    return [(u.start_sample, u.end_sample) for u in utterances]


def kinds(widget):
    return next(w for w in walk(widget) if type(w).__name__ == "ToggleButtons")


@pytest.mark.needs("jupyter")
def test_tuner_offers_a_registered_detector_and_shows_its_scores(talk, config):
    from sttlab.notebook.tuner import VadTuner

    tuner = VadTuner(talk, labels=SPOKEN)
    assert "loudness" in kinds(tuner.widget).options
    kinds(tuner.widget).value = "loudness"
    settled(tuner)
    assert tuner.config == config
    assert places(tuner.utterances) == places(segment(talk, config))
    curve = tuner._picture.curves[-1]
    assert (curve["name"], curve["label"], curve["unit"]) == ("loudness", "loudness", "points")
    assert tuner._picture.handles["onset"]["slope"] == pytest.approx(100)
    sliders = tuner._sliders.sliders
    assert sliders["probability"].layout.display is None
    assert sliders["margin_db"].layout.display == "none"
    assert "by level" in words(tuner.widget)
    find(tuner.widget, "FloatSlider", "Probability").value = 0.9
    settled(tuner)
    assert tuner.utterances == []
    assert "Probability down" in words(tuner.widget)
    tuner.close()


def test_sweep_tries_a_registered_detector_beside_others(talk):
    grid: dict[str, Any] = {
        "detector": ["energy", "loudness"],
        "probability": [0.5, 0.9],
        "margin_db": [8.0],
    }
    found = sweep(talk, SPOKEN, grid)
    for config, scores in zip(found.configs, found.scores, strict=True):
        expected = score(segment(talk, config), SPOKEN, duration_s=8).figures()
        assert scores.figures() == pytest.approx(expected, nan_ok=True)
    assert [scores.found for scores in found.scores] == [2, 2, 2, 0]
    with pytest.raises(ConfigError, match="margin_db has no effect with the detector 'loudness'"):
        sweep(talk, SPOKEN, {"margin_db": [8.0]}, config=VadConfig(detector="loudness"))


@pytest.mark.needs("jupyter")
def test_monitor_shows_a_registered_detectors_frames(config):
    from sttlab.notebook.monitor import LiveMonitor

    source = Blocks(Block(noise((12, -70), *PARTS)), then_wait=False)
    session = Session(source, vad=config, model=Counting())
    levels = []
    session.subscribe(lambda e: levels.append(e) if isinstance(e, Level) else None)
    monitor = LiveMonitor(session)
    with session:
        assert session.wait(WAIT_S)
    settled(monitor)
    assert len(levels) == 20 * 100
    assert len(monitor._levels) == len(levels)
    assert monitor._levels.frame_s == 0.01
    assert kinds(monitor.widget).value == "loudness"
    scales = [(scale["label"], scale["unit"]) for scale in monitor._picture.scores]
    assert scales == [("level", "dBFS"), ("loudness", "points")]
    monitor.close()


def test_protocol_describes_and_accepts_a_registered_detector():
    detector = protocol.detectors()["loudness"]
    assert (detector.label, detector.frame_s) == ("loudness", 0.01)
    assert detector.scale == LoudnessVad.scale
    settings = protocol.settings()
    assert settings["detector"].choices[-1] == "loudness"
    assert "loudness" in settings["probability"].detectors
    assert "loudness" not in settings["margin_db"].detectors
    assert "loudness" in settings["silence_timeout_s"].detectors
    schema = contract.schema()
    request = {"set": {"detector": "loudness"}}
    jsonschema.validate(request, {**schema, "$ref": "#/$defs/taken"})
    asked = protocol.parse(protocol.decode(json.dumps(request)))
    assert isinstance(asked, protocol.Set)
    assert protocol.change(VadConfig(), asked.changes).detector == "loudness"


def test_register_refuses_a_duplicate_name_and_unknown_fields():
    class Other(EnergyVad):
        name = "loudness"

    class Wrong(EnergyVad):
        name = "wrong"
        fields = ("margin", "hysteresis_db", "probability")

    for detector, message in ((Other, "already"), (Wrong, "'margin'")):
        with pytest.raises(ConfigError, match=message):
            vad.register(detector)
    assert "wrong" not in vad.DETECTORS


def test_unregistered_detector_is_refused():
    del vad.DETECTORS["loudness"]
    with pytest.raises(ConfigError, match=f"must be {' or '.join(vad.DETECTORS)}, not 'loudness'"):
        VadConfig(detector="loudness")
    vad.register(LoudnessVad)
