"""Minutes of what `sttlab bench soak` does for hours."""

from __future__ import annotations

from pathlib import Path

import pytest

from sttlab.bench import material, soak

KINDS = {*soak.SOURCE_FAULTS, *soak.ENGINE_FAULTS}


@pytest.mark.needs("bench")
def test_nothing_is_lost_but_what_is_reported_whatever_goes_wrong(data: Path) -> None:
    clips, _ = material.read_clips(data, "en", 1.0, 20.0)
    found = soak.run(clips, hours=0.1, seed=7, faults_per_hour=400)
    assert found.lost == ()
    assert found.utterances == found.delivered + found.failed
    assert found.utterances >= found.spoken > 50
    assert found.delivered > found.failed > 0
    assert set(found.faults) >= KINDS
    assert "| lost otherwise | 0 |" in found.table()
