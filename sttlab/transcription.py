"""Transcription of a whole recording, cut into utterances exactly as the live path cuts them."""

from __future__ import annotations

import html
import logging
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from sttlab import export
from sttlab.audio import Recording
from sttlab.config import TranscribeConfig, VadConfig
from sttlab.core import find_utterances
from sttlab.decoding import as_recording
from sttlab.engines import make_engine
from sttlab.engines.base import Engine, Transcription
from sttlab.engines.foreign import EnglishOnly
from sttlab.engines.suppression import Suppression
from sttlab.errors import ConfigError
from sttlab.events import Segment, Utterance
from sttlab.unheard import without_words

log = logging.getLogger(__name__)

TOGETHER = 64  # utterances; of more, more would be as long, and their texts would come later


@dataclass(frozen=True, kw_only=True)
class FileTranscript:
    """The text of a recording. Times are seconds from its start.

    Attributes
    ----------
    file : str
        Origin of the recording.
    duration_s : float
        Length of the recording.
    language : str or None
        ISO 639-1 code of the language of most of the speech; None if nothing was said.
    language_probability : float in 0..1
        Mean probability of that language, weighted by the length of the utterances in it.
    text : str
        Texts of all utterances, joined by spaces.
    segments : tuple of Segment
    suppressed : tuple of Suppression
        Text that was held back as a hallucination, and why.
    notices : tuple of str
        Notices of the recording, why there is no text, and that the speech is most likely not in
        the only language that the model knows.
    """

    file: str
    duration_s: float
    language: str | None
    language_probability: float
    text: str
    segments: tuple[Segment, ...]
    suppressed: tuple[Suppression, ...]
    notices: tuple[str, ...] = ()

    def to_txt(self, path: str | Path | None = None) -> str:
        """Return one line for each segment, and write them to `path` if it is given."""
        return _write(export.to_txt(self.segments), path)

    def to_srt(self, path: str | Path | None = None) -> str:
        """Return SubRip subtitles, and write them to `path` if it is given."""
        return _write(export.to_srt(self.segments), path)

    def to_vtt(self, path: str | Path | None = None) -> str:
        """Return WebVTT subtitles, and write them to `path` if it is given."""
        return _write(export.to_vtt(self.segments), path)

    def to_json(self, path: str | Path | None = None) -> str:
        """Return one JSON object on one line, and write it to `path` if it is given."""
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
            + "".join(f"<p>⚠ {html.escape(notice)}</p>" for notice in self.notices)
        )


def transcribe(
    audio: str | Path | Recording,
    *,
    model: str | Engine = "tiny.en",
    language: str | None = None,
    task: Literal["transcribe", "translate"] = "transcribe",
    initial_prompt: str | None = None,
    words: bool = False,
    vad: VadConfig | None = None,
    progress: Callable[[float, float], None] | None = None,
) -> FileTranscript:
    """Turn a recording into text. Blocks until all is transcribed.

    Parameters
    ----------
    audio : path or Recording
    model : str or Engine
        Name or path of a model, which is loaded for this call only. Or an engine, which serves any
        number of calls; its `TranscribeConfig` then sets language, task, initial prompt and words.
    language, task, initial_prompt, words
        See `TranscribeConfig`. They can't be given with an engine.
    vad : VadConfig, optional
        Where utterances begin and end.
    progress : callable, optional
        Called after each utterance with the seconds transcribed and the seconds in all. Of every
        `TOGETHER` utterances, those are done together that are about as long.

    Raises
    ------
    ConfigError
        If a setting is not valid.
    SourceError
        If the file can't be decoded.
    ModelError
        If the model is not found, doesn't load, or fails.

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
        with closing(make_engine(config)) as engine:
            return _transcribe(audio, engine, vad, progress)
    if (language, task, initial_prompt, words) != (None, "transcribe", None, False):
        raise ConfigError(
            "language, task, initial_prompt and words can't be given with an engine: "
            "set them in its TranscribeConfig"
        )
    return _transcribe(audio, model, vad, progress)


def _transcribe(
    audio: str | Path | Recording,
    engine: Engine,
    vad: VadConfig | None,
    progress: Callable[[float, float], None] | None,
) -> FileTranscript:
    recording = as_recording(audio)
    answers: list[tuple[Utterance, Transcription]] = []
    english, notices = EnglishOnly(), list(recording.notices)

    def notice(message: str) -> None:
        log.warning("%s: %s", recording.origin or "recording", message)
        notices.append(message)

    utterances, silent_because = find_utterances(recording, vad)
    speech_s, done_s = sum(utterance.duration_s for utterance in utterances), 0.0
    for first in range(0, len(utterances), TOGETHER):
        together = utterances[first : first + TOGETHER]
        found = {}
        for number, answer in _each(engine, together):
            found[number] = answer
            done_s += together[number].duration_s
            if progress:
                progress(recording.duration_s * done_s / speech_s, recording.duration_s)
        for number, utterance in enumerate(together):
            answers.append((utterance, found[number]))
            if foreign := english.add(found[number], utterance.duration_s):
                notice(f"at {utterance.end_s:.0f} s: {foreign}")
    if silent_because:
        notice(silent_because)
    elif not any(answer.text for _, answer in answers):
        notice(without_words(len(answers)))
    language, probability = _language(answers)
    return FileTranscript(
        file=recording.origin,
        duration_s=recording.duration_s,
        language=language,
        language_probability=probability,
        text=" ".join(answer.text for _, answer in answers if answer.text),
        segments=tuple(s.later(u.start_s) for u, answer in answers for s in answer.segments),
        suppressed=tuple(s.later(u.start_s) for u, answer in answers for s in answer.suppressed),
        notices=tuple(notices),
    )


def _each(engine: Engine, utterances: list[Utterance]) -> Iterator[tuple[int, Transcription]]:
    batch = [utterance.samples for utterance in utterances]
    if transcribe_batch := getattr(engine, "transcribe_batch", None):
        yield from transcribe_batch(batch)
    else:
        yield from enumerate(map(engine.transcribe, batch))


def _language(answers: list[tuple[Utterance, Transcription]]) -> tuple[str | None, float]:
    """Find the language of most of the speech, and its mean probability."""
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
        # A file's name may not be valid Unicode; JSON reads these escapes back.
        Path(path).write_text(text, encoding="utf-8", errors="backslashreplace", newline="\n")
    return text
