"""What a worker has to know to write one shard: its place, its examples and their axes."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from data_pipeline.audio import AudioInput

Part = Callable[[int, int], Iterable[dict[str, Any]]]
"""Gives the examples first .. last - 1 of a split; sent to the workers where they are other processes."""


class Shape(NamedTuple):
    """The axes of an example: ``audio`` (T, M) of a spectrogram or (S, H) of a frozen encoder's outputs, by ``input``;
    ``token_dtype`` is the name of the word pieces'; ``width`` H of the frozen lyrics encoder's outputs is 0 where they
    are not stored; ``mean_tokens`` is how many a track has of these on average."""

    input: AudioInput
    audio: tuple[int, int]
    max_tokens: int
    num_genres: int
    width: int
    token_dtype: str = "uint16"
    mean_tokens: float = 0.0

    @property
    def bytes(self) -> int:
        """What an example takes on average, but for its few numbers and its id."""
        audio = math.prod(self.audio) * (1 if self.input == "spectrogram" else 2)
        lyrics = self.max_tokens * np.dtype(self.token_dtype).itemsize + round(self.mean_tokens * 2 * self.width)
        return audio + lyrics + self.num_genres


class Shard(NamedTuple):
    """A file of the examples ``first`` .. ``last - 1`` of a split."""

    path: Path
    part: Part
    first: int
    last: int
