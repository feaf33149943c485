import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from mgc_jax.models.losses import (
    GENRE_LOSSES,
    asymmetric,
    contrastive_loss,
    cross_entropy,
    genre_loss,
    same_rows,
    total_loss,
)

B, D, G = 7, 4, 5
bce = functools.partial(genre_loss, kind="bce", reduction="sum")


def pairs(seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(B, D)).astype(np.float32), rng.normal(size=(B, D)).astype(np.float32)


def test_equations_5_and_6_by_loops():
    audio, lyrics = pairs()
    tau = 0.5
    s = audio.astype(np.float64) @ lyrics.T
    to_lyrics = [-np.log(np.exp(s[i, i] / tau) / sum(np.exp(s[i, j] / tau) for j in range(B))) for i in range(B)]
    to_audio = [-np.log(np.exp(s[i, i] / tau) / sum(np.exp(s[j, i] / tau) for j in range(B))) for i in range(B)]
    want = (np.mean(to_lyrics) + np.mean(to_audio)) / 2
    assert float(contrastive_loss(audio, lyrics, jnp.log(1 / tau), jnp.ones(B))) == pytest.approx(want, rel=1e-5)


@pytest.mark.parametrize("junk", [1e4, np.nan])
def test_invalid_rows_take_no_part(junk):
    audio, lyrics = pairs()
    valid = np.array([1, 0, 1, 1, 0, 0, 1], bool)
    want = contrastive_loss(audio[valid], lyrics[valid], jnp.float32(0.3), jnp.ones(4))
    audio[~valid], lyrics[~valid] = junk, junk
    loss = jax.value_and_grad(contrastive_loss, argnums=(0, 1, 2))
    got, (to_audio, to_lyrics, to_scale) = loss(audio, lyrics, jnp.float32(0.3), valid.astype(np.float32))
    np.testing.assert_allclose(got, want, rtol=1e-6)
    assert not np.any(np.asarray(to_audio)[~valid])
    assert not np.any(np.asarray(to_lyrics)[~valid])
    assert np.isfinite(to_audio).all()
    assert np.isfinite(to_scale)


@pytest.mark.parametrize("count", [0, 1])
def test_fewer_than_two_valid_rows_are_no_loss(count):
    audio, lyrics = pairs()
    got, slope = jax.value_and_grad(contrastive_loss)(audio, lyrics, jnp.float32(0.0), jnp.arange(B) < count)
    assert float(got) == 0.0
    assert not np.any(slope)


def test_contrastive_gradient_by_finite_differences():
    audio, lyrics = pairs()
    valid = jnp.arange(B) != 3
    check_grads(
        lambda a, t, s: contrastive_loss(a, t, s, valid), (audio, lyrics, jnp.float32(0.2)), 1, ["rev"], 1e-2, 1e-2
    )


def test_a_permuted_batch_has_the_same_loss_and_matched_pairs_a_lower_one():
    audio, lyrics = pairs()
    order = np.array([3, 1, 6, 0, 2, 5, 4])
    args = jnp.float32(0.0), jnp.ones(B)
    want = contrastive_loss(audio, lyrics, *args)
    np.testing.assert_allclose(contrastive_loss(audio[order], lyrics[order], *args), want, rtol=1e-5)
    assert contrastive_loss(3 * audio, 3 * audio, *args) < contrastive_loss(3 * audio, 3 * audio[order], *args)


