"""Results become tables for pandas, which files keep and plots draw."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest

import sttlab as stt
from sttlab.engines.base import Transcription
from sttlab.errors import ConfigError, MissingExtra
from sttlab.evaluate.labels import Labels, Turn
from sttlab.evaluate.speaker_score import OneSpeakerScore, SpeakerScores
from sttlab.evaluate.speaker_sweep import SpeakerSweep
from sttlab.evaluate.wer import wer
from sttlab.events import Segment
from sttlab.live.session import Session
from tests.fakes import WAIT_S, Blocks, Counting, speech

pytestmark = pytest.mark.needs("evaluate")


def by_csv(table: Any) -> Any:
    """Write a table and read it back."""
    pandas = pytest.importorskip("pandas")
    return pandas.read_csv(io.StringIO(table.to_csv()))


def one_turn_each(end_s: float) -> Labels:
    return Labels([Turn(start_s=at, end_s=at + 0.4) for at in (0.0, 0.8, 1.6) if at < end_s])


def test_scores_of_several_recordings_make_one_table(data: Path) -> None:
    pandas = pytest.importorskip("pandas")
    scores = {
        name: stt.score(stt.segment(stt.load(data / f"{name}.flac")), data / f"{name}.rttm")
        for name in ("austen-1", "pause")
    }
    table = pandas.concat({name: one.to_frame() for name, one in scores.items()})
    assert table["utterances"].tolist() == [one.utterances for one in scores.values()]
    assert table["speech_s"].tolist() == [one.speech_s for one in scores.values()]
    assert {"hit_s", "endpoint_delay_median_ms", "detection_error_rate"} < set(table)


def test_word_errors_have_a_row_for_each_text_and_for_each_word() -> None:
    errors = wer(["Mr. Brown has 2 colours.", "Yes."], ["mister brown has two new colors", "no"])
    texts = errors.to_frame()
    assert texts["word_error_rate"].tolist() == errors.by_utterance()
    assert texts["insertions"].tolist() == [1, 0]
    assert texts.loc[0, "written"] == "mister brown has 2 new colors"
    words = errors.to_frame(by="word")
    wrong = words[words["kind"] != "equal"]
    assert wrong.to_numpy().tolist() == [[0, "insert", "", "new"], [1, "substitute", "yes", "no"]]


def test_a_history_becomes_a_table_that_plot_latency_draws_after_csv() -> None:
    plots = pytest.importorskip("sttlab.notebook.plots")
    with Session(Blocks(speech(3)), model=Counting(text="one two")) as session:
        assert session.wait(WAIT_S)
    table = session.to_frame()
    assert table["text"].tolist() == [t.text for t in session.history] == ["one two"]
    assert table["delay_s"].tolist() == [t.delay_s for t in session.history]
    drawn, again = (plots.plot_latency(what) for what in (session.history, by_csv(table)))
    widths = [
        [bar.get_width() for stack in ax.containers for bar in stack] for ax in (drawn, again)
    ]
    assert widths[0] == pytest.approx(widths[1])
    assert len(widths[0]) == 5


def test_transcripts_and_labels_become_tables_that_plots_draw_in_rows() -> None:
    plots = pytest.importorskip("sttlab.notebook.plots")
    recording = stt.Recording(speech(3), origin="three.wav")
    answer = Transcription(
        text="one",
        segments=(Segment(start_s=0.1, end_s=0.3, text="one", confidence=0.5),),
        suppressed=(),
        language="en",
        language_probability=1.0,
        confidence=0.5,
    )
    vad = stt.VadConfig(silence_timeout_s=0.3)
    transcript = stt.transcribe(recording, model=Counting(answer=answer), vad=vad)
    said, labels = transcript.to_frame(), one_turn_each(2.0).to_frame()
    assert said["recording"].unique().tolist() == ["three.wav"]
    assert said["start_s"].tolist() == [segment.start_s for segment in transcript.segments]
    assert labels["end_s"].tolist() == pytest.approx([0.4, 1.2, 2.0])
    ax = plots.plot_utterances({"said": by_csv(said), "labelled": by_csv(labels)})
    assert [len(bars.get_paths()) for bars in ax.collections] == [len(said), 3]
    green = plots.plot_trace(recording, labels=labels).get_legend_handles_labels()[1]
    assert "speech, as labelled" in green


def test_speakers_have_a_row_each_and_one_for_all() -> None:
    each = (
        OneSpeakerScore(speaker="Jane", found_as="A", spoken_s=8.0, right_s=6.0, wrong_s=0.5),
        OneSpeakerScore(speaker="John", found_as=None, spoken_s=2.0, right_s=0.0, wrong_s=0.0),
    )
    scores = SpeakerScores(
        speech_s=10.0,
        missed_s=2.0,
        false_alarm_s=0.5,
        confusion_s=1.5,
        jaccard_error_rate=0.6,
        speakers=2,
        found=1,
        each=each,
    )
    whole, speakers = scores.to_frame(), scores.to_frame(by="speaker")
    assert whole["diarization_error_rate"].tolist() == [0.4]
    assert "each" not in whole
    assert speakers.loc["Jane", "right_s"] == 6.0
    assert speakers["found_as"].isna().tolist() == [False, True]


def test_a_comparison_has_a_row_for_each_utterance_and_for_each_score(tmp_path: Path) -> None:
    with Session(Blocks(speech(3)), model=Counting(text="one"), keep=tmp_path) as session:
        assert session.wait(WAIT_S)
    kept = stt.open_session(tmp_path)
    made = stt.compare(kept, stt.replay(kept, silence_timeout_s=0.3), labels=one_turn_each(2.4))
    table = made.to_frame()
    assert table["kind"].tolist() == [row.kind for row in made.rows]
    assert table["text_a"].tolist() == ["one"] * len(made.rows)
    scores = made.to_frame(by="metric").set_index("metric")
    assert scores["a"].to_dict() == {p.metric: pytest.approx(p.a, nan_ok=True) for p in made.scores}
    assert {"difference", "low", "high"} < set(scores)


def test_a_sweep_is_drawn_from_its_table_as_from_itself(data: Path) -> None:
    plots = pytest.importorskip("sttlab.notebook.sweep_plots")
    names = ("austen-1", "pause")
    recordings = [stt.load(data / f"{name}.flac") for name in names]
    labels = [stt.load_labels(data / f"{name}.rttm") for name in names]
    grid: dict[str, list[Any]] = {
        "threshold_dbfs": [None, -40.0],
        "silence_timeout_s": [0.3, 0.6, 0.9],
    }
    found = stt.sweep(recordings, labels, grid)
    table = by_csv(found.to_frame())
    for metrics in (("detection_error_rate",), ("endpoint_delay_median_ms", "lost_rate")):
        drawn, again = (plots.plot_sweep(what, *metrics) for what in (found, table))
        assert drawn._repr_png_() == again._repr_png_()
    for wrong in (found.to_frame(by="recording"), table[1:], table[["false"]]):
        with pytest.raises(ConfigError, match=r"settings\.csv"):
            plots.plot_sweep(wrong)


def test_a_sweep_of_speakers_is_drawn_from_its_table() -> None:
    pandas = pytest.importorskip("pandas")
    plots = pytest.importorskip("sttlab.notebook.sweep_plots")
    rates = {name: [0.3, 0.1, 0.2] for name in SpeakerSweep.METRICS}
    ax = plots.plot_sweep(pandas.DataFrame({"same": [0.4, 0.5, 0.6], **rates}))
    assert [text.get_text() for text in ax.texts] == ["30", "10", "20"]


def test_a_table_without_rows_has_its_columns() -> None:
    assert list(Labels().to_frame()) == ["start_s", "end_s", "speaker", "text"]
    silence = stt.transcribe(stt.Recording(speech(1) * 0), model=Counting())
    assert list(silence.to_frame())[:3] == ["recording", "start_s", "end_s"]
    assert len(silence.to_frame()) == 0


def test_without_pandas_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pandas", None)
    with pytest.raises(MissingExtra, match=r"sttlab\[evaluate\]"):
        Labels().to_frame()
