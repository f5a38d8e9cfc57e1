"""The contract suite of embedders: what tells one voice from another."""

import importlib.util

import numpy as np
import pytest

from sttlab.config import SpeakerConfig
from sttlab.decoding import load
from sttlab.errors import ConfigError, MissingExtra
from sttlab.speakers import EMBEDDERS, register
from sttlab.speakers.base import frame_count

KNOWN = [
    pytest.param(name, marks=pytest.mark.needs(embedder.extra))
    for name, embedder in EMBEDDERS.items()
]


@pytest.fixture(params=KNOWN)
def embedder(request):
    return EMBEDDERS[request.param]()


def whole(embedder, samples):
    weights = np.ones((1, frame_count(len(samples))), np.float32)
    return embedder.pool(embedder.hear(samples), weights)[0]


def noise(seconds):
    white = np.random.default_rng(1).standard_normal(round(seconds * 16000))
    return (0.1 * white).astype(np.float32)


def test_embedding_of_each_part_has_the_length_one(embedder):
    heard = embedder.hear(noise(2))
    weights = np.zeros((3, frame_count(32000)), np.float32)
    weights[0, :30] = weights[1, 30:] = weights[2, 50] = 1
    vectors = embedder.pool(heard, weights)
    assert vectors.shape == (3, embedder.size)
    assert vectors.dtype == np.float32
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(1, abs=1e-5)


def test_a_part_does_not_depend_on_the_others(embedder):
    heard = embedder.hear(noise(1))
    weights = np.eye(2, frame_count(16000), dtype=np.float32) + np.float32(0.5)
    together = embedder.pool(heard, weights)
    assert np.allclose(together[1], embedder.pool(heard, weights[1:])[0], atol=1e-5)


@pytest.mark.parametrize("count", [1, 319, 320, 321, 479, 15999, 16001])
def test_speech_of_any_length_is_embedded(embedder, count):
    assert np.isfinite(whole(embedder, noise(2)[:count])).all()


@pytest.mark.parametrize("value", [0.0, 1.0, 1e-30])
def test_what_is_not_speech_gives_finite_numbers(embedder, value):
    assert np.isfinite(whole(embedder, np.full(16000, value, np.float32))).all()


def test_the_same_samples_give_the_same_embedding(embedder):
    assert np.array_equal(whole(embedder, noise(1)), whole(embedder, noise(1)))


def test_one_voice_is_closer_to_itself_than_to_another(embedder, data):
    one, again, other = (
        whole(embedder, load(data / name).samples)
        for name in ("austen-1.flac", "austen-4.flac", "monologue.flac")
    )
    assert one @ again > embedder.same > one @ other


def test_level_does_not_change_whose_voice_it_is(embedder, data):
    samples = load(data / "austen-1.flac").samples
    assert whole(embedder, samples) @ whole(embedder, 0.05 * samples) > 0.9


def test_embedder_has_every_attribute_that_describes_it(embedder):
    assert EMBEDDERS[embedder.name] is type(embedder)
    assert embedder.label
    assert embedder.size > 0
    assert -1 < embedder.same < 1
    assert SpeakerConfig(embedder=embedder.name).embedder == embedder.name


def test_missing_package_of_an_embedder_names_its_extra(embedder, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, package=None: None)
    with pytest.raises(MissingExtra, match=f"sttlab.{embedder.extra}"):
        embedder.require()


def test_a_name_that_is_taken_is_refused(embedder):
    another = type("Another", (type(embedder),), {})
    with pytest.raises(ConfigError, match="already"):
        register(another)


def test_unknown_embedder_is_refused_with_the_known_ones():
    with pytest.raises(ConfigError, match="embedder must be campplus, not 'xvector'"):
        SpeakerConfig(embedder="xvector")
