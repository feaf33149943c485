"""BatchNorm, ReLU and max-pooling as one operation that reads its input as few times as it can.

The audio encoder is bound by memory traffic, and these three are most of it. With A the bytes of the convolution's
output y, what the backward pass of the plain formulation moves (ReLU's output stored, select-and-scatter, two
reductions, both gradients of the convolution reading y and the scattered gradient) is about 9 A. Here the forward
pass keeps each window's winner and its position, which is A / 4 and A / 8; scale's and bias's gradients need no more
than those; dy is written once and both gradients of the convolution read it. Predicted 5.6 A; the compiler's count for
a TPU v5e, paper preset, 128 tracks a chip: 506 -> 320 MB a track. Twice the tracks a second of the plain one on a CPU.

Three optimisation barriers hold the compiler to that: those before the windows and before the backward pass keep it
from storing y in float32 for all its uses at once (484 MB), the one after dy from spreading the pooled values over
memory before the sum (393 MB).

Edges that fill no window have no winner but a gradient. A GPU computes dy in one pass over a dz that is padded with
zeros: joining dy from its parts moves all of it once more (H100, 64 tracks: 1.2 of 19.3 ms). A TPU's compiler joins
without moving, and would write dz.

Winners are found by a reduction on a TPU, elsewhere by comparing the places of all windows one after the other. A CPU's
compiler makes a scalar loop of the reduction, which took a fifth of the step of size ``demo``. A GPU's writes the
winners in float32 before it goes on with them; what is compared becomes one kernel with the pooled values (by the
compiler for an H100, whole step, features, 64 tracks: 282 -> 263 MB a track).

Axis letters: B batch, T frames, M mel bands, C channels; N = B T M.
"""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax import lax

Pool = tuple[int, int]


class NormReluPool(nnx.BatchNorm):
    """BatchNorm with float32 statistics, ReLU, MaxPool: (B, T, M, C) -> (B, T // time, M // mel, C).

    ``pool`` is (time, mel), with equal strides; edges that fill no window are dropped. Parameters and statistics are
    BatchNorm's.
    """

    def __init__(self, features: int, pool: Pool, **batch_norm: Any):
        super().__init__(features, **batch_norm)
        self.pool = pool

    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:  # type: ignore[override]
        """Normalise by the batch's statistics and take them into the running ones, or by the running ones alone."""
        if not train:
            return _windows(jax.nn.relu(super().__call__(x, use_running_average=True)), self.pool).max((2, 4))
        assert self.scale is not None
        assert self.bias is not None
        pooled, mean, variance = norm_relu_pool(x, self.scale[...], self.bias[...], self.pool, self.epsilon)
        self.take_in(mean, variance)
        return pooled

    def take_in(self, mean: jax.Array, variance: jax.Array) -> None:
        """A batch's statistics (C,) into the running ones."""
        for running, value in ((self.mean, mean), (self.var, variance)):
            running[...] = self.momentum * running[...] + (1 - self.momentum) * value


