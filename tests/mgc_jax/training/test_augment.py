"""Augmentation: what it may change, and what it must leave alone."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mgc_jax.config import AugmentConfig
from mgc_jax.models.audio_cnn import dequantise
from mgc_jax.training.augment import augment, mask, mixup

B, T, M, L, H, G = 6, 40, 20, 5, 3, 4


def batch(seed=0):
    rng = np.random.default_rng(seed)
    num_tokens = np.array([5, 0, 2, 0, 3, 1], np.int32)
    features = rng.normal(size=(B, L, H)) * (np.arange(L)[None, :, None] < num_tokens[:, None, None])
    arrays = {
        "spectrogram": rng.integers(0, 256, (B, T, M), np.uint8),
        "tokens": rng.integers(1, 99, (B, L)).astype(np.int32),
        "lyrics_features": features.astype(np.float16),
        "num_tokens": num_tokens,
        "labels": rng.integers(0, 2, (B, G)).astype(np.uint8),
        "index": np.arange(B, dtype=np.int32),
        "weight": np.array([1, 1, 1, 1, 1, 0], np.float32),
    }
    return {name: jnp.asarray(value) for name, value in arrays.items()}


@pytest.mark.parametrize(("axis", "widest"), [(1, 7), (2, 4), (1, 1000)])
def test_a_mask_is_one_range_with_the_clips_mean(axis, widest):
    given = dequantise(batch()["spectrogram"])
    widths = []
    for seed in range(20):
        out = np.asarray(mask(given, jax.random.key(seed), axis, widest))
        changed = (out != np.asarray(given)).any(axis=3 - axis)
        for clip, places in enumerate(changed):
            here = np.flatnonzero(places)
            widths.append(len(here))
            assert len(here) <= widest
            assert not len(here) or here[-1] - here[0] + 1 == len(here)
            masked = np.take(out[clip], here, axis=axis - 1)
            np.testing.assert_allclose(masked, np.asarray(given)[clip].mean(), atol=1e-6)
    assert len(set(widths)) > 3 or widest == 1


def test_mixup_blends_both_modalities_and_the_labels_alike():
    given = batch()
    out = mixup({**given, "spectrogram": dequantise(given["spectrogram"])}, jax.random.key(3), 0.5)
    one = np.asarray(dequantise(given["spectrogram"]))
    other = one[::-1]
    shares = []
    for i in range(B):
        away = one[i] - other[i]
        share = float(((np.asarray(out["spectrogram"])[i] - other[i]) * away).sum() / (away**2).sum())
        shares.append(share)
        for name in ("lyrics_features", "labels"):
            value = np.asarray(given[name], np.float32)
            np.testing.assert_allclose(out[name][i], share * value[i] + (1 - share) * value[B - 1 - i], atol=2e-5)
    assert shares[0] == shares[5] == pytest.approx(1)  # its partner only pads the batch
    assert all(0.5 <= share < 1 for share in shares[1:5])
    assert out["num_tokens"].tolist() == [5, 3, 2, 2, 3, 1]


def test_the_same_key_repeats_itself_and_nothing_else_is_touched():
    config = AugmentConfig(time_masks=2, time_share=0.2, mel_masks=1, mel_share=0.25)
    given = batch()
    first, again, other = (augment(given, jax.random.key(k), config) for k in (1, 1, 2))
    np.testing.assert_array_equal(first["spectrogram"], again["spectrogram"])
    assert (first["spectrogram"] != other["spectrogram"]).any()
    for name in given.keys() - {"spectrogram"}:
        np.testing.assert_array_equal(first[name], given[name])
    np.testing.assert_allclose(
        augment(given, jax.random.key(0), AugmentConfig())["spectrogram"], dequantise(given["spectrogram"])
    )
