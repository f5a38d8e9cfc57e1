"""LiveMonitor: a running session's level, transcripts and settings in a notebook."""

from __future__ import annotations

import html
import logging
import threading
import weakref
from collections import deque
from collections.abc import Callable, Iterator
from functools import partial
from itertools import groupby
from math import ceil
from typing import NamedTuple

import ipywidgets as widgets
import numpy as np

from sttlab.audio import SAMPLE_RATE, player_html
from sttlab.errors import SttlabError
from sttlab.events import (
    ConfigChanged,
    DeviceLost,
    DeviceRestored,
    DeviceSilent,
    Event,
    Level,
    Notice,
    Partial,
    SamplesLost,
    SessionFailed,
    SourceEnded,
    Suppressed,
    Transcript,
    TranscriptionFailed,
    Utterance,
)
from sttlab.live.session import Session
from sttlab.notebook.painter import Displayed, Painter, make_button
from sttlab.notebook.picture import STYLE, Picture, legend
from sttlab.notebook.plots import (
    DELAYS,
    FLOOR,
    FOUND,
    LEVEL,
    LEVELS,
    ONSET,
    delay_parts,
    score_panels,
)
from sttlab.notebook.sliders import VadSliders
from sttlab.vad import DETECTORS

log = logging.getLogger(__name__)

WINDOW_S = 10.0
TEXTS = 50  # transcripts kept, and suppressed texts kept
RECENT = 16  # utterances kept whose text may yet be suppressed
INTERVAL_S = 0.1
STATES = {"speech": FOUND, "pause": FLOOR}
PX_PER_S = 60


