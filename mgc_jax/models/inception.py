"""Inception-v3 (Szegedy et al., CVPR 2016) over a picture of one channel: the trunk of the Santana baseline.

Axis letters: B batch, T frames, M mel bands (the picture is T x M), C channels.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike

SMALLEST = 75
"""Pixels that either side of the picture needs for the five halvings, as in the published network."""


class Conv(NamedTuple):
    """A step of a plan: convolution without bias, BatchNorm (eps 1e-3), ReLU."""

    features: int
    kernel: tuple[int, int]
    stride: int = 1
    padding: str = "SAME"


# A plan is a sequence of steps: a Conv, "max" (3x3, stride 2), "average" (3x3, stride 1), or a list of plans that all
# read the same input and whose outputs are concatenated over the channels.
STEM = (
    Conv(32, (3, 3), 2, "VALID"), Conv(32, (3, 3), 1, "VALID"), Conv(64, (3, 3)), "max",
    Conv(80, (1, 1)), Conv(192, (3, 3), 1, "VALID"), "max",
)  # fmt: skip


def block_a(pooled: int) -> list[Any]:
    """35 x 35 in the publication; ``pooled`` channels behind the average pool."""
    return [
        [Conv(64, (1, 1))],
        [Conv(48, (1, 1)), Conv(64, (5, 5))],
        [Conv(64, (1, 1)), Conv(96, (3, 3)), Conv(96, (3, 3))],
        ["average", Conv(pooled, (1, 1))],
    ]


def block_b() -> list[Any]:
    """From 35 x 35 to 17 x 17."""
    return [
        [Conv(384, (3, 3), 2, "VALID")],
        [Conv(64, (1, 1)), Conv(96, (3, 3)), Conv(96, (3, 3), 2, "VALID")],
        ["max"],
    ]


def block_c(inner: int) -> list[Any]:
    """17 x 17 with 7 x 7 filters in two factors of ``inner`` channels."""
    return [
        [Conv(192, (1, 1))],
        [Conv(inner, (1, 1)), Conv(inner, (1, 7)), Conv(192, (7, 1))],
        [Conv(inner, (1, 1)), *(Conv(inner, k) for k in ((7, 1), (1, 7), (7, 1))), Conv(192, (1, 7))],
        ["average", Conv(192, (1, 1))],
    ]


def block_d() -> list[Any]:
    """From 17 x 17 to 8 x 8."""
    return [
        [Conv(192, (1, 1)), Conv(320, (3, 3), 2, "VALID")],
        [Conv(192, (1, 1)), Conv(192, (1, 7)), Conv(192, (7, 1)), Conv(192, (3, 3), 2, "VALID")],
        ["max"],
    ]


def block_e() -> list[Any]:
    """8 x 8, the widest: two branches fork once more."""
    fork = [[Conv(384, (1, 3))], [Conv(384, (3, 1))]]
    return [
        [Conv(320, (1, 1))],
        [Conv(384, (1, 1)), fork],
        [Conv(448, (1, 1)), Conv(384, (3, 3)), fork],
        ["average", Conv(192, (1, 1))],
    ]


PLAN: tuple[Any, ...] = (
    *STEM,
    *(block_a(pooled) for pooled in (32, 64, 64)),
    block_b(),
    *(block_c(inner) for inner in (128, 160, 160, 192)),
    block_d(),
    block_e(),
    block_e(),
)


@dataclasses.dataclass(frozen=True)
class _Options:
    """What all layers share."""

    width: float
    dtype: DTypeLike
    rngs: nnx.Rngs


class Inception(nnx.Module):
    """Inception-v3 without head and auxiliary head: (B, T, M, 1) -> (B, ``out_features``) by global average pooling.

    ``width`` scales every number of channels (1.0 gives 2048 out). BatchNorm keeps its statistics with momentum .9,
    and average pools do not count the border, as in the original code.
    Raises ValueError for a picture with a side under 75 pixels.
    """

    def __init__(self, *, width: float, dtype: DTypeLike = jnp.float32, rngs: nnx.Rngs):
        self.layers = _Chain(PLAN, 1, _Options(width, dtype, rngs))
        self.out_features = self.layers.out_features
        self.dtype = dtype

    def __call__(self, picture: jax.Array, *, train: bool) -> jax.Array:
        check_picture(*picture.shape[1:3])
        features = self.layers(picture.astype(self.dtype), train=train)
        return jnp.mean(features.astype(jnp.float32), axis=(1, 2)).astype(self.dtype)


def check_picture(frames: int, mels: int) -> None:
    """Raise ValueError where a picture is too small for Inception-v3."""
    if min(frames, mels) < SMALLEST:
        raise ValueError(
            f"Inception-v3 needs {SMALLEST} frames and {SMALLEST} mel bands at least, not {frames} and {mels}"
        )


class _ConvNorm(nnx.Module):
    def __init__(self, spec: Conv, features_in: int, options: _Options):
        self.out_features = max(1, round(spec.features * options.width))
        self.conv = nnx.Conv(
            features_in,
            self.out_features,
            spec.kernel,
            strides=spec.stride,
            padding=spec.padding,
            use_bias=False,
            dtype=options.dtype,
            kernel_init=nnx.initializers.he_normal(),
            rngs=options.rngs,
        )
        self.norm = nnx.BatchNorm(self.out_features, momentum=0.9, epsilon=1e-3, dtype=options.dtype, rngs=options.rngs)

    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        return jax.nn.relu(self.norm(self.conv(x), use_running_average=not train))


class _Pool(nnx.Module):
    def __init__(self, kind: str, features_in: int, options: _Options):
        self.kind, self.out_features = kind, features_in

    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        if self.kind == "max":
            return nnx.max_pool(x, (3, 3), strides=(2, 2))
        return nnx.avg_pool(x, (3, 3), padding="SAME", count_include_pad=False)


class _Chain(nnx.Module):
    """The steps of a plan, one after the other."""

    def __init__(self, plan: Sequence[Any], features_in: int, options: _Options):
        steps: list[Any] = []
        for step in plan:
            kind: Any = {Conv: _ConvNorm, str: _Pool, list: _Branches}[type(step)]
            steps.append(kind(step, features_in, options))
            features_in = steps[-1].out_features
        self.steps, self.out_features = nnx.List(steps), features_in

    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        for step in self.steps:
            x = step(x, train=train)
        return x


class _Branches(nnx.Module):
    """Several plans on the same input, concatenated over the channels."""

    def __init__(self, plans: Sequence[Sequence[Any]], features_in: int, options: _Options):
        self.branches = nnx.List(_Chain(plan, features_in, options) for plan in plans)
        self.out_features = sum(branch.out_features for branch in self.branches)

    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        return jnp.concatenate([branch(x, train=train) for branch in self.branches], axis=-1)
