"""StreamCore: the same samples give the same events, and no speech is lost."""

import itertools
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sttlab.audio import SAMPLE_RATE
from sttlab.capture.base import Block
from sttlab.config import VadConfig
from sttlab.core import StreamCore, segment
from sttlab.events import (
    ConfigChanged,
    Level,
    SamplesLost,
    SpeechDiscarded,
    SpeechPaused,
    SpeechStarted,
    Utterance,
)

CONFIG = VadConfig(threshold_dbfs=-40, silence_timeout_s=0.3, pre_roll_s=0.1, max_utterance_s=2)


def sound(*parts: tuple[float, float], seed: int = 0) -> np.ndarray:
    """Make noise of parts, each (seconds, dBFS)."""
    rng = np.random.default_rng(seed)
    return np.concatenate(
        [
            rng.standard_normal(round(s * SAMPLE_RATE)).astype(np.float32) * 10 ** (db / 20)
            for s, db in parts
        ]
    ).astype(np.float32)


def facts(events) -> list[tuple[object, ...]]:
    """Return events as comparable values, with their samples."""
    out = []
    for event in events:
        if isinstance(event, SpeechPaused):
            event = event.utterance
        values = {**vars(event)}
        if isinstance(event, Utterance):
            values["samples"] = event.samples.tobytes()
        out.append((event.kind, *values.values()))
    return out


def run(samples, cuts=(), config=CONFIG):
    core = StreamCore(config)
    edges = [0, *sorted(cuts), len(samples)]
    events = []
    for a, b in itertools.pairwise(edges):
        events += core.feed(Block(samples[a:b]))
    return events + core.flush()


def utterances(events):
    return [event for event in events if isinstance(event, Utterance)]


def test_speech_between_silences_is_one_utterance():
    events = run(sound((0.5, -70), (1, -10), (1, -70)))
    (utterance,) = utterances(events)
    assert utterance.onset_sample == 8000
    assert utterance.speech_end_sample == 24000
    assert utterance.decided_sample == 24000 + round(0.3 * SAMPLE_RATE)
    assert utterance.start_sample == 8000 - round(0.1 * SAMPLE_RATE)
    assert utterance.reason == "silence"
    assert [e.start_s for e in events if isinstance(e, SpeechStarted)] == [0.5]


pieces = st.lists(
    st.tuples(st.floats(0.001, 0.8), st.sampled_from([-100.0, -70.0, -42.0, -30.0, -10.0])),
    min_size=1,
    max_size=10,
)


@settings(max_examples=60)
@given(pieces, st.lists(st.floats(0, 1), max_size=20), st.booleans())
def test_any_split_gives_the_same_events(parts, cuts, relative):
    samples = sound(*parts)
    config = VadConfig(max_utterance_s=2) if relative else CONFIG
    positions = [int(cut * len(samples)) for cut in cuts]
    assert facts(run(samples, positions, config)) == facts(run(samples, (), config))


@settings(max_examples=60)
@given(pieces)
def test_an_utterance_equals_the_samples_at_its_position(parts):
    samples = sound(*parts)
    taken = 0
    for u in utterances(run(samples)):
        assert np.array_equal(u.samples, samples[u.start_sample : u.end_sample])
        assert not u.samples.flags.writeable
        assert taken <= u.start_sample <= u.onset_sample <= u.speech_end_sample <= len(samples)
        assert u.duration_s <= CONFIG.max_utterance_s
        taken = u.end_sample


def test_utterance_of_a_pause_equals_the_final_utterance():
    config = replace(CONFIG, silence_timeout_s=0.6, max_utterance_s=10)
    events = run(sound((0.5, -70), (1, -20), (0.5, -70), (1, -20), (1, -70)), config=config)
    pauses = [e.utterance for e in events if isinstance(e, SpeechPaused)]
    (utterance,) = utterances(events)
    assert [u.utterance_id for u in pauses] == [0, 0]
    assert np.array_equal(pauses[1].samples, utterance.samples)
    assert pauses[1].decided_sample < utterance.decided_sample
    assert len(pauses[0].samples) < len(utterance.samples)


@settings(max_examples=40)
@given(pieces)
def test_segment_gives_the_utterances_of_the_streaming_path(parts):
    samples = sound(*parts)
    rng = np.random.default_rng(len(samples))
    cuts = rng.integers(0, len(samples) + 1, 30).tolist()
    streamed = utterances(run(samples, cuts))
    assert facts(segment(SimpleNamespace(samples=samples), CONFIG)) == facts(streamed)


