"""A split in the devices' memory: sent there once, its batches gathered inside the step."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from data_pipeline.schema import LYRICS
from mgc_jax.runtime import sharding


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Resident:
    """A batch by reference: ``split`` holds the arrays (N, ...) of all tracks, ``rows`` (B,) the batch's places.

    Both are cut over "data", so a device holds N / devices tracks and receives the rows of its share of the batch
    from wherever they are. Shapes stand for the arrays where nothing is computed yet. Of the lyrics the first
    ``length`` tokens are taken.
    """

    split: Mapping[str, Any]
    rows: jax.Array
    length: int = dataclasses.field(metadata={"static": True})


def gather(batch: Resident, mesh: Mesh) -> dict[str, jax.Array]:
    """The batch itself, cut over "data" like a streamed one; inside jit."""
    rows = sharding.batch_sharding(mesh)
    taken = {name: jnp.take(x, batch.rows, axis=0, mode="clip") for name, x in batch.split.items()}
    taken |= {name: taken[name][:, : batch.length] for name in LYRICS if name in taken}
    return jax.lax.with_sharding_constraint(taken, rows)
