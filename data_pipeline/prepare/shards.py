"""What a worker has to know to write one shard: its place, its examples and their axes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

Part = Callable[[int, int], Iterable[dict[str, Any]]]
"""Gives the examples first .. last - 1 of a split; sent to the workers where they are other processes."""


class Shape(NamedTuple):
    """The axes of an example; ``width`` H of the frozen encoder's outputs is 0 where they are not stored."""

    num_frames: int
    num_mels: int
    max_tokens: int
    num_genres: int
    width: int

    @property
    def bytes(self) -> int:
        """What an example takes, but for its few numbers and its id."""
        lyrics = self.max_tokens * (2 + 2 * self.width)
        return self.num_frames * self.num_mels + lyrics + self.num_genres


class Shard(NamedTuple):
    """A file of the examples ``first`` .. ``last - 1`` of a split."""

    path: Path
    part: Part
    first: int
    last: int
