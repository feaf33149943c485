"""The gradient's layout changes no value, on one device and on eight."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec as P

from mgc_jax.models.gradient_layout import gradient_by_track
from mgc_jax.runtime import sharding

pytestmark = pytest.mark.eight_devices


def _loss(x: jax.Array, positions: jax.Array, ours: bool) -> jax.Array:
    y = x + positions
    return jnp.sin(gradient_by_track(y) if ours else y).sum()


@pytest.mark.parametrize("run", [jax.jit, lambda f: f], ids=["compiled", "eager"])
def test_values_and_gradients_are_what_they_were(run):
    rng = np.random.default_rng(0)
    x, positions = (jnp.asarray(rng.normal(size=shape), jnp.float32) for shape in ((8, 5, 6), (5, 6)))
    ours, plain = (
        run(jax.value_and_grad(lambda *a, ours=ours: _loss(*a, ours), (0, 1)))(x, positions) for ours in (True, False)
    )
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), ours, plain)


def test_a_gradient_cut_over_devices_stays_cut():
    mesh = sharding.make_mesh()
    x = jax.device_put(np.ones((8, 5, 6), np.float32), jax.sharding.NamedSharding(mesh, P("data")))
    positions = jax.device_put(np.zeros((5, 6), np.float32), jax.sharding.NamedSharding(mesh, P()))
    gradient = jax.jit(jax.grad(lambda x, p: _loss(x, p, ours=True)))
    text = gradient.lower(x, positions).compile().as_text()
    assert "all-gather" not in text
    assert gradient(x, positions).sharding.spec == P("data")
