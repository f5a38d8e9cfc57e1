"""Transcription of a whole recording, cut into utterances exactly as the live path cuts them."""

from __future__ import annotations

import html
import logging
from collections import defaultdict
from collections.abc import Callable, Iterable
from concurrent.futures import Executor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, overload

from sttlab import export
from sttlab.audio import Recording
from sttlab.config import SpeakerConfig, TranscribeConfig, VadConfig
from sttlab.core import find_utterances
from sttlab.decoding import as_recording
from sttlab.engines import make_engine
from sttlab.engines.base import Engine, Transcription, transcribe_each
from sttlab.engines.foreign import EnglishOnly
from sttlab.engines.suppression import Suppression
from sttlab.errors import ConfigError
from sttlab.events import Segment, SpeakerTurn, Spoken, Utterance
from sttlab.speakers import EMBEDDERS
from sttlab.speakers.offline import speaker_turns
from sttlab.speakers.parts import SpokenPart, split_by_speaker
from sttlab.tables import frame, scalars
from sttlab.unheard import without_words

if TYPE_CHECKING:
    from sttlab.corpus_transcription import CorpusTranscripts, TranscribableCorpus

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
    turns : tuple of SpeakerTurn or None
        Who speaks when; None unless it was asked for.
    """

    file: str
    duration_s: float
    language: str | None
    language_probability: float
    text: str
    segments: tuple[Segment, ...]
    suppressed: tuple[Suppression, ...]
    notices: tuple[str, ...] = ()
    turns: tuple[SpeakerTurn, ...] | None = None

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

    def to_rttm(self, path: str | Path | None = None) -> str:
        """Return who speaks when as RTTM, and write it to `path` if it is given.

        Raises
        ------
        ConfigError
            If it was not asked who speaks.
        """
        if self.turns is None:
            raise ConfigError("RTTM says who speaks: ask for it by speakers=True (--speakers)")
        return _write(export.to_rttm(self.turns, Path(self.file).stem), path)

    def to_frame(self) -> Any:
        """Return a pandas.DataFrame with a row for each segment, and the recording it is of.

        Raises
        ------
        MissingExtra
            If pandas is not installed.
        """
        columns = ("recording", "start_s", "end_s", "speaker", "text", "confidence")
        rows = ({"recording": self.file} | scalars(segment) for segment in self.segments)
        return frame(rows, columns=columns)

    def _repr_html_(self) -> str:
        held = f", {len(self.suppressed)} held back" if self.suppressed else ""
        about = f"{self.file}: {self.duration_s:.1f} s, {self.language or 'no speech'}{held}"
        rows = "".join(
            f"<tr><td>{s.start_s:.1f}–{s.end_s:.1f} s</td>"
            + (f"<td>{html.escape(s.speaker or '')}</td>" if self.turns is not None else "")
            + f'<td style="text-align:left">{html.escape(s.text)}</td>'
            f"<td>{s.confidence:.2f}</td></tr>"
            for s in self.segments
        )
        return (
            f"<table><caption>{html.escape(about)}</caption><thead><tr><th>time</th>"
            f"{'<th>speaker</th>' if self.turns is not None else ''}<th>text</th>"
            f"<th>confidence</th></tr></thead><tbody>{rows}</tbody></table>"
            + "".join(f"<p>⚠ {html.escape(notice)}</p>" for notice in self.notices)
        )


@overload
def transcribe(
    audio: str | Path | Recording,
    *,
    model: str | Engine = "tiny.en",
    language: str | None = None,
    task: Literal["transcribe", "translate"] = "transcribe",
    initial_prompt: str | None = None,
    words: bool = False,
    vad: VadConfig | None = None,
    speakers: bool | Iterable[Spoken] | SpeakerConfig = False,
    num_speakers: int | None = None,
    progress: Callable[[float, float], None] | None = None,
) -> FileTranscript: ...
@overload
def transcribe(
    audio: TranscribableCorpus,
    *,
    model: str | Engine = "tiny.en",
    language: str | None = None,
    task: Literal["transcribe", "translate"] = "transcribe",
    initial_prompt: str | None = None,
    words: bool = False,
    vad: VadConfig | None = None,
    speakers: bool | SpeakerConfig = False,
    num_speakers: int | None = None,
    executor: Executor | None = None,
    results: str | Path | None = None,
    progress: Callable[[float, float], None] | None = None,
) -> CorpusTranscripts: ...
def transcribe(
    audio: str | Path | Recording | TranscribableCorpus,
    *,
    model: str | Engine = "tiny.en",
    language: str | None = None,
    task: Literal["transcribe", "translate"] = "transcribe",
    initial_prompt: str | None = None,
    words: bool = False,
    vad: VadConfig | None = None,
    speakers: bool | Iterable[Spoken] | SpeakerConfig = False,
    num_speakers: int | None = None,
    executor: Executor | None = None,
    results: str | Path | None = None,
    progress: Callable[[float, float], None] | None = None,
) -> FileTranscript | CorpusTranscripts:
    """Turn a recording, or all of a corpus, into text. Blocks until all is transcribed.

    Of a corpus, what can't be read is named with its reason, and the others go on.

    Parameters
    ----------
    audio : path, Recording or Corpus
    model : str or Engine
        Name or path of a model, which is loaded for this call only. Or an engine, which serves any
        number of calls; its `TranscribeConfig` then sets language, task, initial prompt and words.
    language, task, initial_prompt, words
        See `TranscribeConfig`. They can't be given with an engine.
    vad : VadConfig, optional
        Where utterances begin and end.
    speakers : bool, SpeakerConfig or iterable of turns
        Whether to find who speaks, and how; or who does, as `diarize` and `load_labels` say it.
        Utterances are then split where the speaker changes, and each segment has its speaker.
    num_speakers : int, optional
        How many people speak, if it is known.
    executor : concurrent.futures.Executor, optional
        Where a corpus is transcribed, by default one recording after the other on this thread:
        processes, or a cluster of Dask by ``Client(...).get_executor()`` (extra `cluster`). Paths
        and settings travel, not audio, so all workers must see the files under the same paths. Each
        process loads the model once. A word may differ where it computes with another
        number of threads: Dask gives each process one. The caller shuts it down.
    results : str or Path, optional
        File of JSON lines to which each recording of a corpus is added once it is done. What is
        in it already, with the same audio and settings, is not done again.
    progress : callable, optional
        Called after each utterance with the seconds transcribed and the seconds in all. Of every
        `TOGETHER` utterances, those are done together that are about as long. Of a corpus, called
        after each recording with the recordings done and those in all.

    Raises
    ------
    ConfigError
        If a setting is not valid, or the file of results can't be read or written.
    SourceError
        If the file can't be decoded.
    ModelError
        If the model is not found, doesn't load, or fails.
    WorkersFailed
        If the processes or the cluster of the executor are gone.

    Examples
    --------
    >>> transcribe("talk.m4a", model="base", language="de").to_srt("talk.srt")  # doctest: +SKIP
    """
    from sttlab.corpus_transcription import TranscribableCorpus, transcribe_corpus

    who = _Who(speakers, num_speakers)
    config: TranscribeConfig | Engine = (
        model
        if not isinstance(model, str)
        else TranscribeConfig(
            model=model, language=language, task=task, initial_prompt=initial_prompt, words=words
        )
    )
    if config is model and (language, task, initial_prompt, words) != (None, "transcribe", None, 0):
        raise ConfigError(
            "language, task, initial_prompt and words can't be given with an engine: "
            "set them in its TranscribeConfig"
        )
    if isinstance(audio, TranscribableCorpus):
        if not isinstance(speakers, bool | SpeakerConfig):
            raise ConfigError("the turns of speakers are those of one recording, not of a corpus")
        about: dict[str, Any] = {"vad": vad, "speakers": speakers, "num_speakers": num_speakers}
        about |= {"executor": executor, "results": results, "progress": progress}
        return transcribe_corpus(audio, config, **about)
    if executor or results:
        raise ConfigError("an executor or a file of results needs a Corpus, not one recording")
    if isinstance(config, TranscribeConfig):
        with closing(make_engine(config)) as engine:
            return _transcribe(audio, engine, vad, who, progress)
    return _transcribe(audio, config, vad, who, progress)


class _Who:
    """Who is to be found in a recording: nobody, all speakers, or those of given turns."""

    def __init__(
        self, speakers: bool | Iterable[Spoken] | SpeakerConfig, num_speakers: int | None
    ) -> None:
        self.wanted = speakers is not False
        self._count = num_speakers
        self._config = speakers if isinstance(speakers, SpeakerConfig) else SpeakerConfig()
        self._given: list[Spoken] | None = None
        if not isinstance(speakers, bool | SpeakerConfig):
            self._given = sorted(speakers, key=lambda turn: turn.start_s)
        if num_speakers is not None and (not self.wanted or self._given is not None):
            raise ConfigError("num_speakers needs speakers=True: it is for finding who speaks")
        if self.wanted and self._given is None:
            EMBEDDERS[self._config.embedder].require()

    def turns(self, utterances: list[Utterance]) -> tuple[SpeakerTurn, ...]:
        """Say who speaks in the utterances. Blocks."""
        if self._given is not None:
            return tuple(
                SpeakerTurn(start_s=turn.start_s, end_s=turn.end_s, speaker=turn.speaker)
                for turn in self._given
            )
        return tuple(speaker_turns(utterances, self._config, num_speakers=self._count))


def _transcribe(
    audio: str | Path | Recording,
    engine: Engine,
    vad: VadConfig | None,
    who: _Who,
    progress: Callable[[float, float], None] | None,
) -> FileTranscript:
    recording = as_recording(audio)
    answers: list[tuple[SpokenPart, Transcription]] = []
    english, notices = EnglishOnly(), list(recording.notices)

    def notice(message: str) -> None:
        log.warning("%s: %s", recording.origin or "recording", message)
        notices.append(message)

    utterances, silent_because = find_utterances(recording, vad)
    turns = who.turns(utterances) if who.wanted else None
    parts = [part for utterance in utterances for part in split_by_speaker(utterance, turns or ())]
    speech_s, done_s = sum(part.duration_s for part in parts), 0.0
    for first in range(0, len(parts), TOGETHER):
        together = parts[first : first + TOGETHER]
        found = {}
        for number, answer in transcribe_each(engine, [part.samples for part in together]):
            found[number] = answer
            done_s += together[number].duration_s
            if progress:
                progress(recording.duration_s * done_s / speech_s, recording.duration_s)
        for number, part in enumerate(together):
            answers.append((part, found[number]))
            if foreign := english.add(found[number], part.duration_s):
                notice(f"at {part.end_s:.0f} s: {foreign}")
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
        segments=tuple(part.place(s) for part, answer in answers for s in answer.segments),
        suppressed=tuple(
            s.later(part.start_s) for part, answer in answers for s in answer.suppressed
        ),
        notices=tuple(notices),
        turns=turns,
    )


def _language(answers: list[tuple[SpokenPart, Transcription]]) -> tuple[str | None, float]:
    """Find the language of most of the speech, and its mean probability."""
    speech_s: dict[str, float] = defaultdict(float)
    weighted: dict[str, float] = defaultdict(float)
    for part, answer in answers:
        if answer.text:
            speech_s[answer.language] += part.duration_s
            weighted[answer.language] += part.duration_s * answer.language_probability
    if not speech_s:
        return None, 0.0
    language = max(speech_s, key=lambda code: speech_s[code])
    return language, weighted[language] / speech_s[language]


def _write(text: str, path: str | Path | None) -> str:
    if path is not None:
        # A file's name may not be valid Unicode; JSON reads these escapes back.
        Path(path).write_text(text, encoding="utf-8", errors="backslashreplace", newline="\n")
    return text
