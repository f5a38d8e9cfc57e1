"""LiveMonitor: a running session's level, transcripts and settings in a notebook."""

from __future__ import annotations

import html
import logging
import threading
import weakref
from collections import deque
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import ipywidgets as widgets
import numpy as np
from numpy.typing import NDArray

from sttlab.errors import SttlabError
from sttlab.events import (
    ConfigChanged,
    Event,
    Level,
    Partial,
    SessionFailed,
    SourceEnded,
    Suppressed,
    Transcript,
    Utterance,
)
from sttlab.live.keeper import Keep
from sttlab.live.session import Session
from sttlab.notebook.live_picture import (
    STATES,
    LastSpeech,
    LevelLog,
    LivePicture,
    score_scales,
)
from sttlab.notebook.look import FLOOR, FOUND, LEVEL, LEVELS, ONSET, score_panels
from sttlab.notebook.monitor_texts import held_html, ledger_of, table_of, words_of
from sttlab.notebook.painter import Displayed, Painter, make_button, on_change
from sttlab.notebook.picture import STYLE, legend
from sttlab.notebook.sliders import VadSliders
from sttlab.notebook.still import image_html, shown_html
from sttlab.notebook.timeline import segment

log = logging.getLogger(__name__)

TEXTS = 50  # transcripts in the table, and suppressed texts kept
SEGMENTS = 1000  # utterances, and texts, in the picture
INTERVAL_S = 0.1
STILL_S = 30.0  # of the picture in a saved notebook
KEEPING = "var(--jp-error-color1, #d32f2f)"  # a colour


