"""Engines that transcribe whole recordings: `python -m sttlab.bench.engines NAME JSON`.

They print lines of JSON: ``{"ready": true}``, then for each recording its text, and the wall time
and CPU time in seconds.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from sttlab.audio import SAMPLE_RATE
from sttlab.bench.material import Samples
from sttlab.config import Config, TranscribeConfig, VadConfig, from_dict

Transcribe = Callable[[Samples], str]

UNCUT = "sttlab, uncut"  # sttlab's engine without endpointing, for single utterances
FLOAT16, BATCHED_FLOAT16 = "faster-whisper float16", "faster-whisper float16, batched"  # on a GPU
ON_REQUEST = {UNCUT, FLOAT16, BATCHED_FLOAT16}
BATCH = 8  # 30-second windows that faster-whisper decodes together


def config_of(options: dict[str, Any]) -> Config:
    """Make the settings from their JSON."""
    return Config(
        vad=from_dict(VadConfig, options["vad"]),
        transcribe=from_dict(TranscribeConfig, options["transcribe"]),
    )


def say(**fields: object) -> None:
    """Print a line of JSON, and flush it."""
    sys.stdout.write(json.dumps(fields) + "\n")
    sys.stdout.flush()


def _openai(options: dict[str, Any], condition: bool) -> Transcribe:
    import whisper

    from sttlab.engines.weights import find_checkpoint

    wanted = options["transcribe"]
    model = whisper.load_model(str(find_checkpoint(wanted["model"])), device=wanted["device"])
    return lambda samples: str(
        model.transcribe(
            samples,
            fp16=model.device.type == "cuda",
            language=wanted["language"],
            condition_on_previous_text=condition,
        )["text"]
    ).strip()


def _faster(options: dict[str, Any], compute_type: str, batched: bool) -> Transcribe:
    from faster_whisper import BatchedInferencePipeline, WhisperModel

    from sttlab.engines.weights import find_ctranslate2

    wanted = options["transcribe"]
    model = WhisperModel(
        str(find_ctranslate2(wanted["model"])),
        device=wanted["device"] or "auto",
        compute_type=compute_type,
        cpu_threads=options["threads"],
    )
    how = {"language": wanted["language"]}
    transcribe = model.transcribe
    if batched:
        transcribe = BatchedInferencePipeline(model).transcribe
        how["batch_size"] = BATCH
    return lambda samples: " ".join(s.text.strip() for s in transcribe(samples, **how)[0])


def _sttlab(options: dict[str, Any]) -> Transcribe:
    from sttlab.audio import Recording
    from sttlab.engines import make_engine
    from sttlab.transcription import transcribe

    config = config_of(options)
    engine = make_engine(config.transcribe)
    engine.load()
    return lambda samples: (
        transcribe(Recording(samples=samples, origin="bench"), model=engine, vad=config.vad).text
    )


def _uncut(options: dict[str, Any]) -> Transcribe:
    from sttlab.engines import make_engine

    engine = make_engine(config_of(options).transcribe)
    engine.load()
    return lambda samples: engine.transcribe(samples).text


ENGINES: dict[str, Callable[[dict[str, Any]], Transcribe]] = {
    "sttlab": _sttlab,
    UNCUT: _uncut,
    "openai-whisper": lambda options: _openai(options, condition=True),
    "openai-whisper, unconditioned": lambda options: _openai(options, condition=False),
    "faster-whisper int8": lambda options: _faster(options, "int8", batched=False),
    "faster-whisper float32": lambda options: _faster(options, "float32", batched=False),
    "faster-whisper int8, batched": lambda options: _faster(options, "int8", batched=True),
    FLOAT16: lambda options: _faster(options, "float16", batched=False),
    BATCHED_FLOAT16: lambda options: _faster(options, "float16", batched=True),
}


def main(name: str, options: dict[str, Any]) -> None:
    """Load an engine, warm it up on a second of noise, then measure it on each recording."""
    transcribe = ENGINES[name](options)
    noise = np.random.default_rng(0).standard_normal(SAMPLE_RATE) / 100
    transcribe(noise.astype(np.float32))
    say(ready=True)
    for path in options["recordings"]:
        samples = np.load(path)
        wall, cpu = time.monotonic(), time.process_time()
        text = transcribe(samples)
        say(text=text, wall_s=time.monotonic() - wall, cpu_s=time.process_time() - cpu)


if __name__ == "__main__":
    main(sys.argv[1], json.loads(sys.argv[2]))
