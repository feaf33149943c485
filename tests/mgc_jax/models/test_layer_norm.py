"""LayerNorm against PyTorch's, forward and backward, and against the plain formula in bfloat16."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from flax import nnx
from hypothesis import given, settings
from hypothesis import strategies as st

from mgc_jax.models.layer_norm import LayerNorm, layer_norm

EPSILON = 1e-5


def _rows(rng: np.random.Generator, shape: tuple[int, ...]) -> tuple[np.ndarray, ...]:
    """x with a mean that matters, scale, bias, and a gradient of y."""
    x = rng.normal(rng.normal(0, 3), rng.uniform(0.1, 3), shape)
    scale, bias = rng.normal(1, 0.5, shape[-1]), rng.normal(size=shape[-1])
    return tuple(a.astype(np.float32) for a in (x, scale, bias, rng.normal(size=shape)))


def _ours(dtype: jnp.dtype, x, scale, bias, dy) -> list[np.ndarray]:
    y, back = jax.vjp(lambda *a: layer_norm(*a, EPSILON, dtype), jnp.asarray(x, dtype), scale, bias)
    return [np.asarray(a, np.float32) for a in (y, *back(jnp.asarray(dy, dtype)))]


@settings(max_examples=30, deadline=None)
@given(
    shape=st.lists(st.integers(1, 7), min_size=0, max_size=3), channels=st.integers(2, 70), seed=st.integers(0, 2**32)
)
def test_parity_with_pytorch(shape: list[int], channels: int, seed: int):
    x, scale, bias, dy = _rows(np.random.default_rng(seed), (*shape, channels))
    given_ = [torch.tensor(a, requires_grad=True) for a in (x, scale, bias)]
    y = torch.nn.functional.layer_norm(given_[0], (channels,), given_[1], given_[2], EPSILON)
    theirs = [y, *torch.autograd.grad(y, given_, torch.tensor(dy))]
    for ours, expected in zip(_ours(jnp.dtype("float32"), x, scale, bias, dy), theirs, strict=True):
        largest = max(1.0, float(expected.abs().max()))
        np.testing.assert_allclose(ours, expected.detach().numpy(), atol=2e-5 * largest, rtol=0)


def test_the_module_has_what_flax_has_and_gives_the_same():
    x, scale, bias, _ = _rows(np.random.default_rng(0), (3, 5, 32))
    modules = [kind(32, epsilon=1e-12, rngs=nnx.Rngs(0)) for kind in (LayerNorm, nnx.LayerNorm)]
    modules[1].use_fast_variance = False
    for module in modules:
        module.scale[...], module.bias[...] = jnp.asarray(scale), jnp.asarray(bias)
    ours, flax = (jax.tree.structure(nnx.state(module)) for module in modules)
    assert ours == flax
    np.testing.assert_allclose(*(module(jnp.asarray(x)) for module in modules), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(("given_", "wanted"), [("float32", "bfloat16"), ("bfloat16", "bfloat16"), ("bfloat16", None)])
def test_the_dtype_of_the_result_and_of_each_gradient(given_: str, wanted: str | None):
    norm = LayerNorm(8, dtype=wanted and jnp.dtype(wanted), rngs=nnx.Rngs(0))
    x = jnp.ones((2, 8), given_)
    assert norm(x).dtype == (wanted or "float32")
    d_norm, d_x = nnx.grad(lambda norm, x: norm(x).astype(jnp.float32).sum(), argnums=(0, 1))(norm, x)
    assert d_x.dtype == x.dtype
    assert {leaf.dtype for leaf in jax.tree.leaves(d_norm)} == {jnp.dtype("float32")}


def test_gradients_in_bfloat16_lose_no_more_than_their_rounding():
    x, scale, bias, dy = _rows(np.random.default_rng(1), (64, 256))
    x, dy = (np.asarray(jnp.asarray(a, "bfloat16"), np.float32) for a in (x, dy))
    exact = _ours(jnp.dtype("float32"), x, scale, bias, dy)
    rounded = _ours(jnp.dtype("bfloat16"), x, scale, bias, dy)
    for a, b in zip(rounded[:2], exact[:2], strict=True):
        np.testing.assert_allclose(a, b, rtol=2**-8, atol=1e-6)
    for a, b in zip(rounded[2:], exact[2:], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-4)
