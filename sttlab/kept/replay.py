"""Replay of a kept session: the same core, the same audio, and what it was told, in that order.

A recording is replayed as if it were a session with the default settings.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from sttlab import kept_files
from sttlab.audio import SAMPLE_RATE, Recording
from sttlab.capture.base import Block
from sttlab.config import TranscribeConfig, VadConfig, from_dict
from sttlab.core import StreamCore
from sttlab.decoding import as_recording
from sttlab.engines import make_engine
from sttlab.engines.base import Engine, checked
from sttlab.errors import KeptError, TranscribeError
from sttlab.events import ConfigChanged, StreamEvent, Utterance
from sttlab.kept.recorded import Recorded
from sttlab.kept.run import KeptRun, KeptUtterance, Original
from sttlab.kept.session import KeptSession
from sttlab.kept.simulation import simulate
from sttlab.live.keeper import describe
from sttlab.live.ledger import suppressed_in, transcript_of

PART_SAMPLES = 60 * SAMPLE_RATE  # at a time

Override: TypeAlias = Callable[[VadConfig], VadConfig]
"""Which settings to use in place of those that were used."""


class Replay(KeptRun):
    """What a session would have been; `replay` makes it.

    Attributes
    ----------
    told : dict
        Fields of VadConfig that were set for the whole session.
    changes : dict
        Those of them that it did not begin with.
    engine_line : dict or None
        What is known of the engine, as `kept_files` keeps it.
    """

    def __init__(
        self,
        kept: Original,
        utterances: tuple[KeptUtterance, ...],
        settings: tuple[tuple[float, VadConfig], ...],
        *,
        told: dict[str, Any],
        engine: dict[str, Any] | None,
        simulated: bool,
    ) -> None:
        self._kept = kept
        self.engine_line = engine
        self.utterances = utterances
        self.settings = settings
        self.told = told
        before = asdict(kept.settings[0][1])
        self.changes = {name: value for name, value in told.items() if value != before[name]}
        self.engine = engine["name"] if engine else None
        self.simulated = simulated
        what = ", ".join(f"{name} {value}" for name, value in self.changes.items())
        self.title = f"replay of {kept.title}" + (f" with {what}" if what else "")

    @property
    def source(self) -> Original:
        """The session, or the recording, that was replayed."""
        return self._kept

    def override(self, config: VadConfig) -> VadConfig:
        """Give the settings in place of those that were used."""
        return replace(config, **self.told)

    def save(self, folder: str | Path) -> Path:
        """Keep the replay beside its session, in a new folder in `folder`, which is returned.

        Its audio is linked where the disk can do that, and copied elsewhere.

        Raises
        ------
        KeptError
            If nothing can be written there, or it is the replay of a recording.
        """
        from sttlab.kept.save import save

        if not isinstance(self._kept, KeptSession):
            raise KeptError(
                f"{self.title} is of a recording, beside which nothing is kept: keep a session of "
                "it with Session(FileSource(path, speed=None), keep=folder)"
            )
        return save(self, self._kept, Path(folder).expanduser())

    def __repr__(self) -> str:
        return f"<Replay {self.title}: {len(self.utterances)} utterances>"


def replay(
    audio: KeptSession | Recording | str | Path,
    *,
    vad: VadConfig | None = None,
    model: str | TranscribeConfig | Engine | None = None,
    progress: Callable[[float, float], None] | None = None,
    **changes: Any,
) -> Replay:
    """Run a kept session's audio through the same core again. Blocks until it is done.

    The same settings give the same utterances, bit for bit, also where settings were changed, audio
    was lost or the device was gone.

    Parameters
    ----------
    audio : KeptSession, Recording or path
        A recording, or the path of one, is run as if a microphone had heard it.
    vad : VadConfig, optional
        Settings for the whole session. By default those that it had, with each change of them; a
        recording had the default ones.
    model : str, TranscribeConfig or Engine, optional
        Transcribes. By default no engine runs: an utterance that is as it was has the text that was
        kept, any other none. So do those of an engine made from the `TranscribeConfig` that the
        session had, which then transcribes the others. An `Engine` transcribes all.
    progress : callable, optional
        Called now and then with the seconds done and the seconds in all.
    **changes
        Single fields of VadConfig, which replace those that the session had.

    Raises
    ------
    ConfigError
        If a setting is not valid.
    KeptError
        If the audio can't be read.
    ModelError
        If the model is not found, doesn't load or fails.
    SourceError
        If a recording can't be decoded.

    Examples
    --------
    >>> replay(open_session("kept"), silence_timeout_s=0.4)  # doctest: +SKIP
    >>> replay("talk.flac", model="base")  # doctest: +SKIP
    """
    kept = audio if isinstance(audio, Original) else Recorded(as_recording(audio))
    told = {**({} if vad is None else asdict(vad)), **changes}
    from_dict(VadConfig, told)

    def override(config: VadConfig) -> VadConfig:
        return replace(config, **told)

    with ExitStack() as stack:
        engine = None
        if isinstance(model, str):
            model = TranscribeConfig(model=model)
        if isinstance(model, TranscribeConfig):
            engine = stack.enter_context(closing(make_engine(model)))
        elif model is not None:
            engine = model
        reuse = model is None or (isinstance(model, TranscribeConfig) and model == kept.transcribe)
        maker = _Maker(kept, engine, reuse=reuse, told=bool(told))
        settings = [(0.0, override(kept.settings[0][1]))]
        utterances: list[KeptUtterance] = []
        for event in decide(kept, override if told else None):
            if isinstance(event, Utterance):
                utterances.append(maker.make(event))
                if progress:
                    progress(event.end_s, kept.duration_s)
            elif isinstance(event, ConfigChanged):
                settings.append((event.time_s, event.config))
    if maker.changed:
        utterances = simulate(kept, utterances, settings)
    return Replay(
        kept,
        tuple(utterances),
        tuple(settings),
        told=told,
        engine=kept.engine_line if reuse or engine is None else describe(engine),
        simulated=maker.changed or kept.simulated,
    )


def decide(
    kept: Original, override: Override | None = None, *, levels: bool = False
) -> Iterator[StreamEvent]:
    """Give what the core makes of a kept session, as it made it then.

    Parameters
    ----------
    kept : KeptSession or Recorded
    override : callable, optional
        Gives the settings to use in place of those that were used.
    levels : bool
        Whether to give a `Level` for each frame.
    """
    change: Override = override or _as_it_was
    core = StreamCore(change(kept.settings[0][1]), levels=levels, notices=kept.live)
    for told in heard_and_told(kept):
        if not isinstance(told, dict):
            for start in range(0, len(told), PART_SAMPLES):
                yield from core.feed(Block(told[start : start + PART_SAMPLES]))
        elif told["input"] == kept_files.LOST:
            yield from core.feed(Block(np.empty(0, np.float32), lost_samples=told["count"]))
        elif told["input"] == kept_files.INTERRUPTED:
            yield from core.flush("interrupted")
        elif told["input"] == kept_files.SETTINGS:
            config = change(kept_files.config_from(told["config"]))
            if override is None or config != core.config:
                yield from core.update(config)
        elif told["input"] == kept_files.END:
            yield from core.flush()
            if told["ended"] and (notice := core.nothing_heard()):
                yield notice
            return
    yield from core.flush()  # of a session that was killed


def _as_it_was(config: VadConfig) -> VadConfig:
    return config


def heard_and_told(kept: Original) -> Iterator[NDArray[np.float32] | dict[str, Any]]:
    """Give the audio, and what the core was told at each position, in their order."""
    inputs = deque(kept.inputs)
    lost_until = 0
    for base, samples in kept.pieces():
        at, stop = base, base + len(samples)
        while at < stop or (inputs and inputs[0]["sample"] <= at):
            while inputs and inputs[0]["sample"] <= at:
                told = inputs.popleft()
                if told["input"] == kept_files.LOST:
                    lost_until = told["sample"] + told["count"]
                yield told
            until = min(inputs[0]["sample"], stop) if inputs else stop
            begin = max(at, lost_until)
            if begin < until:
                yield samples[begin - base : until - base]
            at = until
    yield from inputs


class _Maker:
    """Makes what came of each utterance.

    Attributes
    ----------
    changed : bool
        Whether anything is not as it was kept.
    """

    def __init__(self, kept: Original, engine: Engine | None, *, reuse: bool, told: bool) -> None:
        self._kept = kept
        self._engine = engine
        self._reuse = reuse
        self._told = told
        self._before = {u.positions: u for u in kept.utterances}
        self.changed = isinstance(kept, Recorded) or (engine is not None and not reuse)

    def make(self, utterance: Utterance) -> KeptUtterance:
        """Take over what came of the same utterance, or ask the engine."""
        made = KeptUtterance.of(utterance)
        before = self._before.get(made.positions)
        if self._told and (before is None or before.decided_sample != made.decided_sample):
            self.changed = True
        if self._reuse and before and before.heard_samples is not None:
            return _taken_over(made, before)
        if self._engine is None:
            return made
        self.changed = True
        return self._transcribe(made, utterance, before)

    def _transcribe(
        self, made: KeptUtterance, utterance: Utterance, before: KeptUtterance | None
    ) -> KeptUtterance:
        assert self._engine is not None
        samples = utterance.samples
        heard = before.heard_samples if before else None
        if heard is not None and heard != len(samples):  # the engine began in the pause
            start = utterance.start_sample
            samples = self._kept.read(start, start + heard)
        self._engine.load()  # so that the first answer doesn't seem to take that long
        began = time.perf_counter()
        try:
            answer = checked(self._engine.transcribe(samples))
        except TranscribeError as error:
            return replace(made, heard_samples=len(samples), failed=str(error))
        engine_s = time.perf_counter() - began
        transcript = None
        if answer.text:
            transcript = transcript_of(
                utterance,
                answer,
                capture_s=0.0,
                waited_s=engine_s,
                engine_s=engine_s,
                speculative=False,
            )
        return replace(
            made,
            heard_samples=len(samples),
            engine_s=engine_s,
            transcript=transcript,
            suppressed=tuple(suppressed_in(utterance, answer)),
        )


def _taken_over(made: KeptUtterance, before: KeptUtterance) -> KeptUtterance:
    number = made.utterance_id
    transcript = before.transcript and replace(before.transcript, utterance_id=number)
    return replace(
        made,
        heard_samples=before.heard_samples,
        engine_s=before.engine_s,
        transcript=transcript,
        suppressed=tuple(replace(s, utterance_id=number) for s in before.suppressed),
        failed=before.failed,
        delay_s=before.delay_s,
    )