def test_flush_emits_open_speech_to_the_last_sample():
    samples = sound((0.5, -70), (0.777, -20))
    (utterance,) = utterances(run(samples))
    assert utterance.reason == "end"
    assert utterance.end_sample == len(samples)
    assert utterance.speech_end_sample == len(samples)


def test_flush_keeps_samples_after_the_last_speech():
    samples = sound((0.5, -70), (0.5, -20), (0.1, -70))
    (utterance,) = utterances(run(samples))
    assert utterance.speech_end_sample == 16000
    assert utterance.end_sample == len(samples)


def test_stream_continues_after_a_flush():
    core = StreamCore(CONFIG)
    samples = sound((0.5, -70), (0.507, -20))
    first = utterances(core.feed(Block(samples)) + core.flush())
    again = utterances(core.feed(Block(sound((0.5, -20), (0.5, -70)))))
    assert first[0].end_sample == len(samples) == again[0].onset_sample
    assert (first[0].utterance_id, again[0].utterance_id) == (0, 1)


def test_sound_shorter_than_minimum_speech_is_discarded_with_an_event():
    events = run(sound((0.5, -70), (0.08, -10), (0.5, -70)))
    assert not utterances(events)
    assert [(e.start_s, e.end_s) for e in events if isinstance(e, SpeechDiscarded)] == [(0.5, 0.58)]


def test_long_speech_is_cut_and_nothing_is_lost():
    samples = sound((0.5, -70), (1.5, -20), (0.2, -30), (4, -20), (0.5, -70))
    found = utterances(run(samples))
    assert [u.reason for u in found[:-1]] == ["longest"] * (len(found) - 1)
    assert found[0].end_s == pytest.approx(2.1, abs=0.12)
    for a, b in itertools.pairwise(found):
        assert a.end_sample == b.start_sample


def test_levels_come_for_every_frame_in_order():
    events = run(sound((0.5, -70), (0.5, -10), (0.5, -70)), cuts=[1, 100, 5000])
    times = [e.time_s for e in events if isinstance(e, Level)]
    assert times == pytest.approx(np.arange(75) * 0.02)
    states = "".join(e.state[0] for e in events if isinstance(e, Level))
    assert states == "l" * 32 + "s" * 21 + "p" * 11 + "l" * 11


def test_new_settings_apply_at_the_next_frame_and_keep_earlier_audio():
    samples = sound((0.5, -70), (0.5, -50), (0.5, -20), (1, -70))
    core = StreamCore(CONFIG)
    core.feed(Block(samples[:16000]))
    (changed,) = core.update(VadConfig(threshold_dbfs=-40, pre_roll_s=0.5, silence_timeout_s=0.8))
    assert isinstance(changed, ConfigChanged)
    assert changed.time_s == 1.0
    (utterance,) = utterances(core.feed(Block(samples[16000:])))
    assert utterance.start_s == pytest.approx(0.5, abs=0.021)
    assert utterance.decided_sample == utterance.speech_end_sample + round(0.8 * SAMPLE_RATE)


def test_short_loss_of_samples_counts_as_silence_in_stream_time():
    core = StreamCore(CONFIG)
    core.feed(Block(sound((0.5, -70), (0.5, -10))))
    events = core.feed(Block(sound((0.5, -10), (0.5, -70)), lost_samples=1600))
    (utterance,) = utterances(events)
    assert utterance.onset_sample == 8000
    assert utterance.speech_end_sample == 16000 + 1600 + 8000
    assert [(e.time_s, e.count) for e in events if isinstance(e, SamplesLost)] == [(1.1, 1600)]


def test_long_loss_of_samples_ends_the_utterance():
    core = StreamCore(CONFIG)
    core.feed(Block(sound((0.5, -70), (0.5, -20))))
    events = core.feed(Block(sound((0.5, -20), (0.5, -70)), lost_samples=160_001))
    first, second = utterances(events)
    assert (first.reason, first.end_sample) == ("interrupted", 16000)
    assert second.onset_sample == 16000 + 160_001


def test_memory_is_bounded_in_silence():
    core = StreamCore(CONFIG, levels=False)
    for _ in range(600):
        core.feed(Block(np.zeros(SAMPLE_RATE, np.float32)))
    assert sum(len(samples) for _, samples in core._recent) <= 4 * SAMPLE_RATE


def test_nan_and_inf_samples_are_silence():
    samples = sound((0.5, -20), (0.5, -70))
    samples[100:200] = np.nan
    samples[300] = np.inf
    (utterance,) = utterances(run(samples))
    assert np.isfinite(utterance.samples).all()
