"""The random keys that a model's weights begin from."""

from __future__ import annotations

import jax
from flax import nnx


class InitialKeys(nnx.Rngs):
    """``nnx.Rngs(seed)`` for initialising: the same keys, counted in Python.

    Flax counts them in an array. Under a transformation it is traced, and each increment of a traced array makes jax
    write an error message that nobody reads by going through all that has been traced so far: most of the time that a
    model took to be built.
    """

    def __init__(self, seed: int):
        super().__init__()
        self.default = _Stream(seed, tag="default")


class _Stream(nnx.RngStream):
    def __init__(self, seed: int, *, tag: str):
        super().__init__(seed, tag=tag)
        self.drawn = 0

    def __call__(self) -> jax.Array:
        key = jax.random.fold_in(self.key[...], self.drawn)
        self.drawn += 1
        return key
