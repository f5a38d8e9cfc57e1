"""Comparer: two runs on one axis of time, and what they did differently."""

from __future__ import annotations

import html
import weakref
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import ipywidgets as widgets
import traitlets

from sttlab.config import VadConfig, save_vad
from sttlab.errors import SttlabError
from sttlab.evaluate.compare import Comparison, Difference
from sttlab.evaluate.comparison_page import delays_of, measured, said
from sttlab.evaluate.wer import marked
from sttlab.kept.run import KeptRun, KeptUtterance
from sttlab.live.session import Session
from sttlab.notebook.esm import read_module, read_style
from sttlab.notebook.look import Span
from sttlab.notebook.painter import Displayed, make_button
from sttlab.notebook.picture import STYLE
from sttlab.notebook.saving import about_now, saved_words
from sttlab.notebook.still import STILL_ROWS, image_html, table_html
from sttlab.notebook.timeline import Timeline
from sttlab.notebook.tuner import VadTuner
from sttlab.trace import Trace

LONGEST_LABEL = 80  # characters of a text that are written on its bar


class ComparisonPicture(Timeline):
    """The comparer's timeline and its list in the browser: comparer.js."""

    _esm = read_module("comparer.js")
    _css = read_style("timeline.css", "comparer.css")

    titles: traitlets.List[str] = traitlets.List().tag(sync=True)  # of the two runs
    # Of each run, start and end of each utterance in seconds, and its text.
    sides: traitlets.List[list[Any]] = traitlets.List().tag(sync=True)
    # Of each difference: what lies where in each run as [start, end], null where there is nothing,
    # what it is, how many words differ, the delays, the texts.
    rows: traitlets.List[dict[str, Any]] = traitlets.List().tag(sync=True)
    chosen = traitlets.Int(-1).tag(sync=True)

    def __init__(self, trace: Trace, details: Callable[[int], str], **traits: Any) -> None:
        super().__init__(trace, **traits)
        self._details = details

    def answer(self, content: dict[str, Any]) -> bool:
        """Answer a request, also for the details of a difference."""
        if content["ask"] != "details":
            return super().answer(content)
        self.send({"id": content["id"], "html": self._details(int(content["row"]))})
        return True


