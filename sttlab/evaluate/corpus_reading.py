"""The recordings of a corpus, read from a folder, a manifest, a table, or Kaldi's or Lhotse's."""

from __future__ import annotations

import csv
import gzip
import io
import json
import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from sttlab.audio import SAMPLE_RATE, Recording
from sttlab.decoding import load, said_channels, said_duration_s
from sttlab.errors import ConfigError, LabelError
from sttlab.evaluate.corpus_levels import AudioLevels, measure
from sttlab.evaluate.labels import Labels, Turn, load_labels, named_channels
from sttlab.machine import sha256_of

T = TypeVar("T")

AUDIO_SUFFIXES = frozenset(
    f".{suffix}"
    for suffix in (
        *("aac", "aif", "aiff", "amr", "avi", "caf", "flac", "flv", "m4a", "mkv", "mov", "mp3"),
        *("mp4", "oga", "ogg", "opus", "voc", "w64", "wav", "webm", "wma"),
    )
)
LABEL_SUFFIXES = (".rttm", ".TextGrid", ".eaf", ".json")
# What the columns of a manifest are called by those who write them.
COLUMNS = {
    "audio": ("file", "file_name", "audio", "audio_filepath", "path"),
    "text": ("text", "transcription", "transcript", "sentence"),
    "labels": ("labels",),
    "language": ("language", "lang", "locale"),
    "speaker": ("speaker", "speaker_id", "client_id"),
    "session": ("session", "session_id"),
    "channel": ("channel",),
    "start_s": ("start_s", "offset"),
    "duration_s": ("duration_s", "duration", "seconds"),
}


