"""Settings files."""

from pathlib import Path

import pytest

from sttlab.config import Config, SettingsAbout, TranscribeConfig, VadConfig, save_vad
from sttlab.errors import ConfigError

MINE = Config(
    vad=VadConfig(detector="silero", threshold_dbfs=-40, silence_timeout_s=0.9),
    transcribe=TranscribeConfig(model="base", language="de", initial_prompt='"Ä"\n[vad]'),
)


@pytest.mark.parametrize("config", [Config(), MINE])
def test_saved_settings_load_to_an_equal_config(config: Config, tmp_path: Path) -> None:
    path = tmp_path / "settings.toml"
    config.save(path)
    assert Config.load(path) == config


def test_settings_of_version_1_find_the_same_speech_in_the_speech_band(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "settings.toml"
    path.write_text("[vad]\nmargin_db = 8.0\nthreshold_dbfs = -40.0\nhysteresis_db = 4.0\n")
    assert Config.load(path).vad == VadConfig(margin_db=6, threshold_dbfs=-46, hysteresis_db=4)
    assert "margin_db = 8 is now 6" in caplog.text
    path.write_text("[vad]\nmargin_db = 2\nthreshold_dbfs = -98\nsilence_timeout_s = 0.9\n")
    lowest = VadConfig(margin_db=1, threshold_dbfs=-100, silence_timeout_s=0.9)
    assert Config.load(path).vad == lowest


def test_settings_of_version_1_keep_their_errors(tmp_path: Path) -> None:
    path = tmp_path / "settings.toml"
    for value in ("61", "0.5", "true", '"loud"'):
        path.write_text(f"[vad]\nmargin_db = {value}\n")
        with pytest.raises(ConfigError, match=r"margin_db must be .*between 1 and 60 dB, not"):
            Config.load(path)


@pytest.mark.parametrize("version", ["3", "0", "1.5", '"2"'])
def test_settings_of_an_unknown_version_are_refused(version: str, tmp_path: Path) -> None:
    path = tmp_path / "settings.toml"
    path.write_text(f"version = {version}\n[vad]\nmargin_db = 9\n")
    with pytest.raises(ConfigError, match="version must be between 1 and 2"):
        Config.load(path)


def test_settings_file_with_a_byte_order_mark_loads(tmp_path: Path) -> None:
    path = tmp_path / "settings.toml"
    path.write_text("version = 2\n[vad]\nmargin_db = 9\n", "utf-8-sig")
    assert Config.load(path).vad.margin_db == 9


def test_a_settings_file_says_where_it_comes_from(tmp_path: Path) -> None:
    about = SettingsAbout(
        name="noisy room",
        saved="2026-11-26T17:33:01+00:00",
        version="0.3.0",
        recordings=("a.flac", "b.flac", "c.flac", "d.flac"),
        scores={"detection_error_rate": 0.012, "cut_off": 1, "endpoint_delay_median_ms": 520.0},
    )
    Config(vad=VadConfig(margin_db=9), about=about).save(path := tmp_path / "vad.toml")
    loaded = Config.load(path)
    assert loaded.about == about
    assert loaded == Config(vad=VadConfig(margin_db=9)), "nothing depends on it"
    assert str(loaded.about) == (
        "“noisy room”, saved 2026-11-26 17:33 by sttlab 0.3.0, chosen on a.flac, b.flac, c.flac "
        "and 1 more: detection error rate 1.2 %, cut off 1, endpoint delay median 520 ms"
    )
    Config().save(path)
    assert "about" not in path.read_text()
    assert str(Config.load(path).about) == "settings of which no more is known"


@pytest.mark.parametrize("table", ["name = 3", "recordings = 3", "scores = 3", "nane = 'x'"])
def test_a_settings_file_with_something_else_there_is_refused(table: str, tmp_path: Path) -> None:
    (path := tmp_path / "vad.toml").write_text(f"version = 2\n[about]\n{table}\n")
    with pytest.raises(ConfigError, match=r"must be|did you mean name"):
        Config.load(path)


def test_what_a_settings_file_was_before_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "new" / "vad.toml"
    margins = [8.0, 9.0, 9.0, 10.0]
    for margin_db in margins:
        save_vad(VadConfig(margin_db=margin_db), path, SettingsAbout(name=f"{margin_db}"))
    assert Config.load(path).vad.margin_db == 10
    assert sorted(c.vad.margin_db for c in Config.history(path)) == [8, 9]
    assert Config.history(tmp_path / "other.toml") == []
