"""Whisper on CTranslate2, with faster-whisper's features and tokenizer, in a short window."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from sttlab.audio import SAMPLE_RATE
from sttlab.engines import weights
from sttlab.engines.base import Cancelled
from sttlab.engines.windowed import (
    MEL_FRAMES_PER_S,
    PUNCTUATION,
    TIMESTAMPS_PER_S,
    DecodedPiece,
    TimedWord,
    WindowedEngine,
    most_tokens,
    padded,
    split_at_timestamps,
)
from sttlab.errors import ConfigError, ModelError

log = logging.getLogger(__name__)

BEAMS = 2
ON_GPU = (
    "it needs NVIDIA's driver and cuBLAS (pip install nvidia-cublas-cu12, with the folder of its "
    "libraries in LD_LIBRARY_PATH); engine whisper needs PyTorch alone"
)
# How each attempt decodes. CTranslate2 can't seed a thread's generator anew, so none samples: the
# same audio gives the same text.
RETRIES: tuple[dict[str, Any], ...] = (
    {"beam_size": 5},
    {"beam_size": 5, "no_repeat_ngram_size": 3},
)


class FasterWhisperEngine(WindowedEngine):
    """Whisper on CTranslate2; see `Engine`.

    It asks `cancelled` before each step (encoder, decoder, alignment), and not for each token.

    Parameters
    ----------
    config : TranscribeConfig
        Its ``device`` may be "cpu", "cuda" or None.
    """

    engine = "faster-whisper"
    short_windows_s: ClassVar = {"tiny.en": (8.0, 6.0), "base": (12.0, 6.0)}
    tries = 1 + len(RETRIES)
    batch = 8  # more gain nothing on two cores
    compute_type = "int8_float32"  # on a CPU
    first: ClassVar[dict[str, Any]] = {"beam_size": BEAMS}
    requires = ("faster-whisper", "faster")
    weights_format = "a CTranslate2 model"

    def _import(self) -> None:
        import ctranslate2
        import faster_whisper

        self._ctranslate2, self._faster_whisper = ctranslate2, faster_whisper

    def _choose_device(self) -> str:
        if self.config.device == "mps":
            raise ConfigError("faster-whisper knows no mps device: take cpu, or engine whisper")
        if self.config.device:
            return self.config.device
        return "cuda" if self._ctranslate2.get_cuda_device_count() else "cpu"

    def _find_weights(self) -> Path:
        return weights.find_ctranslate2(self.config.model)

    def _open(self, path: Path, device: str) -> Any:
        if device == "cpu":
            return self._open_on(device, path, self.compute_type)
        try:
            model = self._open_on(device, path, "default")  # as the file has it: float16
            # Only this loads cuBLAS, which CTranslate2's wheel doesn't have.
            model.encode(np.zeros((model.model.n_mels, MEL_FRAMES_PER_S), np.float32))
        except RuntimeError as error:
            if self.config.device:
                raise ModelError(f"CTranslate2 can't use this GPU ({error}): {ON_GPU}") from error
            log.warning("CTranslate2 can't use the GPU (%s), and takes the CPU: %s", error, ON_GPU)
            return self._open_on("cpu", path, self.compute_type)
        return model

    def _open_on(self, device: str, path: Path, compute_type: str) -> Any:
        return self._faster_whisper.WhisperModel(
            str(path), device=device, compute_type=compute_type, local_files_only=True
        )

    def _is_multilingual(self, model: Any) -> bool:
        return bool(model.model.is_multilingual)

    def _encode(self, audio: NDArray[np.float32]) -> Any:
        return self._encode_batch([audio])

    def _encode_batch(self, batch: Sequence[NDArray[np.float32]]) -> Any:
        """Run the encoder over windows of one length."""
        extract = self._model.feature_extractor
        mel = np.stack([extract(audio, padding=0) for audio in batch])
        return self._model.model.encode(self._ctranslate2.StorageView.from_array(mel))

    def _detect_language(self, features: Any) -> tuple[str, float]:
        return self._detect_languages(features)[0]

    def _detect_languages(self, features: Any) -> list[tuple[str, float]]:
        found = self._model.model.detect_language(features)
        return [(best[0].strip("<|>"), float(best[1])) for best, *_ in found]

    def _first_pass(
        self, batch: Sequence[NDArray[np.float32]], window_s: float, cancelled: Callable[[], bool]
    ) -> list[tuple[DecodedPiece, str, float]]:
        if len(batch) == 1:
            return super()._first_pass(batch, window_s, cancelled)
        if cancelled():
            raise Cancelled
        features = self._encode_batch([padded(audio, window_s) for audio in batch])
        languages = [(self.config.language or "en", 1.0)] * len(batch)
        if self._is_multilingual(self._model) and not self.config.language:
            languages = self._detect_languages(features)
        audio_s = [len(audio) / SAMPLE_RATE for audio in batch]
        if cancelled():
            raise Cancelled
        codes = [code for code, _ in languages]
        decoded = self._generate(features, audio_s, codes, self.first)
        return [(piece, *language) for piece, language in zip(decoded, languages, strict=True)]

    def _decode(
        self,
        features: Any,
        audio_s: float,
        language: str,
        attempt: int,
        cancelled: Callable[[], bool],
    ) -> DecodedPiece:
        if cancelled():
            raise Cancelled
        way = (self.first, *RETRIES)[attempt]
        return self._generate(features, [audio_s], [language], way)[0]

    def _generate(
        self, features: Any, audio_s: list[float], languages: list[str], way: dict[str, Any]
    ) -> list[DecodedPiece]:
        tokenizers = [self._tokenizer(language) for language in languages]
        prompts = [self._prompt(tokenizer) for tokenizer in tokenizers]
        most = most_tokens(max(audio_s))
        found = self._model.model.generate(
            features,
            prompts,
            # CTranslate2 generates half of this at most, and no more than it less the prompt.
            max_length=min(self._model.max_length, max(2 * most, len(prompts[0]) + most)),
            return_scores=True,
            return_no_speech_prob=True,
            **way,
        )
        each = [features] if len(found) == 1 else self._split(features)
        return [self._decoded(*one) for one in zip(found, each, audio_s, tokenizers, strict=True)]

    def _split(self, features: Any) -> Iterator[Any]:
        """Split the encoder's output for a batch into that for each piece."""
        on_cpu = np.array(features.to_device(self._ctranslate2.Device.cpu))
        for one in on_cpu:
            yield self._ctranslate2.StorageView.from_array(one[np.newaxis])

    def _decoded(self, found: Any, features: Any, audio_s: float, tokenizer: Any) -> DecodedPiece:
        tokens = found.sequences_ids[0]
        # A score is a mean over the tokens; Whisper's mean counts the end of the text as well.
        mean_log_prob = found.scores[0] * len(tokens) / (len(tokens) + 1)
        text = tokenizer.decode(tokens).strip()
        found_segments = split_at_timestamps(
            tokens, tokenizer.timestamp_begin, tokenizer.decode, audio_s, mean_log_prob
        )
        return DecodedPiece(
            text=text,
            tokens=tuple(tokens),
            features=features,
            segments=tuple(found_segments),
            mean_log_prob=mean_log_prob,
            no_speech_prob=found.no_speech_prob,
            compression_ratio=self._faster_whisper.transcribe.get_compression_ratio(text),
        )

    def _tokenizer(self, language: str) -> Any:
        return self._faster_whisper.tokenizer.Tokenizer(
            self._model.hf_tokenizer,
            self._model.model.is_multilingual,
            task=self.config.task,
            language=language,
        )

    def _prompt(self, tokenizer: Any) -> list[int]:
        expected = self.config.initial_prompt
        words = tokenizer.encode(" " + expected.strip()) if expected else []
        return list(self._model.get_prompt(tokenizer, words))

    def _align(self, piece: DecodedPiece, audio_s: float, language: str) -> Iterator[TimedWord]:
        tokenizer = self._tokenizer(language)
        tokens = [token for token in piece.tokens if token < tokenizer.eot]
        frames = round(audio_s * MEL_FRAMES_PER_S)
        (found,) = self._model.model.align(piece.features, tokenizer.sot_sequence, [tokens], frames)
        token_at, time_at = np.array(found.alignments).T
        starts_s = time_at[np.diff(token_at, prepend=-1) > 0] / TIMESTAMPS_PER_S
        texts, of_word = tokenizer.split_to_word_tokens([*tokens, tokenizer.eot])
        bounds = np.cumsum([0, *map(len, of_word)])
        words = [{"word": text, "tokens": mine} for text, mine in zip(texts, of_word, strict=True)]
        del words[-1]  # the end of the text
        self._faster_whisper.transcribe.merge_punctuations(words, *PUNCTUATION)
        for word, first, after in zip(words, bounds, bounds[1:], strict=False):
            if word["word"]:  # not punctuation that was merged into another word
                yield TimedWord(
                    text=word["word"],
                    start_s=float(starts_s[first]),
                    end_s=float(starts_s[after]),
                    probabilities=tuple(found.text_token_probs[first:after]),
                )
