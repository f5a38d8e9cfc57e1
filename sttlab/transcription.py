"""A whole recording to text, cut into utterances exactly as the live path cuts them."""

from __future__ import annotations

import html
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from sttlab import export
from sttlab.audio import Recording
from sttlab.config import TranscribeConfig, VadConfig
from sttlab.core import segment
from sttlab.decoding import load
from sttlab.engines import make_engine
from sttlab.engines.base import Engine, Transcription
from sttlab.engines.suppression import Suppression
from sttlab.errors import ConfigError
from sttlab.events import Segment, Utterance


@dataclass(frozen=True, kw_only=True)
class FileTranscript:
    """What was said in a recording. Times are seconds from its start.

    Attributes
    ----------
    file : str
        Where the recording came from.
    duration_s : float
        Length of the recording.
    language : str or None
        ISO 639-1 code of the language that most of the speech is in; None if nothing was said.
    language_probability : float in 0..1
        The model's mean probability of that language, over the speech in it.
    text : str
    segments : tuple of Segment
    suppressed : tuple of Suppression
        Text left out because the model most likely invented it, and why.
    """

    file: str
    duration_s: float
    language: str | None
    language_probability: float
    text: str
    segments: tuple[Segment, ...]
    suppressed: tuple[Suppression, ...]

    def to_txt(self, path: str | Path | None = None) -> str:
        """Give one line for each segment; with a path, write them there too."""
        return _write(export.to_txt(self.segments), path)

    def to_srt(self, path: str | Path | None = None) -> str:
        """Give SubRip subtitles; with a path, write them there too."""
        return _write(export.to_srt(self.segments), path)

    def to_vtt(self, path: str | Path | None = None) -> str:
        """Give WebVTT subtitles; with a path, write them there too."""
        return _write(export.to_vtt(self.segments), path)

    def to_json(self, path: str | Path | None = None) -> str:
        """Give one JSON object on one line; with a path, write it there too."""
        line = export.to_json(
            self.segments,
            file=self.file,
            duration_s=round(self.duration_s, 3),
            language=self.language,
            text=self.text,
        )
        return _write(line, path)

    def _repr_html_(self) -> str:
        held = f", {len(self.suppressed)} held back" if self.suppressed else ""
        about = f"{self.file}: {self.duration_s:.1f} s, {self.language or 'no speech'}{held}"
        rows = "".join(
            f"<tr><td>{s.start_s:.1f}–{s.end_s:.1f} s</td>"
            f'<td style="text-align:left">{html.escape(s.text)}</td>'
            f"<td>{s.confidence:.2f}</td></tr>"
            for s in self.segments
        )
        return (
            f"<table><caption>{html.escape(about)}</caption><thead><tr><th>time</th><th>text</th>"
            f"<th>confidence</th></tr></thead><tbody>{rows}</tbody></table>"
        )


def transcribe(
    sound: str | Path | Recording,
    *,
    model: str | Engine = "tiny.en",
    language: str | None = None,
    task: Literal["transcribe", "translate"] = "transcribe",
    initial_prompt: str | None = None,
    words: bool = False,
    vad: VadConfig | None = None,
    progress: Callable[[float, float], None] | None = None,
) -> FileTranscript:
    """Turn a recording into text. Blocks until done.

    Parameters
    ----------
    sound : path or Recording
    model : str or Engine
        A model's name or path, loaded for this call; or an engine, to load it once for many
        recordings, which then also holds `language`, `task`, `initial_prompt` and `words`.
    language, task, initial_prompt, words
        See `TranscribeConfig`.
    vad : VadConfig, optional
        What decides where utterances begin and end.
    progress : callable, optional
        Called with the seconds done and the seconds in all, after each utterance.

    Raises
    ------
    ConfigError
        If a setting is refused.
    SourceError
        If the file can't be decoded.
    ModelError
        If the model can't be had, or fails.

    Examples
    --------
    >>> transcribe("talk.m4a", model="base", language="de").to_srt("talk.srt")  # doctest: +SKIP
    """
    if isinstance(model, str):
        config = TranscribeConfig(
            model=model,
            language=language,
            task=task,
            initial_prompt=initial_prompt,
            words=words,
        )
        engine = make_engine(config)
        try:
            return _transcribe(sound, engine, vad, progress)
        finally:
            engine.close()
    if (language, task, initial_prompt, words) != (None, "transcribe", None, False):
        raise ConfigError(
            "language, task, initial_prompt and words are the engine's when one is given; "
            "set them in its TranscribeConfig"
        )
    return _transcribe(sound, model, vad, progress)


def _transcribe(
    sound: str | Path | Recording,
    engine: Engine,
    vad: VadConfig | None,
    progress: Callable[[float, float], None] | None,
) -> FileTranscript:
    recording = sound if isinstance(sound, Recording) else load(sound)
    answers: list[tuple[Utterance, Transcription]] = []
    for utterance in segment(recording, vad):
        answers.append((utterance, engine.transcribe(utterance.samples)))
        if progress:
            progress(utterance.end_s, recording.duration_s)
    language, probability = _language(answers)
    return FileTranscript(
        file=recording.origin,
        duration_s=recording.duration_s,
        language=language,
        language_probability=probability,
        text=" ".join(answer.text for _, answer in answers if answer.text),
        segments=tuple(s.later(u.start_s) for u, answer in answers for s in answer.segments),
        suppressed=tuple(
            replace(s, start_s=s.start_s + u.start_s, end_s=s.end_s + u.start_s)
            for u, answer in answers
            for s in answer.suppressed
        ),
    )


def _language(answers: list[tuple[Utterance, Transcription]]) -> tuple[str | None, float]:
    """The language that most of the speech is in, and its mean probability."""
    speech_s: dict[str, float] = defaultdict(float)
    weighted: dict[str, float] = defaultdict(float)
    for utterance, answer in answers:
        if answer.text:
            speech_s[answer.language] += utterance.duration_s
            weighted[answer.language] += utterance.duration_s * answer.language_probability
    if not speech_s:
        return None, 0.0
    language = max(speech_s, key=lambda code: speech_s[code])
    return language, weighted[language] / speech_s[language]


def _write(text: str, path: str | Path | None) -> str:
    if path is not None:
        # A file's name, which JSON holds, may be no text; JSON reads these escapes back.
        Path(path).write_text(text, encoding="utf-8", errors="backslashreplace", newline="\n")
    return text
