"""The first block by XLA alone, for a CPU: loops over all windows that hold a window's numbers in registers.

What is weighed and compared goes into no memory but the results, and channels fill a vector register. By products of
matrices, whose output is y after all, the pooled values of 8 channels take four times as long, and what the backward
pass wants three times.

See :class:`mgc_jax.models.first_block.Form` for what the functions are given and give.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.sharding import Mesh

from mgc_jax.models.first_block_kernels import over_batch
from mgc_jax.models.first_block_slots import taps
from mgc_jax.models.norm_relu_pool import Pool


def moments(x: jax.Array, pool: Pool, mesh: Mesh | None) -> tuple[jax.Array, jax.Array]:
    """Sums of the slots (A,) and of their products (A, A)."""
    del mesh  # XLA cuts this by itself
    slots = jnp.stack([slot.reshape(len(x), -1) for slot in _slots(x, pool)], 1)
    # One product for each track: a single one of 16 rows and columns leaves most of a machine idle.
    products = jnp.einsum("ban,ben->bae", slots, slots, precision=lax.Precision.HIGHEST).sum(0)
    return slots.sum((0, 2)), products


def pooled(
    x: jax.Array, w: jax.Array, a: jax.Array, b: jax.Array, pool: Pool, mesh: Mesh | None
) -> tuple[jax.Array, jax.Array]:
    """The pooled values, and for each the position that won, or K where the ReLU is shut: uint8."""
    del mesh
    slots, w = _slots(x, pool), w.astype(jnp.float32)
    best, *others = (sum(slots[slot][..., None] * w[k, slot] for slot in patch) for k, patch in enumerate(taps(pool)))
    position = jnp.zeros(best.shape, jnp.uint8)
    for k, y in enumerate(others, 1):
        position = jnp.where(y > best, jnp.uint8(k), position)
        best = jnp.maximum(y, best)
    z = best * a + b
    return jax.nn.relu(z).astype(x.dtype), jnp.where(z > 0, position, jnp.uint8(len(w)))


def winners(
    g: jax.Array,
    residual: jax.Array,
    x: jax.Array,
    w: jax.Array,
    a: jax.Array,
    b: jax.Array,
    pool: Pool,
    mesh: Mesh | None,
) -> tuple[jax.Array, jax.Array]:
    """Sums of g times the patches that won (9, C), and of g alone (C,)."""
    del a, b
    patches = taps(pool)

    def of_track(n: Any, g: jax.Array, position: jax.Array, x: jax.Array) -> jax.Array:
        """(10, C)"""
        g, position, x = (lax.dynamic_slice_in_dim(array, n, 1) for array in (g, position, x))
        slots, g = _slots(x, pool), jnp.where(position < len(w), g.astype(jnp.float32), 0.0)

        def won(tap: int) -> jax.Array:
            first, *others = (slots[slot][..., None] for slot in patches[:, tap])
            for k, other in enumerate(others, 1):
                first = jnp.where(position == k, other, first)
            return first

        terms = [*(g * won(tap) for tap in range(9)), g]
        # In one loop, which reads everything once; short sums first, which round less.
        sums = lax.reduce(terms, [jnp.float32(0.0)] * len(terms), _add, (2,))
        return jnp.stack([one.sum((0, 1)) for one in sums])

    def of_tracks(g: jax.Array, position: jax.Array, x: jax.Array) -> tuple[tuple[()], jax.Array]:
        # A loop is a border for the compiler, which else finds the positions again for each term.
        zero = jnp.zeros((10, w.shape[-1]))
        return (), lax.fori_loop(0, len(x), lambda n, total: total + of_track(n, g, position, x), zero)

    _, sums = over_batch(of_tracks, [g, residual, x], [], mesh)
    return sums[:9], sums[9]


def _add(these: Sequence[jax.Array], those: Sequence[jax.Array]) -> list[jax.Array]:
    return [this + that for this, that in zip(these, those, strict=True)]


def _slots(x: jax.Array, pool: Pool) -> list[jax.Array]:
    """A times (B, T // time, M // mel) of x (B, T, M), in float32, in which products of bfloat16 are exact."""
    time, mel = pool
    t, m = x.shape[1] // time, x.shape[2] // mel
    around = jnp.pad(x, ((0, 0), (1, 1), (1, 1))).astype(jnp.float32)
    return [
        around[:, i : i + (t - 1) * time + 1 : time, j : j + (m - 1) * mel + 1 : mel]
        for i in range(time + 2)
        for j in range(mel + 2)
    ]
