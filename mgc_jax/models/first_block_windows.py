"""The first block by XLA alone: windows of the spectrogram are gathered, and their positions weighed one by one.

See :class:`mgc_jax.models.first_block.Form` for what the functions are given and give.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import lax
from jax.sharding import Mesh

from mgc_jax.models.norm_relu_pool import Pool


def moments(x: jax.Array, pool: Pool, mesh: Mesh | None) -> tuple[jax.Array, jax.Array]:
    """Sums of the slots (A,) and of their products (A, A)."""
    del mesh  # XLA cuts this by itself
    slots = _slots(x, pool)
    # One product for each track: a single one of many rows and 16 columns leaves most of a machine idle.
    products = jnp.einsum("btma,btme->bae", slots, slots, precision=lax.Precision.HIGHEST).sum(0)
    return slots.sum((0, 1, 2)), products


def pooled(
    x: jax.Array, w: jax.Array, a: jax.Array, b: jax.Array, pool: Pool, mesh: Mesh | None
) -> tuple[jax.Array, jax.Array]:
    """The pooled values, and for each the position that won, or K where the ReLU is shut: uint8."""
    del mesh
    slots = _slots(x, pool)
    w = w.astype(jnp.float32)
    best = jnp.einsum("btma,ac->btmc", slots, w[0])
    position = jnp.zeros(best.shape, jnp.uint8)
    for k in range(1, len(w)):
        y = jnp.einsum("btma,ac->btmc", slots, w[k])
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
    """Sums of g times the slots, by the position that won (K, A, C), and of g alone (C,)."""
    del a, b, mesh
    slots, g = _slots(x, pool), g.astype(jnp.float32)
    by_position = [jnp.einsum("btma,btmc->bac", slots, jnp.where(residual == k, g, 0.0)).sum(0) for k in range(len(w))]
    return jnp.stack(by_position), jnp.where(residual < len(w), g, 0.0).sum((0, 1, 2))


def _slots(x: jax.Array, pool: Pool) -> jax.Array:
    """(B, T, M) -> (B, T // time, M // mel, A) float32, in which products of bfloat16 are exact."""
    time, mel = pool
    t, m = x.shape[1] // time, x.shape[2] // mel
    around = jnp.pad(x, ((0, 0), (1, 1), (1, 1))).astype(jnp.float32)
    taps = [
        around[:, i : i + (t - 1) * time + 1 : time, j : j + (m - 1) * mel + 1 : mel]
        for i in range(time + 2)
        for j in range(mel + 2)
    ]
    return jnp.stack(taps, -1)
