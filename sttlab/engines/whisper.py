"""Whisper by openai-whisper, with a short window for the encoder and timed words."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sttlab.audio import SAMPLE_RATE
from sttlab.engines import weights
from sttlab.engines.base import Cancelled
from sttlab.engines.int8 import quantise_logits
from sttlab.engines.local import Decoded, DecodedSpan, LocalEngine, may_hold_words
from sttlab.engines.pieces import pieces
from sttlab.engines.words import confidence, whole_words, word_confidence
from sttlab.errors import ModelError
from sttlab.events import Segment, Word

if TYPE_CHECKING:
    import torch

WINDOW_S = 30.0  # what Whisper was trained on
# Shorter windows that were found to cost no words: the shortest, and how much silence has to follow
# the utterance in it (tests/benchmarks/bench_window.py, docs/measurements.md).
SHORT_WINDOWS_S = {"tiny.en": (8.0, 6.0), "base": (12.0, 8.0)}

TEMPERATURES = (0.0, 0.2, 0.4)
SEED = 0  # of what is sampled at a temperature: the same audio gives the same text
LOOP_COMPRESSION = 2.0  # compression ratio of a text that repeats itself and is decoded again
POOR_LOG_PROB = -1.0
TOKENS_PER_S, TOKENS_MORE = 12, 24  # nobody speaks faster
TIMESTAMPS_PER_S = 50
MEL_FRAMES_PER_S = 100
LONGEST_WORD = 2.0  # times the median word
PUNCTUATION = "\"'“¿([{-", "\"'.。,，!！?？:：”)]}、"  # before and after a word, as in Whisper

# While it decodes, Whisper hooks its decoder, and its word timing changes a setting of the whole
# class. So two decodings at once give wrong text without an error.
_decoding = threading.Lock()


@dataclass(frozen=True)
class _DecodedPiece:
    text: str
    tokens: tuple[int, ...]
    features: torch.Tensor  # the encoder's, from which the tokens were decoded
    segments: tuple[Segment, ...]
    mean_log_prob: float
    no_speech_prob: float
    compression_ratio: float

    @property
    def poor(self) -> bool:
        return self.loops or self.mean_log_prob < POOR_LOG_PROB

    @property
    def loops(self) -> bool:
        return self.compression_ratio > LOOP_COMPRESSION

    def span(self, start_s: float, duration_s: float) -> DecodedSpan:
        """Place the piece in the utterance."""
        return DecodedSpan(
            start_s=start_s,
            end_s=start_s + duration_s,
            text=self.text,
            segments=tuple(segment.later(start_s) for segment in self.segments),
            mean_log_prob=self.mean_log_prob,
            no_speech_prob=self.no_speech_prob,
            compression_ratio=self.compression_ratio,
        )


class WhisperEngine(LocalEngine):
    """Whisper by openai-whisper; see `Engine`.

    With tiny.en and base the encoder's window is as long as the utterance and some seconds of
    silence, instead of Whisper's 30 s. If the text is poor, the engine tries again with 30 s.

    Parameters
    ----------
    config : TranscribeConfig
    """

    requires = ("openai-whisper", "whisper")
    weights_format = "a Whisper checkpoint"

    def _import(self) -> None:
        import torch
        import whisper

        self._torch, self._whisper = torch, whisper

    def _choose_device(self) -> str:
        cuda, mps = self._torch.cuda.is_available(), self._torch.backends.mps.is_available()
        wanted = self.config.device
        if wanted is not None:
            if (wanted == "cuda" and not cuda) or (wanted == "mps" and not mps):
                raise ModelError(
                    f"PyTorch finds no {wanted} device here: set device to cpu, or leave it out"
                )
            return wanted
        if cuda:
            return "cuda"
        return "mps" if mps and self._mps_works() else "cpu"

    def _mps_works(self) -> bool:
        ones = self._torch.ones
        try:
            (ones(2, 2, device="mps") @ ones(2, 2, device="mps")).cpu()
        except (RuntimeError, NotImplementedError):
            return False
        return True

    def _find_weights(self) -> Path:
        return weights.find_checkpoint(self.config.model)

    def _open(self, path: Path, device: str) -> Any:
        model = self._whisper.load_model(str(path), device=device).eval()
        heads = self._whisper._ALIGNMENT_HEADS.get(self.config.model)
        if heads:  # the attention heads that follow the audio, which a checkpoint doesn't name
            model.set_alignment_heads(heads)
        if model.device.type == "cpu":
            self._quantise(model)
        return model

    def _quantise(self, model: Any) -> None:
        quantise_logits(model)

    def _is_multilingual(self, model: Any) -> bool:
        return bool(model.is_multilingual)

    def _decode_all(self, audio: NDArray[np.float32], cancelled: Callable[[], bool]) -> Decoded:
        spans = []
        language, probability = self.config.language or "en", 1.0
        with _decoding, self._torch.inference_mode():
            for start, piece in pieces(audio):
                if may_hold_words(piece):
                    decoded, language, probability = self._piece(piece, cancelled)
                    spans.append(decoded.span(start / SAMPLE_RATE, len(piece) / SAMPLE_RATE))
        return Decoded(spans=tuple(spans), language=language, language_probability=probability)

    def _window_s(self, audio_s: float) -> float:
        shortest_s, after_s = SHORT_WINDOWS_S.get(self.config.model, (WINDOW_S, 0.0))
        return min(WINDOW_S, max(shortest_s, math.ceil(audio_s + after_s)))

    def _piece(
        self, audio: NDArray[np.float32], cancelled: Callable[[], bool]
    ) -> tuple[_DecodedPiece, str, float]:
        """Decode at most 30 s; return the text, the language and its probability.

        The short window is tried first; if the text is poor, the full one; if it repeats itself,
        higher temperatures.
        """
        window_s = self._window_s(len(audio) / SAMPLE_RATE)
        features = self._encode(audio, window_s, cancelled)
        language, probability = self._language(features)
        best = self._decode(features, audio, language, TEMPERATURES[0], cancelled)
        if best.poor and window_s < WINDOW_S:
            features = self._encode(audio, WINDOW_S, cancelled)
            again = self._decode(features, audio, language, TEMPERATURES[0], cancelled)
            better = best.loops or not again.poor or again.mean_log_prob > best.mean_log_prob
            best = again if better else best
        for temperature in TEMPERATURES[1:]:
            if not best.loops:
                break
            best = self._decode(features, audio, language, temperature, cancelled)
        if self.config.words and best.segments:
            words = self._words(best, len(audio) / SAMPLE_RATE, language)
            best = replace(best, segments=tuple(_with_words(best.segments, words)))
        return best, language, probability

    def _words(self, decoded: _DecodedPiece, audio_s: float, language: str) -> list[Word]:
        """Find when each word was said, by Whisper's own alignment.

        It is given the encoder's features, where Whisper would run the encoder once more.
        """
        timing = self._whisper.timing
        tokenizer = self._whisper.tokenizer.get_tokenizer(
            self._model.is_multilingual,
            num_languages=self._model.num_languages,
            language=language,
            task=self.config.task,
        )
        tokens = [token for token in decoded.tokens if token < tokenizer.eot]
        encoded = _Encoded(self._model, decoded.features)
        unused = self._torch.empty(0)
        aligned = timing.find_alignment(
            encoded, tokenizer, tokens, unused, round(audio_s * MEL_FRAMES_PER_S)
        )
        probabilities = iter(encoded.probabilities(tokens, len(tokenizer.sot_sequence)))
        of_word = {id(word): [next(probabilities) for _ in word.tokens] for word in aligned}
        timing.merge_punctuations(aligned, *PUNCTUATION)
        parts: list[Word] = []
        for word in aligned:
            if not word.word:  # punctuation that was merged into another word
                continue
            start_s = min(max(float(word.start), parts[-1].end_s if parts else 0.0), audio_s)
            parts.append(
                Word(
                    start_s=start_s,
                    end_s=min(max(float(word.end), start_s), audio_s),
                    text=word.word,
                    confidence=self._word_confidence(of_word[id(word)]),
                )
            )
        return _without_silence_before(whole_words(parts, language))

    def _word_confidence(self, probabilities: list[float]) -> float:
        return word_confidence(probabilities)

    def _encode(
        self, audio: NDArray[np.float32], window_s: float, cancelled: Callable[[], bool]
    ) -> torch.Tensor:
        """Run the encoder over a window of any length up to 30 s, which Whisper's own can't."""
        if cancelled():
            raise Cancelled
        functional = self._torch.nn.functional
        encoder, device = self._model.encoder, self._model.device
        padded = np.zeros(round(window_s * SAMPLE_RATE), np.float32)
        padded[: len(audio)] = audio[: len(padded)]
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
        audio: NDArray[np.float32],
        language: str,
        temperature: float,
        cancelled: Callable[[], bool],
    ) -> _DecodedPiece:
        audio_s = len(audio) / SAMPLE_RATE
        options = self._whisper.DecodingOptions(
            task=self.config.task,
            language=language,
            temperature=temperature,
            prompt=self.config.initial_prompt,
            sample_len=min(224, round(TOKENS_PER_S * audio_s) + TOKENS_MORE),
            fp16=features.device.type == "cuda",
        )
        task = _task(self._whisper, self._model, options)
        if temperature:
            task.decoder = _sampler(self._whisper, temperature, task.tokenizer.eot)
        task.logit_filters.append(_CancelFilter(cancelled))
        result = task.run(features)[0]
        return _DecodedPiece(
            result.text.strip(),
            tuple(result.tokens),
            features,
            tuple(_segments(result, task.tokenizer, audio_s)),
            result.avg_logprob,
            result.no_speech_prob,
            result.compression_ratio,
        )


class _Encoded:
    """A model whose encoder has run: any spectrogram gives the same features."""

    def __init__(self, model: Any, features: torch.Tensor) -> None:
        self.device, self.dims, self.decoder = model.device, model.dims, model.decoder
        self.alignment_heads = model.alignment_heads
        self._features = features

    def __call__(self, mel: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.decoder(tokens, self._features)
        self._logits = logits
        return logits

    def probabilities(self, tokens: list[int], first: int) -> list[float]:
        """Return the probability of each token, the first of which is at position `first`."""
        at_each = self._logits[0, first : first + len(tokens)].softmax(-1)
        return [float(at_each[i, token]) for i, token in enumerate(tokens)]


class _CancelFilter:
    """A logit filter of Whisper's that changes nothing: it asks for each token whether to go on."""

    def __init__(self, cancelled: Callable[[], bool]) -> None:
        self._cancelled = cancelled

    def apply(self, logits: torch.Tensor, tokens: torch.Tensor) -> None:
        if self._cancelled():
            raise Cancelled


