"""Scaled dot-product attention, by XLA or by cuDNN.

Axis letters: B batch, Q queries, K keys, N heads, C channels of a head.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

KERNELS = ("xla", "cudnn")


def attention(q: jax.Array, k: jax.Array, v: jax.Array, mask: jax.Array | None, kernel: str = "xla") -> jax.Array:
    """softmax(q k^T / sqrt(C)) v: q (B, Q, N, C), k and v (B, K, N, C), mask (B, K) bool -> (B, Q, N, C).

    Without a mask all keys are attended to. The softmax is taken in float32 whatever the dtype. ``cudnn`` never writes
    the scores (B, N, Q, K) to memory; it wants bfloat16 and an NVIDIA GPU, and in each row of ``mask`` the true
    positions first, of which it counts at least one. Where Q or K is odd it has no gradient, and XLA does its work.
    """
    if kernel == "cudnn" and q.shape[1] % 2 == k.shape[1] % 2 == 0:
        lengths = None if mask is None else mask.sum(-1, dtype=jnp.int32)
        return jax.nn.dot_product_attention(q, k, v, key_value_seq_lengths=lengths, implementation="cudnn")
    return jax.nn.dot_product_attention(q, k, v, mask=None if mask is None else mask[:, None, None, :])
