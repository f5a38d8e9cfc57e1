"""Who speaks in a running session: a thread of its own, for which text never waits.

| thread | calls | owns |
| --- | --- | --- |
| sttlab-speakers | `_run` | the embedder |
| sttlab-dsp | `hear` | nothing |
| sttlab-asr, or wherever a text comes from | `add_to`, `told` | nothing |
| any other | the other methods | nothing: `_changed` guards what they share |
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import threading
from collections import deque
from collections.abc import Callable
from typing import Any

from sttlab.config import SpeakerConfig
from sttlab.errors import SttlabError
from sttlab.events import (
    Event,
    Notice,
    SpeakerNames,
    SpeakersFound,
    SpeakerTurn,
    Transcript,
    Utterance,
)
from sttlab.speakers import EMBEDDERS
from sttlab.speakers.online import OnlineSpeakers
from sttlab.speakers.parts import said_by
from sttlab.speakers.pieces import VoiceFinder
from sttlab.speakers.voices import Voices

log = logging.getLogger(__name__)

BEHIND = 8  # utterances that wait for their speakers; the oldest then gets none
REMEMBERED = 1000  # utterances whose speakers may be asked for
NICENESS = 10  # on Linux: text goes first
TEXT_FIRST_S = 1.0  # for which a voice waits, while the engine needs the cores for the text


class LiveSpeakers:
    """Finds who speaks, utterance by utterance, and corrects it.

    Parameters
    ----------
    config : SpeakerConfig
    voices : Voices
        Whose voices are known by name.
    emit : callable
        Broadcasts an event. Called on `sttlab-speakers`, or by who names, merges or splits.
    clock : callable
        Wall time in seconds, to say how late a speaker is known.
    """

    def __init__(
        self,
        config: SpeakerConfig,
        voices: Voices,
        emit: Callable[[Event], None],
        clock: Callable[[], float],
    ) -> None:
        EMBEDDERS[config.embedder].require()
        self.config = config
        self._emit = emit
        self._clock = clock
        self._finder = VoiceFinder(EMBEDDERS[config.embedder](), config.change)
        self._thread: threading.Thread | None = None
        self._changed = threading.Condition()  # guards everything below
        self._online = OnlineSpeakers(config, voices.items())
        self._waiting: deque[Utterance] = deque(maxlen=BEHIND)
        self._turns: dict[int, tuple[SpeakerTurn, ...]] = {}  # bounded by REMEMBERED, as the next
        # What clients were told of a text, and when they got it:
        self._told: dict[int, tuple[tuple[SpeakerTurn, ...], float]] = {}
        self._missed = 0
        self._stopping = False
        self._patient = False

    def start(self, *, patient: bool) -> None:
        """Start the thread, which loads the network. Times and ids of utterances begin anew.

        Parameters
        ----------
        patient : bool
            Whether `hear` waits for a place, as it may for a file, which can be read at any speed.
        """
        with self._changed:
            self._stopping = False
            self._patient = patient
            self._waiting.clear()
            self._turns.clear()
            self._told.clear()
            self._online.begin()
        self._thread = threading.Thread(target=self._run, name="sttlab-speakers", daemon=True)
        self._thread.start()

    def stop(self, timeout_s: float) -> None:
        """Find the speakers of what waits, within a time, and end the thread."""
        self.request_stop()
        if self._thread:
            self._thread.join(timeout_s)
            if self._thread.is_alive():
                log.warning("speakers are still being found after %.0f s; they are left", timeout_s)
            self._thread = None

    def request_stop(self) -> None:
        """Have the thread end once it is done; does not wait for that."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()

    # -- utterances and texts -----------------------------------------------------------------

    def hear(self, utterance: Utterance) -> None:
        """Have the speakers of an utterance found. Never blocks, unless it is patient."""
        with self._changed:
            if self._patient:
                self._changed.wait_for(lambda: len(self._waiting) < BEHIND or self._ended())
            if len(self._waiting) == BEHIND:
                self._missed += 1
                log.warning("an utterance gets no speaker: %d so far wait too long", self._missed)
            self._waiting.append(utterance)
            self._changed.notify_all()

    def _ended(self) -> bool:
        return self._stopping or self._thread is None or not self._thread.is_alive()

    def add_to(self, transcript: Transcript) -> Transcript:
        """Add who speaks to a text, if that is known by now."""
        with self._changed:
            turns = self._turns.get(transcript.utterance_id, ())
            self._told[transcript.utterance_id] = turns, self._clock()
            _forget_oldest(self._told)
            self._changed.notify_all()
        return said_by(transcript, turns) if turns else transcript

    def told(self, transcript: Transcript) -> SpeakersFound | None:
        """Return what became known of a text after `add_to`, once the text is broadcast."""
        with self._changed:
            return self._news(transcript.utterance_id, revised=bool(transcript.speakers))

    def _news(self, utterance_id: int, *, revised: bool) -> SpeakersFound | None:
        turns = self._turns.get(utterance_id, ())
        if utterance_id not in self._told:
            return None
        before, told_s = self._told[utterance_id]
        if before == turns:
            return None
        self._told[utterance_id] = turns, told_s
        late_s = self._clock() - told_s
        return SpeakersFound(utterance_id=utterance_id, turns=turns, revised=revised, late_s=late_s)

    # -- what a person says -------------------------------------------------------------------

    def rename(self, speaker: str, name: str) -> None:
        """Call a speaker by a name, in what was said and in what will be; see OnlineSpeakers."""
        with self._changed:
            self._online.rename(speaker, name)
        self._emit(self.names())

    def merge(self, speaker: str, into: str) -> None:
        """Take two speakers for one."""
        with self._changed:
            news = self._correct(self._online.merge(speaker, into))
        for event in (self.names(), *news):
            self._emit(event)

    def split(self, utterance_id: int) -> None:
        """Say that an utterance is of a speaker of its own."""
        with self._changed:
            news = self._correct(self._online.split(utterance_id))
        for event in (self.names(), *news):
            self._emit(event)

    def names(self) -> SpeakerNames:
        """Return how speakers are called, and which turned out to be another."""
        with self._changed:
            return SpeakerNames(names=dict(self._online.names), merged=dict(self._online.merged))

    def voice(self, speaker: str) -> tuple[str, list[float]]:
        """Return the name and the embedding of a speaker, to know the voice by later."""
        with self._changed:
            vector = self._online.vector(speaker)
            return self._online.names.get(speaker, speaker), [float(x) for x in vector]

    def turns(self, utterance_id: int) -> tuple[SpeakerTurn, ...]:
        """Return who speaks in an utterance, as far as that is known."""
        with self._changed:
            return self._turns.get(utterance_id, ())

    # -- on sttlab-speakers -------------------------------------------------------------------

    def _run(self) -> None:
        if sys.platform == "linux":
            with contextlib.suppress(OSError):  # where it is not allowed
                os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)
        try:
            while (utterance := self._next()) is not None:
                self._find(utterance)
        except SttlabError as error:
            self._fail(str(error))
        except Exception as error:
            log.exception("finding speakers failed")
            self._fail(f"it failed: {error}")
        finally:
            self.request_stop()  # nobody waits for what does not come

    def _next(self) -> Utterance | None:
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._stopping)
            if not self._patient:
                self._changed.wait_for(self._text_is_out, TEXT_FIRST_S)
            self._changed.notify_all()
            return self._waiting.popleft() if self._waiting else None

    def _text_is_out(self) -> bool:
        return self._stopping or self._waiting[0].utterance_id in self._told

    def _find(self, utterance: Utterance) -> None:
        pieces = self._finder.find(utterance)
        with self._changed:
            before = dict(self._online.merged)
            news = self._correct(self._online.add(utterance.utterance_id, pieces))
            merged = self._online.merged != before
        if merged:
            self._emit(self.names())
        for event in news:
            self._emit(event)

    def _correct(self, changed: dict[int, tuple[SpeakerTurn, ...]]) -> list[SpeakersFound]:
        """Note who speaks, and return what is to be said of texts that were broadcast before."""
        known = [utterance_id for utterance_id in changed if utterance_id in self._turns]
        self._turns |= changed
        _forget_oldest(self._turns)
        news = [self._news(i, revised=i in known) for i in changed]
        return [event for event in news if event is not None]

    def _fail(self, why: str) -> None:
        message = f"nobody is told apart any more: {why}"
        log.warning("%s", message)
        self._emit(Notice(time_s=0.0, about="speakers", message=message))


def _forget_oldest(known: dict[int, Any]) -> None:
    while len(known) > REMEMBERED:
        del known[next(iter(known))]
