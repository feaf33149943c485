"""An exported model as ONNX files, by way of the twin: one reads a song's lyrics, the other hears its windows.

Axis letters: B windows, T frames, M mel bands, S songs, L lyric tokens, H encoder width, G genres.
"""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import onnxscript  # noqa: F401  PyTorch's exporter wants it, and would say so after the work only
import torch
from torch import Tensor, nn
from torch.export import Dim

from data_pipeline.errors import InputError
from mgc_jax.api import Model
from mgc_jax.network import build
from mgc_jax.torch_reference.build import twin_of
from mgc_jax.torch_reference.model import GenreClassifier
from mgc_jax.torch_reference.musicnn import Musicnn

LYRICS_ENCODER, HEAD = "lyrics_encoder.onnx", "head.onnx"
OPSET = 18
"""Of ONNX's operators, which every runtime of the last years has."""


class LyricsEncoder(nn.Module):
    """tokens (S, L) int32, num_tokens (S,) int32 -> words (S, L, H)."""

    def __init__(self, twin: GenreClassifier):
        super().__init__()
        self.twin = twin

    def forward(self, tokens: Tensor, num_tokens: Tensor) -> Tensor:
        """As above."""
        return self.twin.encoded(tokens, torch.arange(tokens.shape[1]) < num_tokens.clamp(min=1)[:, None])


class Head(nn.Module):
    """Sound, words (B, L, H) and num_tokens (B,) int32 -> scores (B, G), logits (B, G).

    The sound is a spectrogram (B, T, M) uint8, or samples (B, P) for a model with an ``audio_encoder``. A model that
    takes no words is given none.
    """

    def __init__(self, twin: GenreClassifier, audio_encoder: nn.Module | None):
        super().__init__()
        self.twin, self.audio_encoder = twin, audio_encoder

    def forward(
        self, sound: Tensor, words: Tensor | None = None, num_tokens: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """As above."""
        if self.audio_encoder is not None:
            sound = self.audio_encoder(sound)
        if words is None or num_tokens is None:
            words = torch.zeros(sound.shape[0], 1, self.twin.lyrics_projection.in_features)
            num_tokens = torch.zeros(sound.shape[0], dtype=torch.int32)
        logits = self.twin(sound, words, num_tokens).logits
        return logits.sigmoid(), logits


class Port(NamedTuple):
    """An input or an output: an axis that has a name is of any length."""

    name: str
    dtype: str
    axes: tuple[int | str, ...]

    def described(self) -> dict[str, str]:
        """As ``preprocessing.json`` has it."""
        axes = ", ".join(map(str, self.axes)) + ("," if len(self.axes) == 1 else "")
        return {"name": self.name, "type": f"{self.dtype} ({axes})"}


class File(NamedTuple):
    """An ONNX file: what computes it, what goes in and what comes out."""

    name: str
    module: nn.Module
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]

    def described(self) -> dict[str, Any]:
        """As ``preprocessing.json`` has it."""
        ports = {"inputs": self.inputs, "outputs": self.outputs}
        return {"file": self.name} | {kind: [port.described() for port in given] for kind, given in ports.items()}

    def write(self, folder: Path, longest: int) -> None:
        """Into ``folder``; lyrics of any length have ``longest`` tokens at most."""
        free = {"s": Dim("s"), "b": Dim("b"), "l": Dim("l", min=2, max=longest)}
        sizes = {"s": 2, "b": 2, "l": longest}
        named = [{i: free[axis] for i, axis in enumerate(port.axes) if isinstance(axis, str)} for port in self.inputs]
        example = [
            torch.ones(
                [axis if isinstance(axis, int) else sizes[axis] for axis in port.axes], dtype=getattr(torch, port.dtype)
            )
            for port in self.inputs
        ]
        with torch.no_grad(), _quiet():
            torch.onnx.export(
                self.module.eval(),
                tuple(example),
                folder / self.name,
                dynamo=True,
                opset_version=OPSET,
                input_names=[port.name for port in self.inputs],
                output_names=[port.name for port in self.outputs],
                dynamic_shapes=tuple(named),
                external_data=False,
                verbose=False,
            )


def writer(model: Model) -> Callable[[Path], dict[str, Any]]:
    """What writes a loaded model into a folder as :data:`LYRICS_ENCODER` and :data:`HEAD`, with the
    weights inside, in float32 and for any number of rows, and says what ``preprocessing.json`` has of them.

    A model that takes no words has the latter alone.

    Raises:
        InputError: the model has no twin.
    """
    try:
        twin, audio_encoder = twin_of(model).float(), _audio_encoder(model)
    except InputError as error:
        raise InputError(f"--onnx goes by way of the PyTorch twin: {error}") from None
    lyrics, genres = model.config.lyrics, model.vocabulary.size
    if audio_encoder is None:
        sound = Port("spectrogram", "uint8", ("b", model.spec.num_frames, model.spec.n_mels))
    else:
        sound = Port("waveform", "float32", ("b", model.spec.num_samples))
    head = File(
        HEAD,
        Head(twin, audio_encoder),
        (sound,),
        (Port("scores", "float32", ("b", genres)), Port("logits", "float32", ("b", genres))),
    )
    encoder = None
    if build.modalities(model.config)[1]:
        width = twin.lyrics_projection.in_features
        length: int | str = lyrics.max_tokens if lyrics.window else "l"  # windows are laid out for one length
        encoder = File(
            LYRICS_ENCODER,
            LyricsEncoder(twin),
            (Port("tokens", "int32", ("s", length)), Port("num_tokens", "int32", ("s",))),
            (Port("words", "float32", ("s", length, width)),),
        )
        words = Port("words", "float32", ("b", lyrics.max_tokens, width)), Port("num_tokens", "int32", ("b",))
        head = head._replace(inputs=head.inputs + words)

    def write(folder: Path) -> dict[str, Any]:
        for file in (encoder, head):
            if file is not None:
                file.write(folder, lyrics.max_tokens)
        return {
            "opset": OPSET,
            "lyrics_encoder": None if encoder is None else encoder.described(),
            "head": head.described(),
            "words": "of each song once, then for each of its windows, with zeros behind up to max_tokens; all zeros "
            "without lyrics",
            "runner": "integrations/onnx_runner.py of mgc-jax computes all of this with onnxruntime, tokenizers, "
            "soundfile, soxr and numpy",
        }

    return write


def _audio_encoder(model: Model) -> nn.Module | None:
    if model.features is None:
        return None
    encoder = model.features.encoder
    if encoder.name != "musicnn":
        raise InputError(f"the audio encoder {model.config.audio.encoder} has none; only musicnn has.")
    return Musicnn(encoder, model.spec.num_samples)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """The exporter speaks of optimisations that it could not do and of packages that this model does not need."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir")]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)
