"""The first block by three Pallas kernels for a TPU, in Mosaic's language.

The tracks of a batch lie side by side in a register and its channels one below the other, as a TPU's compiler lays out
activations of few channels: what leaves a kernel and what comes in is not rearranged. XLA gathers the slots of all
windows, 16 numbers a window where y has 4 C of them. A program of a kernel goes through a tile of windows, with one
product of the matrix unit for each; sums stay in the core's memory from tile to tile.

A register is ``LANES`` tracks wide: with fewer on a device the rest of it is idle, and memory is moved in vain. See
:class:`mgc_jax.models.first_block.Form` for what the functions are given and give.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.experimental import pallas as pl
from jax.experimental.pallas import tpu
from jax.sharding import Mesh

from mgc_jax.models.first_block_kernels import first_best, over_batch
from mgc_jax.models.first_block_slots import of_patches
from mgc_jax.models.norm_relu_pool import Pool

INTERPRET = False
"""Whether kernels are interpreted: for tests on machines without a TPU."""

LANES = 128
"""Tracks that a program sees at once."""

TILE = 64
"""Windows that a program goes through: 1 MiB of pooled values of 64 channels in bfloat16."""

_ROWS = 16
"""Slots are filled up to a multiple of it, the rows of a register in bfloat16."""


def moments(x: jax.Array, pool: Pool, mesh: Mesh | None) -> tuple[jax.Array, jax.Array]:
    """Sums of the slots (A,) and of their products (A, A)."""
    size = (pool[0] + 2) * (pool[1] + 2)

    def run(x: jax.Array) -> tuple[Any, Any]:
        slots = _slots(x, pool)
        filled, lanes = slots.shape[1], _lanes(slots)
        out = _sums(slots, (filled, filled), (filled, lanes))
        products, alone = _call(_moments_kernel, [slots], [], out, summed=True)
        return (), (alone.sum((0, 2)), products.sum(0))

    _, (sums, products) = over_batch(run, [x], [], mesh)
    return sums[:size], products[:size, :size]


def _moments_kernel(slots_ref: Any, products_ref: Any, alone_ref: Any, *, windows: int) -> None:
    _start_sums(products_ref, alone_ref)

    def add(n: Any, nothing: None) -> None:
        slots = slots_ref[n]
        products_ref[...] += _dot(slots, slots, 1)
        alone_ref[...] += slots.astype(jnp.float32)

    lax.fori_loop(0, _windows_of_tile(windows), add, None)


def pooled(
    x: jax.Array, w: jax.Array, a: jax.Array, b: jax.Array, pool: Pool, mesh: Mesh | None
) -> tuple[jax.Array, None]:
    """The pooled values; winners are found once more when they are wanted, which costs less than to keep them."""
    frames, mels, channels = x.shape[1] // pool[0], x.shape[2] // pool[1], w.shape[-1]

    def run(x: jax.Array, *weights: jax.Array) -> tuple[Any, Any]:
        slots = _slots(x, pool)
        out = jax.ShapeDtypeStruct((len(slots), channels, slots.shape[2]), x.dtype)
        (z,) = _call(_pooled_kernel, [slots], weights, [out])
        return z.reshape(frames, mels, channels, -1)[..., : len(x)].transpose(3, 0, 1, 2), ()

    return over_batch(run, [x], _weights(w, a, b), mesh)[0], None


def _pooled_kernel(slots_ref: Any, w_ref: Any, a_ref: Any, b_ref: Any, out_ref: Any, *, windows: int) -> None:
    w, a, b = w_ref[...], a_ref[...], b_ref[...]

    def write(n: Any, nothing: None) -> None:
        y = _by_position(_dot(w, slots_ref[n]), len(a))
        z = functools.reduce(jnp.maximum, y) * a + b
        # Of what is not a number a maximum with 0 may make 0.
        out_ref[n] = jnp.where(z < 0, 0.0, z).astype(out_ref.dtype)

    lax.fori_loop(0, _windows_of_tile(windows), write, None)


def winners(
    g: jax.Array,
    residual: None,
    x: jax.Array,
    w: jax.Array,
    a: jax.Array,
    b: jax.Array,
    pool: Pool,
    mesh: Mesh | None,
) -> tuple[jax.Array, jax.Array]:
    """Sums of g times the patches that won (9, C), and of g alone (C,)."""
    positions, size, channels = w.shape

    def run(x: jax.Array, g: jax.Array, *weights: jax.Array) -> tuple[Any, Any]:
        slots = _slots(x, pool)
        g = g.transpose(1, 2, 3, 0).reshape(len(slots), channels, -1)
        g = _filled_up(g, 2, slots.shape[2])
        out = _sums(slots, weights[0].shape, (channels, _lanes(slots)))
        by_position, alone = _call(_winners_kernel, [slots, g], weights, out, summed=True)
        return (), (by_position.sum(0), alone.sum((0, 2)))

    _, (by_position, alone) = over_batch(run, [x, g], _weights(w, a, b), mesh)
    by_position = by_position.reshape(positions, channels, -1)[..., :size].swapaxes(1, 2)
    return of_patches(by_position, pool), alone


def _winners_kernel(
    slots_ref: Any, g_ref: Any, w_ref: Any, a_ref: Any, b_ref: Any, sums_ref: Any, alone_ref: Any, *, windows: int
) -> None:
    w, a, b = w_ref[...], a_ref[...], b_ref[...]
    _start_sums(sums_ref, alone_ref)

    def add(n: Any, nothing: None) -> None:
        slots = slots_ref[n]
        best, divide = first_best(_by_position(_dot(w, slots), len(a)))
        g = jnp.where(best * a + b > 0, g_ref[n].astype(jnp.float32), 0.0)
        alone_ref[...] += g
        sums_ref[...] += _dot(jnp.concatenate(divide(g)).astype(slots.dtype), slots, 1)

    lax.fori_loop(0, _windows_of_tile(windows), add, None)


def _call(
    kernel: Callable[..., None],
    tiles: Sequence[jax.Array],
    weights: Sequence[jax.Array],
    out: Sequence[jax.ShapeDtypeStruct],
    *,
    summed: bool = False,
) -> Any:
    """A program for each tile of windows of each ``LANES`` tracks: it sees these of ``tiles``, and all of ``weights``.

    Of ``out`` it sees its tile too; or, ``summed``, what all tiles of its tracks add to.
    """
    windows, slots, batch = tiles[0].shape

    def of_tile(x: Any) -> pl.BlockSpec:
        return pl.BlockSpec((TILE, x.shape[1], _lanes(x)), lambda tracks, tile: (tile, 0, tracks))

    def of_tracks(x: Any) -> pl.BlockSpec:
        return pl.BlockSpec((None, *x.shape[1:]), lambda tracks, tile: (tracks, 0, 0))

    rows = weights[0].shape[0] if weights else slots
    products = len(tiles) if weights else 1
    moved: list[Any] = [*tiles, *weights, *out]
    return pl.pallas_call(
        functools.partial(kernel, windows=windows),
        grid=(pl.cdiv(batch, LANES), pl.cdiv(windows, TILE)),
        in_specs=[
            *map(of_tile, tiles),
            *(pl.BlockSpec(x.shape, lambda tracks, tile: (0, 0)) for x in weights),
        ],
        out_specs=[of_tracks(x) if summed else of_tile(x) for x in out],
        out_shape=out,
        interpret=INTERPRET,
        # XLA cannot see what a kernel does; without this its own count says next to nothing.
        cost_estimate=pl.CostEstimate(
            flops=2 * products * windows * rows * slots * batch,
            bytes_accessed=sum(math.prod(x.shape) * x.dtype.itemsize for x in moved),
            transcendentals=0,
        ),
        compiler_params=tpu.CompilerParams(dimension_semantics=("parallel", "arbitrary")),
    )(*tiles, *weights)


def _windows_of_tile(windows: int) -> Any:
    """How many of the tile's windows there are: the last tile may be short of some."""
    return jnp.minimum(TILE, windows - pl.program_id(1) * TILE)


