"""A corpus: a folder of recordings, with their labels and texts beside them."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sttlab import kept_files
from sttlab.audio import SAMPLE_RATE, Recording
from sttlab.errors import LabelError
from sttlab.evaluate.labels import AnyLabels, Labels, Turn, as_labels
from sttlab.kept.run import Original
from sttlab.kept.session import KeptSession


def add_to_corpus(
    folder: str | Path,
    audio: Recording | KeptSession,
    labels: AnyLabels,
    *,
    name: str | None = None,
) -> list[Path]:
    """Put a labelled recording, or what is labelled of a kept session, into a corpus folder.

    Each labelled part becomes a recording of its own: ``NAME.flac`` and ``NAME.rttm``, or
    ``NAME.json`` where labels have texts, and ``NAME.txt`` where all have. `Corpus` reads them, and
    its `to_audiofolder` cuts the utterances that have a text.

    Parameters
    ----------
    folder : str or Path
        Made if it is missing.
    audio : Recording or KeptSession
    labels : Labels, Turns or path
        In seconds of `audio`.
    name : str, optional
        By default that of the recording's file, or of the session's folder. Where a part of it is
        labelled, the second at which it begins is added.

    Returns
    -------
    list of Path
        The recordings.

    Raises
    ------
    LabelError
        If a file is there already, or can't be written.
    KeptError
        If the audio of a session can't be read.
    """
    labels = as_labels(labels)
    target = Path(folder).expanduser()
    name = name or (audio.folder.name if isinstance(audio, KeptSession) else _stem(audio))
    made = []
    for start_s, end_s in labels.scored or [(0.0, audio.duration_s)]:
        whole = start_s <= 0 and end_s >= audio.duration_s
        path = target / f"{name if whole else f'{name}-{start_s:.0f}s'}.flac"
        samples = _between(audio, round(start_s * SAMPLE_RATE), round(end_s * SAMPLE_RATE))
        _write(path, samples, labels.between(start_s, end_s).turns)
        made.append(path)
    return made


def _stem(audio: Recording) -> str:
    return re.sub(r"[^\w.-]+", "-", Path(audio.origin).stem) or "recording"


def _between(audio: Recording | KeptSession, start: int, stop: int) -> NDArray[np.float32]:
    if isinstance(audio, Original):
        return audio.read(start, stop)
    return audio.samples[start:stop]


def _write(path: Path, samples: NDArray[np.float32], turns: tuple[Turn, ...]) -> None:
    said = [turn.text for turn in turns]
    text = path.with_suffix(".txt") if said and all(said) else None
    labels = path.with_suffix(".json" if any(said) else ".rttm")
    for each in filter(None, (path, labels, text)):
        _refuse_existing(each)
    write_audio(path, samples)
    Labels(turns).save(labels)
    if text:
        text.write_text(" ".join(said) + "\n", encoding="utf-8")


def write_audio(path: Path, samples: NDArray[np.float32]) -> None:
    """Write a FLAC file of 24 bits, which hold a kept session's samples exactly.

    Raises
    ------
    LabelError
        If there is a file already, or it can't be written.
    """
    import soundfile

    _refuse_existing(path)
    ints = kept_files.to_ints(samples)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(str(path), ints << 8, SAMPLE_RATE, f"PCM_{kept_files.BITS}", format="FLAC")
    except (OSError, soundfile.LibsndfileError) as error:
        raise LabelError(f"{path} can't be written: {error}") from error


def _refuse_existing(path: Path) -> None:
    if path.exists():
        raise LabelError(f"{path} is there already: remove it, or give another name")
