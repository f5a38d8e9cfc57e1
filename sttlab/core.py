"""StreamCore: audio in, events out. No thread, no clock, no queue; time is a sample's position."""

from __future__ import annotations

from collections import deque
from operator import itemgetter
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from sttlab.audio import SAMPLE_RATE
from sttlab.capture.base import Block
from sttlab.config import VadConfig
from sttlab.decoding import as_recording
from sttlab.endpoint import (
    DISCARDED,
    ENDED,
    LISTENING,
    PAUSE,
    PAUSED,
    REASONS,
    SPEAKING,
    STARTED,
    Decision,
    Endpointer,
    limits_of,
    utterance_from,
)
from sttlab.events import (
    ConfigChanged,
    EndReason,
    Level,
    Notice,
    SamplesLost,
    SpeechDiscarded,
    SpeechPaused,
    SpeechStarted,
    State,
    StreamEvent,
    Utterance,
)
from sttlab.unheard import Unheard
from sttlab.vad import make_detector
from sttlab.vad.base import Activity

SILENCE_S = 60.0  # without speech, until it is said
KEPT_SAMPLES = 2 * SAMPLE_RATE  # the longest pre-roll, so that a new setting finds its audio

_STATES: dict[int, State] = {SPEAKING: "speech", PAUSE: "pause"}


class Audio(Protocol):
    """Anything that holds mono samples at SAMPLE_RATE, such as a `Recording`."""

    @property
    def samples(self) -> NDArray[np.float32]:
        """Mono, at SAMPLE_RATE, shape (n,)."""


