"""The network against the original package, whose outputs scripts/golden_musicnn.py wrote down."""

import importlib.util
from pathlib import Path

import jax
import numpy as np
import pytest

from data_pipeline import mel
from mgc_jax.models import musicnn
from mgc_jax.network.audio_encoders import audio_encoder
from scripts import golden_musicnn

pytestmark = pytest.mark.skipif(importlib.util.find_spec("musicnn") is None, reason="musicnn is not installed")
FILTERS = mel.filters(musicnn.N_MELS, musicnn.RATE, musicnn.N_FFT)


@pytest.fixture(scope="module")
def encoder():
    return audio_encoder("musicnn")


@pytest.fixture(scope="module")
def golden():
    with np.load(Path(__file__).with_name("musicnn_golden.npz")) as file:
        return dict(file)


@pytest.fixture(scope="module")
def windows(encoder):
    """Of which the original has the first two; the third ends with the clip."""
    return encoder.windows(golden_musicnn.waveform()[None])[0]


@pytest.fixture(scope="module")
def tokens(encoder, windows):
    return jax.jit(encoder.apply)(encoder.weights, windows)


def test_windows_lie_where_the_original_cuts_its_patches(encoder, golden, windows):
    samples = int(golden_musicnn.SECONDS * golden_musicnn.RATE)
    assert encoder.starts(samples).tolist() == [0, 187 * 256, samples + 256 - 188 * 256]
    assert windows.shape == (3, 188 * 256)
    assert len(golden["logits"]) == 2


def test_front_end(golden, windows):
    mels = np.asarray(musicnn.log_mel(FILTERS, windows[:2]))
    np.testing.assert_allclose(mels[golden_musicnn.EVERY["mels"]], golden["mels"], atol=2e-6)


def test_tokens_are_the_pooled_features_and_what_tags_are_told_from(encoder, golden, tokens):
    assert tokens.shape == (3, encoder.tokens, encoder.width) == (3, 1, 1706)
    pooled = np.asarray(tokens)[:2, 0, : musicnn.POOLED][golden_musicnn.EVERY["pooled"]]
    np.testing.assert_allclose(pooled, golden["pooled"], rtol=2e-5, atol=2e-5)


def test_penultimate_and_tags(encoder, golden, tokens):
    pooled = tokens[:2, 0, : musicnn.POOLED]
    np.testing.assert_allclose(musicnn.penultimate(encoder.weights, pooled), golden["penultimate"], atol=5e-5)
    np.testing.assert_allclose(tokens[:2, 0, musicnn.POOLED :], golden["penultimate"], atol=5e-5)
    np.testing.assert_allclose(musicnn.tag_logits(encoder.weights, pooled), golden["logits"], atol=5e-5)
    chances = musicnn.tag_probabilities(encoder.weights, pooled)
    np.testing.assert_allclose(chances, 1 / (1 + np.exp(-golden["logits"].astype(np.float64))), atol=1e-5)


def test_tags_stand_in_the_originals_order(golden):
    assert list(musicnn.TAGS) == golden["tags"].tolist()


def test_a_window_is_heard_by_itself(encoder, windows, tokens):
    alone = jax.jit(encoder.apply)(encoder.weights, windows[1:])
    np.testing.assert_allclose(alone, tokens[1:], rtol=2e-5, atol=2e-5)


def test_silence_and_full_scale_give_numbers(encoder):
    loud = np.sign(np.sin(np.arange(encoder.window) / 40)).astype(np.float32)
    tokens = jax.jit(encoder.apply)(encoder.weights, np.stack([np.zeros_like(loud), loud]))
    assert np.isfinite(tokens).all()


def test_a_clip_of_30_s_has_ten_tokens(encoder):
    times = encoder.token_times(30 * encoder.rate)
    assert times.shape == (encoder.num_tokens(30 * encoder.rate), 2) == (10, 2)
    assert times[0, 0] == 0


def test_a_clip_shorter_than_a_window_is_refused(encoder):
    with pytest.raises(ValueError, match=r"clips of 2 s are shorter than the 3.01 s that musicnn hears at once"):
        encoder.starts(2 * encoder.rate)


def test_weights_that_do_not_fit_are_all_named():
    tensors = {}
    for kernel, norm, shape in musicnn.WEIGHTS.values():
        if kernel:
            tensors |= {
                f"{kernel}/kernel": np.ones(shape, np.float32),
                f"{kernel}/bias": np.ones(shape[-1:], np.float32),
            }
        if norm:
            parts = ("gamma", "beta", "moving_mean", "moving_variance")
            tensors |= {f"{norm}/{part}": np.ones(shape[-1:], np.float32) for part in parts}
    assert musicnn.encoder(tensors, FILTERS, "").width == 1706
    assert sum(value.size for value in tensors.values()) == 792_079
    del tensors["dense/kernel"]
    tensors["conv2d_3/bias"] = np.ones(7, np.float32)
    tensors["batch_normalization_10/gamma"] = np.full(200, np.nan, np.float32)
    message = (
        r"conv2d_3/bias gives \(7,\), not \(51,\); dense/kernel is missing; batch_normalization_10/gamma is not finite"
    )
    with pytest.raises(ValueError, match=message):
        musicnn.read_weights(tensors)
