"""A corpus: recordings with labels and texts, read when they are needed."""

from __future__ import annotations

import csv
import hashlib
import html
import logging
import os
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal

import numpy as np

from sttlab.errors import ConfigError, LabelError, SttlabError
from sttlab.evaluate.corpus_levels import AudioLevels
from sttlab.evaluate.corpus_reading import CorpusItem, read_items
from sttlab.evaluate.corpus_writing import write_audio
from sttlab.evaluate.labels import Labels
from sttlab.tables import frame, scalars

log = logging.getLogger(__name__)

SHOWN = 10  # problems in a notebook


class Corpus:
    """Recordings with what is known of them. Nothing is decoded before it is needed.

    Parameters
    ----------
    path : str or Path
        One of these:

        - a folder of audio, with texts (``.txt``) and labels (``.rttm``, ``.TextGrid``, ``.eaf``,
          ``.json``, Audacity's ``.txt``) beside it, under the same name; a folder within is a
          session;
        - ``.jsonl`` or ``.csv``, or a folder with ``manifest.jsonl``, ``metadata.jsonl`` or
          ``metadata.csv`` (an audiofolder of Hugging Face): a line for each recording, with its
          file and, if it is known, text, labels, language, speaker, session, channel (from 1), and
          offset and duration; other columns are tags;
        - a data folder of Kaldi (``wav.scp``, ``text``, ``utt2spk``, ``segments``) or of Lhotse
          (``recordings.jsonl``, ``supervisions.jsonl``, also gzipped).

    Attributes
    ----------
    path : Path
    problems : tuple of str
        What is left out, and why; the log says it as well.

    Raises
    ------
    ConfigError
        If there is nothing at `path`, it is not valid, or it holds no recording that can be used.

    Examples
    --------
    >>> corpus = Corpus("meetings")  # doctest: +SKIP
    >>> tuning, test = corpus.split(0.3, by="speaker")  # doctest: +SKIP
    >>> found = sweep(tuning, {"margin_db": range(4, 16)})  # doctest: +SKIP
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path).expanduser()
        items, problems = read_items(self.path)
        times = Counter(item.name for item in items)
        again = sorted(name for name, count in times.items() if count > 1)
        problems += [f"{name} stands there more than once; each but the first" for name in again]
        first = {item.name: item for item in reversed(items)}
        self._items = tuple(item for item in items if first[item.name] is item)
        self.problems = tuple(problems)
        for problem in problems:
            log.warning("left out of %s: %s", self.path, problem)
        if not self._items:
            raise ConfigError(f"{self.path} holds no recording that can be used: {problems[:1]}")

    def __iter__(self) -> Iterator[CorpusItem]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    def __getitem__(self, name: str) -> CorpusItem:
        for item in self:
            if item.name == name:
                return item
        raise ConfigError(f"{self.path} holds no recording {name!r}")

    @property
    def speakers(self) -> tuple[str, ...]:
        """The speakers of all recordings, sorted."""
        return tuple(sorted({speaker for item in self for speaker in _speakers(item)}))

    def filter(
        self,
        wanted: Callable[[CorpusItem], bool] | None = None,
        *,
        language: str | None = None,
        duration_s: tuple[float, float] | None = None,
        labelled: bool | None = None,
        **tags: str,
    ) -> Corpus:
        """Choose recordings. What can't be read, of what is asked for, is left out and named.

        Parameters
        ----------
        wanted : callable, optional
            Takes a `CorpusItem`.
        language : str, optional
        duration_s : (float, float), optional
            The least and the greatest length, in seconds.
        labelled : bool, optional
            Whether there are labels.
        **tags : str
            Values of other columns.

        Raises
        ------
        ConfigError
            If none is left.
        """

        def chosen(item: CorpusItem) -> bool:
            return (
                (language is None or item.language == language)
                and (labelled is None or (item.labels is not None) == labelled)
                and all(item.tags.get(name) == value for name, value in tags.items())
                and (duration_s is None or duration_s[0] <= (item.duration_s or 0) <= duration_s[1])
                and (wanted is None or wanted(item))
            )

        items, problems = [], []
        for item in self:
            try:
                if chosen(item):
                    items.append(item)
            except SttlabError as error:
                problems.append(f"{item.name}: {error}")
        return self._of(items, "filter", problems)

    def split_channels(self) -> Corpus:
        """Take each channel as a recording, such as the two sides of a telephone call.

        This reads headers and labels, and decodes nothing. The channels of a recording are one
        session. Each has the labels that name it; where labels don't name channels, none has
        labels, and `problems` says so.
        """
        items: list[CorpusItem] = []
        problems: list[str] = []
        for item in self:
            try:
                channels = item.by_channel()
            except SttlabError:
                items.append(item)  # which says why once it is used
                continue
            items += channels
            if len(channels) > 1 and channels[0].labels is None and item.labels is not None:
                problems.append(
                    f"the labels of {item.name}: they don't say of which channel they are"
                )
        return self._of(items, "split_channels", problems)

    def split(
        self,
        share: float,
        *,
        by: Literal["speaker", "session", "recording"] = "speaker",
        seed: int = 0,
    ) -> tuple[Corpus, Corpus]:
        """Split in two that share no speaker, session or recording.

        Parameters
        ----------
        share : float in 0..1
            Of the recordings, in the first part; as near as can be from below, but one at least.
        by : {"speaker", "session", "recording"}
            What is kept together. Who speaks in one recording is kept together as well. A recording
            without speaker or session stands for itself.
        seed : int
            The same seed splits the same way, whatever the order of the recordings.

        Raises
        ------
        ConfigError
            If there is nothing to split.
        """
        groups = sorted(self._groups(by), key=lambda group: _hash(seed, group[0].name))
        first = {item.name for item in groups[0]}
        for group in groups[1:-1]:
            if len(first) + len(group) <= share * len(self):
                first |= {item.name for item in group}
        if len(groups) < 2:
            raise ConfigError(f"all recordings of {self.path} have one {by}: they can't be split")
        parts = [[item for item in self if (item.name in first) == is_first] for is_first in (1, 0)]
        return self._of(parts[0], "split"), self._of(parts[1], "split")

    def _groups(self, by: str) -> list[list[CorpusItem]]:
        """Put the recordings together that have a key in common; each group by name."""
        above: dict[str, str] = {}

        def top(key: str) -> str:
            while above.setdefault(key, key) != key:
                key = above[key]
            return key

        for item in self:
            mine, *others = _keys(item, by)
            for other in others:
                above[top(other)] = top(mine)
        groups: dict[str, list[CorpusItem]] = defaultdict(list)
        for item in sorted(self, key=lambda item: item.name):
            groups[top(_keys(item, by)[0])].append(item)
        return list(groups.values())

    def _of(self, items: Iterable[CorpusItem], what: str, problems: Sequence[str] = ()) -> Corpus:
        part = object.__new__(Corpus)
        part.path, part._items, part.problems = self.path, tuple(items), tuple(problems)
        for problem in problems:
            log.warning("left out of %s: %s", self.path, problem)
        if not part._items:
            because = f": {problems[0]}" if problems else ""
            raise ConfigError(f"{what} leaves no recording of {self.path}{because}")
        return part

    def measure(self, *, progress: Callable[[int, int], None] | None = None) -> Corpus:
        """Measure the levels of all recordings; return the corpus, which then shows them.

        Nothing else decodes audio only to show it, since of many hours that takes minutes. Blocks;
        uses all cores. What can't be decoded is left out, and `problems` says so.

        Parameters
        ----------
        progress : callable, optional
            Called on this thread with the number of recordings done and the number in all. An
            exception from it ends the work; what is measured stays.
        """
        threads = ThreadPoolExecutor(os.cpu_count(), "sttlab-corpus")
        try:
            for done, problem in enumerate(threads.map(_measure, self), 1):
                if problem and problem not in self.problems:
                    self.problems += (problem,)
                    log.warning("left out of %s: %s", self.path, problem)
                if progress:
                    progress(done, len(self))
        finally:
            threads.shutdown(cancel_futures=True)
        return self

    def to_frame(self) -> Any:
        """Return a pandas.DataFrame with a row for each recording; reads headers and labels.

        After `measure` it has levels as well.

        Raises
        ------
        MissingExtra
            If pandas is not installed.
        """
        return frame([_row(item) | dict(item.tags) for item in self], index="recording")

    def to_audiofolder(self, folder: str | Path) -> Corpus:
        """Write a training set, which Hugging Face's ``load_dataset("audiofolder")`` reads.

        Of a recording whose labels have texts, each labelled turn becomes a file; of another that
        has a text, the whole. They are FLAC, mono at 16 kHz; ``metadata.csv`` has their texts,
        speakers and languages.

        Raises
        ------
        ConfigError
            If no recording has a text.
        LabelError
            If a file is there already, or can't be written.
        """
        target = Path(folder).expanduser()
        rows = []
        for item in self:
            turns = [turn for turn in item.labels or () if turn.text]
            if not turns and not item.text:
                log.warning("%s has no text, and is left out of %s", item.name, target)
                continue
            audio = item.load()
            parts = [(t.start_s, t.end_s, t.text, t.speaker) for t in turns] or [
                (0.0, audio.duration_s, item.text or "", item.speaker)
            ]
            for number, (start_s, end_s, text, speaker) in enumerate(parts):
                stem = item.name.replace("/", "-") + (f"-{number:04d}" if turns else "")
                write_audio(target / f"{stem}.flac", audio[start_s:end_s].samples)
                rows.append((f"{stem}.flac", text, speaker or item.speaker, item.language))
        if not rows:
            raise ConfigError(f"no recording of {self.path} has a text")
        with (target / "metadata.csv").open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([("file_name", "text", "speaker", "language"), *rows])
        return Corpus(target)

    def __repr__(self) -> str:
        return f"<Corpus {self.path}: {len(self)} recordings>"

    def _repr_html_(self) -> str:
        rows = [_row(item) for item in self]
        hours = sum(row["duration_s"] or 0 for row in rows) / 3600
        counts = {
            "recordings": len(self),
            "hours": f"{hours:.2f}",
            "speakers": len(
                {speaker for row in rows for speaker in row["speakers"].split(", ")} - {""}
            ),
            "languages": ", ".join(sorted({row["language"] for row in rows} - {""})) or "not said",
            "without labels": sum(row["turns"] is None for row in rows),
            "without text": sum(not row["has_text"] for row in rows),
            **_levels([item.known_levels for item in self]),
        }
        cells = "".join(
            f'<tr><th scope="row" style="text-align:left">{name}</th>'
            f"<td>{html.escape(str(value))}</td></tr>"
            for name, value in counts.items()
        )
        bad = [*self.problems, *(row["problem"] for row in rows if row["problem"])]
        more = f"<li>and {len(bad) - SHOWN} more</li>" if len(bad) > SHOWN else ""
        items = "".join(f"<li>⚠ {html.escape(problem)}</li>" for problem in bad[:SHOWN])
        return f"<table><caption>{html.escape(str(self.path))}</caption>{cells}</table>" + (
            f"<ul>{items}{more}</ul>" if bad else ""
        )


def labelled(corpus: Corpus) -> tuple[list[tuple[CorpusItem, Labels]], list[str]]:
    """Return the recordings that have labels; and of the others, why not."""
    given: list[tuple[CorpusItem, Labels]] = []
    left_out = list(corpus.problems)
    for item in corpus:
        try:
            labels = item.labels
        except LabelError as error:
            left_out.append(f"{item.name}: {error}")
            continue
        if labels is None:
            left_out.append(f"{item.name}: it has no labels")
        else:
            given.append((item, labels))
    return given, left_out


def _keys(item: CorpusItem, by: str) -> tuple[str, ...]:
    """Return what a recording shares with others of its group; by default nothing."""
    keys = {"speaker": _speakers(item), "session": (item.session,)}.get(by, ())
    return tuple(filter(None, keys)) or (f"\0{item.name}",)


def _speakers(item: CorpusItem) -> tuple[str, ...]:
    """Return who speaks; nobody if the labels can't be read, which is said where they are used."""
    try:
        return item.speakers
    except LabelError:
        return ()