class LiveMonitor(Displayed):
    """A session's level and threshold, its transcripts as they arrive, and its settings.

    Parameters
    ----------
    session : Session
        Running or not; buttons start and stop it.

    Notes
    -----
    The session's threads deliver events. The thread `sttlab-ui` draws them, at most ten times a
    second, and ends when none come. To delete or close a monitor does not change the session.

    Examples
    --------
    >>> LiveMonitor(session)  # doctest: +SKIP
    """

    def __init__(self, session: Session) -> None:
        self.session = session
        self._texts: deque[Transcript] = deque(session.history[-TEXTS:], maxlen=TEXTS)
        self._held_back: deque[str] = deque(maxlen=TEXTS)  # suppressed texts, as HTML
        self._utterances: deque[Utterance] = deque(maxlen=RECENT)
        self._notices: deque[str] = deque(maxlen=3)  # messages of the session
        self._said = ""  # message of a control
        self._partial = ""
        self._over = False  # whether the source has ended or the session failed
        self._detector = session.config.detector  # the detector of `_levels`
        self._levels = _window(self._detector)
        self._lock = threading.Lock()  # guards all fields above but the session
        self._followed = session.config  # the config that the sliders show
        # Guards `_followed`; the session's threads never take it.
        self._steering = threading.Lock()
        self._drawn: Level | None = None
        self._panels_for = ""
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

    # -- building -----------------------------------------------------------------------------

    def _build(self) -> None:
        self._picture = Picture("the last ten seconds: level, threshold and speech")
        self._sliders = VadSliders(self.session.config, self._moved)
        self._start = make_button("Start", "listen", self._start_session)
        self._stop = make_button(
            "Stop", "stop listening; what was said is transcribed", self._stop_session
        )
        self._state, self._message = widgets.HTML(), widgets.HTML()
        self._table, self._ledger = widgets.HTML(), widgets.HTML()
        self._show(
            widgets.VBox(
                [
                    widgets.HBox([self._start, self._stop, self._state]),
                    self._message,
                    self._picture.widget,
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

    def _aside(self, action: Callable[[], None], words: str) -> None:
        """Run a slow action on a thread of its own; while it runs, further clicks do nothing."""
        if self._control is not None and self._control.is_alive():
            return
        self._say(words)
        self._control = threading.Thread(
            target=_run, args=(weakref.ref(self), action), name="sttlab-ui-control", daemon=True
        )
        self._control.start()

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
                self._partial = ""
            elif isinstance(event, Partial):
                self._partial = event.text
            elif isinstance(event, Utterance):
                self._utterances.append(event)
            elif isinstance(event, Suppressed):
                found = [u for u in self._utterances if u.utterance_id == event.utterance_id]
                self._held_back.append(_held(event, found[-1] if found else None))
            elif isinstance(event, ConfigChanged):
                if event.config.detector != self._detector:
                    self._detector = event.config.detector
                    self._levels = _window(self._detector)  # the scores have another scale
            elif (words := _words(event)) is not None:
                self._notices.append(words)
                self._over |= isinstance(event, SourceEnded | SessionFailed)
        if not self.hidden:
            self._painter.request()

    def _take_level(self, event: Level) -> None:
        if self._over or (self._levels and event.time_s < self._levels[-1].time_s):
            self._levels.clear()  # the session has been restarted
            self._notices.clear()
            self._over = False
        while self._levels and event.time_s - self._levels[0].time_s > WINDOW_S:
            self._levels.popleft()
        self._levels.append(event)

    # -- drawing, on sttlab-ui ----------------------------------------------------------------

    def _paint(self) -> None:
        with self._lock:
            levels = list(self._levels)
            texts, held_back = list(self._texts), list(self._held_back)
            notices, partial_text = [*self._notices, self._said], self._partial
            notices.append(self.session.keep_problem or "")
            detector, over = self._detector, self._over
        self._follow()
        if detector != self._panels_for:
            self._panels_for = detector
            self._drawn = None
            panels = [LEVELS, *score_panels(detector)]
            self._picture.set_axes(panels, -WINDOW_S, 0, xlabel="time before now (s)")
        if not levels or levels[-1] is not self._drawn:
            self._drawn = levels[-1] if levels else None
            self._picture.set_over(self._shapes(levels, detector))
        self._state.value = self._status(levels, over)
        self._message.value = "".join(
            f'<div role="status">{html.escape(words)}</div>' for words in notices if words
        )
        self._table.value = _table(texts, partial_text)
        self._ledger.value = _ledger(held_back)
        self._start.disabled = self.session.running and not over
        self._stop.disabled = not self.session.running
        if self.session.running and not self.hidden:
            self._painter.request()

    def _follow(self) -> None:
        """Move the sliders if another client or program has changed the session's settings."""
        with self._steering:
            config = self.session.config
            if config is not self._followed:
                self._followed = config
                self._sliders.config = config

    def _shapes(self, levels: list[Level], detector: str) -> Iterator[str]:
        if not levels:
            return
        picture = self._picture
        times_s = np.array([e.time_s for e in levels]) - levels[-1].time_s
        panels = range(len(picture.panels))
        frame_s = DETECTORS[detector].frame_samples / SAMPLE_RATE
        for state, color in STATES.items():
            spans = _stretches(levels, state, frame_s)
            yield picture.spans(panels, spans, color, number=False)
        judge = panels[-1]
        if judge:
            yield picture.line(0, times_s, np.array([e.level_dbfs for e in levels]), LEVEL)
        yield picture.line(judge, times_s, np.array([e.score for e in levels]), LEVEL)
        onset = np.array([e.threshold for e in levels])
        offset = DETECTORS[detector].offset(onset, self.session.config)
        yield picture.line(judge, times_s, onset, ONSET, 'stroke-width="2"')
        yield picture.line(judge, times_s, offset, ONSET, 'stroke-dasharray="5 3"')

    def _status(self, levels: list[Level], over: bool) -> str:
        session = self.session
        name = html.escape(session.source.name)
        if not session.running:
            return f'<span class="sttlab-state">stopped: {name}</span>'
        stats = session.stats
        if over:
            words = ["failed" if session.error else "ended"]
        elif levels:
            words = [f"{levels[-1].state}, {levels[-1].level_dbfs:.0f} dBFS"]
        else:
            words = ["listening"]
        words.append(f"{name}, {stats.audio_s:.0f} s")
        if session.keeps:
            words.append(f"<b>kept in {html.escape(str(session.kept_folder))}</b>")
        if stats.queued_utterances:
            words.append(f"{stats.queued_utterances} being transcribed")
        if stats.lost_samples:
            words.append(f"{stats.lost_samples / 16:.0f} ms lost")
        if stats.rtf:
            words.append(f"RTF {stats.rtf:.2f}")
        return f'<span class="sttlab-state">{" · ".join(words)}</span>'


class _Stretch(NamedTuple):
    start_s: float
    end_s: float


def _window(detector: str) -> deque[Level]:
    """Make an empty deque for the levels of the window, one for each frame of a detector."""
    return deque(maxlen=ceil(WINDOW_S * SAMPLE_RATE / DETECTORS[detector].frame_samples))


def _stretches(levels: list[Level], state: str, frame_s: float) -> list[_Stretch]:
    """Find the stretches of a state, in seconds relative to the last level."""
    now = levels[-1].time_s
    found = []
    for key, group in groupby(levels, lambda e: e.state):
        if key == state:
            times = [e.time_s for e in group]
            found.append(_Stretch(times[0] - now, times[-1] + frame_s - now))
    return found


def _words(event: Event) -> str | None:
    """Describe an event that a person should know of; None for others."""
    if isinstance(event, DeviceLost | DeviceSilent | Notice | SessionFailed | TranscriptionFailed):
        return event.message
    if isinstance(event, DeviceRestored):
        return f"{event.device} is back"
    if isinstance(event, SamplesLost):
        return f"{event.count / 16:.0f} ms of audio were lost at {event.time_s:.1f} s"
    if isinstance(event, SourceEnded):
        return f"the source ended after {event.time_s:.1f} s"
    return None


def _table(texts: list[Transcript], partial_text: str) -> str:
    rows = (
        [f"<tr><td></td><td><i>{html.escape(partial_text)}</i></td></tr>"] if partial_text else []
    )
    for t in reversed(texts):
        rows.append(
            f"<tr><td>{t.start_s:.1f} s</td>"
            f'<td class="sttlab-text">{html.escape(t.text)}</td>'
            f"<td>{t.delay_s:.2f} s</td><td>{_bar(t)}</td><td>{t.confidence:.2f}</td></tr>"
        )
    if not rows:
        return "<i>no text yet</i>"
    parts = " ".join(
        f'<span class="sttlab-nowrap"><span style="color:{c}">■</span> {name}</span>'
        for name, c in DELAYS.items()
    )
    return (
        '<table class="sttlab-table"><tr><th>at</th><th class="sttlab-text">text</th>'
        f'<th>delay</th><th class="sttlab-text">{parts}</th><th>confidence</th></tr>'
        f"{''.join(rows)}</table>"
    )


def _bar(t: Transcript) -> str:
    """Draw the parts of a transcript's delay as a bar."""
    parts = delay_parts(t)
    words = ", ".join(f"{seconds:.2f} s {name}" for name, seconds in parts.items())
    bars = "".join(
        f'<i style="width:{PX_PER_S * min(seconds, 5):.0f}px;background:{DELAYS[name]}"></i>'
        for name, seconds in parts.items()
    )
    return f'<span class="sttlab-bar" role="img" aria-label="{words}" title="{words}">{bars}</span>'


def _held(event: Suppressed, utterance: Utterance | None) -> str:
    """Write a suppressed text and its reason, with a player of its audio."""
    words = f"{event.start_s:.1f} s: “{event.text}” – {event.reason}"
    if utterance is None:
        return f"<li>{html.escape(words)}</li>"
    edges = (round((s - utterance.start_s) * SAMPLE_RATE) for s in (event.start_s, event.end_s))
    return f"<li>{player_html(utterance.samples[slice(*edges)], words)}</li>"


def _ledger(held_back: list[str]) -> str:
    if not held_back:
        return ""
    items = "".join(reversed(held_back))
    return f"<details><summary>{len(held_back)} held back</summary><ul>{items}</ul></details>"


def _receive(monitor: weakref.ref[LiveMonitor], event: Event) -> None:
    if (alive := monitor()) is not None:
        alive._take(event)


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