class Comparer(Displayed):
    """Two runs over time, and their differences, to see and hear, and to take over the better one.

    Parameters
    ----------
    comparison : Comparison
        As `compare` makes it.
    at_s : float, optional
        Of a session of more than two hours, those around this time are shown; by default around the
        first difference.
    session : Session, optional
        Session to whose settings "use live" writes.
    tuner : VadTuner, optional
        Tuner whose sliders "use in the tuner" sets.
    path : str or Path
        File that "save" writes.

    Attributes
    ----------
    config : VadConfig
        The settings that are taken over: those that the second run had at its end.

    Notes
    -----
    The comparer has no thread. The browser asks the kernel for what is in view and for the audio
    that plays; see `sttlab.notebook.timeline.Timeline`.

    Examples
    --------
    >>> Comparer(compare(kept, replay(kept, silence_timeout_s=0.4)))  # doctest: +SKIP
    """

    def __init__(
        self,
        comparison: Comparison,
        *,
        at_s: float | None = None,
        session: Session | None = None,
        tuner: VadTuner | None = None,
        path: str | Path = "data/vad.toml",
    ) -> None:
        self.comparison = comparison
        self.session = session
        self.tuner = tuner
        self.path = Path(path)
        self.config: VadConfig = comparison.b.settings[-1][1]
        if at_s is None:
            at_s = comparison.differences[0].start_s if comparison.differences else 0.0
        recording, self._start_s = comparison.a.source.around(at_s)
        self._end_s = self._start_s + recording.duration_s
        self._rows = [row for row in comparison.differences if self._holds(row)]
        self._build(Trace(recording), recording.origin)

    def save(self, path: str | Path | None = None) -> Path:
        """Write the settings to a file that `Config.load` and ``sttlab serve --config`` read.

        Its table ``[transcribe]`` stays as it is. What the file was before is found by
        `Config.history`.

        Raises
        ------
        ConfigError
            If the file exists and is not a valid settings file.
        """
        about = about_now("", [self.comparison.b.title], {})
        return save_vad(self.config, path or self.path, about)

    def _holds(self, part: Difference | KeptUtterance) -> bool:
        return part.start_s < self._end_s and part.end_s > self._start_s

    # -- building -----------------------------------------------------------------------------

    def _build(self, trace: Trace, name: str) -> None:
        runs = (self.comparison.a, self.comparison.b)
        self._picture = ComparisonPicture(
            trace,
            partial(_details, weakref.ref(self)),
            name=name,
            titles=[run.title for run in runs],
            sides=[self._side(run) for run in runs],
            rows=[self._row(row) for row in self._rows],
        )
        self._message = widgets.HTML()
        buttons = [make_button("Save", f"the second run's settings, to {self.path}", self._save)]
        if self.tuner is not None:
            tip = "the second run's settings, in the tuner"
            buttons.append(make_button("Use in the tuner", tip, self._use_in_tuner))
        if self.session is not None:
            tip = "the second run's settings, in the running session"
            buttons.append(make_button("Use live", tip, self._use_live))
        self._show(
            widgets.VBox(
                [
                    widgets.HTML(STYLE + self._head()),
                    self._picture,
                    widgets.HBox([*buttons, self._message]),
                ]
            )
        )
        self.widget.add_class("sttlab-comparer")

    def _head(self) -> str:
        compared = self.comparison
        lines = [*(f"⚠ {notice}" for notice in compared.notices), *measured(compared)]
        duration_s = compared.a.source.duration_s
        if self._end_s - self._start_s < duration_s:
            lines.append(
                f"shown are {self._start_s:.0f} to {self._end_s:.0f} s of {duration_s:.0f} s: "
                "at_s= chooses another part"
            )
        told = "".join(f"<div>{html.escape(line)}</div>" for line in lines)
        return f"<b>{html.escape(compared.summary)}</b>{told}"

    def _side(self, run: KeptRun) -> list[Any]:
        shown = [u for u in run.utterances if self._holds(u)]
        return [[*self._edges((u,)), (u.text or "")[:LONGEST_LABEL]] for u in shown]

    def _edges(self, side: tuple[KeptUtterance, ...]) -> list[float]:
        return [side[0].start_s - self._start_s, side[-1].end_s - self._start_s]

    def _row(self, row: Difference) -> dict[str, Any]:
        return {
            "a": self._edges(row.a) if row.a else None,
            "b": self._edges(row.b) if row.b else None,
            "kind": row.kind,
            "words": None if row.words is None else row.changed_words,
            "delays": delays_of(row, self.comparison),
            "texts": [" | ".join(map(said, side)) for side in (row.a, row.b)],
        }

    def _still(self) -> Iterator[str]:
        from sttlab.notebook.plots import plot_utterances  # imports matplotlib, see look.py

        runs = (self.comparison.a, self.comparison.b)
        named: dict[str, Iterable[Span]] = {
            name: run.utterances for name, run in zip(("first", "second"), runs, strict=True)
        }
        figure = plot_utterances(named, duration_s=self.comparison.a.source.duration_s).figure
        yield STYLE + f"<div>{self._head()}</div>"
        yield image_html(figure, "the utterances of both runs over time")
        differences = self.comparison.differences
        rows = [
            (
                f"{row.start_s:.1f} s",
                row.kind,
                *self._row(row)["texts"],
                delays_of(row, self.comparison),
            )
            for row in differences[:STILL_ROWS]
        ]
        yield table_html(("at", "what", "first", "second", "delay"), rows)
        if len(differences) > STILL_ROWS:
            yield f"<div>… and {len(differences) - STILL_ROWS} more</div>"

    def _describe(self, number: int) -> str:
        """Write a difference with its words, for the browser."""
        row = self._rows[number]
        parts = []
        sides = zip(("first", "second"), (row.a, row.b), row.held_back, strict=True)
        for name, side, held in sides:
            lines = [
                f"{u.start_s:.2f} to {u.end_s:.2f} s, ended by {u.reason}: {said(u)}" for u in side
            ]
            lines += [f"held back: {text}" for text in held]
            told = "<br>".join(map(html.escape, lines)) or "nothing"
            parts.append(f"<div><b>{name}</b> {told}</div>")
        if row.words:
            parts.append(f"<div><b>words</b> {' '.join(map(marked, row.words))}</div>")
        return "".join(parts)

    # -- controls, on the thread on which ipykernel calls them ---------------------------------

    def _save(self) -> None:
        self._say(saved_words(self.path, self.config, self.save))

    def _use_in_tuner(self) -> None:
        assert self.tuner is not None
        self.tuner.config = self.config
        self._say("in the tuner")

    def _use_live(self) -> None:
        assert self.session is not None
        try:
            self.session.update(self.config)
            self._say("in use")
        except SttlabError as error:
            self._say(str(error))

    def _say(self, text: str) -> None:
        self._message.value = f'<span role="status">{html.escape(text)}</span>'


def _details(comparer: weakref.ref[Comparer], row: int) -> str:
    alive = comparer()
    return alive._describe(row) if alive is not None else ""
