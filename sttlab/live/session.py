"""A session: the wiring of source, pipeline, engine and subscribers; it alone starts pipelines.

| thread | runs | owns |
| --- | --- | --- |
| sttlab-dsp | `pipeline.run` | the source and the pipeline's state, but for what `Pipeline` says |
| sttlab-asr | `AsrWorker` | the engine |
| sttlab-watchdog | `AsrWorker` | nothing: it notices an engine that hangs |
| sttlab-load | `AsrWorker.use` | the engine that it loads |
| sttlab-speakers | `LiveSpeakers` | the embedder |
| sttlab-keep | `Keeper` | the files of a session that is kept |
| any other | the methods of `Session` | nothing: locks guard a session's fields |

Callbacks of `Session.subscribe` run on the first three and sttlab-speakers, and must not block.
"""

from __future__ import annotations

import logging
import secrets
import threading
import time
import weakref
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any

from sttlab.capture.base import AudioSource
from sttlab.capture.replay import FileSource
from sttlab.config import SpeakerConfig, TranscribeConfig, VadConfig
from sttlab.engines import make_engine
from sttlab.engines.base import Engine
from sttlab.errors import SessionError, SttlabError
from sttlab.events import Event, SpeakersFound, Transcript, Utterance
from sttlab.live.keeper import Keep, Keeper
from sttlab.live.lease import Lease, Shared
from sttlab.live.ledger import Ledger, SessionStats, history_frame
from sttlab.live.pipeline import Pipeline, run
from sttlab.live.stream import Broadcast, EventStream
from sttlab.live.who import LiveSpeakers
from sttlab.live.worker import AsrWorker
from sttlab.speakers.voices import Voices
from sttlab.vad import require_detector

log = logging.getLogger(__name__)

STOP_S = 30.0  # for the engine to read what was said before a stop
STOP_ENGINE_S = 10.0  # for its thread to end when no capture needs it


