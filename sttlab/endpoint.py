"""From frames to utterances: where speech begins, and when it is over.

Everything is counted in frames from the stream's start. `advance` is plain arithmetic on integers,
so that it runs as it stands and, compiled by numba, over thousands of settings (`evaluate.sweep`)
and hours of audio (`trace`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from sttlab.audio import SAMPLE_RATE
from sttlab.config import VadConfig
from sttlab.events import EndReason, Utterance
from sttlab.vad import DETECTORS
from sttlab.vad.base import Activity

# Marks: below the offset threshold, between the thresholds, at or above the onset threshold.
# Of a score that smooths, RISING: below the offset threshold, though the level of the frame is not;
# FALLING: not below it, though the level is since the frame that the score tells of.
SILENCE, BETWEEN, SPEECH, RISING, FALLING = 0, 1, 2, 3, 4
LISTENING, CANDIDATE, SPEAKING, PAUSE = 0, 1, 2, 3  # phases
STARTED, DISCARDED, TIMED_OUT, CUT, ENDED, PAUSED = 0, 1, 2, 3, 4, 5  # decisions
REASONS: dict[int, EndReason] = {TIMED_OUT: "silence", CUT: "longest", ENDED: "end"}
"""Why an utterance ends, by the decision that ends it."""

POST_ROLL_S = 0.3  # kept after speech: the last consonant is often quieter than the threshold
CUT_WINDOW_S = 5.0  # of the longest utterance, where the quietest moment is looked for
MOMENT_S = 0.2  # longer than the closure of a consonant


class Limits(NamedTuple):
    """What `advance` is told, in frames."""

    min_speech: int
    timeout: int
    pre_roll: int
    post_roll: int
    longest: int
    cut_window: int
    moment: int
    pause: int
    delay: int  # how late a mark is, for a detector that smooths


class EndpointState(NamedTuple):
    """What `advance` knows between two calls, in frames from the stream's start."""

    frame: int = 0  # the next one
    phase: int = LISTENING
    onset: int = 0  # of the open utterance
    begin: int = 0  # of its audio, pre-roll included
    speech: int = 0  # frames of speech in it
    end: int = 0  # of the last speech in it
    taken: int = 0  # audio before this belongs to earlier utterances
    quietest: float = np.inf
    quietest_at: int = -1


class Decision(NamedTuple):
    """Something decided at frame `at`; the audio is `begin` to `stop`, speech `onset` to `end`."""

    what: int
    at: int
    begin: int
    onset: int
    end: int
    stop: int


def limits(config: VadConfig, frame_samples: int, delay_frames: int) -> Limits:
    """Count a config's seconds in frames, never under one where nothing less makes sense."""

    def frames(seconds: float) -> int:
        return round(seconds * SAMPLE_RATE / frame_samples)

    timeout = max(1, frames(config.silence_timeout_s))
    post_roll = min(timeout, frames(POST_ROLL_S))
    return Limits(
        min_speech=max(1, frames(config.min_speech_s)),
        timeout=timeout,
        pre_roll=frames(config.pre_roll_s),
        post_roll=post_roll,
        longest=frames(config.max_utterance_s),
        cut_window=frames(min(CUT_WINDOW_S, config.max_utterance_s / 2)),
        moment=max(1, frames(MOMENT_S)),
        pause=post_roll,
        delay=delay_frames,
    )


def limits_of(config: VadConfig) -> Limits:
    """What the endpointer is told, in frames of the detector that `config` names."""
    detector = DETECTORS[config.detector]
    return limits(config, detector.frame_samples, detector.delay_frames)