class LiveMonitor(Displayed):
    """A session's level and threshold, its transcripts as they arrive, and its settings.

    Parameters
    ----------
    session : Session
        Running or not; buttons start and stop it.
    keep : str, Path or Keep, optional
        Where the button "Keep" has it kept, from its next start on; by default where it is kept
        already, else in ``kept``. While it is kept, the monitor says so, and where.

    Notes
    -----
    The picture has the levels of the last hour, and the audio of the last ten minutes of speech. It
    goes along with what comes until somebody looks elsewhere.

    The session's threads deliver events. The thread `sttlab-ui` sends them to the browser, at most
    ten times a second, and ends when none come. To delete or close a monitor does not change the
    session.

    Examples
    --------
    >>> LiveMonitor(session)  # doctest: +SKIP
    """

    def __init__(self, session: Session, *, keep: str | Path | Keep | None = None) -> None:
        self.session = session
        self._keep_in = keep or session.keep or "kept"
        self._texts: deque[Transcript] = deque(session.history[-TEXTS:], maxlen=TEXTS)
        self._held_back: deque[str] = deque(maxlen=TEXTS)  # suppressed texts, as HTML
        self._segments: deque[Utterance] = deque(maxlen=SEGMENTS)
        self._said_where: deque[Transcript] = deque(maxlen=SEGMENTS)
        self._heard = LastSpeech()
        self._notices: deque[str] = deque(maxlen=3)  # messages of the session
        self._said = ""  # message of a control
        self._partial = ""
        self._over = False  # whether the source has ended or the session failed
        self._level: Level | None = None  # the last one
        self._levels = LevelLog(session.config.detector)
        self._run = 0  # counts the logs of levels
        self._asked = False  # whether a browser has asked for levels
        self._sent = (-1, 0)  # the run and the row that it awaits
        self._lock = threading.Lock()  # guards all fields above but the session
        self._followed = session.config  # the config that the sliders show
        # Guards `_followed`; the session's threads never take it.
        self._steering = threading.Lock()
        self._at_rest = True  # nothing is heard; of sttlab-ui
        self._control: threading.Thread | None = None
        self._painter = Painter(self._paint, INTERVAL_S)
        self._build()
        unsubscribe = session.subscribe(partial(_receive, weakref.ref(self)))
        self._unsubscribe = weakref.finalize(self, unsubscribe)
        self._unsubscribe.atexit = False
        self._paint()

    def close(self) -> None:
        """Take the monitor off the page. The session goes on."""
        self._unsubscribe()
        self._painter.close()
        super().close()

    def _still(self) -> Iterator[str]:
        with self._lock:
            levels = self._levels
            first, rows = levels.since(levels.end - round(STILL_S / levels.frame_s))
        if len(rows):
            yield image_html(_drawn(levels, first, rows), "level, threshold and speech")
        yield from shown_html(self.widget)

    # -- building -----------------------------------------------------------------------------

    def _build(self) -> None:
        self._picture = LivePicture(name=self.session.source.name)
        self._picture.on_msg(partial(_answer, weakref.ref(self)))
        self._sliders = VadSliders(self.session.config, self._moved)
        self._start = make_button("Start", "listen", self._start_session)
        self._stop = make_button(
            "Stop", "stop listening; what was said is transcribed", self._stop_session
        )
        self._keep = widgets.ToggleButton(
            value=self.session.keep is not None,
            description="Keep",
            tooltip="keep audio, texts and settings, from the next start on",
            layout=widgets.Layout(width="auto", flex="none"),
        )
        on_change(self._keep, self._keep_session, "value")
        self._state, self._message = widgets.HTML(), widgets.HTML()
        self._table, self._ledger = widgets.HTML(), widgets.HTML()
        self._show(
            widgets.VBox(
                [
                    widgets.HBox([self._start, self._stop, self._keep, self._state]),
                    self._message,
                    self._picture,
                    widgets.HTML(STYLE + legend("level", "onset", "offset", "speech", "pause")),
                    self._sliders.widget,
                    self._table,
                    self._ledger,
                ]
            )
        )
        self.widget.add_class("sttlab-monitor")

    # -- controls, on the thread on which ipykernel calls them ----------------------------------

    def _moved(self) -> None:
        with self._steering:
            try:
                self._followed = self.session.update(self._sliders.config)
                words = ""
            except SttlabError as error:
                self._sliders.config = self._followed
                words = str(error)
        self._say(words)

    def _start_session(self) -> None:
        with self._lock:
            over = self._over
        action = partial(_restart, self.session) if over else self.session.start
        self._aside(action, "opening the source and loading the model …")

    def _stop_session(self) -> None:
        self._aside(self.session.stop, "transcribing what was said …")

    def _keep_session(self) -> None:
        """Have the next start kept, or not."""
        session = self.session
        if self._keep.value == (session.keep is not None):
            return
        words = "nothing is kept"
        if self._keep.value:
            try:
                where = self._keep_in
                session.keep = where if isinstance(where, Keep) else Keep(where)
                words = f"it is kept in {session.keep.path}"
            except SttlabError as error:
                self._keep.value = False
                self._say(str(error))
                return
        else:
            session.keep = None
        self._say(f"from the next start on, {words}" if session.running else words)

    def _aside(self, action: Callable[[], None], words: str) -> None:
        """Run a slow action on a thread of its own; while it runs, further clicks do nothing."""
        if self._control is not None and self._control.is_alive():
            return
        self._say(words)
        self._control = threading.Thread(
            target=_run, args=(weakref.ref(self), action), name="sttlab-ui-control", daemon=True
        )
        self._control.start()

    def _answer(self, content: dict[str, Any]) -> None:
        """Do what the picture asks for: levels from the first, or audio."""
        if content["ask"] == "levels":
            with self._lock:
                self._asked, self._sent = True, (-1, 0)
            self._painter.request()
        elif content["ask"] == "sound":
            with self._lock:
                heard = self._heard
            self._picture.answer_sound(content, heard)

    def _say(self, words: str) -> None:
        with self._lock:
            self._said = words
        self._painter.request()

    # -- events, on the session's threads -------------------------------------------------------

    def _take(self, event: Event) -> None:
        with self._lock:
            if isinstance(event, Level):
                self._take_level(event)
            elif isinstance(event, Transcript):
                self._texts.append(event)
                self._said_where.append(event)
                self._partial = ""
            elif isinstance(event, Partial):
                self._partial = event.text
            elif isinstance(event, Utterance):
                self._segments.append(event)
                self._heard.add(event)
            elif isinstance(event, Suppressed):
                found = self._heard.find(event.utterance_id)
                self._held_back.append(held_html(event, found))
            elif isinstance(event, ConfigChanged):
                if event.config.detector != self._levels.detector:
                    self._begin(event.config.detector)  # the scores have another scale
            elif (words := words_of(event)) is not None:
                self._notices.append(words)
                self._over |= isinstance(event, SourceEnded | SessionFailed)
        if not self.hidden:
            self._painter.request()

    def _take_level(self, event: Level) -> None:
        if self._over or not self._levels.follows(event):  # the session has been restarted
            self._begin(self._levels.detector)
            self._segments.clear()
            self._said_where.clear()
            self._heard = LastSpeech()
            self._notices.clear()
            self._over = False
        self._level = event
        self._levels.add(event, self.session.config)

    def _begin(self, detector: str) -> None:
        self._levels = LevelLog(detector)
        self._run += 1

    # -- drawing, on sttlab-ui ----------------------------------------------------------------

    def _paint(self) -> None:
        with self._lock:
            level, texts, held_back = self._level, list(self._texts), list(self._held_back)
            notices, partial_text = [*self._notices, self._said], self._partial
            notices.append(self.session.keep_problem or "")
            over = self._over
        self._follow()
        self._send()
        self._state.value = self._status(level, over)
        self._message.value = "".join(
            f'<div role="status">{html.escape(words)}</div>' for words in notices if words
        )
        self._table.value = table_of(texts, partial_text)
        self._ledger.value = ledger_of(held_back)
        self._start.disabled = self.session.running and not over
        self._stop.disabled = not self.session.running
        at_rest = over or not self.session.running
        if at_rest and not self._at_rest:
            self._changed()
        self._at_rest = at_rest
        if self.session.running and not self.hidden:
            self._painter.request()

    def _send(self) -> None:
        """Send the browser what it doesn't have yet."""
        with self._lock:
            levels, run = self._levels, self._run
            utterances, texts = list(self._segments), list(self._said_where)
            at, rows = levels.since(self._sent[1] if self._sent[0] == run else 0)
            is_new = self._asked and self._sent != (run, at + len(rows))
            if is_new:
                self._sent = run, at + len(rows)
            about = {"run": run, "at": at, **levels.about()}
        with self._picture.hold_sync():
            self._picture.scores = score_scales(levels.detector)
            numbered = [segment(u, f"{u.utterance_id + 1}") for u in utterances]
            self._picture.utterances = numbered
            self._picture.texts = [segment(t, t.text) for t in texts]
        if is_new:
            self._picture.send({"levels": about}, [rows.astype("<f4").tobytes()])

    def _follow(self) -> None:
        """Move the sliders if another client or program has changed the session's settings."""
        with self._steering:
            config = self.session.config
            if config is not self._followed:
                self._followed = config
                self._sliders.config = config

    def _status(self, level: Level | None, over: bool) -> str:
        session = self.session
        name = html.escape(session.source.name)
        if not session.running:
            return f'<span class="sttlab-state">stopped: {name}</span>'
        stats = session.stats
        if over:
            words = ["failed" if session.error else "ended"]
        elif level:
            words = [f"{level.state}, {level.level_dbfs:.0f} dBFS"]
        else:
            words = ["listening"]
        words.append(f"{name}, {stats.audio_s:.0f} s")
        if session.keeps:
            where = html.escape(str(session.kept_folder))
            words.append(f'<b style="color:{KEEPING}">● kept in {where}</b>')
        if stats.queued_utterances:
            words.append(f"{stats.queued_utterances} being transcribed")
        if stats.lost_samples:
            words.append(f"{stats.lost_samples / 16:.0f} ms lost")
        if stats.rtf:
            words.append(f"RTF {stats.rtf:.2f}")
        return f'<span class="sttlab-state">{" · ".join(words)}</span>'


