"""One run of a session, from its start to its stop: audio in, events out.

| thread | calls | owns |
| --- | --- | --- |
| sttlab-dsp | `run`, by it `take`, `finish`, `fail` | source, core, `_heard_at`, `_empty_reads` |
| sttlab-asr | what jobs call when they are done | nothing |
| any | the attributes that say so | `config`, `partials`, `stopping` |
"""

from __future__ import annotations

import logging
import threading
import weakref
from collections.abc import Callable
from functools import partial

from sttlab.audio import SAMPLE_RATE
from sttlab.capture.base import AudioSource, Block
from sttlab.config import VadConfig
from sttlab.core import StreamCore
from sttlab.engines.base import Engine
from sttlab.errors import SessionError, SttlabError, TranscribeError
from sttlab.events import (
    DeviceLost,
    Event,
    Level,
    Notice,
    SamplesLost,
    SessionFailed,
    SourceEnded,
    SpeechPaused,
    StreamEvent,
    Transcript,
    Utterance,
)
from sttlab.live.keeper import Keeper
from sttlab.live.ledger import Ledger
from sttlab.live.speculation import Attempt, Speculation
from sttlab.live.stream import Broadcast
from sttlab.live.who import LiveSpeakers
from sttlab.live.worker import Answer, AsrWorker, Job, Priority

log = logging.getLogger(__name__)

READ_S = 0.1  # the longest that a stop or new settings wait for the source
STALL_S = 2.0  # without audio for so long, open speech is over
STALL_READS = 10  # and in so many reads: a process that was stopped has not looked meanwhile
LAST_S = 5.0  # of audio, read after a stop: as much as a microphone may have heard before


def _at_once() -> bool:
    """Do not wait for a place in the engine's queue."""
    return True


