"""The wide path: a logistic regression beside the network (Cheng et al., Wide & Deep Learning, 2016).

It sees what the frozen encoders give, pooled over time, and is fitted on the training tracks before the network is. A
few hundred songs teach it more of the usual than they teach the network; the network adds what is not linear.

Axis letters: B batch, S audio tokens, H width of an audio token, L lyric tokens, W width of a lyric token,
P = 2 H + W pooled features, G genres.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from flax import nnx

from mgc_jax.models.constant import Constant


class WidePath(nnx.Module):
    """Logits (B, G) = pooled features (B, P) . kernel + bias, where the pooled features are the mean and the standard
    deviation of the audio tokens and the mean of the lyric tokens, 0 without lyrics.

    It starts at 0: :mod:`mgc_jax.training.wide_path` fits it.
    """

    def __init__(self, audio_width: int, lyrics_width: int, num_genres: int) -> None:
        self.sound_features = 2 * audio_width
        self.kernel = Constant(jnp.zeros((2 * audio_width + lyrics_width, num_genres)))
        self.bias = Constant(jnp.zeros(num_genres))

    def of_sound(self, audio: jax.Array) -> jax.Array:
        """What the audio encoder's tokens (B, S, H) add to the logits: (B, G) float32."""
        audio = audio.astype(jnp.float32)
        pooled = jnp.concatenate([audio.mean(axis=1), audio.std(axis=1)], axis=-1)
        return _times(pooled, self.kernel[: self.sound_features])

    def of_words(self, lyrics: jax.Array, num_tokens: jax.Array) -> jax.Array:
        """What the lyrics encoder's tokens (B, L, W), of which ``num_tokens`` (B,) are real, add to the logits: (B, G)
        float32."""
        real = jnp.arange(lyrics.shape[1])[None] < num_tokens[:, None]
        total = jnp.where(real[..., None], lyrics.astype(jnp.float32), 0.0).sum(axis=1)
        pooled = total / jnp.maximum(num_tokens, 1)[:, None]
        return _times(pooled, self.kernel[self.sound_features :])


def _times(pooled: jax.Array, kernel: jax.Array) -> jax.Array:
    """In full precision: features are not of one size, and their differences are what counts."""
    return jnp.matmul(pooled, kernel, precision=jax.lax.Precision.HIGHEST)