def _answer(
    monitor: weakref.ref[LiveMonitor], picture: object, content: dict[str, Any], buffers: object
) -> None:
    if (alive := monitor()) is not None:
        alive._answer(content)


def _receive(monitor: weakref.ref[LiveMonitor], event: Event) -> None:
    if (alive := monitor()) is not None:
        alive._take(event)


def _drawn(levels: LevelLog, first: int, rows: NDArray[np.float32]) -> Any:
    """Draw rows of levels with matplotlib."""
    from sttlab.notebook.plots import make_axes  # imports matplotlib, see look.py

    times_s = levels.start_s + (first + np.arange(len(rows))) * levels.frame_s
    level, score, onset, offset, states = rows.T
    axes = make_axes([LEVELS, *score_panels(levels.detector)], times_s[0], times_s[-1])
    for ax in axes:
        for state, color in (("speech", FOUND), ("pause", FLOOR)):
            is_it = states == STATES.index(state)
            across = ax.get_xaxis_transform()
            ax.fill_between(times_s, 0, 1, is_it, transform=across, color=color, alpha=0.22, lw=0)
    if len(axes) > 1:
        axes[0].plot(times_s, level, color=LEVEL, lw=1.2)
    axes[-1].plot(times_s, score, color=LEVEL, lw=1.2)
    axes[-1].plot(times_s, onset, color=ONSET, lw=2)
    axes[-1].plot(times_s, offset, "--", color=ONSET, lw=1)
    return axes[0].figure


def _restart(session: Session) -> None:
    session.stop()
    session.start()


def _run(monitor: weakref.ref[LiveMonitor], action: Callable[[], None]) -> None:
    """Run `sttlab-ui-control`: perform an action, then show the error or nothing."""
    words = ""
    try:
        action()
    except SttlabError as error:
        words = str(error)
    except Exception as error:
        log.exception("starting or stopping failed")
        words = f"that failed: {error}; the log has more"
    if (alive := monitor()) is not None:
        alive._say(words)
