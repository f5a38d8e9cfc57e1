"""Tune voice activity detection on real audio, and watch it drive live speech to text.

Audio
    record, load                    a Recording, from the microphone or a file
    split_channels                  a Recording of each channel of a file
    Microphone, list_devices        live audio
    FileSource, PushSource          a file as if it were live; audio that other threads push
    RemoteMicrophone                the microphone of the browser that shows the notebook

In a notebook
    VadTuner        sliders over a recording, with its utterances
    Sweeper         every combination of settings, and a figure to choose from
    Recorder        a button that records
    Labeler         speech labelled by hand on a recording
    Comparer        two runs over time, and what they did differently
    LiveMonitor     the same sliders over a running session
    plot_trace, plot_utterances, plot_sweep, plot_latency   figures

Live
    Session         a source, a detector and an engine at work
    AsrWorker       the thread of one engine, which several sessions may share
    Voices          people whose voices are known by name
    launch_server   the page and `/ws`, in the background

Kept
    Keep            where sessions are kept, and how long
    open_session    a session that was kept: its audio, its texts, its settings
    replay          the same session under the same settings or others
    compare         two of them: utterances, words, delays

Settings
    VadConfig, TranscribeConfig     where utterances begin and end; how they become text
    SpeakerConfig   how speakers are told apart
    Config          both, as a TOML file
    calibrate       a threshold for a room, from a recording of it

Files
    segment         utterances, cut exactly as the live path cuts them
    transcribe      a recording to text, or all of a corpus
    diarize         who speaks when in a recording
    score, load_labels              utterances against labelled truth
    score_speakers  who speaks when, against labelled truth
    score_live_speakers  the same while people talk: at first, in the end, and how soon
    sweep                           every combination of settings, scored against labelled truth
    sweep_speakers                  the same of the settings by which speakers are told apart
    Corpus                          a folder or a table of recordings, with labels and texts
    save_results, repeat_results    a sweep in a folder, with all that it follows from
    add_to_corpus                   recordings with labels and texts beside them, in a folder

Errors
    SttlabError     base class of all errors that are raised on purpose
"""

from __future__ import annotations

import importlib
import logging
import os
from typing import TYPE_CHECKING, Any

# On macOS and Windows, PyTorch and CTranslate2 each bring an OpenMP runtime. Without this setting
# the second one aborts the process.
os.environ.setdefault("KMP_DUPLICATE_LIB_OK", "TRUE")
# PyTorch's threads wait for each other by spinning. By default they spin so long that two programs
# on the same cores take many times as long as in turn: tests/benchmarks/bench_shared.py.
os.environ.setdefault("GOMP_SPINCOUNT", "10000")
logging.getLogger(__name__).addHandler(logging.NullHandler())

__version__ = "0.2.0"

if TYPE_CHECKING:
    from sttlab.audio import Recording as Recording
    from sttlab.capture.microphone import Microphone as Microphone
    from sttlab.capture.microphone import list_devices as list_devices
    from sttlab.capture.push import PushSource as PushSource
    from sttlab.capture.record import record as record
    from sttlab.capture.replay import FileSource as FileSource
    from sttlab.config import Config as Config
    from sttlab.config import SpeakerConfig as SpeakerConfig
    from sttlab.config import TranscribeConfig as TranscribeConfig
    from sttlab.config import VadConfig as VadConfig
    from sttlab.core import segment as segment
    from sttlab.decoding import load as load
    from sttlab.decoding import split_channels as split_channels
    from sttlab.diarization import diarize as diarize
    from sttlab.errors import SttlabError as SttlabError
    from sttlab.evaluate.compare import compare as compare
    from sttlab.evaluate.corpus import Corpus as Corpus
    from sttlab.evaluate.corpus_writing import add_to_corpus as add_to_corpus
    from sttlab.evaluate.labels import load_labels as load_labels
    from sttlab.evaluate.live_speaker_score import score_live_speakers as score_live_speakers
    from sttlab.evaluate.results import repeat_results as repeat_results
    from sttlab.evaluate.results import save_results as save_results
    from sttlab.evaluate.score import score as score
    from sttlab.evaluate.speaker_score import score_speakers as score_speakers
    from sttlab.evaluate.speaker_sweep import sweep_speakers as sweep_speakers
    from sttlab.evaluate.sweep import sweep as sweep
    from sttlab.kept.replay import replay as replay
    from sttlab.kept.session import open_session as open_session
    from sttlab.live.keeper import Keep as Keep
    from sttlab.live.session import Session as Session
    from sttlab.live.worker import AsrWorker as AsrWorker
    from sttlab.notebook.comparer import Comparer as Comparer
    from sttlab.notebook.labeler import Labeler as Labeler
    from sttlab.notebook.monitor import LiveMonitor as LiveMonitor
    from sttlab.notebook.plots import plot_latency as plot_latency
    from sttlab.notebook.plots import plot_trace as plot_trace
    from sttlab.notebook.plots import plot_utterances as plot_utterances
    from sttlab.notebook.recorder import Recorder as Recorder
    from sttlab.notebook.remote_microphone import RemoteMicrophone as RemoteMicrophone
    from sttlab.notebook.sweep_plots import plot_sweep as plot_sweep
    from sttlab.notebook.sweeper import Sweeper as Sweeper
    from sttlab.notebook.tuner import VadTuner as VadTuner
    from sttlab.server.launch import launch_server as launch_server
    from sttlab.speakers.voices import Voices as Voices
    from sttlab.transcription import transcribe as transcribe
    from sttlab.vad.energy import calibrate as calibrate