def _task(whisper: Any, model: Any, options: Any) -> Any:
    class Task(whisper.decoding.DecodingTask):  # type: ignore[misc]
        """Whisper's decoding of features, where its own takes a spectrogram."""

        def _get_audio_features(self, features: torch.Tensor) -> torch.Tensor:
            return features

    return Task(model, options)


def _sampler(whisper: Any, temperature: float, eot: int) -> Any:
    import torch

    # On the CPU whatever the device, so that all devices draw the same. PyTorch's own generator is
    # left alone: it belongs to whoever else uses PyTorch here.
    generator = torch.Generator().manual_seed(SEED)

    class Sampler(whisper.decoding.GreedyDecoder):  # type: ignore[misc]
        """Whisper's sampling at a temperature, by a generator of its own."""

        def update(
            self, tokens: torch.Tensor, logits: torch.Tensor, sum_log_probs: torch.Tensor
        ) -> tuple[torch.Tensor, bool]:
            drawn = (logits.float() / self.temperature).softmax(-1).cpu()
            following = torch.multinomial(drawn, 1, generator=generator).to(tokens.device)
            ended = tokens[:, -1:] == self.eot
            log_probs = logits.float().log_softmax(-1).gather(1, following)
            sum_log_probs += (log_probs * ~ended).squeeze(1)
            tokens = torch.cat([tokens, following.masked_fill(ended, self.eot)], dim=1)
            return tokens, bool((tokens[:, -1] == self.eot).all())

    return Sampler(temperature, eot)


