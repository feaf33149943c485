"""The frozen audio encoder, or its front end, run once over all clips, chunk by chunk as they are decoded.

Axis letters: N clips, S audio tokens, H the encoder's width; of a front end S are its frames and H its bands.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from data_pipeline.storage.files import replacing


class AudioEncoding(NamedTuple):
    """A frozen audio encoder, for the clips of one data set."""

    encode: Callable[[np.ndarray], np.ndarray]
    """Clips (N, samples) float32 -> (N, S, H)."""
    tokens: int
    """S of one clip."""
    width: int
    """H."""
    digest: str
    """The sha256 of its weights."""
    licence: str
    """Of its weights, by its SPDX name."""

    def to_json(self) -> dict[str, Any]:
        """What ``dataset.json`` says of it."""
        return {"tokens": self.tokens, "width": self.width, "sha256": self.digest, "licence": self.licence}


def waveforms(chunk: Path) -> Path:
    """Where the waveforms (N, samples) float32 of a chunk lie until they are encoded."""
    return chunk.with_suffix(".waveforms.npy")


def encode(chunk: Path, encoding: AudioEncoding) -> None:
    """Writes ``chunk``, the features (N, S, H) float16 of its waveforms, and removes these; once done, nothing."""
    source = waveforms(chunk)
    if not chunk.is_file():
        clips = np.load(source)
        features = encoding.encode(clips) if len(clips) else np.zeros((0, encoding.tokens, encoding.width))
        with replacing(chunk) as partial, partial.open("wb") as file:
            np.save(file, features.astype(np.float16), allow_pickle=False)
    source.unlink(missing_ok=True)
