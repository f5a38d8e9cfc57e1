"""A grid of speakers' settings, scored on recordings of meetings."""

import numpy as np
import pytest

from sttlab.config import SpeakerConfig
from sttlab.decoding import load
from sttlab.diarization import diarize
from sttlab.errors import ConfigError
from sttlab.evaluate.corpus import Corpus
from sttlab.evaluate.labels import Labels, Turn, load_labels
from sttlab.evaluate.speaker_score import score_speakers
from sttlab.evaluate.speaker_sweep import sweep_speakers

pytestmark = pytest.mark.needs("speakers")

GRID = {"same": [0.2, 0.9], "change": [0.0, 0.3], "least_s": [0.5]}


@pytest.fixture(scope="module")
def meetings(data):
    return [load(data / f"meeting-{number}.flac") for number in (2, 4)]


@pytest.fixture(scope="module")
def truths(data):
    return [load_labels(data / f"meeting-{number}.rttm") for number in (2, 4)]


@pytest.fixture(scope="module")
def swept(meetings, truths):
    told = []
    found = sweep_speakers(meetings, truths, GRID, progress=lambda *done: told.append(done))
    assert told == [(i, 6) for i in range(1, 7)]
    return found


def test_each_setting_scores_as_diarize_does(swept, meetings, truths):
    assert swept.shape == (2, 2, 1)
    for i, (audio, truth) in enumerate(zip(meetings, truths, strict=True)):
        expected = score_speakers(diarize(audio, config=swept.configs[3]), truth)
        assert swept.scores[3][i] == expected
    assert swept.values(3) == {"same": 0.9, "change": 0.3, "least_s": 0.5}


def test_best_setting_has_the_least_error(swept):
    errors = swept.metric("diarization_error_rate")
    assert errors[swept.best()] == errors.min()
    assert np.ptp(swept.metric("confusion_rate")) > 0, "the grid makes a difference"
    assert set(swept.metric("wrong_count_rate")) <= {0.0, 0.5, 1.0}
    with pytest.raises(ConfigError, match="unknown metric 'x'"):
        swept.best("x")


@pytest.mark.needs("evaluate")
def test_table_has_a_row_for_each_setting_or_recording(swept):
    pytest.importorskip("pandas")
    table = swept.to_frame()
    assert list(table["same"]) == [0.2, 0.2, 0.9, 0.9]
    each = swept.to_frame(by="recording")
    assert [name[-14:] for name in each["recording"].unique()] == [
        "meeting-2.flac",
        "meeting-4.flac",
    ]
    assert len(each) == 8
    assert "2 recordings" in swept._repr_html_()


@pytest.mark.needs("jupyter")
def test_plot_has_the_settings_as_axes(swept):
    from sttlab.notebook.sweep_plots import plot_sweep

    ax = plot_sweep(swept)
    assert {ax.get_xlabel(), ax.get_ylabel()} == {"same speaker", "change"}
    assert "error rate (of speech)" in [a.get_ylabel() for a in ax.figure.axes]
    front = plot_sweep(swept, "missed_rate", "confusion_rate")
    assert front.get_xlabel() == swept.METRICS["missed_rate"]


def test_recordings_whose_labels_name_nobody_are_left_out(data, tmp_path):
    for name in ("meeting-4.flac", "meeting-4.rttm"):
        (tmp_path / name).write_bytes((data / name).read_bytes())
    (tmp_path / "b.flac").write_bytes((data / "austen-2.flac").read_bytes())
    Labels([Turn(start_s=0, end_s=1)]).save(tmp_path / "b.json")
    found = sweep_speakers(Corpus(tmp_path), {"same": [0.4]})
    assert found.recordings == ("meeting-4",)
    assert found.left_out == ("b: its labels name no speaker",)


@pytest.mark.parametrize(
    ("grid", "why"),
    [
        ({}, "the grid is empty"),
        ({"same": []}, "no value for same"),
        ({"same": [2]}, "same"),
        ({"margin_db": [3]}, "margin_db"),
    ],
)
def test_grid_that_is_not_valid_is_refused(meetings, truths, grid, why):
    with pytest.raises(ConfigError, match=why):
        sweep_speakers(meetings, truths, grid, config=SpeakerConfig())
