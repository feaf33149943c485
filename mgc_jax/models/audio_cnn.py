"""The audio encoder: five convolutional blocks over the log-mel spectrogram, trained from scratch.

Axis letters: B batch, T frames, M mel bands, C channels, S audio tokens.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike

PRESETS: dict[str, dict[str, Any]] = {
    # The paper gives "five blocks" only; pooling by 2 keeps time a sequence, without which (1) has a single key.
    "paper": {"widths": (64, 128, 256, 512, 512), "pools": ((2, 2),) * 5},
    "narrow": {"widths": (8, 16, 32, 64, 128), "pools": ((2, 2),) * 5},
    # Choi et al.'s FCN-5 with pools as (time, mel): 30 s collapse into one position, so for audio-only use.
    "fcn5": {"widths": (64, 128, 128, 128, 64), "pools": ((4, 2), (4, 2), (4, 2), (5, 3), (4, 4))},
}
"""Named choices of ``widths`` and ``pools`` (time, mel) for :class:`AudioCNN`."""


def dequantise(spectrogram: jax.Array, dtype: DTypeLike = jnp.float32) -> jax.Array:
    """Map stored uint8 levels to [-1, 1] (``x / 127.5 - 1``); floats are taken as already in that range."""
    if spectrogram.dtype == jnp.uint8:
        return (spectrogram.astype(jnp.float32) / 127.5 - 1.0).astype(dtype)
    return spectrogram.astype(dtype)


def pool_method(pool: str) -> str:
    """``window`` or ``views`` for :func:`max_pool`; ``auto`` is views on CPU. Raises ValueError for another name."""
    if pool not in ("window", "views", "auto"):
        raise ValueError(f"pool must be 'window', 'views' or 'auto', not {pool!r}")
    if pool == "auto":
        return "views" if jax.default_backend() == "cpu" else "window"
    return pool


def max_pool(x: jax.Array, pool: tuple[int, int], method: str = "window") -> jax.Array:
    """Max-pool (B, T, M, C) by ``pool`` (time, mel) with equal strides; edges that fill no window are dropped.

    ``window`` is XLA's reduce-window; ``views`` is the elementwise maximum of strided views: equal in value, and
    with a cheaper gradient on CPUs (it shares a tie where ``window`` picks one side). A reduction over folded axes
    would be cheaper still, but its gradient divides by the number of maxima found when its input is computed again
    in another fusion, which rounding can make zero.
    """
    time, mel = pool
    if method == "window":
        return nnx.max_pool(x, window_shape=pool, strides=pool)
    x = x[:, : x.shape[1] // time * time, : x.shape[2] // mel * mel]
    return functools.reduce(jnp.maximum, [x[:, i::time, j::mel] for i in range(time) for j in range(mel)])


class ConvBlock(nnx.Module):
    """Conv 3x3 (same, no bias), BatchNorm with float32 statistics, ReLU, MaxPool: (B, T, M, C) -> pooled."""

    def __init__(
        self, features_in: int, features: int, pool: tuple[int, int], method: str, dtype: DTypeLike, rngs: nnx.Rngs
    ):
        self.conv = nnx.Conv(
            features_in,
            features,
            (3, 3),
            use_bias=False,
            dtype=dtype,
            kernel_init=nnx.initializers.he_normal(),
            rngs=rngs,
        )
        # Momentum .9 rather than flax's .99: runs of a few hundred steps need usable statistics too.
        self.norm = nnx.BatchNorm(features, momentum=0.9, dtype=dtype, rngs=rngs)
        self.pool = pool
        self.method = method

    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        x = self.norm(self.conv(x), use_running_average=not train)
        return max_pool(jax.nn.relu(x), self.pool, self.method)


class AudioCNN(nnx.Module):
    """Five convolutional blocks: spectrogram (B, T, M) in [-1, 1] -> audio tokens (B, S, ``out_features``).

    ``tokens="time"`` folds the pooled mel axis into the channels (S = T/32 for the paper preset), ``"all"`` makes
    every pooled position a token (S = T/32 * M/32). ``pool`` is ``window``, ``views`` or ``auto`` (views on CPU).

    Raises ValueError when the pools leave no mel band (here) or no frame (when called).
    """

    def __init__(
        self,
        *,
        num_mels: int,
        widths: Sequence[int] = PRESETS["paper"]["widths"],
        pools: Sequence[tuple[int, int]] = PRESETS["paper"]["pools"],
        tokens: str = "time",
        pool: str = "window",
        dtype: DTypeLike = jnp.float32,
        rngs: nnx.Rngs,
    ):
        if len(widths) != len(pools):
            raise ValueError(f"{len(widths)} widths but {len(pools)} pools: give one pool (time, mel) per block")
        if tokens not in ("time", "all"):
            raise ValueError(f"audio tokens must be 'time' or 'all', not {tokens!r}")
        pool = pool_method(pool)
        self.num_mels = num_mels
        self.dtype = dtype
        self.tokens = tokens
        self.pools = tuple((int(time), int(mel)) for time, mel in pools)
        bands = functools.reduce(lambda size, p: size // p[1], self.pools, num_mels)
        if bands == 0:
            raise ValueError(f"the pools {self.pools} leave no mel band of {num_mels}: use more bands or smaller pools")
        self.out_bands = bands
        self.out_features = widths[-1] * (bands if tokens == "time" else 1)
        self.blocks = nnx.List(
            ConvBlock(before, after, p, pool, dtype, rngs)
            for before, after, p in zip((1, *widths[:-1]), widths, self.pools, strict=True)
        )

    def num_tokens(self, num_frames: int) -> int:
        """S for a spectrogram of ``num_frames`` frames."""
        frames = functools.reduce(lambda size, p: size // p[0], self.pools, num_frames)
        return frames * (self.out_bands if self.tokens == "all" else 1)

    def __call__(self, spectrogram: jax.Array, *, train: bool) -> jax.Array:
        batch, frames, mels = spectrogram.shape
        if mels != self.num_mels:
            raise ValueError(f"the spectrogram has {mels} mel bands, the encoder was built for {self.num_mels}")
        if self.num_tokens(frames) == 0:
            raise ValueError(f"{frames} frames are too few for the pools {self.pools}: nothing is left of time")
        x = spectrogram.astype(self.dtype)[..., None]
        for block in self.blocks:
            x = block(x, train=train)
        return x.reshape(batch, -1, self.out_features)
