"""A split in the devices' memory: sent there once, its batches gathered inside the step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from mgc_jax import sharding


class Resident(NamedTuple):
    """A batch by reference: ``split`` holds the arrays (N, ...) of all tracks, ``rows`` (B,) the batch's places.

    Both are cut over "data", so a device holds N / devices tracks and receives the rows of its share of the batch
    from wherever they are. Shapes stand for the arrays where nothing is computed yet.
    """

    split: Mapping[str, Any]
    rows: jax.Array


def gather(batch: Resident, mesh: Mesh) -> dict[str, jax.Array]:
    """The batch itself, cut over "data" like a streamed one; inside jit."""
    rows = sharding.batch_sharding(mesh)
    taken = {name: jnp.take(x, batch.rows, axis=0, mode="clip") for name, x in batch.split.items()}
    return jax.lax.with_sharding_constraint(taken, rows)
