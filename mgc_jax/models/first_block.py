"""The first convolutional block of the audio encoder, without ever writing its convolution's output.

Its input has one channel, so the convolution is a linear map y_c = w_c . p of the 3x3 patches p of the spectrogram.
With mu = E[p] and S = Cov[p] over all positions of the batch, 9 and 9 x 9 numbers, BatchNorm's statistics are

    mean_c = w_c . mu,    variance_c = w_c' S w_c;

what is pooled of a window is its largest y, or its smallest under a negative scale, and with g the gradient of the
pooled values (0 where the ReLU was shut) and p* the patch of a window's winner, D_c = sum g_c p*, the gradients are

    d bias_c  = sum g_c,
    d scale_c = (w_c . D_c - mean_c d bias_c) / deviation_c,
    d w_c     = scale_c / deviation_c (D_c - d bias_c mu - d scale_c / deviation_c S w_c).

So a *form* of the block needs three operations that read the spectrogram and never hold y: the moments of patches,
the pooled values, and D with the sum of g. ``docs/first-block.md`` derives this. In a :class:`Form` they work on
windows: of pool (2, 2) the 4 patches of a window lie in the 4 x 4 numbers under and around it, its A *slots*, row by
row.

Axis letters: B batch, T frames, M mel bands, C channels, K positions of a window (time * mel), A slots of a window
((time + 2) (mel + 2)).
"""

from __future__ import annotations

import functools
from typing import Any, Protocol

import jax
import jax.numpy as jnp
from jax import lax
from jax.sharding import Mesh

from mgc_jax.models import first_block_windows
from mgc_jax.models.first_block_slots import spread
from mgc_jax.models.norm_relu_pool import Pool, norm_relu_pool

FORMS = ("convolution", "windows", "triton", "mosaic")
"""``convolution`` is that of any other block, which does write y."""

_einsum = functools.partial(jnp.einsum, precision=lax.Precision.HIGHEST)


class Form(Protocol):
    """A module that works on whole windows; what lies beyond them at the edges is not its business.

    The tracks may be cut over the axis ``data`` of a ``mesh``.
    """

    def moments(self, x: jax.Array, pool: Pool, mesh: Mesh | None) -> tuple[jax.Array, jax.Array]:
        """(B, T, M) -> float32 sums over all windows of the slots (A,) and of their products (A, A)."""

    def pooled(
        self, x: jax.Array, w: jax.Array, a: jax.Array, b: jax.Array, pool: Pool, mesh: Mesh | None
    ) -> tuple[jax.Array, Any]:
        """``relu(a max_k w_k . slots + b)`` (B, T // time, M // mel, C), and whatever :meth:`winners` may want of it.

        Args:
            x: (B, T, M).
            w: (K, A, C) in x's dtype.
            a: (C,) float32, not negative.
            b: (C,) float32.
        """

    def winners(
        self,
        g: jax.Array,
        residual: Any,
        x: jax.Array,
        w: jax.Array,
        a: jax.Array,
        b: jax.Array,
        pool: Pool,
        mesh: Mesh | None,
    ) -> tuple[jax.Array, jax.Array]:
        """float32 sums over all windows of g times the patch that won (9, C), and of g alone (C,).

        ``g`` is the gradient of the pooled values; it counts as 0 where they are 0. Of equal positions the first wins.
        """


def patch_moments(x: jax.Array, pool: Pool, form: Form, mesh: Mesh | None = None) -> tuple[jax.Array, jax.Array]:
    """mu (9,) and S (9, 9) of the patches at all positions of x (B, T, M), in float32; outside of x all is 0."""
    _, frames, mels = x.shape
    t, m = frames // pool[0] * pool[0], mels // pool[1] * pool[1]
    one_hot = spread(pool)
    sums, products = form.moments(x, pool, mesh)
    first = _einsum("kat,a->t", one_hot, sums)
    second = _einsum("kat,ab,kbu->tu", one_hot, products, one_hot)
    around = jnp.pad(x, ((0, 0), (1, 1), (1, 1))).astype(jnp.float32)
    for edge in (around[:, t:], around[:, : t + 2, m:]):
        height, width = edge.shape[1] - 2, edge.shape[2] - 2
        if height and width:
            taps = [edge[:, i : i + height, j : j + width] for i in range(3) for j in range(3)]
            patches = jnp.stack(taps, -1)
            first += patches.sum((0, 1, 2))
            second += _einsum("nijt,niju->tu", patches, patches)
    size = float(x.size)  # beyond int32 on a pod
    mu = first / size
    return mu, second / size - jnp.outer(mu, mu)


