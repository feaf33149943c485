"""The first block by three Pallas kernels for a GPU, in Triton's language.

A program of a kernel goes through some windows of one track, a tile at a time. It reads their slots straight from the
spectrogram, whose rows stay in the first cache meanwhile. Channels run down a tile and windows across: so the gradient
at the winners is, as it lies in the registers, the left side of the product that D is summed by. Sums leave a kernel
as one part for each program and are added up outside.

Triton wants powers of two: slots and channels are filled up, with weights of zero. See
:class:`mgc_jax.models.first_block.Form` for what the functions are given and give.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.experimental import pallas as pl
from jax.experimental.pallas import triton
from jax.sharding import Mesh

from mgc_jax.models.first_block_kernels import first_best, over_batch
from mgc_jax.models.first_block_slots import of_patches
from mgc_jax.models.norm_relu_pool import Pool

INTERPRET = False
"""Whether kernels are interpreted: for tests on machines without a GPU."""


@dataclasses.dataclass(frozen=True)
class Tiling:
    """``windows`` a tile, ``warps`` of 32 threads a program, at most ``parts`` programs a track."""

    windows: int
    warps: int
    parts: int
    stages: int = 2

    def holding(self, sums: int) -> Tiling:
        """With so many warps that a thread has at most 64 of a program's ``sums`` in its registers, if 8 are enough."""
        warps = self.warps
        while warps < 8 and sums > 64 * 32 * warps:
            warps *= 2
        return dataclasses.replace(self, warps=warps)


MOMENTS, POOLED, WINNERS = Tiling(64, 1, 32), Tiling(64, 4, 16, 3), Tiling(16, 2, 16)
"""Of each kernel the fastest of 7, 11 and 14 on an H200, in bfloat16 with 64 channels: .08, .16 and .39 ms."""


@dataclasses.dataclass(frozen=True)
class Work:
    """The windows of one track, shared out over a kernel's programs."""

    pool: Pool
    frames: int  # T // time
    mels: int  # M // mel
    tiling: Tiling

    @property
    def windows(self) -> int:
        """Of the whole track."""
        return self.frames * self.mels

    @property
    def tiles(self) -> int:
        """Of the whole track; the last one may be short of windows."""
        return math.ceil(self.windows / self.tiling.windows)

    @property
    def share(self) -> int:
        """The tiles of each program, but for the last one."""
        return math.ceil(self.tiles / self.tiling.parts)

    @property
    def parts(self) -> int:
        """The programs of the track."""
        return math.ceil(self.tiles / self.share)

    @property
    def slots(self) -> int:
        """A, filled up."""
        return _filled_up((self.pool[0] + 2) * (self.pool[1] + 2))

    def loop(self, body: Callable[[Any, Any], Any], start: Any) -> Any:
        """``body(tile, carry)`` for all tiles of this program."""
        first = pl.program_id(1) * self.share
        return lax.fori_loop(first, jnp.minimum(first + self.share, self.tiles), body, start)

    def tile(self, number: Any) -> tuple[jax.Array, jax.Array | None]:
        """The windows of a tile, and which of them there are, or None for all; one too many repeats the last."""
        window = number * self.tiling.windows + jnp.arange(self.tiling.windows)
        if self.windows % self.tiling.windows == 0:
            return window, None
        return jnp.minimum(window, self.windows - 1), window < self.windows

    def read(self, x_ref: Any, window: jax.Array) -> jax.Array:
        """(A, windows) from a track with its border; slots too many repeat others."""
        time, mel = self.pool
        slot = jnp.arange(self.slots)
        row = jnp.minimum(lax.div(slot, mel + 2), time + 1)[:, None] + (lax.div(window, self.mels) * time)[None]
        column = lax.rem(slot, mel + 2)[:, None] + (lax.rem(window, self.mels) * mel)[None]
        return x_ref[row, column]


