"""The contract of every engine: `ENGINES`, with real weights, and a third one in one file.

A new engine is tested once it is registered, and NEEDS in tests/conftest.py has what it needs.
They run on a CPU; `--device cuda` runs them on a GPU.
"""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import sttlab
from sttlab.audio import SAMPLE_RATE, to_pcm16
from sttlab.cli import main
from sttlab.config import Config, TranscribeConfig
from sttlab.decoding import load
from sttlab.engines import ENGINES, make_engine, register
from sttlab.engines.base import Cancelled, Engine, transcribe_each
from sttlab.engines.faster import FasterWhisperEngine
from sttlab.engines.languages import LANGUAGES
from sttlab.engines.pieces import pieces
from sttlab.engines.suppression import hallucination
from sttlab.engines.whisper import WhisperEngine
from sttlab.engines.windowed import WindowedEngine
from sttlab.errors import ConfigError, MissingExtra, ModelError, TranscribeError
from sttlab.evaluate.wer import wer
from sttlab.transcription import transcribe
from tests.fakes import WAIT_S, Blocks, speech
from tests.third_engine import NAME, StopwatchEngine

whisper_only = pytest.mark.needs("whisper")
registered = [name for name in ENGINES if name != "auto"]
all_engines = [*(pytest.param(name, marks=pytest.mark.needs(name)) for name in registered), NAME]
# Of Whisper's, tests know the words.
whisper_engines = [
    given
    for given, name in zip(all_engines, registered, strict=False)
    if isinstance(make := ENGINES[name], type) and issubclass(make, WindowedEngine)
]
by_whisper_engines = pytest.mark.parametrize(
    "engine", whisper_engines, indirect=True, scope="module"
)
by_all_engines = pytest.mark.parametrize("engine", all_engines, indirect=True, scope="module")


@pytest.fixture(scope="module", autouse=True)
def third() -> Iterator[None]:
    """Register the third engine."""
    register(NAME, StopwatchEngine)
    yield
    del ENGINES[NAME]


@pytest.fixture(scope="module")
def device(request: pytest.FixtureRequest) -> Any:
    """What engines run on: `--device`."""
    return request.config.getoption("--device")


@pytest.fixture(scope="module")
def engine(request: pytest.FixtureRequest, third: None, device: Any) -> Iterator[Engine]:
    """The engine of that name, loaded."""
    engine = make_engine(TranscribeConfig(engine=request.param, device=device))
    engine.load()
    yield engine
    engine.close()


@pytest.fixture(scope="module")
def young_man(data: Path) -> np.ndarray:
    return load(data / "austen-2.flac").samples


def words(engine: Engine, samples: np.ndarray, rate: int = SAMPLE_RATE) -> str:
    return engine.transcribe(samples, rate).text.lower()


FORMS = {
    "int16": to_pcm16,
    "float64": lambda s: s.astype(np.float64),
    "stereo": lambda s: np.stack([s, s], axis=1),
    "channels first": lambda s: np.stack([s, s]),
    "out of range": lambda s: s * 20,
    "with a constant": lambda s: s + 0.3,
    "with holes": lambda s: np.where(np.arange(len(s)) % 4000 == 0, np.nan, s),
    "read only": lambda s: np.frombuffer(s.tobytes(), np.float32),
}


@by_all_engines
def test_engine_has_its_config_and_name(engine: Engine) -> None:
    assert engine.config is not None
    assert engine.config.engine in ENGINES
    assert engine.name == f"{engine.config.engine} {engine.config.model}"


@pytest.fixture(scope="module")
def heard(engine: Engine, young_man: np.ndarray) -> str:
    """What the engine must hear in `young_man` in any form: the same as in the plain one."""
    if isinstance(engine, WindowedEngine):
        return "young man"
    if isinstance(engine, StopwatchEngine):
        return "3.0 seconds"
    said = words(engine, young_man)
    assert said
    return said


@by_all_engines
@pytest.mark.parametrize("form", FORMS)
def test_audio_of_any_form_is_transcribed(
    engine: Engine, young_man: np.ndarray, heard: str, form: str
) -> None:
    assert heard in words(engine, FORMS[form](young_man))


@by_all_engines
def test_audio_at_any_sample_rate_is_transcribed(
    engine: Engine, young_man: np.ndarray, heard: str
) -> None:
    import soxr

    for rate in (44_100, 8_000):
        assert heard in words(engine, soxr.resample(young_man, SAMPLE_RATE, rate), rate)