@functools.partial(jax.custom_vjp, nondiff_argnums=(4, 5, 6, 7))
def first_block(
    x: jax.Array,
    kernel: jax.Array,
    scale: jax.Array,
    bias: jax.Array,
    pool: Pool,
    epsilon: float,
    form: str,
    mesh: Mesh | None = None,
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """``max_pool(relu(batch_norm(conv(x))))`` with the batch's own statistics, y = conv(x) never being written.

    Args:
        x: (B, T, M).
        kernel: (3, 3, 1, C), of a convolution with as many outputs as inputs; taken in x's dtype.
        scale, bias: (C,) float32.
        form: one of ``FORMS`` but ``convolution``.
        mesh: over whose axis ``data`` the tracks are cut, if they are.

    Returns:
        The pooled values (B, T // time, M // mel, C) in x's dtype; mean and biased variance (C,) of y in float32,
        which pass no gradient on.
    """
    return _forward(x, kernel, scale, bias, pool, epsilon, form, mesh)[0]


def _forward(
    x: jax.Array,
    kernel: jax.Array,
    scale: jax.Array,
    bias: jax.Array,
    pool: Pool,
    epsilon: float,
    form: str,
    mesh: Mesh | None = None,
) -> tuple[Any, Any]:
    w = kernel.reshape(9, -1).astype(x.dtype).astype(jnp.float32)
    mu, covariance = patch_moments(x, pool, _form(form), mesh)
    mean = _einsum("tc,t->c", w, mu)
    variance = jnp.maximum(_einsum("tc,tu,uc->c", w, covariance, w), 0.0)
    inverse = lax.rsqrt(variance + epsilon)
    windows = _windows(w, scale, inverse, bias, mean, x.dtype, pool)
    pooled, residual = _form(form).pooled(x, *windows, pool, mesh)
    return (pooled, mean, variance), (x, kernel, scale, bias, mu, covariance, mean, inverse, residual)


def _backward(
    pool: Pool, epsilon: float, form: str, mesh: Mesh | None, residuals: Any, gradients: Any
) -> tuple[jax.Array, ...]:
    x, kernel, scale, bias, mu, covariance, mean, inverse, residual = residuals
    w = kernel.reshape(9, -1).astype(x.dtype).astype(jnp.float32)
    windows = _windows(w, scale, inverse, bias, mean, x.dtype, pool)
    direct, d_bias = _form(form).winners(gradients[0], residual, x, *windows, pool, mesh)
    d_scale = inverse * (_einsum("tc,tc->c", w, direct) - mean * d_bias)
    through_mean = jnp.outer(mu, d_bias)
    through_variance = _einsum("tu,uc->tc", covariance, w) * (d_scale * inverse)
    d_w = scale * inverse * (direct - through_mean - through_variance)
    # No training asks for the spectrogram's gradient: the compiler drops this.
    (d_x,) = jax.vjp(lambda x: written(x, kernel, scale, bias, pool, epsilon)[0], x)[1](gradients[0])
    return d_x, d_w.reshape(kernel.shape).astype(kernel.dtype), d_scale, d_bias


first_block.defvjp(_forward, _backward)


@functools.partial(jax.custom_vjp, nondiff_argnums=(6, 7, 8, 9))
def first_block_by(
    x: jax.Array,
    kernel: jax.Array,
    scale: jax.Array,
    bias: jax.Array,
    mean: jax.Array,
    variance: jax.Array,
    pool: Pool,
    epsilon: float,
    form: str,
    mesh: Mesh | None = None,
) -> jax.Array:
    """The pooled values of :func:`first_block`, normalised by a given ``mean`` and ``variance`` (C,)."""
    w = kernel.reshape(9, -1).astype(x.dtype).astype(jnp.float32)
    windows = _windows(w, scale, lax.rsqrt(variance + epsilon), bias, mean, x.dtype, pool)
    return _form(form).pooled(x, *windows, pool, mesh)[0]


def _forward_by(*given: Any) -> tuple[jax.Array, Any]:
    return first_block_by(*given), given[:6]


def _backward_by(
    pool: Pool, epsilon: float, form: str, mesh: Mesh | None, given: Any, gradient: jax.Array
) -> tuple[jax.Array, ...]:
    return jax.vjp(functools.partial(written_by, pool=pool, epsilon=epsilon), *given)[1](gradient)


first_block_by.defvjp(_forward_by, _backward_by)


def convolution(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """y (B, T, M, C) of x (B, T, M)."""
    numbers = ("NHWC", "HWIO", "NHWC")
    return lax.conv_general_dilated(x[..., None], kernel.astype(x.dtype), (1, 1), "SAME", dimension_numbers=numbers)


def written(
    x: jax.Array, kernel: jax.Array, scale: jax.Array, bias: jax.Array, pool: Pool, epsilon: float
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """:func:`first_block` in the plain way, y and all: what the other forms are held to."""
    return norm_relu_pool(convolution(x, kernel), scale, bias, pool, epsilon)


def written_by(
    x: jax.Array,
    kernel: jax.Array,
    scale: jax.Array,
    bias: jax.Array,
    mean: jax.Array,
    variance: jax.Array,
    pool: Pool,
    epsilon: float,
) -> jax.Array:
    """:func:`first_block_by` in the plain way."""
    y = convolution(x, kernel).astype(jnp.float32)
    z = jax.nn.relu((y - mean) * (lax.rsqrt(variance + epsilon) * scale) + bias).astype(x.dtype)
    window = (1, *pool, 1)
    return lax.reduce_window(z, -jnp.inf, lax.max, window, window, "VALID")


def _windows(
    w: jax.Array, scale: jax.Array, inverse: jax.Array, bias: jax.Array, mean: jax.Array, dtype: Any, pool: Pool
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """What :meth:`Form.pooled` takes: the sign of a scale goes into the weights, so that the largest always wins."""
    signed = jnp.where(scale < 0, -w, w)
    a = inverse * scale
    return _einsum("kat,tc->kac", spread(pool), signed).astype(dtype), jnp.abs(a), bias - mean * a


def _form(name: str) -> Form:
    if name == "windows":
        return first_block_windows
    # When used: a machine's jax may not have the other language.
    if name == "triton":
        from mgc_jax.models import first_block_triton

        return first_block_triton
    from mgc_jax.models import first_block_mosaic

    return first_block_mosaic
