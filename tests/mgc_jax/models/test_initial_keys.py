"""A model begins from the keys of ``nnx.Rngs``."""

import jax
import numpy as np
from flax import nnx

from mgc_jax.models.initial_keys import InitialKeys


def drawn(rngs: nnx.Rngs) -> list[jax.Array]:
    forked = rngs.dropout.fork()
    return [jax.random.key_data(key) for key in (rngs(), rngs.params(), rngs["other"](), forked(), rngs.params())]


def test_they_are_those_of_flax():
    for seed in (0, 7):
        wanted = drawn(nnx.Rngs(seed))
        assert len({key.tobytes() for key in map(np.asarray, wanted)}) == len(wanted)
        np.testing.assert_array_equal(drawn(InitialKeys(seed)), wanted)
        np.testing.assert_array_equal(jax.jit(lambda seed=seed: drawn(InitialKeys(seed)))(), wanted)
    layer = nnx.Linear(3, 2, rngs=InitialKeys(1))
    np.testing.assert_array_equal(layer.kernel[...], nnx.Linear(3, 2, rngs=nnx.Rngs(1)).kernel[...])