def _row(item: CorpusItem) -> dict[str, Any]:
    """Say what is known of a recording; where something can't be read, its place is empty."""
    row: dict[str, Any] = {
        "recording": item.name,
        "duration_s": None,
        "language": item.language,
        "session": item.session,
        "speakers": item.speaker,
        "turns": None,
        "speech_s": None,
        "has_text": False,
        "problem": "",
    }
    try:
        row["duration_s"] = item.duration_s
        row["speakers"] = ", ".join(item.speakers)
        if item.labels is not None:
            row["turns"] = len(item.labels)
            row["speech_s"] = float((item.labels.speech[:, 1] - item.labels.speech[:, 0]).sum())
        row["has_text"] = bool(item.text)
        if levels := item.known_levels:
            row |= scalars(levels)
    except SttlabError as error:
        row["problem"] = f"{item.name}: {error}"
    return row


def _measure(item: CorpusItem) -> str | None:
    """Measure a recording's levels, which it keeps; or say why that can't be done."""
    try:
        _ = item.levels
    except SttlabError as error:
        return f"the levels of {item.name}: {error}"
    return None


def _levels(measured: Sequence[AudioLevels | None]) -> dict[str, str]:
    """Write the median of each level, with the least and the greatest."""
    known = [levels for levels in measured if levels]
    if not known:
        return {"levels": "not measured: measure() decodes all"}
    found = {
        "level of speech": np.array([levels.speech_dbfs for levels in known]),
        "noise floor": np.array([levels.noise_floor_dbfs for levels in known]),
    }
    some = f", of {len(known)} recordings" if len(known) < len(measured) else ""
    return {
        name: f"{np.median(each):.0f} dBFS ({each.min():.0f} to {each.max():.0f}){some}".replace(
            "-", "−"
        )
        for name, values in found.items()
        if len(each := values[~np.isnan(values)])
    }


def _hash(seed: int, name: str) -> bytes:
    return hashlib.sha256(f"{seed}:{name}".encode(errors="surrogatepass")).digest()