def _segments(result: Any, tokenizer: Any, audio_s: float) -> Iterator[Segment]:
    """Split the tokens at Whisper's timestamps."""
    start_s, text = 0.0, []
    for token in [*result.tokens, None]:
        if token is not None and token < tokenizer.timestamp_begin:
            text.append(token)
            continue
        at_s = audio_s
        if token is not None:
            at_s = (token - tokenizer.timestamp_begin) / TIMESTAMPS_PER_S
        words = tokenizer.decode(text).strip()
        if words:
            yield Segment(
                start_s=start_s,
                end_s=min(max(at_s, start_s), audio_s),
                text=words,
                confidence=confidence(result.avg_logprob),
            )
        start_s, text = min(at_s, audio_s), []


def _without_silence_before(words: list[Word]) -> list[Word]:
    """Shorten the first word, to which the alignment adds the silence before it."""
    if words:
        lengths = [word.end_s - word.start_s for word in words]
        longest_s = LONGEST_WORD * float(np.median(lengths))
        first = words[0]
        words[0] = replace(first, start_s=max(first.start_s, first.end_s - longest_s))
    return words


def _with_words(segments: tuple[Segment, ...], words: list[Word]) -> Iterator[Segment]:
    """Add to each segment as many of the words as its text has letters for."""
    left = list(words)
    for segment in segments:
        mine: list[Word] = []
        letters = len("".join(segment.text.split()))
        while left and letters > 0:
            letters -= len("".join(left[0].text.split()))
            mine.append(left.pop(0))
        yield replace(segment, words=tuple(mine))