def advance(
    marks: Sequence[int], peaks: Sequence[float], state: EndpointState, limits: Limits
) -> tuple[list[Decision], NDArray[np.int8], EndpointState]:
    """Take the next frames.

    A sound becomes an utterance once it holds `min_speech` frames of speech with no gap as long as
    that (or the timeout); it ends after `timeout` frames without speech. An utterance of `longest`
    frames is cut at the quietest moment of its last `cut_window`, and the next goes on from there.
    PAUSED says that `pause` frames have passed without speech, and what is open so far; from
    `post_roll` on that is all that it will hold if nobody goes on speaking.

    A mark that comes `delay` frames late is put where it belongs, so that onset and end are those
    of the audio, and the timeout is counted from there. RISING, where the smoothed score has yet to
    follow the level, puts the end of the timeout off by `delay` at most, so that speech that goes
    on in its last frames is not parted. FALLING, where it has yet to follow the level down, is not
    speech, so that the end is not late; only a candidate goes on through it.

    Parameters
    ----------
    marks : sequence of SILENCE, BETWEEN, SPEECH, RISING or FALLING
        BETWEEN continues speech and doesn't begin it.
    peaks : sequence of float
        The highest level of the `moment` frames that end with each frame.

    Returns
    -------
    decisions : list of Decision
    phases : ndarray, shape (n,), int8
        The phase after each frame.
    state : EndpointState
    """
    frame, phase, onset, begin, speech, end, taken, quietest, quietest_at = state
    decisions = []
    phases = np.empty(len(marks), np.int8)
    paused = max(limits.pause, limits.delay + 1)
    for i in range(len(marks)):
        at = frame + 1
        about = frame - limits.delay  # the frame that the mark tells of
        goes_on = phase == CANDIDATE and end >= about
        if (
            marks[i] == SPEECH
            or (marks[i] == BETWEEN and (phase == SPEAKING or goes_on))
            or (marks[i] == FALLING and goes_on)
        ):
            if phase == LISTENING:
                phase, onset, speech = CANDIDATE, max(about, taken), 0
                begin = max(onset - limits.pre_roll, taken)
                quietest, quietest_at = np.inf, -1
            speech, end = speech + 1, (about if about > onset else onset) + 1
            if phase == PAUSE:
                phase = SPEAKING
            if phase == CANDIDATE and speech >= limits.min_speech:
                phase = SPEAKING
                decisions.append(Decision(STARTED, at, begin, onset, end, at))
        elif phase == CANDIDATE:
            if about + 1 - end >= min(limits.min_speech, limits.timeout):
                phase = LISTENING
                decisions.append(Decision(DISCARDED, at, begin, onset, end, end))
        elif phase != LISTENING:
            phase = PAUSE
            if at - end == paused < limits.timeout:
                stop = min(end + limits.post_roll, at)
                decisions.append(Decision(PAUSED, at, begin, onset, end, stop))
            patience = limits.delay if marks[i] == RISING else 0
            if at - end >= limits.timeout + patience:
                phase, taken = LISTENING, min(end + limits.post_roll, at)
                decisions.append(Decision(TIMED_OUT, at, begin, onset, end, taken))
        if phase >= SPEAKING and at - begin > limits.longest - limits.cut_window:
            if peaks[i] < quietest:
                quietest, quietest_at = peaks[i], at - limits.moment // 2
            if at - begin >= limits.longest:
                taken = quietest_at if quietest_at > begin else at
                decisions.append(Decision(CUT, at, begin, onset, min(end, taken), taken))
                begin, onset = taken, taken
                quietest, quietest_at = np.inf, -1
                if end <= taken:
                    phase = LISTENING
                else:
                    decisions.append(Decision(STARTED, at, begin, onset, end, at))
        phases[i] = phase
        frame = at
    state = EndpointState(frame, phase, onset, begin, speech, end, taken, quietest, quietest_at)
    return decisions, phases, state


@cache
def compiled_advance() -> Callable[..., Any] | None:
    """Compile `advance` by numba, for arrays in place of lists; None if numba is not installed.

    It is some forty times faster then, and lets other threads run. Takes seconds, and half a second
    once what is compiled is on disk: beside this file, or where numba keeps what is the user's.
    """
    try:
        from numba import njit
    except ImportError:
        return None
    found: Any
    try:
        found = njit(nogil=True, cache=True)(advance)
    except RuntimeError:  # there is nowhere to keep it
        found = njit(nogil=True)(advance)
    found(np.zeros(1, np.int8), np.zeros(1), EndpointState(), limits_of(VadConfig()))
    return found  # type: ignore[no-any-return]


