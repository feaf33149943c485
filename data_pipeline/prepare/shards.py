"""What a worker has to know to write one shard; TensorFlow is imported only where one is written."""

from __future__ import annotations

import secrets
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


def write(shard: Shard, shape: Shape) -> None:
    """Writes one shard, without compression: spectrograms shrink by a few per cent only, and are read twice as fast."""
    from array_record.python.array_record_module import ArrayRecordWriter

    from data_pipeline.prepare import builder

    features = builder.features(shape)
    partial = shard.path.with_name(f"{shard.path.name}.{secrets.token_hex(4)}.partial")
    writer = ArrayRecordWriter(str(partial), "group_size:1,uncompressed")
    for example in shard.part(shard.first, shard.last):
        writer.write(features.serialize_example(example))
    writer.close()
    partial.replace(shard.path)


def is_written(shard: Shard) -> bool:
    """Whether the whole shard is there."""
    return shard.path.is_file()