def moments(x: jax.Array, pool: Pool, mesh: Mesh | None) -> tuple[jax.Array, jax.Array]:
    """Sums of the slots (A,) and of their products (A, A)."""
    work, slots = _work(x, pool, MOMENTS), (pool[0] + 2) * (pool[1] + 2)

    def run(x: jax.Array) -> tuple[Any, Any]:
        sums, products = _call(_moments_kernel, work, [x], (), _parts(x, work, (work.slots,), (work.slots, work.slots)))
        return (), (sums.sum((0, 1)), products.sum((0, 1)))

    _, (sums, products) = over_batch(run, [_bordered(x)], [], mesh)
    return sums[:slots], products[:slots, :slots]


def _moments_kernel(x_ref: Any, sums_ref: Any, products_ref: Any, *, work: Work) -> None:
    def add(number: Any, so_far: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        window, there = work.tile(number)
        slots = work.read(x_ref, window)
        if there is not None:
            slots = jnp.where(there[None], slots, jnp.zeros_like(slots))
        products = triton.dot(slots, slots, trans_b=True, precision=lax.Precision.HIGHEST)
        return so_far[0] + slots.astype(jnp.float32).sum(1), so_far[1] + products

    zeros = jnp.zeros(work.slots), jnp.zeros((work.slots, work.slots))
    sums_ref[...], products_ref[...] = work.loop(add, zeros)


def pooled(
    x: jax.Array, w: jax.Array, a: jax.Array, b: jax.Array, pool: Pool, mesh: Mesh | None
) -> tuple[jax.Array, None]:
    """The pooled values; winners are found once more when they are wanted, which costs less than to keep them."""
    work, channels = _work(x, pool, POOLED), w.shape[-1]

    def run(x: jax.Array, *weights: jax.Array) -> tuple[Any, Any]:
        out = jax.ShapeDtypeStruct((len(x), work.windows, channels), x.dtype)
        return _call(_pooled_kernel, work, [x], weights, [out], 1)[0], ()

    out, _ = over_batch(run, [_bordered(x)], _weights(w, a, b), mesh)
    return out.reshape(len(x), work.frames, work.mels, channels), None


def _pooled_kernel(x_ref: Any, w_ref: Any, a_ref: Any, b_ref: Any, out_ref: Any, *, work: Work) -> None:
    weights = [w_ref[k] for k in range(w_ref.shape[0])]
    a, b = a_ref[...][:, None], b_ref[...][:, None]

    def write(number: Any, nothing: None) -> None:
        window, _ = work.tile(number)
        slots = work.read(x_ref, window)
        best = functools.reduce(jnp.maximum, (triton.dot(w, slots) for w in weights))
        z = best * a + b
        # Triton's maximum would make 0 of what is not a number.
        out_ref[_of_windows(out_ref, window, len(a))] = jnp.where(z < 0, 0.0, z).astype(out_ref.dtype)

    work.loop(write, None)


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
    positions, slots, channels = w.shape
    work = _work(x, pool, WINNERS.holding(positions * _filled_up(slots) * _filled_up(channels)))

    def run(x: jax.Array, g: jax.Array, *weights: jax.Array) -> tuple[Any, Any]:
        filled = len(weights[-1])
        out = _parts(x, work, (positions, filled, work.slots), (filled, 16))
        by_position, alone = _call(_winners_kernel, work, [x, g], weights, out)
        return (), (by_position.sum((0, 1)), alone[..., 0].sum((0, 1)))

    tracks = _bordered(x), g.reshape(len(g), work.windows, channels)
    _, (by_position, alone) = over_batch(run, tracks, _weights(w, a, b), mesh)
    return of_patches(by_position[:, :channels, :slots].swapaxes(1, 2), pool), alone[:channels]


def _winners_kernel(
    x_ref: Any, g_ref: Any, w_ref: Any, a_ref: Any, b_ref: Any, by_position_ref: Any, alone_ref: Any, *, work: Work
) -> None:
    weights = [w_ref[k] for k in range(w_ref.shape[0])]
    a, b = a_ref[...][:, None], b_ref[...][:, None]

    def add(number: Any, so_far: list[jax.Array]) -> list[jax.Array]:
        window, there = work.tile(number)
        slots = work.read(x_ref, window)
        best, divide = first_best([triton.dot(w, slots) for w in weights])
        g = g_ref[_of_windows(g_ref, window, len(a))]
        open_ = best * a + b > 0 if there is None else (best * a + b > 0) & there[None]
        g = jnp.where(open_, g, jnp.zeros_like(g))
        shares = [triton.dot(share, slots, trans_b=True) for share in divide(g)]
        # A product with ones: a sum over the registers of many threads costs more.
        alone = triton.dot(g, jnp.ones((len(window), 16), g.dtype), precision=lax.Precision.HIGHEST)
        return [total + new for total, new in zip(so_far, [*shares, alone], strict=True)]

    zeros = [jnp.zeros(weights[0].shape)] * len(weights) + [jnp.zeros((len(a), 16))]
    *by_position, alone = work.loop(add, zeros)
    for k, total in enumerate(by_position):
        by_position_ref[k] = total
    alone_ref[...] = alone


def _of_windows(ref: Any, window: jax.Array, channels: int) -> tuple[jax.Array, jax.Array]:
    """Where the values (channels, windows) of a track are; channels too many repeat the last."""
    shape = (channels, len(window))
    channel = jnp.arange(channels)
    if channels > ref.shape[-1]:
        channel = jnp.minimum(channel, ref.shape[-1] - 1)
    return jnp.broadcast_to(window[None], shape), jnp.broadcast_to(channel[:, None], shape)


def _work(x: jax.Array, pool: Pool, tiling: Tiling) -> Work:
    return Work(pool, x.shape[1] // pool[0], x.shape[2] // pool[1], tiling)


def _bordered(x: jax.Array) -> jax.Array:
    return jnp.pad(x, ((0, 0), (1, 1), (1, 1)))


def _weights(w: jax.Array, a: jax.Array, b: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """(K, A, C), (C,), (C,) -> (K, C, A), (C,), (C,), filled up: with slots of no weight, and with the last channel."""
    slots, channels = (_filled_up(size) - size for size in w.shape[1:])
    w, a, b = (jnp.pad(x, [(0, 0)] * (x.ndim - 1) + [(0, channels)], mode="edge") for x in (w, a, b))
    return jnp.pad(w, ((0, 0), (0, slots), (0, 0))).swapaxes(1, 2), a, b


def _filled_up(size: int) -> int:
    """The power of two that Triton's products take."""
    return max(16, 1 << (size - 1).bit_length())


def _parts(x: jax.Array, work: Work, *shapes: tuple[int, ...]) -> list[jax.ShapeDtypeStruct]:
    """Results of which each program has its own."""
    return [jax.ShapeDtypeStruct((len(x), work.parts, *shape), jnp.float32) for shape in shapes]


def _call(
    kernel: Callable[..., None],
    work: Work,
    tracks: Sequence[jax.Array],
    weights: Sequence[jax.Array],
    out: Sequence[jax.ShapeDtypeStruct],
    out_axes: int = 2,
) -> Any:
    """One program for each part of each track: it sees that of ``tracks``, all of ``weights``, and of ``out`` what its
    track, or with two axes its part, comes to."""

    def block(x: Any, axes: int) -> pl.BlockSpec:
        rest = x.shape[axes:]
        return pl.BlockSpec((None,) * axes + rest, lambda *program: program[:axes] + (0,) * len(rest))

    return pl.pallas_call(
        functools.partial(kernel, work=work),
        grid=(len(tracks[0]), work.parts),
        in_specs=[*(block(x, 1) for x in tracks), *(block(x, 0) for x in weights)],
        out_specs=[block(x, out_axes) for x in out],
        out_shape=out,
        interpret=INTERPRET,
        compiler_params=triton.CompilerParams(num_warps=work.tiling.warps, num_stages=work.tiling.stages),
    )(*tracks, *weights)