# Public names load on first use (PEP 562), so that `import sttlab` is quick and needs no extra.
_HOME = {
    "AsrWorker": "sttlab.live.worker",
    "Comparer": "sttlab.notebook.comparer",
    "Config": "sttlab.config",
    "Corpus": "sttlab.evaluate.corpus",
    "FileSource": "sttlab.capture.replay",
    "Keep": "sttlab.live.keeper",
    "Labeler": "sttlab.notebook.labeler",
    "LiveMonitor": "sttlab.notebook.monitor",
    "Microphone": "sttlab.capture.microphone",
    "PushSource": "sttlab.capture.push",
    "Recorder": "sttlab.notebook.recorder",
    "Recording": "sttlab.audio",
    "RemoteMicrophone": "sttlab.notebook.remote_microphone",
    "Session": "sttlab.live.session",
    "SpeakerConfig": "sttlab.config",
    "SttlabError": "sttlab.errors",
    "Sweeper": "sttlab.notebook.sweeper",
    "TranscribeConfig": "sttlab.config",
    "VadConfig": "sttlab.config",
    "VadTuner": "sttlab.notebook.tuner",
    "Voices": "sttlab.speakers.voices",
    "add_to_corpus": "sttlab.evaluate.corpus_writing",
    "calibrate": "sttlab.vad.energy",
    "compare": "sttlab.evaluate.compare",
    "diarize": "sttlab.diarization",
    "launch_server": "sttlab.server.launch",
    "list_devices": "sttlab.capture.microphone",
    "load": "sttlab.decoding",
    "load_labels": "sttlab.evaluate.labels",
    "open_session": "sttlab.kept.session",
    "plot_latency": "sttlab.notebook.plots",
    "plot_sweep": "sttlab.notebook.sweep_plots",
    "plot_trace": "sttlab.notebook.plots",
    "plot_utterances": "sttlab.notebook.plots",
    "record": "sttlab.capture.record",
    "repeat_results": "sttlab.evaluate.results",
    "replay": "sttlab.kept.replay",
    "save_results": "sttlab.evaluate.results",
    "score": "sttlab.evaluate.score",
    "score_live_speakers": "sttlab.evaluate.live_speaker_score",
    "score_speakers": "sttlab.evaluate.speaker_score",
    "segment": "sttlab.core",
    "split_channels": "sttlab.decoding",
    "sweep": "sttlab.evaluate.sweep",
    "sweep_speakers": "sttlab.evaluate.speaker_sweep",
    "transcribe": "sttlab.transcription",
}

__all__ = ["__version__", *_HOME]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        home = importlib.import_module(_HOME[name])
    except ModuleNotFoundError as error:
        from sttlab.errors import MissingExtra

        if missing := MissingExtra.behind(error):
            raise missing from error
        raise
    value = globals()[name] = getattr(home, name)
    return value


def __dir__() -> list[str]:
    return __all__
