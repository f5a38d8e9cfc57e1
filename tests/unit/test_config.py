"""Settings files."""

from pathlib import Path

import pytest

from sttlab.config import Config, TranscribeConfig, VadConfig
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
