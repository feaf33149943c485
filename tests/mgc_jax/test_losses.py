import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from mgc_jax.losses import bce_loss, contrastive_loss, total_loss

B, D, G = 7, 4, 5


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
    assert float(bce_loss(jnp.asarray(logits), jnp.asarray(labels), weight)) == pytest.approx(each.mean(), rel=1e-5)
    logits[2] = np.nan  # padding may hold anything
    assert np.isfinite(bce_loss(jnp.asarray(logits), jnp.asarray(labels), weight))
    extreme = bce_loss(jnp.array([[500.0, -500.0]]), jnp.array([[0, 1]]), jnp.ones(1))
    assert float(extreme) == pytest.approx(500.0)
    assert float(bce_loss(jnp.ones((2, 3)), jnp.ones((2, 3)), jnp.zeros(2))) == 0.0
    low = bce_loss(jnp.asarray(logits, jnp.bfloat16), jnp.asarray(labels), weight)
    assert low.dtype == jnp.float32


def test_padding_reaches_no_gradient():
    logits = jnp.array([[1.0, 2.0], [jnp.nan, jnp.inf]])
    slope = jax.grad(bce_loss)(logits, jnp.ones((2, 2)), jnp.array([1.0, 0.0]))
    assert np.isfinite(slope).all()
    assert not np.any(slope[1])


def test_equation_7():
    assert float(total_loss(jnp.float32(2.0), jnp.float32(4.0), 0.3)) == pytest.approx(0.3 * 2 + 0.7 * 4)
    assert float(total_loss(jnp.float32(jnp.e), jnp.float32(4.0), 0.0)) == 4.0
