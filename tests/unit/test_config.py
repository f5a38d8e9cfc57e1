"""Settings files."""

from pathlib import Path

import pytest

from sttlab.config import Config, TranscribeConfig, VadConfig

MINE = Config(
    vad=VadConfig(detector="silero", threshold_dbfs=-40, silence_timeout_s=0.9),
    transcribe=TranscribeConfig(model="base", language="de", initial_prompt='"Ä"\n[vad]'),
)


@pytest.mark.parametrize("config", [Config(), MINE])
def test_saved_settings_load_to_an_equal_config(config: Config, tmp_path: Path) -> None:
    path = tmp_path / "settings.toml"
    config.save(path)
    assert Config.load(path) == config


def test_settings_file_with_a_byte_order_mark_loads(tmp_path: Path) -> None:
    path = tmp_path / "settings.toml"
    path.write_text("[vad]\nmargin_db = 9\n", "utf-8-sig")
    assert Config.load(path).vad.margin_db == 9
