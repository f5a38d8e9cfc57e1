"""Metrics of a running server, in the format of Prometheus."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from sttlab.audio import SAMPLE_RATE
from sttlab.events import (
    Event,
    SamplesLost,
    Suppressed,
    Transcript,
    TranscriptionFailed,
    Utterance,
)

CONTENT_TYPE = CONTENT_TYPE_LATEST
BUCKETS_S = (0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1, 1.5, 2, 3, 5, 8, 13, 30)
COUNTED = {
    Utterance: "utterances",
    Transcript: "transcripts",
    Suppressed: "suppressed",
    TranscriptionFailed: "failed",
}
STAGES = ("pause", "capture", "queue", "decode", "delay")


class Metrics:
    """Counts the events of sessions; gauges are read on each scrape. Any thread may call it."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        self._utterances = Counter(
            "sttlab_utterances",
            "Utterances, and what became of them",
            ["outcome"],
            registry=self._registry,
        )
        for outcome in COUNTED.values():
            self._utterances.labels(outcome)
        self._lost = Counter(
            "sttlab_lost_samples",
            f"Samples lost, at {SAMPLE_RATE} Hz",
            registry=self._registry,
        )
        self._spoken = Counter(
            "sttlab_speech_seconds", "Speech that was transcribed", registry=self._registry
        )
        self._stages = Histogram(
            "sttlab_latency_seconds",
            "From the end of speech to its text (delay), and the parts of that",
            ["stage"],
            buckets=BUCKETS_S,
            registry=self._registry,
        )
        for stage in STAGES:
            self._stages.labels(stage)
        self._refused = Counter(
            "sttlab_clients_let_go",
            "Clients that were refused or disconnected, by close code",
            ["code"],
            registry=self._registry,
        )

    def add_gauges(self, **gauges: tuple[str, Callable[[], float]]) -> None:
        """Add gauges by name: a description, and a function that returns the value on a scrape."""
        for name, (doc, read) in gauges.items():
            Gauge(f"sttlab_{name}", doc, registry=self._registry).set_function(read)

    def count(self, event: Event) -> None:
        """Count an event of a session."""
        outcome = COUNTED.get(type(event))
        if outcome:
            self._utterances.labels(outcome).inc()
        if isinstance(event, SamplesLost):
            self._lost.inc(event.count)
        elif isinstance(event, Transcript):
            self._spoken.inc(event.end_s - event.start_s)
            for stage in STAGES:
                self._stages.labels(stage).observe(max(0.0, getattr(event, f"{stage}_s")))

    def count_parting(self, code: int) -> None:
        """Count a client that was refused or disconnected."""
        self._refused.labels(str(code)).inc()

    def text(self) -> bytes:
        """Write all metrics in the format of Prometheus."""
        return generate_latest(self._registry)
