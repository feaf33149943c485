"""An exported model as an ONNX file, by way of the twin.

Axis letters: B batch, T frames, M mel bands, L lyric tokens, G genres.
"""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path

import onnxscript  # noqa: F401  PyTorch's exporter wants it, and would say so after the work only
import torch
from torch import Tensor, nn

from mgc_jax.api import Model
from mgc_jax.torch_reference.build import twin_of
from mgc_jax.torch_reference.model import GenreClassifier

INPUTS, OUTPUTS = ("spectrogram", "tokens", "num_tokens"), ("scores", "logits")


class Scores(nn.Module):
    """spectrogram (B, T, M) uint8, tokens (B, L) int32, num_tokens (B,) int32 -> scores (B, G), logits (B, G)."""

    def __init__(self, twin: GenreClassifier):
        super().__init__()
        self.twin = twin

    def forward(self, spectrogram: Tensor, tokens: Tensor, num_tokens: Tensor) -> tuple[Tensor, Tensor]:
        """As above."""
        logits = self.twin(spectrogram, tokens, num_tokens).logits
        return logits.sigmoid(), logits


def write(model: Model, file: Path) -> None:
    """Write a loaded model as ONNX with its weights inside, in float32 and for a batch of any size.

    Raises:
        InputError: the model is one of the rivals, which have no twin.
    """
    spec, length = model.config.audio, model.config.lyrics.max_tokens
    scores = Scores(twin_of(model)).eval()
    example = (
        torch.zeros(2, spec.num_frames, spec.n_mels, dtype=torch.uint8),
        torch.ones(2, length, dtype=torch.int32),
        torch.tensor([0, length], dtype=torch.int32),
    )
    rows = {0: torch.export.Dim("b")}
    with torch.no_grad(), _quiet():
        torch.onnx.export(
            scores,
            example,
            file,
            dynamo=True,
            input_names=INPUTS,
            output_names=OUTPUTS,
            dynamic_shapes=(rows,) * len(INPUTS),
            external_data=False,
            verbose=False,
        )


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
