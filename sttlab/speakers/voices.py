"""Voices that are known by name, and the file in which they are kept."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sttlab.audio import SAMPLE_RATE, Recording
from sttlab.config import SpeakerConfig
from sttlab.decoding import as_recording
from sttlab.errors import ConfigError
from sttlab.speakers import EMBEDDERS, same_speaker
from sttlab.speakers.pieces import VoiceFinder, speech_frames
from sttlab.writing import replacing

ABOUT = (
    "Voices of people, as numbers by which they are known again: biometric data. Ask each of them "
    "before you keep this file, and remove it when it is not needed any more."
)
LEAST_S = 2.0  # of speech by which a voice is learnt
STRETCH = 20 * SAMPLE_RATE  # heard at once


class Voices:
    """People whose voices are known: sessions that get them call these people by name.

    Nothing is stored unless `save` is called. Voices are biometric data, as the file says.

    Parameters
    ----------
    config : SpeakerConfig, optional
        Its embedder makes the voices; another one can't know them.

    Raises
    ------
    MissingExtra
        If the extra `speakers` is not installed.

    Examples
    --------
    >>> voices = Voices()  # doctest: +SKIP
    >>> voices.enrol("Anna", "anna.wav")  # doctest: +SKIP
    >>> session = Session(Microphone(), speakers=True, voices=voices)  # doctest: +SKIP
    """

    def __init__(self, config: SpeakerConfig | None = None) -> None:
        self.config = config or SpeakerConfig()
        EMBEDDERS[self.config.embedder].require()
        self._vectors: dict[str, NDArray[np.float32]] = {}

    def enrol(self, name: str, audio: str | Path | Recording) -> None:
        """Learn a voice from a recording in which only one person speaks. Blocks.

        A name that is known already gets this voice in place of the old one.

        Raises
        ------
        ConfigError
            If the name is empty, less than two seconds are spoken, or several people speak.
        SourceError
            If the file can't be decoded.
        """
        if not name.strip():
            raise ConfigError("a voice needs a name")
        recording = as_recording(audio)
        finder = VoiceFinder(EMBEDDERS[self.config.embedder](), self.config.change)
        pieces = [
            piece
            for at in range(0, len(recording.samples), STRETCH)
            if len(part := recording.samples[at : at + STRETCH])
            for piece in finder.split(part, np.flatnonzero(speech_frames(part)))
        ]
        spoken_s = sum(piece.voiced_s for piece in pieces)
        if spoken_s < LEAST_S:
            raise ConfigError(
                f"{name} speaks for {spoken_s:.1f} s in it: {LEAST_S:g} s at least are needed"
            )
        total = np.sum([piece.vector * piece.voiced_s for piece in pieces], axis=0)
        vector = (total / np.linalg.norm(total)).astype(np.float32)
        long = [piece for piece in pieces if piece.voiced_s >= self.config.least_s]
        if any(piece.vector @ vector < same_speaker(self.config) for piece in long):
            raise ConfigError(f"several people speak in it: {name}'s voice alone is needed")
        self.add(name, vector)

    def add(self, name: str, vector: NDArray[np.float32]) -> None:
        """Add a voice by its embedding, such as `Session.voice` returns.

        Raises
        ------
        ConfigError
            If it is not an embedding of this embedder.
        """
        vector = np.asarray(vector, np.float32)
        size = EMBEDDERS[self.config.embedder].size
        if vector.shape != (size,) or not np.isfinite(vector).all() or not vector.any():
            raise ConfigError(f"the voice of {name} must be {size} numbers")
        self._vectors[" ".join(name.split())] = vector / np.linalg.norm(vector)

    def remove(self, name: str) -> None:
        """Forget a voice. Raises ConfigError if it is not known."""
        if self._vectors.pop(name, None) is None:
            raise ConfigError(f"there is no voice of {name}: known are {', '.join(self) or 'none'}")

    def items(self) -> list[tuple[str, NDArray[np.float32]]]:
        """Return names and embeddings."""
        return list(self._vectors.items())

    def __iter__(self) -> Iterator[str]:
        return iter(self._vectors)

    def __len__(self) -> int:
        return len(self._vectors)

    def save(self, path: str | Path) -> None:
        """Write the voices as JSON, which says what it is."""
        content = {
            "about": ABOUT,
            "embedder": self.config.embedder,
            "voices": {name: vector.tolist() for name, vector in self._vectors.items()},
        }
        with replacing(path) as file:
            file.write_text(json.dumps(content, ensure_ascii=False) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: str | Path) -> Voices:
        """Read voices that `save` wrote.

        Raises
        ------
        ConfigError
            If the file can't be read, or doesn't hold voices.
        """
        try:
            content: Any = json.loads(Path(path).read_text(encoding="utf-8"))
            voices = cls(SpeakerConfig(embedder=content["embedder"]))
            for name, vector in content["voices"].items():
                voices.add(name, vector)
        except OSError as error:
            raise ConfigError(f"cannot read voices {path}: {error.strerror}") from error
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise ConfigError(f"{path} does not hold voices that `Voices.save` wrote") from error
        return voices