@dataclass(frozen=True, kw_only=True)
class CorpusItem:
    """A recording of a corpus. Nothing of its audio is read before `load`.

    Attributes
    ----------
    name : str
        Distinct in the corpus.
    audio : Path
    language, speaker, session : str
        Empty if unknown.
    channel : int or None
        The channel that is meant, counted from 1; None for all.
    start_s, length_s : float, seconds
        The part of the file that is meant; `length_s` is None for all that follows.
    tags : mapping of str to str
        Whatever else a manifest says.
    text_file, labels_file : Path or None
    """

    name: str
    audio: Path
    language: str = ""
    speaker: str = ""
    session: str = ""
    channel: int | None = None
    start_s: float = 0.0
    length_s: float | None = None
    tags: Mapping[str, str] = field(default_factory=dict, hash=False)
    text_file: Path | None = None
    labels_file: Path | None = None
    _text: str | None = None
    _turns: tuple[Turn, ...] | None = field(default=None, repr=False)

    def load(self) -> Recording:
        """Decode the audio.

        Raises
        ------
        DecodeError
            If there is no such file, or it isn't audio.
        """
        return self.cut(load(self.audio, channel=self.channel))

    def cut(self, whole: Recording) -> Recording:
        """Return the part of the file's audio that is meant."""
        if not self.start_s and self.length_s is None:
            return whole
        start = round(self.start_s * SAMPLE_RATE)
        stop = None if self.length_s is None else start + round(self.length_s * SAMPLE_RATE)
        return Recording(whole.samples[start:stop], origin=self.name, notices=whole.notices)

    def alone(self) -> CorpusItem:
        """Return what is needed to decode it from any folder, and nothing else."""
        audio = self.audio.absolute()
        return replace(self, audio=audio, tags={}, _text=None, _turns=None)

    def content(self) -> str | None:
        """Return a hash of the audio; None if it can't be read."""
        content = content_of(self.audio)
        part = self.channel, self.start_s, self.length_s
        return None if content is None else f"{content} {part}"

    @cached_property
    def labels(self) -> Labels | None:
        """When people speak; None if nobody has labelled it.

        Raises
        ------
        LabelError
            If the file of the labels is not valid.
        """
        labels = self._all_labels
        if labels is None:
            return None
        if self.channel is not None:
            labels = labels.of_channel(self.channel)
        if self._turns is not None:
            return labels
        if not self.start_s and self.length_s is None:
            return labels
        end_s = math.inf if self.length_s is None else self.start_s + self.length_s
        return labels.between(self.start_s, end_s)

    @cached_property
    def _all_labels(self) -> Labels | None:
        if self._turns is not None:
            return Labels(self._turns)
        return load_labels(self.labels_file) if self.labels_file else None

    @cached_property
    def text(self) -> str | None:
        """What is said; of labels with texts, these, joined. None if it is not known.

        Raises
        ------
        LabelError
            If a file with it can't be read.
        """
        if self._text is not None:
            return self._text
        if self.text_file:
            return _read(self.text_file).strip()
        said = [turn.text for turn in self.labels or ()]
        return " ".join(said) if said and all(said) else None

    @cached_property
    def speakers(self) -> tuple[str, ...]:
        """The speaker, or else those of the labels."""
        if self.speaker:
            return (self.speaker,)
        return self.labels.speakers if self.labels else ()

    @cached_property
    def duration_s(self) -> float | None:
        """Length in seconds, of a whole file as its header claims; None if it doesn't.

        Raises
        ------
        DecodeError
            If the file isn't audio.
        """
        if self.length_s is not None:
            return self.length_s
        said_s = self._header(said_duration_s)
        return None if said_s is None else said_s - self.start_s

    @cached_property
    def levels(self) -> AudioLevels:
        """How loud speech and room are. The first time it decodes the audio, and blocks.

        Raises
        ------
        DecodeError
            If the audio can't be decoded.
        """
        try:
            labels = self.labels
        except LabelError:
            labels = None
        return measure(self.load(), labels)

    @property
    def known_levels(self) -> AudioLevels | None:
        """The same if they were measured, else None."""
        return vars(self).get("levels")

    def by_channel(self) -> list[CorpusItem]:
        """Return an item for each channel of the file, or this one if it is of a single channel.

        Labels that don't name channels are of all of them together, so that the items have none.

        Raises
        ------
        DecodeError
            If the file isn't audio.
        LabelError
            If it can't be read, or its labels can't.
        """
        count = 1 if self.channel is not None else self._header(said_channels)
        if count <= 1:  # 0 if what looks like a header holds none
            return [self]
        named = any(turn.channel for turn in self._all_labels or ())
        return [
            replace(
                self,
                name=f"{self.name}-channel{number}",
                session=self.session or self.name,
                speaker="",
                channel=number,
                labels_file=self.labels_file if named else None,
                text_file=None,
                _text=None,
                _turns=self._turns if named else None,
            )
            for number in range(1, count + 1)
        ]

    def _header(self, read: Callable[[BinaryIO], T]) -> T:
        try:
            with self.audio.open("rb") as file:
                return read(file)
        except OSError as error:
            raise LabelError(f"cannot read {self.audio}: {error.strerror}") from error


def content_of(path: Path) -> str | None:
    """Return the SHA-256 of a file; None if it can't be read."""
    try:
        return sha256_of(path)
    except OSError:
        return None


def read_items(path: Path) -> tuple[list[CorpusItem], list[str]]:
    """Read what is in a corpus; and what of it can't be used, in a sentence each.

    Raises
    ------
    ConfigError
        If there is nothing at `path`, or it is not valid.
    """
    if path.is_file():
        return _from_table(path, path.parent)
    if not path.is_dir():
        raise ConfigError(f"there is no corpus {path}: give a folder, or a .jsonl or .csv file")
    if (path / "wav.scp").exists():
        return _from_kaldi(path)
    for suffix in (".jsonl.gz", ".jsonl"):
        if (recordings := path / f"recordings{suffix}").exists():
            return _from_lhotse(recordings, path / f"supervisions{suffix}")
    for name in ("manifest.jsonl", "metadata.jsonl", "metadata.csv"):
        if (path / name).exists():
            return _from_table(path / name, path)
    return _from_folder(path)


