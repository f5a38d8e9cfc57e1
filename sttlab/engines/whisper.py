"""OpenAI's Whisper, one utterance at a time."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sttlab.audio import SAMPLE_RATE, normalise
from sttlab.config import TranscribeConfig
from sttlab.engines import weights
from sttlab.engines.base import (
    Cancelled,
    Suppression,
    Transcription,
    confidence,
    invented,
    never,
    pieces,
    whole_words,
    word_confidence,
)
from sttlab.engines.int8 import quantise_logits
from sttlab.errors import ConfigError, MissingExtra, ModelError, SourceError, TranscribeError
from sttlab.events import Segment, Word

if TYPE_CHECKING:
    import torch

WINDOW_S = 30.0  # what Whisper was trained on
# Shorter ones that were found to cost no words: the shortest, and how much silence an utterance
# needs behind it (tests/benchmarks/bench_window.py, docs/measurements.md).
SHORT_WINDOWS_S = {"tiny.en": (8.0, 6.0), "base": (12.0, 8.0)}
SHORTEST_S = 0.05

TEMPERATURES = (0.0, 0.2, 0.4)
LOOP_COMPRESSION = 2.0  # the text repeats itself: worth another try, if not yet held back
POOR_LOG_PROB = -1.0
TOKENS_PER_S, TOKENS_MORE = 12, 24  # nobody speaks faster
TOKENS_PER_SECOND_OF_TIMESTAMPS = 50
MEL_FRAMES_PER_S = 100
LONGEST_WORD = 2.0  # times the median word
PUNCTUATION = "\"'“¿([{-", "\"'.。,，!！?？:：”)]}、"  # before and after a word, as Whisper has it

# Whisper hooks its decoder while it decodes, and timing switches a setting of the whole class: two
# decodings at once give wrong text, silently.
_decoding = threading.Lock()


@dataclass(frozen=True)
class _Decoded:
    text: str
    tokens: tuple[int, ...]
    features: torch.Tensor  # that they were decoded from
    segments: tuple[Segment, ...]
    log_prob: float
    no_speech: float
    compression: float

    @property
    def poor(self) -> bool:
        return self.loops or self.log_prob < POOR_LOG_PROB

    @property
    def loops(self) -> bool:
        return self.compression > LOOP_COMPRESSION


class WhisperEngine:
    """Whisper through openai-whisper; see `Engine`.

    With tiny.en and base the encoder hears each utterance in a window of its length and some
    seconds of silence instead of Whisper's thirty; if the text is poor, the thirty are tried.

    Parameters
    ----------
    config : TranscribeConfig
    """

    def __init__(self, config: TranscribeConfig) -> None:
        self.config = config
        self._model: Any = None
        self._tokenizer: Any = None

    @property
    def name(self) -> str:
        """Engine and model, for people."""
        return f"whisper {self.config.model}"

    def load(self) -> None:
        """Load the weights and warm up; see `Engine.load`.

        Raises
        ------
        MissingExtra
            If openai-whisper or torch is not installed.
        ModelError, ConfigError
            If the weights can't be had, or don't know the language asked for.
        """
        if self._model is not None:
            return
        try:
            import torch
            import whisper
        except ImportError as error:
            raise MissingExtra("openai-whisper", "whisper") from error
        self._torch, self._whisper = torch, whisper
        device = self._device()
        path = weights.find_checkpoint(self.config.model)
        try:
            model = self._load(path, device)
        except Exception as error:  # what is no checkpoint raises anything
            raise ModelError(f"{path} does not load as a Whisper checkpoint: {error}") from error
        self._check_language(model)
        self._model = model
        self.transcribe(np.random.default_rng(0).standard_normal(SAMPLE_RATE) * 1e-3)

    def _load(self, path: Path, device: str) -> Any:
        model = self._whisper.load_model(str(path), device=device).eval()
        heads = self._whisper._ALIGNMENT_HEADS.get(self.config.model)
        if heads:  # of attention, those that follow the sound; a checkpoint doesn't name them
            model.set_alignment_heads(heads)
        if model.device.type == "cpu":
            self._quantise(model)
        return model

    def _quantise(self, model: Any) -> None:
        quantise_logits(model)

    def _device(self) -> str:
        cuda, mps = self._torch.cuda.is_available(), self._torch.backends.mps.is_available()
        wanted = self.config.device
        if wanted is not None:
            if (wanted == "cuda" and not cuda) or (wanted == "mps" and not mps):
                raise ModelError(f"PyTorch finds no {wanted} device here: take cpu, or none")
            return wanted
        if cuda:
            return "cuda"
        if mps:
            try:
                (self._torch.ones(2, 2, device="mps") @ self._torch.ones(2, 2, device="mps")).cpu()
            except (RuntimeError, NotImplementedError):
                return "cpu"
            return "mps"
        return "cpu"

    def _check_language(self, model: Any) -> None:
        language = self.config.language
        if language is not None and language not in self._whisper.tokenizer.LANGUAGES:
            raise ConfigError(f"language must be a code such as en or de, not {language!r}")
        if model.is_multilingual:
            return
        if language not in (None, "en") or self.config.task == "translate":
            raise ConfigError(
                f"{self.config.model} knows only English; for other languages and to translate "
                "take a multilingual model, such as base"
            )

    def close(self) -> None:
        """Free the model's memory."""
        self._model = None

    def transcribe(
        self,
        samples: NDArray[np.generic],
        sample_rate: int = SAMPLE_RATE,
        *,
        cancelled: Callable[[], bool] = never,
    ) -> Transcription:
        """Turn one utterance into text; see `Engine.transcribe`."""
        self.load()
        try:
            sound = normalise(samples, sample_rate)
        except SourceError as error:
            raise TranscribeError(f"this can't be heard: {error}") from error
        sound = sound - sound.mean() if len(sound) else sound
        results = []
        with _decoding, self._torch.inference_mode():
            for start, piece in pieces(sound):
                if len(piece) >= SHORTEST_S * SAMPLE_RATE and piece.any():
                    results.append((start / SAMPLE_RATE, piece, *self._piece(piece, cancelled)))
        return self._combine(results)

    def _combine(
        self, results: list[tuple[float, NDArray[np.float32], _Decoded, str, float]]
    ) -> Transcription:
        segments: list[Segment] = []
        suppressed: list[Suppression] = []
        language, probability = self.config.language or "en", 1.0
        for start_s, piece, decoded, language, probability in results:  # noqa: B007
            end_s = start_s + len(piece) / SAMPLE_RATE
            reason = invented(
                decoded.text, decoded.log_prob, decoded.no_speech, decoded.compression, piece
            )
            if reason:
                suppressed.append(
                    Suppression(text=decoded.text, reason=reason, start_s=start_s, end_s=end_s)
                )
                continue
            segments += [s.later(start_s) for s in decoded.segments]
        return Transcription(
            text=" ".join(s.text for s in segments),
            segments=tuple(segments),
            suppressed=tuple(suppressed),
            language=language,
            language_probability=probability,
            confidence=float(np.mean([s.confidence for s in segments])) if segments else 0.0,
        )

    def _window_s(self, sound_s: float) -> float:
        shortest_s, after_s = SHORT_WINDOWS_S.get(self.config.model, (WINDOW_S, 0.0))
        return min(WINDOW_S, max(shortest_s, math.ceil(sound_s + after_s)))

    def _piece(
        self, sound: NDArray[np.float32], cancelled: Callable[[], bool]
    ) -> tuple[_Decoded, str, float]:
        """Transcribe at most 30 s: in a short window, and if that is poor, in ever bolder ways."""
        window_s = self._window_s(len(sound) / SAMPLE_RATE)
        features = self._encode(sound, window_s, cancelled)
        language, probability = self._language(features)
        best = self._decode(features, sound, language, TEMPERATURES[0], cancelled)
        if best.poor and window_s < WINDOW_S:
            features = self._encode(sound, WINDOW_S, cancelled)
            again = self._decode(features, sound, language, TEMPERATURES[0], cancelled)
            better = best.loops or again.log_prob > best.log_prob or not again.poor
            best = again if better else best
        for temperature in TEMPERATURES[1:]:
            if not best.loops:
                break
            best = self._decode(features, sound, language, temperature, cancelled)
        if self.config.words and best.segments:
            words = self._words(best, len(sound) / SAMPLE_RATE, language)
            best = replace(best, segments=tuple(_share_out(words, best.segments)))
        return best, language, probability

    def _words(self, decoded: _Decoded, sound_s: float, language: str) -> list[Word]:
        """Find when each word was said: Whisper's own alignment, of features that are there."""
        timing = self._whisper.timing
        tokenizer = self._whisper.tokenizer.get_tokenizer(
            self._model.is_multilingual,
            num_languages=self._model.num_languages,
            language=language,
            task=self.config.task,
        )
        tokens = [token for token in decoded.tokens if token < tokenizer.eot]
        heard = _Heard(self._model, decoded.features)
        unused = self._torch.empty(0)
        aligned = timing.find_alignment(
            heard, tokenizer, tokens, unused, round(sound_s * MEL_FRAMES_PER_S)
        )
        shares = iter(heard.shares(tokens, len(tokenizer.sot_sequence)))
        each = {id(word): [next(shares) for _ in word.tokens] for word in aligned}
        timing.merge_punctuations(aligned, *PUNCTUATION)
        parts: list[Word] = []
        for word in aligned:
            if not word.word:  # punctuation, now part of another
                continue
            start_s = min(max(float(word.start), parts[-1].end_s if parts else 0.0), sound_s)
            parts.append(
                Word(
                    start_s=start_s,
                    end_s=min(max(float(word.end), start_s), sound_s),
                    text=word.word,
                    confidence=self._sure(each[id(word)]),
                )
            )
        return _begun_late(whole_words(parts, language))

    def _sure(self, shares: list[float]) -> float:
        return word_confidence(shares)

    def _encode(
        self, sound: NDArray[np.float32], window_s: float, cancelled: Callable[[], bool]
    ) -> torch.Tensor:
        """Run the encoder over a window as long as needed: its positions are cut to it."""
        if cancelled():
            raise Cancelled
        functional = self._torch.nn.functional
        encoder, device = self._model.encoder, self._model.device
        padded = np.zeros(round(window_s * SAMPLE_RATE), np.float32)
        padded[: len(sound)] = sound[: len(padded)]
        mel = self._whisper.log_mel_spectrogram(padded, self._model.dims.n_mels, device=device)
        x = mel[np.newaxis].to(encoder.conv1.weight.dtype)
        x = functional.gelu(encoder.conv1(x))
        x = functional.gelu(encoder.conv2(x)).permute(0, 2, 1)
        x = (x + encoder.positional_embedding[: x.shape[1]]).to(x.dtype)
        for block in encoder.blocks:
            x = block(x)
        features: torch.Tensor = encoder.ln_post(x)
        return features

    def _language(self, features: torch.Tensor) -> tuple[str, float]:
        if not self._model.is_multilingual:
            return "en", 1.0
        if self.config.language:
            return self.config.language, 1.0
        tokenizer = self._whisper.tokenizer.get_tokenizer(
            True, num_languages=self._model.num_languages
        )
        start = self._torch.tensor([[tokenizer.sot]], device=features.device)
        scores = self._model.logits(start, features)[0, 0, list(tokenizer.all_language_tokens)]
        best = int(scores.argmax())
        return tokenizer.all_language_codes[best], float(scores.softmax(-1)[best])

    def _decode(
        self,
        features: torch.Tensor,
        sound: NDArray[np.float32],
        language: str,
        temperature: float,
        cancelled: Callable[[], bool],
    ) -> _Decoded:
        seconds = len(sound) / SAMPLE_RATE
        options = self._whisper.DecodingOptions(
            task=self.config.task,
            language=language,
            temperature=temperature,
            prompt=self.config.initial_prompt,
            sample_len=min(224, round(TOKENS_PER_S * seconds) + TOKENS_MORE),
            fp16=features.device.type == "cuda",
        )
        task = _task(self._whisper, self._model, options)
        task.logit_filters.append(_Watch(cancelled))
        result = task.run(features)[0]
        return _Decoded(
            result.text.strip(),
            tuple(result.tokens),
            features,
            tuple(_segments(result, task.tokenizer, seconds)),
            result.avg_logprob,
            result.no_speech_prob,
            result.compression_ratio,
        )


