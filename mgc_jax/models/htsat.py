"""HTSAT, the audio tower of CLAP: a Swin transformer, with shifted windows, on a log-mel spectrogram cut into strips.

Sources:
    Chen et al., "HTS-AT: a hierarchical token-semantic audio transformer for sound classification and detection",
    ICASSP 2022; Liu et al., "Swin transformer", ICCV 2021. The weights are CLAP's, see :mod:`mgc_jax.models.clap`.
Read is what Transformers writes (``ClapAudioModel``, without fusion).

The 8 x 8 last patches are 4 spans of time under each other, of 2 bands and 8 times: 32 times of 0.31 s. A token is the
mean over both bands and 4 times, so 1.25 s. All patches weigh the same in the tower's own pooling: the mean of the
tokens is its pooled output.

Axis letters: N windows, P samples, T frames, M mels, I side of the picture, K tokens, H width; Y x X patches of width
C, W windows of S x S patches.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.typing import ArrayLike

from mgc_jax.models.bert import ACTIVATIONS
from mgc_jax.models.layer_norm import LayerNorm
from mgc_jax.models.mel_spectrogram import frames, means_over_time, mel_power
from mgc_jax.models.pretrained import LAYER_NORM, LINEAR, MelBank, expect, settings, table

RATE = 48_000  # Hz
WINDOW = 10 * RATE
TOKENS = 8
FILE = "preprocessor_config.json"
_N_FFT, _HOP = 1024, 480
_FRAMES = 1 + WINDOW // _HOP
_FLOOR = 1e-10  # -100 dB


# ---- Front end ----------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class _Preprocessor:
    """The fields of ``preprocessor_config.json`` that the published models differ in."""

    frequency_min: float = 0.0
    frequency_max: float = 14_000.0


def mel_filters(config: AudioConfig, preprocessor: Mapping[str, Any], bank: MelBank) -> np.ndarray:
    """Slaney's filters (M, 513) between the frequencies that ``preprocessor_config.json`` names.

    Raises:
        ValueError: its other settings are not those of a CLAP without fusion.
    """
    same = {"sampling_rate": RATE, "fft_window_size": _N_FFT, "hop_length": _HOP, "max_length_s": 10, "top_db": None}
    expect(preprocessor, {**same, "truncation": "rand_trunc", "feature_size": config.num_mel_bins}, FILE)
    fields = settings(_Preprocessor, preprocessor, FILE)
    if not 0 <= fields.frequency_min < fields.frequency_max <= RATE / 2:
        raise ValueError(
            f"{FILE} has mel bands from {fields.frequency_min:g} to {fields.frequency_max:g} Hz, which do not "
            f"lie in order between 0 and {RATE // 2}"
        )
    return bank(config.num_mel_bins, RATE, _N_FFT, fields.frequency_min, fields.frequency_max)


def log_mel(filters: ArrayLike, windows: jax.Array) -> jax.Array:
    """Mel power in dB, not under -100: windows (N, P) -> (N, T = 1 + P // 480, M) float32.

    Frame t is seen through a Hann window around sample 480 t; the window is mirrored at its ends.
    """
    mirrored = jnp.pad(windows, ((0, 0), (_N_FFT // 2, _N_FFT // 2)), mode="reflect")
    hann = np.hanning(_N_FFT + 1)[:-1].astype(np.float32)
    return 10 * jnp.log10(jnp.maximum(mel_power(frames(mirrored, _N_FFT, _HOP) * hann, filters), _FLOOR))


# ---- Network -------------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class AudioConfig:
    """The fields of ``audio_config`` that fix the computation; defaults are Transformers'."""

    window_size: int = 8
    num_mel_bins: int = 64
    spec_size: int = 256
    hidden_act: str = "gelu"
    patch_size: int = 4
    hidden_size: int = 768
    depths: tuple[int, ...] = (2, 2, 6, 2)
    num_attention_heads: tuple[int, ...] = (4, 8, 16, 32)
    patch_embeds_hidden_size: int = 96
    mlp_ratio: float = 4.0
    layer_norm_eps: float = 1e-5
    projection_dim: int = 512
    projection_hidden_act: str = "relu"

    def __post_init__(self) -> None:
        for name in (self.hidden_act, self.projection_hidden_act):
            if name not in ACTIVATIONS:
                raise ValueError(f"the activation {name!r:.40} is not supported; known: {', '.join(ACTIVATIONS)}")
        if len(self.depths) != len(self.num_attention_heads):
            raise ValueError(f"{len(self.depths)} depths, but heads for {len(self.num_attention_heads)}")
        widths = [self.patch_embeds_hidden_size << stage for stage in range(len(self.depths))]
        if self.hidden_size != widths[-1]:
            raise ValueError(f"hidden_size {self.hidden_size} is not the {widths[-1]} of the last stage")
        if any(width % heads for width, heads in zip(widths, self.num_attention_heads, strict=True)):
            raise ValueError(f"widths {widths} do not divide into {list(self.num_attention_heads)} heads")
        last = self.patch_size * self.window_size << (len(self.depths) - 1)
        if self.spec_size != last or self.spec_size % self.num_mel_bins or self.spec_size * self.strips < _FRAMES:
            raise ValueError(
                f"a picture of {self.spec_size} x {self.spec_size} does not suit patches of {self.patch_size}, windows "
                f"of {self.window_size}, {len(self.depths)} stages and {self.num_mel_bins} mel bands"
            )

    @property
    def strips(self) -> int:
        """The spans of time that lie under each other in the picture."""
        return self.spec_size // self.num_mel_bins


class WindowAttention(nnx.Module):
    """Attention among the patches of a window, with a bias for their distance: (N, W, S S, C) -> the same.

    ``together`` (W, S S, S S) is None, or which patches hear each other: in a picture rolled by half a window, patches
    of opposite edges meet in the last windows.
    """

    def __init__(self, config: AudioConfig, width: int, heads: int, rngs: nnx.Rngs):
        self.query, self.key, self.value, self.out = (nnx.Linear(width, width, rngs=rngs) for _ in range(4))
        self.distance_bias = nnx.Param(jnp.zeros(((2 * config.window_size - 1) ** 2, heads)))
        self.size = config.window_size
        self.heads = heads

    def __call__(self, x: jax.Array, together: np.ndarray | None) -> jax.Array:
        q, k, v = (part(x).reshape(*x.shape[:3], self.heads, -1) for part in (self.query, self.key, self.value))
        scores = jnp.einsum("nwqhc,nwkhc->nwhqk", q, k) / np.sqrt(q.shape[-1]).astype(np.float32)
        scores += self.distance_bias[...][_distances(self.size)].transpose(2, 0, 1)
        if together is not None:
            scores = jnp.where(together[:, None], scores, -jnp.inf)
        attended = jnp.einsum("nwhqk,nwkhc->nwqhc", jax.nn.softmax(scores, axis=-1), v)
        return self.out(attended.reshape(x.shape))


def _distances(size: int) -> np.ndarray:
    """Of each two patches of a window (S S, S S), the number of their distance among (2 S - 1)^2."""
    y, x = np.divmod(np.arange(size * size), size)
    span = 2 * size - 1
    return (y[:, None] - y + size - 1) * span + (x[:, None] - x + size - 1)


def _together(side: int, size: int) -> np.ndarray:
    """Which patches of a window (W, S S, S S) are neighbours in a picture (side, side) that was rolled."""
    at = np.arange(side)
    strip = (at >= side - size).astype(int) + (at >= side - size // 2)
    region = _partition((3 * strip[:, None] + strip)[None, ..., None], size)[0, ..., 0]
    return region[:, :, None] == region[:, None, :]


def _partition(x: Any, size: int) -> Any:
    """(N, Y, X, C) -> its windows (N, W, S S, C)."""
    n, height, width, channels = x.shape
    x = x.reshape(n, height // size, size, width // size, size, channels).swapaxes(2, 3)
    return x.reshape(n, -1, size * size, channels)


def _reassemble(windows: jax.Array, side: int) -> jax.Array:
    """(N, W, S S, C) -> (N, side, side, C): undoes :func:`_partition`."""
    n, count, patches, channels = windows.shape
    across, size = round(count**0.5), round(patches**0.5)
    return windows.reshape(n, across, across, size, size, channels).swapaxes(2, 3).reshape(n, side, side, channels)


class SwinLayer(nnx.Module):
    """One layer of a stage, (N, Y, X, C) -> the same; every second one has its windows shifted by half a window."""

    def __init__(self, config: AudioConfig, width: int, heads: int, shifted: bool, rngs: nnx.Rngs):
        self.attention_norm = LayerNorm(width, epsilon=config.layer_norm_eps, rngs=rngs)
        self.attention = WindowAttention(config, width, heads, rngs)
        self.norm = LayerNorm(width, epsilon=config.layer_norm_eps, rngs=rngs)
        inner = int(config.mlp_ratio * width)
        self.up, self.down = nnx.Linear(width, inner, rngs=rngs), nnx.Linear(inner, width, rngs=rngs)
        self.activation = ACTIVATIONS[config.hidden_act]
        self.size = config.window_size
        self.shifted = shifted

    def __call__(self, x: jax.Array) -> jax.Array:
        side = x.shape[1]
        roll = self.size // 2 if self.shifted and side > self.size else 0
        normed = jnp.roll(self.attention_norm(x), (-roll, -roll), (1, 2))
        together = _together(side, self.size) if roll else None
        attended = _reassemble(self.attention(_partition(normed, self.size), together), side)
        x = x + jnp.roll(attended, (roll, roll), (1, 2))
        return x + self.down(self.activation(self.up(self.norm(x))))


class PatchMerging(nnx.Module):
    """Four neighbouring patches become one of twice the width: (N, Y, X, C) -> (N, Y / 2, X / 2, 2 C)."""

    def __init__(self, width: int, rngs: nnx.Rngs):
        self.norm = LayerNorm(4 * width, epsilon=1e-5, rngs=rngs)
        self.reduction = nnx.Linear(4 * width, 2 * width, use_bias=False, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        corners = [x[:, row::2, column::2] for column in (0, 1) for row in (0, 1)]
        return self.reduction(self.norm(jnp.concatenate(corners, axis=-1)))


class Stage(nnx.Module):
    """Layers of one width, and the merging behind all but the last stage's."""

    def __init__(self, config: AudioConfig, number: int, rngs: nnx.Rngs):
        width, heads = config.patch_embeds_hidden_size << number, config.num_attention_heads[number]
        self.layers = nnx.List(
            SwinLayer(config, width, heads, bool(layer % 2), rngs) for layer in range(config.depths[number])
        )
        self.merging = PatchMerging(width, rngs) if number + 1 < len(config.depths) else None

    def __call__(self, x: jax.Array) -> jax.Array:
        for layer in self.layers:
            x = layer(x)
        return x if self.merging is None else self.merging(x)


class AudioTower(nnx.Module):
    """HTSAT: log-mels (N, T, M) in dB -> tokens (N, K, H)."""

    def __init__(self, config: AudioConfig, *, rngs: nnx.Rngs):
        self.config = config
        self.mel_norm = nnx.BatchNorm(config.num_mel_bins, use_running_average=True, epsilon=1e-5, rngs=rngs)
        patch, width = config.patch_size, config.patch_embeds_hidden_size
        self.projection = nnx.Conv(1, width, (patch, patch), strides=patch, padding="VALID", rngs=rngs)
        self.patch_norm = LayerNorm(width, epsilon=1e-5, rngs=rngs)
        self.stages = nnx.List(Stage(config, number, rngs) for number in range(len(config.depths)))
        self.norm = LayerNorm(config.hidden_size, epsilon=1e-5, rngs=rngs)

    def __call__(self, mels: jax.Array) -> jax.Array:
        patches = self.patches(mels)
        times = patches.reshape(patches.shape[0], self.config.strips, -1, *patches.shape[2:]).mean(2)
        return means_over_time(times.reshape(patches.shape[0], -1, patches.shape[-1]), TOKENS)

    def patches(self, mels: jax.Array) -> jax.Array:
        """(N, T, M) -> the last patches (N, strips x bands, times, H)."""
        x = self.patch_norm(self.projection(picture(self.mel_norm(mels), self.config.spec_size)[..., None]))
        for stage in self.stages:
            x = stage(x)
        return self.norm(x)


def picture(mels: jax.Array, side: int) -> jax.Array:
    """Log-mels (N, T, M), stretched in time and cut into strips that lie under each other -> (N, I, I)."""
    n, _, bands = mels.shape
    strips = side // bands
    places, shares = _stretching(mels.shape[1], side * strips)
    stretched = (mels[:, places] * shares[..., None]).sum(2)
    return stretched.reshape(n, strips, side, bands).swapaxes(2, 3).reshape(n, side, side)


def _stretching(frames: int, wanted: int) -> tuple[np.ndarray, np.ndarray]:
    """Cubic convolution with a = -0.75 and ends on ends, as in PyTorch, whose float32 is part of it.

    Of each wanted frame the four places (wanted, 4) that it is made of, and their shares.
    """
    at = np.float32((frames - 1) / (wanted - 1)) * np.arange(wanted, dtype=np.float32)
    first = np.floor(at).astype(int)
    away = np.abs((at - first)[:, None] - np.arange(-1, 3))
    a = -0.75
    near = ((a + 2) * away - (a + 3)) * away**2 + 1
    far = a * (((away - 5) * away + 8) * away - 4)
    places = np.clip(first[:, None] + np.arange(-1, 3), 0, frames - 1)
    return places, np.where(away <= 1, near, far).astype(np.float32)


# ---- Pretrained weights -------------------------------------------------------------------------------------------

_BATCH_NORM = {**LAYER_NORM, "mean": "running_mean", "var": "running_var"}
_SWIN = "audio_model.audio_encoder"
_SWIN_LAYER = (
    ("attention_norm", "layernorm_before", LAYER_NORM),
    *((f"attention.{name}", f"attention.self.{name}", LINEAR) for name in ("query", "key", "value")),
    ("attention.out", "attention.output.dense", LINEAR),
    ("attention", "attention.self", {"distance_bias": "relative_position_bias_table"}),
    ("norm", "layernorm_after", LAYER_NORM),
    ("up", "intermediate.dense", LINEAR),
    ("down", "output.dense", LINEAR),
)
_MERGING = (("norm", "norm", LAYER_NORM), ("reduction", "reduction", {"kernel": "weight"}))


def weight_table(config: AudioConfig) -> dict[str, str]:
    """The names of :class:`AudioTower`'s weights -> those of the file."""
    stages = range(len(config.depths))
    layers = [(stage, layer) for stage in stages for layer in range(config.depths[stage])]
    return table(
        ("mel_norm", f"{_SWIN}.batch_norm", _BATCH_NORM),
        ("projection", f"{_SWIN}.patch_embed.proj", LINEAR),
        ("patch_norm", f"{_SWIN}.patch_embed.norm", LAYER_NORM),
        *(
            (f"stages.{stage}.layers.{layer}.{ours}", f"{_SWIN}.layers.{stage}.blocks.{layer}.{theirs}", leaves)
            for stage, layer in layers
            for ours, theirs, leaves in _SWIN_LAYER
        ),
        *(
            (f"stages.{stage}.merging.{ours}", f"{_SWIN}.layers.{stage}.downsample.{theirs}", leaves)
            for stage in stages[:-1]
            for ours, theirs, leaves in _MERGING
        ),
        ("norm", f"{_SWIN}.norm", LAYER_NORM),
    )