def _from_folder(folder: Path) -> tuple[list[CorpusItem], list[str]]:
    found = [
        path
        for path in sorted(folder.rglob("*"))
        if path.suffix.lower() in AUDIO_SUFFIXES
        and path.is_file()
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    ]
    if not found:
        raise ConfigError(f"{folder} holds no audio file, and no manifest.jsonl or metadata.csv")
    items = []
    stems = Counter(path.with_suffix("") for path in found)
    for path in found:
        stem = path.with_suffix("")
        name = path if stems[stem] > 1 else stem
        items.append(
            CorpusItem(
                name=name.relative_to(folder).as_posix(),
                audio=path,
                session=stem.parent.relative_to(folder).as_posix().strip("."),
                **_beside(path),
            )
        )
    return items, []


def _beside(audio: Path) -> dict[str, Any]:
    """Find the labels and the text beside a recording."""
    labels = (audio.with_suffix(suffix) for suffix in LABEL_SUFFIXES)
    found: dict[str, Any] = {"labels_file": next((p for p in labels if p.is_file()), None)}
    text = audio.with_suffix(".txt")
    if text.is_file():
        found["labels_file" if _is_label_track(text) else "text_file"] = text
    return found


def _is_label_track(path: Path) -> bool:
    """Whether a text file is Audacity's, whose lines begin with two times."""
    with path.open(encoding="utf-8-sig", errors="replace") as file:
        fields = file.readline().split("\t")
    try:
        return len(fields) > 1 and float(fields[0]) <= float(fields[1])
    except ValueError:
        return False


def _from_table(path: Path, folder: Path) -> tuple[list[CorpusItem], list[str]]:
    items, problems = [], []
    for number, row in _rows(path):
        try:
            items.append(_item(row, folder))
        except (ConfigError, LabelError) as error:
            problems.append(f"{path.name}, line {number}: {error}")
    return items, problems