class _Heard:
    """The model, with its encoder's answer there already."""

    def __init__(self, model: Any, features: torch.Tensor) -> None:
        self.device, self.dims, self.decoder = model.device, model.dims, model.decoder
        self.alignment_heads = model.alignment_heads
        self._features = features

    def __call__(self, mel: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.decoder(tokens, self._features)
        self._logits = logits
        return logits

    def shares(self, tokens: list[int], first: int) -> list[float]:
        """Give the probability of each token, `first` tokens after the beginning."""
        probabilities = self._logits[0, first : first + len(tokens)].softmax(-1)
        return [float(probabilities[i, token]) for i, token in enumerate(tokens)]


class _Watch:
    """Sits among Whisper's logit filters to be asked at each step whether to go on."""

    def __init__(self, cancelled: Callable[[], bool]) -> None:
        self._cancelled = cancelled

    def apply(self, logits: torch.Tensor, tokens: torch.Tensor) -> None:
        if self._cancelled():
            raise Cancelled


def _task(whisper: Any, model: Any, options: Any) -> Any:
    class Task(whisper.decoding.DecodingTask):  # type: ignore[misc]
        """Whisper's own decoding, of features that are there already."""

        def _get_audio_features(self, features: torch.Tensor) -> torch.Tensor:
            return features

    return Task(model, options)


def _segments(result: Any, tokenizer: Any, seconds: float) -> Iterator[Segment]:
    """Cut the tokens where Whisper put its timestamps."""
    share = confidence(result.avg_logprob)
    start_s, text = 0.0, []
    for token in [*result.tokens, None]:
        if token is not None and token < tokenizer.timestamp_begin:
            text.append(token)
            continue
        at_s = seconds
        if token is not None:
            at_s = (token - tokenizer.timestamp_begin) / TOKENS_PER_SECOND_OF_TIMESTAMPS
        words = tokenizer.decode(text).strip()
        if words:
            end_s = min(max(at_s, start_s), seconds)
            yield Segment(start_s=start_s, end_s=end_s, text=words, confidence=share)
        start_s, text = min(at_s, seconds), []


def _begun_late(words: list[Word]) -> list[Word]:
    """Shorten a first word that was given the silence before it."""
    if words:
        lengths = [word.end_s - word.start_s for word in words]
        longest_s = LONGEST_WORD * float(np.median(lengths))
        first = words[0]
        words[0] = replace(first, start_s=max(first.start_s, first.end_s - longest_s))
    return words


def _share_out(words: list[Word], segments: tuple[Segment, ...]) -> Iterator[Segment]:
    """Give each segment its words: those whose letters are its text."""
    left = list(words)
    for segment in segments:
        mine: list[Word] = []
        letters = len("".join(segment.text.split()))
        while left and letters > 0:
            letters -= len("".join(left[0].text.split()))
            mine.append(left.pop(0))
        yield replace(segment, words=tuple(mine))
