"""A replay as a kept session."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sttlab import kept_files
from sttlab.audio import SAMPLE_RATE
from sttlab.errors import KeptError
from sttlab.kept.run import KeptUtterance
from sttlab.kept.session import KeptSession

if TYPE_CHECKING:
    from sttlab.kept.replay import Replay


def save(replay: Replay, kept: KeptSession, folder: Path) -> Path:
    """Write it beside the session that it is of; see `Replay.save`."""
    made = folder / f"{datetime.now():%Y-%m-%dT%H-%M-%S-%f}"
    manifest = {
        **kept.manifest,
        "settings": asdict(replay.settings[0][1]),
        "title": replay.title,
        "simulated": replay.simulated,
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        made.mkdir(mode=0o700)
        shutil.copytree(
            kept.folder / kept_files.AUDIO, made / kept_files.AUDIO, copy_function=_link
        )
        (made / kept_files.INPUTS).write_bytes(b"".join(_inputs(replay)))
        (made / kept_files.EVENTS).write_bytes(b"".join(_events(replay)))
        (made / kept_files.MANIFEST).write_text(json.dumps(manifest, indent=1), encoding="utf-8")
    except OSError as error:
        raise KeptError(f"{made} can't be written: {error.strerror}") from error
    return made


def _link(source: str, target: str) -> None:
    try:
        if source.endswith(".wav"):  # it may still grow
            raise OSError
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def _inputs(replay: Replay) -> Iterator[bytes]:
    if replay.engine_line:
        yield kept_files.to_line(replay.engine_line)
    config = replay.settings[0][1]
    for told in replay.source.inputs:
        if told["input"] == kept_files.SETTINGS:
            changed = replay.override(kept_files.config_from(told["config"]))
            if replay.told and changed == config:
                continue
            config = changed
            told = {**told, "config": asdict(config)}
        yield kept_files.to_line(told)


def _events(replay: Replay) -> Iterator[bytes]:
    for u in replay.utterances:
        for values in _lines(u, replay.engine):
            yield kept_files.to_line({**values, "at_s": u.decided_sample / SAMPLE_RATE})


def _lines(u: KeptUtterance, engine: str | None) -> Iterator[dict[str, Any]]:
    positions = {name: getattr(u, name) for name in kept_files.POSITIONS}
    yield {"event": "utterance", **positions}
    number = {"utterance_id": u.utterance_id}
    if u.heard_samples is not None:
        heard = {"heard_samples": u.heard_samples, "engine": engine, "engine_s": u.engine_s}
        yield {"event": kept_files.ANSWER, **number, **heard}
    if u.transcript:
        yield kept_files.event_values(u.transcript)
    yield from map(kept_files.event_values, u.suppressed)
    if u.failed:
        span = {"start_s": u.start_s, "end_s": u.end_s}
        yield {"event": "transcription_failed", **number, "message": u.failed, **span}