def _start_sums(*refs: Any) -> None:
    @pl.when(pl.program_id(1) == 0)
    def _() -> None:
        for ref in refs:
            ref[...] = jnp.zeros_like(ref)


def _dot(x: jax.Array, y: jax.Array, axis: int = 0) -> jax.Array:
    """The product over x's columns and y's ``axis``, in float32."""
    precision = lax.Precision.HIGHEST if x.dtype == jnp.float32 else None
    numbers = (((1,), (axis,)), ((), ()))
    return lax.dot_general(x, y, numbers, precision=precision, preferred_element_type=jnp.float32)


def _by_position(y: jax.Array, channels: int) -> list[jax.Array]:
    """(K * C, lanes) -> K of (C, lanes)."""
    return [y[k : k + channels] for k in range(0, len(y), channels)]


def _slots(x: jax.Array, pool: Pool) -> jax.Array:
    """(B, T, M) -> (windows, A, B) in x's dtype; slots and tracks are filled up with zeros, which add nothing."""
    time, mel = pool
    t, m = x.shape[1] // time, x.shape[2] // mel
    x = x.transpose(1, 2, 0)
    if x.shape[2] > LANES:
        x = _filled_up(x, 2, pl.cdiv(x.shape[2], LANES) * LANES)
    around = jnp.pad(x, ((1, 1), (1, 1), (0, 0)))
    taps = [
        around[i : i + (t - 1) * time + 1 : time, j : j + (m - 1) * mel + 1 : mel]
        for i in range(time + 2)
        for j in range(mel + 2)
    ]
    return _filled_up(jnp.stack(taps, 2).reshape(t * m, len(taps), -1), 1, pl.cdiv(len(taps), _ROWS) * _ROWS)


def _weights(w: jax.Array, a: jax.Array, b: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """(K, A, C), (C,), (C,) -> (K * C, A filled up), (C, 1), (C, 1)."""
    positions, size, channels = w.shape
    w = w.swapaxes(1, 2).reshape(positions * channels, size)
    return _filled_up(w, 1, pl.cdiv(size, _ROWS) * _ROWS), a[:, None], b[:, None]


def _sums(slots: jax.Array, *shapes: tuple[int, ...]) -> list[jax.ShapeDtypeStruct]:
    """Results that each ``LANES`` tracks have for themselves."""
    return [jax.ShapeDtypeStruct((pl.cdiv(slots.shape[2], LANES), *shape), jnp.float32) for shape in shapes]


def _lanes(x: Any) -> int:
    """The tracks of x, as wide as a program sees them."""
    return min(LANES, x.shape[2])


def _filled_up(x: jax.Array, axis: int, size: int) -> jax.Array:
    return jnp.pad(x, [(0, size - x.shape[i] if i == axis else 0) for i in range(x.ndim)])
