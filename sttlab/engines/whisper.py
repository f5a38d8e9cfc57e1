"""Whisper by openai-whisper, with a short window for the encoder and timed words."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from sttlab.engines import weights
from sttlab.engines.base import Cancelled
from sttlab.engines.int8 import quantise_logits
from sttlab.engines.local import Decoded
from sttlab.engines.windowed import (
    MEL_FRAMES_PER_S,
    PUNCTUATION,
    DecodedPiece,
    TimedWord,
    WindowedEngine,
    most_tokens,
    split_at_timestamps,
)
from sttlab.errors import ModelError

if TYPE_CHECKING:
    import torch

TEMPERATURES = (0.0, 0.2, 0.4)  # of each try
SEED = 0  # of what is sampled at a temperature: the same audio gives the same text

# While it decodes, Whisper hooks its decoder, and its word timing changes a setting of the whole
# class. So two decodings at once give wrong text without an error.
_decoding = threading.Lock()


class WhisperEngine(WindowedEngine):
    """Whisper by openai-whisper; see `Engine`.

    Parameters
    ----------
    config : TranscribeConfig
    """

    engine = "whisper"
    short_windows_s: ClassVar = {"tiny.en": (8.0, 6.0), "base": (12.0, 8.0)}
    tries = len(TEMPERATURES)
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

    def _decode_each(
        self, batch: Sequence[NDArray[np.float32]], cancelled: Callable[[], bool], *, final: bool
    ) -> Iterator[tuple[int, Decoded]]:
        for number, audio in enumerate(batch):
            with _decoding, self._torch.inference_mode():
                ((_, decoded),) = super()._decode_each([audio], cancelled, final=final)
            yield number, decoded

    def _align(self, piece: DecodedPiece, audio_s: float, language: str) -> Iterator[TimedWord]:
        """Align as Whisper does, given the features for which Whisper would run the encoder."""
        timing = self._whisper.timing
        tokenizer = self._whisper.tokenizer.get_tokenizer(
            self._model.is_multilingual,
            num_languages=self._model.num_languages,
            language=language,
            task=self.config.task,
        )
        tokens = [token for token in piece.tokens if token < tokenizer.eot]
        encoded = _Encoded(self._model, piece.features)
        unused = self._torch.empty(0)
        aligned = timing.find_alignment(
            encoded, tokenizer, tokens, unused, round(audio_s * MEL_FRAMES_PER_S)
        )
        probabilities = iter(encoded.probabilities(tokens, len(tokenizer.sot_sequence)))
        of_word = {id(word): [next(probabilities) for _ in word.tokens] for word in aligned}
        timing.merge_punctuations(aligned, *PUNCTUATION)
        for word in aligned:
            if word.word:  # not punctuation that was merged into another word
                yield TimedWord(
                    text=word.word,
                    start_s=float(word.start),
                    end_s=float(word.end),
                    probabilities=tuple(of_word[id(word)]),
                )

    def _encode(self, audio: NDArray[np.float32]) -> torch.Tensor:
        """Run the encoder over a window of any length up to 30 s, which Whisper's own can't."""
        functional = self._torch.nn.functional
        encoder, device = self._model.encoder, self._model.device
        mel = self._whisper.log_mel_spectrogram(audio, self._model.dims.n_mels, device=device)
        x = mel[np.newaxis].to(encoder.conv1.weight.dtype)
        x = functional.gelu(encoder.conv1(x))
        x = functional.gelu(encoder.conv2(x)).permute(0, 2, 1)
        x = (x + encoder.positional_embedding[: x.shape[1]]).to(x.dtype)
        for block in encoder.blocks:
            x = block(x)
        features: torch.Tensor = encoder.ln_post(x)
        return features

    def _detect_language(self, features: torch.Tensor) -> tuple[str, float]:
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
        audio_s: float,
        language: str,
        attempt: int,
        cancelled: Callable[[], bool],
    ) -> DecodedPiece:
        options = self._whisper.DecodingOptions(
            task=self.config.task,
            language=language,
            temperature=TEMPERATURES[attempt],
            prompt=self.config.initial_prompt,
            sample_len=most_tokens(audio_s),
        )
        task = _task(self._whisper, self._model, options)
        if options.temperature:
            task.decoder = _sampler(self._whisper, options.temperature, task.tokenizer.eot)
        task.logit_filters.append(_CancelFilter(cancelled))
        result = task.run(features)[0]
        tokenizer = task.tokenizer
        segments = split_at_timestamps(
            result.tokens, tokenizer.timestamp_begin, tokenizer.decode, audio_s, result.avg_logprob
        )
        return DecodedPiece(
            text=result.text.strip(),
            tokens=tuple(result.tokens),
            features=features,
            segments=tuple(segments),
            mean_log_prob=result.avg_logprob,
            no_speech_prob=result.no_speech_prob,
            compression_ratio=result.compression_ratio,
        )


class _Encoded:
    """A model whose encoder has run: any spectrogram leads to the same features."""

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