@by_all_engines
@pytest.mark.parametrize("samples", [[], [0.5], np.zeros(100), np.zeros(SAMPLE_RATE * 3)])
def test_empty_or_silent_audio_gives_empty_text(engine: Engine, samples: Any) -> None:
    said = engine.transcribe(np.asarray(samples, np.float32))
    assert said.text == ""
    assert said.segments == ()


@pytest.fixture
def repeated(data: Path) -> np.ndarray:
    """Two seconds of speech, again and again: greedy decoding repeats itself, and falls back."""
    return np.tile(load(data / "demo.flac").samples[: 2 * SAMPLE_RATE], 4)


@by_all_engines
def test_audio_that_falls_back_gives_the_same_text_again(
    engine: Engine, repeated: np.ndarray
) -> None:
    first = engine.transcribe(repeated)
    again = engine.transcribe(repeated)
    assert (again.text, again.suppressed) == (first.text, first.suppressed)


@by_whisper_engines
def test_a_poor_text_is_decoded_again_unless_it_is_a_partial(
    engine: FasterWhisperEngine | WhisperEngine, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decode, tried = engine._decode, []

    def count(*given: Any) -> Any:
        tried.append(given)
        return decode(*given)

    monkeypatch.setattr(engine, "_decode", count)
    beginning = load(data / "austen-4.flac").samples[: SAMPLE_RATE // 2]
    engine.transcribe_partial(beginning)
    assert len(tried) == 1
    engine.transcribe(beginning)
    assert len(tried) > 2


@whisper_only
@pytest.mark.filterwarnings("ignore:unclosed file .*tiktoken:ResourceWarning")
def test_retries_at_a_temperature_have_a_seed_and_leave_pytorchs_alone(
    repeated: np.ndarray, device: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    engine = WhisperEngine(TranscribeConfig(device=device))
    first = engine.transcribe(repeated)
    state = torch.random.get_rng_state()
    again = engine.transcribe(repeated)
    assert (again.text, again.suppressed) == (first.text, first.suppressed)
    assert torch.equal(torch.random.get_rng_state(), state)
    monkeypatch.setattr("sttlab.engines.whisper.SEED", 1)
    other = engine.transcribe(repeated)
    assert (other.text, other.suppressed) != (first.text, first.suppressed)  # so it was sampled
    engine.close()


@by_all_engines
@pytest.mark.parametrize("samples", [np.zeros((2, 2, 2)), np.array(["words"])])
def test_invalid_audio_raises_transcribe_error(engine: Engine, samples: np.ndarray) -> None:
    with pytest.raises(TranscribeError, match="can't be used"):
        engine.transcribe(samples)


@by_all_engines
def test_segments_lie_within_the_utterance_in_order(engine: Engine, data: Path) -> None:
    recording = load(data / "austen-4.flac")
    said = engine.transcribe(recording.samples)
    edges = [edge for s in said.segments for edge in (s.start_s, s.end_s)]
    assert edges == sorted(edges)
    assert edges[0] >= 0
    assert edges[-1] <= recording.duration_s
    assert " ".join(s.text for s in said.segments) == said.text
    assert 0.3 < said.confidence <= 1
    assert said.language == "en"


@by_all_engines
def test_a_batch_gives_the_text_that_each_utterance_has_alone(engine: Engine, data: Path) -> None:
    recorded = load(data / "demo.flac").samples
    long = np.tile(recorded, 2)[: 29 * SAMPLE_RATE]  # in two pieces
    batch = [recorded[s * SAMPLE_RATE : (s + 2) * SAMPLE_RATE] for s in (0, 5, 9)]
    batch[2:2] = [np.zeros(SAMPLE_RATE, np.float32), long, np.zeros(0, np.float32)]
    answers = dict(transcribe_each(engine, batch))
    assert [answers[number] for number in range(len(batch))] == list(map(engine.transcribe, batch))


@pytest.mark.parametrize("engine", [*whisper_engines, NAME], indirect=True, scope="module")
def test_a_cancelled_batch_stops(engine: Engine, young_man: np.ndarray) -> None:
    with pytest.raises(Cancelled):
        list(engine.transcribe_batch([young_man] * 3, cancelled=lambda: True))  # type: ignore[attr-defined]


@pytest.fixture
def with_words(request: pytest.FixtureRequest, device: Any) -> Iterator[Engine]:
    """The engine of that name, with times of words."""
    engine = make_engine(TranscribeConfig(engine=request.param, device=device, words=True))
    yield engine
    engine.close()


@pytest.mark.parametrize("with_words", all_engines, indirect=True)
def test_words_on_request_lie_in_order_and_are_the_text(with_words: Engine, data: Path) -> None:
    recording = load(data / "austen-3.flac")
    said = with_words.transcribe(recording.samples)
    words = [word for segment in said.segments for word in segment.words]
    assert " ".join(word.text for word in words) == said.text
    edges = [edge for word in words for edge in (word.start_s, word.end_s)]
    assert edges == sorted(edges)
    assert edges[0] >= 0
    assert edges[-1] <= recording.duration_s
    assert all(0 < word.confidence <= 1 for word in words)
    if isinstance(with_words, WindowedEngine):
        spoken = next(word for word in words if word.text.lower().startswith("selfish"))
        assert spoken.start_s == pytest.approx(3.1, abs=0.4)


@by_all_engines
def test_words_are_left_out_unless_requested(engine: Engine, young_man: np.ndarray) -> None:
    assert all(not segment.words for segment in engine.transcribe(young_man).segments)


@by_all_engines
def test_the_same_audio_gives_the_same_text(engine: Engine, young_man: np.ndarray) -> None:
    assert engine.transcribe(young_man) == engine.transcribe(young_man)


@by_whisper_engines
def test_a_recording_has_its_text_in_order_and_progress_reaches_the_end(
    engine: Engine, data: Path
) -> None:
    recording = load(data / "demo.flac")
    steps: list[tuple[float, float]] = []
    said = transcribe(recording, model=engine, progress=lambda *step: steps.append(step))
    expected = (data / "demo.txt").read_text(encoding="utf-8")
    assert wer([expected], [said.text], language="en").wer < 0.15
    edges = [edge for s in said.segments for edge in (s.start_s, s.end_s)]
    assert edges == sorted(edges)
    assert steps == sorted(steps)
    assert 0.9 * recording.duration_s < steps[-1][0] <= recording.duration_s


@by_whisper_engines
def test_audio_longer_than_the_window_loses_no_text(engine: Engine, data: Path) -> None:
    gap = np.zeros(SAMPLE_RATE, np.float32)
    sounds, texts = [], []
    for i in (1, 2, 3, 4, 5, 1, 2):
        sounds += [load(data / f"austen-{i}.flac").samples, gap]
        texts.append((data / f"austen-{i}.txt").read_text())
    long = np.concatenate(sounds)
    assert len(long) > 35 * SAMPLE_RATE
    said = engine.transcribe(long)
    assert wer(" ".join(texts), said.text).wer < 0.15
    assert said.segments[-1].end_s > len(long) / SAMPLE_RATE - 3


@by_all_engines
def test_a_cancelled_engine_stops_and_works_again(
    engine: Engine, young_man: np.ndarray, heard: str
) -> None:
    with pytest.raises(Cancelled):
        engine.transcribe(young_man, cancelled=lambda: True)
    assert heard in words(engine, young_man)


@by_all_engines
def test_an_engine_cancelled_while_it_decodes_stops(engine: Engine, young_man: np.ndarray) -> None:
    asked = threading.Semaphore(0)

    def after_a_while() -> bool:
        asked.release()
        return asked._value > 1

    with pytest.raises(Cancelled):
        engine.transcribe(young_man, cancelled=after_a_while)


READ = ("austen-1", "austen-2", "austen-3", "austen-4", "austen-5", "monologue", "pause", "cough")


@by_whisper_engines
def test_word_errors_of_an_engine_are_those_of_its_model(engine: Engine, data: Path) -> None:
    """An engine makes 12 to 16 errors in 205 words; twice that means that something is broken."""
    said = [engine.transcribe(load(data / f"{name}.flac").samples).text for name in READ]
    found = wer([(data / f"{name}.txt").read_text() for name in READ], said)
    assert found.words > 150
    assert found.wer < 0.15, found


class Exact(WhisperEngine):
    """Whisper with its original weights, not quantised."""

    def _quantise(self, model: Any) -> None:
        pass


@whisper_only
def test_int8_logits_give_the_text_of_exact_logits(data: Path) -> None:
    import torch

    exact, quantised = (kind(TranscribeConfig(device="cpu")) for kind in (Exact, WhisperEngine))
    sounds = [load(data / f"{name}.flac").samples for name in READ[:2]]
    texts = [[e.transcribe(s).text for s in sounds] for e in (exact, quantised)]
    assert wer(*texts).wer < 0.05
    with torch.inference_mode():
        tokens = torch.tensor([[50257, 50362, 1639, 428]])
        features = torch.randn(1, 400, 384, generator=torch.Generator().manual_seed(0))
        a, b = (e._model.decoder(tokens, features)[0].softmax(-1) for e in (exact, quantised))
    assert 0 < (a - b).abs().sum(-1).max() < 0.25
    for engine in (exact, quantised):
        engine.close()


def noise(kind: str, data: Path) -> np.ndarray:
    rng = np.random.default_rng(3)
    n = 2 * SAMPLE_RATE
    if kind == "keyboard":
        return load(data / "keyboard.ogg").samples[:n]
    if kind == "hum":
        t = np.arange(n) / SAMPLE_RATE
        waves = [np.sin(2 * np.pi * 50 * k * t) / k for k in (1, 2, 3, 5)]
        return np.sum(waves, axis=0).astype(np.float32)
    white = np.fft.rfft(rng.standard_normal(n))
    if kind == "pink":
        white /= np.sqrt(np.maximum(np.arange(len(white)), 1))
    return np.fft.irfft(white, n).astype(np.float32)


@by_whisper_engines
@pytest.mark.parametrize("kind", ["white", "pink", "hum", "keyboard"])
@pytest.mark.parametrize("level_dbfs", [-60, -45, -30])
def test_noise_gives_no_text(engine: Engine, data: Path, kind: str, level_dbfs: float) -> None:
    sound = noise(kind, data)
    sound = sound * (10 ** (level_dbfs / 20) / np.sqrt(np.mean(sound**2)))
    assert engine.transcribe(sound).text == ""


@pytest.mark.parametrize("name", [*whisper_engines, NAME])
def test_a_language_that_the_model_does_not_know_is_refused(name: str) -> None:
    for kwargs in ({"language": "de"}, {"task": "translate"}):
        config = TranscribeConfig(engine=name, model="tiny.en", **kwargs)  # type: ignore[arg-type]
        with pytest.raises(ConfigError, match=r"only English.*base"):
            make_engine(config).load()
    with pytest.raises(ConfigError, match="code such as en or de"):
        make_engine(TranscribeConfig(engine=name, model="base", language="german")).load()


@whisper_only
def test_the_languages_are_those_that_whisper_knows() -> None:
    from whisper.tokenizer import LANGUAGES as WHISPERS

    assert LANGUAGES == WHISPERS


@pytest.mark.parametrize("name", whisper_engines)
def test_an_engine_whose_package_is_missing_names_the_extra(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for package in ("whisper", "faster_whisper"):
        monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtra, match=r"whisper is not installed: pip install 'sttlab\["):
        make_engine(TranscribeConfig(engine=name)).load()


@pytest.mark.parametrize("name", whisper_engines)
def test_weights_that_do_not_load_are_named(name: str, tmp_path: Path) -> None:
    folder = tmp_path / "mine.pt"
    if name == "whisper":
        folder.write_bytes(b"not a checkpoint")
    else:
        folder.mkdir()
    with pytest.raises(ModelError, match=r"mine\.pt does not load as a (Whisper|CTranslate2) "):
        make_engine(TranscribeConfig(engine=name, model=str(folder))).load()


def test_a_failure_of_the_model_is_a_transcribe_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("out of memory")

    engine = make_engine(TranscribeConfig(engine=NAME))
    engine.load()
    monkeypatch.setattr(StopwatchEngine, "_decode_all", fail)
    with pytest.raises(TranscribeError, match=r"stopwatch tiny\.en failed: out of memory"):
        engine.transcribe(np.ones(SAMPLE_RATE) * np.tile([1, -1], SAMPLE_RATE // 2))


def test_an_unknown_engine_is_refused_with_the_known_ones() -> None:
    with pytest.raises(
        ConfigError, match=r"engine must be one of auto, whisper, faster-whisper, .*'x'"
    ):
        TranscribeConfig(engine="x")


@pytest.mark.needs("whisper", "faster-whisper")
@pytest.mark.parametrize(
    ("config", "kind"),
    [
        (TranscribeConfig(device="cpu"), FasterWhisperEngine),
        (TranscribeConfig(device="cuda"), WhisperEngine),
        (TranscribeConfig(device="mps"), WhisperEngine),
        (TranscribeConfig(device="cpu", engine="whisper"), WhisperEngine),
        (TranscribeConfig(device="cpu", model="tiny"), WhisperEngine),
        (TranscribeConfig(device="cpu", model="somewhere/mine.pt"), WhisperEngine),
    ],
)
def test_auto_takes_ctranslate2_on_a_cpu_and_pytorch_otherwise(
    config: TranscribeConfig, kind: type[Engine]
) -> None:
    assert type(make_engine(config)) is kind


@pytest.mark.needs("whisper", "faster-whisper")
def test_auto_names_the_engine_that_it_became_and_keeps_its_config(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sttlab.engines.auto._torch_has_gpu", lambda: False)
    engine = make_engine(TranscribeConfig())
    assert engine.name == "faster-whisper tiny.en"
    assert engine.config == TranscribeConfig(engine="auto")
    monkeypatch.setattr("sttlab.engines.auto._torch_has_gpu", lambda: True)
    assert make_engine(TranscribeConfig()).name == "whisper tiny.en"


@whisper_only
def test_auto_takes_whisper_where_faster_whisper_is_not_installed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(
        "importlib.util.find_spec",
        lambda name, find=importlib.util.find_spec: (
            None if name == "faster_whisper" else find(name)
        ),
    )
    assert make_engine(TranscribeConfig(device="cpu")).name == "whisper tiny.en"


@pytest.mark.needs("whisper", "faster-whisper")
def test_with_ctranslate2_torch_is_not_imported(data: Path) -> None:
    code = """if True:
        import sys
        import sttlab
        from sttlab.engines import make_engine
        engine = make_engine(sttlab.TranscribeConfig(device="cpu"))
        said = sttlab.transcribe(sys.argv[1], model=engine)
        print(said.text, [name for name in ("torch", "whisper") if name in sys.modules])
    """
    command = [sys.executable, "-c", code, str(data / "austen-2.flac")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    assert "young man" in done.stdout
    assert done.stdout.rstrip().endswith("[]")


def test_engine_name_can_be_registered_only_once() -> None:
    register(NAME, StopwatchEngine)
    with pytest.raises(ConfigError, match="an engine 'stopwatch' already"):
        register(NAME, WhisperEngine)


def test_a_third_engine_is_used_like_the_others(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = TranscribeConfig(engine=NAME)
    path = data / "austen-2.flac"
    said = sttlab.transcribe(path, model=make_engine(config))
    assert said.text.endswith(" seconds")
    with sttlab.Session(Blocks(speech(2)), model=config) as session:
        assert session.wait(WAIT_S)
    assert [transcript.text for transcript in session.history]
    assert all(transcript.text.endswith(" seconds") for transcript in session.history)
    settings = tmp_path / "settings.toml"
    Config(transcribe=config).save(settings)
    assert main(["transcribe", str(path), "--config", str(settings)]) == 0
    assert capsys.readouterr().out == said.to_txt()


without_a_gpu = pytest.mark.skipif(shutil.which("nvidia-smi") is not None, reason="a GPU is here")


@without_a_gpu
@pytest.mark.parametrize(
    ("name", "words"),
    [
        pytest.param("whisper", "PyTorch finds no cuda", marks=pytest.mark.needs("whisper")),
        pytest.param(
            "faster-whisper", "nvidia-cublas-cu12", marks=pytest.mark.needs("faster-whisper")
        ),
    ],
)
def test_missing_device_is_refused(name: str, words: str) -> None:
    with pytest.raises(ModelError, match=words):
        make_engine(TranscribeConfig(engine=name, device="cuda")).load()


@without_a_gpu
@pytest.mark.needs("faster-whisper")
def test_ctranslate2_takes_the_cpu_if_it_cannot_use_the_gpu(
    young_man: np.ndarray, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("ctranslate2.get_cuda_device_count", lambda: 1)
    engine = make_engine(TranscribeConfig(engine="faster-whisper"))
    assert "young man" in words(engine, young_man)
    assert "takes the CPU" in caplog.text
    engine.close()


@pytest.mark.parametrize("name", whisper_engines)
def test_initial_prompt_gives_the_spelling_of_names(name: str, device: Any, data: Path) -> None:
    sound = load(data / "austen-1.flac").samples
    prompt = "Mr. Jon Dashwoode and his sister."
    config = TranscribeConfig(engine=name, device=device, initial_prompt=prompt)
    assert "Dashwoode" in make_engine(config).transcribe(sound).text


@pytest.fixture(scope="module")
def multilingual(request: pytest.FixtureRequest, device: Any) -> Iterator[Engine]:
    engine = make_engine(TranscribeConfig(engine=request.param, model="base", device=device))
    yield engine
    engine.close()


@pytest.mark.parametrize("multilingual", whisper_engines, indirect=True, scope="module")
def test_the_language_is_detected(multilingual: Engine, data: Path) -> None:
    for name, language in (("spanish.opus", "es"), ("swedish.flac", "sv"), ("austen-2.flac", "en")):
        said = multilingual.transcribe(load(data / name).samples[: 4 * SAMPLE_RATE])
        assert said.language == language
        assert said.language_probability > 0.5


@pytest.mark.parametrize("name", whisper_engines)
def test_a_translation_is_english(name: str, device: Any, data: Path) -> None:
    config = TranscribeConfig(engine=name, model="base", device=device, task="translate")
    engine = make_engine(config)
    text = engine.transcribe(load(data / "spanish.opus").samples[: 6 * SAMPLE_RATE]).text.lower()
    assert " the " in text
    engine.close()


def test_text_is_suppressed_for_a_reason() -> None:
    sound = np.full(SAMPLE_RATE, 0.1, np.float32)
    assert hallucination("", -9, 1, 9, sound) is None
    assert hallucination("Hello there.", -0.3, 0.1, 1.0, sound) is None
    assert "repeats" in str(hallucination("no no no", -0.1, 0.0, 3.0, sound))
    assert "no speech" in str(hallucination("Thank you.", -1.1, 0.7, 1.0, sound))
    assert "no speech" in str(hallucination("you", -0.9, 0.9, 1.0, sound))
    assert hallucination("Okay.", -0.9, 0.7, 1.0, sound) is None
    assert "of noise" in str(hallucination("Thanks for watching!", -0.9, 0.6, 1.0, sound))
    assert "twice" in str(
        hallucination("Better than ever. Better than ever.", -0.8, 0.5, 1.6, sound)
    )
    assert hallucination("Better than ever. Better than ever.", -0.4, 0.1, 1.6, sound) is None
    assert hallucination("No, no.", -0.8, 0.1, 1.0, sound) is None
    assert "of noise" in str(hallucination("you", -0.7, 0.97, 1.0, sound))
    assert hallucination("Thank you.", -0.4, 0.6, 1.0, sound) is None
    assert hallucination("Thank you.", -0.7, 0.2, 1.0, sound) is None
    assert "no word" in str(hallucination(". . .", -0.3, 0.1, 1.0, sound))
    assert "little text" in str(hallucination("Thank you.", -1.1, 0.3, 1.0, np.tile(sound, 6)))
    assert hallucination("Yes.", -1.2, 0.1, 1.0, np.tile(sound, 3)) is None
    assert hallucination("Thank you.", -0.9, 0.3, 1.0, np.tile(sound, 6)) is None
    assert "guesses" in str(hallucination("Thank you.", -1.6, 0.1, 1.0, sound))
    assert "too quiet" in str(hallucination("Thank you.", -0.9, 0.1, 1.0, sound * 1e-3))


def test_pieces_lose_nothing_and_fit_the_window() -> None:
    rng = np.random.default_rng(0)
    for seconds in (0, 1, 28, 29, 61, 200):
        sound = rng.standard_normal(seconds * SAMPLE_RATE).astype(np.float32)
        cut = list(pieces(sound))
        assert np.array_equal(np.concatenate([piece for _, piece in cut]), sound)
        assert all(len(piece) <= 28 * SAMPLE_RATE for _, piece in cut)
        assert [start for start, _ in cut] == list(
            np.cumsum([0] + [len(piece) for _, piece in cut])[:-1]
        )