def _rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    if path.suffix == ".csv":
        for number, values in enumerate(csv.DictReader(io.StringIO(_read(path))), 2):
            yield number, {name: value for name, value in values.items() if name and value}
        return
    for number, line in enumerate(_read(path).splitlines(), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            raise ConfigError(f"{path}, line {number} is not JSON: {error}") from error
        if not isinstance(row, dict):
            raise ConfigError(f"{path}, line {number} needs an object, not {line[:60]!r}")
        yield number, {name: value for name, value in row.items() if value is not None}


def _item(row: dict[str, Any], folder: Path) -> CorpusItem:
    """Make an item of a line of a manifest."""
    known = {key: next((n for n in names if n in row), None) for key, names in COLUMNS.items()}
    about = {key: row[name] for key, name in known.items() if name}
    if not isinstance(about.get("audio"), str):
        raise ConfigError(f"a file is needed, under one of {', '.join(COLUMNS['audio'])}")
    audio = folder / Path(about["audio"]).expanduser()
    if not audio.is_file():
        raise ConfigError(f"there is no file {audio}")
    beside = _beside(audio)
    if isinstance(about.get("labels"), str):
        beside["labels_file"] = folder / about["labels"]
        if not beside["labels_file"].is_file():
            raise ConfigError(f"there is no file {beside['labels_file']}")
    start_s = _as(float, about, "start_s") or 0.0
    if known["start_s"]:
        beside.pop("text_file", None)  # it is the text of the whole file
    channel = _as(int, about, "channel")
    part = f"-channel{channel}" * (channel is not None) + f"@{start_s:g}s" * bool(start_s)
    return CorpusItem(
        name=str(row.get("id") or Path(about["audio"]).with_suffix("").as_posix()) + part,
        audio=audio,
        language=str(about.get("language", "")),
        speaker=str(about.get("speaker", "")),
        session=str(about.get("session", "")),
        channel=channel,
        start_s=start_s,
        # Of a whole file, the file itself knows its length better.
        length_s=_as(float, about, "duration_s") if known["start_s"] else None,
        tags={k: str(v) for k, v in row.items() if k not in known.values()},
        _text=str(about["text"]) if "text" in about else None,
        **beside,
    )


def _as(kind: Callable[[Any], Any], about: dict[str, Any], name: str) -> Any:
    try:
        return kind(about[name]) if name in about else None
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{name} must be a number, not {about[name]!r}") from error


def _from_kaldi(folder: Path) -> tuple[list[CorpusItem], list[str]]:
    """Read wav.scp, and text, utt2spk and segments where there are."""
    audio = dict(_pairs(folder / "wav.scp"))
    texts, speakers = (dict(_pairs(folder / name)) for name in ("text", "utt2spk"))
    turns: dict[str, list[Turn]] = {}
    problems = []
    for utterance, rest in _pairs(folder / "segments"):
        try:
            recording, start_s, end_s = rest.split()
            turn = Turn(
                start_s=float(start_s),
                end_s=float(end_s),
                speaker=speakers.get(utterance, ""),
                text=texts.get(utterance, ""),
            )
        except (ValueError, LabelError) as error:
            problems.append(f"segments, {utterance}: {error}")
            continue
        turns.setdefault(recording, []).append(turn)
    segmented = (folder / "segments").exists()
    items = []
    for name, place in audio.items():
        path = folder / place
        if place.endswith("|"):
            problems.append(f"wav.scp, {name}: it is a command, and sttlab runs none")
        elif not path.is_file():
            problems.append(f"wav.scp, {name}: there is no file {path}")
        else:
            items.append(
                CorpusItem(
                    name=name,
                    audio=path,
                    speaker="" if segmented else speakers.get(name, ""),
                    _text=None if segmented else texts.get(name),
                    _turns=tuple(turns.get(name, ())) if segmented else None,
                )
            )
    problems += [f"segments: no recording {name} in wav.scp" for name in turns.keys() - audio]
    return items, problems


def _pairs(path: Path) -> Iterator[tuple[str, str]]:
    """Yield the first word of each line, and the rest; nothing if there is no such file."""
    for line in _read(path).splitlines() if path.exists() else ():
        name, _, rest = line.strip().partition(" ")
        if name:
            yield name, rest.strip()


def _from_lhotse(recordings: Path, supervisions: Path) -> tuple[list[CorpusItem], list[str]]:
    turns: dict[str, list[Turn]] = {}
    languages: dict[str, str] = {}
    problems, items = [], []
    for number, row in _rows(supervisions) if supervisions.exists() else ():
        try:
            turn = Turn(
                start_s=row["start"],
                end_s=row["start"] + row["duration"],
                speaker=str(row.get("speaker", "")),
                text=str(row.get("text", "")),
                channel=_first_channel(row),
            )
        except (KeyError, TypeError, ValueError, LabelError) as error:
            problems.append(f"{supervisions.name}, line {number}: {error}")
            continue
        turns.setdefault(str(row.get("recording_id")), []).append(turn)
        languages[str(row.get("recording_id"))] = str(row.get("language", ""))
    for number, row in _rows(recordings):
        name = str(row.get("id"))
        sources = [s for s in row.get("sources", ()) if isinstance(s, dict)]
        places = [recordings.parent / str(s.get("source")) for s in sources]
        if [s.get("type") for s in sources] != ["file"] or not places[0].is_file():
            problems.append(
                f"{recordings.name}, line {number}: {name} needs one file as its source"
            )
            continue
        items.append(
            CorpusItem(
                name=name,
                audio=places[0],
                language=languages.get(name, ""),
                _turns=tuple(named_channels(turns[name])) if name in turns else None,
            )
        )
    return items, problems


def _first_channel(row: dict[str, Any]) -> int:
    """Return the channel of a turn of Lhotse, which counts from 0; 0 if it is of several."""
    channels = row.get("channel", 0)
    channels = channels if isinstance(channels, list) else [channels]
    return int(channels[0]) + 1 if len(channels) == 1 else 0


def _read(path: Path) -> str:
    try:
        data = path.read_bytes()
        return (gzip.decompress(data) if path.suffix == ".gz" else data).decode("utf-8-sig")
    except OSError as error:
        raise LabelError(f"cannot read {path}: {error.strerror or error}") from error
    except (UnicodeDecodeError, EOFError) as error:
        raise LabelError(f"{path} is not UTF-8 text: {error}") from error