class Endpointer:
    """`advance` with its memory, for one stream without gaps.

    Parameters
    ----------
    limits : Limits
        May be replaced between two calls of `push`.
    step : callable, optional
        `compiled_advance()`, which many frames at once are worth.
    """

    def __init__(self, limits: Limits, step: Callable[..., Any] | None = None) -> None:
        self.limits = limits
        self._step = step
        self.state = EndpointState()
        self._levels = np.empty(0)

    def push(self, activity: Activity) -> tuple[list[Decision], NDArray[np.int8]]:
        """Take the next n frames.

        Returns
        -------
        decisions : list of Decision
        phases : ndarray, shape (n,), int8
            The phase after each frame.
        """
        before, bounds = len(self._levels), self.limits
        levels = np.concatenate([self._levels, activity.level_dbfs])
        self._levels = levels[-max(bounds.moment, bounds.delay + 1) :]
        peaks = moment_peaks(levels, bounds.moment)[before:]
        recent = recent_levels(levels, bounds.delay)
        marks, silent = mark(activity, None if recent is None else recent[before:]), 0
        if self.state.phase == LISTENING:  # until speech there is nothing to decide
            spoken = marks == SPEECH
            silent = int(spoken.argmax()) if spoken.any() else len(marks)
        state = self.state._replace(frame=self.state.frame + silent)
        marks, peaks = marks[silent:], peaks[silent:]
        if self._step:
            decisions, phases, self.state = self._step(marks, peaks, state, bounds)
        else:
            decisions, phases, self.state = advance(marks.tolist(), peaks.tolist(), state, bounds)
        return decisions, np.concatenate([np.full(silent, LISTENING, np.int8), phases])

    def flush(self) -> Decision | None:
        """End the open utterance and return it, or None if there is none."""
        state = self.state
        # What the last frames hold is known only after the delay; speech is taken to go on in them.
        end = state.frame if state.phase == SPEAKING else state.end
        stop = min(end + self.limits.post_roll, state.frame)
        self.state = EndpointState(frame=state.frame, taken=stop)
        if state.phase < SPEAKING:
            return None
        return Decision(ENDED, state.frame, state.begin, state.onset, end, stop)


def utterance_from(
    decision: Decision,
    utterance_id: int,
    reason: EndReason,
    *,
    sample: Callable[[int], int],
    samples: Callable[[int, int], NDArray[np.float32]],
) -> Utterance:
    """Make the utterance that a decision describes.

    Parameters
    ----------
    decision : Decision
        One of those in REASONS, or PAUSED.
    utterance_id : int
    reason : EndReason
    sample : callable
        Returns the position in samples, from the stream's start, at which a frame begins; no
        position lies beyond the audio heard so far.
    samples : callable
        Returns the audio between two positions, float32, read-only.
    """
    start = sample(decision.begin)
    return Utterance(
        utterance_id=utterance_id,
        start_sample=start,
        samples=samples(start, sample(decision.stop)),
        onset_sample=sample(decision.onset),
        speech_end_sample=sample(decision.end),
        decided_sample=sample(decision.at),
        reason=reason,
    )


def mark(activity: Activity, recent: NDArray[np.float64] | None) -> NDArray[np.int8]:
    """Compare scores with both thresholds: SILENCE, BETWEEN, SPEECH, RISING or FALLING.

    Parameters
    ----------
    activity : Activity
        Of n frames.
    recent : ndarray, shape (n,), or None
        See `recent_levels`.

    Returns
    -------
    ndarray, shape (n,), int8
    """
    reached = activity.score >= activity.offset
    begins = activity.score >= np.maximum(activity.onset, activity.offset)
    marks = reached.astype(np.int8) + begins
    if recent is not None:
        marks[reached & (recent < activity.offset)] = FALLING
        marks[~reached & (activity.level_dbfs >= activity.onset)] = RISING
    return marks


def recent_levels(levels: NDArray[np.float64], delay: int) -> NDArray[np.float64] | None:
    """Return the highest level since the frame that each score tells of; None without a delay."""
    return moment_peaks(levels, delay + 1) if delay else None


def moment_peaks(levels: NDArray[np.float64], moment: int) -> NDArray[np.float64]:
    """Return the highest of the last `moment` levels at each frame."""
    padded = np.concatenate([np.full(moment - 1, -np.inf), levels])
    # One row for each level of the moment: numpy reduces a few long rows sooner than many short.
    peaks: NDArray[np.float64] = sliding_window_view(padded, len(levels)).max(axis=0)
    return peaks
