"""A training batch as the step takes it: its arrays, or the indices of its tracks in a split that is on the devices.

Both kinds answer alike to the step (:meth:`~Batch.gather`), to the compiler's questions about memory
(:meth:`~Batch.with_size`) and to lyrics of several lengths (:meth:`~Batch.with_length`). Shapes stand for arrays where
nothing is computed yet. Axis letters: B batch, L lyric tokens, N tracks of a split.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Protocol, Self

import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from data_pipeline.schema import LYRICS
from mgc_jax.runtime import sharding


class Batch(Protocol):
    """What the training step, the memory check and the length buckets ask of a batch."""

    @property
    def size(self) -> int:
        """B, over all devices."""

    @property
    def length(self) -> int:
        """L."""

    def gather(self, mesh: Mesh) -> dict[str, jax.Array]:
        """The batch's arrays, cut over "data"; inside jit."""

    def with_size(self, size: int) -> Self:
        """The shapes of a batch with another number of tracks."""

    def with_length(self, length: int) -> Self:
        """The shapes of a batch whose lyrics have another length."""


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class StreamedBatch:
    """A batch whose ``arrays`` (B, ...) came from the host."""

    arrays: Mapping[str, Any]

    @property
    def size(self) -> int:
        """B, over all devices."""
        return int(self.arrays["index"].shape[0])

    @property
    def length(self) -> int:
        """L."""
        return int(self.arrays["tokens"].shape[1])

    def gather(self, mesh: Mesh) -> dict[str, jax.Array]:
        """The arrays as they are."""
        return dict(self.arrays)

    def with_size(self, size: int) -> StreamedBatch:
        """The shapes of a batch with another number of tracks."""
        return StreamedBatch({name: _shape(x, (size, *x.shape[1:])) for name, x in self.arrays.items()})

    def with_length(self, length: int) -> StreamedBatch:
        """The shapes of a batch whose lyrics have another length."""
        lyrics = {
            name: _shape(self.arrays[name], (self.size, length, *self.arrays[name].shape[2:]))
            for name in LYRICS
            if name in self.arrays
        }
        return StreamedBatch({**self.arrays, **lyrics})


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class ResidentBatch:
    """A batch by reference: ``split`` holds the arrays (N, ...) of all tracks, ``rows`` (B,) the batch's indices.

    Both are cut over "data", so a device holds N / devices tracks and receives the rows of its share of the batch
    from wherever they are. Of the lyrics the first ``length`` tokens are taken.
    """

    split: Mapping[str, Any]
    rows: jax.Array
    length: int = dataclasses.field(metadata={"static": True})

    @property
    def size(self) -> int:
        """B, over all devices."""
        return int(self.rows.shape[0])

    def gather(self, mesh: Mesh) -> dict[str, jax.Array]:
        """The rows of the split, cut over "data" like a streamed batch."""
        taken = {name: jnp.take(x, self.rows, axis=0, mode="clip") for name, x in self.split.items()}
        taken |= {name: taken[name][:, : self.length] for name in LYRICS if name in taken}
        return jax.lax.with_sharding_constraint(taken, sharding.batch_sharding(mesh))

    def with_size(self, size: int) -> ResidentBatch:
        """The shapes of a batch with another number of tracks."""
        return dataclasses.replace(self, rows=_shape(self.rows, (size,)))

    def with_length(self, length: int) -> ResidentBatch:
        """The same tracks with lyrics of another length."""
        return dataclasses.replace(self, length=length)


def _shape(x: Any, shape: tuple[int, ...]) -> Any:
    return jax.ShapeDtypeStruct(shape, x.dtype, sharding=x.sharding)
