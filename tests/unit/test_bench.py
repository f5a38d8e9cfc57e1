"""The benchmark's stimulus has the ends that its truths say, and its scores are right."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest

from sttlab.audio import SAMPLE_RATE, level_dbfs
from sttlab.bench import material
from sttlab.bench.material import Clip, Truth
from sttlab.bench.score import Said, Shown, match, spread
from sttlab.errors import ConfigError, SourceError


def tone(seconds: float, level: float = -20.0) -> material.Samples:
    t = np.arange(int(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    return material.at_level(np.sin(2 * np.pi * 440 * t).astype(np.float32), level)


def quiet(seconds: float) -> material.Samples:
    rng = np.random.default_rng(7)
    return material.room_noise(int(seconds * SAMPLE_RATE), rng, -70)


def clip(name: str = "tone", seconds: float = 1.0) -> Clip:
    samples = np.concatenate([quiet(0.5), tone(seconds), quiet(0.7)])
    return Clip(name=name, samples=samples, text="one two three")


# -- stimulus ---------------------------------------------------------------------------------


def test_trim_finds_both_ends_and_the_pause() -> None:
    samples = np.concatenate([quiet(0.5), tone(1), quiet(0.4), tone(0.6), quiet(0.7)])
    ends = material.trim(samples)
    assert ends is not None
    begin, end, pause_s = ends
    assert begin / SAMPLE_RATE == pytest.approx(0.5, abs=0.011)
    assert end / SAMPLE_RATE == pytest.approx(2.5, abs=0.011)
    assert pause_s == pytest.approx(0.4, abs=0.021)


def test_trim_ignores_a_click() -> None:
    samples = np.concatenate([quiet(0.5), tone(1), quiet(1)])
    samples[-4000:-3950] = 0.5
    ends = material.trim(samples)
    assert ends is not None
    assert ends[1] / SAMPLE_RATE == pytest.approx(1.5, abs=0.011)


def test_trim_returns_none_for_noisy_clips() -> None:
    noisy = tone(2, -40) + material.room_noise(2 * SAMPLE_RATE, np.random.default_rng(1), -45)
    assert material.trim(noisy) is None
    assert material.trim(np.zeros(100, np.float32)) is None


def test_trim_agrees_with_the_labels_of_real_speech(data: Path) -> None:
    clips, _ = material.read_clips(data, "en", 1, 20)
    assert clips
    for real in clips:
        if not (data / f"{real.name}.rttm").exists():
            continue
        ends = material.trim(real.samples)
        rows = [line.split() for line in (data / f"{real.name}.rttm").read_text().splitlines()]
        labelled_end_s = max(float(r[3]) + float(r[4]) for r in rows if r and r[0] == "SPEAKER")
        assert ends is not None
        assert ends[1] / SAMPLE_RATE == pytest.approx(labelled_end_s, abs=0.15)


def test_stimulus_has_speech_where_its_truths_say() -> None:
    samples, truths = material.conversation([clip("a"), clip("b", 2.0)], 5, seed=3)
    assert len(truths) == 5
    assert {t.name for t in truths[:2]} == {"a", "b"}
    outside = np.ones(len(samples), bool)
    edge = int(0.03 * SAMPLE_RATE)
    for truth in truths:
        begin, end = (int(s * SAMPLE_RATE) for s in (truth.start_s, truth.end_s))
        assert level_dbfs(samples[begin + edge : end - edge]) == pytest.approx(-20, abs=0.5)
        outside[begin - edge : end + edge] = False
    assert level_dbfs(samples[outside]) == pytest.approx(material.ROOM_DBFS, abs=1)
    gaps = [b.start_s - a.end_s for a, b in itertools.pairwise(truths)]
    assert min(gaps) >= material.GAPS_S[0] - 0.001
    assert max(gaps) <= material.GAPS_S[1] + 0.001


def test_same_seed_gives_the_same_stimulus() -> None:
    def played(seed: int) -> material.Stimulus:
        clips = [clip("a"), clip("b", 1.5)]
        return material.stimulus(clips, [], count=4, noise_s=6, seed=seed)

    np.testing.assert_array_equal(played(1).samples, played(1).samples)
    assert played(1).truths == played(1).truths
    assert played(1).truths != played(2).truths


def test_noises_have_their_levels_and_positions() -> None:
    keys = Clip(name="keys", samples=tone(0.5, -33), text="")
    played = material.stimulus([clip()], [keys], count=1, noise_s=9, seed=1)
    assert [n.name for n in played.noises] == ["fan"] * 3 + ["hum"] * 3 + ["keys"] * 3
    assert played.noises[0].start_s == played.speech_s
    for noise in played.noises:
        begin, end = (round(s * SAMPLE_RATE) for s in (noise.start_s, noise.end_s))
        assert level_dbfs(played.samples[begin:end]) == pytest.approx(noise.level_dbfs, abs=0.1)


def test_a_folder_without_clean_speech_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--recordings"):
        material.read_clips(tmp_path / "no", "en", 1, 20)
    with pytest.raises(SourceError, match="no clean recording"):
        material.conversation([], 3, seed=1)
    (tmp_path / "manifest.jsonl").write_text('{"file": "a.wav"}\nnot json\n')
    with pytest.raises(ConfigError, match="line 2"):
        material.read_clips(tmp_path, "en", 1, 20)


def test_manifest_decides_which_recordings_count(tmp_path: Path, data: Path) -> None:
    rows = [
        ("austen-1.flac", "en", "english_read", "shipped", False),
        ("austen-2.flac", "en", "english_read", "asr", False),
        ("austen-3.flac", "en", "english_read", "shipped", True),
        ("austen-4.flac", "de", "english_read", "shipped", False),
        ("austen-5.flac", "-", "nonspeech", None, False),
    ]
    lines = [
        f'{{"file": "{(data / name).as_posix()}", "lang": "{lang}", "category": "{category}", '
        f'"text": "one two three", "text_origin": "{origin}", '
        f'"selected_by_asr": {str(selected).lower()}}}'
        for name, lang, category, origin, selected in rows
    ]
    (tmp_path / "manifest.jsonl").write_text("\n".join(lines))
    speech, noise = material.read_clips(tmp_path, "en", 1, 20)
    assert [c.name for c in speech] == ["austen-1"]
    assert [c.name for c in noise] == ["austen-5"]


# -- scores -----------------------------------------------------------------------------------


def truth(start_s: float, end_s: float, text: str = "a b c", pause_s: float = 0.0) -> Truth:
    return Truth(name="t", start_s=start_s, end_s=end_s, text=text, longest_pause_s=pause_s)


def said(start_s: float, end_s: float, received_s: float, text: str = "a b c") -> Said:
    return Said(start_s=start_s, end_s=end_s, text=text, received_s=received_s)


def test_delay_of_a_final_is_from_the_true_end_of_speech() -> None:
    found = match([truth(1, 2), truth(4, 5)], [said(0.7, 2.3, 2.7), said(3.7, 5.2, 6.0)])
    assert [o.delay_s for o in found.outcomes] == pytest.approx([0.7, 1.0])
    assert found.pairs == (("a b c", "a b c"),) * 2
    assert found.hallucinated == ()


def test_delay_of_a_cut_utterance_is_that_of_its_last_final() -> None:
    found = match([truth(1, 5, "a b c d")], [said(0.8, 2, 2.6, "a b"), said(3, 5, 5.8, "c d")])
    (outcome,) = found.outcomes
    assert outcome.texts == ("a b", "c d")
    assert outcome.delay_s == pytest.approx(0.8)
    assert found.pairs == (("a b c d", "a b c d"),)


def test_merged_utterances_share_a_final_and_a_pair() -> None:
    found = match(
        [truth(1, 2, "a"), truth(3, 4, "b"), truth(7, 8, "c")],
        [said(0.8, 4.2, 4.7, "a b"), said(6.8, 8.2, 8.7, "c")],
    )
    assert [o.merged for o in found.outcomes] == [True, True, False]
    assert [o.delay_s for o in found.outcomes] == pytest.approx([2.7, 0.7, 0.7])
    assert found.pairs == (("a b", "a b"), ("c", "c"))


def test_missed_and_hallucinated_words_have_no_counterpart() -> None:
    found = match([truth(1, 2, "a")], [said(5, 6, 6.5, "thank you")])
    (outcome,) = found.outcomes
    assert (outcome.texts, outcome.delay_s, outcome.shown_s) == ((), None, None)
    assert found.pairs == (("a", ""), ("", "thank you"))
    assert [s.text for s in found.hallucinated] == ["thank you"]


def test_final_that_only_touches_an_utterance_does_not_match() -> None:
    found = match([truth(1, 2)], [said(0.7, 2.1, 2.6), said(1.95, 3.5, 4.0, "noise")])
    assert found.outcomes[0].texts == ("a b c",)
    assert [s.text for s in found.hallucinated] == ["noise"]


def test_very_short_final_within_an_utterance_matches_it() -> None:
    found = match([truth(1, 2, "no")], [said(1.4, 1.5, 2.2, "no")])
    assert found.outcomes[0].texts == ("no",)


def test_shown_is_the_time_of_the_first_partial_with_the_final_words() -> None:
    partials = (
        Shown(at_s=1.9, text="a b", stable="a"),
        Shown(at_s=2.2, text="A, b c.", stable="a x"),
        Shown(at_s=2.4, text="a b c", stable="a x"),
    )
    final = Said(start_s=0.7, end_s=2.3, text="a b c", received_s=2.7, partials=partials)
    found = match([truth(1, 2)], [final])
    (outcome,) = found.outcomes
    assert outcome.first_shown_s == pytest.approx(0.9)
    assert outcome.shown_s == pytest.approx(0.2)
    assert outcome.delay_s == pytest.approx(0.7)
    assert (found.stable_words, found.contradicted_words) == (2, 1)


def test_shown_is_the_time_of_the_final_without_such_a_partial() -> None:
    partials = (Shown(at_s=1.9, text="a b", stable="a b c d"),)
    final = Said(start_s=0.7, end_s=2.3, text="a b c", received_s=2.7, partials=partials)
    found = match([truth(1, 2)], [final])
    assert found.outcomes[0].shown_s == pytest.approx(0.7)
    assert (found.stable_words, found.contradicted_words) == (4, 1)


def test_spread_gives_median_and_percentiles() -> None:
    assert spread([]) is None
    assert spread([0.5]) == {"median": 0.5, "p90": 0.5, "p95": 0.5}
    values = spread(list(range(101)))
    assert values == {"median": 50, "p90": 90, "p95": 95}
