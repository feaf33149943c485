"""Augmentation of a training batch on the device, inside the fused step.

Axis letters: B batch, W windows, T frames, M mel bands, L lyric tokens, H encoder width, G genres.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from data_pipeline.schema import AUDIO
from mgc_jax.config import AugmentConfig
from mgc_jax.models.audio_cnn import dequantise

Batch = dict[str, jax.Array]


def augment(batch: Batch, key: jax.Array, config: AugmentConfig) -> Batch:
    """The batch with its ``spectrogram`` (B, T, M) in [-1, 1] or ``filterbank`` (B, W T, M) masked, where it has one,
    and with labels that mixup made soft.

    Masks after SpecAugment (Park et al., Interspeech 2019), mixup after Zhang et al. (ICLR 2018).
    """
    mixing, masking = jax.random.split(key)
    sound = _sound(batch)
    if sound != "audio_features":
        batch = {**batch, sound: dequantise(batch[sound])}
    if config.mixup > 0.0:
        batch = mixup(batch, mixing, config.mixup)
    for axis, count, share in ((1, config.time_masks, config.time_share), (2, config.mel_masks, config.mel_share)):
        for number in range(count):
            widest = round(share * batch[sound].shape[axis])
            here = jax.random.fold_in(masking, 100 * axis + number)
            batch[sound] = mask(batch[sound], here, axis, widest)
    return batch


def _sound(batch: Batch) -> str:
    return next(name for name in AUDIO.values() if name in batch)


def mask(spectrogram: jax.Array, key: jax.Array, axis: int, widest: int) -> jax.Array:
    """Set one range of 0 to ``widest`` positions along ``axis`` of every clip to the clip's mean."""
    clips, length = len(spectrogram), spectrogram.shape[axis]
    for_width, for_start = jax.random.split(key)
    width = jax.random.randint(for_width, (clips, 1), 0, min(widest, length) + 1)
    start = jax.random.randint(for_start, (clips, 1), 0, length - width + 1)
    position = jnp.arange(length)[None]
    inside = jnp.expand_dims((position >= start) & (position < start + width), 3 - axis)
    return jnp.where(inside, jnp.mean(spectrogram, axis=(1, 2), keepdims=True), spectrogram)


def mixup(batch: Batch, key: jax.Array, alpha: float) -> Batch:
    """Blend every track with its mirror image in the batch: sound, ``lyrics_features`` (B, L, H) and labels.

    A track without lyrics, whose features are 0, thins its partner's. Rows that only pad the batch stay out.
    """
    real = batch["weight"] > 0
    share = jax.random.beta(key, alpha, alpha, (len(real),))
    share = jnp.where(real & real[::-1], jnp.maximum(share, 1.0 - share), 1.0)

    def blend(x: jax.Array) -> jax.Array:
        x = x.astype(jnp.float32)
        part = share.reshape(-1, *(1,) * (x.ndim - 1))
        return part * x + (1.0 - part) * x[::-1]

    mixed = {name: blend(batch[name]) for name in (_sound(batch), "lyrics_features", "labels")}
    longer = jnp.where(share < 1.0, jnp.maximum(batch["num_tokens"], batch["num_tokens"][::-1]), batch["num_tokens"])
    return {**batch, **mixed, "num_tokens": longer}
