"""The numbers under and around a pooling window of the first block, its slots, and where patches lie in them.

Axis letters: K positions of a window, A slots of a window, C channels.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from mgc_jax.models.norm_relu_pool import Pool


def taps(pool: Pool) -> np.ndarray:
    """(K, 9): the slot under each tap of a position's patch, row by row."""
    time, mel = pool
    k, tap = np.arange(time * mel)[:, None], np.arange(9)
    return (k // mel + tap // 3) * (mel + 2) + k % mel + tap % 3


def spread(pool: Pool) -> np.ndarray:
    """(K, A, 9) float32: 1 where tap t of position k is slot a."""
    slots = np.arange((pool[0] + 2) * (pool[1] + 2))
    return (taps(pool)[:, None, :] == slots[:, None]).astype(np.float32)


def of_patches(by_position: jax.Array, pool: Pool) -> jax.Array:
    """Sums over slots by the position that won (K, A, C) as sums over that position's patch (9, C)."""
    return jnp.einsum("kat,kac->tc", spread(pool), by_position, precision=lax.Precision.HIGHEST)
