"""The operation that fuses BatchNorm, ReLU and pooling equals the three it is made of."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from hypothesis import given, settings
from hypothesis import strategies as st

from mgc_jax.models.norm_relu_pool import NormReluPool, _best_by_place, _best_of_windows, norm_relu_pool


def plain(y, scale, bias, pool):
    """The three, one after the other, by flax and XLA; mean and variance by numpy's formulas."""
    norm = nnx.BatchNorm(y.shape[-1], use_running_average=False, dtype=y.dtype, rngs=nnx.Rngs(0))
    norm.scale[...], norm.bias[...] = scale, bias
    pooled = nnx.max_pool(jax.nn.relu(norm(y)), pool, strides=pool)
    y = y.astype(jnp.float32)
    return pooled, y.mean((0, 1, 2)), y.var((0, 1, 2))


def arguments(shape, seed, dtype=jnp.float32):
    y, scale, bias = (
        jax.random.normal(k, s)
        for k, s in zip(jax.random.split(jax.random.key(seed), 3), (shape, shape[-1:], shape[-1:]), strict=True)
    )
    return (3.0 * y + 1.0).astype(dtype), scale, bias  # continuous, so without ties; scales of both signs


def gradients(operation, pool, y, scale, bias):
    def loss(*given):
        pooled = operation(*given, pool)[0].astype(jnp.float32)
        return jnp.sum(jnp.sin(pooled) * jnp.cos(jnp.arange(pooled.size).reshape(pooled.shape)))

    return jax.jit(jax.grad(loss, (0, 1, 2)))(y, scale, bias)


@settings(max_examples=15)
@given(
    pool=st.tuples(st.integers(1, 4), st.integers(1, 5)),
    frames=st.integers(4, 13),
    mels=st.integers(5, 11),
    channels=st.integers(1, 5),
    seed=st.integers(0, 1000),
)
def test_values_and_gradients_are_those_of_the_three(pool, frames, mels, channels, seed):
    given_ = arguments((3, frames, mels, channels), seed)
    for ours, theirs in zip(norm_relu_pool(*given_, pool), plain(*given_, pool), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5)
    for ours, theirs in zip(gradients(norm_relu_pool, pool, *given_), gradients(plain, pool, *given_), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("shape", [(2, 7, 6, 3), (2, 6, 7, 3), (2, 7, 9, 3)])
def test_edges_without_a_window_are_padded_on_a_gpu_and_joined_elsewhere(monkeypatch, shape):
    given_ = arguments(shape, 2)
    joined = gradients(norm_relu_pool, (2, 2), *given_)
    gradient = jax.jit(jax.grad(lambda *g: norm_relu_pool(*g, (2, 2))[0].sum()))
    for platform, concatenates in (("cuda", False), ("tpu", True)):
        text = gradient.trace(*given_).lower(lowering_platforms=(platform,)).as_text()
        assert ("stablehlo.concatenate" in text) == concatenates
    monkeypatch.setattr(
        jax.lax, "platform_dependent", lambda *given, default, cuda=None, **others: (cuda or default)(*given)
    )
    for ours, theirs in zip(gradients(norm_relu_pool, (2, 2), *given_), joined, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5)


def test_bfloat16_stays_within_its_rounding():
    given_ = arguments((8, 24, 16, 8), 0, jnp.bfloat16)
    pool = (2, 2)
    ours, theirs = (f(*given_, pool)[0].astype(jnp.float32) for f in (norm_relu_pool, plain))
    np.testing.assert_allclose(ours, theirs, rtol=2**-7, atol=2**-8)
    exact = gradients(norm_relu_pool, pool, given_[0].astype(jnp.float32), *given_[1:])

    def errors(operation):
        found = zip(gradients(operation, pool, *given_), exact, strict=True)
        return [float(np.linalg.norm(np.asarray(g, np.float32) - e) / np.linalg.norm(e)) for g, e in found]

    for ours, theirs in zip(errors(norm_relu_pool), errors(plain), strict=True):
        assert ours < 0.02
        assert ours < theirs


def test_of_equal_values_the_first_takes_the_gradient():
    y = jnp.array([[1.0, 2.0], [2.0, 0.0]]).reshape(1, 2, 2, 1)
    slope = jax.grad(lambda y: norm_relu_pool(y, jnp.ones(1), jnp.ones(1), (2, 2))[0].sum())(y)
    window = jax.grad(lambda y: plain(y, jnp.ones(1), jnp.ones(1), (2, 2))[0].sum())(y)
    np.testing.assert_allclose(slope, window, atol=1e-6)
    assert slope[0, 0, 1, 0] > slope[0, 1, 0, 0]


@pytest.mark.parametrize("pool", [(2, 2), (3, 2), (1, 1), (1, 4)])
def test_places_one_by_one_find_what_windows_do(pool):
    y = jax.random.randint(jax.random.key(0), (3, 13, 9, 4), -2, 3).astype(jnp.float32)  # with many ties
    sign = jnp.array([1.0, -1.0, 1.0, -1.0])
    for ours, theirs in zip(_best_by_place(y, sign, pool), _best_of_windows(y, sign, pool), strict=True):
        assert ours.dtype == theirs.dtype
        np.testing.assert_array_equal(ours, theirs)


def test_what_is_not_a_number_is_not_hidden():
    y = jnp.ones((1, 4, 4, 1)).at[0, 1, 1, 0].set(jnp.nan)
    assert jnp.isnan(norm_relu_pool(y, jnp.ones(1), jnp.zeros(1), (2, 2))[0]).all()


@pytest.mark.parametrize("train", [True, False])
def test_the_module_is_batch_norm_relu_and_pool(train):
    x = arguments((4, 9, 7, 3), 1)[0]
    ours = NormReluPool(3, (2, 3), momentum=0.9, rngs=nnx.Rngs(0))
    norm = nnx.BatchNorm(3, momentum=0.9, rngs=nnx.Rngs(0))
    for step in range(3):
        theirs = nnx.max_pool(jax.nn.relu(norm(x + step, use_running_average=not train)), (2, 3), strides=(2, 3))
        np.testing.assert_allclose(ours(x + step, train=train), theirs, rtol=1e-5, atol=1e-5)
    for name in ("mean", "var", "scale", "bias"):
        np.testing.assert_allclose(getattr(ours, name)[...], getattr(norm, name)[...], rtol=1e-5, atol=1e-5)


def test_a_pods_batch_is_not_too_large_to_count():
    y, vector = jax.ShapeDtypeStruct((16_384, 1292, 128, 1), jnp.bfloat16), jax.ShapeDtypeStruct((1,), jnp.float32)
    gradient = jax.grad(lambda *given: norm_relu_pool(*given, (2, 2))[0].astype(jnp.float32).sum())
    assert jax.eval_shape(gradient, y, vector, vector).shape == y.shape