class Session:
    """Audio in, text out, live.

    Parameters
    ----------
    source : AudioSource
    vad : VadConfig, optional
    model : str, TranscribeConfig, Engine or AsrWorker
        A model's name; or all about it; or an engine; or a worker that other sessions share.
    partials : bool
        Whether to emit `Partial` while someone speaks, even if nobody asks by `want_partials`. May
        be set while running.
    live : bool
        Otherwise the engine has its turn when no live session needs it, and there are no `Level`.
    keep : str, Path or Keep, optional
        A folder in which each start is kept in a folder of its own: the audio, the events and the
        settings, which `open_session` reads. By default nothing is kept.
    speakers : bool or SpeakerConfig
        Whether to find who speaks, and how, on a thread for which text never waits.
    voices : Voices, optional
        Whose voices are known by name, with `speakers`.
    clock : callable
        Wall time in seconds, for latency figures and to notice a stalled source.

    Raises
    ------
    KeptError
        If nothing can be written into that folder.

    Attributes
    ----------
    keep : Keep or None
        Where each start is kept. May be set, for the next start on.
    starts : int
        How often it was started; times and ids of utterances begin anew each time.
    id : str
        Another for each session: clients that reconnect know by it, and by `starts`, whose texts
        they have.

    Examples
    --------
    >>> with Session(FileSource("talk.wav", speed=None)) as session:  # doctest: +SKIP
    ...     session.wait()
    ...     print(session.history[0].text)
    """

    def __init__(
        self,
        source: AudioSource,
        *,
        vad: VadConfig | None = None,
        model: str | TranscribeConfig | Engine | AsrWorker = "tiny.en",
        partials: bool = False,
        live: bool = True,
        keep: str | Path | Keep | None = None,
        speakers: bool | SpeakerConfig = False,
        voices: Voices | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if isinstance(source, type) or not all(
            hasattr(source, name) for name in ("name", "open", "read", "close")
        ):
            raise SessionError(
                f"{type(source).__name__} is not an audio source: pass a source, such as "
                "FileSource(path) or Microphone()"
            )
        self.keep = keep if keep is None or isinstance(keep, Keep) else Keep(keep)
        self.worker = model if isinstance(model, AsrWorker) else _make_worker(model, clock)
        self._live = live
        self._clock = clock
        self._broadcast = Broadcast()  # which has a lock of its own, as the next
        self._ledger = Ledger(clock)
        # Guarded by `_lifecycle`, which is held while capture or the engine starts or stops; anyone
        # may read them, for they change as a whole:
        self._lifecycle = threading.RLock()
        self.source = source
        self.starts = 0
        self.id = secrets.token_hex(4)
        self._over = False  # the last start, by the end of its source or by `stop`
        self._dsp: threading.Thread | None = None
        self._keeper: Keeper | None = None  # of the last start
        self._speakers = self._make_speakers(speakers, voices)
        # Guarded by `_settings`, which is never held for long:
        self._settings = threading.Lock()
        self._config = vad or VadConfig()
        self._partials = partials
        self._wanting: frozenset[object] = frozenset()  # who wants partials
        self._pipeline = self._make_pipeline()
        # Each of these has `_lifecycle` as its lock:
        me = weakref.proxy(self)  # lest a circle keep a forgotten session, and its microphone
        self._capture = Shared(
            self._lifecycle, lambda: me._start(), lambda timeout_s: me._stop(timeout_s), STOP_S
        )
        given = isinstance(model, AsrWorker)
        self._engine = Shared(
            self._lifecycle,
            partial(self.worker.start, wait=False),
            _leave if given else self.worker.stop,
            STOP_ENGINE_S,
        )
        self._own = self.lease()  # of the person who calls `start`
        if not given:
            weakref.finalize(self, self.worker.request_stop)
        if self._speakers:
            weakref.finalize(self, self._speakers.request_stop)

    def _make_speakers(
        self, speakers: bool | SpeakerConfig, voices: Voices | None
    ) -> LiveSpeakers | None:
        if speakers is False:
            if voices is not None:
                raise SessionError("voices need speakers=True: they are for finding who speaks")
            return None
        config = speakers if isinstance(speakers, SpeakerConfig) else SpeakerConfig()
        ledger, broadcast = self._ledger, self._broadcast  # and not the session, for a circle

        def emit(event: Event) -> None:
            if isinstance(event, SpeakersFound):
                ledger.say_who(event.utterance_id, event.turns)
            broadcast.emit(event)

        return LiveSpeakers(config, voices or Voices(config), emit, self._clock)

    def _make_pipeline(self) -> Pipeline:
        pipeline = Pipeline(
            self._config,
            self.worker,
            self._ledger,
            self._broadcast,
            live=self._live,
            clock=self._clock,
            keeper=self._keeper,
            speakers=self._speakers,
        )
        pipeline.partials = self.partials
        return pipeline

    # -- from any thread ----------------------------------------------------------------------

    def start(self) -> None:
        """Open the source, start the threads and wait for the model. Does nothing when running.

        A file begins to play once the model is loaded. A microphone is heard at once; what is said
        while the model loads waits for it, and `Transcript.load_s` says how long.

        Raises
        ------
        SourceError
            If there is no audio to capture.
        ModelError
            If the model can't be had.
        """
        try:
            self._own.capture()
        except BaseException:  # an interrupt of the kernel too
            self._own.close()
            raise

    def _start(self) -> None:
        if self._dsp is not None:
            if not self.error or self.kept:
                return
            self._stop(STOP_S)
        self.source.open()
        is_file = isinstance(self.source, FileSource)
        self.starts += 1
        self._over = False
        self._ledger.begin()
        with self._settings:
            self._keeper = None
            if self.keep:
                self._keeper = Keeper(
                    self.keep,
                    source=self.source.name,
                    config=self._config,
                    live=self._live,
                    patient=is_file,
                )
            self._pipeline = self._make_pipeline()
        if self._speakers:
            self._speakers.start(patient=is_file)
        self._engine.hold(self._capture)  # before capture, which hands it utterances
        self._dsp = threading.Thread(
            target=run,
            args=(
                weakref.ref(self._pipeline),
                self.source,
                self._pipeline.stopping,
                self.worker.settles if self._live and is_file else _at_once,
            ),
            name="sttlab-dsp",
            daemon=True,
        )
        self._broadcast.begin()
        self._dsp.start()
        try:
            self.worker.wait_ready()
        except BaseException:
            self._stop(timeout_s=1.0)
            raise

    def lease(self) -> Lease:
        """Make a claim on capture and engine for one more who needs them; see `Lease`."""
        return Lease(self._capture, self._engine, self.worker.wait_ready)

    @property
    def kept(self) -> bool:
        """Whether capture goes on until `stop`, since `start` was called, whoever else holds it."""
        return self._own.captures

    def change_source(self, source: AudioSource) -> None:
        """Stop, and start again from another source if anyone holds it.

        Raises
        ------
        SourceError, ModelError
            See `start`. The session is stopped, and has its old source.
        """
        with self._lifecycle:
            self._stop(STOP_S)
            before, self.source = self.source, source
            self._over = False
            try:
                if self._capture.held:
                    self._start()
            except BaseException:
                self.source = before
                raise

    def stop(self, timeout_s: float = STOP_S) -> None:
        """Stop capture, transcribe what was said before, and end the threads, whoever holds it.

        Parameters
        ----------
        timeout_s : float
            How long the engine may take for what waits; what it doesn't manage is reported as
            `TranscriptionFailed`.
        """
        if threading.current_thread().name in ("sttlab-dsp", "sttlab-asr", "sttlab-speakers"):
            raise SessionError("stop was called from a callback of the session; use another thread")
        with self._lifecycle:
            self._over = self._over or self.running
            self._stop(timeout_s)
            self._own.close()

    def _stop(self, timeout_s: float) -> None:
        if self._dsp is None:
            return
        began = self._clock()
        deadline = began + timeout_s
        self._pipeline.stopping.set()
        self._dsp.join(timeout_s)
        if self._dsp.is_alive():
            log.warning("%s did not let go within %.0f s", self.source.name, timeout_s)
        self._ledger.wait_for_answers(
            lambda: not self.worker.ready, max(0, deadline - self._clock())
        )
        self._ledger.abandon()
        waited_s = self._clock() - began
        self._pipeline.give_up(f"the engine was stopped {waited_s:.1f} s later, before it was done")
        self._engine.release(self._capture, max(1.0, deadline - self._clock()))
        if self._speakers:
            self._speakers.stop(max(1.0, deadline - self._clock()))
        self._pipeline.close_keeper()
        self._over = self._over or self._pipeline.ended
        self._dsp = None
        self._broadcast.end()

    def abandon(self) -> None:
        """Have a stop that waits for the engine, on another thread, wait no longer."""
        self._ledger.abandon()

    @property
    def error(self) -> SttlabError | None:
        """Why capture ended, if it failed."""
        return self._pipeline.error

    @property
    def engine_name(self) -> str:
        """The engine and its model, for people."""
        return self.worker.engine_name

    @property
    def engine_problem(self) -> str | None:
        """What is wrong with the engine and what to do; None if all is well."""
        return self.worker.hangs

    @property
    def running(self) -> bool:
        """Whether the session was started and not stopped; a source that ended doesn't stop it."""
        return self._dsp is not None

    @property
    def over(self) -> bool:
        """Whether the source is a file that has played to its end, or that `stop` has stopped."""
        ended = self._over or (self.running and self._pipeline.ended)
        return ended and isinstance(self.source, FileSource)

    @property
    def keeps(self) -> bool:
        """Whether what is heard now is kept in a folder."""
        return self.running and self._keeper is not None and self._keeper.problem is None

    @property
    def keep_problem(self) -> str | None:
        """Why no more of the running session is kept, and what to do; None if all is well."""
        return self._keeper.problem if self.running and self._keeper else None

    @property
    def kept_folder(self) -> Path | None:
        """Where the last start is kept; None if nothing is."""
        return self._keeper.folder if self._keeper else None

    @property
    def speakers(self) -> LiveSpeakers | None:
        """What finds who speaks: names, merges and splits speakers. None if nobody asked for it."""
        return self._speakers

    @property
    def partials(self) -> bool:
        """Whether `Partial` are emitted."""
        return self._partials or bool(self._wanting)

    @partials.setter
    def partials(self, wanted: bool) -> None:
        with self._settings:
            self._partials = wanted
            self._pipeline.partials = self.partials

    def want_partials(self, holder: object, wanted: bool) -> None:
        """Have them emitted while anyone wants them."""
        with self._settings:
            self._wanting = self._wanting | {holder} if wanted else self._wanting - {holder}
            self._pipeline.partials = self.partials

    @property
    def config(self) -> VadConfig:
        """The settings last submitted."""
        return self._config

    def update(self, config: VadConfig | None = None, **changes: Any) -> VadConfig:
        """Submit new settings, which apply from the next frame on and come back as an event.

        Parameters
        ----------
        config : VadConfig, optional
            All settings at once.
        **changes
            Single fields of VadConfig.

        Raises
        ------
        ConfigError
            If a value is out of bounds; the old settings stay.
        MissingExtra
            If the packages of the detector are not installed.
        """
        with self._settings:
            try:
                config = replace(config or self._config, **changes)
            except TypeError:
                from sttlab.config import from_dict

                from_dict(VadConfig, changes)
                raise
            require_detector(config)
            self._config = self._pipeline.config = config
            return config

    def subscribe(self, callback: Callable[[Event], None]) -> Callable[[], None]:
        """Have every event given to `callback`, on a pipeline thread, where it must not block.

        Returns
        -------
        callable
            Ends the subscription. A callback that raises is logged and ends it too.
        """
        return self._broadcast.subscribe(callback)

    def events(self) -> EventStream:
        """Iterate over events from now until the session stops; blocks while there are none.

        Raises
        ------
        SessionError
            While iterating, if the reader fell too far behind.
        """
        return self._broadcast.stream()

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait until the source has ended and all is transcribed, or the session has failed.

        Returns
        -------
        bool
            Whether it has, or False when time is up.

        Raises
        ------
        SessionError
            If the session was never started.
        """
        if not self.starts:
            raise SessionError("the session was not started: there is nothing to wait for")
        return self._ledger.wait(timeout_s)

    @property
    def waits_for_live(self) -> bool:
        """Whether its utterances wait while the engine is at live speech of other sessions."""
        return self._pipeline.waits_for_live()

    @property
    def late_s(self) -> float:
        """How long the utterance that has waited longest for its text does so by now; 0 if none."""
        return self._ledger.late_s

    @property
    def history(self) -> tuple[Transcript, ...]:
        """The transcripts so far, of earlier starts too, oldest first."""
        return self._ledger.history

    def to_frame(self) -> Any:
        """Return a pandas.DataFrame with a row for each transcript of `history`.

        Raises
        ------
        MissingExtra
            If pandas is not installed.
        """
        return history_frame(self.history)

    @property
    def failed(self) -> tuple[Utterance, ...]:
        """The last utterances that no text came of, with their audio, oldest first; ten minutes.

        Each was reported by a `TranscriptionFailed`.
        """
        return self._ledger.failed

    @property
    def stats(self) -> SessionStats:
        """The figures as they stand."""
        return self._ledger.stats(self._pipeline.audio_s)

    def __enter__(self) -> Session:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def __repr__(self) -> str:
        state = "running" if self.running else "stopped"
        what = f"{self.source.name} -> {self.engine_name}, {len(self.history)} transcripts"
        return f"<Session {state}: {what}>"


def _make_worker(model: str | TranscribeConfig | Engine, clock: Callable[[], float]) -> AsrWorker:
    if isinstance(model, str):
        model = TranscribeConfig(model=model)
    if isinstance(model, TranscribeConfig):
        model = make_engine(model)
    return AsrWorker(model, clock=clock)


def _at_once(timeout_s: float) -> bool:
    """Do not wait for the model."""
    return True


def _leave(timeout_s: float) -> None:
    """Leave a worker that was given to its owner."""
