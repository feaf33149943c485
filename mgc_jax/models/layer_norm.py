"""Layer normalisation whose backward pass reads its input twice instead of four times.

With m and r the mean and the inverse deviation of a row, x^ = (x - m) r, and g = dy scale:

    y = x^ scale + bias,    dx = r (g - mean(g) - x^ mean(g x^)),    dscale = sum(dy x^),    dbias = sum(dy)

What automatic differentiation makes of the formula for y sends three gradients through x, each rounded to its dtype,
and XLA for a GPU stores what they share in float32. Here the backward pass has m and r from the forward pass, and two
optimisation barriers hold the compiler to two passes over x and dy: one for the two means, one for the gradients.
By the compiler for an H100, three layers of bert-base trained, 64 x 512 tokens: 202 -> 166 MB a track for all but
products.

Axis letters: C channels, over which the mean is taken.
"""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax import lax
from jax.typing import DTypeLike


class LayerNorm(nnx.LayerNorm):
    """Flax's, with scale and bias: (.., C) -> (.., C) in ``dtype``, computed in float32."""

    def __call__(self, x: jax.Array) -> jax.Array:  # type: ignore[override]
        assert self.scale is not None
        assert self.bias is not None
        dtype = self.dtype or jnp.result_type(x, self.scale[...], self.bias[...])
        return layer_norm(x, self.scale[...], self.bias[...], self.epsilon, dtype)


@functools.partial(jax.custom_vjp, nondiff_argnums=(3, 4))
def layer_norm(x: jax.Array, scale: jax.Array, bias: jax.Array, epsilon: float, dtype: DTypeLike) -> jax.Array:
    """Rows of ``x`` (.., C) with mean 0 and variance 1, times ``scale`` (C,) plus ``bias`` (C,).

    The variance is the mean of squared distances from the mean, ``epsilon`` is added to it.
    """
    return _forward(x, scale, bias, epsilon, dtype)[0]


def _forward(
    x: jax.Array, scale: jax.Array, bias: jax.Array, epsilon: float, dtype: DTypeLike
) -> tuple[jax.Array, tuple[Any, ...]]:
    wide = x.astype(jnp.float32)
    mean = wide.mean(-1, keepdims=True)
    inverse = lax.rsqrt(jnp.square(wide - mean).mean(-1, keepdims=True) + epsilon)
    y = (wide - mean) * (inverse * scale) + bias
    return y.astype(dtype), (x, mean, inverse, scale, bias)


def _backward(
    epsilon: float, dtype: DTypeLike, residuals: tuple[Any, ...], dy: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array]:
    x, mean, inverse, scale, bias = residuals
    mean, inverse = lax.optimization_barrier((mean, inverse))
    dy = dy.astype(jnp.float32)
    normal = (x.astype(jnp.float32) - mean) * inverse
    g = dy * scale
    means = lax.optimization_barrier((g.mean(-1, keepdims=True), (g * normal).mean(-1, keepdims=True)))
    dx = inverse * (g - means[0] - normal * means[1])
    rows = tuple(range(x.ndim - 1))
    return dx.astype(x.dtype), (dy * normal).sum(rows).astype(scale.dtype), dy.sum(rows).astype(bias.dtype)


layer_norm.defvjp(_forward, _backward)