class Pipeline:
    """What turns a source's blocks into events, with the engine's help.

    It knows no session: a session that is forgotten takes it along, and its thread ends.

    Parameters
    ----------
    config : VadConfig
    worker : AsrWorker
    ledger : Ledger
    broadcast : Broadcast
    live : bool
        Whether there are `Level`, and utterances that go before those of recordings.
    clock : callable
        Wall time in seconds, for latency figures and to notice a stalled source.
    keeper : Keeper, optional
        What keeps this run.
    speakers : LiveSpeakers, optional
        What finds who speaks; started and stopped by the session.

    Attributes
    ----------
    config : VadConfig
        Any thread may set it; it applies from the next frame on.
    partials : bool
        Whether to emit `Partial`. Any thread may set it.
    stopping : Event
        Set by whoever stops the run.
    error : SttlabError or None
        Why capture ended, if it failed. Written by sttlab-dsp.
    ended : bool
        Whether the source had no more audio. Written by sttlab-dsp.
    """

    def __init__(
        self,
        config: VadConfig,
        worker: AsrWorker,
        ledger: Ledger,
        broadcast: Broadcast,
        *,
        live: bool,
        clock: Callable[[], float],
        keeper: Keeper | None = None,
        speakers: LiveSpeakers | None = None,
    ) -> None:
        self.config = config
        self.partials = False
        self.stopping = threading.Event()
        self.error: SttlabError | None = None
        self.ended = False
        self._worker = worker
        self._lane = object()  # in the worker's hands, who must not hold the pipeline itself
        self._ledger = ledger
        self._broadcast = broadcast
        self._live = live
        self._clock = clock
        self._keeper = keeper
        self._speakers = speakers
        if keeper:
            broadcast.subscribe(keeper.happened)
            weakref.finalize(self, keeper.finish)  # of a session that is forgotten
        self._core = StreamCore(config, levels=live)
        self._speculation = Speculation()  # of both threads; it says which calls what
        self._heard_at = clock()
        self._empty_reads = 0  # since then
        self._stalled = False  # since then
        self._answered_by: tuple[Engine, str] | None = None  # the last engine, and its name then

    @property
    def audio_s(self) -> float:
        """Stream time so far, lost samples included. Any thread may read it."""
        return self._core.position / SAMPLE_RATE

    def waits_for_live(self) -> bool:
        """Whether its utterances wait for live speech of others. Any thread may call it."""
        return self._worker.waits_for_live(self._lane)

    def give_up(self, why: str) -> None:
        """Answer what still waits for the engine with an error. Any thread may call it."""
        for job in self._worker.forget(self._lane):
            job.done(TranscribeError(why), 0.0)

    # -- on sttlab-dsp ------------------------------------------------------------------------

    def take(self, block: Block) -> None:
        """Turn a block into events, and submit the engine's work.

        Blocks while the engine's queue is full.
        """
        if self._core.config is not (config := self.config):
            changed = self._core.update(config)
            if self._keeper:
                self._keeper.settings(self._core.position, config)
            self._handle(changed)
        for event in block.events:
            self._broadcast.emit(event)
            if isinstance(event, DeviceLost):
                self._interrupt(event.kind)
        now = self._clock()
        self._empty_reads += 1
        if len(block.samples) or block.lost_samples:
            self._heard_at = now
            self._empty_reads = 0
            self._stalled = False
        elif (
            now - self._heard_at > STALL_S and self._empty_reads > STALL_READS and not self._stalled
        ):
            self._stalled = True
            self._interrupt("stalled")
        if self._live and (
            speaking_s := self._core.speaking_s
        ):  # in a pause its attempt may have begun
            timeout_s = self.config.silence_timeout_s
            self._core.pause_after(
                self._speculation.pause_s(speaking_s, timeout_s, partials=self.partials)
            )
        if self._keeper:
            block = self._keeper.hear(self._core.position, block)
        self._handle(self._core.feed(block))

    def _interrupt(self, why: str) -> None:
        """End open speech, since its audio doesn't go on."""
        if self._keeper:
            self._keeper.interrupted(self._core.position, why)
        self._handle(self._core.flush("interrupted"))

    def finish(self, ended: bool) -> None:
        """End what is open. `ended` says whether the source has no more audio."""
        self.ended = ended
        if self._keeper:
            self._keeper.end(self._core.position, ended=ended)
        self._handle(self._core.flush())
        if ended and (notice := self._core.nothing_heard()):
            self._emit(notice)
        if ended:
            self._broadcast.emit(SourceEnded(time_s=self.audio_s))

    def fail(self, error: SttlabError) -> None:
        """Note and say why capture failed."""
        self.error = error
        self._broadcast.emit(SessionFailed(message=str(error)))

    def close(self) -> None:
        """Note that capture is over."""
        self._ledger.end()

    def close_keeper(self) -> None:
        """Write what is to be kept. Any thread may call it; blocks until it is written."""
        if self._keeper:
            self._broadcast.unsubscribe(self._keeper.happened)
            self._keeper.close()

    def _handle(self, events: list[StreamEvent]) -> None:
        for event in events:
            if not isinstance(event, Event):
                if self._live and isinstance(event, SpeechPaused):
                    self._speculate(event.utterance)
                continue
            self._emit(event)
            if isinstance(event, Utterance):
                if self._speakers:
                    self._speakers.hear(event)
                self._submit(event)
            elif isinstance(event, SamplesLost):
                self._ledger.lose(event.count)
            elif isinstance(event, Level):
                self._speculation.follow(event)
        if self.partials and self._speculation.due(now := self._clock()):
            utterance = self._core.unfinished()
            if utterance and (job := self._speculation.look(utterance, now, self._speculated)):
                self._worker.submit(self._lane, job, _at_once)

    def _speculate(self, utterance: Utterance) -> None:
        job = self._speculation.pause(utterance, self._speculated)
        if not self._worker.submit(self._lane, job, _at_once):
            self._speculation.drop()  # the lane is full: the utterance takes its own turn

    def _submit(self, utterance: Utterance) -> None:
        late_s = (self._core.position - utterance.decided_sample) / SAMPLE_RATE
        self._ledger.open(utterance, self._heard_at - late_s)
        adopted = self._speculation.adopt(utterance)
        if adopted:
            if adopted.result:
                self._answer(adopted.utterance, *adopted.result, speculative=True)
            return
        done = partial(self._finished, utterance)
        job = Job(utterance.samples, Priority.FINAL if self._live else Priority.LATER, done)
        if not self._worker.submit(self._lane, job, self._ledger.is_abandoned):
            why = self._worker.hangs or "the session stopped before the engine had time for it"
            done(TranscribeError(why), 0.0)

    # -- on sttlab-asr, or wherever a job is answered -----------------------------------------

    def _speculated(self, attempt: Attempt, answer: Answer, engine_s: float) -> None:
        if self._speculation.settle(attempt, answer, engine_s):
            self._answer(attempt.utterance, answer, engine_s, speculative=True)
        elif self.partials and (event := self._speculation.grow(attempt, answer, engine_s)):
            self._broadcast.emit(event)

    def _finished(self, utterance: Utterance, answer: Answer, engine_s: float) -> None:
        self._speculation.note(utterance, engine_s)
        self._answer(utterance, answer, engine_s, speculative=False)

    def _answer(
        self, heard: Utterance, answer: Answer, engine_s: float, *, speculative: bool
    ) -> None:
        """Say what came of an utterance, of which the engine got what is in `heard`."""
        utterance_id = heard.utterance_id
        if self._keeper:
            engine = self._worker.transcriber
            self._keeper.answered(heard, len(heard.samples), engine, engine_s)
        events = self._ledger.answer(
            utterance_id,
            answer,
            engine_s,
            speculative=speculative,
            ready_at=self._worker.ready_at,
        )
        for event in events:
            if self._speakers and isinstance(event, Transcript):
                self._emit(said := self._speakers.add_to(event))
                self._ledger.say_who(utterance_id, said.speakers)
                if news := self._speakers.told(said):
                    self._emit(news)
            else:
                self._emit(event)
        self._ledger.close(utterance_id)
        if notice := self._model_changed():
            self._emit(notice)

    def _model_changed(self) -> Notice | None:
        """Say so if the engine itself has taken another model, as that of "auto" may."""
        engine, before = self._worker.transcriber, self._answered_by
        self._answered_by = engine, engine.name
        if before is None or before[0] is not engine or before[1] == engine.name:
            return None
        message = f"{before[1]} no longer keeps up on this machine: {engine.name} goes on"
        return Notice(time_s=self.audio_s, about="model", message=message)

    # -- on either ----------------------------------------------------------------------------

    def _emit(self, event: Event) -> None:
        if self._live and isinstance(event, Notice):
            log.warning("at %.0f s: %s", event.time_s, event.message)
        self._broadcast.emit(event)


