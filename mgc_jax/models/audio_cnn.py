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
from jax.sharding import Mesh
from jax.typing import DTypeLike

from mgc_jax.models.config import AudioPreset, AudioTokens
from mgc_jax.models.first_block import first_block, first_block_by
from mgc_jax.models.norm_relu_pool import NormReluPool

PRESETS: dict[AudioPreset, dict[str, Any]] = {
    # The paper gives "five blocks" only; pooling by 2 keeps time a sequence, without which (1) has a single key.
    "paper": {"widths": (64, 128, 256, 512, 512), "pools": ((2, 2),) * 5},
    "narrow": {"widths": (8, 16, 32, 64, 128), "pools": ((2, 2),) * 5},
    # The same with a stem for machines that memory holds up: patches of 2 x 2 are folded into channels before the
    # first convolution, which then works at the size that the first pooling would leave. Not the paper's.
    "paper_patches": {"widths": (64, 128, 256, 512, 512), "pools": ((1, 1), *((2, 2),) * 4), "patch": (2, 2)},
    "narrow_patches": {"widths": (8, 16, 32, 64, 128), "pools": ((1, 1), *((2, 2),) * 4), "patch": (2, 2)},
    # Choi et al.'s FCN-5 with pools as (time, mel): 30 s collapse into one position, so for audio-only use.
    "fcn5": {"widths": (64, 128, 128, 128, 64), "pools": ((4, 2), (4, 2), (4, 2), (5, 3), (4, 4))},
}
"""Named choices of ``widths``, ``pools`` and ``patch`` (time, mel) for :class:`AudioCNN`."""


def dequantise(spectrogram: jax.Array, dtype: DTypeLike = jnp.float32) -> jax.Array:
    """Map stored uint8 levels to [-1, 1] (``x / 127.5 - 1``); floats are taken as already in that range."""
    if spectrogram.dtype == jnp.uint8:
        return (spectrogram.astype(jnp.float32) / 127.5 - 1.0).astype(dtype)
    return spectrogram.astype(dtype)


def fold_patches(x: jax.Array, patch: tuple[int, int]) -> jax.Array:
    """(B, T, M) -> (B, T // time, M // mel, mel * time): one channel for each position in a patch, time changing first.

    Edges that fill no patch are dropped.
    """
    time, mel = patch
    batch, frames, mels = x.shape[0], x.shape[1] // time, x.shape[2] // mel
    x = x[:, : frames * time, : mels * mel].reshape(batch, frames, time, mels, mel)
    return x.transpose(0, 1, 3, 4, 2).reshape(batch, frames, mels, mel * time)


class ConvBlock(nnx.Module):
    """Conv 3x3 (same, no bias), BatchNorm with float32 statistics, ReLU, MaxPool: (B, T, M, C) -> pooled."""

    def __init__(self, features_in: int, features: int, pool: tuple[int, int], dtype: DTypeLike, rngs: nnx.Rngs):
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
        self.norm = NormReluPool(features, pool, momentum=0.9, dtype=dtype, rngs=rngs)

    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        return self.norm(self.conv(x), train=train)


class FirstBlock(ConvBlock):
    """The block of one input channel, whose convolution's output is not written: see :mod:`first_block`.

    ``form`` is one of its ``FORMS``; ``convolution`` computes as any block does. ``mesh`` is the one over whose axis
    ``data`` a batch is cut.
    """

    def __init__(
        self, features: int, pool: tuple[int, int], form: str, mesh: Mesh | None, dtype: DTypeLike, rngs: nnx.Rngs
    ):
        super().__init__(1, features, pool, dtype, rngs)
        self.form, self.mesh = form, mesh

    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        if self.form == "convolution":
            return super().__call__(x, train=train)
        norm = self.norm
        assert norm.scale is not None
        assert norm.bias is not None
        weights, options = (
            (self.conv.kernel[...], norm.scale[...], norm.bias[...]),
            (norm.pool, norm.epsilon, self.form, self.mesh),
        )
        if not train:
            return first_block_by(x[..., 0], *weights, norm.mean[...], norm.var[...], *options)
        pooled, mean, variance = first_block(x[..., 0], *weights, *options)
        norm.take_in(mean, variance)
        return pooled


class AudioCNN(nnx.Module):
    """Five convolutional blocks: spectrogram (B, T, M) in [-1, 1] -> audio tokens (B, S, ``out_features``).

    ``tokens="time"`` folds the pooled mel axis into the channels (S = T/32 for the paper preset), ``"all"`` makes
    every pooled position a token (S = T/32 * M/32).

    ``rematerialise`` keeps of each block only its input for the backward pass and computes the rest again: half the
    memory, so twice the batch, for more traffic. By the compiler for a TPU v5e, whole step, features: 7.28 instead of
    13.21 GiB and 540 instead of 387 MB a track at 128 tracks a chip; 256 fit then (12.52 GiB, 525 MB a track).

    ``first_block`` is the form of a block of one input channel, and ``mesh`` its mesh, see :class:`FirstBlock`.

    Raises ValueError when the pools leave no mel band (here) or no frame (when called).
    """

    def __init__(
        self,
        *,
        num_mels: int,
        widths: Sequence[int],
        pools: Sequence[tuple[int, int]],
        patch: tuple[int, int] = (1, 1),
        tokens: AudioTokens,
        rematerialise: bool = False,
        first_block: str = "convolution",
        mesh: Mesh | None = None,
        dtype: DTypeLike = jnp.float32,
        rngs: nnx.Rngs,
    ):
        if len(widths) != len(pools):
            raise ValueError(f"{len(widths)} widths but {len(pools)} pools: give one pool (time, mel) per block")
        self.num_mels = num_mels
        self.dtype = dtype
        self.tokens = tokens
        self.rematerialise = rematerialise
        self.pools = tuple((int(time), int(mel)) for time, mel in pools)
        self.patch = patch
        bands = functools.reduce(lambda size, p: size // p[1], (patch, *self.pools), num_mels)
        if bands == 0:
            raise ValueError(f"the pools {self.pools} leave no mel band of {num_mels}: use more bands or smaller pools")
        self.out_bands = bands
        self.out_features = widths[-1] * (bands if tokens == "time" else 1)
        self.blocks = nnx.List(
            FirstBlock(after, p, first_block, mesh, dtype, rngs)
            if before == 1
            else ConvBlock(before, after, p, dtype, rngs)
            for before, after, p in zip((patch[0] * patch[1], *widths[:-1]), widths, self.pools, strict=True)
        )

    def num_tokens(self, num_frames: int) -> int:
        """S for a spectrogram of ``num_frames`` frames."""
        frames = functools.reduce(lambda size, p: size // p[0], (self.patch, *self.pools), num_frames)
        return frames * (self.out_bands if self.tokens == "all" else 1)

    def __call__(self, spectrogram: jax.Array, *, train: bool) -> jax.Array:
        batch, frames, mels = spectrogram.shape
        if mels != self.num_mels:
            raise ValueError(f"the spectrogram has {mels} mel bands, the encoder was built for {self.num_mels}")
        if self.num_tokens(frames) == 0:
            raise ValueError(f"{frames} frames are too few for the pools {self.pools}: nothing is left of time")
        x = fold_patches(spectrogram.astype(self.dtype), self.patch)
        for block in self.blocks:
            x = _forgetful(block, x) if train and self.rematerialise else block(x, train=train)
        return x.reshape(batch, -1, self.out_features)


@nnx.remat
def _forgetful(block: ConvBlock, x: jax.Array) -> jax.Array:
    return block(x, train=True)
