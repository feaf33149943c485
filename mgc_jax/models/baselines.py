"""The two rivals of the paper's Table 1, with the call signature of ``GenreClassifier`` and no A-L loss.

Axis letters: B batch, T frames, M mel bands, C channels, L lyric tokens, D width, G genres.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.typing import DTypeLike

from mgc_jax.models.audio_cnn import dequantise
from mgc_jax.models.classifier import Outputs
from mgc_jax.models.config import ModelConfig
from mgc_jax.models.cross_attention import dropout
from mgc_jax.models.hierarchical_attention import HierarchicalAttention
from mgc_jax.models.inception import Inception, check_picture


class Santana(nnx.Module):
    """Santana et al. (IWSSIP 2020): the spectrogram as a picture -> Inception-v3 -> two dense layers -> logits.

    Audio only. The trunk is averaged over the picture (2048), then come two layers of 2048 ReLU units, each with
    dropout, and one logit per genre. ``baseline_width`` scales channels and units.

    Open in the publication, chosen here: the weights start at random (no ImageNet), the picture has one channel and
    its own size, there is no auxiliary head, and every genre has a bias that starts at ``prior_logits`` (G,) or 0.
    Raises ValueError for a picture under 75 x 75.
    """

    def __init__(
        self,
        config: ModelConfig,
        *,
        num_mels: int,
        num_frames: int,
        num_genres: int,
        prior_logits: jax.Array | np.ndarray | None = None,
        dtype: DTypeLike = jnp.float32,
        rngs: nnx.Rngs,
    ):
        check_picture(num_frames, num_mels)
        units = _scaled(2048, config.baseline_width)
        self.dropout, self.dtype = config.dropout, dtype
        self.audio_cnn = Inception(width=config.baseline_width, dtype=dtype, rngs=rngs)
        self.dense = nnx.List(
            nnx.Linear(n, units, kernel_init=nnx.initializers.he_normal(), dtype=dtype, rngs=rngs)
            for n in (self.audio_cnn.out_features, units)
        )
        self.head = GenreHead(units, num_genres, config.genre_bias, prior_logits, dtype, rngs)

    def __call__(self, batch: Mapping[str, jax.Array], *, train: bool, dropout_key: jax.Array | None = None) -> Outputs:
        """Classify a batch: ``spectrogram`` (B, T, M) uint8. Dropout needs its key when training."""
        keys = _dropout_keys(self.dropout, train, dropout_key, len(self.dense))
        x = self.audio_cnn(dequantise(batch["spectrogram"], self.dtype)[..., None], train=train)
        for layer, key in zip(self.dense, keys, strict=True):
            x = dropout(jax.nn.relu(layer(x)), self.dropout, key)
        return Outputs(self.head(x), None, None, None)


class Pandeya(nnx.Module):
    """Pandeya et al. (ICTC 2021): dense-residual CNN over audio, hierarchical attention over lyrics, concatenated.

    ``baseline_width`` scales the channels of both encoders and the FC layer. Open in the publication, chosen here:

    - the blocks have 16, 32, 64, 128 and 192 channels, which makes the 2 M parameters that are reported;
    - BatchNorm and ReLU follow every convolution but the residual branch's 1x1, and the convolution after a block
      is 3x3;
    - the lyrics encoder has the sizes of Yang et al. (see :class:`HierarchicalAttention`);
    - ReLU after FC 512, dropout on the concatenation, and a bias for each genre that starts at ``prior_logits`` (G,)
      or 0.

    Raises ValueError for a spectrogram under 32 x 32, which five poolings leave nothing of.
    """

    def __init__(
        self,
        config: ModelConfig,
        *,
        num_mels: int,
        num_frames: int,
        vocab_size: int,
        num_genres: int,
        prior_logits: jax.Array | np.ndarray | None = None,
        dtype: DTypeLike = jnp.float32,
        rngs: nnx.Rngs,
    ):
        _check_spectrogram(num_frames, num_mels)
        width = config.baseline_width
        self.dropout, self.dtype = config.dropout, dtype
        self.audio_cnn = DenseResidualCNN(width=width, dtype=dtype, rngs=rngs)
        self.lyrics = HierarchicalAttention(vocab_size, width=width, dtype=dtype, rngs=rngs)
        features = self.audio_cnn.out_features + self.lyrics.out_features
        self.head = GenreHead(features, num_genres, config.genre_bias, prior_logits, dtype, rngs)

    def __call__(self, batch: Mapping[str, jax.Array], *, train: bool, dropout_key: jax.Array | None = None) -> Outputs:
        """Classify a batch: ``spectrogram`` (B, T, M) uint8, ``tokens`` (B, L) int32 and ``num_tokens`` (B,), where 0
        means no lyrics. Dropout needs its key when training."""
        (key,) = _dropout_keys(self.dropout, train, dropout_key, 1)
        if "tokens" not in batch:
            raise ValueError("this model learns its own words: the batch must carry tokens")
        audio_features = self.audio_cnn(dequantise(batch["spectrogram"], self.dtype), train=train)
        lyrics_features = self.lyrics(batch["tokens"], batch["num_tokens"])
        fused = dropout(jnp.concatenate([audio_features, lyrics_features], axis=-1), self.dropout, key)
        return Outputs(self.head(fused), None, None, None)


CHANNELS = (16, 32, 64, 128, 192)  # of the five blocks at width 1


class DenseResidualCNN(nnx.Module):
    """The audio part of Pandeya et al.: spectrogram (B, T, M) -> (B, ``out_features``), 512 at width 1."""

    def __init__(self, *, width: float, dtype: DTypeLike = jnp.float32, rngs: nnx.Rngs):
        sizes = [1, *(_scaled(n, width) for n in CHANNELS)]
        self.blocks = nnx.List(DenseResidualBlock(a, b, dtype, rngs) for a, b in itertools.pairwise(sizes))
        self.out_features = _scaled(512, width)
        self.fc = nnx.Linear(sizes[-1], self.out_features, dtype=dtype, rngs=rngs)

    def __call__(self, spectrogram: jax.Array, *, train: bool) -> jax.Array:
        _check_spectrogram(*spectrogram.shape[1:])
        x = spectrogram[..., None]
        for block in self.blocks:
            x = block(x, train=train)
        pooled = jnp.mean(x.astype(jnp.float32), axis=(1, 2)).astype(x.dtype)
        return jax.nn.relu(self.fc(pooled))


def halve(x: jax.Array) -> jax.Array:
    """Max-pool (B, T, M, C) by 2 x 2: the maximum of four views, whose gradient is cheaper than reduce-window's."""
    x = x[:, : x.shape[1] // 2 * 2, : x.shape[2] // 2 * 2]
    return functools.reduce(jnp.maximum, [x[:, i::2, j::2] for i in (0, 1) for j in (0, 1)])


class DenseResidualBlock(nnx.Module):
    """(B, T, M, C) -> (B, T/2, M/2, ``features``).

    One branch goes through 5x1, 1x5, 3x1 and 1x3 filters (time x mel) and a 2x2 max-pool, the residual branch
    through a 1x1 convolution and the same pool; both are concatenated, and a 3x3 convolution follows.
    """

    def __init__(self, features_in: int, features: int, dtype: DTypeLike, rngs: nnx.Rngs):
        def conv(n: int, kernel: tuple[int, int]) -> nnx.Conv:
            init = nnx.initializers.he_normal()
            return nnx.Conv(n, features, kernel, use_bias=False, dtype=dtype, kernel_init=init, rngs=rngs)

        kernels = ((5, 1), (1, 5), (3, 1), (1, 3))
        self.convs = nnx.List(conv(features_in if i == 0 else features, k) for i, k in enumerate(kernels))
        self.residual = conv(features_in, (1, 1))
        self.join = conv(2 * features, (3, 3))
        self.norms = nnx.List(nnx.BatchNorm(features, momentum=0.9, dtype=dtype, rngs=rngs) for _ in range(5))

    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        *norms, last = self.norms
        main = x
        for conv, norm in zip(self.convs, norms, strict=True):
            main = jax.nn.relu(norm(conv(main), use_running_average=not train))
        branches = [halve(branch) for branch in (main, self.residual(x))]
        return jax.nn.relu(last(self.join(jnp.concatenate(branches, axis=-1)), use_running_average=not train))


class GenreHead(nnx.Module):
    """Features (B, D) -> logits (B, G) in float32, with a bias per genre that starts at ``prior_logits`` or 0."""

    def __init__(
        self,
        features_in: int,
        num_genres: int,
        genre_bias: bool,
        prior_logits: jax.Array | np.ndarray | None,
        dtype: DTypeLike,
        rngs: nnx.Rngs,
    ):
        prior = jnp.zeros(num_genres) if prior_logits is None else jnp.asarray(prior_logits, jnp.float32)
        if prior.shape != (num_genres,):
            raise ValueError(f"prior_logits must be ({num_genres},), not {prior.shape}")
        self.genre_vectors = nnx.Linear(features_in, num_genres, use_bias=False, dtype=dtype, rngs=rngs)
        self.genre_bias = nnx.Param(prior) if genre_bias else None

    def __call__(self, x: jax.Array) -> jax.Array:
        logits = self.genre_vectors(x).astype(jnp.float32)
        return logits if self.genre_bias is None else logits + self.genre_bias[...]


def _scaled(size: int, width: float) -> int:
    return max(1, round(size * width))


def _check_spectrogram(frames: int, mels: int) -> None:
    if min(frames, mels) < 32:
        raise ValueError(f"five poolings by two need 32 frames and 32 mel bands at least, not {frames} and {mels}")


def _dropout_keys(rate: float, train: bool, key: jax.Array | None, number: int) -> list[jax.Array | None]:
    if not train or rate == 0.0:
        return [None] * number
    if key is None:
        raise ValueError("training with dropout needs a dropout_key")
    return list(jax.random.split(key, number))