def run(
    pipeline_ref: weakref.ref[Pipeline],
    source: AudioSource,
    stopping: threading.Event,
    is_ready: Callable[[float], bool],
) -> None:
    """Run `sttlab-dsp`: read the source until it ends, the run stops or nobody holds it.

    It begins once `is_ready`, which waits for so many seconds, says that it may.
    """
    ended = False
    try:
        while not stopping.is_set() and not is_ready(READ_S):
            if pipeline_ref() is None:
                return
        left = round(LAST_S * SAMPLE_RATE)
        while left > 0 and not ended:
            stop = stopping.is_set()
            block = source.read(0 if stop else READ_S)
            pipeline = pipeline_ref()
            if pipeline is None:
                return
            if block is None:
                ended = True
            else:
                pipeline.take(block)
                if stop:
                    left = left - len(block.samples) if len(block.samples) else 0
            del pipeline
        if (pipeline := pipeline_ref()) is not None:
            pipeline.finish(ended)
    except Exception as error:
        if (pipeline := pipeline_ref()) is not None:
            known = isinstance(error, SttlabError)
            if not known:
                log.exception("capture from %s failed", source.name)
            pipeline.finish(ended=False)
            pipeline.fail(error if isinstance(error, SttlabError) else SessionError(str(error)))
    finally:
        source.close()
        if (pipeline := pipeline_ref()) is not None:
            pipeline.close()