@functools.partial(jax.custom_vjp, nondiff_argnums=(3, 4))
def norm_relu_pool(
    y: jax.Array, scale: jax.Array, bias: jax.Array, pool: Pool, epsilon: float = 1e-5
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """``max_pool(relu(batch_norm(y)))`` with the batch's own statistics.

    Of equal values in a window the first one takes the gradient.

    Args:
        y: (B, T, M, C).
        scale, bias: (C,) float32.

    Returns:
        The pooled values (B, T // time, M // mel, C) in y's dtype; mean and biased variance (C,) of y in float32,
        which pass no gradient on.
    """
    return _forward(y, scale, bias, pool, epsilon)[0]


def _forward(y: jax.Array, scale: jax.Array, bias: jax.Array, pool: Pool, epsilon: float) -> tuple[Any, Any]:
    y32 = y.astype(jnp.float32)
    mean = y32.mean((0, 1, 2))
    variance = jnp.maximum((y32 * y32).mean((0, 1, 2)) - mean * mean, 0.0)
    inverse = lax.rsqrt(variance + epsilon)
    # Under a negative scale the lowest y wins.
    sign = jnp.where(scale < 0, -1, 1).astype(y.dtype)
    by_place = functools.partial(_best_by_place, pool=pool)
    best, position = lax.platform_dependent(
        lax.optimization_barrier(y),
        sign,
        cpu=by_place,
        cuda=by_place,
        rocm=by_place,
        default=functools.partial(_best_of_windows, pool=pool),
    )
    winner = best * sign
    pooled = jax.nn.relu((winner.astype(jnp.float32) - mean) * (inverse * scale) + bias).astype(y.dtype)
    return (pooled, mean, variance), (y, winner, position, mean, inverse, scale, bias)


def _backward(pool: Pool, epsilon: float, residuals: Any, gradients: Any) -> tuple[jax.Array, jax.Array, jax.Array]:
    """With x = (y - mean) / deviation: dy = scale / deviation (dz - sum(dz) / N - x sum(dz x) / N)."""
    y, winner, position, mean, inverse, scale, bias = residuals
    y = lax.optimization_barrier(y)
    batch, frames, mels, channels = y.shape
    size = float(batch * frames * mels)  # beyond int32 on a pod

    at_winner = (winner.astype(jnp.float32) - mean) * inverse
    gradient = jnp.where(at_winner * scale + bias > 0, gradients[0].astype(jnp.float32), 0.0)
    d_bias = gradient.sum((0, 1, 2))
    d_scale = (gradient * at_winner).sum((0, 1, 2))

    def d_y(y: jax.Array, dz: jax.Array) -> jax.Array:
        x = (y.astype(jnp.float32) - mean) * inverse
        return ((inverse * scale) * (dz.astype(jnp.float32) - d_bias / size - x * (d_scale / size))).astype(y.dtype)

    t, m = frames // pool[0] * pool[0], mels // pool[1] * pool[1]
    dz = jnp.where(_positions(pool) == _over_windows(position), _over_windows(gradient.astype(y.dtype)), 0)

    def joined(y: jax.Array, dz: jax.Array) -> jax.Array:
        dy = lax.optimization_barrier(d_y(_windows(y, pool), dz)).reshape(batch, t, m, channels)
        if m < mels:
            dy = jnp.concatenate([dy, d_y(y[:, :t, m:], jnp.float32(0.0))], axis=2)
        if t < frames:
            dy = jnp.concatenate([dy, d_y(y[:, t:], jnp.float32(0.0))], axis=1)
        return dy

    def padded(y: jax.Array, dz: jax.Array) -> jax.Array:
        dz = jnp.pad(dz.reshape(batch, t, m, channels), ((0, 0), (0, frames - t), (0, mels - m), (0, 0)))
        return lax.optimization_barrier(d_y(y, dz))

    return lax.platform_dependent(y, dz, cuda=padded, rocm=padded, default=joined), d_scale, d_bias


norm_relu_pool.defvjp(_forward, _backward)


def _windows(x: jax.Array, pool: Pool) -> jax.Array:
    """(B, T, M, C) -> (B, T // time, time, M // mel, mel, C)."""
    batch, frames, mels, channels = x.shape
    t, m = frames // pool[0], mels // pool[1]
    return x[:, : t * pool[0], : m * pool[1]].reshape(batch, t, pool[0], m, pool[1], channels)


def _over_windows(x: jax.Array) -> jax.Array:
    """Pooled values, to be spread over their windows."""
    return x[:, :, None, :, None, :]


def _positions(pool: Pool) -> jax.Array:
    """Number the positions of a window, row by row: (1, 1, time, 1, mel, 1) uint8."""
    return jnp.arange(pool[0] * pool[1], dtype=jnp.uint8).reshape(1, 1, pool[0], 1, pool[1], 1)


def _best_of_windows(y: jax.Array, sign: jax.Array, pool: Pool) -> tuple[jax.Array, jax.Array]:
    """The largest ``sign * y`` of each window, and the first position that has it: uint8."""
    windows = _windows(y, pool) * sign
    outside = (jnp.array(-jnp.inf, y.dtype), jnp.array(pool[0] * pool[1], jnp.uint8))
    return lax.reduce((windows, jnp.broadcast_to(_positions(pool), windows.shape)), outside, _first_best, (2, 4))


def _best_by_place(y: jax.Array, sign: jax.Array, pool: Pool) -> tuple[jax.Array, jax.Array]:
    """The same, one position of all windows after the other."""
    t, m = (size // step * step for size, step in zip(y.shape[1:3], pool, strict=True))
    best, *others = (sign * y[:, i : t : pool[0], j : m : pool[1]] for i in range(pool[0]) for j in range(pool[1]))
    position = jnp.zeros(best.shape, jnp.uint8)
    for k, other in enumerate(others, 1):
        position = jnp.where(other > best, jnp.uint8(k), position)
        best = jnp.maximum(best, other)
    return best, position


def _first_best(a: tuple[jax.Array, jax.Array], b: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
    (x, i), (y, j) = a, b
    take = (x > y) | ((x == y) & (i < j))
    return jnp.where(take, x, y), jnp.where(take, i, j)