class StreamCore:
    """One stream's detector, endpointer and recent audio.

    The same samples give the same events, however they are cut into blocks. Not thread-safe.

    Parameters
    ----------
    config : VadConfig
    levels : bool
        Whether to emit a `Level` for each frame.
    notices : bool, optional
        Whether to emit a `Notice` for each minute without speech; by default, if `levels`.
    """

    def __init__(
        self, config: VadConfig, *, levels: bool = True, notices: bool | None = None
    ) -> None:
        self.config = config
        self.position = 0  # samples so far, lost ones included
        self._levels = levels
        self._notices = levels if notices is None else notices
        self._next_id = 0
        self._detector = make_detector(config)
        self._silent_frames = 0  # since speech, or since the start
        self._silence = Unheard()  # in those
        self._unheard = Unheard()  # in all frames so far
        self._begin_at(0)

    def _begin_at(self, position: int) -> None:
        """Start a new run of frames, none of them before `position`."""
        self._origin = position
        self.position = position
        self._frame_samples = self._detector.frame_samples
        self._endpointer = Endpointer(limits_of(self.config))
        self._pending = np.empty(0, np.float32)
        self._recent: deque[tuple[int, NDArray[np.float32]]] = deque()

    def update(self, config: VadConfig) -> list[StreamEvent]:
        """Use other settings from the next frame on. No audio is lost.

        Another detector has another memory, so with it what is open ends.
        """
        events: list[StreamEvent] = []
        if config.detector != self.config.detector:
            detector = make_detector(config)
            events += self.flush("interrupted")
            self._detector = detector
            self.config = config
            self._begin_at(self.position)
        self.config = config
        self._silent_frames, self._silence = 0, Unheard()
        self._detector.config = config
        self._endpointer.limits = limits_of(config)
        return [*events, ConfigChanged(time_s=self.position / SAMPLE_RATE, config=config)]

    def feed(self, block: Block) -> list[StreamEvent]:
        """Take the next block and say what it brought."""
        events: list[StreamEvent] = []
        if block.lost_samples:
            events += self._skip(block.lost_samples)
        if len(block.samples):
            if np.isfinite(block.samples).all():  # which takes less than replacing what is not
                samples = block.samples.copy()  # a source may use its buffer again
            else:
                samples = np.nan_to_num(block.samples, posinf=0.0, neginf=0.0)
            events += self._take(samples)
        return events

    def flush(self, reason: EndReason = "end") -> list[StreamEvent]:
        """End the open utterance and emit it. The stream may go on."""
        events: list[StreamEvent] = []
        if len(self._pending):
            frame = np.zeros(self._frame_samples, np.float32)
            frame[: len(self._pending)] = self._pending
            events += self._decide(frame[np.newaxis])
        decision = self._endpointer.flush()
        if decision:
            events.append(self._utterance(decision, reason))
            self._next_id += 1
        if len(self._pending):
            self._begin_at(self.position)
        return events

    def unfinished(self) -> Utterance | None:
        """Return the open utterance, as far as it has come; None if there is none."""
        state = self._endpointer.state
        if state.phase < SPEAKING:
            return None
        now = Decision(ENDED, state.frame, state.begin, state.onset, state.end, state.frame)
        return self._utterance(now, "end")

    @property
    def speaking_s(self) -> float:
        """Length of the utterance so far while somebody speaks; 0 in a pause and between them."""
        state = self._endpointer.state
        if state.phase != SPEAKING:
            return 0.0
        return (state.frame - state.begin) * self._frame_samples / SAMPLE_RATE

    def pause_after(self, silence_s: float) -> None:
        """Emit `SpeechPaused` after so much silence, until the next `update`."""
        pause = max(1, round(silence_s * SAMPLE_RATE / self._frame_samples))
        self._endpointer.limits = self._endpointer.limits._replace(pause=pause)

    def _skip(self, lost: int) -> list[StreamEvent]:
        """Pass over lost samples: as silence, or as an end if they last as long as the timeout."""
        events: list[StreamEvent] = []
        if lost < self.config.silence_timeout_s * SAMPLE_RATE:
            events += self._take(np.zeros(lost, np.float32))
        else:
            events += self.flush("interrupted")
            self._begin_at(self.position + lost)
        events.append(SamplesLost(time_s=self.position / SAMPLE_RATE, count=lost))
        return events

    def _take(self, samples: NDArray[np.float32]) -> list[StreamEvent]:
        self._recent.append((self.position, samples))
        self.position += len(samples)
        pending = np.concatenate([self._pending, samples]) if len(self._pending) else samples
        count = len(pending) // self._frame_samples
        self._pending = pending[count * self._frame_samples :]
        if not count:
            return []
        frames = pending[: count * self._frame_samples].reshape(count, self._frame_samples)
        events = self._decide(frames)
        self._forget()
        return events

    def _decide(self, frames: NDArray[np.float32]) -> list[StreamEvent]:
        first = self._endpointer.state.frame
        activity = self._detector.process(frames)
        decisions, phases = self._endpointer.push(activity)
        happened: list[tuple[int, Decision | Notice]] = [(d.at - first, d) for d in decisions]
        happened += self._silences(activity, phases, first)
        events: list[StreamEvent] = []
        traced = 0
        for at, what in sorted(happened, key=itemgetter(0)):
            events += self._trace(activity, phases, first, traced, at)
            traced = at
            events.append(what if isinstance(what, Notice) else self._event(what))
        return events + self._trace(activity, phases, first, traced, len(frames))

    def _silences(
        self, activity: Activity, phases: NDArray[np.int8], first: int
    ) -> list[tuple[int, Notice]]:
        """Follow frames without speech; return a notice and its frame once they fill a minute."""
        if not self._next_id:  # it tells why there was no utterance at all
            self._unheard.follow(activity, 0, len(phases))
        if not self._notices:
            return []
        minute = round(SILENCE_S * SAMPLE_RATE / self._frame_samples)
        notices = []
        spoken = np.flatnonzero(phases >= SPEAKING)
        starts = np.concatenate([[0], spoken + 1])
        stops = np.concatenate([spoken, [len(phases)]])
        some = stops > starts
        some[[0, -1]] = True  # which also end what went before, and go on after
        for start, stop in zip(starts[some].tolist(), stops[some].tolist(), strict=True):
            before, self._silent_frames = self._silent_frames, self._silent_frames + stop - start
            due = start + minute - before
            self._silence.follow(activity, start, min(stop, due) if before < minute else start)
            if before < minute <= self._silent_frames:
                time_s = self._sample(first + due) / SAMPLE_RATE
                why = self._silence.explain(self.config, f"{SILENCE_S:.0f} s")
                notices.append((due, Notice(time_s=time_s, about="silence", message=why)))
            if stop < len(phases):
                self._silent_frames, self._silence = 0, Unheard()
            start = stop + 1
        return notices

    def nothing_heard(self) -> Notice | None:
        """Say why there was no utterance from the start to now; None if there was one."""
        if self._next_id or self._endpointer.state.phase >= SPEAKING:
            return None
        return Notice(
            time_s=self.position / SAMPLE_RATE,
            about="silence",
            message=self._unheard.explain(self.config),
        )

    def _trace(
        self, activity: Activity, phases: NDArray[np.int8], first: int, start: int, stop: int
    ) -> list[Level]:
        if not self._levels:
            return []
        return [
            Level(
                time_s=self._sample(first + i) / SAMPLE_RATE,
                level_dbfs=float(activity.level_dbfs[i]),
                score=float(activity.score[i]),
                threshold=float(activity.onset[i]),
                state=_STATES.get(int(phases[i]), "listening"),
            )
            for i in range(start, stop)
        ]

    def _event(self, decision: Decision) -> StreamEvent:
        if decision.what == STARTED:
            start_s = self._sample(decision.onset) / SAMPLE_RATE
            return SpeechStarted(utterance_id=self._next_id, start_s=start_s)
        if decision.what == DISCARDED:
            return SpeechDiscarded(
                start_s=self._sample(decision.onset) / SAMPLE_RATE,
                end_s=self._sample(decision.end) / SAMPLE_RATE,
            )
        if decision.what == PAUSED:
            return SpeechPaused(utterance=self._utterance(decision, "silence"))
        utterance = self._utterance(decision, REASONS[decision.what])
        self._next_id += 1
        return utterance

    def _utterance(self, decision: Decision, reason: EndReason) -> Utterance:
        return utterance_from(
            decision, self._next_id, reason, sample=self._heard, samples=self._between
        )

    def _heard(self, frame: int) -> int:
        """Position of a frame; the last one may be padded beyond the end of the audio."""
        return min(self._sample(frame), self.position)

    def _sample(self, frame: int) -> int:
        return self._origin + frame * self._frame_samples

    def _between(self, start: int, stop: int) -> NDArray[np.float32]:
        parts = [
            samples[max(start - at, 0) : stop - at]
            for at, samples in self._recent
            if at < stop and at + len(samples) > start
        ]
        samples = np.concatenate(parts)
        samples.flags.writeable = False
        return samples

    def _forget(self) -> None:
        """Drop audio that no utterance can need any more."""
        late = self._detector.delay_frames * self._frame_samples
        keep = self.position - KEPT_SAMPLES - late
        if self._endpointer.state.phase != LISTENING:
            keep = min(keep, self._sample(self._endpointer.state.begin))
        while self._recent and self._recent[0][0] + len(self._recent[0][1]) <= keep:
            self._recent.popleft()


def find_utterances(
    audio: Audio, config: VadConfig | None = None
) -> tuple[list[Utterance], str | None]:
    """Find the utterances of a recording; if there are none, say why, and what to do."""
    core = StreamCore(config or VadConfig(), levels=False)
    events = core.feed(Block(as_recording(audio).samples)) + core.flush()
    notice = core.nothing_heard()
    found = [event for event in events if isinstance(event, Utterance)]
    return found, notice.message if notice else None


def segment(audio: Audio, config: VadConfig | None = None) -> list[Utterance]:
    """Find the utterances of a whole recording, exactly as the live path would.

    Parameters
    ----------
    audio : Recording
        Mono samples at SAMPLE_RATE.
    config : VadConfig, optional

    Returns
    -------
    list of Utterance, in order
    """
    return find_utterances(audio, config)[0]