def test_bce_by_the_formula_and_in_range():
    rng = np.random.default_rng(0)
    logits, labels = rng.normal(size=(B, G)), rng.integers(0, 2, (B, G)).astype(np.uint8)
    weight = np.array([1, 1, 0, 1, 0, 1, 1], np.float32)
    p = 1 / (1 + np.exp(-logits))
    each = -(labels * np.log(p) + (1 - labels) * np.log(1 - p))[weight > 0]
    args = jnp.asarray(logits), jnp.asarray(labels), weight
    assert float(bce(*args)) == pytest.approx(each.sum(1).mean(), rel=1e-5)
    assert float(genre_loss(*args, kind="bce", reduction="mean")) == pytest.approx(each.mean(), rel=1e-5)
    logits[2] = np.nan  # padding may hold anything
    assert np.isfinite(bce(jnp.asarray(logits), jnp.asarray(labels), weight))
    extreme = bce(jnp.array([[500.0, -500.0]]), jnp.array([[0, 1]]), jnp.ones(1))
    assert float(extreme) == pytest.approx(1000.0)
    assert float(bce(jnp.ones((2, 3)), jnp.ones((2, 3)), jnp.zeros(2))) == 0.0
    low = bce(jnp.asarray(logits, jnp.bfloat16), jnp.asarray(labels), weight)
    assert low.dtype == jnp.float32


def test_focal_and_asymmetric_by_their_formulas():
    rng = np.random.default_rng(1)
    logits, labels = 3 * rng.normal(size=(B, G)), rng.integers(0, 2, (B, G)).astype(np.float64)
    p = 1 / (1 + np.exp(-logits))
    true = np.where(labels == 1, p, 1 - p)
    x, y = jnp.asarray(logits, jnp.float32), jnp.asarray(labels, jnp.float32)
    np.testing.assert_allclose(GENRE_LOSSES["focal"](x, y), -((1 - true) ** 2) * np.log(true), rtol=1e-4)
    shifted = np.maximum(p - 0.05, 0)
    want = np.where(labels == 1, -(1 - p) * np.log(p), -(shifted**4) * np.log(1 - shifted))
    np.testing.assert_allclose(asymmetric(x, y), want, rtol=1e-4, atol=1e-7)
    plain = asymmetric(x, y, gamma=0.0, gamma_positive=0.0, margin=0.0)
    np.testing.assert_allclose(plain, cross_entropy(x, y), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("kind", GENRE_LOSSES)
def test_every_loss_is_finite_where_the_sigmoid_is_not_open(kind):
    logits = jnp.array([[80.0, -80.0, 0.0, 80.0, -80.0]])
    labels = jnp.array([[0.0, 1.0, 0.5, 1.0, 0.0]])
    value, slope = jax.value_and_grad(genre_loss)(logits, labels, jnp.ones(1), kind=kind, reduction="sum")
    assert np.isfinite(value)
    assert np.isfinite(slope).all()


def test_tracks_with_the_same_words_need_not_be_negatives():
    audio, lyrics = pairs()
    tokens = np.random.default_rng(2).integers(0, 30_000, (B, 9))
    tokens[4] = tokens[1]
    same = same_rows(jnp.asarray(tokens))
    want = np.eye(B, dtype=bool)
    want[1, 4] = want[4, 1] = True
    np.testing.assert_array_equal(same, want)
    s = audio.astype(np.float64) @ lyrics.T
    others = ~want | np.eye(B, dtype=bool)
    directions = [
        -np.log(np.exp(m[i, i]) / sum(np.exp(m[i, j]) for j in range(B) if others[i, j]))
        for m in (s, s.T)
        for i in range(B)
    ]
    got = contrastive_loss(audio, lyrics, jnp.float32(0.0), jnp.ones(B), same)
    assert float(got) == pytest.approx(np.mean(directions), rel=1e-5)


def test_padding_reaches_no_gradient():
    logits = jnp.array([[1.0, 2.0], [jnp.nan, jnp.inf]])
    slope = jax.grad(bce)(logits, jnp.ones((2, 2)), jnp.array([1.0, 0.0]))
    assert np.isfinite(slope).all()
    assert not np.any(slope[1])


def test_equation_7():
    assert float(total_loss(jnp.float32(2.0), jnp.float32(4.0), 0.3)) == pytest.approx(0.3 * 2 + 0.7 * 4)
    assert float(total_loss(jnp.float32(jnp.e), jnp.float32(4.0), 0.0)) == 4.0
