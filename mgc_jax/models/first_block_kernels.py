"""What the first block's kernels in both languages share: devices with their own tracks, and whose a gradient is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P


def over_batch(
    run: Callable[..., tuple[Any, Any]], tracks: Sequence[jax.Array], weights: Sequence[jax.Array], mesh: Mesh | None
) -> tuple[Any, Any]:
    """``run(*tracks, *weights)`` by each device for its own tracks: XLA cannot look into a kernel to cut its work.

    Args:
        run: gives what there is of each track (B, ..), and sums over tracks, either in any structure.
        tracks: (B, ..), cut over the mesh's axis ``data``; without a mesh all are here.
        weights: whole on every device.

    Returns:
        What ``run`` gives, of all tracks.
    """
    if mesh is None:
        return run(*tracks, *weights)

    def local(*arguments: jax.Array) -> tuple[Any, Any]:
        of_tracks, sums = run(*arguments)
        return of_tracks, lax.psum(sums, "data")

    cut = (P("data"),) * len(tracks) + (P(),) * len(weights)
    return jax.shard_map(local, mesh=mesh, in_specs=cut, out_specs=(P("data"), P()), check_vma=False)(*tracks, *weights)


def first_best(y: Sequence[jax.Array]) -> tuple[jax.Array, Callable[[jax.Array], list[jax.Array]]]:
    """The largest of some arrays, and what gives each its share of a gradient: of equal ones the first has it all."""
    if len(y) == 1:
        return y[0], lambda g: [g]
    (left, among_left), (right, among_right) = (first_best(half) for half in (y[: len(y) // 2], y[len(y) // 2 :]))
    first = left >= right

    def divide(g: jax.Array) -> list[jax.Array]:
        zero = jnp.zeros_like(g)
        return [*among_left(jnp.where(first, g, zero)), *among_right(jnp.where(first, zero, g))]

    return jnp.maximum(left, right), divide
